//! The meta protocol: `mg ms md ma mn me`. One line to one request; total and pure.
//!
//! ```text
//! mg <key> <flag>*          a flag is a letter, often with an argument glued to it: T30, Oabc
//! ms <key> <bytes> <flag>*  and a data block
//! ```
//! All commands share one set of flags: what one of them knows, the others take and ignore, but its
//! argument is checked. The reply repeats some flags in the order of the request; for that the
//! request keeps its flags as text.

use super::base64::Decoded;
use super::number::{strict_i32, strict_u32, strict_u64};
use super::reply;
use super::text::{BLOCK_END, KEY_BYTES_MAX, Refusal, announced_bytes, next_token, tokens};

/// Most tokens of a line, command and key included.
const TOKENS_MAX: usize = 20;
/// Tokens beyond these are not even looked at.
const TOKENS_SEEN_MAX: usize = 23;
/// The longest opaque, its `O` included.
const OPAQUE_BYTES_MAX: usize = 32;

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Store,
    /// `md`
    Delete,
    /// `ma`
    Count,
    /// `me`
    Inspect,
}

/// A line of the meta protocol, not yet understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetaLine<'a> {
    pub(crate) verb: Verb,
    /// The key as it stands in the line, in base64 or not; none in a line without one.
    pub(super) key: Option<&'a [u8]>,
    /// What stands behind it.
    behind: &'a [u8],
}

/// A request, understood. Its key is in the line, or in what the line's base64 was decoded to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) key: &'a [u8],
    /// The key came in base64.
    pub(crate) key_is_binary: bool,
    /// Length of the data block of `ms`, without its end.
    pub(crate) value_bytes: usize,
    /// The flags as they came, separated by spaces.
    pub(crate) flags: &'a [u8],
    /// One bit for each letter that was given, from `A` on.
    given: u64,
    /// `M`, for the verbs that know it.
    pub(crate) mode: Option<u8>,
    /// `C`
    pub(crate) cas: Option<u64>,
    /// `E`
    pub(crate) token: Option<u64>,
    /// `T`
    pub(crate) exptime: Option<i32>,
    /// `N`
    pub(crate) vivify: Option<i32>,
    /// `R`
    pub(crate) recache: Option<i32>,
    /// `F`
    pub(crate) client_flags: u32,
    /// `J`
    pub(crate) initial: u64,
    /// `D`
    pub(crate) delta: u64,
}

impl Request<'_> {
    /// Whether a flag was given.
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.given >> (flag - b'A') & 1 != 0
    }
}

impl<'a> MetaLine<'a> {
    /// The line of a command word with `rest` behind it.
    pub(crate) fn new(verb: Verb, rest: &'a [u8]) -> Self {
        let (key, behind) = match next_token(rest) {
            Some((key, behind)) => (Some(key), behind),
            None => (None, rest),
        };
        Self { verb, key, behind }
    }

    /// What the line announces as the length of its data block, if it has one.
    pub(super) fn block_bytes(&self) -> Option<usize> {
        if self.verb != Verb::Store {
            return None;
        }
        announced_bytes(next_token(self.behind)?.0)
    }

    /// The request that the line makes. A key in base64 is decoded into `decoded`.
    pub(crate) fn parse<'d>(self, decoded: &'d mut Decoded) -> Result<Request<'d>, Refusal>
    where
        'a: 'd,
    {
        let Self { verb, key, behind } = self;
        let bad_line = refusal(reply::BAD_COMMAND_LINE, 0);
        let arguments = if verb == Verb::Store { 2 } else { 1 };
        let flags_seen = TOKENS_SEEN_MAX - 1 - arguments;
        let (key, mut flags) = (key.ok_or(bad_line)?, behind);
        let mut announced = None;
        if verb == Verb::Store {
            let (bytes, behind) = next_token(flags).ok_or(bad_line)?;
            flags = behind;
            announced = Some(bytes);
        }
        let mut flags_count = 0;
        for token in tokens(flags).take(flags_seen) {
            if !may_be_flag(token) {
                return Err(bad_line);
            }
            flags_count += 1;
        }
        let mut request = Request {
            key,
            key_is_binary: false,
            value_bytes: 0,
            flags,
            given: 0,
            mode: None,
            cas: None,
            token: None,
            exptime: None,
            vivify: None,
            recache: None,
            client_flags: 0,
            initial: 0,
            delta: 1,
        };
        let mut block_bytes = 0;
        if let Some(announced) = announced {
            // Nobody can tell how long the block is if this is no number: it is read as commands.
            request.value_bytes = announced_bytes(announced).ok_or(bad_line)?;
            block_bytes = request.value_bytes + BLOCK_END.len();
        }
        let checked = if verb == Verb::Inspect {
            request.inspect(decoded)
        } else {
            let too_many = flags_count > TOKENS_MAX - (1 + arguments);
            request.check(verb, too_many, decoded)
        };
        match checked {
            Ok(()) => {}
            Err(reply) => return Err(refusal(reply, block_bytes)),
        }
        if request.key_is_binary {
            request.key = decoded.bytes();
        }
        Ok(request)
    }
}

