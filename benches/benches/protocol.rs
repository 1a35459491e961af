//! The text protocol without sockets: pipelines of gets and sets through a session.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_benches::{Keys, filled, key};
use larder_server::{Config, Session};

const ITEMS: u64 = 100_000;
const PIPELINE: u64 = 32;

fn pipelines(criterion: &mut Criterion) {
    let mut session = Session::new(Arc::new(filled(ITEMS, 100)), Config::default());
    let mut keys = Keys::uniform(ITEMS);
    let mut output = Vec::new();
    let mut group = criterion.benchmark_group("pipeline of 32");
    group.throughput(Throughput::Elements(PIPELINE));
    let mut key_text = || String::from_utf8_lossy(&key(keys.next_number())).into_owned();
    let gets: String = (0..PIPELINE)
        .map(|_| format!("get {}\r\n", key_text()))
        .collect();
    let value = "v".repeat(100);
    let sets: String = (0..PIPELINE)
        .map(|_| format!("set {} 0 0 100\r\n{value}\r\n", key_text()))
        .collect();
    let keys: Vec<String> = (0..PIPELINE).map(|_| key_text()).collect();
    let multiget = format!("get {}\r\n", keys.join(" "));
    for (name, requests) in [
        ("gets", gets),
        ("sets", sets),
        ("one get of 32 keys", multiget),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                output.clear();
                session.receive(requests.as_bytes(), &mut output)
            });
        });
    }
}

criterion_group!(benches, pipelines);
criterion_main!(benches);
