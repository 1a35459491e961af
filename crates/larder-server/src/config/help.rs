//! What `-h` prints: the tables of flags and options by group, and what is ours.

use std::fmt::Write;

use super::extended::{Extended, Gives, OPTIONS};
use super::flags::{FLAGS, Flag, Group, Takes};
use super::invocation::Identity;
use crate::protocol::reply::WIRE_VERSION;

/// Where the words of a flag begin.
const COLUMN: usize = 32;

const GROUPS: [(Group, &str); 8] = [
    (Group::Listening, "Listening"),
    (Group::Connections, "Connections and threads"),
    (Group::Memory, "Memory and items"),
    (Group::Disks, "Values on flash"),
    (Group::Commands, "Commands and access"),
    (Group::Process, "Process"),
    (Group::Information, "Information and extended options"),
    (
        Group::Knobs,
        "Accepted and shown by stats settings, without an effect",
    ),
];

const OURS: &str = "\
Ours (memcached has none of it):
  started as larderd it listens on 127.0.0.1 only, and root needs no -u; under the name memcached,
  by a link, everything is as in memcached
  -m takes m or g behind its number, -I takes g
  a value that is no number is refused, where memcached reads it as 0
";

/// The help for a program of that name.
pub(super) fn text(identity: Identity) -> String {
    let mut text = match identity {
        Identity::Larderd => format!(
            "larderd {}, a memcached server over the Larder cache engine (speaks as memcached \
             {WIRE_VERSION})\n\nusage: larderd [flags]\n",
            env!("CARGO_PKG_VERSION")
        ),
        Identity::Memcached => format!(
            "memcached {WIRE_VERSION} (larderd {})\n\nusage: memcached [flags]\n",
            env!("CARGO_PKG_VERSION")
        ),
    };
    for (group, title) in GROUPS {
        let _ = writeln!(text, "\n{title}:");
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            entry(&mut text, &flag_name(flag), flag.help);
        }
        for option in OPTIONS.iter().filter(|option| option.group == group) {
            entry(&mut text, &option_name(option), option.help);
        }
    }
    let _ = write!(text, "\n{OURS}");
    text
}

fn flag_name(flag: &Flag) -> String {
    let short = flag.short;
    match (flag.takes, flag.long) {
        (Takes::Value(value), "") => format!("  -{short} {value}"),
        (Takes::Value(value), long) => format!("  -{short}, --{long}={value}"),
        (_, long) => format!("  -{short}, --{long}"),
    }
}

fn option_name(option: &Extended) -> String {
    let name = option.name;
    match option.takes {
        Gives::Nothing => format!("  -o {name}"),
        Gives::Perhaps(value) => format!("  -o {name}[={value}]"),
        Gives::Value(value) => format!("  -o {name}={value}"),
    }
}

/// A name and its words, on the next line if the name is long.
fn entry(text: &mut String, name: &str, words: &str) {
    let mut name = name;
    for line in words.split('\n') {
        if name.len() + 1 > COLUMN {
            let _ = writeln!(text, "{name}");
            name = "";
        }
        let row = format!("{name:COLUMN$}{line}");
        let _ = writeln!(text, "{}", row.trim_end());
        name = "";
    }
}
