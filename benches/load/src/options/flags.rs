//! The flags: what there is, what is said of each in `--help`, and what values it takes.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use super::PidChoice;
use crate::content::KEY_BYTES_MAX;
use crate::cpu::Cpus;
use crate::protocol::Op;
use crate::server::Target;
use crate::sizes::Sizes;
use crate::source::{KEY_COUNT_MAX, Mix};
use crate::workload::{self, Workload};

const CONNECTIONS_MAX: i64 = 1_000_000;
const THREADS_MAX: i64 = 1024;
const PIPELINE_MAX: i64 = 100_000;
const MULTI_GET_MAX: i64 = 10_000;
const ROUNDS_MAX: i64 = 10_000;
/// A day.
const SECONDS_MAX: f64 = 86_400.0;
const RATE_MAX: f64 = 1e9;
const WEIGHT_MAX: u32 = 1_000_000;
const EXPONENT_MAX: f64 = 10.0;

const ABOUT: &str = "Loads a memcached server and tells how fast it answers.

One SERVER is measured; two are compared, in turn, for several rounds.
A closed loop sends the next request when a reply has come. With --rate the loop is open: requests \
have their times whatever the server does, and latencies count from those times, so that a stall \
counts for every request that was due in it.";

const EXAMPLES: &str = "Examples:
  larder-bench 127.0.0.1:11211
  larder-bench 127.0.0.1:11211 --mix get=1 --connections 8 --pipeline 32 --server-pid auto
  larder-bench 127.0.0.1:11211 --rate 50000 --keys zipf --value-bytes etc --plot latency.svg
  larder-bench 127.0.0.1:11211 --keys trace:twitter52a.csv.zst --fill-misses --verify
  larder-bench 'larderd -p {port} -t 1 -m 1024' 'memcached -p {port} -t 1 -m 1024' \\
      --server-cpus 0 --cpus 1 --suite all --time 3

Exit codes: 0 for a result, 1 if a server failed or gave wrong values, 2 for wrong flags,\n\
130 after an interrupt, which still shows what was measured until then.";

