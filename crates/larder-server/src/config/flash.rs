//! `-o ext_path` and what goes with it: where values are kept that memory has no room for.

use std::path::PathBuf;

use super::value::Refused;

/// Values on flash: the files, and what cannot be changed while the server runs. What can is in
/// [`Knobs`](super::Knobs).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Flash {
    /// The files; none for no values on flash, the default. A cache has its values on the flash of one server
    /// at a time.
    pub files: Vec<FlashFile>,
    /// Bytes of a page: what is given up at a time. A multiple of 2 MiB and of a write. Default 64 MiB.
    pub page_bytes: u64,
    /// Threads that read. Default 1.
    pub threads: u32,
    /// Reads that one of them takes at a time. Default 1.
    pub io_depth: u32,
}

/// A file, or a device, that values are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlashFile {
    /// It is created if need be, and what is in it is lost.
    pub path: PathBuf,
    /// Bytes that may be used of it; whole pages are.
    pub bytes: u64,
    /// What its pages are for.
    pub bucket: Bucket,
}

impl FlashFile {
    /// A file for values of any kind.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bytes: u64) -> Self {
        Self {
            path: path.into(),
            bytes,
            bucket: Bucket::Default,
        }
    }
}

/// Values that are written together. A page has those of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bucket {
    /// What is in no other.
    #[default]
    Default,
    /// What was moved out of pages with much that is dead.
    Compact,
    /// What will expire soon.
    LowTtl,
    /// What is larger than half of memcached's slab page.
    Chunked,
    /// What was moved, and was not read since it was written.
    ColdCompact,
    /// What was moved out of the oldest page.
    Old,
}

impl Bucket {
    /// Every bucket, by its number.
    pub(crate) const ALL: [Self; 6] = [
        Self::Default,
        Self::Compact,
        Self::LowTtl,
        Self::Chunked,
        Self::ColdCompact,
        Self::Old,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Compact => "compact",
            Self::LowTtl => "lowttl",
            Self::Chunked => "chunked",
            Self::ColdCompact => "coldcompact",
            Self::Old => "old",
        }
    }
}

impl Default for Flash {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            page_bytes: 64 << 20,
            threads: 1,
            io_depth: 1,
        }
    }
}

/// A file as `ext_path` names it: `path:size[:bucket]`.
pub(super) fn file(text: &str) -> Result<FlashFile, Refused> {
    let expected = || {
        format!(
            "takes a file, a size in m, g, t or p and perhaps a bucket, as /f:64g, not {text:?}"
        )
    };
    let mut parts = text.split(':').filter(|part| !part.is_empty());
    let (path, size) = parts.next().zip(parts.next()).ok_or_else(expected)?;
    let unit = match size.as_bytes().last() {
        Some(b'm' | b'M') => 1 << 20,
        Some(b'g' | b'G') => 1 << 30,
        Some(b't' | b'T') => 1 << 40,
        Some(b'p' | b'P') => 1_u64 << 50,
        _ => return Err(expected()),
    };
    let digits = size.get(..size.len() - 1).unwrap_or_default();
    let number = digits.parse::<u64>().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    let bucket = match parts.next() {
        None => Bucket::Default,
        Some(name) => Bucket::ALL
            .into_iter()
            .find(|bucket| bucket.name() == name)
            .ok_or_else(|| format!("{name:?}: there is no such bucket"))?,
    };
    Ok(FlashFile {
        path: path.into(),
        bytes: bytes.ok_or_else(expected)?,
        bucket,
    })
}

/// Pages and writes are multiples of this.
const GRAIN_BYTES: u64 = 2 << 20;

impl super::Config {
    /// Checks what values on flash do not go together with, and completes what depends on their number.
    pub(crate) fn finish_flash(&mut self) -> Result<(), String> {
        let flash = &self.flash;
        if flash.files.is_empty() {
            return Ok(());
        }
        let write_bytes = u64::from(self.knobs.ext_wbuf_size);
        if self.item_bytes_max as u64 > write_bytes {
            return Err(format!(
                "-I ({} bytes) cannot be larger than -o ext_wbuf_size ({write_bytes} bytes)",
                self.item_bytes_max
            ));
        }
        if self.udp_port.is_some() {
            return Err("-o ext_path and -U exclude each other".to_owned());
        }
        if self.memory_file.is_some() {
            return Err(
                "-o ext_path and -e exclude each other: values on flash do not survive".to_owned(),
            );
        }
        if !self.evicts {
            return Err(
                "-o ext_path and -M exclude each other: what to move is what to evict".to_owned(),
            );
        }
        let page_bytes = flash.page_bytes;
        if write_bytes == 0 || page_bytes == 0 || !page_bytes.is_multiple_of(write_bytes) {
            return Err("-o ext_page_size has to be a multiple of ext_wbuf_size".to_owned());
        }
        if !page_bytes.is_multiple_of(GRAIN_BYTES) || !write_bytes.is_multiple_of(GRAIN_BYTES) {
            return Err("-o ext_page_size and ext_wbuf_size are multiples of 2".to_owned());
        }
        if flash.threads == 0 {
            return Err("-o ext_threads has to be 1 at least".to_owned());
        }
        let empty = flash.files.iter().find(|file| file.bytes < page_bytes);
        if let Some(file) = empty {
            let path = file.path.display();
            return Err(format!("-o ext_path {path} has no room for one page"));
        }
        let first = flash
            .files
            .first()
            .map_or(0, |file| file.bytes / page_bytes);
        let hundredth = u32::try_from(first / 100).unwrap_or(u32::MAX).max(1);
        for under in [
            &mut self.knobs.ext_compact_under,
            &mut self.knobs.ext_drop_under,
        ] {
            if *under == 0 {
                *under = hundredth;
            }
        }
        Ok(())
    }
}
