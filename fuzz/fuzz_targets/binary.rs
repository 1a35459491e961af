//! Any bytes as the start of a packet: understood or refused, by its header alone.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| larder_server::fuzzing::check_binary(bytes));
