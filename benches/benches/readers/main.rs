//! Reads without a lock, by hazard slots and by epochs: what a hit costs, what a stalled reader holds back, and
//! what writers pay for many threads. Figures, beside each other in one run; nothing is asserted.
//!
//! `cargo bench -p larder-benches --bench readers [-- instructions | hit | stalled | threads [256] | barrier]`

mod schemes;

use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::{Cache, Ttl};
use larder_benches::key;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use schemes::{
    AsymmetricSlots, BATCH, CHUNK_BYTES, Epochs, GatheredSlots, Locked, Scheme, Slots, Table,
    Unprotected, barrier_for_all, register_barrier,
};

const ITEMS: usize = 1024;
/// 64 MiB of chunks.
const ITEMS_FAR: usize = 1 << 19;
const SPARE: usize = 8192;
const ROUNDS: usize = 15;
const READS: usize = 1 << 19;
/// How long writes are measured beside readers.
const MEASURED: Duration = Duration::from_millis(1000);
const THREADS: [usize; 4] = [1, 16, 64, 256];

fn main() {
    assert!(
        register_barrier(),
        "the system has a barrier for all threads"
    );
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [what, scheme, count] = &asked[..]
        && what == "run"
    {
        run(scheme, count.parse().expect("a number"));
        return;
    }
    let parts: [(&str, fn()); 5] = [
        ("instructions", instructions),
        ("hit", hits),
        ("stalled", stalled),
        ("threads", threads),
        ("barrier", barriers),
    ];
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|arg| arg == name) {
            part();
        }
    }
}

/// Runs `$call::<S>($args)` for the scheme of a name.
macro_rules! by_name {
    ($name:expr, $call:ident ( $($arg:expr),* )) => {
        match $name {
            name if name == Unprotected::NAME => $call::<Unprotected>($($arg),*),
            name if name == Locked::NAME => $call::<Locked>($($arg),*),
            name if name == Slots::NAME => $call::<Slots>($($arg),*),
            name if name == GatheredSlots::NAME => $call::<GatheredSlots>($($arg),*),
            name if name == AsymmetricSlots::NAME => $call::<AsymmetricSlots>($($arg),*),
            name if name == Epochs::NAME => $call::<Epochs>($($arg),*),
            other => panic!("no scheme {other}"),
        }
    };
}

const ALL: [&str; 6] = [
    Unprotected::NAME,
    Locked::NAME,
    Slots::NAME,
    GatheredSlots::NAME,
    AsymmetricSlots::NAME,
    Epochs::NAME,
];
const WITHOUT_LOCK: [&str; 4] = [
    Slots::NAME,
    GatheredSlots::NAME,
    AsymmetricSlots::NAME,
    Epochs::NAME,
];

/// What a process does whose instructions are counted: reads, or, with a `-` before the scheme, replacements.
fn run(scheme: &str, count: usize) {
    let table = Table::new(ITEMS, SPARE);
    match scheme.strip_prefix('-') {
        Some(scheme) => by_name!(scheme, replace_all(table, count)),
        None => _ = black_box(by_name!(scheme, read_all(table, count))),
    }
}

#[inline(never)]
fn read_all<S: Scheme>(table: &'static Table, count: usize) -> u64 {
    let mask = table.items() - 1;
    (0..count).fold(0, |sum, at| {
        sum ^ S::read(table, at.wrapping_mul(769) & mask)
    })
}