impl Request<'_> {
    /// `me` takes `b` as its first flag and looks at no other.
    fn inspect(&mut self, decoded: &mut Decoded) -> Result<(), &'static str> {
        let is_binary = tokens(self.flags).next() == Some(b"b");
        if self.key.len() > KEY_BYTES_MAX || is_binary && decoded.decode(self.key).is_none() {
            return Err(reply::BAD_COMMAND_LINE);
        }
        self.key_is_binary = is_binary;
        Ok(())
    }

    /// Reads the flags, which may be too many.
    fn check(
        &mut self,
        verb: Verb,
        too_many: bool,
        decoded: &mut Decoded,
    ) -> Result<(), &'static str> {
        let one_for_all = |reply| match verb {
            Verb::Count => reply::INVALID_OR_DUPLICATE_FLAG,
            _ => reply,
        };
        let opaque_bytes = self.read_flags(too_many, decoded).map_err(one_for_all)?;
        match (verb, self.mode) {
            (_, None)
            | (Verb::Store, Some(b'E' | b'A' | b'P' | b'R' | b'S'))
            | (Verb::Count, Some(b'I' | b'+' | b'D' | b'-')) => {}
            (Verb::Store, Some(_)) => return Err(reply::INVALID_STORE_MODE),
            (Verb::Count, Some(_)) => return Err(reply::INVALID_COUNT_MODE),
            _ => {}
        }
        if opaque_bytes > OPAQUE_BYTES_MAX {
            return Err(reply::OPAQUE_TOO_LONG);
        }
        Ok(())
    }

    /// Reads every flag; returns how long the opaque is. Of several wrong arguments the last one is
    /// told, as memcached does.
    fn read_flags(&mut self, too_many: bool, decoded: &mut Decoded) -> Result<usize, &'static str> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(reply::BAD_COMMAND_LINE);
        }
        if too_many {
            return Err(reply::TOO_MANY_FLAGS);
        }
        let mut opaque_bytes = 0;
        let mut failed = false;
        let mut told = reply::BAD_COMMAND_LINE;
        for token in tokens(self.flags) {
            let Some((&flag, argument)) = token.split_first() else {
                continue;
            };
            if !flag.is_ascii_alphabetic() {
                return Err(reply::INVALID_FLAG);
            }
            let bit = 1 << (flag - b'A');
            if self.given & bit != 0 {
                return Err(reply::DUPLICATE_FLAG);
            }
            self.given |= bit;
            if flag == b'O' {
                opaque_bytes = token.len();
            }
            if let Err(reply) = self.read_flag(flag, argument, decoded)? {
                failed = true;
                told = reply.unwrap_or(told);
            }
        }
        if failed { Err(told) } else { Ok(opaque_bytes) }
    }

    /// Reads one flag: the outer error ends the line at once, the inner one is told unless a later
    /// flag has another (or has none of its own to tell).
    fn read_flag(
        &mut self,
        flag: u8,
        argument: &[u8],
        decoded: &mut Decoded,
    ) -> Result<Result<(), Option<&'static str>>, &'static str> {
        const BAD_TOKEN: Option<&str> = Some(reply::BAD_TOKEN);
        let set = |place: &mut Option<i32>| {
            *place = number_i32(argument);
            place.map(drop).ok_or(BAD_TOKEN)
        };
        Ok(match flag {
            b'b' => {
                self.key_is_binary = true;
                decoded.decode(self.key).ok_or(Some(reply::UNDECODABLE_KEY))
            }
            b'N' => set(&mut self.vivify),
            b'T' => set(&mut self.exptime),
            b'R' => set(&mut self.recache),
            b'C' | b'E' => {
                let number = number_u64(argument);
                let place = if flag == b'C' {
                    &mut self.cas
                } else {
                    &mut self.token
                };
                *place = number;
                number.map(drop).ok_or(BAD_TOKEN)
            }
            b'F' => keep(&mut self.client_flags, number_u32(argument)).ok_or(None),
            b'J' => {
                keep(&mut self.initial, number_u64(argument)).ok_or(Some(reply::INVALID_INITIAL))
            }
            b'D' => {
                keep(&mut self.delta, number_u64(argument)).ok_or(Some(reply::INVALID_META_DELTA))
            }
            b'M' => {
                // Only the first character counts; none at all is a mode that nobody knows.
                self.mode = Some(argument.first().copied().unwrap_or(b' '));
                Ok(())
            }
            b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'v' | b'h' | b'l' | b'u'
            | b'q' | b'x' | b'I' => Ok(()),
            _ => return Err(reply::INVALID_FLAG),
        })
    }
}

/// A token that starts with anything else makes the whole line unreadable.
fn may_be_flag(token: &[u8]) -> bool {
    matches!(token.first(), Some(b'A'..=b'z' | b'0'..=b'9'))
}

fn number_i32(argument: &[u8]) -> Option<i32> {
    Some(argument)
        .filter(|text| !text.is_empty())
        .and_then(strict_i32)
}

fn number_u32(argument: &[u8]) -> Option<u32> {
    Some(argument)
        .filter(|text| !text.is_empty())
        .and_then(strict_u32)
}

fn number_u64(argument: &[u8]) -> Option<u64> {
    Some(argument)
        .filter(|text| !text.is_empty())
        .and_then(strict_u64)
}

fn keep<T: Copy>(place: &mut T, number: Option<T>) -> Option<()> {
    *place = number?;
    Some(())
}

const fn refusal(reply: &'static str, swallow_bytes: usize) -> Refusal {
    Refusal {
        reply: Some(reply),
        swallow_bytes,
    }
}
