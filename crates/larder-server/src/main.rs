//! `larderd`: arguments to a configuration, run, exit code.
#![forbid(unsafe_code)]

mod process;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_server::{Identity, Invocation, Launch, MemoryFile, Server, Shutdown, UsageError};
use process::{EXIT_OS_ERROR, EXIT_USAGE, PidFile};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// `EX_SOFTWARE`: a thread of ours panicked.
const EXIT_SOFTWARE: u8 = 70;
/// How long a signal, or the failure of a thread, may go unnoticed.
const SIGNAL_CHECK: std::time::Duration = std::time::Duration::from_millis(50);

fn main() -> ExitCode {
    match Invocation::from_args(std::env::args_os()) {
        Ok(Invocation::Help(text) | Invocation::Version(text) | Invocation::License(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Invocation::Serve(mut launch)) => {
            for warning in &launch.warnings {
                eprintln!("larderd: {warning}");
            }
            // Before the user changes, and the folder: keys may be for root to read.
            if let Err(error) = launch.config.tls.load() {
                eprintln!("larderd: {error}");
                return ExitCode::from(EXIT_USAGE);
            }
            // Before the process goes to the background, where it stands elsewhere.
            let memory_path = launch
                .config
                .memory_file
                .as_deref()
                .map(std::path::absolute);
            if let Err(failure) = process::prepare(&launch) {
                eprintln!("larderd: {}", failure.message);
                return ExitCode::from(failure.exit_code);
            }
            start_log(launch.config.verbosity);
            connect_to_process(&mut launch);
            let memory_file = memory_path.map(|path| path.and_then(|path| MemoryFile::new(&path)));
            match memory_file.transpose() {
                Ok(memory_file) => run(&launch, memory_file.as_ref()),
                Err(error) => {
                    let path = launch.config.memory_file.unwrap_or_default();
                    eprintln!("larderd: -e {}: {error}", path.display());
                    ExitCode::from(EXIT_OS_ERROR)
                }
            }
        }
        Err(error) => refuse(&error),
    }
}

/// What commands of clients and the environment have to do with the process.
fn connect_to_process(launch: &mut Launch) {
    let config = &mut launch.config;
    config.on_verbosity = Some(|level| log::set_max_level(larder_server::log_level(level)));
    if launch.process.allows_shutdown {
        config.on_shutdown = Some(|shutdown| {
            let signal = match shutdown {
                Shutdown::Now => nix::sys::signal::SIGINT,
                Shutdown::Graceful => nix::sys::signal::SIGUSR1,
            };
            if let Err(error) = nix::sys::signal::kill(nix::unistd::getpid(), signal) {
                log::error!("shutdown: {error}");
            }
        });
    }
    config.ports_file = std::env::var_os("MEMCACHED_PORT_FILENAME").map(Into::into);
    if config.sasl && config.auth_file.is_none() {
        config.auth_file = std::env::var_os("MEMCACHED_SASL_PWDB").map(Into::into);
    }
}

/// How a server came to its end.
enum End {
    /// SIGTERM or SIGINT.
    AtOnce,
    /// SIGUSR1: the cache outlives it.
    Gracefully,
    /// A thread of ours panicked.
    Failed,
}

fn run(launch: &Launch, memory_file: Option<&MemoryFile>) -> ExitCode {
    let config = launch.config.clone();
    let cache = match larder_server::cache_builder(launch.memory_bytes, &config).build() {
        Ok(cache) => Arc::new(cache),
        Err(error) => {
            eprintln!("larderd: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if config.huge_pages == Some(true) && !(cache.has_huge_pages() && process::allows_huge_pages())
    {
        eprintln!("larderd: the system gives no huge pages; going on without");
    }
    // Before the server's threads start, so that a signal at any later moment finds its handler.
    let stopping = Arc::new(AtomicBool::new(false));
    let mut signals = match handle_signals(&stopping) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("larderd: cannot handle signals: {error}");
            return ExitCode::from(EXIT_OS_ERROR);
        }
    };
    // Long reads and writes end at SIGTERM and SIGINT.
    let goes_on = || !stopping.load(Ordering::Relaxed);
    let was_restored = memory_file.is_some_and(|file| file.restore(&cache, goes_on));
    let server = match larder_server::serve(Arc::clone(&cache), config) {
        Ok(server) => server,
        Err(error) => {
            // It is for the next try.
            if let (Some(file), true) = (memory_file, was_restored) {
                file.save(&cache, goes_on);
            }
            eprintln!("larderd: {error}");
            // Passwords come first: if they can be read it was an address, or a file for values.
            let of_file = error.to_string().starts_with("ext_path");
            return match larder_server::check_passwords(&launch.config) {
                Ok(()) if !of_file => ExitCode::from(EXIT_OS_ERROR),
                _ => ExitCode::FAILURE,
            };
        }
    };
    let pid_file = PidFile::write(launch);
    tell(launch, &server);
    let end = watch_over(server, &mut signals);
    if let (Some(file), End::Gracefully) = (memory_file, &end) {
        file.save(&cache, goes_on);
    }
    drop(pid_file);
    match end {
        End::AtOnce | End::Gracefully => ExitCode::SUCCESS,
        End::Failed => ExitCode::from(EXIT_SOFTWARE),
    }
}

/// Says where the server listens, and who may reach it.
fn tell(launch: &Launch, server: &Server) {
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
    for address in server.udp_addresses() {
        log::info!("listening on {address} by UDP");
    }
    if let Some(path) = &launch.config.unix_socket {
        log::info!("listening on {}", path.display());
    }
    let authenticates = launch.config.auth_file.is_some() || launch.config.sasl;
    let udp = server
        .udp_addresses()
        .iter()
        .map(|&address| (address, false));
    let mut open = server.addresses_without_certificates().chain(udp);
    let wide = open.find(|(address, _)| !address.ip().is_loopback());
    if let Some((address, encrypted)) = wide
        && !authenticates
        && launch.identity == Identity::Larderd
    {
        let how = if encrypted { "encrypted, but " } else { "" };
        log::warn!("{address} can be reached from other machines, {how}without authentication");
    }
}

/// Waits for a signal to end, or for a thread to fail.
fn watch_over(server: Server, signals: &mut Signals) -> End {
    while server.is_running() {
        for signal in signals.pending() {
            match signal {
                SIGHUP => server.reload(),
                SIGUSR1 => {
                    log::warn!("Gracefully stopping");
                    server.stop();
                    return End::Gracefully;
                }
                _ => {
                    log::info!("stopping");
                    server.stop();
                    return End::AtOnce;
                }
            }
        }
        std::thread::sleep(SIGNAL_CHECK);
    }
    log::error!("a server thread has failed; ending");
    End::Failed
}

/// The first SIGTERM or SIGINT is for us to see; a second one ends the process at once.
fn handle_signals(stopping: &Arc<AtomicBool>) -> std::io::Result<Signals> {
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stopping))?;
        signal_hook::flag::register(signal, Arc::clone(stopping))?;
    }
    Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])
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

fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("larderd: {error}\nTry 'larderd --help'.");
    ExitCode::from(error.exit_code())
}
