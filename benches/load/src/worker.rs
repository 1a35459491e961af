//! A thread of load: one event loop over its connections. The only file here that names the poller.
//!
//! ```text
//! closed loop   reply arrives --> next request on the same connection --> send
//! open loop     its time has come --> next free connection --> send        (replies free them)
//! ```
//!
//! Readiness comes as edges, and a read that fills less than the buffer has emptied the socket: a
//! reply costs one read, and the requests that it makes room for one write. epoll is used directly and
//! not through a portable poller, because those wait in whole milliseconds: an open loop needs less.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::connection::{Arrived, Connection};
use crate::cpu::waited_nanos_of_thread;
use crate::error::Fault;
use crate::intervals::Intervals;
use crate::phase::{Done, Live, Pace, Phase, Setting};
use crate::protocol::Op;
use crate::tally::{OpTally, Tally};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 64 << 10;
const EVENTS: usize = 512;
/// Requests of an open loop that are written before replies are looked at again.
const DUE_MAX: usize = 1024;
/// How often a thread looks up: for the end, for silence, for another thread's failure.
const LOOK_NANOS: u64 = 50_000_000;

/// A thread's connections.
#[derive(Debug)]
pub(crate) struct Worker {
    setting: Setting,
    epoll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    input: Box<[u8]>,
    live: Arc<Live>,
    /// Connections that can take a request, in an open loop.
    free: VecDeque<usize>,
    /// When `free` was last filled after it had been empty.
    free_since_nanos: u64,
    /// Connections with new output, in an open loop.
    touched: Vec<usize>,
    /// The keys of the request that is being written.
    keys: Vec<u64>,
}

/// A phase with what has come of it.
struct Progress {
    phase: Phase,
    tally: Tally,
    /// Nothing more is sent.
    has_ended: bool,
    /// Requests that may still be counted.
    requests_left: u64,
    in_flight: usize,
    /// Cpu time, and time of waiting for a cpu, when counting began.
    cpu_start_nanos: Option<(u64, u64)>,
    last_answer_nanos: u64,
    next_look_nanos: u64,
}

