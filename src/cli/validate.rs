//! `palisade validate`: what is wrong with a bundle, all of it.

use std::io;
use std::sync::Arc;

use clap::Args;

use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs, Places};
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{count, read_tests};
use crate::domain::{Bundle, Diagnostic, Revision};
use crate::engine::{self, EngineSettings, Limits, Snapshot, Verdict};

/// Flags of `palisade validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Fail on warnings too
    #[arg(long)]
    pub deny_warnings: bool,
    /// How the verdict is written; `json` has the shape of the API's answer
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// What a bundle has.
struct Counts {
    policies: usize,
    templates: usize,
    entities: usize,
}

/// Runs the verb.
///
/// # Errors
/// If there is no bundle.
pub fn run(args: &ValidateArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let places = args.bundle.places()?;
    let (mut verdict, counts) = match places.read() {
        Ok(read) => {
            let bundle = Arc::new(read.bundle);
            let (mut verdict, counts) = engine::on_big_stack(|| judge(&bundle))?;
            verdict.warnings.splice(0..0, read.warnings);
            (verdict, counts)
        }
        Err(errors) => (Verdict { valid: false, errors, warnings: Vec::new() }, None),
    };
    let tests = tests(&places, &mut verdict.errors)?;
    verdict.valid = verdict.errors.is_empty();
    let failed = !verdict.valid || (args.deny_warnings && !verdict.warnings.is_empty());
    if args.format == OutputFormat::Json {
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

/// Building tells the counts; where it fails, the complete check tells everything.
fn judge(bundle: &Arc<Bundle>) -> (Verdict, Option<Counts>) {
    let revision = Revision { incarnation: 0, counter: 1 };
    match Snapshot::build(bundle.clone(), &EngineSettings::default(), revision) {
        Ok((snapshot, warnings)) => {
            let policies = snapshot.policy_count();
            let templates = (snapshot.policy_texts().len() + bundle.links.len()).saturating_sub(policies);
            let counts = Counts { policies, templates, entities: snapshot.entity_count() };
            (Verdict { valid: true, errors: Vec::new(), warnings }, Some(counts))
        }
        Err(_) => (engine::check(bundle, &Limits::default()), None),
    }
}

/// How many tests there are; what is no test is an error.
fn tests(places: &Places, errors: &mut Vec<Diagnostic>) -> Result<usize, Stop> {
    let place = places.tests();
    // tests belong to a directory of policies, not to a single file in it
    if !places.policies.is_dir() || !place.exists() {
        return Ok(0);
    }
    let files = read_tests(&place).map_err(|error| Stop::failure(format!("{}: {error}", place.display())))?;
    for file in &files {
        for case in &file.cases {
            if let Err(fault) = &case.check {
                let mut error = Diagnostic::error(&file.path, format!("test `{}`: {}", case.name, fault.message));
                error.line = fault.line.or(case.line);
                errors.push(error);
            }
        }
    }
    Ok(files.iter().map(|file| file.cases.len()).sum())
}
