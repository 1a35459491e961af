//! Lines of the text protocols in a connection: finding them, waiting for their data blocks,
//! refusing them.

use larder::Prepared;

use super::upload::{self, Upload};
use super::{Connection, Owed, Progress, State};
use crate::counters::Counter;
use crate::execute::walk::Walk;
use crate::execute::{Announced, Outcome, Value, meta, text as execute};
use crate::protocol::admin::Streams;
use crate::protocol::base64::Decoded;
use crate::protocol::meta::{MetaLine, Verb};
use crate::protocol::reply;
use crate::protocol::text::{
    self, BLOCK_END, Command, KEYS_LINE_BYTES_MAX, Line, Refusal, Retrieve,
};
use crate::service::Service;

/// A line in what was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// Where it begins.
    pub(super) at: usize,
    /// The line with its LF.
    pub(super) text: &'a [u8],
    /// What it means.
    pub(super) line: Line<'a>,
    /// What was received behind it.
    pub(super) behind: &'a [u8],
}

impl<'a> Found<'a> {
    /// The line of legal length at a position of what was received, if it is whole.
    pub(super) fn at(received: &'a [u8], at: usize) -> Option<Self> {
        let rest = received.get(at..)?;
        let (text, behind) = rest.split_at(memchr::memchr(b'\n', rest)? + 1);
        (!is_too_long(text)).then(|| Self {
            at,
            text,
            line: text::parse(text),
            behind,
        })
    }

    /// Where the line ends.
    pub(super) const fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Whether it is a `get` or `gets` of one key.
    pub(super) fn is_single_get(&self) -> bool {
        let Line::Command(Command::Retrieve(line)) = self.line else {
            return false;
        };
        line.options.exptime.is_none() && line.single_key().is_some()
    }

    /// Whether it is a retrieval whose reply carries the cas unique.
    pub(super) const fn wants_cas(&self) -> bool {
        matches!(self.line, Line::Command(Command::Retrieve(line)) if line.options.with_cas)
    }

    /// Where the next request begins, as far as that can be told before this one is executed: only for
    /// commands on keys.
    pub(super) fn request_end(&self) -> Option<usize> {
        self.line.key()?;
        let block_bytes = self.line.block_bytes().map(|bytes| bytes + BLOCK_END.len());
        Some(self.end() + block_bytes.unwrap_or(0))
    }
}

fn is_too_long(line: &[u8]) -> bool {
    // Cheap first: most lines are short.
    line.len() > text::KEY_BYTES_MAX && line.len() > text::line_bytes_max(line)
}

impl Connection {
    /// Looks for a line at the start of `rest` and executes it, and with it what follows.
    pub(super) fn line(
        &mut self,
        service: &Service<'_>,
        rest: &[u8],
        output: &mut Vec<u8>,
    ) -> Progress {
        let scanned = std::mem::take(&mut self.scanned_bytes);
        self.needed_bytes = 0;
        let unscanned = rest.get(scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unscanned) else {
            return self.incomplete_line(rest, output);
        };
        let (text, behind) = rest.split_at(scanned + found + 1);
        if is_too_long(text) {
            return self.too_long(text, output);
        }
        let first = Found {
            at: 0,
            text,
            line: text::parse(text),
            behind,
        };
        self.lines(service, first, rest, output)
    }

    /// Executes a line. `item` is its key's, if that was prepared.
    pub(super) fn execute_line(
        &mut self,
        service: &Service<'_>,
        found: &Found<'_>,
        item: Option<&Prepared<'_, '_>>,
        output: &mut Vec<u8>,
    ) -> Progress {
        log::debug!("<{}", found.text.escape_ascii());
        match found.line {
            Line::Command(Command::Store(store)) => {
                self.store(service, found, Announced::Text(&store), item, output)
            }
            Line::Meta(line) => self.meta(service, found, line, item, output),
            Line::Command(command) => {
                match execute::execute(service, command, output) {
                    Outcome::Done => {}
                    Outcome::Quit => {
                        self.has_quit = true;
                        self.state = State::Closed;
                    }
                    Outcome::KeysLeft { position } => self.interrupt(command, position),
                    Outcome::Walk(purpose) => {
                        self.state = State::Walk(Walk::new(service, purpose, output));
                    }
                    Outcome::Watch(streams) => self.watch(service, streams, output),
                }
                Progress::More(found.text.len())
            }
            Line::Refused(Refusal {
                reply,
                swallow_bytes,
            }) => {
                self.refuse(reply, swallow_bytes, output);
                Progress::More(found.text.len())
            }
            Line::Hangup => {
                self.state = State::Closed;
                Progress::More(found.text.len())
            }
        }
    }

