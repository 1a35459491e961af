//! The classic text protocol: one line to one command. Total and pure: every line has an answer.
//!
//! A line ends at its LF; one CR before it is dropped. The command word is everything up to the
//! first space; arguments are separated by runs of spaces, and any other byte may stand in a key.

use super::admin::{self, Admin};
use super::meta::{MetaLine, Verb};
use super::number::{loose_exptime, loose_flags, strict_i32, strict_u32, strict_u64};
use super::reply;

/// The longest key on the wire, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 250;
/// The longest line of a retrieval command, in bytes: it is kept whole until it is answered.
pub(crate) const KEYS_LINE_BYTES_MAX: usize = 8 << 20;
/// The longest line of any other known command, in bytes.
const LINE_BYTES_MAX: usize = 16 << 10;
/// The longest line that starts with no known command, in bytes.
const JUNK_BYTES_MAX: usize = 2048;
/// Lines shorter than this, line end included, are refused unread.
const LINE_BYTES_MIN: usize = 4;
/// Larger announcements are malformed, not too large.
const VALUE_BYTES_ANNOUNCED_MAX: u32 = i32::MAX as u32 - 2;

/// One line, understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// A command to execute. A storage command's data block follows the line.
    Command(Command<'a>),
    /// A line of the meta protocol, to be understood by its own rules.
    Meta(MetaLine<'a>),
    /// A line that is answered without looking at the cache.
    Refused(Refusal),
    /// A line that ends the connection without a word.
    Hangup,
}

impl<'a> Line<'a> {
    /// The first key of a command on keys. What is in base64 is not decoded.
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Command(Command::Retrieve(line)) => Some(line.first),
            Self::Command(Command::Store(line)) => Some(line.key),
            Self::Command(
                Command::Delete { key, .. }
                | Command::Count { key, .. }
                | Command::Touch { key, .. },
            ) => Some(key),
            Self::Meta(line) => line.key,
            Self::Command(_) | Self::Refused(_) | Self::Hangup => None,
        }
    }

    /// Length of the data block that follows a storage line, without its end. Of a line that is going to
    /// be refused it may be wrong.
    pub(crate) fn block_bytes(&self) -> Option<usize> {
        match self {
            Self::Command(Command::Store(line)) => Some(line.value_bytes),
            Self::Meta(line) => line.block_bytes(),
            _ => None,
        }
    }
}

/// What a malformed line gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The reply; `None` where the client asked for none.
    pub(crate) reply: Option<&'static str>,
    /// Bytes behind the line that belong to it and are skipped before the reply.
    pub(crate) swallow_bytes: usize,
}

/// A command, borrowing its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Command<'a> {
    Retrieve(Retrieve<'a>),
    Store(StoreLine<'a>),
    Delete {
        key: &'a [u8],
        noreply: bool,
    },
    Count {
        key: &'a [u8],
        delta: u64,
        direction: Direction,
        noreply: bool,
    },
    Touch {
        key: &'a [u8],
        exptime: i32,
        noreply: bool,
    },
    FlushAll {
        /// `None` if it is no number: told only to who may flush.
        delay: Option<i32>,
        noreply: bool,
    },
    Verbosity {
        level: u32,
        noreply: bool,
    },
    Admin {
        admin: Admin<'a>,
        noreply: bool,
    },
    Version,
    /// `mn`: says that everything before it has been answered.
    MetaNoop,
    Quit,
}

/// `get`, `gets`, `gat` and `gats`: at least one key, all of legal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retrieve<'a> {
    /// Keys, separated by spaces; the first begins at once.
    pub(crate) keys: &'a [u8],
    /// The first of them: found once, for all who ask.
    first: &'a [u8],
    pub(crate) options: RetrieveOptions,
}

impl<'a> Retrieve<'a> {
    pub(crate) fn new(keys: &'a [u8], options: RetrieveOptions) -> Self {
        let (first, _) = split_word(keys);
        Self {
            keys,
            first,
            options,
        }
    }