impl Worker {
    /// A worker over connected, non-blocking sockets.
    pub(crate) fn new(setting: Setting, connections: Vec<Connection>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        for (index, connection) in connections.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, connection.socket(), data, flags)?;
        }
        Ok(Self {
            setting,
            epoll,
            connections,
            input: vec![0; READ_BYTES].into_boxed_slice(),
            live: Arc::default(),
            free: VecDeque::new(),
            free_since_nanos: 0,
            touched: Vec::new(),
            keys: Vec::new(),
        })
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Runs a phase to its end and until everything is answered.
    pub(crate) fn run(&mut self, phase: Phase) -> Result<Done, Fault> {
        let requests_left = phase.requests_max;
        let tally = Tally {
            intervals: phase.interval.map(Intervals::new),
            ..Tally::default()
        };
        let wait_nanos = phase
            .start_nanos
            .saturating_sub(self.setting.clock.now_nanos());
        std::thread::sleep(Duration::from_nanos(wait_nanos));
        let mut progress = Progress {
            phase,
            tally,
            has_ended: false,
            requests_left,
            in_flight: 0,
            cpu_start_nanos: None,
            last_answer_nanos: 0,
            next_look_nanos: 0,
        };
        self.begin(&mut progress)?;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = self.setting.clock.now_nanos();
            progress.look(now);
            if now >= progress.next_look_nanos {
                self.look(&mut progress, now)?;
            }
            self.send_due(&mut progress, now)?;
            if progress.has_ended && progress.in_flight == 0 {
                return Ok(progress.done(self.setting.clock.now_nanos()));
            }
            self.wait(&progress, now, &mut events)?;
            for event in events.drain(..) {
                let (data, flags) = (event.data, event.flags);
                #[expect(clippy::cast_possible_truncation, reason = "an index")]
                self.turn(data.u64() as usize, flags, &mut progress)?;
            }
        }
    }

    /// The first requests of a closed loop; in an open one all connections are free.
    fn begin(&mut self, progress: &mut Progress) -> Result<(), Fault> {
        self.free.clear();
        self.free_since_nanos = 0;
        for index in 0..self.connections.len() {
            self.connections[index].owed.clear();
            match progress.phase.pace {
                Pace::Closed => self.refill(index, progress)?,
                Pace::Open(_) => {
                    self.connections[index].is_queued = true;
                    self.free.push_back(index);
                }
            }
        }
        Ok(())
    }

    /// What need not be looked at all the time.
    fn look(&mut self, progress: &mut Progress, now: u64) -> Result<(), Fault> {
        progress.next_look_nanos = now + LOOK_NANOS;
        let total = &progress.tally.ops;
        let sum = |of: fn(&OpTally) -> u64| total.iter().map(of).sum();
        self.live
            .requests
            .store(sum(|op| op.requests), Ordering::Relaxed);
        self.live
            .misses
            .store(sum(|op| op.misses), Ordering::Relaxed);
        self.live
            .refused
            .store(sum(|op| op.refused), Ordering::Relaxed);
        if self.setting.stops.load(Ordering::Relaxed) {
            progress.has_ended = true;
        }
        for connection in &mut self.connections {
            if connection.in_flight() == 0 {
                connection.active_nanos = now;
            }
        }
        let patience = u64::try_from(self.setting.timeout.as_nanos()).unwrap_or(u64::MAX);
        let is_silent = |connection: &&Connection| {
            connection.in_flight() > 0 && now.saturating_sub(connection.active_nanos) > patience
        };
        let mut silent = self.connections.iter().filter(is_silent);
        if let Some(first) = silent.next() {
            return Err(Fault::Silent {
                waited: self.setting.timeout,
                connections: 1 + silent.count(),
                request: first.describe_oldest(&self.setting.content),
            });
        }
        Ok(())
    }

    fn wait(
        &self,
        progress: &Progress,
        now: u64,
        events: &mut Vec<epoll::Event>,
    ) -> Result<(), Fault> {
        let until_nanos = match &progress.phase.pace {
            _ if self.setting.spins => 0,
            Pace::Open(schedule) if !progress.has_ended && !self.free.is_empty() => {
                schedule.next_nanos()
            }
            _ => progress.next_look_nanos,
        };
        let nanos = until_nanos
            .min(progress.next_look_nanos)
            .saturating_sub(now);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(nanos.min(LOOK_NANOS)).unwrap_or(0),
        };
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, room, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Fault::NoEvents(error.into())),
        }
    }

    /// A socket has something.
    fn turn(
        &mut self,
        index: usize,
        flags: EventFlags,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let is_closing = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if is_closing || flags.contains(EventFlags::IN) {
            self.receive(index, is_closing, progress)?;
            match progress.phase.pace {
                Pace::Closed => return self.refill(index, progress),
                Pace::Open(_) => self.free_up(index, progress),
            }
        }
        self.send(index, progress)
    }

    fn receive(
        &mut self,
        index: usize,
        is_closing: bool,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let Self {
            setting,
            connections,
            input,
            ..
        } = self;
        let connection = &mut connections[index];
        let fills_misses = setting.fills_misses;
        loop {
            let bytes = match connection.receive(input) {
                Ok(Arrived::Bytes(bytes)) => bytes,
                Ok(Arrived::Nothing) => return Ok(()),
                Ok(Arrived::End) => return Err(closed(connection, None)),
                Err(error) => return Err(closed(connection, Some(error))),
            };
            let now = setting.clock.now_nanos();
            connection.active_nanos = now;
            let mut owed = std::mem::take(&mut connection.owed);
            let read = connection.read(&input[..bytes], &setting.content, &mut |pending, reply| {
                progress.in_flight -= 1;
                let is_miss = pending.question.op == Op::Get && reply.hits == 0;
                if fills_misses && is_miss && reply.refusal.is_none() {
                    owed.push(reply.key);
                }
                let start = progress.phase.measure_from_nanos;
                if let Some(since_start) = pending.intended_nanos.checked_sub(start) {
                    progress.last_answer_nanos = now;
                    if let Some(intervals) = &mut progress.tally.intervals {
                        intervals.count(since_start, now.saturating_sub(pending.intended_nanos));
                    }
                    progress.tally.count(pending, reply, now);
                }
            });
            connection.owed = owed;
            read.map_err(Fault::WrongReply)?;
            if now >= progress.phase.measure_from_nanos {
                progress.tally.received_bytes += bytes as u64;
            }
            if bytes < input.len() && !is_closing {
                return Ok(());
            }
        }
    }

    /// As many requests as there is room for, in a closed loop; then sends them.
    fn refill(&mut self, index: usize, progress: &mut Progress) -> Result<(), Fault> {
        let room = progress.phase.pipeline;
        if self.connections[index].in_flight() < room && !progress.has_ended {
            let now = self.setting.clock.now_nanos();
            self.store_owed(index, now, progress);
            while self.connections[index].in_flight() < room {
                if !self.ask(index, now, progress) {
                    break;
                }
            }
        }
        self.send(index, progress)
    }

    /// Requests whose time has come, to the free connections in turn.
    fn send_due(&mut self, progress: &mut Progress, now: u64) -> Result<(), Fault> {
        for _ in 0..DUE_MAX {
            let Pace::Open(schedule) = &mut progress.phase.pace else {
                return Ok(());
            };
            let intended = schedule.next_nanos();
            if intended > now || progress.has_ended {
                break;
            }
            let Some(index) = self.free.pop_front() else {
                break;
            };
            schedule.advance();
            self.connections[index].is_queued = false;
            if !self.ask(index, intended, progress) {
                break;
            }
            if intended >= self.free_since_nanos.max(progress.phase.measure_from_nanos) {
                progress.tally.lateness.saturating_record(now - intended);
            }
            self.free_up(index, progress);
            let connection = &mut self.connections[index];
            if !connection.is_touched {
                connection.is_touched = true;
                self.touched.push(index);
            }
        }
        while let Some(index) = self.touched.pop() {
            self.connections[index].is_touched = false;
            self.send(index, progress)?;
        }
        Ok(())
    }

    /// Puts a connection of an open loop into the queue if it has room.
    fn free_up(&mut self, index: usize, progress: &mut Progress) {
        if !self.connections[index].owed.is_empty() && !progress.has_ended {
            let now = self.setting.clock.now_nanos();
            self.store_owed(index, now, progress);
        }
        let connection = &mut self.connections[index];
        if !connection.is_queued && connection.in_flight() < progress.phase.pipeline {
            connection.is_queued = true;
            if self.free.is_empty() {
                self.free_since_nanos = self.setting.clock.now_nanos();
            }
            self.free.push_back(index);
        }
    }

    /// Stores what was missed.
    fn store_owed(&mut self, index: usize, now: u64, progress: &mut Progress) {
        let connection = &mut self.connections[index];
        while let Some(key) = connection.owed.pop() {
            connection.ask(Op::Set, &[key], now, &self.setting.content);
            progress.in_flight += 1;
        }
    }

    /// Writes the next request; whether there was one.
    fn ask(&mut self, index: usize, intended_nanos: u64, progress: &mut Progress) -> bool {
        let is_counted = intended_nanos >= progress.phase.measure_from_nanos;
        if is_counted && progress.requests_left == 0 {
            progress.has_ended = true;
            return false;
        }
        let Some(draw) = progress.phase.source.draw() else {
            progress.has_ended = true;
            return false;
        };
        progress.requests_left -= u64::from(is_counted);
        self.keys.clear();
        self.keys.push(draw.key);
        if draw.op == Op::Get {
            for _ in 1..progress.phase.multi_get {
                self.keys.extend(progress.phase.source.draw_key());
            }
        }
        let connection = &mut self.connections[index];
        connection.ask(draw.op, &self.keys, intended_nanos, &self.setting.content);
        progress.in_flight += 1;
        true
    }

    fn send(&mut self, index: usize, progress: &mut Progress) -> Result<(), Fault> {
        let connection = &mut self.connections[index];
        match connection.send() {
            Ok(bytes) => {
                if progress.cpu_start_nanos.is_some() {
                    progress.tally.sent_bytes += bytes as u64;
                }
                Ok(())
            }
            Err(error) => Err(closed(connection, Some(error))),
        }
    }
}

