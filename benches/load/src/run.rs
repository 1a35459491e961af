//! One run against one server: connect, fill, warm up, measure, add up.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connection::Connection;
use crate::content::hash;
use crate::cpu::{CpuTime, busy_seconds_of_machine, pin, waited_nanos_of_process};
use crate::duress::Duress;
use crate::error::Error;
use crate::phase::{Clock, Done, Live, Pace, Phase, Setting};
use crate::plan::Plan;
use crate::progress::Ticker;
use crate::schedule::Schedule;
use crate::server::Server;
use crate::source::{Share, Source};
use crate::tally::Tally;
use crate::worker::Worker;

/// Sets in flight on a connection while a server is filled.
const PREFILL_PIPELINE: usize = 32;
/// What these sets may add up to on a connection.
const PREFILL_BYTES: usize = 1 << 20;
/// How often the main thread looks after the others.
const LOOK: Duration = Duration::from_millis(20);
/// Descriptors besides those of connections.
const OTHER_DESCRIPTORS: u64 = 64;
/// The share of waiting for a cpu, and of other processes on one, up to which a run counts as
/// undisturbed.
const DISTURBANCE_MAX: f64 = 0.1;
/// Between the start of the threads and the first request that counts.
const HEAD_START: Duration = Duration::from_millis(5);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted, of all threads.
    pub tally: Tally,
    /// From the first request that counts to the last answer.
    pub seconds: f64,
    /// Cpu time of the load's threads in it.
    pub client_cpu_seconds: f64,
    /// Cpu time of the server in it, if its process is known.
    pub server_cpu: Option<CpuTime>,
    /// How long the threads of both, as far as they are known, were ready to run in it while
    /// something else had their cpus.
    pub waited_seconds: f64,
    /// Cpu time that other processes of the machine used in it; none if the server's is not known.
    pub foreign_seconds: Option<f64>,
    /// Requests whose time had come, but that were not sent before the end of an open loop.
    pub unsent: u64,
    /// How long what the server was asked besides went on.
    pub duress_seconds: Option<f64>,
    /// Whether the user ended it early.
    pub was_interrupted: bool,
}

/// What happens besides begins after one part in so many of the time.
const DURESS_AFTER: u64 = 4;

/// Stores every key once.
///
/// # Errors
/// The server fails.
pub fn fill(server: &Server, plan: &Plan, ticker: &Ticker) -> Result<Tally, Error> {
    let setting = setting(plan);
    let workers = connect(server, plan, &setting)?;
    let value_bytes = plan
        .sizes
        .as_ref()
        .map_or(0, crate::sizes::Sizes::bytes_max);
    let pipeline = (PREFILL_BYTES / value_bytes.max(1)).clamp(1, PREFILL_PIPELINE);
    let phase = |share| Phase {
        source: Source::of_every_key(plan.key_count, share),
        pace: Pace::Closed,
        pipeline,
        multi_get: 1,
        start_nanos: 0,
        measure_from_nanos: 0,
        end_nanos: u64::MAX,
        interval: None,
        requests_max: u64::MAX,
    };
    let what = format!("storing {} keys", plan.key_count);
    let watch = Watch {
        what: &what,
        measure_from_nanos: 0,
        pid: None,
    };
    run(server, plan, &setting, workers, &phase, ticker, &watch).map(|outcome| outcome.tally)
}

