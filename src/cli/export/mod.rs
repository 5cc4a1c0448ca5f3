//! `palisade export`: what serves, changes folded in, as a bundle directory or as entities a line.
//!
//! From a running sidecar, or from the store of one that is not running. What was written is read again and compared before
//! it takes its place.

mod named;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::admin::{AdminArgs, expect_admin};
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, http};
use crate::source::{FileSettings, Layout};
use crate::{app, state, transport};
use palisade_engine::model::{Bundle, Diagnostic, Digest, Document, PolicyNaming, PolicyText, Revision};
use palisade_engine::{EngineSettings, Snapshot, Validation, on_big_stack};
use write::{TOPS, Written};

/// Flags of `palisade export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Export what this store holds, and not what a running sidecar serves. A sidecar may have it open
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin_listen", "token_file"])]
    pub store: Option<PathBuf>,
    /// Write a bundle directory here [default: the entities alone, one a line, to standard output]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace `policies`, `entities` and `routes` in the directory, with all that is in them
    #[arg(long, requires = "output")]
    pub force: bool,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// How to report what was written
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// The largest answer of a sidecar.
const MOST: u64 = 8 << 30;

/// What is exported.
struct Found {
    bundle: Bundle,
    revision: Option<Revision>,
}

/// Runs the verb.
///
/// # Errors
/// If there is nothing to export, something is in the way, or what was written does not load to the same.
pub(super) fn run(args: &ExportArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    if let Some(dir) = &args.output {
        check_room(dir, args.force)?;
    }
    let settings = args.bundle.config.load(args.bundle.tree()?)?;
    // what served is exported as it is, whatever would be made of it now
    let engine = EngineSettings { validation: Validation::Off, lints: false, ..app::engine_settings(&settings) };
    let found = match &args.store {
        Some(store) => of_store(store, args, &engine, terminal)?,
        None => of_sidecar(args, &engine)?,
    };
    let Some(dir) = &args.output else {
        for document in &found.bundle.entities {
            write::lines(&document.bytes()?, &mut terminal.out)?;
        }
        return Ok(Exit::Success);
    };
    let beside = Beside::make(dir)?;
    let written = beside.fill(&found.bundle, &engine)?;
    beside.put(dir)?;
    report(dir, &written, &found, args.format, terminal)?;
    Ok(Exit::Success)
}

fn report(
    dir: &Path,
    written: &Written,
    found: &Found,
    format: OutputFormat,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let Written { policies, links, entities, routes } = *written;
    let revision = found.revision.map(|revision| revision.to_string());
    if format == OutputFormat::Json {
        let shown = json!({
            "directory": dir.display().to_string(),
            "revision": revision,
            "policies": policies,
            "links": links,
            "entities": entities,
            "route_files": routes,
        });
        return writeln!(terminal.out, "{shown:#}");
    }
    let of = revision.map(|revision| format!(" of revision {revision}")).unwrap_or_default();
    writeln!(terminal.out, "wrote {}{of}: {policies} policies, {links} links, {entities} entities", dir.display())
}

/// What stands in the way of a bundle at `dir`, unless it may be replaced.
fn check_room(dir: &Path, force: bool) -> Result<(), Stop> {
    let taken: Vec<&str> = TOPS.into_iter().filter(|top| dir.join(top).symlink_metadata().is_ok()).collect();
    if taken.is_empty() || force {
        return Ok(());
    }
    let names = taken.join("`, `");
    let dir = dir.display();
    Err(Stop::failure(format!("{dir} has `{names}` already: choose another directory, or replace them with `--force`")))
}

/// Asks a running sidecar.
fn of_sidecar(args: &ExportArgs, engine: &EngineSettings) -> Result<Found, Stop> {
    let (address, token) = args.admin.find(&args.bundle.config)?;
    let timeout = Duration::from_secs(args.timeout);
    let answer = http::get_large(&address, "/v1/bundle", token.as_deref(), timeout, MOST);
    let answer =
        answer.map_err(|error| Stop::failure(format!("no answer from the admin API at {address}: {error}")))?;
    expect_admin(&address, answer.status)?;
    if answer.status != 200 {
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let detail = said.get("detail").and_then(Value::as_str).unwrap_or("it gave no reason");
        return Err(Stop::failure(format!("{address} answered {}: {detail}", answer.status)));
    }
    let read = transport::read_exported(&answer.body, &engine.limits);
    // an answer that broke off is no bundle
    let (bundle, revision) =
        read.map_err(|why| Stop::failure(format!("the answer of {address} is not a whole bundle: {why}")))?;
    Ok(Found { bundle, revision })
}