impl Progress {
    /// What has come with time.
    fn look(&mut self, now: u64) {
        if self.cpu_start_nanos.is_none() && now >= self.phase.measure_from_nanos {
            self.cpu_start_nanos = Some(cpu_nanos());
            // What an overloaded server left undone of the warm-up is not held against it.
            if let Pace::Open(schedule) = &mut self.phase.pace {
                schedule.skip_to(self.phase.measure_from_nanos);
            }
        }
        if now >= self.phase.end_nanos {
            self.has_ended = true;
        }
    }

    fn done(self, now: u64) -> Done {
        let unsent = match self.phase.pace {
            Pace::Closed => 0,
            Pace::Open(schedule) => schedule.due_until(self.phase.end_nanos.min(now)),
        };
        let (cpu_nanos, waited_nanos) = cpu_nanos();
        let (cpu_start, waited_start) = self.cpu_start_nanos.unwrap_or((cpu_nanos, waited_nanos));
        Done {
            tally: self.tally,
            elapsed_nanos: self
                .last_answer_nanos
                .saturating_sub(self.phase.measure_from_nanos),
            cpu_nanos: cpu_nanos.saturating_sub(cpu_start),
            waited_nanos: waited_nanos.saturating_sub(waited_start),
            unsent: unsent.min(self.requests_left),
        }
    }
}

fn closed(connection: &Connection, error: Option<io::Error>) -> Fault {
    Fault::Closed {
        unanswered: connection.in_flight(),
        error,
    }
}

/// Cpu time of this thread, and how long it has waited for a cpu.
fn cpu_nanos() -> (u64, u64) {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let cpu = u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0);
    (cpu, waited_nanos_of_thread().unwrap_or(0))
}
