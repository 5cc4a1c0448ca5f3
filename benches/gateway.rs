//! What does a gateway's question cost, in each of its dialects?
//!
//! The real `palisade` as it is configured by default, with the four products' routes and a caller with a JSON Web Token that it has verified
//! before, beside handlers on the same stack that only answer allow, with the same bytes. CPU time of the server's
//! threads per question, at 64 connections and at 1, rounds interleaved. The cost of a verification is apart: see
//! `--bench identity`.
//!
//! `cargo bench --bench gateway [-- --seconds 1 --rounds 9 --json]`
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is a program for its author"
)]
#![allow(dead_code, reason = "it uses its part of what the HTTP benches share")]

#[path = "http/floor.rs"]
mod floor;
#[path = "gateway/grpc.rs"]
mod grpc;
#[path = "http/load.rs"]
mod load;
#[path = "http/server.rs"]
mod server;
#[path = "gateway/setup.rs"]
mod setup;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floor::Answer;
use load::Sample;
use serde_json::json;
use server::{Running, Target};

/// Connections open at a time.
const CONNECTIONS: [usize; 2] = [1, 64];

/// A dialect over HTTP: its name, and the question in its words.
const DIALECTS: [(&str, &str); 3] = [
    (
        "nginx",
        "GET /gateway/nginx HTTP/1.1\r\nhost: authz\r\nx-original-method: GET\r\nx-original-uri: /dongle/devices/d-dk/\r\nx-original-host: api.autopi.io\r\n",
    ),
    (
        "forward",
        "GET /gateway/forward HTTP/1.1\r\nhost: authz\r\nx-forwarded-method: GET\r\nx-forwarded-uri: /dongle/devices/d-dk/\r\nx-forwarded-host: api.autopi.io\r\nx-forwarded-for: 192.0.2.7\r\n",
    ),
    ("envoy", "GET /gateway/envoy/dongle/devices/d-dk/ HTTP/1.1\r\nhost: api.autopi.io\r\n"),
];

/// One server in one dialect.
struct Side {
    name: String,
    addr: SocketAddr,
    pid: u32,
    question: Question,
    samples: [Vec<Sample>; CONNECTIONS.len()],
}

#[derive(Clone)]
enum Question {
    Http(Arc<Vec<Vec<u8>>>),
    Grpc(grpc::Question),
}

fn main() {
    let smoke = !std::env::args().any(|arg| arg == "--bench");
    let (mut seconds, mut rounds, mut as_json) = if smoke { (0.05, 1, false) } else { (1.0, 9, false) };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--floor" => {
                let (kind, answer) = (value(), value());
                return if kind == "grpc" { grpc::serve() } else { floor::serve(&kind, &answer) };
            }
            "--seconds" => seconds = value().parse().expect("seconds"),
            "--rounds" => rounds = value().parse().expect("rounds"),
            "--json" => as_json = true,
            "--bench" => {}
            "--test" => (seconds, rounds) = (0.05, 1),
            other => println!("ignored: {other}"),
        }
    }
    let setup = setup::Setup::new();
    let sidecar = setup.start(&question(DIALECTS[0].1, &setup));
    let mut floors = Vec::new();
    let mut sides = sides(&setup, &sidecar, &mut floors);
    measure(&mut sides, rounds, Duration::from_secs_f64(seconds));
    if as_json {
        println!("{}", line(rounds, &sides));
    } else {
        table(rounds, &sides);
    }
}

fn question(head: &str, setup: &setup::Setup) -> Vec<u8> {
    format!("{head}authorization: Bearer {}\r\n\r\n", setup.token).into_bytes()
}

/// Pairs: what only allows, and the sidecar.
fn sides(setup: &setup::Setup, sidecar: &setup::Sidecar, floors: &mut Vec<Running>) -> Vec<Side> {
    let mut sides = Vec::new();
    let mut add = |name: String, addr: SocketAddr, pid: u32, question: &Question| {
        sides.push(Side { name, addr, pid, question: question.clone(), samples: Default::default() });
    };
    for (dialect, head) in DIALECTS {
        let request = question(head, setup);
        let answer = load::ask_once(sidecar.http, &request).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{dialect}: {}", String::from_utf8_lossy(&answer));
        let floor = Target::floor(&format!("{dialect}, only allows"), "allow", &Answer::of(&answer)).start(&request);
        let question = Question::Http(Arc::new(vec![request]));
        add(floor.name.clone(), floor.addr, floor.pid(), &question);
        add(dialect.to_owned(), sidecar.http, sidecar.pid(), &question);
        floors.push(floor);
    }
    let question = Question::Grpc(grpc::Question::new(&setup.token));
    let floor = Target::floor("grpc, only allows", "grpc", &Answer::of(b"HTTP/1.1 200 OK\r\n\r\n")).start_unasked();
    add(floor.name.clone(), floor.addr, floor.pid(), &question);
    add("grpc".to_owned(), sidecar.grpc, sidecar.pid(), &question);
    floors.push(floor);
    sides
}

fn measure(sides: &mut [Side], rounds: usize, time: Duration) {
    for round in 0..=rounds {
        if round > 0 {
            eprintln!("gateway: round {round} of {rounds}");
        }
        for (i, connections) in CONNECTIONS.into_iter().enumerate() {
            for side in &mut *sides {
                let sample = match &side.question {
                    Question::Http(requests) => load::drive(side.addr, side.pid, requests, connections, time),
                    Question::Grpc(question) => grpc::drive(side.addr, side.pid, question, connections, time),
                };
                // the first round warms caches, and the tokens are known from then on
                if round > 0 {
                    side.samples[i].push(sample);
                }
            }
        }
    }
}

/// A line as the rows of `table` print them.
fn line(rounds: usize, sides: &[Side]) -> serde_json::Value {
    let cells: Vec<_> = CONNECTIONS
        .iter()
        .enumerate()
        .flat_map(|(i, connections)| {
            sides.iter().map(move |side| {
                let all = |pick: fn(&Sample) -> f64| side.samples[i].iter().map(pick).collect::<Vec<_>>();
                json!({
                    "name": side.name, "size": connections, "samples": all(|s| s.cpu_us),
                    "per_second": all(|s| s.per_second), "p50": all(|s| s.p50), "p99": all(|s| s.p99),
                })
            })
        })
        .collect();
    json!({"group": "gateway", "unit": "us", "rounds": rounds, "sides": cells})
}

fn table(rounds: usize, sides: &[Side]) {
    println!(
        "CPU microseconds of the server per question, medians of {rounds} interleaved rounds; x is the median of the rounds' ratios to the handler that only allows\n\n| dialect | connections | only allows | sidecar | x |\n|---|---|---|---|---|"
    );
    for (i, connections) in CONNECTIONS.iter().enumerate() {
        for pair in sides.chunks(2) {
            let [floor, own] = pair else { continue };
            let ratios = own.samples[i].iter().zip(&floor.samples[i]).map(|(own, floor)| own.cpu_us / floor.cpu_us);
            let cpu = |side: &Side| median(side.samples[i].iter().map(|s| s.cpu_us));
            println!("| {} | {connections} | {:.2} | {:.2} | {:.2} |", own.name, cpu(floor), cpu(own), median(ratios));
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