    /// The only key, if there is but one and nothing behind it.
    pub(crate) fn single_key(&self) -> Option<&'a [u8]> {
        let is_single = self.first.len() == self.keys.len() && !self.first.is_empty();
        is_single.then_some(self.first)
    }
}

/// What is done for each key of a retrieval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetrieveOptions {
    /// The reply carries the cas unique.
    pub(crate) with_cas: bool,
    /// The new exptime of `gat` and `gats`.
    pub(crate) exptime: Option<i32>,
}

/// The line of a storage command; the data block of `value_bytes` and CR LF follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreLine<'a> {
    pub(crate) verb: StoreVerb,
    pub(crate) key: &'a [u8],
    pub(crate) flags: u32,
    pub(crate) exptime: i32,
    pub(crate) value_bytes: usize,
    pub(crate) noreply: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreVerb {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    /// With the cas unique that the item must carry.
    Cas(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// CR LF behind a data block.
pub(crate) const BLOCK_END: &[u8] = b"\r\n";

/// The longest line that may begin with `prefix`, its line end not counted. What is longer closes
/// the connection, however it arrives.
pub(crate) fn line_bytes_max(prefix: &[u8]) -> usize {
    let word = prefix
        .split(|&byte| byte == b' ')
        .next()
        .unwrap_or_default();
    match word {
        b"get" | b"gets" | b"gat" | b"gats" => KEYS_LINE_BYTES_MAX,
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" | b"delete" | b"incr"
        | b"decr" | b"touch" | b"flush_all" | b"verbosity" | b"version" | b"quit" | b"mg"
        | b"ms" | b"md" | b"ma" | b"me" | b"mn" => LINE_BYTES_MAX,
        _ if admin::is_admin(word) => LINE_BYTES_MAX,
        _ => JUNK_BYTES_MAX,
    }
}

/// Understands one line, given with its LF.
pub(crate) fn parse(line: &[u8]) -> Line<'_> {
    if line.len() < LINE_BYTES_MIN {
        return refused(reply::BAD_COMMAND_LINE);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (word, rest) = split_short_word(line);
    match word {
        b"get" => retrieve(
            rest,
            RetrieveOptions {
                with_cas: false,
                exptime: None,
            },
        ),
        b"gets" => retrieve(
            rest,
            RetrieveOptions {
                with_cas: true,
                exptime: None,
            },
        ),
        b"gat" => touch_and_retrieve(rest, false),
        b"gats" => touch_and_retrieve(rest, true),
        b"mg" => meta(Verb::Get, rest),
        b"ms" => meta(Verb::Store, rest),
        b"md" => meta(Verb::Delete, rest),
        b"ma" => meta(Verb::Count, rest),
        b"me" => meta(Verb::Inspect, rest),
        b"mn" => Line::Command(Command::MetaNoop),
        b"set" => store(rest, StoreVerb::Set),
        b"add" => store(rest, StoreVerb::Add),
        b"replace" => store(rest, StoreVerb::Replace),
        b"append" => store(rest, StoreVerb::Append),
        b"prepend" => store(rest, StoreVerb::Prepend),
        b"cas" => store(rest, StoreVerb::Cas(0)),
        b"delete" => delete(rest),
        b"incr" => count(rest, Direction::Up),
        b"decr" => count(rest, Direction::Down),
        b"touch" => touch(rest),
        b"flush_all" => flush_all(rest),
        b"verbosity" => verbosity(rest),
        b"version" => Line::Command(Command::Version),
        b"quit" => Line::Command(Command::Quit),
        _ if admin::is_admin(word) => operator(word, rest),
        _ => unknown(line),
    }
}

fn operator<'a>(word: &[u8], rest: &'a [u8]) -> Line<'a> {
    // Those who ask for something to look at get it.
    let noreply = !matches!(word, b"stats" | b"watch") && noreply(rest);
    match admin::parse(word, rest) {
        Ok(admin) => Line::Command(Command::Admin { admin, noreply }),
        Err(reply) => refused_unless(noreply, reply),
    }
}

