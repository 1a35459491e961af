//! Hand-worked sequences, naive twins, and the promise that no policy exceeds its capacity.

use super::*;
use crate::replay::{Reading, replay};
use crate::sketch::mix;

fn trace_of(keys: &[Key]) -> Trace {
    let mut text = String::from("key_id,size_bytes,op,ttl_s,time_s\n");
    for key in keys {
        text.push_str(&format!("{key},1,g,0,0\n"));
    }
    Trace::parse(text.as_bytes()).unwrap()
}

/// Which accesses hit, `h` or `.` each.
fn pattern(spec: &str, capacity: u64, keys: &[Key]) -> String {
    let trace = trace_of(keys);
    let space = Space::new(capacity, vec![1; trace.key_count()]);
    let mut policy = build(spec, space, &trace).unwrap();
    keys.iter()
        .map(|&key| {
            if policy.access(key) == Access::Hit {
                'h'
            } else {
                '.'
            }
        })
        .collect()
}

/// A skewed sequence of keys below `key_count`, the same every time.
fn skewed(key_count: u64, length: u64) -> Vec<Key> {
    (0..length)
        .map(|index| (mix(index) % (mix(index + length) % key_count + 1)) as Key)
        .collect()
}

#[test]
fn lru_evicts_the_least_recently_used() {
    assert_eq!(pattern("lru", 2, &[0, 1, 0, 2, 0, 1]), "..h.h.");
}

#[test]
fn segmented_keeps_what_was_hit_twice() {
    // In a full cache key 0 is hit twice and moves to WARM; the scan passes through COLD and is evicted.
    let mut keys: Vec<Key> = (1..10).collect();
    keys.extend([0, 0, 0]);
    keys.extend(10..40);
    keys.extend([0, 10]);
    assert!(pattern("segmented", 10, &keys).ends_with("h."));
}

#[test]
fn sieve_spares_the_visited_and_keeps_its_place() {
    // The hand spares 0, evicts 1, and goes on from 2: the next victim is 2, not 0.
    assert_eq!(
        pattern("sieve", 3, &[0, 1, 2, 0, 3, 4, 0, 3, 2]),
        "...h..hh."
    );
}

#[test]
fn s3_fifo_remembers_what_it_evicted() {
    // With a probation of one, 0 is evicted by 2, and by its ghost comes back to main, where a scan does not reach it.
    assert_eq!(
        pattern("s3-fifo:share=0.1", 10, &[0, 0, 0, 1, 2, 3, 4]),
        ".hh...."
    );
    let mut keys: Vec<Key> = (0..12).collect();
    keys.extend([0, 20, 21, 22, 23, 0]);
    assert!(pattern("s3-fifo:share=0.1", 10, &keys).ends_with('h'));
}

#[test]
fn arc_protects_the_twice_seen_from_a_scan() {
    assert_eq!(pattern("arc", 3, &[0, 0, 1, 2, 3, 4, 5, 0]), ".h.....h");
}

#[test]
fn tiny_lfu_admits_only_the_more_frequent() {
    assert_eq!(
        pattern("tiny-lfu", 3, &[0, 0, 0, 1, 1, 1, 2, 3, 4, 0, 1]),
        ".hh.hh...hh"
    );
}

#[test]
fn gdsf_prefers_the_small() {
    let trace = trace_of(&[0, 1, 2]);
    let mut policy = build("gdsf", Space::new(10, vec![1, 8, 3]), &trace).unwrap();
    for key in [0, 1, 2] {
        assert_eq!(policy.access(key), Access::Miss);
    }
    assert_eq!(policy.access(0), Access::Hit);
    assert_eq!(policy.access(1), Access::Miss);
}

#[test]
fn belady_evicts_what_is_used_last() {
    assert_eq!(pattern("belady", 2, &[0, 1, 2, 0, 1, 2]), "...hh.");
}

#[test]
fn clock_pro_lets_a_scan_pass() {
    let mut keys = vec![0, 1, 0, 1, 0, 1];
    keys.extend(10..20);
    keys.extend([0, 1]);
    assert!(pattern("clock-pro", 5, &keys).ends_with("hh"));
}

#[test]
fn larder_promotes_at_the_second_hit() {
    for order in 0..2 {
        let spec = format!("larder:adapt=0,window=1,fill=1,slot={order}");
        let mut keys = vec![0, 0, 0];
        keys.extend(1..40);
        keys.push(0);
        assert!(pattern(&spec, 10, &keys).ends_with('h'), "{order}");
    }
}

#[test]
fn lru_agrees_with_its_naive_twin() {
    let keys = skewed(50, 5000);
    let mut held: Vec<Key> = Vec::new();
    let mut twin = String::new();
    for &key in &keys {
        let position = held.iter().position(|&other| other == key);
        twin.push(if position.is_some() { 'h' } else { '.' });
        match position {
            Some(position) => drop(held.remove(position)),
            None if held.len() == 20 => drop(held.remove(0)),
            None => {}
        }
        held.push(key);
    }
    assert_eq!(pattern("lru", 20, &keys), twin);
}

#[test]
fn no_policy_exceeds_its_capacity_nor_beats_the_optimum() {
    let keys = skewed(300, 20_000);
    let trace = trace_of(&keys);
    let sizes: Vec<u32> = (0..trace.key_count())
        .map(|key| 1 + (mix(key as u64) % 40) as u32)
        .collect();
    let spaces = [
        Space::new(40, vec![1; trace.key_count()]),
        Space::new(1, vec![1; trace.key_count()]),
        Space::new(1000, sizes),
    ];
    for space in spaces {
        let run = |spec: &str| {
            let mut policy = build(spec, space.clone(), &trace).unwrap();
            replay(&trace, Reading::Plain, policy.as_mut()).misses
        };
        let optimum = run("belady");
        for name in NAMES
            .iter()
            .copied()
            .chain(["larder:slot=0", "larder:steps=4"])
        {
            let mut policy = build(name, space.clone(), &trace).unwrap();
            for (index, &key) in keys.iter().enumerate() {
                policy.access(key);
                assert!(policy.used() <= space.capacity, "{name}");
                if index % 7 == 0 && name != "belady" {
                    policy.remove(keys[index / 2]);
                }
            }
            assert!(run(name) >= optimum, "{name}");
        }
    }
}

#[test]
fn a_misspelt_parameter_is_refused() {
    let trace = trace_of(&[0]);
    assert!(build("s3-fifo:shar=1", Space::new(1, vec![1]), &trace).is_err());
    assert!(build("nonesuch", Space::new(1, vec![1]), &trace).is_err());
}
