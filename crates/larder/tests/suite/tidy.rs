//! What is cheap to check by machine of how the project is written.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "corpus" && name != "artifacts" {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// Every source file with its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "benches", "fuzz"] {
        files(&root().join(folder), &mut found);
    }
    let root = root();
    let mut sources: Vec<_> = found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    sources.sort();
    assert!(sources.len() > 40, "the sources are there");
    sources
}

/// The code of a file without its unit tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

#[test]
fn every_file_says_its_job_first() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not open with `//!`");
    }
}

#[test]
fn sources_and_documents_are_ascii() {
    let mut found = Vec::new();
    files(&root(), &mut found);
    for path in found {
        let checked = ["rs", "md", "toml", "py", "txt"];
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !extension.is_some_and(|extension| checked.contains(&extension)) {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let line = text
            .split(|&byte| byte == b'\n')
            .position(|line| !line.is_ascii());
        assert_eq!(
            line,
            None,
            "{}: zero-based line with a byte that is not ASCII",
            path.display()
        );
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for (name, text) in sources() {
        let lines = code(&text).lines().count();
        assert!(lines <= 500, "{name} has {lines} lines besides its tests");
    }
}

/// Every call of a cache says what it costs: as O(...), or as another call.
#[test]
fn calls_say_what_they_cost() {
    let mut calls = 0;
    for (name, text) in sources() {
        if !name.starts_with("crates/larder/src/cache/") {
            continue;
        }
        let mut doc = String::new();
        for line in code(&text).lines().map(str::trim) {
            if line.starts_with("pub fn ") || line.starts_with("pub async fn ") {
                let says = doc.contains("O(") || doc.starts_with("/// As [`");
                assert!(says, "{name}: what does this cost? {line}");
                calls += 1;
            }
            match line {
                doc_line if doc_line.starts_with("///") => doc.push_str(doc_line),
                attribute if attribute.starts_with("#[") => {}
                _ => doc.clear(),
            }
        }
    }
    assert!(calls > 60, "the calls are there: {calls}");
}

#[test]
fn the_engine_knows_no_wire() {
    let words = [
        "noreply",
        "exptime",
        "memcached",
        "\\r\\n",
        "STORED",
        "larder_server",
    ];
    for (name, text) in sources() {
        if name.starts_with("crates/larder/src/") {
            for word in words {
                assert!(!code(&text).contains(word), "{name} names {word}");
            }
        }
    }
}

#[test]
fn only_the_maintainer_starts_a_thread() {
    for (name, text) in sources() {
        let is_allowed = name == "crates/larder/src/maintainer.rs";
        let is_engine = name.starts_with("crates/larder/src/") && !name.ends_with("/model.rs");
        let starts =
            code(&text).contains("thread::Builder") || code(&text).contains("thread::spawn");
        assert!(
            is_allowed || !is_engine || !starts,
            "{name} starts a thread"
        );
    }
}

#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    let allowed = [
        "arena/array.rs",
        "arena/map.rs",
        "arena/apart.rs",
        "arena/memory.rs",
        "arena/buckets.rs",
        "arena/mod.rs",
        "arena/run.rs",
    ];
    for (name, text) in sources() {
        let path = name.strip_prefix("crates/larder/src/");
        let is_allowed = path.is_some_and(|path| allowed.contains(&path));
        let is_this_file = name.ends_with("tidy.rs");
        let uses = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(
            is_allowed || is_this_file || !uses,
            "{name} uses unsafe code"
        );
    }
}

#[test]
fn the_wire_layer_knows_nothing_but_itself() {
    for (name, text) in sources() {
        if !name.starts_with("crates/larder-server/src/protocol/") {
            continue;
        }
        for line in code(&text).lines().filter(|line| line.starts_with("use ")) {
            let inside = line.starts_with("use super::") || line.starts_with("use std::");
            assert!(inside, "{name}: {line}");
        }
    }
}

#[test]
fn only_the_event_loops_name_the_poller() {
    for (name, text) in sources() {
        let allowed = ["src/worker", "src/listener", "src/server.rs", "tidy.rs"];
        let is_allowed = allowed.iter().any(|file| name.contains(file));
        assert!(
            is_allowed || !text.contains("mio::"),
            "{name} names the poller"
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    for (name, text) in sources() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{name} contains {mark}");
        }
    }
}