/// The next token of `rest`, and what is behind it.
pub(crate) fn next_token(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = rest.iter().position(|&byte| byte != b' ')?;
    Some(split_word(rest.get(start..)?))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    text.split_at(end)
}

/// As `split_word`, for words so short that looking byte by byte finds the end soonest.
fn split_short_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| byte == b' ');
    text.split_at(end.unwrap_or(text.len()))
}

/// The tokens of `rest`, most of which are short.
pub(crate) fn tokens(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let (token, behind) = split_short_word(rest.get(start..)?);
        rest = behind;
        Some(token)
    })
}

fn last_token(line: &[u8]) -> &[u8] {
    let end = line
        .iter()
        .rposition(|&byte| byte != b' ')
        .map_or(0, |last| last + 1);
    let line = line.get(..end).unwrap_or_default();
    let start = memchr::memrchr(b' ', line).map_or(0, |space| space + 1);
    line.get(start..).unwrap_or_default()
}

/// Whether the client wants no reply: `noreply`, and only as the last token.
fn noreply(rest: &[u8]) -> bool {
    last_token(rest) == b"noreply"
}

fn refused<'a>(reply: &'static str) -> Line<'a> {
    Line::Refused(Refusal {
        reply: Some(reply),
        swallow_bytes: 0,
    })
}

fn refused_unless<'a>(noreply: bool, reply: &'static str) -> Line<'a> {
    Line::Refused(Refusal {
        reply: (!noreply).then_some(reply),
        swallow_bytes: 0,
    })
}

fn meta(verb: Verb, rest: &[u8]) -> Line<'_> {
    Line::Meta(MetaLine::new(verb, rest))
}

fn unknown(line: &[u8]) -> Line<'_> {
    let last = last_token(line);
    if last.starts_with(b"HTTP/") && last.len() < line.trim_ascii_start().len() {
        return Line::Hangup;
    }
    refused_unless(noreply(line), reply::ERROR)
}

fn retrieve(keys: &[u8], options: RetrieveOptions) -> Line<'_> {
    let Some(start) = keys.iter().position(|&byte| byte != b' ') else {
        return refused(reply::BAD_COMMAND_LINE);
    };
    let keys = keys.get(start..).unwrap_or_default();
    // Cheap first: most lines have one short key.
    if keys.len() > KEY_BYTES_MAX && has_long_key(keys) {
        let quiet = options.exptime.is_none() && noreply(keys);
        return refused_unless(quiet, reply::BAD_COMMAND_LINE);
    }
    Line::Command(Command::Retrieve(Retrieve::new(keys, options)))
}

fn has_long_key(mut keys: &[u8]) -> bool {
    while let Some((key, behind)) = next_token(keys) {
        if key.len() > KEY_BYTES_MAX {
            return true;
        }
        keys = behind;
    }
    false
}

fn touch_and_retrieve(rest: &[u8], with_cas: bool) -> Line<'_> {
    let Some((exptime, keys)) = next_token(rest) else {
        return refused(reply::BAD_COMMAND_LINE);
    };
    if next_token(keys).is_none() {
        return refused(reply::BAD_COMMAND_LINE);
    }
    let exptime = strict_i32(exptime);
    if exptime.is_none() {
        return refused(reply::INVALID_EXPTIME);
    }
    retrieve(keys, RetrieveOptions { with_cas, exptime })
}

