//! What is counted against Larder's server, which runs in this process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use larder::Cache;
use larder_bench::duress::Duress;
use larder_bench::options::Options;
use larder_bench::progress::Ticker;
use larder_bench::protocol::Op;
use larder_bench::run::{Outcome, fill, measure};
use larder_bench::server::{Server, Target};
use larder_bench::{run_with, versus};
use larder_server::Config;

/// What Larder's server speaks.
const PROTOCOLS: [&str; 3] = ["text", "meta", "binary"];

/// A cache that is served on a port of the system's choice.
fn served() -> (Arc<Cache>, larder_server::Server) {
    let mut config = Config::default();
    config.port = 0;
    config.threads = 2;
    let cache = larder_server::cache_builder(64 << 20, &config)
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    let server = larder_server::serve(Arc::clone(&cache), config).unwrap();
    (cache, server)
}

fn address(server: &larder_server::Server) -> String {
    server.addresses()[0].to_string()
}

fn options(server: &str, flags: &str) -> Options {
    let arguments = ["larder-bench", server];
    let flags = flags.split_ascii_whitespace();
    Options::parse(arguments.into_iter().chain(flags))
        .unwrap()
        .options()
        .unwrap()
}

/// Fills if the flags say so, then measures.
fn run(server: &larder_server::Server, flags: &str) -> Outcome {
    let options = options(&address(server), flags);
    let target = Target::parse(&address(server)).unwrap();
    let server = Server::open(&target, &options.server_cpus).unwrap();
    let ticker = Ticker::default();
    if options.plan.prefills {
        fill(&server, &options.plan, &ticker).unwrap();
    }
    measure(&server, &options.plan, &ticker).unwrap()
}

#[test]
fn a_prefilled_server_has_every_key_and_every_value_is_right() {
    let (cache, server) = served();
    let outcome = run(
        &server,
        "--requests 3000 --key-count 500 --value-bytes 1-3000 --connections 7 --threads 2 \
         --pipeline 5 --mix get=1 --verify",
    );
    assert_eq!(cache.stats().item_count, 500);
    let get = outcome.tally.of(Op::Get);
    assert_eq!((get.requests, get.keys, get.hits), (3000, 3000, 3000));
    assert_eq!((get.misses, get.wrong, get.refused), (0, 0, 0));
    assert_eq!(get.latency.len(), 3000);
    assert_eq!(outcome.unsent, 0);
}

#[test]
fn a_mix_counts_what_the_server_did() {
    for protocol in PROTOCOLS {
        let (cache, server) = served();
        let flags = format!(
            "--requests 20000 --key-count 300 --prefill no --connections 4 --pipeline 8 \
             --mix get=5,set=3,delete=1,touch=1 --keys zipf:1.1 --verify --protocol {protocol}"
        );
        assert_mix(&run(&server, &flags));
        assert!(cache.stats().item_count <= 300);
    }
}

fn assert_mix(outcome: &Outcome) {
    let of = |op| outcome.tally.of(op);
    assert_eq!(outcome.tally.total().requests, 20_000);
    assert_eq!(of(Op::Set).hits, of(Op::Set).requests);
    for op in [Op::Get, Op::Delete, Op::Touch] {
        assert_eq!(of(op).hits + of(op).misses, of(op).requests, "{op:?}");
        assert!(of(op).hits > 0 && of(op).misses > 0, "{op:?}");
    }
    assert_eq!(outcome.tally.total().wrong, 0);
}

#[test]
fn a_get_of_several_keys_counts_keys() {
    for protocol in PROTOCOLS {
        let (_, server) = served();
        let flags = format!(
            "--requests 200 --key-count 100 --multi-get 25 --mix get --verify \
             --protocol {protocol}"
        );
        let outcome = run(&server, &flags);
        let get = outcome.tally.of(Op::Get);
        assert_eq!((get.requests, get.keys, get.hits), (200, 5000, 5000));
    }
}

#[test]
fn the_same_seed_sends_the_same_requests() {
    let counts = |seed: u32| {
        let (_, server) = served();
        let flags = format!(
            "--requests 5000 --key-count 50 --prefill no --connections 1 \
             --mix get=2,set=1,delete=1 --seed {seed}"
        );
        let outcome = run(&server, &flags);
        Op::ALL.map(|op| (outcome.tally.of(op).requests, outcome.tally.of(op).hits))
    };
    assert_eq!(counts(1), counts(1));
    assert_ne!(counts(1), counts(2));
}

