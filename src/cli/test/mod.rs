//! `palisade test`: runs the tests of the policies.
//!
//! - `model` is what a test says; `json` and `yaml` read it from the two forms.
//! - `runner` asks the engine; `report` compares, `format` writes, `reports` writes to files.
//! - `watch` runs them again when a file changes; `schema` describes the two forms.

mod absent;
mod coverage;
mod discover;
pub(in crate::cli) mod draft;
mod filter;
mod format;
mod json;
mod model;
mod mutate;
mod near;
pub(in crate::cli) mod node;
mod notation;
mod replace;
mod report;
mod reports;
mod runner;
mod schema;
mod watch;
mod yaml;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

pub use coverage::Coverage;
pub use filter::Filter;
pub use format::Format;
pub use model::{Case, Check, EntityChange, Expect, Fault, Reasons, Store, TestFile, Unknown};
pub use mutate::{Fate, Mutation, Shown};
pub use report::{Got, ReasonDiff, Report, TestResult};
pub use reports::ReportTo;
pub use runner::{Options, run_bundle, run_with};
pub use schema::json_schema;

pub(crate) use discover::{Found, Listed, unread};
pub(in crate::cli) use draft::Draft;
pub(in crate::cli) use node::{Kind, Member, Node};
pub(crate) use palisade_engine::model::count;
pub(crate) use report::{denied_by, policy_error};
pub(in crate::cli) use yaml::is_short_form;

use crate::cli::bundle::{self, BundleArgs, Chosen, Read};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::set_semantics;
use crate::cli::terminal::Terminal;
use crate::cli::{SemanticsArg, clock, progress};
use palisade_engine::model::{Bundle, Diagnostic};

/// Flags of `palisade test`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("mutates").multiple(true)))]
pub struct TestArgs {
    /// Run only tests whose `file::name` contains this; with `*` or `?` in it, tests whose file, name or `file::name`
    /// matches it
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Which bundle to test
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Tests: a file or a directory; may be repeated [default: `tests` beside the policies]
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// How decisions are made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// The time for requests without `now`, such as 2026-11-21T12:00:00Z [default: the clock's]
    #[arg(long, value_name = "TIME", value_parser = clock::parse)]
    pub now: Option<i64>,
    /// Format of the report on standard output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Also write the report to a file, such as `junit=report.xml`; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = ReportTo::parse, conflicts_with = "list")]
    pub report: Vec<ReportTo>,
    /// Run the tests again whenever a file of the bundle, of the tests or the configuration changes, until Ctrl-C
    #[arg(short, long, conflicts_with = "list")]
    pub watch: bool,
    /// Stop at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// List the tests that would run, without running them
    #[arg(long)]
    pub list: bool,
    /// Succeed even if there is no test
    #[arg(long)]
    pub allow_none: bool,
    /// Write failures and the summary only
    #[arg(short, long)]
    pub quiet: bool,
    /// Show which parts of the policies the tests have never seen hold, or not hold
    #[arg(long, conflicts_with = "list")]
    pub coverage: bool,
    /// Write that as LCOV to a file
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub coverage_lcov: Option<PathBuf>,
    /// Write the source of the policies with that in colours to a file, as one page of HTML
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub coverage_html: Option<PathBuf>,
    /// Fail if the tests have seen less of a hundred outcomes
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["list", "filters"])]
    pub coverage_min: Option<f64>,
    /// Change each policy in one place at a time, and show the changes that no test notices, each with a test that would
    #[arg(long, conflicts_with = "list", group = "mutates")]
    pub mutate: bool,
    /// Fail if the tests notice less of a hundred such changes
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["list", "filters", "mutate_only"])]
    pub mutate_min: Option<f64>,
    /// Change only the policies whose id this is, `*` and `?` allowed; may be repeated
    #[arg(long, value_name = "ID", requires = "mutates")]
    pub mutate_only: Vec<String>,
    /// Of how many requests one is looked for that shows a change which no test notices
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    pub mutate_budget: u64,
    /// Write a file of tests that would notice the changes that no test does
    #[arg(long, value_name = "FILE", conflicts_with = "list", group = "mutates")]
    pub mutate_tests: Option<PathBuf>,
    /// How many threads to use [default: one a processor]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

/// Reads the tests of `place`, a directory or one file, in the order of their names.
///
/// # Errors
/// If a directory cannot be listed. A file that cannot be read is a test that fails.
pub fn read_tests(place: &Path) -> io::Result<Vec<TestFile>> {
    discover::read(place).map(|found| found.files)
}

/// The same, with what the author of the tests should see.
///
/// # Errors
/// If a directory cannot be listed.
pub(crate) fn find_tests(place: &Path) -> Result<Found, Stop> {
    discover::read(place).map_err(|error| Stop::failure(format!("cannot read `{}`: {error}", place.display())))
}

