//! Who may connect: a file of `user:password` lines, read at the start and again on demand.
//!
//! A password that begins with `$argon2` is a hash in the PHC string format; anything else is the
//! password itself, which is taken with a warning. Hashing is slow on purpose, so the first success of
//! an entry is remembered by a fast hash under random keys: whoever connects again and again does
//! not stop a worker each time.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use argon2::password_hash::{PasswordVerifier, phc::PasswordHash};
use argon2::{Argon2, Params};

/// The largest password file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most that one check of a hash may cost: memory in KiB, and passes over it.
const MEMORY_KIB_MAX: u32 = 64 << 10;
const PASSES_MAX: u32 = 16;
const HASH_PREFIX: &str = "$argon2";

/// The users of one password file.
pub(crate) struct Auth {
    path: PathBuf,
    users: RwLock<Vec<User>>,
    /// Under which passwords are compared, so that the time it takes says nothing of them.
    keys: [RandomState; 2],
}

type Digest = [u64; 2];

struct User {
    name: Vec<u8>,
    secret: Secret,
}

enum Secret {
    Plain(Digest),
    Hashed {
        hash: Box<PasswordHash>,
        /// What the password was, once somebody knew it.
        known: OnceLock<Digest>,
    },
}

impl Auth {
    /// Reads a password file.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let auth = Self {
            path: path.to_owned(),
            users: RwLock::default(),
            keys: [RandomState::new(), RandomState::new()],
        };
        auth.reload()?;
        Ok(auth)
    }

    /// Lets nobody in: for when there is no file that says who may.
    pub(crate) fn closed() -> Self {
        Self {
            path: PathBuf::new(),
            users: RwLock::default(),
            keys: [RandomState::new(), RandomState::new()],
        }
    }

    /// Reads the file again. After an error who was known before stays known.
    pub(crate) fn reload(&self) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        };
        if std::fs::metadata(&self.path).map_err(named)?.len() > FILE_BYTES_MAX {
            let message = format!("a password file has at most {FILE_BYTES_MAX} bytes");
            return Err(named(io::Error::new(ErrorKind::InvalidData, message)));
        }
        let bytes = std::fs::read(&self.path).map_err(named)?;
        let users = self.parse(&bytes).map_err(named)?;
        let plain = |user: &&User| matches!(user.secret, Secret::Plain(_));
        let plain_count = users.iter().filter(plain).count();
        if plain_count > 0 {
            log::warn!(
                "{}: {plain_count} passwords are not hashed (argon2 in the PHC format)",
                self.path.display()
            );
        }
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        Ok(())
    }

    /// Whether this is a password of this user, who may have several: a line each.
    pub(crate) fn accepts(&self, name: &[u8], password: &[u8]) -> bool {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        let mut lines = users.iter().filter(|user| user.name == name).peekable();
        if lines.peek().is_none() {
            // As slow as for a user whom we know: nobody learns names by the time it takes.
            let hashed = |user: &&User| matches!(user.secret, Secret::Hashed { .. });
            if let Some(other) = users.iter().find(hashed) {
                self.is_password(other, password);
            }
        }
        lines.any(|user| self.is_password(user, password))
    }

    fn is_password(&self, user: &User, password: &[u8]) -> bool {
        let digest = self.digest(password);
        match &user.secret {
            Secret::Plain(known) => *known == digest,
            Secret::Hashed { known, .. } if known.get() == Some(&digest) => true,
            Secret::Hashed { hash, known } => {
                let verified = Argon2::default()
                    .verify_password(password, hash.as_ref())
                    .is_ok();
                if verified {
                    known.get_or_init(|| digest);
                }
                verified
            }
        }
    }

    fn digest(&self, password: &[u8]) -> Digest {
        self.keys.each_ref().map(|keys| keys.hash_one(password))
    }

    /// A user a line: the name ends at the first colon, the password at the line's end. No line at
    /// all lets nobody in.
    fn parse(&self, bytes: &[u8]) -> io::Result<Vec<User>> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lines = bytes.split(|&byte| byte == b'\n').enumerate();
        lines
            .map(|(number, line)| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                self.user(line).map_err(|what| {
                    let message = format!("line {}: {what}", number + 1);
                    io::Error::new(ErrorKind::InvalidData, message)
                })
            })
            .collect()
    }

    fn user(&self, line: &[u8]) -> Result<User, &'static str> {
        let colon = memchr::memchr(b':', line).ok_or("not of the form user:password")?;
        let (name, password) = line.split_at(colon);
        let password = password.strip_prefix(b":").unwrap_or(password);
        let hashed = std::str::from_utf8(password)
            .ok()
            .filter(|text| text.starts_with(HASH_PREFIX));
        let secret = match hashed {
            None => Secret::Plain(self.digest(password)),
            Some(text) => {
                let hash = PasswordHash::new(text).map_err(|_| "not a hash in the PHC format")?;
                let cost = Params::try_from(&hash).map_err(|_| "not a hash of argon2")?;
                if cost.m_cost() > MEMORY_KIB_MAX || cost.t_cost() > PASSES_MAX {
                    return Err("a hash that costs more than 64 MiB or 16 passes to check");
                }
                Secret::Hashed {
                    hash: Box::new(hash),
                    known: OnceLock::new(),
                }
            }
        };
        Ok(User {
            name: name.to_vec(),
            secret,
        })
    }
}

impl fmt::Debug for Auth {
    /// Without the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// argon2id with 8 KiB and one pass, of `secret`, made by the reference implementation.
    const HASHED: &str = "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$39tbUSD70LTTCIyCWo9t5sDidhNPptw1P94ISzTyALc";

    fn auth(text: &str) -> io::Result<Auth> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::fs::write(&path, text).unwrap();
        Auth::load(&path)
    }

    #[test]
    fn plain_and_hashed_passwords_are_told_apart() {
        let users = format!("foo:bar\r\nme:my pass:word\nyou:{HASHED}\nfoo:second\nyou:third");
        let auth = auth(&users).unwrap();
        for (user, password, accepted) in [
            ("foo", "bar", true),
            ("foo", "baz", false),
            ("foo", "second", true),
            ("you", "third", true),
            ("me", "my pass:word", true),
            ("you", "secret", true),
            ("you", "secret", true),
            ("you", "secret2", false),
            ("you", HASHED, false),
            ("nobody", "secret", false),
            ("", "", false),
        ] {
            assert_eq!(
                auth.accepts(user.as_bytes(), password.as_bytes()),
                accepted,
                "{user} {password}"
            );
        }
    }

    #[test]
    fn bad_files_name_the_line_and_change_nothing() {
        for (text, word) in [
            ("foo:bar\nnonsense\n", "line 2"),
            ("\nfoo:bar", "line 1"),
            ("foo:$argon2id$x", "line 1"),
            (
                "foo:$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ$YWJjZGVmZ2hpamtsbW5vcA",
                "costs",
            ),
        ] {
            let error = auth(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::fs::write(&path, "foo:bar\n").unwrap();
        let auth = Auth::load(&path).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
        assert!(auth.reload().is_err());
        assert!(auth.accepts(b"foo", b"bar"));
        std::fs::write(&path, "foo:new").unwrap();
        auth.reload().unwrap();
        assert!(!auth.accepts(b"foo", b"bar") && auth.accepts(b"foo", b"new"));
    }

    #[test]
    fn without_a_file_nobody_gets_in() {
        assert!(!Auth::closed().accepts(b"", b""));
        assert!(!auth("").unwrap().accepts(b"", b""));
        assert!(Auth::load(Path::new("/nonexistent")).is_err());
    }
}
