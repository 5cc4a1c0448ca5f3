//! What does the sidecar add to HTTP?
//!
//! Runs servers as processes of their own and compares their CPU time per request under the same load:
//! the real `palisade`, and a floor that reads the same body with the same JSON reader on the same kind of
//! runtime and answers the same bytes, but always the same ones. Rounds are interleaved, since machines
//! drift; the medians and the ratios to the floor are printed as a Markdown table.
//!
//! `cargo bench --bench http [-- --seconds 1 --rounds 9 --only NAME --json]`
//!
//! With `--drive ADDR --requests FILE --pid PID [--connections N]` it puts that load on any server that runs.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is a program for its author"
)]

#[path = "http/floor.rs"]
mod floor;
#[path = "http/load.rs"]
mod load;
#[path = "http/server.rs"]
mod server;
mod support;

use std::sync::Arc;
use std::time::Duration;

use floor::Answer;
use load::Sample;
use serde_json::json;
use server::{Running, Target};

/// Connections open at a time.
const CONNECTIONS: &[usize] = &[1, 8, 64];

/// Items of a batch: the most that the server takes by default.
const BATCH: usize = 1_000;

/// What the command line says.
struct Args {
    seconds: f64,
    rounds: usize,
    only: String,
    json: bool,
    drive: Option<String>,
    requests: String,
    pid: u32,
    connections: usize,
}

/// What was measured of one server at one number of connections.
struct Cell {
    name: String,
    connections: usize,
    samples: Vec<Sample>,
}

fn main() {
    // `cargo test --benches` only asks whether it runs
    let smoke = !std::env::args().any(|arg| arg == "--bench" || arg == "--drive");
    let mut args = Args {
        seconds: if smoke { 0.05 } else { 1.0 },
        rounds: if smoke { 1 } else { 9 },
        only: String::new(),
        json: false,
        drive: None,
        requests: String::new(),
        pid: 0,
        connections: 1,
    };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--floor" => return floor::serve(&value(), &value()),
            "--seconds" => args.seconds = value().parse().expect("seconds"),
            "--rounds" => args.rounds = value().parse().expect("rounds"),
            "--only" => args.only = value(),
            "--json" => args.json = true,
            "--drive" => args.drive = Some(value()),
            "--requests" => args.requests = value(),
            "--pid" => args.pid = value().parse().expect("a process"),
            "--connections" => args.connections = value().parse().expect("a number"),
            // what cargo passes along
            "--bench" => {}
            "--test" => (args.seconds, args.rounds) = (0.05, 1),
            other => println!("ignored: {other}"),
        }
    }
    let time = Duration::from_secs_f64(args.seconds);
    if let Some(addr) = &args.drive {
        let requests = Arc::new(load::requests(&args.requests));
        let sample = load::drive(addr.parse().expect("an address"), args.pid, &requests, args.connections, time);
        println!(
            "{}",
            json!({"cpu_us": sample.cpu_us, "per_second": sample.per_second, "p50": sample.p50, "p99": sample.p99})
        );
        return;
    }
    compare(&args, time);
}