pub(super) fn command() -> Command {
    Command::new("larder-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(100)
        .arg(
            Arg::new("server")
                .value_name("SERVER")
                .help("HOST:PORT, the path of a Unix socket, or a command with {port} in it that is started and stopped")
                .num_args(1..=2)
                .required(true)
                .value_parser(Target::parse),
        )
        .args(load_flags())
        .args(content_flags())
        .args(run_flags())
        .args(output_flags())
}

fn flag(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// A count from 1.
fn count(name: &'static str, help: &'static str, most: i64) -> Arg {
    flag(name, "N", help).value_parser(value_parser!(u64).range(1..=most.unsigned_abs()))
}

fn load_flags() -> Vec<Arg> {
    let load = |arg: Arg| arg.help_heading("Load");
    [
        flag("protocol", "NAME", "Wire protocol")
            .short('P')
            .value_parser(["text", "meta", "binary"])
            .default_value("text"),
        count("connections", "Connections, of all threads together", CONNECTIONS_MAX)
            .short('c')
            .default_value("50"),
        count("threads", "Threads, each with its share of the connections", THREADS_MAX)
            .short('t')
            .default_value("1"),
        count("pipeline", "Requests in flight on a connection at the most", PIPELINE_MAX)
            .short('p')
            .default_value("1"),
        count("multi-get", "Keys that a get asks for at once", MULTI_GET_MAX).default_value("1"),
        flag("mix", "OP=WEIGHT,...", "How often get, set, delete and touch come")
            .short('m')
            .value_parser(mix)
            .default_value("get=9,set=1"),
        flag("rate", "N", "Open loop: requests a second, of all threads together; or N%, of what the second of two servers answers in a closed loop (default: closed loop)")
            .short('r')
            .value_parser(rate),
        flag("arrivals", "HOW", "How an open loop's requests are spread")
            .value_parser(["poisson", "even"])
            .default_value("poisson")
            .requires("rate"),
        flag("suite", "NAME,...", "Compares two servers under named loads instead, one after the other; `all`, or of: get, mix10, get-1k, get-pipe, mix50-pipe, set-pipe, mget50, meta-pipe, get-16k; `duress`, or of: steady, metadump, stats-items, stats-sizes, memlimit, large-set, growth, expiry, flush")
            .value_delimiter(',')
            .value_parser(workloads),
    ]
    .map(load)
    .into()
}

fn content_flags() -> Vec<Arg> {
    let content = |arg: Arg| arg.help_heading("Keys and values");
    [
        flag("keys", "HOW", "uniform, zipf, zipf:EXPONENT (0.99), sequential, or trace:FILE (.csv or .csv.zst: key_id,size_bytes,op,ttl_s,time_s)")
            .short('k')
            .value_parser(KeyChoice::from_str)
            .default_value("uniform"),
        flag("key-count", "N", "How many keys there are (a trace has its own)")
            .short('n')
            .value_parser(value_parser!(u64).range(1..=KEY_COUNT_MAX))
            .default_value("100000"),
        flag("key-prefix", "TEXT", "What keys begin with")
            .value_parser(prefix)
            .default_value("key-"),
        flag("key-bytes", "N", "Length of keys, filled with zeros behind the prefix; longer where the number needs it")
            .value_parser(value_parser!(u64).range(1..=KEY_BYTES_MAX as u64))
            .default_value("16"),
        flag("value-bytes", "SIZES", "N, N-N (uniform), N:WEIGHT,N:WEIGHT,... or etc (Facebook's ETC pool); k and m are KiB and MiB. A key has the same length always (default: 100, or the trace's)")
            .short('v')
            .value_parser(Sizes::from_str),
        flag("ttl", "SECONDS", "Lifetime that sets and touches give, 0 for ever; or `trace`")
            .value_parser(ttl)
            .default_value("0"),
        flag("prefill", "WHEN", "Whether all keys are stored before: yes, no (default: yes, but no for a trace)")
            .value_parser(["yes", "no"]),
        switch("fill-misses", "Stores what a get missed, as look-aside clients do"),
        switch("verify", "Compares every value with what was stored"),
    ]
    .map(content)
    .into()
}

fn run_flags() -> Vec<Arg> {
    let run = |arg: Arg| arg.help_heading("Run");
    [
        flag("time", "SECONDS", "How long to measure (default: 10, or until --requests or the trace end)")
            .short('d')
            .value_parser(positive_seconds),
        flag("requests", "N", "How many requests to measure, of all threads together")
            .value_parser(value_parser!(u64).range(1..)),
        flag("interval", "SECONDS", "Latencies for every so many seconds besides, by the time at which requests were to be sent")
            .value_parser(positive_seconds),
        flag("warmup", "SECONDS", "Load before the measurement (default: 1; 0 with --requests or a trace)")
            .value_parser(seconds),
        flag("timeout", "SECONDS", "How long a server may be silent before the run fails")
            .value_parser(positive_seconds)
            .default_value("10"),
        flag("seed", "N", "The same seed draws the same requests")
            .value_parser(value_parser!(u64))
            .default_value("1"),
        flag("cpus", "LIST", "Cpus for the threads, in turn, as in 1,2-3").value_parser(Cpus::from_str),
        switch("spin", "Looks for replies without ever sleeping: finer latencies for whole cores"),
        flag("rounds", "N", "Turns of each of two servers; one in which something else had the cpus is done again, up to three times N in all")
            .value_parser(value_parser!(u64).range(1..=ROUNDS_MAX.unsigned_abs()))
            .default_value("5"),
        flag("server-pid", "PID", "Process whose cpu time is read; `auto` asks the server (a server that was started is known)")
            .value_parser(pid),
        flag("server-cpus", "LIST", "Cpus for servers that are started").value_parser(Cpus::from_str),
    ]
    .map(run)
    .into()
}

fn output_flags() -> Vec<Arg> {
    let output = |arg: Arg| arg.help_heading("Output");
    [
        flag(
            "json",
            "FILE",
            "Writes the result as JSON; `-` for standard output, in place of the table",
        )
        .value_parser(value_parser!(PathBuf)),
        flag("plot", "FILE", "Draws latencies by percentile, as SVG")
            .value_parser(value_parser!(PathBuf)),
        switch("quiet", "No progress line").short('q'),
    ]
    .map(output)
    .into()
}

/// What `--keys` says, before a trace is read.
#[derive(Clone, Debug)]
pub(super) enum KeyChoice {
    Uniform,
    Zipf(f64),
    Sequential,
    Trace(PathBuf),
}

impl FromStr for KeyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "zipf" => Ok(Self::Zipf(0.99)),
            None if text == "sequential" => Ok(Self::Sequential),
            Some(("zipf", exponent)) => number_within(exponent, 0.0, EXPONENT_MAX).map(Self::Zipf),
            Some(("trace", path)) if !path.is_empty() => Ok(Self::Trace(path.into())),
            _ => Err("none of uniform, zipf, zipf:EXPONENT, sequential, trace:FILE".to_owned()),
        }
    }
}

