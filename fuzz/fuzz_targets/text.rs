//! Any bytes as a line of the text protocols: understood or refused, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| larder_server::fuzzing::check_text(bytes));
