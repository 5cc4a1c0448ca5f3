//! Clocks, memory, interleaved rounds, and lines of JSON.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// How thoroughly to measure.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds that count. Every side runs once in each.
    pub rounds: usize,
    /// CPU time that a side gets a round.
    pub time: Duration,
}

/// One of the things compared.
pub(crate) struct Side<'a> {
    pub name: &'static str,
    /// How much of what the group varies.
    pub size: usize,
    /// Does that many operations and returns the CPU time that they took.
    pub round: Box<dyn FnMut(usize) -> Duration + 'a>,
}

/// CPU time of this thread. Unlike the clock on the wall it does not run while others have the core.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of all threads that this process has or had.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `work` and returns the CPU time that this thread gave it.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let before = thread_cpu();
    std::hint::black_box(work());
    thread_cpu() - before
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

/// Runs all sides once a round, in turn, since machines drift; prints what each operation took.
pub(crate) fn interleave(group: &str, plan: Plan, mut sides: Vec<Side<'_>>) {
    let counts: Vec<usize> = sides.iter_mut().map(|side| calibrate(side, plan.time)).collect();
    let mut samples = vec![Vec::with_capacity(plan.rounds); sides.len()];
    for round in 0..plan.rounds {
        for ((side, &count), samples) in sides.iter_mut().zip(&counts).zip(&mut samples) {
            progress(&format!("{group}: round {} of {}, {} {}", round + 1, plan.rounds, side.name, side.size));
            samples.push((side.round)(count).as_nanos() as f64 / count as f64);
        }
    }
    let sides: Vec<Value> = sides
        .iter()
        .zip(counts)
        .zip(samples)
        .map(|((side, count), samples)| {
            json!({"name": side.name, "size": side.size, "operations": count, "samples": samples})
        })
        .collect();
    emit(&json!({"group": group, "unit": "ns", "rounds": plan.rounds, "sides": sides}));
}

/// How many operations take about `time`. Warms up on the way.
fn calibrate(side: &mut Side<'_>, time: Duration) -> usize {
    let mut count = 1;
    loop {
        let took = (side.round)(count);
        if took * 4 >= time || count >= 1 << 26 {
            let wanted = count as f64 * time.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return (wanted as usize).max(1);
        }
        count *= 4;
    }
}

/// Values of a row that are not times of interleaved rounds.
pub(crate) fn report(group: &str, values: &Value) {
    emit(&json!({"group": group, "values": values}));
}

fn emit(line: &Value) {
    progress("");
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

/// Says what begins. It takes seconds, or it would not be said.
pub(crate) fn stage(text: &str) {
    progress(text);
    if !stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// One line on the terminal that the next one replaces; nothing where it goes to a file.
fn progress(text: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[2K{text}");
    }
}
