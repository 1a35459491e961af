//! A server with values on flash, and a client that knows where they are.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::Cache;
use larder_server::{Config, FlashFile, Server, cache_builder, serve};

use crate::sockets::connect;

const MEMORY_BYTES: usize = 16 << 20;

/// A server with values on flash, and the folder that they are in.
pub(crate) struct Flashed {
    pub(crate) server: Server,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cache: Arc<Cache>,
    pub(crate) config: Config,
}

impl Flashed {
    /// `pages` of 2 MiB; `adjust` has the last word.
    pub(crate) fn start(pages: u64, adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.port = 0;
        config.threads = 2;
        config.flash.page_bytes = 2 << 20;
        config.flash.files = vec![FlashFile::new(folder.path().join("values"), pages << 21)];
        config.flash.threads = 2;
        config.knobs.ext_wbuf_size = 2 << 20;
        config.knobs.ext_max_sleep = 10_000;
        adjust(&mut config);
        let cache = cache_builder(MEMORY_BYTES, &config).build().unwrap();
        Self::serve(folder, Arc::new(cache), config).unwrap()
    }

    pub(crate) fn serve(
        folder: tempfile::TempDir,
        cache: Arc<Cache>,
        config: Config,
    ) -> std::io::Result<Self> {
        let server = serve(Arc::clone(&cache), config.clone())?;
        Ok(Self {
            server,
            folder,
            cache,
            config,
        })
    }

    pub(crate) fn client(&self) -> Client {
        let stream = connect(&self.server);
        Client {
            reader: BufReader::new(stream.try_clone().unwrap()),
            stream,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("values")
    }
}

pub(crate) struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\r\n").as_bytes());
        self.line()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        let line = format!("set {key} 7 0 {}\r\n", value.len());
        self.send(&[line.as_bytes(), value, b"\r\n"].concat());
        assert_eq!(self.line(), "STORED");
    }

    /// The items of one retrieval that has been sent: key, value.
    pub(crate) fn items(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut items = Vec::new();
        loop {
            let line = self.line();
            if line == "END" {
                return items;
            }
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!((words[0], words[2]), ("VALUE", "7"), "{line}");
            let value = self.bytes(words[3].parse().unwrap());
            assert_eq!(self.line(), "");
            items.push((words[1].to_owned(), value));
        }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.send(format!("get {key}\r\n").as_bytes());
        let mut items = self.items();
        assert!(items.len() < 2);
        items.pop().map(|(found, value)| {
            assert_eq!(found, key);
            value
        })
    }

    pub(crate) fn stats(&mut self) -> HashMap<String, u64> {
        self.send(b"stats\r\n");
        let mut stats = HashMap::new();
        loop {
            let line = self.line();
            if line == "END" {
                return stats;
            }
            let mut words = line.split(' ').skip(1);
            let name = words.next().unwrap().to_owned();
            if let Ok(number) = words.next().unwrap_or_default().parse() {
                stats.insert(name, number);
            }
        }
    }

    pub(crate) fn stat(&mut self, name: &str) -> u64 {
        self.stats()[name]
    }

    /// Whether the value of a key is on flash.
    pub(crate) fn is_away(&mut self, key: &str) -> bool {
        self.send(b"lru_crawler metadump all\r\n");
        let mut away = false;
        loop {
            let line = self.line();
            if line == "END" {
                return away;
            }
            away |= line.starts_with(&format!("key={key} ")) && line.contains(" ext_page=");
        }
    }

    /// Waits until a key's value is on flash: the server moves what has been idle for long enough.
    pub(crate) fn wait_until_away(&mut self, key: &str) {
        let began = Instant::now();
        while !self.is_away(key) {
            assert!(began.elapsed() < Duration::from_secs(60), "{key} stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A value that tells its key and its version.
pub(crate) fn value(key: u32, version: u32, length: usize) -> Vec<u8> {
    let word = format!("{key:08}.{version:06};");
    word.bytes().cycle().take(length).collect()
}

/// Everything goes to flash as soon as it is stored.
pub(crate) fn at_once(config: &mut Config) {
    config.knobs.ext_item_age = 0;
}
