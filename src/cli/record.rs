//! `palisade record`: tests from the lines of a decision log.
//!
//! - `line` reads a line; what cannot become a test says why.

mod line;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::bundle::{self, BundleArgs, Chosen};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::set_semantics;
use crate::cli::terminal::Terminal;
use crate::cli::test::{Draft, Store, count, denied_by, draft};
use crate::cli::{SemanticsArg, progress};
use line::{Recorded, Skipped};
use palisade_engine::Snapshot;
use palisade_engine::model::{Decision, DeniedBy, Diagnostic, Revision};

/// Flags of `palisade record`.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Decision logs, one record a line; `-` is standard input [default: -]
    #[arg(value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Which bundle the tests are for
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// How decisions are made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// Write at most so many tests
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
    /// Write them to a new file, such as `policies/tests/recorded.yaml`, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The longest line that is read, in bytes: records are no longer than the largest request.
const LONGEST_LINE: u64 = 16 << 20;

/// Skipped lines that are shown one by one.
const SHOWN: usize = 20;

/// What is made of a log.
#[derive(Default)]
struct Tests {
    /// In the order of the log. The request has the time of its decision, where the sidecar filled it in.
    written: Vec<(Recorded, String)>,
    /// Where each question stands in `written`, as it was logged.
    asked: HashMap<String, usize>,
    /// How often a name was given.
    names: HashMap<String, usize>,
    /// Lines that say what another one says.
    repeated: usize,
    /// Lines that are beyond the limit.
    beyond: usize,
    skipped: usize,
}

/// Runs the verb. It fails where no line becomes a test.
///
/// # Errors
/// If the configuration is wrong, a log cannot be read, or the tests cannot be written.
pub(super) fn run(args: &RecordArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    if let Some(output) = args.output.as_deref().filter(|output| output.exists()) {
        return Err(Stop::failure(format!("`{}` exists: name a new file", output.display())));
    }
    let chosen = args.bundle.choose_with(|tree| set_semantics(tree, args.semantics))?;
    let Some(snapshot) = build(&chosen, terminal)? else { return Ok(Exit::Undecided) };
    let mut tests = Tests::default();
    let standard_input = [PathBuf::from("-")];
    for log in if args.logs.is_empty() { &standard_input } else { &args.logs[..] } {
        read(log, args.limit, &mut tests, terminal)?;
    }
    if tests.skipped > SHOWN {
        writeln!(terminal.err, "warning: {} more were skipped", count(tests.skipped - SHOWN, "line"))?;
    }
    if tests.written.is_empty() {
        writeln!(terminal.err, "error: the log holds no decision that a test could repeat")?;
        return Ok(Exit::Failure);
    }
    let (text, otherwise) = palisade_engine::on_big_stack(|| written(&tests, &snapshot))?;
    match &args.output {
        None => terminal.out.write_all(&text)?,
        Some(output) => save(output, &text)?,
    }
    summary(&tests, otherwise, terminal)?;
    Ok(Exit::Success)
}

fn build(chosen: &Chosen, terminal: &mut Terminal<'_>) -> Result<Option<Snapshot>, Stop> {
    let revision = Revision { incarnation: 0, counter: 1 };
    let built = chosen.read().and_then(|read| {
        let settings = chosen.engine();
        let (snapshot, warnings) =
            Snapshot::build_observed(read.bundle.into(), &settings, revision, &progress::observers())?;
        Ok((snapshot, [read.warnings, warnings].concat()))
    });
    Ok(match built {
        Ok((snapshot, warnings)) => {
            bundle::show(&warnings, terminal.err)?;
            Some(snapshot)
        }
        Err(problems) => {
            let problems: Vec<Diagnostic> = chosen.with_places(problems);
            bundle::show(&problems, terminal.err)?;
            writeln!(terminal.err, "error: the bundle cannot be used, so nothing was recorded")?;
            None
        }
    })
}