fn compare(args: &Args, time: Duration) {
    let bodies = support::questions();
    let requests: Arc<Vec<_>> = Arc::new(bodies.iter().map(|body| load::post("/v1/is_authorized", body)).collect());
    let plain = &[("PALISADE_CACHE__ENABLED", "false")];
    let answer = usual_answer(&Target::palisade("for the floor", plain).start(&requests[0]), &requests);
    let logged = &[("PALISADE_CACHE__ENABLED", "false"), ("PALISADE_DECISION_LOG__SINK", "/dev/null")];
    let servers: Vec<_> = [
        Target::floor("floor", "multi", &answer),
        Target::floor("floor, a runtime a core", "per-core", &answer),
        Target::floor("floor, without HTTP", "bare", &answer),
        Target::palisade("palisade, cache off", plain),
        Target::palisade("palisade, cache on", &[]),
        Target::palisade("palisade, cache off, decision log", logged),
        Target::palisade("palisade, cache on, decision log", &logged[1..]),
    ]
    .into_iter()
    // all are put in relation to the floor
    .filter(|target| target.name == "floor" || target.name.contains(&args.only))
    .map(|target| target.start(&requests[0]))
    .collect();
    let checks = measure("http", &servers.iter().collect::<Vec<_>>(), &requests, CONNECTIONS, args.rounds, time);
    let items: Vec<&str> = bodies.iter().map(String::as_str).cycle().take(BATCH).collect();
    let batch =
        Arc::new(vec![load::post("/v1/is_authorized/batch", &format!(r#"{{"requests":[{}]}}"#, items.join(",")))]);
    let takers: Vec<_> = servers.iter().filter(|server| server.name.starts_with("palisade, cache o")).collect();
    let batches = measure("http batch of 1,000", &takers, &batch, &[1], args.rounds, time);
    if args.json {
        for (group, cells) in [("http", &checks), ("http batch of 1,000", &batches)] {
            println!("{}", line(group, args.rounds, cells));
        }
        return;
    }
    table(args.rounds, &servers, &checks);
    println!("\nCPU microseconds per decision in batches of {BATCH}:\n\n| server | us |\n|---|---|");
    for cell in &batches {
        println!("| {} | {:.2} |", cell.name, median(cell.samples.iter().map(|s| s.cpu_us)) / BATCH as f64);
    }
}

/// The answer of median length, for the floor to give.
fn usual_answer(server: &Running, requests: &[Vec<u8>]) -> Answer {
    let mut answers: Vec<_> = requests.iter().map(|request| load::ask_once(server.addr, request).unwrap()).collect();
    answers.sort_by_key(Vec::len);
    Answer::of(&answers[answers.len() / 2])
}

fn measure(
    group: &str,
    servers: &[&Running],
    requests: &Arc<Vec<Vec<u8>>>,
    connections: &[usize],
    rounds: usize,
    time: Duration,
) -> Vec<Cell> {
    let mut cells: Vec<Cell> = connections
        .iter()
        .flat_map(|&connections| {
            servers.iter().map(move |server| Cell { name: server.name.clone(), connections, samples: Vec::new() })
        })
        .collect();
    for round in 0..=rounds {
        if round > 0 {
            eprintln!("{group}: round {round} of {rounds}");
        }
        for (i, cell) in cells.iter_mut().enumerate() {
            let server = servers[i % servers.len()];
            let sample = load::drive(server.addr, server.pid(), requests, cell.connections, time);
            // the first round warms caches and branch predictors
            if round > 0 {
                cell.samples.push(sample);
            }
        }
    }
    cells
}

/// A line as the rows of `table` print them.
fn line(group: &str, rounds: usize, cells: &[Cell]) -> serde_json::Value {
    let sides: Vec<_> = cells
        .iter()
        .map(|cell| {
            let all = |pick: fn(&Sample) -> f64| cell.samples.iter().map(pick).collect::<Vec<_>>();
            json!({
                "name": cell.name, "size": cell.connections, "samples": all(|s| s.cpu_us),
                "per_second": all(|s| s.per_second), "p50": all(|s| s.p50), "p99": all(|s| s.p99),
            })
        })
        .collect();
    json!({"group": group, "unit": "us", "rounds": rounds, "sides": sides})
}

fn table(rounds: usize, servers: &[Running], cells: &[Cell]) {
    println!(
        "CPU microseconds of the server per request, medians of {rounds} interleaved rounds; x floor is the median of the rounds' ratios\n"
    );
    let head: Vec<_> = CONNECTIONS.iter().map(|n| format!("{n} conn. | x floor | req/s")).collect();
    println!("| server | {} |", head.join(" | "));
    println!("|---|{}", "---|".repeat(CONNECTIONS.len() * 3));
    for (i, server) in servers.iter().enumerate() {
        let row: Vec<String> = cells
            .chunks(servers.len())
            .map(|at| {
                let ratios = at[i].samples.iter().zip(&at[0].samples).map(|(own, floor)| own.cpu_us / floor.cpu_us);
                let cpu = median(at[i].samples.iter().map(|s| s.cpu_us));
                let rate = median(at[i].samples.iter().map(|s| s.per_second));
                format!("{cpu:.2} | {:.2} | {rate:.0}", median(ratios))
            })
            .collect();
        println!("| {} | {} |", server.name, row.join(" | "));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
