//! Runs tests on a bundle. Each set of entities is built once; the order of results is that of the tests.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value as Json, json};

use crate::cli::test::absent;
use crate::cli::test::coverage::Collector;
use crate::cli::test::filter::Filter;
use crate::cli::test::model::{Case, Check, EntityChange, Expect, Reasons, Store, TestFile};
use crate::cli::test::report::{Got, Report, TestResult, compare};
use palisade_engine::model::{Bundle, Diagnostic, Document, PolicyNaming, PolicyText, Revision, Uid, Value, request};
use palisade_engine::{EngineSettings, ExplainOptions, Sightings, Snapshot, Validation};

/// How many tests a thread takes at once.
const CHUNK: usize = 64;

/// How tests are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How policies are validated and decisions are made.
    pub engine: EngineSettings,
    /// The clock, in milliseconds since 1970, for requests that leave `now` out.
    pub now: i64,
    /// Which tests to run.
    pub filter: Filter,
    /// Whether to stop at the first failure.
    pub fail_fast: bool,
    /// How many threads to use.
    pub jobs: usize,
    /// Whether to note what the tests see of the policies.
    pub coverage: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            engine: EngineSettings::default(),
            now: crate::cli::clock::now(),
            filter: Filter::default(),
            fail_fast: false,
            jobs: thread::available_parallelism().map_or(1, usize::from),
            coverage: false,
        }
    }
}

/// Runs all tests of `files` on `bundle` with the defaults: strict semantics, strict validation.
///
/// # Errors
/// Every problem that keeps the bundle from being built.
pub fn run_bundle(bundle: &Bundle, files: &[TestFile]) -> Result<Report, Vec<Diagnostic>> {
    run_with(bundle, files, &Options::default())
}

/// Runs the tests of `files` on `bundle`.
///
/// # Errors
/// Every problem that keeps the bundle from being built.
pub fn run_with(bundle: &Bundle, files: &[TestFile], options: &Options) -> Result<Report, Vec<Diagnostic>> {
    palisade_engine::on_big_stack(|| run_here(bundle, files, options))
        .unwrap_or_else(|error| Err(vec![Diagnostic::error("tests", format!("no thread could be started: {error}"))]))
}

/// One test with the file it stands in.
pub(super) struct Job<'t> {
    pub file: &'t TestFile,
    pub case: &'t Case,
    /// Index of its world; nothing if it is no test.
    pub world: Option<usize>,
}

/// A set of entities, and the snapshot with them once it is needed.
pub(super) struct World<'t> {
    pub store: &'t Store,
    snapshot: OnceLock<Result<Arc<Snapshot>, String>>,
}

impl World<'_> {
    /// The snapshot with these entities, for a test of the file at `path`.
    pub(super) fn snapshot(&self, builder: &Builder<'_>, path: &str) -> Result<&Arc<Snapshot>, &str> {
        self.snapshot.get_or_init(|| builder.build(path, self.store)).as_ref().map_err(String::as_str)
    }
}

/// Tests that are to run, and what they run on.
pub(super) struct Plan<'t> {
    pub builder: Builder<'t>,
    pub jobs: Vec<Job<'t>>,
    pub worlds: Vec<World<'t>>,
    /// How many tests a filter left out.
    unselected: usize,
}