/// Reads a log line by line: it may be larger than memory.
fn read(log: &Path, limit: usize, tests: &mut Tests, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let is_stdin = log.as_os_str() == "-";
    let name = if is_stdin { "standard input".to_owned() } else { log.display().to_string() };
    let failed = |error: io::Error| Stop::failure(format!("cannot read `{name}`: {error}"));
    let mut file;
    let input: &mut dyn Read = if is_stdin {
        &mut *terminal.stdin
    } else {
        file = File::open(log).map_err(failed)?;
        &mut file
    };
    let mut input = BufReader::with_capacity(1 << 16, input);
    let (mut text, mut number) = (Vec::new(), 0_usize);
    loop {
        text.clear();
        number += 1;
        let length = (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut text).map_err(failed)?;
        if length == 0 {
            return Ok(());
        }
        if length as u64 == LONGEST_LINE && !text.ends_with(b"\n") {
            return Err(Stop::failure(format!(
                "{name}:{number}: a line of more than 16 MiB is no record of a decision"
            )));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line::parse(text.trim_ascii()) {
            Ok(recorded) => tests.add(recorded, limit),
            Err(Skipped(why)) => {
                tests.skipped += 1;
                if tests.skipped <= SHOWN {
                    writeln!(terminal.err, "warning: {name}:{number}: skipped, since {why}")?;
                }
            }
        }
    }
}

impl Tests {
    fn add(&mut self, recorded: Recorded, limit: usize) {
        let asked = recorded.key();
        if self.asked.contains_key(&asked) {
            self.repeated += 1;
        } else if self.written.len() >= limit {
            self.beyond += 1;
        } else {
            self.asked.insert(asked, self.written.len());
            let request = &recorded.request;
            let name = format!("{} {} {}", request.principal.id, request.action.id, request.resource.id);
            let times = self.names.entry(name.clone()).or_default();
            *times += 1;
            let name = if *times > 1 { format!("{name} #{times}") } else { name };
            self.written.push((recorded, name));
        }
    }
}

/// The file of tests, and how many of them the bundle decides otherwise today.
fn written(tests: &Tests, snapshot: &Snapshot) -> (Vec<u8>, usize) {
    let mut text = Vec::new();
    let mut otherwise = 0;
    let header = "# Each test holds what was decided at the time. Review each before you keep it: is it the intended decision?\ntests:\n";
    text.extend_from_slice(header.as_bytes());
    for (recorded, name) in &tests.written {
        let mut request = recorded.request.clone();
        let today = snapshot.decide(&request, recorded.time);
        request.context = snapshot.context_at(&recorded.request, recorded.time).into_owned().into_owned();
        let difference = match &today {
            Ok(today) => differs(&recorded.decision, today),
            Err(error) => Some(format!("it cannot be decided: {}", error.message)),
        };
        if let Some(difference) = difference {
            otherwise += 1;
            text.extend_from_slice(format!("  # With the current bundle {}\n", one_line(&difference)).as_bytes());
        }
        let test = Draft {
            name,
            why: Some(&recorded.origin),
            request: &request,
            store: &Store::Bundle,
            beside: None,
            decision: &recorded.decision,
        };
        // a vector takes all that is written to it
        let _ = draft::write(&test, "  ", &mut text);
    }
    (text, otherwise)
}

/// What a test of `then` would say about `today`.
fn differs(then: &Decision, today: &Decision) -> Option<String> {
    let word = |decision: &Decision| if decision.outcome.is_allow() { "allowed" } else { "denied" };
    let by = |decision: &Decision| match &decision.reasons[..] {
        [] => "no policy".to_owned(),
        ids => ids.join(", "),
    };
    if then.outcome != today.outcome || then.reasons != today.reasons {
        return Some(format!("it is {} by {}.", word(today), by(today)));
    }
    let absent = |decision: &Decision| match &decision.denied_by {
        Some(denied @ DeniedBy::UnknownEntity { .. }) => Some(denied_by(denied)),
        _ => None,
    };
    match (absent(then), absent(today)) {
        (None, Some(why)) => return Some(format!("it is denied because {why}.")),
        (Some(_), None) => return Some("it is denied, and not because an entity is not stored.".to_owned()),
        _ => {}
    }
    (then.errors.len() != today.errors.len())
        .then(|| format!("{} fail to evaluate.", count(today.errors.len(), "policy")))
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// Writes a file that is not there yet: tests that an author wrote are never replaced.
fn save(output: &Path, text: &[u8]) -> Result<(), Stop> {
    let failed = |error: io::Error| Stop::failure(format!("cannot write `{}`: {error}", output.display()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(output).map_err(failed)?;
    io::Write::write_all(&mut file, text).map_err(failed)
}

fn summary(tests: &Tests, otherwise: usize, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let mut parts = vec![format!("recorded {}", count(tests.written.len(), "test"))];
    if otherwise > 0 {
        parts.push(format!("the current bundle decides {otherwise} of them differently"));
    }
    if tests.repeated > 0 {
        parts.push(format!("{} repeated", count(tests.repeated, "line")));
    }
    if tests.skipped > 0 {
        parts.push(format!("{} skipped", count(tests.skipped, "line")));
    }
    if tests.beyond > 0 {
        parts.push(format!("{} beyond `--limit`", count(tests.beyond, "line")));
    }
    writeln!(terminal.err, "{}", parts.join("; "))
}
