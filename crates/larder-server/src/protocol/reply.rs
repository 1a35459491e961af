//! Reply bytes of the text protocol.

pub(crate) const BAD_COMMAND_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
pub(crate) const BAD_DATA_CHUNK: &str = "CLIENT_ERROR bad data chunk\r\n";
pub(crate) const INVALID_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
pub(crate) const INVALID_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
pub(crate) const NON_NUMERIC: &str =
    "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
pub(crate) const FLUSH_NOT_ALLOWED: &str = "CLIENT_ERROR flush_all not allowed\r\n";
pub(crate) const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated\r\n";
pub(crate) const AUTH_TOO_LONG: &str = "CLIENT_ERROR auth token too long\r\n";
pub(crate) const BAD_TERMINATION: &str = "CLIENT_ERROR bad command line termination\r\n";
pub(crate) const BAD_AUTH_FORMAT: &str = "CLIENT_ERROR bad authentication token format\r\n";
pub(crate) const AUTH_FAILURE: &str = "CLIENT_ERROR authentication failure\r\n";
pub(crate) const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format\r\n";
pub(crate) const TOO_MANY_FLAGS: &str = "CLIENT_ERROR options flags are too long\r\n";
pub(crate) const INVALID_FLAG: &str = "CLIENT_ERROR invalid flag\r\n";
pub(crate) const DUPLICATE_FLAG: &str = "CLIENT_ERROR duplicate flag\r\n";
pub(crate) const INVALID_OR_DUPLICATE_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag\r\n";
pub(crate) const UNDECODABLE_KEY: &str = "CLIENT_ERROR error decoding key\r\n";
pub(crate) const OPAQUE_TOO_LONG: &str = "CLIENT_ERROR opaque token too long\r\n";
pub(crate) const INVALID_INITIAL: &str = "CLIENT_ERROR invalid numeric initial value\r\n";
pub(crate) const INVALID_META_DELTA: &str = "CLIENT_ERROR invalid numeric delta value\r\n";
pub(crate) const INVALID_STORE_MODE: &str = "CLIENT_ERROR invalid mode for ms M token\r\n";
pub(crate) const INVALID_COUNT_MODE: &str = "CLIENT_ERROR invalid mode for ma M token\r\n";
pub(crate) const NO_MEMORY_ALLOCATING: &str = "SERVER_ERROR Out of memory allocating new item\r\n";
pub(crate) const LINE_TOO_LONG: &str = "CLIENT_ERROR line of keys longer than 8388608 bytes\r\n";
pub(crate) const TOO_LARGE: &str = "SERVER_ERROR object too large for cache\r\n";
pub(crate) const NO_MEMORY_STORING: &str = "SERVER_ERROR out of memory storing object\r\n";
pub(crate) const NO_MEMORY_READING: &str = "SERVER_ERROR out of memory reading request\r\n";
pub(crate) const NO_MEMORY_WRITING: &str = "SERVER_ERROR out of memory writing get response\r\n";
pub(crate) const NO_MEMORY: &str = "SERVER_ERROR out of memory\r\n";
pub(crate) const BAD_STATS_LINE: &str = "CLIENT_ERROR bad command line\r\n";
pub(crate) const ILLEGAL_SLAB_ID: &str = "CLIENT_ERROR Illegal slab id\r\n";
pub(crate) const DETAIL_USAGE: &str = "CLIENT_ERROR usage: stats detail on|off|dump\r\n";
pub(crate) const DETAIL_NOT_ALLOWED: &str = "CLIENT_ERROR stats detail not allowed\r\n";
pub(crate) const CACHEDUMP_NOT_ALLOWED: &str = "CLIENT_ERROR stats cachedump not allowed\r\n";
pub(crate) const METADUMP_NOT_ALLOWED: &str = "ERROR metadump not allowed\r\n";
pub(crate) const MGDUMP_NOT_ALLOWED: &str = "ERROR key dump not allowed\r\n";
pub(crate) const WATCH_NOT_ALLOWED: &str = "CLIENT_ERROR watch commands not allowed\r\n";
pub(crate) const WATCHERS_TOO_MANY: &str = "WATCHER_TOO_MANY log watcher limit reached\r\n";
pub(crate) const CRAWLER_DISABLED: &str = "CLIENT_ERROR lru crawler disabled\r\n";
pub(crate) const CRAWLER_SLEEP: &str = "CLIENT_ERROR sleep must be one second or less\r\n";
pub(crate) const CRAWLER_RUNS: &str = "ERROR failed to start lru crawler thread\r\n";
pub(crate) const CRAWL_UNKNOWN: &str = "ERROR an unknown error happened\r\n";
pub(crate) const NOTHING_TO_CRAWL: &str = "NOTSTARTED no items to crawl\r\n";
pub(crate) const BAD_CLASS: &str = "BADCLASS invalid class id\r\n";
pub(crate) const BAD_REASSIGN_CLASS: &str = "BADCLASS invalid src or dst class id\r\n";
pub(crate) const SAME_CLASS: &str = "SAME src and dst class are identical\r\n";
pub(crate) const NO_SPARE_PAGES: &str = "NOSPARE source class has no spare pages\r\n";
pub(crate) const REASSIGN_DISABLED: &str = "CLIENT_ERROR slab reassignment disabled\r\n";
pub(crate) const BAD_AUTOMOVE_WINDOW: &str = "CLIENT_ERROR automove window too low or too high\r\n";
pub(crate) const LRU_SHARES: &str = "ERROR hot and warm pcts must not exceed 80\r\n";
pub(crate) const LRU_FACTORS: &str = "ERROR hot/warm age factors must be greater than 0\r\n";
pub(crate) const MEMLIMIT_TOO_SMALL: &str =
    "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n";
