//! `palisade test --watch`: runs the tests again when a file of the bundle, of the tests or the configuration changes.
//!
//! What a run is about is noted before it reads anything, and files are watched from before that. So a change that
//! comes during a run differs from what was noted, and starts the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::cli::bundle::{self, Chosen, Read};
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::discover::{MAX_DEPTH, is_skipped};
use crate::cli::test::{ReportTo, TestArgs, choose, places, run_once};
use crate::config;
use crate::source::{FileSource, Source, Watch};
use palisade_engine::model::Diagnostic;

/// How many changed files are named.
const MAX_NAMED: usize = 8;

/// How often it is asked how the watch is.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The SHA-256 of each file, by its path as people know it.
type Files = BTreeMap<String, [u8; 32]>;

/// What one run is about.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Those of the bundle as they were last read whole.
    bundle: Files,
    /// Tests and the configuration.
    others: Files,
    /// Why the bundle cannot be read.
    problems: Vec<String>,
}

/// Runs tests until `goes_on`, which gets the number of runs so far, says false.
///
/// # Errors
/// If the first run cannot begin, or changes are not watched for any more.
pub(super) fn run(
    args: &TestArgs,
    terminal: &mut Terminal<'_>,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Exit, Stop> {
    let (wake, woken) = mpsc::sync_channel(1);
    let mut watched = Watched::start(args, choose(args)?, &wake);
    let mut last: Option<Seen> = None;
    let mut runs = 0;
    loop {
        let (seen, read) = watched.look(last.as_ref(), &args.report);
        if last.as_ref() != Some(&seen) {
            if let Some(last) = &last {
                let what = format!("changed: {}", changes(last, &seen));
                writeln!(terminal.err, "\n{}", toned(what, Tone::Strong, terminal.color_err))?;
            }
            last = Some(seen);
            let mut read = Some(read);
            let once = || read.take().unwrap_or_else(|| watched.chosen.read());
            let exit = match run_once(args, &watched.chosen, once, terminal) {
                Err(stop) if runs == 0 => return Err(stop),
                Err(stop) => show(&stop, terminal)?,
                Ok(exit) => exit,
            };
            runs += 1;
            terminal.out.flush()?;
            if runs == 1 {
                writeln!(terminal.err, "watching for changes; Ctrl-C ends this")?;
            }
            terminal.err.flush()?;
            if !goes_on(runs) {
                return Ok(exit);
            }
        }
        // the configuration may say by now that the bundle is elsewhere, or say nothing that can be used
        let chosen = loop {
            watched.wait(&woken, terminal)?;
            match choose(args) {
                Ok(chosen) => break chosen,
                Err(stop) => {
                    // once it can be used again, tests run, even if it is what it was before
                    last = None;
                    show(&stop, terminal)?;
                    terminal.err.flush()?;
                }
            }
        };
        watched = watched.again(args, chosen, &wake);
    }
}

fn show(stop: &Stop, terminal: &mut Terminal<'_>) -> std::io::Result<Exit> {
    let prefix = toned("error:", Tone::Bad, terminal.color_err);
    stop.message.lines().try_for_each(|line| writeln!(terminal.err, "{prefix} {line}"))?;
    Ok(stop.exit)
}

/// What is watched, and by what.
struct Watched {
    chosen: Chosen,
    /// Tests and the configuration.
    others: Vec<PathBuf>,
    source: FileSource,
    watches: [Watch; 2],
    /// What was last said of the watches.
    told: Option<String>,
}

// === impl Watched ===

impl Watched {
    fn start(args: &TestArgs, chosen: Chosen, wake: &SyncSender<()>) -> Self {
        let mut others = places(args, &chosen);
        others.push(config::file_place(args.bundle.config.config.as_deref()));
        // what is there later is a change too
        others.extend(chosen.absent().map(PathBuf::from));
        let source = chosen.source();
        let watch = |source: &FileSource| {
            let wake = wake.clone();
            // one that is waiting already stands for this one too
            source.watch(Box::new(move || {
                let _ = wake.try_send(());
            }))
        };
        let watches = [watch(&source), watch(&FileSource::of_others(others.clone(), chosen.files()))];
        Self { chosen, others, source, watches, told: None }
    }

    /// The same for another configuration.
    fn again(self, args: &TestArgs, chosen: Chosen, wake: &SyncSender<()>) -> Self {
        if self.chosen.layout == chosen.layout && self.chosen.files() == chosen.files() {
            return Self { chosen, ..self };
        }
        Self::start(args, chosen, wake)
    }

    /// What is there now, noted before it is used.
    fn look(&self, last: Option<&Seen>, reports: &[ReportTo]) -> (Seen, Result<Read, Vec<Diagnostic>>) {
        let written: BTreeSet<PathBuf> = reports.iter().filter_map(|to| to.path.canonicalize().ok()).collect();
        // a report that lies among the files would start the next run
        let is_ours =
            |path: &Path| !written.is_empty() && path.canonicalize().is_ok_and(|path| written.contains(&path));
        let mut seen = Seen::default();
        for place in &self.others {
            note(place, &is_ours, 0, &mut seen.others);
        }
        let read = self.chosen.whole(bundle::read(&self.source));
        match &read {
            Ok(read) => {
                let files = read.files.iter().filter(|(origin, _)| !is_ours(Path::new(origin)));
                seen.bundle = files.map(|(origin, held)| (shown(Path::new(origin)), held.sha256())).collect();
            }
            Err(problems) => {
                seen.problems = problems.iter().map(ToString::to_string).collect();
                seen.bundle = last.map(|last| last.bundle.clone()).unwrap_or_default();
            }
        }
        (seen, read)
    }

    /// Waits for a change, and says how the watch is.
    fn wait(&mut self, woken: &Receiver<()>, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        loop {
            match woken.recv_timeout(LOOK_AFTER) {
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stop::failure("no longer watching for changes")),
            }
            if self.watches.iter().any(Watch::has_ended) {
                return Err(Stop::failure("no longer watching for changes: the thread that watches files has ended"));
            }
            let state = self.watches.iter().find_map(Watch::degraded);
            if state != self.told {
                if let Some(state) = &state {
                    writeln!(terminal.err, "warning: {state}")?;
                    terminal.err.flush()?;
                }
                self.told = state;
            }
        }
    }
}

/// Notes every file at a place that is watched.
fn note(place: &Path, is_ours: &dyn Fn(&Path) -> bool, depth: usize, files: &mut Files) {
    if place.is_dir() {
        // what cannot be listed is for the run to report
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if depth <= MAX_DEPTH && !is_skipped(&entry.file_name().to_string_lossy()) {
                note(&entry.path(), is_ours, depth + 1, files);
            }
        }
    } else if place.is_file()
        && !is_ours(place)
        && let Ok(bytes) = fs::read(place)
    {
        files.insert(shown(place), Sha256::digest(bytes).into());
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// What differs, in one line.
fn changes(last: &Seen, seen: &Seen) -> String {
    let mut found = Vec::new();
    for (before, now) in [(&last.bundle, &seen.bundle), (&last.others, &seen.others)] {
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for name in names {
            match (before.get(name), now.get(name)) {
                (None, _) => found.push(format!("{name} (new)")),
                (_, None) => found.push(format!("{name} (deleted)")),
                (before, now) if before != now => found.push(name.clone()),
                _ => {}
            }
        }
    }
    if last.problems != seen.problems {
        found.push(if seen.problems.is_empty() {
            "the bundle can be read again".to_owned()
        } else {
            "the bundle cannot be read".to_owned()
        });
    }
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", found.join(", "))
}

#[cfg(test)]
mod tests;
