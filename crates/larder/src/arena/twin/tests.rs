//! Sequences by chance, few enough for every run of the tests.

use super::run;

#[cfg(not(miri))]
mod by_chance {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn an_arena_does_what_its_twin_does(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
            super::run(&bytes);
        }
    }
}

/// The same sequences each time, and few: Miri is slow, and slowest where chance comes from.
#[test]
fn an_arena_does_what_its_twin_does_in_short() {
    for seed in 0..SEQUENCES {
        let mut state = seed;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        let bytes: Vec<u8> = std::iter::repeat_with(next).take(SEQUENCE_BYTES).collect();
        run(&bytes);
    }
}

const SEQUENCES: u64 = 12;
const SEQUENCE_BYTES: usize = 300;