/// Warms up and measures.
///
/// # Errors
/// The server fails, or the system refuses something.
pub fn measure(server: &Server, plan: &Plan, ticker: &Ticker) -> Result<Outcome, Error> {
    let setting = setting(plan);
    let workers = connect(server, plan, &setting)?;
    let start_nanos = setting.clock.now_nanos() + nanos(HEAD_START);
    let measure_from_nanos = start_nanos + nanos(plan.warmup);
    let end_nanos = plan.time.map_or(u64::MAX, |time| {
        measure_from_nanos.saturating_add(nanos(time))
    });
    let cursor = Arc::new(AtomicU64::new(0));
    let phase = |share: Share| Phase {
        source: Source::new(
            plan.mix,
            &plan.keys,
            plan.key_count,
            plan.seed,
            share,
            &cursor,
        ),
        pace: plan.rate.map_or(Pace::Closed, |rate| {
            Pace::Open(Schedule::new(
                rate.per_second / share.threads as f64,
                rate.arrivals,
                start_nanos,
                share.thread as f64 / share.threads as f64,
                hash(plan.seed ^ share.thread),
            ))
        }),
        pipeline: plan.pipeline,
        multi_get: plan.multi_get,
        start_nanos,
        measure_from_nanos,
        end_nanos,
        interval: plan.interval,
        requests_max: plan.requests.map_or(u64::MAX, |requests| {
            let rest = requests % share.threads;
            requests / share.threads + u64::from(share.thread < rest)
        }),
    };
    let watch = Watch {
        what: "measuring",
        measure_from_nanos,
        pid: server.pid,
    };
    let duress_nanos = measure_from_nanos + nanos(plan.time.unwrap_or_default()) / DURESS_AFTER;
    std::thread::scope(|scope| {
        let happen = |duress: Duress| {
            while setting.clock.now_nanos() < duress_nanos {
                if setting.stops.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                std::thread::sleep(LOOK);
            }
            duress.happen(server, plan.timeout).map(Some)
        };
        let duress = plan
            .duress
            .map(|duress| scope.spawn(move || happen(duress)));
        let mut outcome = run(server, plan, &setting, workers, &phase, ticker, &watch)?;
        if let Some(duress) = duress {
            let happened = duress.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            outcome.duress_seconds = happened.map(|time| time.as_secs_f64());
        }
        Ok(outcome)
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn setting(plan: &Plan) -> Setting {
    Setting {
        content: Arc::new(plan.content()),
        clock: Clock::start(),
        timeout: plan.timeout,
        spins: plan.spins,
        fills_misses: plan.fills_misses,
        stops: Arc::new(AtomicBool::new(false)),
    }
}

/// A worker for every thread, all connected.
fn connect(server: &Server, plan: &Plan, setting: &Setting) -> Result<Vec<Worker>, Error> {
    allow_descriptors(plan.connections)?;
    let worker = |thread: usize| {
        let rest = plan.connections % plan.threads;
        let count = plan.connections / plan.threads + usize::from(thread < rest);
        let connections = (0..count)
            .map(|_| {
                let socket = server.connect_nonblocking(plan.timeout)?;
                Ok(Connection::new(socket, plan.protocol, plan.verifies))
            })
            .collect::<Result<_, Error>>()?;
        Worker::new(setting.clone(), connections).map_err(|error| Error::system("poll", error))
    };
    (0..plan.threads).map(worker).collect()
}

/// Raises the limit on open files as far as it goes.
fn allow_descriptors(connections: usize) -> Result<(), Error> {
    let needed = connections as u64 + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let has = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if has(limit.current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    if has(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "--connections {connections}: the system allows {} open files (ulimit -n)",
        limit.maximum.unwrap_or(u64::MAX)
    )))
}

/// What the main thread does while the others work.
struct Watch<'a> {
    what: &'a str,
    measure_from_nanos: u64,
    pid: Option<u32>,
}

fn run(
    server: &Server,
    plan: &Plan,
    setting: &Setting,
    workers: Vec<Worker>,
    phase: &dyn Fn(Share) -> Phase,
    ticker: &Ticker,
    watch: &Watch<'_>,
) -> Result<Outcome, Error> {
    let lives: Vec<Arc<Live>> = workers.iter().map(Worker::live).collect();
    let threads = workers.len() as u64;
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for (thread, mut worker) in workers.into_iter().enumerate() {
            let share = Share {
                thread: thread as u64,
                threads,
            };
            let phase = phase(share);
            let cpu = plan.cpus.of_thread(thread);
            let stops = Arc::clone(&setting.stops);
            handles.push(scope.spawn(move || {
                let done = match cpu.map_or(Ok(()), |cpu| pin(&[cpu])) {
                    Ok(()) => worker.run(phase).map_err(|fault| server.fault(fault)),
                    Err(error) => Err(Error::system("pin a thread (--cpus)", error)),
                };
                if done.is_err() {
                    stops.store(true, Ordering::Relaxed);
                }
                done
            }));
        }
        let watched = look_after(&handles, setting, &lives, ticker, watch);
        let mut dones = Vec::new();
        let mut failure = None;
        for handle in handles {
            match handle.join() {
                Ok(Ok(done)) => dones.push(done),
                // The failure that stopped the others, not what they saw of it.
                Ok(Err(error)) => failure = Some(failure.unwrap_or(error)),
                Err(panic) => resume_unwind(panic),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => watched.map(|watched| add_up(&dones, watched)),
        }
    })
}

/// What the main thread saw.
struct Watched {
    server_cpu: Option<CpuTime>,
    server_waited_nanos: u64,
    machine_busy_seconds: Option<f64>,
    was_interrupted: bool,
}