fn store(rest: &[u8], verb: StoreVerb) -> Line<'_> {
    let Some((key, behind)) = next_token(rest) else {
        return refused(reply::BAD_COMMAND_LINE);
    };
    let mut arguments = tokens(behind);
    let [Some(flags), Some(exptime), Some(value_bytes)] = [(); 3].map(|()| arguments.next()) else {
        return refused(reply::BAD_COMMAND_LINE);
    };
    let Some(value_bytes) = announced_bytes(value_bytes) else {
        // Nobody can tell how long the block is, so it is read as commands.
        return refused(reply::BAD_COMMAND_LINE);
    };
    let noreply = noreply(rest);
    let verb = match verb {
        StoreVerb::Cas(_) => arguments.next().and_then(strict_u64).map(StoreVerb::Cas),
        other => Some(other),
    };
    let (Some(verb), Some(flags), Some(exptime), true) = (
        verb,
        loose_flags(flags),
        loose_exptime(exptime),
        key.len() <= KEY_BYTES_MAX,
    ) else {
        let reply = (!noreply).then_some(reply::BAD_COMMAND_LINE);
        let swallow_bytes = value_bytes + BLOCK_END.len();
        return Line::Refused(Refusal {
            reply,
            swallow_bytes,
        });
    };
    let line = StoreLine {
        verb,
        key,
        flags,
        exptime,
        value_bytes,
        noreply,
    };
    Line::Command(Command::Store(line))
}

/// The length of a data block that a line announces.
pub(super) fn announced_bytes(token: &[u8]) -> Option<usize> {
    let bytes = u32::try_from(strict_i32(token)?).ok()?;
    (bytes <= VALUE_BYTES_ANNOUNCED_MAX).then_some(bytes as usize)
}

fn delete(rest: &[u8]) -> Line<'_> {
    let noreply = noreply(rest);
    match next_token(rest) {
        None => refused(reply::BAD_COMMAND_LINE),
        Some((key, _)) if key.len() > KEY_BYTES_MAX => {
            refused_unless(noreply, reply::BAD_COMMAND_LINE)
        }
        Some((key, _)) => Line::Command(Command::Delete { key, noreply }),
    }
}

/// The key and the argument behind it, of a command that needs both.
fn key_and_argument(rest: &[u8]) -> Result<(&[u8], &[u8]), Line<'_>> {
    let mut arguments = tokens(rest);
    match (arguments.next(), arguments.next()) {
        (Some(key), Some(_)) if key.len() > KEY_BYTES_MAX => {
            Err(refused_unless(noreply(rest), reply::BAD_COMMAND_LINE))
        }
        (Some(key), Some(argument)) => Ok((key, argument)),
        _ => Err(refused(reply::BAD_COMMAND_LINE)),
    }
}

fn count(rest: &[u8], direction: Direction) -> Line<'_> {
    let noreply = noreply(rest);
    let (key, delta) = match key_and_argument(rest) {
        Ok(arguments) => arguments,
        Err(refused) => return refused,
    };
    match strict_u64(delta) {
        Some(delta) => Line::Command(Command::Count {
            key,
            delta,
            direction,
            noreply,
        }),
        None => refused_unless(noreply, reply::INVALID_DELTA),
    }
}

fn touch(rest: &[u8]) -> Line<'_> {
    let noreply = noreply(rest);
    let (key, exptime) = match key_and_argument(rest) {
        Ok(arguments) => arguments,
        Err(refused) => return refused,
    };
    match strict_i32(exptime) {
        Some(exptime) => Line::Command(Command::Touch {
            key,
            exptime,
            noreply,
        }),
        None => refused_unless(noreply, reply::INVALID_EXPTIME),
    }
}

fn flush_all(rest: &[u8]) -> Line<'_> {
    let noreply = noreply(rest);
    let delay = match next_token(rest) {
        None => Some(0),
        Some((b"noreply", behind)) if next_token(behind).is_none() => Some(0),
        Some((delay, _)) => strict_i32(delay),
    };
    Line::Command(Command::FlushAll { delay, noreply })
}

fn verbosity(rest: &[u8]) -> Line<'_> {
    let noreply = noreply(rest);
    match next_token(rest).and_then(|(level, _)| strict_u32(level)) {
        Some(level) => Line::Command(Command::Verbosity { level, noreply }),
        None => refused_unless(noreply, reply::BAD_COMMAND_LINE),
    }
}