fn number_within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("`{text}` is not a number from {least} to {most}"))
}

fn mix(text: &str) -> Result<Mix, String> {
    let mut weights = [0; 4];
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
        let op = Op::ALL.into_iter().find(|op| op.name() == name);
        let op = op.ok_or_else(|| format!("`{name}` is none of get, set, delete, touch"))?;
        weights[op as usize] = weight
            .parse()
            .ok()
            .filter(|&weight| weight <= WEIGHT_MAX)
            .ok_or_else(|| format!("`{weight}` is not a weight from 0 to {WEIGHT_MAX}"))?;
    }
    if weights == [0; 4] {
        return Err("nothing to do: every weight is 0".to_owned());
    }
    Ok(Mix { weights })
}

/// What `--rate` says.
#[derive(Clone, Copy, Debug)]
pub(super) enum RateChoice {
    PerSecond(f64),
    Percent(f64),
}

fn rate(text: &str) -> Result<RateChoice, String> {
    match text.strip_suffix('%') {
        Some(percent) => number_within(percent, 0.001, 1000.0).map(RateChoice::Percent),
        None => number_within(text, 0.001, RATE_MAX).map(RateChoice::PerSecond),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    number_within(text, 0.0, SECONDS_MAX).map(Duration::from_secs_f64)
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    number_within(text, 0.001, SECONDS_MAX).map(Duration::from_secs_f64)
}

/// What `--ttl` says.
#[derive(Clone, Copy, Debug)]
pub(super) enum TtlChoice {
    Fixed(u32),
    Traced,
}

fn ttl(text: &str) -> Result<TtlChoice, String> {
    if text == "trace" {
        return Ok(TtlChoice::Traced);
    }
    let seconds = text.parse().map(TtlChoice::Fixed);
    seconds.map_err(|_| format!("`{text}` is neither a number of seconds nor `trace`"))
}

fn prefix(text: &str) -> Result<String, String> {
    let is_key = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_key && text.len() <= KEY_BYTES_MAX - 20)
        .then(|| text.to_owned())
        .ok_or_else(|| "not up to 230 printable ASCII characters without spaces".to_owned())
}

fn pid(text: &str) -> Result<PidChoice, String> {
    if text == "auto" {
        return Ok(PidChoice::Auto);
    }
    let number = text.parse().map(PidChoice::Given);
    number.map_err(|_| "neither a process id nor `auto`".to_owned())
}

fn workloads(name: &str) -> Result<Vec<Workload>, String> {
    if name == "all" {
        return Ok(workload::ALL.to_vec());
    }
    if name == "duress" {
        return Ok(workload::DURESS.to_vec());
    }
    Workload::named(name)
        .map(|workload| vec![workload])
        .ok_or_else(|| format!("no load is called `{name}`"))
}