#[test]
fn an_open_loop_sends_what_is_due() {
    let (_, server) = served();
    for arrivals in ["even", "poisson"] {
        let outcome = run(
            &server,
            &format!(
                "--rate 5000 --arrivals {arrivals} --time 0.5 --warmup 0.1 --key-count 100 \
                 --threads 2 --connections 8 --pipeline 4 --timeout 60"
            ),
        );
        let total = outcome.tally.total();
        let due = total.requests + outcome.unsent;
        // Even arrivals are as many as the rate says; random ones within some deviations of it.
        let slack = if arrivals == "even" { 4 } else { 300 };
        assert!(
            (2500 - slack..=2500 + slack).contains(&due),
            "{arrivals}: {due}"
        );
        assert_eq!(total.hits, total.keys);
    }
}

#[test]
fn values_larger_than_any_buffer_come_back_right() {
    let (_, server) = served();
    let outcome = run(
        &server,
        "--requests 60 --key-count 6 --value-bytes 700k --connections 3 --pipeline 2 \
         --mix get=1,set=1 --verify",
    );
    let total = outcome.tally.total();
    assert_eq!((total.requests, total.hits, total.wrong), (60, 60, 0));
}

#[test]
fn a_refused_value_is_counted_with_the_words_of_the_server() {
    let (_, server) = served();
    let flags = "--requests 10 --key-count 2 --value-bytes 2m --mix set --prefill no";
    let outcome = run(&server, flags);
    assert_eq!(outcome.tally.of(Op::Set).refused, 10);
    let refusal = outcome.tally.refusal.unwrap();
    assert!(refusal.starts_with("SERVER_ERROR"), "{refusal}");
}

#[test]
fn a_trace_is_replayed_look_aside() {
    let (cache, server) = served();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.csv");
    let mut trace = "key_id,size_bytes,op,ttl_s,time_s\n".to_owned();
    for round in 0..3 {
        for key in 0..100 {
            trace.push_str(&format!("{key},{},g,0,{round}\n", 50 + key));
        }
    }
    trace.push_str("7,57,d,0,3\n8,58,s,0,3\n");
    std::fs::write(&path, trace).unwrap();
    let flags = format!(
        "--keys trace:{} --fill-misses --connections 1 --verify",
        path.display()
    );
    let outcome = run(&server, &flags);
    let of = |op| outcome.tally.of(op);
    assert_eq!((of(Op::Get).requests, of(Op::Get).misses), (300, 100));
    assert_eq!(
        of(Op::Set).requests,
        101,
        "the misses, and the set of the trace"
    );
    assert_eq!(of(Op::Delete).hits, 1);
    assert_eq!(outcome.tally.total().wrong, 0);
    assert_eq!(cache.stats().item_count, 99);
}

#[test]
fn a_server_is_asked_for_something_besides_its_load() {
    let (cache, server) = served();
    let arguments = ["larder-bench", &address(&server)];
    let options = Options::parse(arguments).unwrap().options().unwrap();
    let server = Server::open(&options.targets[0], &options.server_cpus).unwrap();
    cache.set(b"key", b"value", larder::Ttl::NEVER).unwrap();
    for duress in [
        Duress::Metadump,
        Duress::StatsItems,
        Duress::StatsSizes,
        Duress::Memlimit,
        Duress::LargeSet,
        Duress::Flush,
    ] {
        if duress == Duress::Flush {
            assert!(cache.get(b"duress-large").unwrap().len() > 1_000_000);
        }
        duress.happen(&server, Duration::from_secs(10)).unwrap();
    }
    assert_eq!(cache.stats().item_count, 0);
    let mut plan = options.plan.clone();
    plan.key_count = 50;
    plan.time = Some(Duration::from_millis(100));
    plan.warmup = Duration::ZERO;
    plan.duress = Some(Duress::StatsItems);
    let outcome = measure(&server, &plan, &Ticker::default()).unwrap();
    assert!(outcome.duress_seconds.is_some());
}

