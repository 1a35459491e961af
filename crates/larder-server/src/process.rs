//! What the process does to itself around serving: limits, user, background, locked memory, pid file.
//! Each failure says which flag asked for it, with memcached's exit code.

use std::io;
use std::path::{Path, PathBuf};

use larder_server::{Identity, Launch};
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, User, daemon, geteuid, setgid, setgroups, setuid};

/// Descriptors besides those of connections: listeners, pollers, standard streams.
const OWN_DESCRIPTORS: u64 = 64;
/// `EX_USAGE`.
pub(crate) const EXIT_USAGE: u8 = 64;
/// `EX_NOUSER`.
const EXIT_NO_USER: u8 = 67;
/// `EX_OSERR`: the system refused something that the server needs.
pub(crate) const EXIT_OS_ERROR: u8 = 71;

/// Why the process cannot begin, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) exit_code: u8,
}

fn failure(exit_code: u8, message: String) -> Failure {
    Failure { message, exit_code }
}

/// Everything that comes before memory, sockets and threads, in memcached's order.
pub(crate) fn prepare(launch: &Launch) -> Result<(), Failure> {
    let process = &launch.process;
    if process.core_dumps {
        allow_core_dumps()?;
    }
    allow_descriptors(launch.config.connections_max as u64)?;
    drop_root(process.user.as_deref(), launch.identity)?;
    if process.daemon {
        // A core dump goes where the process stands; messages go where -v asked for them.
        let (stay, keep_streams) = (process.core_dumps, launch.config.verbosity > 0);
        daemon(stay, keep_streams)
            .map_err(|error| failure(1, format!("-d: cannot go to the background: {error}")))?;
    }
    if process.locks_memory
        && let Err(error) = lock_memory()
    {
        eprintln!("larderd: -k: memory is not locked: {error}");
    }
    Ok(())
}

/// Raises the limit on open descriptors so that `-c` connections fit.
fn allow_descriptors(connections_max: u64) -> Result<(), Failure> {
    let wanted = connections_max + OWN_DESCRIPTORS;
    let refused = |error: String| failure(EXIT_OS_ERROR, error);
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| refused(error.to_string()))?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(|error| {
        refused(format!(
            "-c {connections_max} needs {wanted} open files, of {hard} allowed: {error}"
        ))
    })
}

fn allow_core_dumps() -> Result<(), Failure> {
    let refused = |why: String| failure(EXIT_OS_ERROR, format!("-r: no core dumps: {why}"));
    let core = Resource::RLIMIT_CORE;
    if setrlimit(core, RLIM_INFINITY, RLIM_INFINITY).is_ok() {
        return Ok(());
    }
    let (_, hard) = getrlimit(core).map_err(|error| refused(error.to_string()))?;
    if hard == 0 {
        return Err(refused("the hard limit is 0".to_owned()));
    }
    setrlimit(core, hard, hard).map_err(|error| refused(error.to_string()))
}

/// Root becomes the user of `-u`. Whoever is not root stays who he is, as in memcached.
fn drop_root(user: Option<&str>, identity: Identity) -> Result<(), Failure> {
    if !(geteuid().is_root() || Uid::current().is_root()) {
        return Ok(());
    }
    let Some(name) = user.filter(|name| !name.is_empty()) else {
        return match identity {
            Identity::Larderd => Ok(()),
            Identity::Memcached => Err(failure(
                EXIT_USAGE,
                "root has to say who to become: add '-u root' to stay root".to_owned(),
            )),
        };
    };
    let found = User::from_name(name).ok().flatten();
    let found =
        found.ok_or_else(|| failure(EXIT_NO_USER, format!("-u {name}: there is no such user")))?;
    let refused = |what: &str, error: Errno| {
        failure(EXIT_OS_ERROR, format!("-u {name}: cannot {what}: {error}"))
    };
    match setgroups(&[]) {
        // Already without privileges.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(error) => return Err(refused("leave its groups", error)),
    }
    setgid(Gid::from_raw(found.gid.as_raw())).map_err(|e| refused("take its group", e))?;
    setuid(found.uid).map_err(|error| refused("become it", error))
}

/// Pages are locked as they come into use: the address space that is set aside is much larger.
fn lock_memory() -> nix::Result<()> {
    /// `MCL_ONFAULT`, which nix does not name.
    const ON_FAULT: i32 = 4;
    let all = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    mlockall(all | MlockAllFlags::from_bits_retain(ON_FAULT))
}

/// Whether the system says that it makes huge pages for who asks.
pub(crate) fn allows_huge_pages() -> bool {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|text| !text.contains("[never]"))
}

/// The file of `-P`. Removed at the end of a daemon, as memcached does.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    is_removed: bool,
}

impl PidFile {
    /// Writes it, once the server listens.
    pub(crate) fn write(launch: &Launch) -> Option<Self> {
        let path = launch.process.pid_file.clone()?;
        if let Some(other) = running(&path) {
            eprintln!(
                "larderd: -P {}: it names a running process, {other}",
                path.display()
            );
        }
        if let Err(error) = replace(&path, &format!("{}\n", std::process::id())) {
            eprintln!("larderd: -P {}: {error}", path.display());
        }
        Some(Self {
            path,
            is_removed: launch.process.daemon,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_removed
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            log::warn!("-P {}: {error}", self.path.display());
        }
    }
}

/// The process that an older file names, if it runs.
fn running(path: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let runs = pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists();
    runs.then_some(pid)
}

/// Under another name first, so that nobody reads half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}