impl<'t> Plan<'t> {
    /// Builds the bundle and selects the tests.
    ///
    /// # Errors
    /// Every problem that keeps the bundle from being built.
    pub(super) fn make(bundle: &'t Bundle, files: &'t [TestFile], options: &Options) -> Result<Self, Vec<Diagnostic>> {
        let settings = options.engine.clone();
        let revision = Revision { incarnation: 0, counter: 1 };
        let (base, _) = Snapshot::build(Arc::new(bundle.clone()), &settings, revision)?;
        let base = Arc::new(base);
        // the policies were validated with the bundle's own entities; entities are checked with each set
        let builder = Builder {
            bundle,
            settings: EngineSettings { validation: Validation::Off, ..settings },
            entities: OnceLock::new(),
            positions: Positions::of(bundle, &base),
            coverage: options.coverage.then(Collector::default),
            base,
        };
        let (mut jobs, mut worlds, mut unselected) = (Vec::new(), Vec::new(), 0);
        let mut known: HashMap<&Store, usize> = HashMap::new();
        for file in files {
            for case in &file.cases {
                if !options.filter.selects(&file.id, &case.name) {
                    unselected += 1;
                    continue;
                }
                let world = case.check.as_ref().ok().map(|check| {
                    *known.entry(&check.store).or_insert_with(|| {
                        worlds.push(World { store: &check.store, snapshot: OnceLock::new() });
                        worlds.len() - 1
                    })
                });
                jobs.push(Job { file, case, world });
            }
        }
        Ok(Self { builder, jobs, worlds, unselected })
    }
}

fn run_here(bundle: &Bundle, files: &[TestFile], options: &Options) -> Result<Report, Vec<Diagnostic>> {
    let Plan { builder, jobs, worlds, unselected } = Plan::make(bundle, files, options)?;
    let mut report = Report { unselected, ..Report::default() };
    let mut results = run_jobs(&jobs, &worlds, &builder, options);
    absent::say_stale(files, &mut results, || builder.stored());
    let first_failure = results.iter().position(|result| result.as_ref().is_some_and(|result| !result.passed()));
    let keep = match first_failure {
        Some(i) if options.fail_fast => i + 1,
        _ => results.len(),
    };
    report.not_run = results.len() - keep;
    report.results = results.into_iter().take(keep).flatten().collect();
    report.coverage = builder.coverage.map(|collector| collector.finish(&builder.base));
    Ok(report)
}

/// Runs jobs on several threads; a result is missing only after a failure, if that stops the run.
fn run_jobs(jobs: &[Job<'_>], worlds: &[World<'_>], builder: &Builder, options: &Options) -> Vec<Option<TestResult>> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, Vec<TestResult>)>> = Mutex::new(Vec::new());
    let work = || {
        let mut seen = builder.coverage.as_ref().map(|_| Sightings::default());
        while !stop.load(Ordering::Relaxed) {
            // chunks are taken in order, so that all before the first failure are run
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = jobs.get(start..jobs.len().min(start + CHUNK)).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            let run = |job| run_job(job, worlds, builder, options, seen.as_mut());
            let results: Vec<TestResult> = chunk.iter().map(run).collect();
            if options.fail_fast && results.iter().any(|result| !result.passed()) {
                stop.store(true, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((start, results));
        }
        if let (Some(collector), Some(seen)) = (&builder.coverage, seen) {
            collector.add(seen);
        }
    };
    share(options.jobs.clamp(1, jobs.len().div_ceil(CHUNK).max(1)), work);
    let mut results: Vec<Option<TestResult>> = jobs.iter().map(|_| None).collect();
    for (start, chunk) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        for (i, result) in chunk.into_iter().enumerate() {
            if let Some(place) = results.get_mut(start + i) {
                *place = Some(result);
            }
        }
    }
    results
}

/// Does `work` on several threads, each of which takes what is left until there is nothing more.
pub(super) fn share(threads: usize, work: impl Fn() + Copy + Send + Sync) {
    if threads > 1 {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(move || {
                    // if its thread cannot be started, the others do its share
                    let _ = palisade_engine::on_big_stack(work);
                });
            }
        });
    }
    // what is left if no thread could be started
    work();
}

