//! What `stats` and its sub-commands report: names and values, without a protocol.
//!
//! Control plane: plain and slow is fine. Names and order are memcached's; what is
//! ours is a topic of its own.

mod baseline;
mod classes;
mod conns;
mod flash;
mod general;
mod prefixes;
mod settings;

use crate::service::Service;

pub(crate) use baseline::Baseline;
pub(crate) use classes::{class_number, has_items};
pub(crate) use conns::{Clients, Peer, State, Transport};
pub(crate) use prefixes::{Prefixes, Retrieval};

/// Takes one line: a name and its value.
pub(crate) type Emit<'a> = dyn FnMut(&str, &str) + 'a;

/// Reports the lines of `stats <topic>`, of plain `stats` for no topic; false if there is no such
/// topic. `reset`, `detail`, `cachedump` and the histogram of `sizes` are no lists of lines: they are
/// commands of their own.
pub(crate) fn lines(service: &Service<'_>, topic: &[u8], emit: &mut Emit<'_>) -> bool {
    let mut lines = Lines { service, emit };
    match topic {
        b"" => lines.general(),
        b"settings" => lines.settings(),
        b"items" => lines.items(),
        b"slabs" => lines.slabs(),
        b"sizes" => lines.text("sizes_status", "disabled"),
        b"conns" => lines.conns(),
        b"extstore" => lines.flash_pages(),
        b"larder" => lines.ours(),
        _ => return false,
    }
    true
}

/// Lines on their way to whoever asked.
struct Lines<'a> {
    service: &'a Service<'a>,
    emit: &'a mut Emit<'a>,
}

impl Lines<'_> {
    fn text(&mut self, name: &str, value: &str) {
        (self.emit)(name, value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, itoa::Buffer::new().format(value));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.text(name, if value { "yes" } else { "no" });
    }

    fn numbers(&mut self, values: &[(&str, u64)]) {
        for &(name, value) in values {
            self.number(name, value);
        }
    }
}
