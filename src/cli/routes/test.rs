//! `palisade routes test`: requests and the checks that they must become.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::routes::Ready;
use crate::cli::routes::cases::{self, Case};
use crate::cli::routes::store::Store;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{Listed, unread};
use palisade_engine::model::Value;
use palisade_routes::{Identity, Outcome, RequestFacts, show_check};

/// Flags of `palisade routes test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Tests: a file or a directory; may be repeated [default: `tests` beside the routes]
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// Write failures and the summary only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the verb.
///
/// # Errors
/// If the routes cannot be used.
pub(super) fn run(args: &TestArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let ready = super::read(&args.bundle, terminal)?;
    if let Some(missing) = ready.chosen.missing_schema(&ready.bundle) {
        bundle::show(&[missing], terminal.err)?;
        return Ok(Exit::Invalid);
    }
    let store = ready.store(terminal)?;
    let place = &ready.place;
    let beside = if place.is_dir() { place.join("tests") } else { place.with_file_name("tests") };
    let places = if args.tests.is_empty() { std::slice::from_ref(&beside) } else { &args.tests };
    let (mut files, mut warnings) = (Vec::new(), Vec::new());
    for path in places {
        if !bundle::is_there(path)? {
            if !args.tests.is_empty() {
                let message = format!("`--tests {}`: there is no such file or directory", path.display());
                return Err(Stop::failure(message));
            }
            continue;
        }
        let listed =
            Listed::of(path).map_err(|error| Stop::failure(format!("cannot read `{}`: {error}", path.display())))?;
        files.extend(listed.tests.into_iter().map(|(_, path)| path));
        warnings.extend(unread(listed.others.iter().chain(&listed.accepted).map(PathBuf::as_path)));
    }
    if files.is_empty() && warnings.is_empty() {
        writeln!(terminal.out, "0 passed, 0 failed")?;
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        writeln!(terminal.err, "error: there are no tests in `{}`", places.join("`, `"))?;
        return Ok(Exit::TestsFailed);
    }
    bundle::show(&warnings, terminal.err)?;
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for path in files {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| Stop::failure(format!("cannot read {name}: {error}")))?;
        let cases = match cases::parse(&text) {
            Ok(cases) if cases.is_empty() => {
                failed += 1;
                let why = "there is no test in this file: restore its tests, or remove it";
                fail(&name, None, "(file)", why, terminal)?;
                continue;
            }
            Ok(cases) => cases,
            Err(fault) => {
                failed += 1;
                fail(&name, fault.line, "(file)", &fault.message, terminal)?;
                continue;
            }
        };
        for (case, fault) in cases {
            let title = case.title();
            let judged = match fault {
                Some(fault) => Err((fault.line, fault.message)),
                None => judge(&ready, &store, &case).map_err(|why| (Some(case.line), why)),
            };
            match judged {
                Err((line, why)) => {
                    failed += 1;
                    fail(&name, line, &title, &why, terminal)?;
                }
                Ok(()) => {
                    passed += 1;
                    if !args.quiet {
                        writeln!(terminal.out, "{} {name}: {title}", toned("ok", Tone::Good, terminal.color))?;
                    }
                }
            }
        }
    }
    writeln!(terminal.out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 && passed > 0 { Exit::Success } else { Exit::TestsFailed })
}

fn fail(name: &str, line: Option<usize>, title: &str, why: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
    writeln!(terminal.out, "{} {place}: {title}\n  {why}", toned("FAIL", Tone::Bad, terminal.color))
}

fn judge(ready: &Ready, store: &Store, case: &Case) -> Result<(), String> {
    let request = case.request.as_deref().unwrap_or_default();
    let (method, target) = request.split_once(' ').ok_or("`request` is a method and a target, such as `GET /a`")?;
    let mut headers = case.headers.clone();
    if case.body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let claims = case.claims.as_ref().map(|text| Value::parse(text.as_bytes()));
    let claims = claims.transpose().map_err(|error| error.to_string())?;
    let identity = case.principal.clone().map(|principal| Identity {
        principal,
        auth: None,
        token: None,
        claims: claims.as_ref(),
    });
    let facts = RequestFacts {
        method,
        target: target.as_bytes(),
        host: case.host.as_deref(),
        headers: &headers,
        body: case.forwarded(),
        peer: case.peer(),
    };
    let got = match ready.table.resolve(facts, identity.as_ref(), store) {
        Ok(Outcome::Public) => vec!["public".to_owned()],
        Ok(Outcome::Checks(checks)) => checks.iter().map(show_check).collect(),
        Err(refusal) => vec![format!("refuse {}", refusal.code)],
    };
    let expected = case.expect.as_deref().unwrap_or_default();
    if got == expected {
        Ok(())
    } else {
        Err(format!("expected {}\n  got      {}", expected.join("; "), got.join("; ")))
    }
}