    fn incomplete_line(&mut self, rest: &[u8], output: &mut Vec<u8>) -> Progress {
        if is_too_long(rest) {
            return self.too_long(rest, output);
        }
        if self.gives_up {
            reply::fixed(output, reply::NO_MEMORY_READING);
            self.state = State::Closed;
            return Progress::Stopped;
        }
        self.scanned_bytes = rest.len();
        Progress::Starved
    }

    /// Ends the conversation over a line that is too long. Only a line of keys gets a word first:
    /// the rest is not from a client that could read one.
    fn too_long(&mut self, line: &[u8], output: &mut Vec<u8>) -> Progress {
        if text::line_bytes_max(line) == KEYS_LINE_BYTES_MAX {
            reply::fixed(output, reply::LINE_TOO_LONG);
        }
        self.state = State::Closed;
        Progress::Stopped
    }

    /// Executes a line of the meta protocol.
    fn meta(
        &mut self,
        service: &Service<'_>,
        found: &Found<'_>,
        line: MetaLine<'_>,
        item: Option<&Prepared<'_, '_>>,
        output: &mut Vec<u8>,
    ) -> Progress {
        let line_bytes = found.text.len();
        let mut decoded = Decoded::new();
        let request = match line.parse(&mut decoded) {
            Ok(request) => request,
            Err(Refusal {
                reply,
                swallow_bytes,
            }) => {
                self.refuse(reply, swallow_bytes, output);
                return Progress::More(line_bytes);
            }
        };
        match line.verb {
            Verb::Store => {
                let announced = Announced::Meta(&request);
                return self.store(service, found, announced, item, output);
            }
            Verb::Get => meta::get(service, &request, item, output),
            Verb::Delete => meta::delete(service, &request, output),
            Verb::Count => meta::count(service, &request, output),
            Verb::Inspect => meta::inspect(service, &request, output),
        }
        Progress::More(line_bytes)
    }

    /// Executes a storage command once its data block is there.
    fn store(
        &mut self,
        service: &Service<'_>,
        found: &Found<'_>,
        announced: Announced<'_>,
        item: Option<&Prepared<'_, '_>>,
        output: &mut Vec<u8>,
    ) -> Progress {
        let line_bytes = found.text.len();
        let block_bytes = announced.value_bytes() + BLOCK_END.len();
        let noreply = announced.noreply();
        if !announced.admit(service) {
            self.refuse((!noreply).then_some(reply::TOO_LARGE), block_bytes, output);
            return Progress::More(line_bytes);
        }
        let Some(block) = found.behind.get(..block_bytes) else {
            let needed_bytes = upload::bytes_needed(&announced);
            if needed_bytes < block_bytes && found.behind.len() >= needed_bytes {
                if let Some(upload) = Upload::begin(service, found.text, &announced) {
                    self.state = State::Upload(upload);
                    return Progress::More(line_bytes);
                }
            } else if !self.gives_up {
                self.needed_bytes = line_bytes + needed_bytes;
                return Progress::Starved;
            }
            if self.gives_up {
                service.count(Counter::StoreNoMemory);
                announced.forget_overwritten(service);
                let reply = (!noreply).then_some(reply::NO_MEMORY_STORING);
                self.refuse(reply, block_bytes, output);
                return Progress::More(line_bytes);
            }
            self.needed_bytes = line_bytes + block_bytes;
            return Progress::Starved;
        };
        match block.strip_suffix(BLOCK_END) {
            Some(value) => announced.store(service, item, Value::Whole(value), output),
            None if noreply => {}
            None => reply::fixed(output, reply::BAD_DATA_CHUNK),
        }
        Progress::More(line_bytes + block_bytes)
    }

    /// Replies to a refused line, after the data block that belongs to it.
    fn refuse(&mut self, reply: Option<&'static str>, bytes: usize, output: &mut Vec<u8>) {
        self.skip(bytes, reply.map_or(Owed::Nothing, Owed::Line), output);
    }

    /// Becomes a connection that sends log lines, if there are not too many.
    fn watch(&mut self, service: &Service<'_>, streams: Streams, output: &mut Vec<u8>) {
        let bytes_max = service.shared.config.watcher_bytes_max;
        match service.shared.watchers.add(streams, bytes_max) {
            Some(watcher) => {
                reply::fixed(output, reply::OK);
                self.state = State::Watch(watcher);
            }
            None => reply::fixed(output, reply::WATCHERS_TOO_MANY),
        }
    }

    fn interrupt(&mut self, command: Command<'_>, position: usize) {
        if let Command::Retrieve(Retrieve { keys, options, .. }) = command {
            let keys = keys.get(position..).unwrap_or_default().to_vec();
            self.state = State::Keys {
                keys,
                position: 0,
                options,
            };
        }
    }
}
