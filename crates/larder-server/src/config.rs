//! Settings of the server, and memcached's flags for them.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value};

/// Settings of a server. Start from `Config::default()` and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// TCP port of every address in `listen` that names none. Default 11211; 0 lets the system
    /// choose one.
    pub port: u16,
    /// Addresses to listen on: `host`, `host:port`, `[v6]:port` or `*` for all. Default 127.0.0.1.
    pub listen: Vec<String>,
    /// Listen on this Unix socket, and on no address. Default none.
    pub unix_socket: Option<PathBuf>,
    /// Most connections at a time. Default 1024.
    pub connections_max: usize,
    /// Worker threads. Default 4; 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Largest item, in bytes, counted as memcached does: key, value and 59 bytes more, 63 if the
    /// flags are not 0. Default 1 MiB.
    pub item_bytes_max: usize,
    /// Bytes that all connections together may hold of requests that have not arrived in full and
    /// of replies that have not been taken. Default 64 MiB. Beyond it, requests that would hold
    /// more are refused.
    pub buffer_bytes_max: usize,
    /// What the `verbosity` command does with its level, 0 to 2. Default nothing: a client does not
    /// change how a service logs.
    pub on_verbosity: Option<fn(u32)>,
}

/// The most worker threads.
pub const THREADS_MAX: usize = 256;

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 11211,
            listen: vec!["127.0.0.1".to_owned()],
            unix_socket: None,
            connections_max: 1024,
            threads: 4,
            item_bytes_max: 1 << 20,
            buffer_bytes_max: 64 << 20,
            on_verbosity: None,
        }
    }
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// To serve.
    Serve {
        /// How.
        config: Config,
        /// `-m`, in bytes.
        memory_bytes: usize,
        /// How often `-v` was given.
        verbosity: u32,
    },
    /// `-h`.
    Help,
    /// `-V`.
    Version,
}

/// A command line that asks for nothing that can be done: the message names the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    message: String,
    /// What memcached exits with for the same mistake.
    exit_code: u8,
}

/// Exit code of a value that is a number but not a possible one (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;
/// Exit code of any other mistake on the command line.
const EXIT_ERROR: u8 = 1;

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

/// What `-h` prints.
pub const HELP: &str = "\
larderd - a memcached server over the Larder cache engine

usage: larderd [flags]

  -p, --port=<num>             TCP port (default 11211)
  -l, --listen=<addr>          address to listen on, or several with commas between them; may be
                               repeated: host, host:port, [v6]:port, * for all
                               (default 127.0.0.1; memcached listens on all)
  -s, --unix-socket=<file>     listen on this Unix socket only
  -m, --memory-limit=<num>     memory for items and index, in megabytes (default 64)
  -c, --conn-limit=<num>       most connections at a time (default 1024)
  -t, --threads=<num>          worker threads (default 4)
  -I, --max-item-size=<num>    largest item, in bytes or with k or m behind it
                               (default 1m, 1k to 1024m, at most half of -m)
  -v, --verbose                say more on stderr: -v events, -vv commands, -vvv everything
  -V, --version                print the version
  -h, --help                   print this
";

const MIB: usize = 1 << 20;
const MEMORY_MIB_MAX: usize = larder::LIMIT_BYTES_MAX / MIB;
const ITEM_BYTES_MIN: usize = 1024;
const ITEM_BYTES_MAX: usize = 1 << 30;

impl Invocation {
    /// Understands a command line, program name first.
    ///
    /// # Errors
    /// An unknown flag, or a value out of its range.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut config = Config::default();
        let mut memory_mib = 64;
        let mut verbosity = 0;
        let mut listen: Vec<String> = Vec::new();
        let mut parser = lexopt::Parser::from_iter(args);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('p') | Long("port") => config.port = port(&text(&mut parser)?)?,
                Short('l') | Long("listen") => listen.extend(addresses(&text(&mut parser)?)),
                Short('s') | Long("unix-socket") => {
                    config.unix_socket = Some(PathBuf::from(parser.value()?));
                }
                Short('m') | Long("memory-limit") => {
                    memory_mib = number("-m", &text(&mut parser)?, 1, MEMORY_MIB_MAX, EXIT_ERROR)?;
                }
                Short('c') | Long("conn-limit") => {
                    config.connections_max =
                        number("-c", &text(&mut parser)?, 1, i32::MAX as usize, EXIT_ERROR)?;
                }
                Short('t') | Long("threads") => {
                    config.threads = number("-t", &text(&mut parser)?, 1, THREADS_MAX, EXIT_ERROR)?;
                }
                Short('I') | Long("max-item-size") => {
                    config.item_bytes_max = item_bytes(&text(&mut parser)?)?;
                }
                Short('v') | Long("verbose") => verbosity += 1,
                Short('V') | Long("version") => return Ok(Self::Version),
                Short('h') | Long("help") => return Ok(Self::Help),
                Value(value) => {
                    let value = value.to_string_lossy();
                    return Err(error(EXIT_ERROR, format!("unexpected argument {value:?}")));
                }
                Short(_) | Long(_) => return Err(argument.unexpected().into()),
            }
        }
        if !listen.is_empty() {
            config.listen = listen;
        }
        if config.item_bytes_max > memory_mib * MIB / 2 {
            let message = "-I cannot be more than half of the memory limit (-m)".to_owned();
            return Err(error(EXIT_USAGE, message));
        }
        Ok(Self::Serve {
            config,
            memory_bytes: memory_mib * MIB,
            verbosity,
        })
    }
}