/// Runs the verb.
///
/// # Errors
/// If there is no bundle, or it cannot be built.
pub fn run(args: &TestArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    reports::check(&args.report)?;
    replace::check(args)?;
    if let Some(path) = args.mutate_tests.as_deref().filter(|path| path.exists()) {
        return Err(Stop::failure(format!("`{}` exists: name a new file", path.display())));
    }
    if args.watch {
        return watch::run(args, terminal, &mut |_| true);
    }
    let chosen = choose(args)?;
    run_once(args, &chosen, || chosen.read(), terminal)
}

fn choose(args: &TestArgs) -> Result<Chosen, Stop> {
    args.bundle.choose_with(|tree| set_semantics(tree, args.semantics))
}

/// Where tests are looked for.
fn places(args: &TestArgs, chosen: &Chosen) -> Vec<PathBuf> {
    if args.tests.is_empty() { vec![chosen.layout.tests()] } else { args.tests.clone() }
}

/// Runs the tests once, on the bundle that `read` gives.
fn run_once(
    args: &TestArgs,
    chosen: &Chosen,
    read: impl FnOnce() -> Result<Read, Vec<Diagnostic>>,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Stop> {
    let places = places(args, chosen);
    let mut found = Found::default();
    for place in &places {
        if bundle::is_there(place)? {
            let more = find_tests(place)?;
            found.files.extend(more.files);
            found.accepted.extend(more.accepted);
            found.warnings.extend(more.warnings);
        } else if !args.tests.is_empty() {
            return Err(bundle::no_such("tests", place));
        }
    }
    // a report may lie among the tests
    found.warnings.retain(|unread| args.report.iter().all(|to| !to.path.ends_with(&unread.origin)));
    bundle::show(&found.warnings, terminal.err)?;
    if !args.allow_none && found.files.iter().any(|file| !file.cases.is_empty()) {
        found.refuse_empty();
    }
    let (files, accepted) = (found.files, found.accepted);
    let tests: Vec<(&str, &str)> =
        files.iter().flat_map(|file| file.cases.iter().map(|case| (file.id.as_str(), case.name.as_str()))).collect();
    if tests.is_empty() {
        reports::write(&args.report, &Report::default(), args.quiet)?;
        if args.allow_none {
            writeln!(terminal.out, "{}", Report::default())?;
            return Ok(Exit::Success);
        }
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let near = near::tests(&chosen.layout).filter(|_| args.tests.is_empty()).unwrap_or_default();
        writeln!(terminal.err, "error: there are no tests in `{}`{near}", places.join("`, `"))?;
        return Ok(Exit::TestsFailed);
    }
    let filter = Filter::new(args.filters.clone());
    let idle = filter.idle(&tests);
    if !idle.is_empty() {
        reports::write(&args.report, &Report::default(), args.quiet)?;
        for pattern in idle {
            writeln!(terminal.err, "error: no test matches `{pattern}`; `palisade test --list` shows them all")?;
        }
        return Ok(Exit::TestsFailed);
    }
    if args.list {
        return list(&files, &filter, args.format, terminal);
    }

    // a report of an earlier run would be taken for one of this
    let unusable = |problems: &[Diagnostic]| {
        let report = Report::of_no_bundle(&chosen.layout.policies.display().to_string(), problems);
        reports::write(&args.report, &report, args.quiet)
    };
    let read = match read() {
        Ok(read) => read,
        Err(problems) => {
            bundle::show(&problems, terminal.err)?;
            unusable(&problems)?;
            return Ok(Exit::Invalid);
        }
    };
    bundle::show(&read.warnings, terminal.err)?;
    let options = Options {
        engine: chosen.engine(),
        now: args.now.unwrap_or_else(clock::now),
        filter,
        fail_fast: args.fail_fast,
        jobs: args.jobs.map_or_else(|| Options::default().jobs, NonZeroUsize::get),
        coverage: args.covers(),
    };
    match run_with(&read.bundle, &files, &options) {
        Ok(mut report) => {
            report.mutation = mutate(args, (&read.bundle, &files, &options), &accepted, &report, terminal)?;
            format::write(&report, args.format, args.quiet, terminal.color, terminal.out)?;
            reports::write(&args.report, &report, args.quiet)?;
            let enough =
                write_coverage(args, &read.bundle, &report, terminal)? & write_mutants(args, &report, terminal)?;
            Ok(if report.failed() == 0 && enough { Exit::Success } else { Exit::TestsFailed })
        }
        Err(problems) => {
            let problems = chosen.with_places(problems);
            bundle::show(&problems, terminal.err)?;
            writeln!(terminal.err, "error: the bundle cannot be used, so no test ran")?;
            unusable(&problems)?;
            Ok(Exit::Invalid)
        }
    }
}

/// A share of a hundred.
fn percent(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.trim_end_matches('%').trim().parse().ok();
    share.filter(|share| (0.0..=100.0).contains(share)).ok_or_else(|| "write a number from 0 to 100".to_owned())
}

/// Writes what was seen of the policies, as far as it is asked for; says whether it is enough.
fn write_coverage(
    args: &TestArgs,
    bundle: &Bundle,
    report: &Report,
    terminal: &mut Terminal<'_>,
) -> Result<bool, Stop> {
    let Some(coverage) = &report.coverage else { return Ok(true) };
    if args.coverage {
        // a document of another format must stay one
        match args.format {
            Format::Human => coverage.write(terminal.color, terminal.out)?,
            _ => coverage.write(terminal.color_err, terminal.err)?,
        }
    }
    let failed = |path: &Path, error: io::Error| Stop::failure(format!("cannot write `{}`: {error}", path.display()));
    if let Some(path) = &args.coverage_lcov {
        coverage::write_file(coverage, path).map_err(|error| failed(path, error))?;
    }
    if let Some(path) = &args.coverage_html {
        coverage::write_page(coverage, &bundle.policies, path).map_err(|error| failed(path, error))?;
    }
    match args.coverage_min {
        Some(least) if coverage.percent() < least => {
            let (seen, all) = coverage.outcomes();
            writeln!(terminal.err, "error: the tests see {seen} of {all} outcomes, less than {least} %")?;
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Asks the tests about mutants of the policies, if that is wanted and all of them pass.
fn mutate(
    args: &TestArgs,
    (bundle, files, options): (&Bundle, &[TestFile], &Options),
    accepted: &[PathBuf],
    report: &Report,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Mutation>, Stop> {
    if !args.mutates() {
        return Ok(None);
    }
    if report.failed() > 0 {
        writeln!(terminal.err, "error: policies are changed once all tests pass")?;
        return Ok(None);
    }
    let accepted = mutate::read_accepted(accepted.iter().map(PathBuf::as_path))
        .map_err(|faults| Stop::failure(faults.join("\n")))?;
    let limits = mutate::Limits { requests: args.mutate_budget, only: &args.mutate_only };
    let bar = progress::counted();
    let made = mutate::run(bundle, files, options, limits, &accepted, &bar);
    made.map(Some).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Stop::failure(problems.join("\n"))
    })
}

/// Writes what is asked for of the mutants beside the report; says whether enough of them were killed.
fn write_mutants(args: &TestArgs, report: &Report, terminal: &mut Terminal<'_>) -> Result<bool, Stop> {
    let Some(mutation) = &report.mutation else { return Ok(!args.mutates()) };
    if let Some(path) = &args.mutate_tests {
        let mut text = Vec::new();
        if mutate::tests(mutation, &mut text)? == 0 {
            writeln!(terminal.err, "`{}` is not written: no mutant lives for which there is a test", path.display())?;
        } else {
            std::fs::write(path, text)
                .map_err(|error| Stop::failure(format!("cannot write `{}`: {error}", path.display())))?;
        }
    }
    let word = if args.mutate_min.is_some() { "error" } else { "warning" };
    for stale in &mutation.stale {
        writeln!(terminal.err, "{word}: {stale}")?;
    }
    match args.mutate_min {
        Some(least) if mutation.percent() < least => {
            let (killed, all) = mutation.score();
            writeln!(terminal.err, "error: the tests kill {killed} of {all} mutants, less than {least} %")?;
            Ok(false)
        }
        Some(_) => Ok(mutation.stale.is_empty()),
        None => Ok(true),
    }
}

impl TestArgs {
    /// Whether it is to be noted what the tests see of the policies.
    fn covers(&self) -> bool {
        self.coverage || self.coverage_lcov.is_some() || self.coverage_html.is_some() || self.coverage_min.is_some()
    }

    /// Whether policies are to be changed.
    fn mutates(&self) -> bool {
        self.mutate || self.mutate_min.is_some() || self.mutate_tests.is_some()
    }
}

fn list(files: &[TestFile], filter: &Filter, format: Format, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let mut listed = Vec::new();
    for file in files {
        for case in file.cases.iter().filter(|case| filter.selects(&file.id, &case.name)) {
            let id = format!("{}::{}", file.id, case.name);
            if format == Format::Json {
                listed.push(serde_json::json!({"id": id, "name": case.name, "file": file.path, "line": case.line}));
            } else {
                writeln!(terminal.out, "{id}")?;
            }
        }
    }
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *terminal.out, &listed).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests;
