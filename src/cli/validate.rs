//! `palisade validate`: what is wrong with a bundle, all of it.

use std::io;
use std::sync::Arc;

use clap::Args;

use crate::app;
use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs, Chosen};
use crate::cli::exit::{Exit, Stop};
use crate::cli::progress;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{count, find_tests};
use crate::config;
use crate::source::Layout;
use palisade_engine::model::{Bundle, Diagnostic, Revision, Severity};
use palisade_engine::{EngineSettings, NO_SCHEMA, Snapshot, Validation, Verdict};

/// Flags of `palisade validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Fail on warnings too: with `--format json` they make `valid` false
    #[arg(long, visible_alias = "strict")]
    pub deny_warnings: bool,
    /// Output format; `json` has the shape of the API's answer
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// What a bundle has.
struct Counts {
    policies: usize,
    templates: usize,
    entities: usize,
    routes: usize,
}

/// Runs the verb.
///
/// # Errors
/// If there is no bundle.
pub(super) fn run(args: &ValidateArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let chosen = args.bundle.choose()?;
    let (mut verdict, counts) = match chosen.read_with_routes() {
        Ok(read) => {
            let bundle = Arc::new(read.bundle);
            let (mut verdict, counts) = palisade_engine::on_big_stack(|| judge(&bundle, &chosen))?;
            verdict.warnings.splice(0..0, read.warnings);
            (verdict, counts)
        }
        Err(found) => {
            let (errors, warnings) = found.into_iter().partition(|found| found.severity == Severity::Error);
            let errors = palisade_engine::on_big_stack(|| with_the_rest(errors, &chosen))?;
            (Verdict { valid: false, errors, warnings }, None)
        }
    };
    verdict.errors = chosen.with_places(verdict.errors);
    verdict.warnings = chosen.with_places(verdict.warnings);
    let tests = tests(&chosen.layout, &mut verdict)?;
    verdict.errors = Diagnostic::by_place(verdict.errors);
    verdict.valid = verdict.errors.is_empty();
    let failed = !verdict.valid || (args.deny_warnings && !verdict.warnings.is_empty());
    if args.format == OutputFormat::Json {
        // a script reads this member, whatever made the verb fail
        verdict.valid = !failed;
        serde_json::to_writer_pretty(&mut *terminal.out, &verdict).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    } else {
        // the verdict is what was asked for, so it goes where a pipe takes it
        bundle::show(&verdict.errors, terminal.out)?;
        bundle::show(&verdict.warnings, terminal.out)?;
        let mut parts = Vec::new();
        if let Some(counts) = &counts {
            parts.extend([
                count(counts.policies, "policy"),
                count(counts.templates, "template"),
                count(counts.entities, "entity"),
                count(tests, "test"),
            ]);
            if counts.routes > 0 {
                parts.push(count(counts.routes, "route"));
            }
        }
        if !verdict.errors.is_empty() {
            parts.push(count(verdict.errors.len(), "error"));
        }
        if !verdict.warnings.is_empty() {
            parts.push(count(verdict.warnings.len(), "warning"));
        }
        let (word, tone) = match (failed, verdict.valid) {
            (false, _) => ("valid", Tone::Good),
            (true, true) => ("refused", Tone::Bad),
            (true, false) => ("not valid", Tone::Bad),
        };
        writeln!(terminal.out, "{}: {}", toned(word, tone, terminal.color), parts.join(", "))?;
    }
    Ok(if failed { Exit::Invalid } else { Exit::Success })
}

/// Building gives the counts; where it fails, the complete check reports every problem.
fn judge(bundle: &Arc<Bundle>, chosen: &Chosen) -> (Verdict, Option<Counts>) {
    let revision = Revision { incarnation: 0, counter: 1 };
    // strict whatever the configuration says: that decides what `serve` does with the findings. Only where there is no
    // schema there is nothing to find, and it may allow that
    let allowed = chosen.settings.validation;
    let goes_without = bundle.schema.is_none() && allowed != config::Validation::Strict;
    let validation = if goes_without { Validation::Off } else { Validation::Strict };
    let settings = EngineSettings { validation, lints: true, ..app::engine_settings(&chosen.settings) };
    let unvalidated = || Diagnostic::error("schema", NO_SCHEMA).warning();
    let unvalidated = (goes_without && allowed == config::Validation::Warn).then(unvalidated);
    let limits = &settings.limits;
    let routes = palisade_routes::compile_bundle(bundle, limits);
    let snapshot = Snapshot::build_observed(bundle.clone(), &settings, revision, &progress::observers());
    match (snapshot, routes) {
        (Ok((snapshot, mut warnings)), Ok((table, more))) => {
            warnings.extend(more);
            warnings.extend(unvalidated);
            let policies = snapshot.policy_count();
            let templates = (snapshot.policy_texts().len() + snapshot.link_count()).saturating_sub(policies);
            let empty = Vec::from_iter(app::load_rules(&chosen.settings).policies(&snapshot));
            let counts =
                Counts { policies, templates, entities: snapshot.entity_count(), routes: table.routes().len() };
            (Verdict { valid: empty.is_empty(), errors: empty, warnings }, Some(counts))
        }
        (_, routes) => {
            let Verdict { mut errors, mut warnings, .. } =
                palisade_engine::check(bundle, limits, settings.semantics, &|| false);
            errors.retain(|error| !(goes_without && error.message == NO_SCHEMA));
            warnings.extend(unvalidated);
            let errors = palisade_routes::together(errors, routes.err());
            (Verdict { valid: errors.is_empty(), errors, warnings }, None)
        }
    }
}

/// What is wrong with files that cannot be read, and with those that can.
fn with_the_rest(unreadable: Vec<Diagnostic>, chosen: &Chosen) -> Vec<Diagnostic> {
    let rest = Arc::new(chosen.rest());
    let EngineSettings { limits, semantics, .. } = app::engine_settings(&chosen.settings);
    let mut found = palisade_engine::check(&rest, &limits, semantics, &|| false).errors;
    if rest.schema.is_none() {
        // it is there, and was not read
        found.retain(|problem| problem.origin != "schema");
    }
    let routes = palisade_routes::compile_bundle(&rest, &limits).err();
    palisade_routes::together(unreadable, Some(palisade_routes::together(found, routes)))
}

/// How many tests there are. What is no test is an error, and a file that is not read a warning.
fn tests(layout: &Layout, verdict: &mut Verdict) -> Result<usize, Stop> {
    let place = layout.tests();
    // tests belong to a directory of policies, not to a single file in it
    if !layout.policies.is_dir() || !bundle::is_there(&place)? {
        return Ok(0);
    }
    let mut found = find_tests(&place)?;
    found.refuse_empty();
    let files = found.files;
    verdict.warnings.extend(found.warnings);
    for file in &files {
        for case in &file.cases {
            if let Err(fault) = &case.check {
                let mut error = Diagnostic::error(&file.path, format!("test `{}`: {}", case.name, fault.message));
                error.line = fault.line.or(case.line);
                verdict.errors.push(error);
            }
        }
    }
    Ok(files.iter().map(|file| file.cases.len()).sum())
}