/// Folds what a store holds.
fn of_store(
    store: &Path,
    args: &ExportArgs,
    engine: &EngineSettings,
    terminal: &mut Terminal<'_>,
) -> Result<Found, Stop> {
    let held = state::Held::look(store).map_err(|error| Stop::failure(error.to_string()))?;
    let revision = held.revision();
    let folded = if held.needs_files() {
        let read = args.bundle.choose()?.read_with_routes().map_err(|problems| problems_of("the files", &problems))?;
        if !held.has_files(Digest::of(&read.bundle)) {
            writeln!(
                terminal.err,
                "warning: the files are not those that the store was written above; a start would put them below its \
                 changes, and so does this"
            )?;
        }
        held.above(read.bundle, engine)
    } else {
        held.folded(engine)
    };
    let snapshot = folded.map_err(|problems| problems_of("the store", &problems))?;
    Ok(Found { bundle: bundle_of(&snapshot), revision })
}

fn problems_of(what: &str, problems: &[Diagnostic]) -> Stop {
    let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Stop::failure(format!("{what} cannot be exported:\n{}", listed.join("\n")))
}

/// A state as a bundle whose policies have their ids.
fn bundle_of(snapshot: &Snapshot) -> Bundle {
    let texts = snapshot.texts();
    let policy = |(id, text): (&str, &str)| PolicyText {
        origin: format!("policies[{id:?}]"),
        text: text.to_owned(),
        naming: PolicyNaming::Exactly(id.to_owned()),
    };
    let mut entities = Vec::new();
    for entity in snapshot.entities() {
        entities.extend(entity.to_json().to_string().into_bytes());
        entities.push(b'\n');
    }
    if entities.is_empty() {
        // an empty document could be one that was cut off
        entities.extend(b"[]");
    }
    Bundle {
        policies: snapshot.policy_texts().into_iter().map(policy).collect(),
        schema: texts.schema.clone(),
        entities: vec![Document::held("entities", entities)],
        links: texts.links.clone(),
        for_each: texts.for_each.clone(),
        routes: texts.routes.clone(),
    }
}

/// The directory that is filled first. Removed, unless what is in it took its place.
struct Beside(PathBuf);

impl Beside {
    fn make(dir: &Path) -> Result<Self, Stop> {
        let cannot =
            |path: &Path, error: &io::Error| Stop::failure(format!("cannot write {}: {error}", path.display()));
        fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
        let path = dir.join(format!(".palisade-export-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| cannot(&path, &error))?;
        Ok(Self(path))
    }

    /// Writes the bundle, reads it again, and compares the two.
    fn fill(&self, bundle: &Bundle, engine: &EngineSettings) -> Result<Written, Stop> {
        let cannot = |error: io::Error| Stop::failure(format!("cannot write {}: {error}", self.0.display()));
        let (written_as, written) = write::write(bundle, &self.0).map_err(cannot)?;
        let layout = Layout {
            policies: self.0.join("policies"),
            schema: None,
            entities: self.0.join("entities"),
            entities_named: true,
            routes: bundle.routes.first().map(|_| self.0.join("routes")),
            routes_named: !bundle.routes.is_empty(),
            ..Layout::default()
        };
        let files = FileSettings { allow_empty_policies: true, entities_required: false, ..FileSettings::default() };
        let read =
            bundle::read(&layout.source(files)).map_err(|problems| problems_of("what was written", &problems))?;
        let texts = |routes: &[(String, String)]| {
            let mut texts: Vec<String> = routes.iter().map(|(_, text)| text.clone()).collect();
            texts.sort_unstable();
            texts
        };
        let same_routes = texts(&read.bundle.routes) == texts(&bundle.routes);
        let read = Bundle { routes: Vec::new(), ..read.bundle };
        let build = |bundle: Bundle| -> Result<Snapshot, Stop> {
            let revision = Revision { incarnation: 1, counter: 1 };
            let built = on_big_stack(|| Snapshot::build(Arc::new(bundle), engine, revision));
            let built = built.map_err(|error| Stop::failure(format!("no thread to read it again: {error}")))?;
            built.map(|(snapshot, _)| snapshot).map_err(|problems| problems_of("what was written", &problems))
        };
        let (served, loaded) = (build(written_as)?, build(read)?);
        let mut ids: Vec<&str> = bundle.policies.iter().filter_map(|policy| policy.naming.exactly()).collect();
        ids.sort_unstable();
        let same_ids = loaded.policy_texts().iter().map(|(id, _)| *id).eq(ids);
        if same_routes && same_ids && loaded.is_same_as(&served) {
            return Ok(written);
        }
        Err(Stop::failure("what was written does not load to what serves, so it was removed; please report this"))
    }

    /// Puts what was written into its place.
    fn put(self, dir: &Path) -> Result<(), Stop> {
        for top in TOPS {
            let (from, to) = (self.0.join(top), dir.join(top));
            let old = self.0.join(format!("old-{top}"));
            let moved = match fs::rename(&to, &old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ if from.exists() => fs::rename(&from, &to),
                _ => Ok(()),
            };
            moved.map_err(|error| Stop::failure(format!("cannot replace {}: {error}", to.display())))?;
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // of no use to anyone
        let _ = fs::remove_dir_all(&self.0);
    }
}
