//! `larder-bench`: flags in, exit code out; everything else is the library's.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use larder_bench::Options;
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    let given = match Options::parse(std::env::args_os()) {
        Ok(given) => given,
        Err(error) => error.exit(),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second of a kind ends the program as usual.
        let registered =
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupted))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = registered {
            eprintln!("larder-bench: cannot listen to signals: {error}");
        }
    }
    match given
        .options()
        .and_then(|options| larder_bench::run_with(options, interrupted))
    {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("larder-bench: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
