//! The file that a cache is kept in between two servers: written as one ends, read and removed as the next begins.
//!
//! ```text
//! begin   <file>.lock waited for, and held until the process ends
//! end     <file>.tmp, mode 0600   cache moved out, memory given back as the file grows   renamed to <file>
//! begin   <file> opened, its name removed, read; what has been read is given back as the cache grows
//! ```
//! So cache and file together take the memory of one, if the file is in memory; and whatever goes wrong,
//! no server finds a file that another has used already.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder::Cache;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{AccessFlags, access, geteuid};

/// Between two lines that tell how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// Between two attempts to have the file for oneself.
const CLAIM_EVERY: Duration = Duration::from_millis(50);
/// Read before it is given back to the system.
const HOLE_BYTES: u64 = 8 << 20;
const MIB: f64 = (1 << 20) as f64;

/// The file that a cache is kept in between two servers.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
    /// Locked as long as this process uses the file: one that begins while another still ends has to wait for
    /// what that leaves, and must not touch what it writes.
    lock: File,
}

impl MemoryFile {
    /// The file at `path`, which need not be there.
    ///
    /// # Errors
    /// If no file could be made there: it is better known now than when the server ends.
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let folder = path.parent().filter(|_| path.file_name().is_some());
        let folder = folder.ok_or_else(|| io::Error::from(ErrorKind::IsADirectory))?;
        access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?;
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Err(no_file()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                let mut options = OpenOptions::new();
                let options = options.write(true).create(true).truncate(false).mode(0o600);
                let lock = options.open(beside(&path, ".lock"))?;
                Ok(Self { path, lock })
            }
        }
    }

    /// Waits until no other process uses the file; false if `goes_on` said so before.
    fn claim(&self, goes_on: impl Fn() -> bool) -> io::Result<bool> {
        let mut told: Option<Instant> = None;
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            if !goes_on() {
                return Ok(false);
            }
            if told.is_none_or(|told| told.elapsed() >= PROGRESS) {
                told = Some(Instant::now());
                log::warn!(
                    "[restart] another server uses {}: waiting for its end",
                    self.path.display()
                );
            }
            std::thread::sleep(CLAIM_EVERY);
        }
    }

    /// Brings into `cache` what an earlier server has left, and removes the file (one that others may have
    /// written is set aside); tells in the log what came of it. Gives up when `goes_on` says so. Without a file, or with one that is not sound, the cache is what it was, or has
    /// what could be read: every item that is brought back is as it was saved. Waits for the end of another server that
    /// uses the file. Whether there was a file, which has been used up by this.
    pub fn restore(&self, cache: &Cache, goes_on: impl Fn() -> bool) -> bool {
        let shown = self.path.display();
        let taken = self
            .claim(&goes_on)
            .and_then(|is_ours| if is_ours { self.take() } else { Ok(None) });
        let (file, bytes) = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                log::info!("[restart] no {shown}: a cold start");
                return false;
            }
            Err(error) => {
                log::error!("[restart] {shown} is not read: {error}");
                return false;
            }
        };
        let mut file = Watched::new(file, Way::In { bytes }, goes_on);
        let result = cache.restore(&mut file);
        let (restored, flaw) = match result {
            Ok(restored) => (restored, None),
            Err(error) => (error.restored, Some(error.flaw)),
        };
        let seconds = file.started.elapsed().as_secs_f64();
        if let Some(flaw) = flaw {
            log::error!(
                "[restart] {shown}: {flaw}; the {} items before that are back",
                restored.restored_count
            );
            return true;
        }
        log::warn!(
            "[restart] {} items are back from {shown}, {} have expired, {} were refused: {:.0} MiB in {seconds:.1} s",
            restored.restored_count,
            restored.expired_count,
            restored.refused_count,
            restored.file_bytes as f64 / MIB,
        );
        let held = cache.stats().item_count as u64;
        if held < restored.restored_count {
            let evicted = restored.restored_count - held;
            log::warn!("[restart] {evicted} of them had no room beside the others");
        }
        true
    }

    /// Moves everything in `cache` to the file, and tells in the log what came of it. If that fails, or `goes_on` says
    /// so before it is done, there is no file.
    pub fn save(&self, cache: &Cache, goes_on: impl Fn() -> bool) {
        let shown = self.path.display();
        let unfinished = self.unfinished();
        let result = create(&unfinished).and_then(|file| {
            let way = Way::Out {
                items: cache.stats().item_count as u64,
                cache,
            };
            let mut file = Watched::new(file, way, goes_on);
            let saved = cache.save_draining(&mut file)?;
            fs::rename(&unfinished, &self.path)?;
            Ok((saved, file.started.elapsed()))
        });
        match result {
            Ok((saved, took)) => {
                log::warn!(
                    "[restart] {} items are kept in {shown}: {:.0} MiB in {:.1} s",
                    saved.item_count,
                    saved.file_bytes as f64 / MIB,
                    took.as_secs_f64()
                );
            }
            Err(error) => {
                log::error!("[restart] nothing is kept in {shown}: {error}");
                remove(&unfinished);
                // One that somebody put there would be older than what is lost.
                remove(&self.path);
            }
        }
    }

    /// The file and its length, whose name is gone; `None` if there is none.
    fn take(&self) -> io::Result<Option<(File, u64)>> {
        remove(&self.unfinished());
        let mut options = OpenOptions::new();
        // Written as well: holes are made in it. Not waiting for the other end of a pipe.
        let options = options.read(true).write(true);
        let options = options.custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        let file = match options.open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(no_file());
        }
        // Whoever writes the file decides what clients read.
        if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
            // Not for a later start either, at which it would be out of date.
            fs::rename(&self.path, beside(&self.path, ".refused"))?;
            let message = "others may have written it; it is set aside as .refused";
            return Err(io::Error::new(ErrorKind::PermissionDenied, message));
        }
        fs::remove_file(&self.path)?;
        // Its name is not to come back after a loss of power. Where that cannot be had it is rare enough.
        let folder = self
            .path
            .parent()
            .and_then(|folder| File::open(folder).ok());
        let _ = folder.map(|folder| folder.sync_all());
        Ok(Some((file, found.len())))
    }

    /// Where it stands until it is whole.
    fn unfinished(&self) -> PathBuf {
        beside(&self.path, ".tmp")
    }
}