fn error(exit_code: u8, message: String) -> UsageError {
    UsageError { message, exit_code }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, UsageError> {
    let value = parser.value()?;
    value
        .into_string()
        .map_err(|value| error(EXIT_ERROR, format!("{value:?} is not text")))
}

fn number(
    flag: &str,
    text: &str,
    min: usize,
    max: usize,
    exit_code: u8,
) -> Result<usize, UsageError> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| {
            error(
                exit_code,
                format!("{flag} takes a number from {min} to {max}, not {text:?}"),
            )
        })
}

fn port(text: &str) -> Result<u16, UsageError> {
    let number = number("-p", text, 0, u16::MAX.into(), EXIT_USAGE)?;
    Ok(u16::try_from(number).expect("checked against u16::MAX"))
}

fn addresses(list: &str) -> impl Iterator<Item = String> {
    list.split([',', ';'])
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
}

fn item_bytes(text: &str) -> Result<usize, UsageError> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1).unwrap_or_default(), 1 << 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1).unwrap_or_default(), 1 << 20),
        _ => (text, 1),
    };
    let bytes = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| (ITEM_BYTES_MIN..=ITEM_BYTES_MAX).contains(bytes))
        .ok_or_else(|| {
            error(
                EXIT_USAGE,
                format!("-I takes a size from 1k to 1024m, not {text:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, UsageError> {
        let args = std::iter::once("larderd").chain(line.split_whitespace());
        Invocation::from_args(args.map(OsString::from))
    }

    #[test]
    fn flags_read_as_memcacheds_do() {
        let long = "--port=1 --listen=a,b:2 --listen [::1]:3 --memory-limit=100 --conn-limit 7 \
                    --threads 2 --max-item-size=2m --verbose --verbose --unix-socket /s";
        let short = "-p1 -l a;b:2 -l [::1]:3 -m 100 -c7 -t 2 -I 2m -vv -s /s";
        assert_eq!(format!("{:?}", parse(long)), format!("{:?}", parse(short)));
        let Ok(Invocation::Serve {
            config,
            memory_bytes,
            verbosity,
        }) = parse(short)
        else {
            panic!("{:?}", parse(short));
        };
        assert_eq!(config.listen, ["a", "b:2", "[::1]:3"]);
        assert_eq!(
            (config.port, config.connections_max, config.threads),
            (1, 7, 2)
        );
        assert_eq!(
            (config.item_bytes_max, memory_bytes, verbosity),
            (2 << 20, 100 << 20, 2)
        );
        assert!(matches!(parse("-h"), Ok(Invocation::Help)));
        assert!(matches!(parse("-V -x"), Ok(Invocation::Version)));
    }

    #[test]
    fn mistakes_name_the_flag_and_have_memcacheds_exit_codes() {
        for (line, word, exit_code) in [
            ("-p 65536", "-p", EXIT_USAGE),
            ("-p x", "-p", EXIT_USAGE),
            ("-m 0", "-m", EXIT_ERROR),
            ("-m 1 -I 1m", "-I", EXIT_USAGE),
            ("-c 0", "-c", EXIT_ERROR),
            ("-t 0", "-t", EXIT_ERROR),
            ("-I 10", "-I", EXIT_USAGE),
            ("-I 2g", "-I", EXIT_USAGE),
            ("-t", "-t", EXIT_ERROR),
            ("-x", "-x", EXIT_ERROR),
            ("--unknown", "--unknown", EXIT_ERROR),
            ("stray", "stray", EXIT_ERROR),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains(word), "{line}: {error}");
            assert_eq!(error.exit_code(), exit_code, "{line}");
        }
    }
}
