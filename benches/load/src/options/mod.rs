//! From flags to a plan: defaults that depend on each other, and what does not go together.

mod flags;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use larder_simulator::Trace;

use crate::cpu::Cpus;
use crate::error::Error;
use crate::intervals::SLICES_MAX;
use crate::plan::{Plan, Rate, Share};
use crate::protocol::{Op, Protocol};
use crate::schedule::Arrivals;
use crate::server::Target;
use crate::sizes::Sizes;
use crate::source::{Keys, Mix};
use crate::workload::Workload;

use self::flags::{KeyChoice, RateChoice, TtlChoice};

const BYTES_IN_FLIGHT_MAX: usize = 4 << 30;

/// Everything that a command line says.
#[derive(Debug)]
pub struct Options {
    /// One server, or two to compare.
    pub targets: Vec<Target>,
    /// The load.
    pub plan: Plan,
    /// `--suite`
    pub suite: Vec<Workload>,
    /// `--rate` as a part of what the second server answers in a closed loop.
    pub share: Option<Share>,
    /// `--rounds`
    pub rounds: usize,
    /// `--server-pid`
    pub pid: Option<PidChoice>,
    /// `--server-cpus`
    pub server_cpus: Cpus,
    /// `--json`
    pub json: Option<PathBuf>,
    /// `--plot`
    pub plot: Option<PathBuf>,
    /// `--quiet`
    pub is_quiet: bool,
}

/// Which process is the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidChoice {
    /// What its `stats` say.
    Auto,
    /// This one.
    Given(u32),
}

impl Options {
    /// Understands a command line, program name first.
    ///
    /// # Errors
    /// What clap says of wrong flags, `--help` and `--version`.
    pub fn parse<I, T>(arguments: I) -> Result<Given, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        flags::command().try_get_matches_from(arguments).map(Given)
    }
}

/// A command line whose flags are well formed each by itself.
#[derive(Debug)]
pub struct Given(ArgMatches);

impl Given {
    fn get<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<T> {
        self.0.get_one::<T>(name).cloned()
    }

