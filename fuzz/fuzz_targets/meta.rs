//! Any bytes as what follows a word of the meta protocol: understood or refused, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| larder_server::fuzzing::check_meta(bytes));
