//! Any sequence of steps on an arena: pages, wide pages, classes, runs, drains, limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| larder::fuzzing::check_arena(bytes));