    fn count(&self, name: &str) -> usize {
        let count = self.get::<u64>(name).unwrap_or(1);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    fn text(&self, name: &str) -> String {
        self.get::<String>(name).unwrap_or_default()
    }

    /// Reads the trace, and checks what flags say together.
    ///
    /// # Errors
    /// A trace that cannot be read, or flags that do not go together.
    pub fn options(&self) -> Result<Options, Error> {
        let suite = self.0.get_many::<Vec<Workload>>("suite");
        let servers = self.0.get_many::<Target>("server");
        let options = Options {
            targets: servers.into_iter().flatten().cloned().collect(),
            plan: self.plan()?,
            suite: suite.into_iter().flatten().flatten().copied().collect(),
            share: match self.get("rate") {
                Some(RateChoice::Percent(percent)) => Some(Share {
                    of_one: percent / 100.0,
                    arrivals: self.arrivals(),
                }),
                _ => None,
            },
            rounds: self.count("rounds"),
            pid: self.get("server-pid"),
            server_cpus: self.get("server-cpus").unwrap_or_default(),
            json: self.get("json"),
            plot: self.get("plot"),
            is_quiet: self.0.get_flag("quiet"),
        };
        self.check(&options)?;
        Ok(options)
    }

    fn plan(&self) -> Result<Plan, Error> {
        let (keys, key_count) = self.keys()?;
        let is_trace = matches!(keys, Keys::Trace(_));
        let requests = self.get("requests");
        let is_bounded = is_trace || requests.is_some();
        let protocol = match self.text("protocol").as_str() {
            "meta" => Protocol::Meta,
            "binary" => Protocol::Binary,
            _ => Protocol::Text,
        };
        let sizes = self.get::<Sizes>("value-bytes");
        let seconds = |count| Some(Duration::from_secs(count));
        Ok(Plan {
            protocol,
            mix: self.get("mix").unwrap_or_else(|| Mix::only(Op::Get)),
            key_count,
            key_prefix: self.text("key-prefix"),
            key_bytes: self.count("key-bytes"),
            sizes: sizes.or_else(|| (!is_trace).then_some(Sizes::Fixed(100))),
            ttl_seconds: match self.get::<TtlChoice>("ttl") {
                Some(TtlChoice::Traced) => None,
                Some(TtlChoice::Fixed(seconds)) => Some(seconds),
                None => Some(0),
            },
            multi_get: self.count("multi-get"),
            pipeline: self.count("pipeline"),
            connections: self.count("connections"),
            threads: self.count("threads"),
            rate: match self.get("rate") {
                Some(RateChoice::PerSecond(per_second)) => Some(Rate {
                    per_second,
                    arrivals: self.arrivals(),
                }),
                _ => None,
            },
            time: self
                .get("time")
                .or_else(|| if is_bounded { None } else { seconds(10) }),
            requests,
            warmup: self
                .get("warmup")
                .unwrap_or_else(|| Duration::from_secs(u64::from(!is_bounded))),
            interval: self.get("interval"),
            prefills: match self.get::<String>("prefill") {
                Some(when) => when == "yes",
                None => !is_trace,
            },
            fills_misses: self.0.get_flag("fill-misses"),
            verifies: self.0.get_flag("verify"),
            timeout: self.get("timeout").unwrap_or(Duration::from_secs(10)),
            seed: self.get("seed").unwrap_or(1),
            cpus: self.get("cpus").unwrap_or_default(),
            spins: self.0.get_flag("spin"),
            duress: None,
            keys,
        })
    }

    fn arrivals(&self) -> Arrivals {
        match self.text("arrivals").as_str() {
            "even" => Arrivals::Even,
            _ => Arrivals::Poisson,
        }
    }

    fn keys(&self) -> Result<(Keys, u64), Error> {
        let count = self.get("key-count").unwrap_or(1);
        Ok(match self.get("keys") {
            None | Some(KeyChoice::Uniform) => (Keys::Uniform, count),
            Some(KeyChoice::Zipf(exponent)) => (Keys::Zipf(exponent), count),
            Some(KeyChoice::Sequential) => (Keys::Sequential, count),
            Some(KeyChoice::Trace(path)) => {
                let trace = Trace::open_file(&path)
                    .map_err(|error| usage("--keys", &format!("{}: {error}", path.display())))?;
                let count = trace.key_count() as u64;
                if count == 0 {
                    return Err(usage("--keys", "the trace is empty"));
                }
                (Keys::Trace(Arc::new(trace)), count)
            }
        })
    }

    fn check(&self, options: &Options) -> Result<(), Error> {
        let plan = &options.plan;
        let is_trace = matches!(plan.keys, Keys::Trace(_));
        let is_started = |target: &Target| matches!(target, Target::Command(_));
        let slices = |interval: Duration| {
            plan.time.unwrap_or_default().as_secs_f64() / interval.as_secs_f64()
        };
        let wrong = [
            (
                plan.interval
                    .is_some_and(|interval| slices(interval) > SLICES_MAX as f64),
                "--interval",
                "there are more than 10,000 of them in --time",
            ),
            (
                plan.threads > plan.connections,
                "--threads",
                "there are more of them than --connections",
            ),
            (
                bytes_in_flight_max(plan) > BYTES_IN_FLIGHT_MAX,
                "--value-bytes",
                "with so many --connections and sets in their --pipeline, more than 4 GiB would be in flight",
            ),
            (
                plan.multi_get > 1 && is_trace,
                "--multi-get",
                "a trace asks for one key at a time",
            ),
            (
                plan.multi_get > 1 && plan.fills_misses,
                "--multi-get",
                "does not go with --fill-misses",
            ),
            (
                plan.ttl_seconds.is_none() && !is_trace,
                "--ttl",
                "`trace` needs --keys trace:FILE",
            ),
            (
                options.targets.len() < 2 && !options.suite.is_empty(),
                "--suite",
                "compares two servers, and there is one",
            ),
            (
                options.targets.len() < 2 && options.share.is_some(),
                "--rate",
                "a percentage is of what a second server answers, and there is one",
            ),
            (
                options.targets.len() == 2 && matches!(options.pid, Some(PidChoice::Given(_))),
                "--server-pid",
                "one process cannot be two servers: `auto` asks each",
            ),
            (
                !options.server_cpus.is_empty() && !options.targets.iter().any(is_started),
                "--server-cpus",
                "no server is started here: only commands can be pinned",
            ),
            (
                plan.key_prefix.len() + 1 > plan.key_bytes,
                "--key-bytes",
                "there is no room for a number behind --key-prefix",
            ),
        ];
        match wrong.iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, flag, reason)) => Err(usage(flag, reason)),
            None => Ok(()),
        }
    }
}

/// Bytes of values that may be on their way to the server at a time, all of which are buffered here.
fn bytes_in_flight_max(plan: &Plan) -> usize {
    let value_bytes = plan.sizes.as_ref().map_or(0, Sizes::bytes_max);
    let stores_in_run = plan.mix.weights[Op::Set as usize] > 0 || plan.fills_misses;
    let depth = match (stores_in_run, plan.prefills) {
        (true, _) => plan.pipeline,
        // Fewer large values are in flight while a server is filled.
        (false, true) => 1,
        (false, false) => 0,
    };
    let connections = plan.connections.saturating_mul(depth);
    connections.saturating_mul(value_bytes)
}

fn usage(flag: &str, reason: &str) -> Error {
    Error::Usage(format!("{flag}: {reason}"))
}