/// The path with something behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn no_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file")
}

/// A new file that nobody else reads, in the place of an old one, and never behind a link.
fn create(path: &Path) -> io::Result<File> {
    remove(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            log::error!("[restart] {} cannot be removed: {error}", path.display());
        }
        _ => {}
    }
}

/// A file on its way, with lines that tell how far it is, and an end before its end if that is wanted.
struct Watched<'c, G> {
    file: File,
    way: Way<'c>,
    goes_on: G,
    started: Instant,
    told: Instant,
    /// Bytes so far, and of those how many are given back already.
    bytes: u64,
    freed: u64,
    frees: bool,
}

enum Way<'c> {
    /// Read, of so many bytes.
    In { bytes: u64 },
    /// Written, from a cache that had so many items.
    Out { cache: &'c Cache, items: u64 },
}

impl<'c, G: Fn() -> bool> Watched<'c, G> {
    fn new(file: File, way: Way<'c>, goes_on: G) -> Self {
        let now = Instant::now();
        Self {
            file,
            way,
            goes_on,
            started: now,
            told: now,
            bytes: 0,
            freed: 0,
            frees: true,
        }
    }

    fn moved(&mut self, bytes: usize) -> io::Result<usize> {
        self.bytes += bytes as u64;
        if !(self.goes_on)() {
            // Not `Interrupted`, which is tried again.
            return Err(io::Error::other("given up for a signal"));
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            self.tell();
        }
        Ok(bytes)
    }

    fn tell(&self) {
        let (what, part) = match &self.way {
            Way::In { bytes } => ("read", self.bytes as f64 / (*bytes).max(1) as f64),
            Way::Out { cache, items } => {
                let left = cache.stats().item_count as f64;
                ("kept", 1.0 - left / (*items).max(1) as f64)
            }
        };
        let mib = self.bytes as f64 / MIB;
        log::warn!("[restart] {:.0} % {what}, {mib:.0} MiB", 100.0 * part);
    }

    /// Gives back what has been read. A system that cannot is not asked again.
    fn free(&mut self) {
        if !self.frees || self.bytes - self.freed < HOLE_BYTES {
            return;
        }
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (from, length) = (
            self.freed.cast_signed(),
            (self.bytes - self.freed).cast_signed(),
        );
        match fallocate(&self.file, hole, from, length) {
            Ok(()) => self.freed = self.bytes,
            Err(error) => {
                self.frees = false;
                log::info!("[restart] the file's memory is given back at its end only: {error}");
            }
        }
    }
}

impl<G: Fn() -> bool> Read for Watched<'_, G> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.free();
        self.moved(bytes)
    }
}

impl<G: Fn() -> bool> Write for Watched<'_, G> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.moved(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