/// An order in which no cache line is next to the one before.
fn scattered(at: usize) -> usize {
    at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

#[inline(never)]
fn replace_all<S: Scheme>(table: &'static Table, count: usize) {
    let mask = table.items() - 1;
    for at in 0..count {
        table.replace::<S>(scattered(at) & mask);
    }
}

/// Instructions of a read and of a replacement, by callgrind, as differences of two runs of this program.
fn instructions() {
    println!("instructions, one thread     a read   a replacement (callgrind)");
    for name in ALL {
        let read = instructions_each(name);
        let replacement = instructions_each(&format!("-{name}"));
        match (read, replacement) {
            (Some(read), Some(replacement)) => {
                println!("{name:28} {read:6.1} {replacement:15.1}");
            }
            _ => println!("{name:28} callgrind did not run"),
        }
    }
}

fn instructions_each(scheme: &str) -> Option<f64> {
    let counts = [10_000, 110_000].map(|count: usize| {
        let exe = std::env::current_exe().ok()?;
        let valgrind = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(exe)
            .args(["run", scheme, &count.to_string()])
            .output()
            .ok()?;
        let words = String::from_utf8(valgrind.stderr).ok()?;
        let collected = words.split("Collected :").nth(1)?;
        collected.split_whitespace().next()?.parse::<f64>().ok()
    });
    Some((counts[1]? - counts[0]?) / 100_000.0)
}

/// Time of a read by one thread and by two, of chunks in the nearest cache and of chunks in none, all schemes in turn.
fn hits() {
    println!("ns of own time a read, medians of {ROUNDS} rounds in turn");
    println!(
        "chunks in                      the nearest cache     2 threads      no cache     2 threads"
    );
    let tables = [ITEMS, ITEMS_FAR].map(|items| Table::new(items, SPARE));
    let mut times: [[[Vec<f64>; 2]; 2]; ALL.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (name, times) in ALL.iter().zip(&mut times) {
            for (table, times) in tables.into_iter().zip(times) {
                times[0].push(by_name!(*name, time_of_reads(table)));
                let both = thread::scope(|scope| {
                    let read = || by_name!(*name, time_of_reads(table));
                    let threads = [(); 2].map(|()| scope.spawn(read));
                    threads.map(|thread| thread.join().expect("it reads"))
                });
                times[1].push(f64::midpoint(both[0], both[1]));
            }
        }
    }
    for (name, times) in ALL.iter().zip(times) {
        let [[near, near_two], [far, far_two]] = times.map(|times| times.map(median));
        println!("{name:30} {near:17.1} {near_two:13.1} {far:13.1} {far_two:13.1}");
    }
}

/// Nanoseconds of the thread's own time for a read.
fn time_of_reads<S: Scheme>(table: &'static Table) -> f64 {
    let before = own_time();
    black_box(read_all::<S>(table, READS));
    (own_time() - before).as_nanos() as f64 / READS as f64
}

/// What a reader that stalls holds back, and what waits at most when none does.
fn stalled() {
    let replaced = 100_000;
    println!(
        "bytes gone and not free, of {} replaced     a reader stalls   none does: at most",
        replaced * CHUNK_BYTES
    );
    for name in WITHOUT_LOCK {
        let (stalled, at_most) = by_name!(name, held_back(replaced));
        println!("{name:46} {stalled:10} {at_most:15}");
    }
}

fn held_back<S: Scheme>(replaced: usize) -> (usize, usize) {
    let table = Table::new(ITEMS, 2 * replaced);
    let mut stalled = 0;
    S::stall(table, 0, || {
        thread::scope(|scope| {
            scope.spawn(|| replace_all::<S>(table, replaced));
        });
        stalled = table.retired_bytes();
    });
    let is_over = AtomicBool::new(false);
    let table = Table::new(ITEMS, 2 * replaced);
    let at_most = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                black_box(read_all::<S>(table, 1000));
            }
        });
        let steps = (0..replaced / 100).map(|_| {
            replace_all::<S>(table, 100);
            table.retired_bytes()
        });
        let at_most = steps.max().unwrap_or_default();
        is_over.store(true, Ordering::Relaxed);
        at_most
    });
    (stalled, at_most)
}