pub(crate) const MEMLIMIT_NOT_MEBIBYTES: &str =
    "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
pub(crate) const MEMLIMIT_FAILED: &str =
    "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";
pub(crate) const SHUTDOWN_DISABLED: &str = "SERVER_ERROR: shutdown not enabled\r\n";
pub(crate) const BAD_SHUTDOWN: &str = "CLIENT_ERROR invalid shutdown mode\r\n";
pub(crate) const RESET: &str = "RESET\r\n";
pub(crate) const TOO_MANY_CONNECTIONS: &str = "ERROR Too many open connections\r\n";
pub(crate) const ERROR: &str = "ERROR\r\n";
pub(crate) const STORED: &str = "STORED\r\n";
pub(crate) const NOT_STORED: &str = "NOT_STORED\r\n";
pub(crate) const EXISTS: &str = "EXISTS\r\n";
pub(crate) const NOT_FOUND: &str = "NOT_FOUND\r\n";
pub(crate) const DELETED: &str = "DELETED\r\n";
pub(crate) const TOUCHED: &str = "TOUCHED\r\n";
pub(crate) const OK: &str = "OK\r\n";
/// The version of memcached whose behaviour is served: clients decide by it what they may ask for.
pub(crate) const WIRE_VERSION: &str = "1.6.45";
pub(crate) const VERSION_LINE: &str = "VERSION 1.6.45\r\n";
pub(crate) const END: &str = "END\r\n";
pub(crate) const META_MISS: &str = "EN\r\n";
pub(crate) const LINE_END: &str = "\r\n";
pub(crate) const META_NOOP: &str = "MN\r\n";

/// Appends a line.
pub(crate) fn line(output: &mut Vec<u8>, text: &str) {
    output.extend_from_slice(text.as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// Appends a fixed reply.
pub(crate) fn fixed(output: &mut Vec<u8>, reply: &str) {
    output.extend_from_slice(reply.as_bytes());
}

/// Appends `VALUE <key> <flags> <bytes>[ <cas>]`, the value and a line end.
pub(crate) fn value(output: &mut Vec<u8>, key: &[u8], flags: u32, value: &[u8], cas: Option<u64>) {
    // One growth for the whole reply: three numbers have at most 40 digits.
    output.reserve(key.len() + value.len() + 64);
    value_head(output, key, flags, value.len(), cas);
    output.extend_from_slice(value);
    output.extend_from_slice(LINE_END.as_bytes());
}

/// Appends what stands before a value of so many bytes. Inlined always: a second caller, for values that come
/// later, would make it a call for all others.
#[inline(always)]
pub(crate) fn value_head(
    output: &mut Vec<u8>,
    key: &[u8],
    flags: u32,
    value_bytes: usize,
    cas: Option<u64>,
) {
    output.extend_from_slice(b"VALUE ");
    output.extend_from_slice(key);
    output.push(b' ');
    number(output, u64::from(flags));
    output.push(b' ');
    number(output, value_bytes as u64);
    if let Some(cas) = cas {
        output.push(b' ');
        number(output, cas);
    }
    output.extend_from_slice(LINE_END.as_bytes());
}

/// Appends a number and a line end.
pub(crate) fn number_line(output: &mut Vec<u8>, value: u64) {
    number(output, value);
    output.extend_from_slice(b"\r\n");
}

/// Appends `STAT <name> <value>`.
pub(crate) fn stat(output: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
}

pub(crate) fn number(output: &mut Vec<u8>, value: u64) {
    output.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