fn look_after(
    handles: &[ScopedJoinHandle<'_, Result<Done, Error>>],
    setting: &Setting,
    lives: &[Arc<Live>],
    ticker: &Ticker,
    watch: &Watch<'_>,
) -> Result<Watched, Error> {
    let read_cpu = || {
        let read = |pid| {
            let tried = || format!("read the cpu time of process {pid}");
            match CpuTime::of_process(pid) {
                Ok(server) => Ok(Readings {
                    server,
                    server_waited_nanos: waited_nanos_of_process(pid).unwrap_or(0),
                    machine_busy_seconds: busy_seconds_of_machine(),
                }),
                Err(error) => Err(Error::system(tried(), error)),
            }
        };
        watch.pid.map(read).transpose()
    };
    let mut start = None;
    let mut was_interrupted = false;
    while !handles.iter().all(ScopedJoinHandle::is_finished) {
        let now = setting.clock.now_nanos();
        let mut pause = LOOK;
        if start.is_none() {
            if now >= watch.measure_from_nanos {
                start = Some(read_cpu());
            } else {
                pause = pause.min(Duration::from_nanos(watch.measure_from_nanos - now));
            }
        }
        if ticker.is_interrupted() {
            was_interrupted = true;
            setting.stops.store(true, Ordering::Relaxed);
        }
        ticker.show(
            watch.what,
            now.saturating_sub(watch.measure_from_nanos),
            lives,
        );
        std::thread::sleep(pause);
    }
    ticker.clear();
    let mut watched = Watched {
        server_cpu: None,
        server_waited_nanos: 0,
        machine_busy_seconds: None,
        was_interrupted,
    };
    // A server that is gone by now has its failure told by the threads.
    if let (Some(start), Ok(Some(end))) = (start.transpose()?.flatten(), read_cpu()) {
        watched.server_cpu = Some(end.server.since(start.server));
        watched.server_waited_nanos = end
            .server_waited_nanos
            .saturating_sub(start.server_waited_nanos);
        let busy = end.machine_busy_seconds.zip(start.machine_busy_seconds);
        watched.machine_busy_seconds = busy.map(|(end, start)| end - start);
    }
    Ok(watched)
}

/// What the system says at one instant.
struct Readings {
    server: CpuTime,
    server_waited_nanos: u64,
    machine_busy_seconds: Option<f64>,
}

fn add_up(dones: &[Done], watched: Watched) -> Outcome {
    let mut outcome = Outcome {
        tally: Tally::default(),
        seconds: 0.0,
        client_cpu_seconds: 0.0,
        server_cpu: watched.server_cpu,
        waited_seconds: watched.server_waited_nanos as f64 / 1e9,
        foreign_seconds: None,
        unsent: 0,
        duress_seconds: None,
        was_interrupted: watched.was_interrupted,
    };
    for done in dones {
        outcome.tally.add(&done.tally);
        outcome.seconds = outcome.seconds.max(done.elapsed_nanos as f64 / 1e9);
        outcome.client_cpu_seconds += done.cpu_nanos as f64 / 1e9;
        outcome.waited_seconds += done.waited_nanos as f64 / 1e9;
        outcome.unsent += done.unsent;
    }
    let known = watched.machine_busy_seconds.zip(watched.server_cpu);
    outcome.foreign_seconds =
        known.map(|(busy, server)| busy - server.seconds() - outcome.client_cpu_seconds);
    outcome
}

impl Outcome {
    /// Requests answered a second.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.tally.total().requests as f64 / self.seconds.max(1e-9)
    }

    /// The share of the time for which a thread waited for a cpu that something else had.
    #[must_use]
    pub fn waited_share(&self) -> f64 {
        self.waited_seconds / self.seconds.max(1e-9)
    }

    /// Whether other processes used so much of the cpus that the figures say little: threads waited,
    /// and not for threads of the same server alone.
    #[must_use]
    pub fn was_disturbed(&self) -> bool {
        let is_much = |seconds: f64| seconds / self.seconds.max(1e-9) > DISTURBANCE_MAX;
        is_much(self.waited_seconds) && self.foreign_seconds.is_none_or(is_much)
    }

    /// Values that were not the ones stored.
    #[must_use]
    pub fn wrong_values(&self) -> u64 {
        self.tally.total().wrong
    }

    /// Microseconds of the load's own cpu a request.
    #[must_use]
    pub fn client_cpu_micros(&self) -> f64 {
        self.per_request_micros(self.client_cpu_seconds)
    }

    /// Seconds as microseconds a request.
    #[must_use]
    pub fn per_request_micros(&self, seconds: f64) -> f64 {
        seconds * 1e6 / (self.tally.total().requests.max(1)) as f64
    }
}
