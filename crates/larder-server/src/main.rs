//! `larderd`: arguments to a configuration, run, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use larder_server::{HELP, Invocation, UsageError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Descriptors besides those of connections: listeners, pollers, standard streams.
const OWN_DESCRIPTORS: u64 = 64;
/// `EX_OSERR`: the system refused something that the server needs.
const EXIT_OS_ERROR: u8 = 71;
/// `EX_SOFTWARE`: a thread of ours panicked.
const EXIT_SOFTWARE: u8 = 70;
/// How long a signal, or the failure of a thread, may go unnoticed.
const SIGNAL_CHECK: std::time::Duration = std::time::Duration::from_millis(50);
/// `EX_USAGE`.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    match Invocation::from_args(std::env::args_os()) {
        Ok(Invocation::Help) => print(HELP),
        Ok(Invocation::Version) => print(concat!("larderd ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Invocation::Serve {
            mut config,
            memory_bytes,
            verbosity,
        }) => {
            config.on_verbosity = Some(|level| log::set_max_level(larder_server::log_level(level)));
            start_log(verbosity);
            let connections_max = config.connections_max;
            if let Err(message) = allow_descriptors(connections_max as u64) {
                eprintln!("larderd: {message}");
                return ExitCode::from(EXIT_OS_ERROR);
            }
            run(config, memory_bytes)
        }
        Err(error) => refuse(&error),
    }
}

fn run(config: larder_server::Config, memory_bytes: usize) -> ExitCode {
    let cache = match larder_server::cache_builder(memory_bytes, &config).build() {
        Ok(cache) => Arc::new(cache),
        Err(error) => {
            eprintln!("larderd: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    // Before the server's threads start, so that a signal at any later moment finds its handler.
    let stopping = Arc::new(AtomicBool::new(false));
    let mut signals = match handle_signals(&stopping) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("larderd: cannot handle signals: {error}");
            return ExitCode::from(EXIT_OS_ERROR);
        }
    };
    let server = match larder_server::serve(cache, config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("larderd: {error}");
            return ExitCode::from(EXIT_OS_ERROR);
        }
    };
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
    while server.is_running() {
        if signals.pending().next().is_some() {
            log::info!("stopping");
            server.stop();
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(SIGNAL_CHECK);
    }
    log::error!("a server thread has failed; ending");
    ExitCode::from(EXIT_SOFTWARE)
}

/// The first SIGTERM or SIGINT is for us to see; a second one ends the process at once.
fn handle_signals(stopping: &Arc<AtomicBool>) -> std::io::Result<Signals> {
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stopping))?;
        signal_hook::flag::register(signal, Arc::clone(stopping))?;
    }
    Signals::new([SIGTERM, SIGINT])
}

/// Raises the limit on open descriptors so that `-c` connections fit.
fn allow_descriptors(connections_max: u64) -> Result<(), String> {
    let wanted = connections_max + OWN_DESCRIPTORS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(|error| {
        format!("-c {connections_max} needs {wanted} open files, of {hard} allowed: {error}")
    })
}

fn start_log(verbosity: u32) {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Trace)
        .format(|buffer, record| {
            use std::io::Write;
            writeln!(
                buffer,
                "larderd: {}: {}",
                record.level().as_str().to_lowercase(),
                record.args()
            )
        })
        .init();
    log::set_max_level(larder_server::log_level(verbosity));
}

fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("larderd: {error}\nTry 'larderd --help'.");
    ExitCode::from(error.exit_code())
}
