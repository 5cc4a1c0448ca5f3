//! What does the sidecar add to HTTP?
//!
//! Runs servers as processes of their own and compares their CPU time per request under the same load:
//! the real `palisade`, and a floor that reads the same body with the same JSON reader on the same kind of
//! runtime and answers a constant of the same size. Rounds are interleaved, since machines drift; the
//! medians and the ratios to the floor are printed as a Markdown table.
//!
//! `cargo bench --bench http [-- --seconds 1 --rounds 9 --only NAME]`
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is a program for its author"
)]

#[path = "http/floor.rs"]
mod floor;
#[path = "http/load.rs"]
mod load;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use load::Target;

/// Connections open at a time.
const CONNECTIONS: &[usize] = &[1, 8, 64];

/// What is compared: a name, and how to start it.
fn targets() -> Vec<Target> {
    vec![
        Target::floor("floor, one runtime", "multi"),
        Target::floor("floor, a runtime a core", "per-core"),
        Target::palisade("palisade, cache off", &[("PALISADE_CACHE__ENABLED", "false")]),
        Target::palisade("palisade, cache on", &[]),
        Target::palisade(
            "palisade, cache off, decision log",
            &[("PALISADE_CACHE__ENABLED", "false"), ("PALISADE_DECISION_LOG__SINK", "/dev/null")],
        ),
    ]
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut seconds, mut rounds, mut only) = (1.0, 9_usize, String::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--floor" => return floor::serve(&args.next().expect("a kind of floor")),
            "--seconds" => seconds = args.next().and_then(|v| v.parse().ok()).expect("seconds"),
            "--rounds" => rounds = args.next().and_then(|v| v.parse().ok()).expect("rounds"),
            "--only" => only = args.next().expect("a name"),
            // what cargo passes along
            "--bench" => {}
            // `cargo test --benches` only asks whether it runs
            "--test" => (seconds, rounds) = (0.05, 1),
            other => println!("ignored: {other}"),
        }
    }
    let bodies = support::questions();
    let servers: Vec<_> = targets()
        .into_iter()
        .filter(|target| target.name.starts_with("floor, one") || target.name.contains(&only))
        .map(|target| target.start())
        .collect();
    let mut cpu: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    let mut rate: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for round in 0..=rounds {
        for &connections in CONNECTIONS {
            for (i, server) in servers.iter().enumerate() {
                let sample = load::drive(server, &bodies, connections, Duration::from_secs_f64(seconds));
                // the first round warms caches and branch predictors
                if round > 0 || rounds == 0 {
                    cpu.entry((i, connections)).or_default().push(sample.cpu_us);
                    rate.entry((i, connections)).or_default().push(sample.per_second);
                }
            }
        }
    }
    println!(
        "CPU microseconds of the server per request, medians of {rounds} interleaved rounds; x floor is the median of the rounds' ratios\n"
    );
    println!(
        "| server | {} |",
        CONNECTIONS.iter().map(|n| format!("{n} conn. | x floor | req/s")).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|{}", "---|".repeat(CONNECTIONS.len() * 3));
    for (i, server) in servers.iter().enumerate() {
        let cells: Vec<String> = CONNECTIONS
            .iter()
            .map(|&n| {
                let ratios: Vec<f64> = cpu[&(i, n)].iter().zip(&cpu[&(0, n)]).map(|(own, floor)| own / floor).collect();
                format!("{:.2} | {:.2} | {:.0}", median(&cpu[&(i, n)]), median(&ratios), median(&rate[&(i, n)]))
            })
            .collect();
        println!("| {} | {} |", server.name, cells.join(" | "));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
