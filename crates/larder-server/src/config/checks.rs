//! Settings that do not go together, and those that follow from others: once the whole command line
//! has been read.

use super::invocation::{Draft, EXIT_OS, EXIT_USAGE, Identity, Launch, UsageError, error};
use super::knobs::SLAB_PAGE_BYTES;
use super::{Config, Listen, ListenTls, Protocol, VerifyMode, value};

/// More threads than this are rarely wanted.
const THREADS_SENSIBLE_MAX: usize = 64;

/// The launch that the command line asks for.
pub(super) fn finish(draft: Draft) -> Result<Launch, UsageError> {
    let Draft {
        mut launch,
        listen,
        slab_sizes,
        kernel_tls,
        port_given,
        protocol_given,
        ..
    } = draft;
    sizes(&launch).map_err(usage)?;
    if let Some(text) = slab_sizes {
        value::slab_sizes(&text).map_err(|refused| usage(format!("-o slab_sizes {refused}")))?;
    }
    lists(&launch.config).map_err(usage)?;
    let config = &mut launch.config;
    if let (Some(port), false) = (config.udp_port, port_given) {
        (config.port, config.tcp) = (port, true);
    }
    if !listen.is_empty() {
        config.listen = listen;
    } else if launch.identity == Identity::Memcached {
        config.listen = vec!["*".to_owned()];
    }
    protocols(config, protocol_given).map_err(usage)?;
    tls(config, kernel_tls, &mut launch.warnings)?;
    config.finish_flash().map_err(usage)?;
    if config.unix_socket.is_none() && !config.tcp && config.udp_port.is_none() {
        let warning = "-p 0 without -U or -s leaves nothing to listen on";
        launch.warnings.push(warning.to_owned());
    }
    if config.threads > THREADS_SENSIBLE_MAX {
        let threads = config.threads;
        let warning = format!("-t {threads}: more threads than the machine has cores do not help");
        launch.warnings.push(warning);
    }
    Ok(launch)
}

fn usage(message: String) -> UsageError {
    error(EXIT_USAGE, message)
}

fn sizes(launch: &Launch) -> Result<(), String> {
    let config = &launch.config;
    let item_bytes_max = config.item_bytes_max;
    if item_bytes_max > launch.memory_bytes / 2 {
        return Err("-I cannot be more than half of the memory limit (-m)".to_owned());
    }
    // memcached holds its default against -I as well; here only what was asked for is.
    let Some(chunk_bytes_max) = config.knobs.slab_chunk_bytes_max else {
        return Ok(());
    };
    if chunk_bytes_max > item_bytes_max {
        return Err(format!(
            "-o slab_chunk_max ({chunk_bytes_max} bytes) is larger than -I ({item_bytes_max})"
        ));
    }
    if !item_bytes_max.is_multiple_of(chunk_bytes_max) {
        return Err(format!(
            "-I ({item_bytes_max}) is no multiple of -o slab_chunk_max ({chunk_bytes_max} bytes)"
        ));
    }
    if !SLAB_PAGE_BYTES.is_multiple_of(chunk_bytes_max) {
        return Err(format!(
            "-o slab_chunk_max ({chunk_bytes_max} bytes) does not divide {SLAB_PAGE_BYTES}"
        ));
    }
    Ok(())
}

fn lists(config: &Config) -> Result<(), String> {
    let knobs = &config.knobs;
    if knobs.hot_lru_pct + knobs.warm_lru_pct > 80 {
        return Err("-o hot_lru_pct and warm_lru_pct are more than 80 together".to_owned());
    }
    if knobs.temp_lru && !knobs.lru_maintainer {
        return Err("-o temporary_ttl needs lru_maintainer".to_owned());
    }
    if knobs.napi_ids as usize > config.threads {
        return Err(format!(
            "-N {} is more than the {} threads",
            knobs.napi_ids, config.threads
        ));
    }
    Ok(())
}

/// What TLS needs besides, and what needs TLS.
fn tls(config: &Config, kernel_tls: bool, warnings: &mut Vec<String>) -> Result<(), UsageError> {
    if kernel_tls {
        let refused = "-o ssl_kernel_tls is refused: the kernel is left out of TLS here";
        return Err(usage(refused.to_owned()));
    }
    let tls = &config.tls;
    if !tls.enabled {
        let named = config
            .listen
            .iter()
            .find(|text| Listen::parse(text).is_ok_and(|listen| listen.tls.is_some()));
        if let Some(text) = named {
            return Err(error(
                EXIT_OS,
                format!("-l {text}: needs TLS, which is not enabled (-Z)"),
            ));
        }
        if tls.is_configured() {
            warnings.push("-o ssl_... has no effect without -Z".to_owned());
        }
        return Ok(());
    }
    if !config.tcp {
        return Err(usage(
            "-Z needs a TCP port: there is none with -p 0".to_owned(),
        ));
    }
    let asks = config.listen.iter().any(|text| {
        let of_listener = Listen::parse(text).ok().and_then(|listen| listen.tls);
        match of_listener {
            None => tls.verify != VerifyMode::None,
            of_listener => of_listener == Some(ListenTls::Mutual),
        }
    });
    if asks && tls.ca_cert.is_none() {
        let warning = "without -o ssl_ca_cert no certificate of a client is good";
        warnings.push(warning.to_owned());
    }
    Ok(())
}

/// Authentication decides the protocol, and excludes UDP.
fn protocols(config: &mut Config, protocol_given: bool) -> Result<(), String> {
    let listeners: Result<Vec<_>, _> = config.listen.iter().map(|one| Listen::parse(one)).collect();
    let listeners = listeners?;
    if config.sasl {
        if protocol_given && config.protocol != Protocol::Binary {
            return Err("-S authenticates binary connections: -B has to be binary".to_owned());
        }
        if config.udp_port.is_some() {
            return Err("-S and -U exclude each other".to_owned());
        }
        config.protocol = Protocol::Binary;
    }
    // With -S the file of -Y is where SASL finds its passwords.
    if config.auth_file.is_some() && !config.sasl {
        if protocol_given && config.protocol != Protocol::Ascii {
            return Err("-Y authenticates text connections: -B has to be ascii".to_owned());
        }
        if config.udp_port.is_some() {
            return Err("-Y and -U exclude each other".to_owned());
        }
        let binary = |one: &Listen| one.protocol == Some(Protocol::Binary);
        if listeners.iter().any(binary) {
            return Err("-Y and proto[binary] exclude each other".to_owned());
        }
        config.protocol = Protocol::Ascii;
    }
    Ok(())
}