/// What a replacement costs beside many threads that have read once, or that read all the time.
fn threads() {
    println!(
        "ns of own time     other threads      idle:  replace      active:  replace   reads/s of all"
    );
    let asked: Vec<usize> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    for count in THREADS {
        if !asked.is_empty() && !asked.contains(&count) {
            continue;
        }
        for name in WITHOUT_LOCK {
            let table = Table::new(ITEMS, 1 << 20);
            let read = |_: usize| _ = black_box(by_name!(name, read_all(table, 100)));
            let write = || by_name!(name, replace_all(table, 1000));
            report(name, count, &read, &write, 100);
        }
        let cache = Cache::with_limit(64 << 20).expect("a legal limit");
        let number = AtomicU64::new(0);
        let set = || {
            let number = number.fetch_add(1, Ordering::Relaxed);
            cache
                .set(&key(number), &[0; 100], Ttl::NEVER)
                .expect("it evicts");
        };
        while cache.stats().evictions < 100_000 {
            (0..10_000).for_each(|_| set());
        }
        let write = || (0..1000).for_each(|_| set());
        let read = |seed: usize| {
            let newest = number.load(Ordering::Relaxed);
            for step in 0..100 {
                let number = newest - 1 - (seed as u64 * 7919 + step * 104_729) % 100_000;
                cache.get_with(&key(number), |item| _ = black_box(item.value().len()));
            }
        };
        report("larder, evicting sets, gets", count, &read, &write, 100);
    }
}

fn report(
    name: &str,
    count: usize,
    read: &(impl Fn(usize) + Sync),
    write: &impl Fn(),
    reads: usize,
) {
    let [idle, active] = [false, true].map(|is_active| beside(count, read, write, is_active));
    let rate = active.1 * reads as f64;
    println!(
        "{name:30} {count:4} {:22.0} {:18.0} {rate:16.0}",
        idle.0, active.0
    );
}

/// Nanoseconds of a write beside `count` threads that read, and calls of `read` a second of them all.
fn beside(
    count: usize,
    read: &(impl Fn(usize) + Sync),
    write: &impl Fn(),
    is_active: bool,
) -> (f64, f64) {
    let (all_read, is_over) = (Barrier::new(count + 1), AtomicBool::new(false));
    let calls = AtomicU64::new(0);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..count)
            .map(|seed| {
                let (all_read, is_over, calls) = (&all_read, &is_over, &calls);
                scope.spawn(move || {
                    read(seed);
                    all_read.wait();
                    while !is_over.load(Ordering::Relaxed) {
                        if is_active {
                            read(seed);
                            calls.fetch_add(1, Ordering::Relaxed);
                            // Of 256 that never yield, the writer would wait for seconds.
                            thread::yield_now();
                        } else {
                            thread::park();
                        }
                    }
                })
            })
            .collect();
        all_read.wait();
        let mut times = Vec::new();
        let (began, calls_before) = (Instant::now(), calls.load(Ordering::Relaxed));
        while began.elapsed() < MEASURED {
            let before = own_time();
            write();
            times.push((own_time() - before).as_nanos() as f64 / 1000.0);
        }
        let calls = calls.load(Ordering::Relaxed) - calls_before;
        let rate = calls as f64 / began.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.thread().unpark();
        }
        (median(times), rate)
    })
}

/// What the barrier for all threads costs a writer, beside threads that run.
fn barriers() {
    println!("us of own time of a barrier for all threads by membarrier, beside so many that read");
    println!(
        "others     median       mean   99th in a hundred   mean ns for each of {BATCH} frees"
    );
    let table = Table::new(ITEMS, SPARE);
    let read = |_: usize| _ = black_box(read_all::<AsymmetricSlots>(table, 1000));
    for count in [0, 1, 2, 16, 256] {
        let times = Mutex::new(Vec::new());
        let write = || {
            let mut times = times.lock();
            for _ in 0..1000 {
                let before = own_time();
                barrier_for_all();
                times.push((own_time() - before).as_nanos() as f64 / 1000.0);
            }
        };
        beside(count, &read, &write, true);
        let mut times = times.into_inner();
        times.sort_unstable_by(f64::total_cmp);
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let (middle, high) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let each = mean * 1000.0 / BATCH as f64;
        println!("{count:6} {middle:10.2} {mean:10.2} {high:19.2} {each:25.1}");
    }
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("since the thread began"),
        time.tv_nsec.try_into().expect("below a second"),
    )
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
