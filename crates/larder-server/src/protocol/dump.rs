//! Lines about items that dumps consist of.

use std::io::Write;

use super::base64;

/// What `lru_crawler metadump` says of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) key: &'a [u8],
    /// Unix seconds; `None` for never.
    pub(crate) expires_at: Option<u64>,
    pub(crate) accessed_at: u64,
    pub(crate) cas: u64,
    pub(crate) fetched: bool,
    pub(crate) class: u32,
    pub(crate) item_bytes: usize,
    pub(crate) flags: u32,
    /// Page and offset of a value that is not in memory.
    pub(crate) place: Option<(u16, u32)>,
}

/// Appends a line of `metadump`, which ends in a space and a line feed.
pub(crate) fn meta_line(output: &mut Vec<u8>, item: &Item<'_>) {
    output.extend_from_slice(b"key=");
    url_encoded(output, item.key);
    // Writing to memory does not fail.
    let _ = match item.expires_at {
        Some(seconds) => write!(output, " exp={seconds}"),
        None => write!(output, " exp=-1"),
    };
    let fetched = if item.fetched { "yes" } else { "no" };
    let _ = write!(
        output,
        " la={} cas={} fetch={fetched} cls={} size={} flags={} ",
        item.accessed_at, item.cas, item.class, item.item_bytes, item.flags
    );
    if let Some((page, offset)) = item.place {
        let _ = write!(output, "ext_page={page} ext_offset={offset} ");
    }
    output.push(b'\n');
}

/// Appends a line of `mgdump`: the command that reads the item.
pub(crate) fn mg_line(output: &mut Vec<u8>, key: &[u8], is_binary: bool) {
    output.extend_from_slice(b"mg ");
    if is_binary {
        base64::encode(output, key);
        output.extend_from_slice(b" b");
    } else {
        output.extend_from_slice(key);
    }
    output.extend_from_slice(b"\r\n");
}

/// Appends a line of `stats cachedump`.
pub(crate) fn cachedump_line(output: &mut Vec<u8>, key: &[u8], value_bytes: usize, expires: u64) {
    output.extend_from_slice(b"ITEM ");
    output.extend_from_slice(key);
    let _ = write!(output, " [{value_bytes} b; {expires} s]\r\n");
}

/// Appends a key with everything but letters, digits and `-._~` as `%XX`.
pub(crate) fn url_encoded(output: &mut Vec<u8>, key: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            output.push(byte);
        } else {
            let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
            output.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_in_addresses() {
        let mut output = Vec::new();
        url_encoded(&mut output, b"aZ09-._~ /\x00\xff");
        assert_eq!(output, b"aZ09-._~%20%2F%00%FF");
    }
}
