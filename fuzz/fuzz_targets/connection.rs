//! Any bytes on a connection, cut in any way: no panic, bounded output, and the same answer as
//! uncut.
#![no_main]

use std::sync::Arc;

use larder::ManualClock;
use larder_server::{Config, Next, Session, cache_builder};
use libfuzzer_sys::fuzz_target;

/// More than a connection may owe at once: the bound on output, and one value.
const OUTPUT_BYTES_MAX: usize = (256 << 10) + (1 << 20) + 4096;

fn answer(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let config = Config::default();
    let cache = cache_builder(4 << 20, &config)
        .shards(1)
        .clock(ManualClock::default())
        .build()
        .expect("a legal configuration");
    let mut session = Session::new(Arc::new(cache), config);
    let mut all = Vec::new();
    let mut output = Vec::new();
    for piece in pieces {
        let mut next = session.receive(piece, &mut output);
        loop {
            assert!(output.len() <= OUTPUT_BYTES_MAX);
            all.append(&mut output);
            match next {
                Next::Drain => next = session.resume(&mut output),
                Next::Input => break,
                Next::Close => return (all, true),
            }
        }
    }
    (all, false)
}

fuzz_target!(|input: (Vec<u16>, Vec<u8>)| {
    let (cuts, bytes) = input;
    // `stats` tells times and process ids, which differ between two runs.
    if bytes.windows(5).any(|word| word == b"stats") {
        return;
    }
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|&cut| cut as usize % (bytes.len() + 1))
        .collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let pieces: Vec<&[u8]> = cuts
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect();
    assert_eq!(answer(&[&bytes]), answer(&pieces));
});
