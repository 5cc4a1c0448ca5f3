//! `palisade bench`: loads a running sidecar with the bundle's own tests as questions, and reports what it takes.
//!
//! - `target` is where the sidecar listens; `questions` makes requests of tests; `load` asks them.
//! - `spread` holds how long answers took; `process` reads what the server's process used.
//!
//! Nothing is changed on either side, but questions are questions: the sidecar counts and records them.

mod load;
mod process;
mod questions;
mod spread;
mod target;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::find_tests;
use load::{Outcome, Plan};
use process::Process;
use questions::Questions;
use target::Target;

/// Flags of `palisade bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Where the sidecar takes questions: `http://host:port`, or `unix:/path` [default: `listen.decisions` of the
    /// configuration]
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Which bundle's tests are asked
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Tests: a file or a directory; may be repeated [default: `tests` beside the policies]
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// Connections, each with one question at a time
    #[arg(short = 'n', long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// How long to ask, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// How long to ask before that, uncounted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Runs the verb. It fails where a question was not decided.
///
/// # Errors
/// If there is no test to ask, the configuration is wrong, or the sidecar cannot be reached or stops answering.
pub(super) fn run(args: &BenchArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let chosen = args.bundle.choose()?;
    let target = Target::find(args.url.as_deref(), &chosen.settings.listen.decisions)?;
    let places = if args.tests.is_empty() { vec![chosen.layout.tests()] } else { args.tests.clone() };
    let mut files = Vec::new();
    for place in &places {
        if bundle::is_there(place)? {
            files.extend(find_tests(place)?.files);
        } else if !args.tests.is_empty() {
            return Err(bundle::no_such("tests", place));
        }
    }
    let questions = Questions::of(&files, &target);
    if questions.asked.is_empty() {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let message = match questions.skipped {
            0 => format!(
                "there are no tests in `{}`, so there is nothing to ask; `--tests` names others",
                places.join("`, `")
            ),
            _ => format!(
                "no test in `{}` can be asked: each brings entities of its own, expects an error, or cannot be read",
                places.join("`, `")
            ),
        };
        return Err(Stop { exit: Exit::TestsFailed, message });
    }
    let plan = Plan {
        connections: usize::from(args.connections),
        warm_up: Duration::from_secs(args.warm_up),
        time: Duration::from_secs(args.duration),
    };
    let process = Process::that_listens(&target);
    let outcome = load::run(&target, &questions, plan, process.as_ref())?;
    match args.format {
        OutputFormat::Human => write_human(&target, &questions, plan, process.as_ref(), &outcome, terminal)?,
        OutputFormat::Json => write_json(&target, &questions, plan, process.as_ref(), &outcome, terminal)?,
    }
    if outcome.unlike > 0 {
        let n = outcome.unlike;
        writeln!(
            terminal.err,
            "warning: {n} answers are not what the tests expect: the sidecar may serve another bundle, or another time"
        )?;
    }
    if let Some((status, body)) = &outcome.undecided {
        let n = outcome.refused;
        writeln!(terminal.err, "error: {n} questions were not decided; the first got status {status}: {body}")?;
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}

/// Microseconds with as many digits as say something.
fn micros(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros >= 10_000.0 {
        format!("{:.1} ms", micros / 1_000.0)
    } else if micros >= 100.0 {
        format!("{micros:.0} us")
    } else {
        format!("{micros:.1} us")
    }
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn write_human(
    target: &Target,
    questions: &Questions,
    plan: Plan,
    process: Option<&Process>,
    outcome: &Outcome,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let skipped = match questions.skipped {
        0 => String::new(),
        skipped => format!(" ({skipped} more are not asked: they bring entities, or expect an error)"),
    };
    let connections = plan.connections;
    writeln!(
        terminal.out,
        "{} tests asked of {target} over {connections} connection{}{skipped}",
        questions.asked.len(),
        if connections == 1 { "" } else { "s" },
    )?;
    let at = |share| micros(outcome.spread.at(share));
    let cpu = match (process, outcome.cpu) {
        (Some(process), Some(cpu)) if outcome.answers() > 0 => {
            let each = cpu.as_secs_f64() * 1e6 / outcome.answers() as f64;
            let cores = cpu.as_secs_f64() / outcome.took.as_secs_f64();
            format!("{each:.1} us of the server an answer, {cores:.2} cores (process {})", process.id())
        }
        _ => "unknown: the server's process is not on this machine, or cannot be read".to_owned(),
    };
    for (name, value) in [
        ("answers", format!("{} in {:.1} s", grouped(outcome.answers()), outcome.took.as_secs_f64())),
        ("rate", format!("{} a second", grouped(outcome.per_second().round() as u64))),
        ("time", format!("p50 {}, p99 {}, p99.9 {}, longest {}", at(0.5), at(0.99), at(0.999), at(1.0))),
        ("CPU", cpu),
    ] {
        writeln!(terminal.out, "{}  {value}", toned(format_args!("{name:<7}"), Tone::Faint, terminal.color))?;
    }
    Ok(())
}

fn write_json(
    target: &Target,
    questions: &Questions,
    plan: Plan,
    process: Option<&Process>,
    outcome: &Outcome,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stop> {
    let at = |share| outcome.spread.at(share).as_nanos() as f64 / 1_000.0;
    let cpu = process.zip(outcome.cpu).filter(|_| outcome.answers() > 0).map(|(process, cpu)| {
        json!({
            "process": process.id(),
            "us_per_answer": cpu.as_secs_f64() * 1e6 / outcome.answers() as f64,
            "cores": cpu.as_secs_f64() / outcome.took.as_secs_f64(),
        })
    });
    let report = json!({
        "target": target.to_string(),
        "tests": questions.asked.len(),
        "tests_not_asked": questions.skipped,
        "connections": plan.connections,
        "seconds": outcome.took.as_secs_f64(),
        "answers": outcome.answers(),
        "answers_per_second": outcome.per_second(),
        "time_us": {"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "longest": at(1.0)},
        "cpu": cpu,
        "not_decided": outcome.refused,
        "unlike_tests": outcome.unlike,
    });
    serde_json::to_writer_pretty(&mut *terminal.out, &report).map_err(io::Error::from)?;
    writeln!(terminal.out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (count, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(count), shown);
        }
        for (nanos, shown) in [(9_870, "9.9 us"), (123_400, "123 us"), (9_999_000, "9999 us"), (12_345_678, "12.3 ms")]
        {
            assert_eq!(micros(Duration::from_nanos(nanos)), shown);
        }
    }
}
