//! What a command line asks for.
//!
//! memcached reads its command line with getopt: short flags in clusters with their values attached
//! or behind, long ones by any unambiguous beginning. lexopt splits arguments that way; which flags
//! there are, with values, bounds and words for the help, is one table (flags.rs), and another for
//! `-o` (extended.rs). No crate that declares flags knows lists of suboptions or long names by their
//! beginnings, and memcached's exit codes differ from mistake to mistake.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::Arg;

use super::flags::{FLAGS, Flag, Takes};
use super::{Config, checks, help};

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// To serve.
    Serve(Box<Launch>),
    /// `-h`: this text.
    Help(String),
    /// `-V`: this text.
    Version(String),
    /// `-i`: this text.
    License(String),
}

/// How to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Launch {
    /// The server.
    pub config: Config,
    /// `-m`, in bytes.
    pub memory_bytes: usize,
    /// What the process does besides serving.
    pub process: Process,
    /// The name that it was started under.
    pub identity: Identity,
    /// What is odd and not wrong, a line each.
    pub warnings: Vec<String>,
}

/// What a process does to itself before it serves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Process {
    /// `-d`: go on in the background.
    pub daemon: bool,
    /// `-P`: where its id is written.
    pub pid_file: Option<PathBuf>,
    /// `-u`: whom it becomes if it is started by root.
    pub user: Option<String>,
    /// `-r`: it may leave a core dump of any size.
    pub core_dumps: bool,
    /// `-k`: its memory is not swapped.
    pub locks_memory: bool,
    /// `-A`: clients may end it.
    pub allows_shutdown: bool,
}

/// Whose defaults hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Ours: loopback unless told otherwise.
    Larderd,
    /// memcached's throughout, because the program was started under its name.
    Memcached,
}

/// A command line that asks for nothing that can be done: the message names the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    pub(super) message: String,
    /// What memcached exits with for the same mistake.
    pub(super) exit_code: u8,
}

/// Exit code of settings that do not go together, and of some values (`EX_USAGE`).
pub(super) const EXIT_USAGE: u8 = 64;
/// Exit code of an address that cannot be listened on (`EX_OSERR`).
pub(super) const EXIT_OS: u8 = 71;
/// Exit code of any other mistake on the command line.
pub(super) const EXIT_ERROR: u8 = 1;

/// A command line as far as it has been read.
pub(super) struct Draft {
    pub(super) launch: Launch,
    /// `-l`, in order.
    pub(super) listen: Vec<String>,
    /// `-o slab_sizes`, which is looked at last.
    pub(super) slab_sizes: Option<String>,
    /// `-o ssl_kernel_tls`.
    pub(super) kernel_tls: bool,
    pub(super) port_given: bool,
    pub(super) protocol_given: bool,
    /// `-h`, `-V` or `-i`: the rest is not looked at.
    pub(super) answer: Option<Invocation>,
}

impl Invocation {
    /// Understands a command line, program name first.
    ///
    /// # Errors
    /// An unknown flag, a value out of its range, or settings that do not go together.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut args = args.into_iter();
        let name = args.next().unwrap_or_default();
        let mut draft = Draft::new(Identity::of(Path::new(&name)));
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(argument) = parser.next()? {
            let (flag, shown) = match argument {
                Arg::Short(short) => (by_short(short), format!("-{short}")),
                Arg::Long(long) => {
                    let shown = format!("--{long}");
                    (by_long(long)?, shown)
                }
                Arg::Value(value) => {
                    let value = value.to_string_lossy();
                    return Err(error(EXIT_ERROR, format!("unexpected argument {value:?}")));
                }
            };
            let Some(flag) = flag else {
                return Err(error(EXIT_ERROR, format!("unknown flag {shown}")));
            };
            draft.apply(flag, &shown, &mut parser)?;
            if let Some(answer) = draft.answer {
                return Ok(answer);
            }
        }
        checks::finish(draft).map(|launch| Self::Serve(Box::new(launch)))
    }
}

impl Draft {
    fn new(identity: Identity) -> Self {
        Self {
            launch: Launch {
                config: Config::default(),
                memory_bytes: 64 << 20,
                process: Process::default(),
                identity,
                warnings: Vec::new(),
            },
            listen: Vec::new(),
            slab_sizes: None,
            kernel_tls: false,
            port_given: false,
            protocol_given: false,
            answer: None,
        }
    }

    fn apply(
        &mut self,
        flag: &Flag,
        shown: &str,
        parser: &mut lexopt::Parser,
    ) -> Result<(), UsageError> {
        let value = match flag.takes {
            Takes::Nothing => String::new(),
            // `--verbose=2` is legal, and its value is ignored; in `-vv` the second is no value.
            Takes::Ignored => {
                if shown.starts_with("--") {
                    let _ = parser.optional_value();
                }
                String::new()
            }
            Takes::Value(name) => {
                let value = parser
                    .value()
                    .map_err(|_| error(EXIT_ERROR, format!("{shown} needs a value: {name}")))?;
                value
                    .into_string()
                    .map_err(|value| error(EXIT_ERROR, format!("{shown}: {value:?} is not text")))?
            }
        };
        (flag.apply)(self, value.trim_ascii_start())
            .map_err(|refused| error(flag.exit_code, format!("{shown} {refused}")))
    }

    pub(super) fn help(&mut self) {
        self.answer = Some(Invocation::Help(help::text(self.launch.identity)));
    }

    pub(super) fn version(&mut self) {
        let version = match self.launch.identity {
            Identity::Larderd => concat!("larderd ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
            Identity::Memcached => format!("memcached {}\n", crate::protocol::reply::WIRE_VERSION),
        };
        self.answer = Some(Invocation::Version(version));
    }

    pub(super) fn license(&mut self) {
        let text = concat!(
            "larderd is licensed under the MIT license or the Apache License 2.0, at your option.\n\n",
            include_str!("../../../../LICENSE-MIT")
        );
        self.answer = Some(Invocation::License(text.to_owned()));
    }
}

impl Identity {
    fn of(program: &Path) -> Self {
        if program.file_name().is_some_and(|name| name == "memcached") {
            Self::Memcached
        } else {
            Self::Larderd
        }
    }
}

fn by_short(short: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == short)
}

/// The flag with this long name, or the only one whose name begins so.
fn by_long(long: &str) -> Result<Option<&'static Flag>, UsageError> {
    if let Some(flag) = FLAGS.iter().find(|flag| flag.has_long(long)) {
        return Ok(Some(flag));
    }
    let mut beginning = FLAGS.iter().filter(|flag| flag.long.starts_with(long));
    match (beginning.next(), beginning.next()) {
        (Some(first), Some(second)) => {
            let (first, second) = (first.long, second.long);
            let message = format!("--{long} is ambiguous: --{first}, --{second}");
            Err(error(EXIT_ERROR, message))
        }
        (flag, _) => Ok(flag),
    }
}

pub(super) fn error(exit_code: u8, message: String) -> UsageError {
    UsageError { message, exit_code }
}

impl UsageError {
    /// The exit code for it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self {
            message: error.to_string(),
            exit_code: EXIT_ERROR,
        }
    }
}