fn run_job(
    job: &Job<'_>,
    worlds: &[World<'_>],
    builder: &Builder,
    options: &Options,
    seen: Option<&mut Sightings>,
) -> TestResult {
    let Job { file, case, world } = job;
    let start = Instant::now();
    let result = |line: Option<usize>, check: Option<&Check>, got: Got, faults: Vec<String>, explanation| TestResult {
        path: file.path.clone(),
        file: file.id.clone(),
        line,
        name: case.name.clone(),
        why: case.why.clone(),
        check: check.cloned(),
        got,
        faults,
        explanation,
        took: start.elapsed(),
    };
    match (&case.check, world.and_then(|world| worlds.get(world))) {
        (Ok(check), Some(world)) => {
            let snapshot = world.snapshot(builder, &file.path);
            let check = &builder.positions.named(check);
            let got = match snapshot {
                Ok(snapshot) => match snapshot.decide(&check.request, options.now) {
                    Ok(decision) => Got::Decision(decision),
                    Err(error) => Got::Refused(error),
                },
                Err(message) => Got::Broken(message.to_owned()),
            };
            if let (Some(seen), Ok(snapshot), Got::Decision(_)) = (seen, snapshot, &got) {
                // what can be decided can be seen
                let _ = seen.see(snapshot, &check.request, options.now);
            }
            let mut faults = compare(check, &got);
            faults.extend(absent::faults(check, &got, || builder.stored()));
            let is_other = got.decision().is_some_and(|it| it.outcome.is_allow() != (check.expect == Expect::Allow));
            let explained = snapshot.as_ref().ok().filter(|_| is_other).and_then(|snapshot| {
                let wanted = ExplainOptions { without_changes: true, ..ExplainOptions::default() };
                snapshot.explain(&check.request, options.now, &wanted).ok()
            });
            result(case.line, Some(check), got, faults, explained.map(Box::new))
        }
        (Err(fault), _) => result(
            fault.line.or(case.line),
            None,
            Got::Broken(fault.message.clone()),
            vec![fault.message.clone()],
            None,
        ),
        (Ok(_), None) => unreachable!("every test has its world"),
    }
}

/// Builds snapshots that have the bundle's policies and schema, and other entities.
pub(super) struct Builder<'b> {
    bundle: &'b Bundle,
    pub base: Arc<Snapshot>,
    settings: EngineSettings,
    entities: OnceLock<Result<Entities, String>>,
    pub positions: Positions,
    coverage: Option<Collector>,
}

/// How tests may name policies without `@id`, where there is one file of policies: by position, `policy0`, `policy1`, as
/// Cedar's command line does.
#[derive(Default)]
pub(super) struct Positions {
    /// What the policies of the file are named after.
    stem: Option<String>,
    /// The ids that policies and links have.
    ids: HashSet<String>,
}

impl Positions {
    fn of(bundle: &Bundle, snapshot: &Snapshot) -> Self {
        let stem = match &bundle.policies[..] {
            [PolicyText { naming: PolicyNaming::Stem(stem), .. }] => Some(stem.clone()),
            _ => None,
        };
        Self { stem, ids: snapshot.policy_texts().into_iter().map(|(id, _)| id.to_owned()).collect() }
    }

    /// The test with ids in place of positions.
    pub(super) fn named<'c>(&self, check: &'c Check) -> Cow<'c, Check> {
        let Some(reasons) = check.reasons.as_ref().filter(|reasons| reasons.ids.iter().any(|id| self.id(id).is_some()))
        else {
            return Cow::Borrowed(check);
        };
        let ids = reasons.ids.iter().map(|id| self.id(id).unwrap_or_else(|| id.clone())).collect();
        Cow::Owned(Check { reasons: Some(Reasons { ids, all: reasons.all }), ..check.clone() })
    }

    /// The id of the policy at a position. A policy that really has this name comes first.
    fn id(&self, name: &str) -> Option<String> {
        let position: usize = name.strip_prefix("policy")?.parse().ok()?;
        let id = format!("{}.{position}", self.stem.as_ref()?);
        (!self.ids.contains(name) && self.ids.contains(&id)).then_some(id)
    }
}

/// Entities in Cedar's JSON form, by name.
pub(super) type Entities = BTreeMap<Uid<'static>, Json>;