#[test]
fn a_rate_may_be_a_part_of_what_the_second_server_answers() {
    let servers = [served(), served()];
    let arguments = [
        "larder-bench",
        &address(&servers[0].1),
        &address(&servers[1].1),
        "--requests",
        "200",
        "--key-count",
        "50",
        "--rounds",
        "1",
        "--rate",
        "50%",
    ];
    let options = Options::parse(arguments).unwrap().options().unwrap();
    assert_eq!(options.plan.rate, None);
    let sides = sides(&options);
    let loads = versus::loads(&options.plan, &options.suite, options.share);
    let ticker = Ticker::default();
    let comparisons = versus::compare(&sides, loads, options.rounds, &ticker, |_| ()).unwrap();
    let load = &comparisons[0].load;
    assert!(load.plan.rate.is_some_and(|rate| rate.per_second > 1.0));
    assert!(load.about.ends_with("50 % of what B answers"));
    assert_eq!(comparisons[0].rounds[0][0].tally.total().requests, 200);
}

#[test]
fn two_servers_are_compared_in_rounds() {
    let servers = [served(), served()];
    let arguments = [
        "larder-bench",
        &address(&servers[0].1),
        &address(&servers[1].1),
        "--requests",
        "200",
        "--key-count",
        "50",
        "--rounds",
        "3",
    ];
    let options = Options::parse(arguments).unwrap().options().unwrap();
    let sides = sides(&options);
    let loads = versus::loads(&options.plan, &options.suite, options.share);
    let mut shown = Vec::new();
    let ticker = Ticker::default();
    let comparisons = versus::compare(&sides, loads, options.rounds, &ticker, |comparison| {
        shown.push(versus::table(comparison));
    })
    .unwrap();
    assert_eq!(comparisons.len(), 1);
    for rounds in &comparisons[0].rounds {
        // Rounds that the rest of the machine disturbed are left out or, if most are, all kept.
        assert!((2..=9).contains(&rounds.len()), "{}", rounds.len());
        assert!(
            rounds
                .iter()
                .all(|round| round.tally.total().requests == 200)
        );
    }
    assert!(shown[0].contains("A is better by"));
    let document = versus::document(&sides, &comparisons);
    assert_eq!(
        document["comparisons"][0]["a_rounds"][1]["all"]["requests"],
        200
    );
    assert!(versus::summary(&comparisons).contains("| requests/s, A / B |"));
}

#[test]
fn reports_are_written_where_they_are_asked_for() {
    let (_, server) = served();
    let folder = tempfile::tempdir().unwrap();
    let (json, plot) = (
        folder.path().join("out.json"),
        folder.path().join("out.svg"),
    );
    let flags = format!(
        "--requests 500 --key-count 50 --interval 1000 --server-pid {} --json {} --plot {}",
        std::process::id(),
        json.display(),
        plot.display()
    );
    let options = options(&address(&server), &flags);
    let code = run_with(options, Arc::new(AtomicBool::new(false))).unwrap();
    assert_eq!(code, 0);
    let document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(document["result"]["all"]["requests"], 500);
    assert!(document["result"]["server_cpu_us_per_request"]["all"].is_number());
    assert_eq!(document["settings"]["key_count"], 50);
    assert_eq!(document["result"]["intervals"][0]["requests"], 500);
    assert!(std::fs::read_to_string(plot).unwrap().ends_with("</svg>\n"));
}

#[test]
fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut config = Config::default();
    config.unix_socket = Some(path.clone());
    let cache = larder_server::cache_builder(64 << 20, &config)
        .build()
        .unwrap();
    let _server = larder_server::serve(Arc::new(cache), config).unwrap();
    let flags = "--requests 100 --key-count 50 --verify --connections 2 --json -";
    let options = options(path.to_str().unwrap(), flags);
    assert_eq!(
        run_with(options, Arc::new(AtomicBool::new(false))).unwrap(),
        0
    );
}

#[test]
fn an_interrupt_ends_a_run_with_what_there_is() {
    let (_, server) = served();
    let options = options(&address(&server), "--time 80000 --warmup 0 --key-count 50");
    let target = Target::parse(&address(&server)).unwrap();
    let server = Server::open(&target, &options.server_cpus).unwrap();
    let interrupted = Arc::new(AtomicBool::new(true));
    let outcome = measure(&server, &options.plan, &Ticker::new(true, interrupted)).unwrap();
    assert!(outcome.was_interrupted);
}

/// The two servers that the options name.
fn sides(options: &Options) -> [versus::Side; 2] {
    [0, 1].map(|side| versus::Side {
        server: Server::open(&options.targets[side], &options.server_cpus).unwrap(),
        version: "x".to_owned(),
    })
}
