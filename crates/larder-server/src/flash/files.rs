//! The files that pages are in: opened, locked, emptied; read and written at a position.
//!
//! Pages of several files take turns, so that all devices have work. A file is nobody else's: it is locked
//! against a second server, and what was in it is gone. The system's cache of files is in between; nothing is
//! synchronised, because nothing is read again after a restart.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::config::{Bucket, FlashFile};

/// All files.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<Open>,
    /// Where each page is.
    pages: Vec<Position>,
    page_bytes: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    file: usize,
    offset: u64,
}

/// The most pages: their numbers have 16 bits.
const PAGES_MAX: usize = 65_534;

impl Files {
    /// Opens and empties the files. Returns what each page of theirs is for as well.
    pub(super) fn open(files: &[FlashFile], page_bytes: u64) -> io::Result<(Self, Vec<Bucket>)> {
        let mut open = Vec::new();
        for file in files {
            let named = |error: io::Error| {
                let path = file.path.display();
                io::Error::new(error.kind(), format!("ext_path {path}: {error}"))
            };
            open.push(Open {
                file: open_alone(file).map_err(named)?,
                path: file.path.clone(),
            });
        }
        let mut left: Vec<u64> = files.iter().map(|file| file.bytes / page_bytes).collect();
        let count: u64 = left.iter().sum();
        if count > PAGES_MAX as u64 {
            let message = format!("ext_path: {count} pages, and {PAGES_MAX} are the most");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let (mut pages, mut buckets) = (Vec::new(), Vec::new());
        let mut turn = 0;
        while left.iter().any(|&left| left > 0) {
            for (number, (left, file)) in left.iter_mut().zip(files).enumerate() {
                if *left > 0 {
                    *left -= 1;
                    pages.push(Position {
                        file: number,
                        offset: turn * page_bytes,
                    });
                    buckets.push(file.bucket);
                }
            }
            turn += 1;
        }
        let files = Self {
            files: open,
            pages,
            page_bytes,
        };
        Ok((files, buckets))
    }

    pub(super) const fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    pub(super) fn read(&self, page: u16, offset: u32, bytes: &mut [u8]) -> io::Result<()> {
        let (open, at) = self.position(page, offset)?;
        open.file
            .read_exact_at(bytes, at)
            .map_err(|error| open.named(&error))
    }

    pub(super) fn write(&self, page: u16, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let (open, at) = self.position(page, offset)?;
        debug_assert!(u64::from(offset) + bytes.len() as u64 <= self.page_bytes);
        open.file
            .write_all_at(bytes, at)
            .map_err(|error| open.named(&error))
    }

    fn position(&self, page: u16, offset: u32) -> io::Result<(&Open, u64)> {
        let position = self.pages.get(usize::from(page));
        let open = position.and_then(|position| self.files.get(position.file));
        position
            .zip(open)
            .map(|(position, open)| (open, position.offset + u64::from(offset)))
            .ok_or_else(|| io::Error::other("there is no such page"))
    }
}

impl Open {
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

/// The file, locked and empty.
fn open_alone(file: &FlashFile) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // Only once it is known to be nobody else's.
        .truncate(false)
        .open(&file.path)?;
    opened.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            io::Error::new(ErrorKind::WouldBlock, "another server has it")
        }
        std::fs::TryLockError::Error(error) => error,
    })?;
    if opened.metadata()?.is_file() {
        opened.set_len(0)?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_take_turns_and_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, pages: u64| FlashFile {
            path: folder.path().join(name),
            bytes: pages * 100 + 50,
            bucket: if name == "a" {
                Bucket::Default
            } else {
                Bucket::Compact
            },
        };
        let list = [file("a", 3), file("b", 1)];
        let (files, buckets) = Files::open(&list, 100).unwrap();
        let (default, compact) = (Bucket::Default, Bucket::Compact);
        assert_eq!(buckets, [default, compact, default, default]);
        for page in 0..4_u8 {
            files.write(page.into(), 0, &[page; 100]).unwrap();
        }
        for page in 0..4_u8 {
            let mut bytes = [9; 60];
            files.read(page.into(), 40, &mut bytes).unwrap();
            assert_eq!(bytes, [page; 60]);
        }
        assert!(files.read(4, 0, &mut [0]).is_err());
        let taken = Files::open(&list[..1], 100).unwrap_err();
        assert!(
            taken.to_string().ends_with("another server has it"),
            "{taken}"
        );
        drop(files);
        let (files, _) = Files::open(&list[..1], 100).unwrap();
        let gone = files.read(0, 0, &mut [0]).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::UnexpectedEof, "nothing survives");
        let many = FlashFile {
            bytes: 70_000,
            ..file("c", 1)
        };
        assert!(Files::open(&[many], 1).is_err());
    }
}