impl Builder<'_> {
    /// The bundle's own entities.
    fn stored(&self) -> Result<&Entities, String> {
        self.entities.get_or_init(|| read(&self.bundle.entities)).as_ref().map_err(Clone::clone)
    }

    fn build(&self, path: &str, store: &Store) -> Result<Arc<Snapshot>, String> {
        let bytes = match store {
            Store::Bundle => return Ok(self.base.clone()),
            Store::Only(text) => text.as_bytes().to_vec(),
            Store::Changed(changes) => {
                let mut entities = self.stored()?.clone();
                for change in changes.iter() {
                    apply(change, &mut entities).map_err(|(line, message)| format!("{path}:{line}: {message}"))?;
                }
                Json::Array(entities.into_values().collect()).to_string().into_bytes()
            }
        };
        let mut bundle = self.base.texts().into_owned();
        bundle.entities = vec![Document::held("entities", bytes)];
        match Snapshot::build(Arc::new(bundle), &self.settings, self.base.revision()) {
            Ok((snapshot, _)) => Ok(Arc::new(snapshot)),
            Err(problems) => {
                let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                Err(format!("the entities of this test cannot be used: {}", messages.join("; ")))
            }
        }
    }
}

fn read(documents: &[Document]) -> Result<Entities, String> {
    let mut entities = Entities::new();
    for document in documents {
        let failed = |error: serde_json::Error| format!("{}: {error}", document.origin);
        let bytes = document.bytes().map_err(|error| format!("{}: {error}", document.origin))?;
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let list: Vec<Json> = if first == Some(&b'[') {
            serde_json::from_slice(&bytes).map_err(failed)?
        } else {
            serde_json::Deserializer::from_slice(&bytes).into_iter().collect::<Result<_, _>>().map_err(failed)?
        };
        for entity in list {
            let uid = entity.get("uid").map(Json::to_string).unwrap_or_default();
            let uid = Value::parse(uid.as_bytes())
                .map_err(|error| error.to_string())
                .and_then(|uid| request::uid_member(uid, "/uid").map_err(|error| error.message))
                .map_err(|message| format!("{}: {message}", document.origin))?
                .into_owned();
            entities.insert(uid, entity);
        }
    }
    Ok(entities)
}

fn apply(change: &EntityChange, entities: &mut Entities) -> Result<(), (usize, String)> {
    match change {
        EntityChange::Remove { line, uid } => match entities.remove(uid) {
            Some(_) => Ok(()),
            None => Err((*line, format!("there is no `{uid}` to leave out"))),
        },
        EntityChange::Put { line, uid, like, attributes, unset, parents, tags } => {
            let mut entity = match like {
                None => json!({"attrs": {}, "parents": []}),
                Some(like) => match entities.get(like) {
                    Some(entity) => entity.clone(),
                    None => return Err((*line, format!("there is no `{like}` to start from"))),
                },
            };
            entity["uid"] = named(uid);
            let read = |text: &str| -> Map<String, Json> { serde_json::from_str(text).unwrap_or_default() };
            if !entity.get("attrs").is_some_and(Json::is_object) {
                entity["attrs"] = json!({});
            }
            if let Some(stored) = entity.get_mut("attrs").and_then(Json::as_object_mut) {
                stored.extend(read(attributes));
                for name in unset {
                    // else the test would say nothing after a renaming
                    if stored.remove(name).is_none() {
                        return Err((*line, format!("there is no attribute `{name}` to leave out of `{uid}`")));
                    }
                }
            }
            if let Some(parents) = parents {
                entity["parents"] = parents.iter().map(named).collect();
            }
            if let Some(tags) = tags {
                entity["tags"] = Json::Object(read(tags));
            }
            entities.insert(uid.clone(), entity);
            Ok(())
        }
    }
}

fn named(uid: &Uid<'_>) -> Json {
    json!({"type": uid.type_name, "id": uid.id})
}
