//! Asks the tests about every mutant, and looks for requests that would kill those which no test does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use palisade_engine::model::{AccessRequest, Bundle, Diagnostic, Uid, Value};
use palisade_engine::{Mutant, Mutants, Pool, SchemaFacts, Searched, Snapshot, Stage, Standing, on_big_stack};

use crate::cli::test::filter::glob;
use crate::cli::test::model::{Store, TestFile};
use crate::cli::test::mutate::{Accepted, Fate, Mutation, Shown};
use crate::cli::test::report::{Got, compare};
use crate::cli::test::runner::{Job, Options, Plan, World, share};

/// Entities of the bundle that requests are made of, beside those that tests name.
const MOST_ENTITIES: usize = 5_000;

/// Contexts of an action that requests are made with.
const MOST_CONTEXTS: usize = 32;

/// As many tests are between two that are asked one after the other.
const SPREAD: usize = 127;

/// How many tests, or mutants, a thread takes at once.
const CHUNK: usize = 16;

/// Up to how much is done.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli::test) struct Limits<'l> {
    /// Requests that are asked of a mutant that no test kills.
    pub requests: u64,
    /// Patterns of the policies that are changed; without any, all are.
    pub only: &'l [String],
}

impl Limits<'_> {
    /// Whether a policy is changed.
    fn takes(self, policy: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| glob(pattern, policy))
    }

    /// The patterns that no mutant is of.
    fn idle(self, mutants: &[Mutant]) -> Vec<Diagnostic> {
        let is_idle = |pattern: &&String| !mutants.iter().any(|mutant| glob(pattern, &mutant.policy));
        let message = |pattern: &String| {
            format!(
                "`--mutate-only {pattern}`: there is nothing to change in a policy of that id; ids are those that `reason` names, and `*` stands for any text"
            )
        };
        self.only.iter().filter(is_idle).map(|pattern| Diagnostic::error("tests", message(pattern))).collect()
    }
}

/// Called with what is done, how much of it is, and how much there is.
pub(in crate::cli::test) type Tell<'t> = &'t (dyn Fn(&'static str, usize, usize) + Sync);

/// Makes the mutants of the bundle's policies and asks the tests about each. The tests are known to pass.
///
/// # Errors
/// Every problem that keeps the bundle from being built, or mutants from being made.
pub(in crate::cli::test) fn run(
    bundle: &Bundle,
    files: &[TestFile],
    options: &Options,
    limits: Limits<'_>,
    accepted: &Accepted,
    tell: Tell<'_>,
) -> Result<Mutation, Vec<Diagnostic>> {
    on_big_stack(|| here(bundle, files, options, limits, accepted, tell))
        .unwrap_or_else(|error| Err(vec![Diagnostic::error("tests", format!("no thread could be started: {error}"))]))
}

fn here(
    bundle: &Bundle,
    files: &[TestFile],
    options: &Options,
    limits: Limits<'_>,
    accepted: &Accepted,
    tell: Tell<'_>,
) -> Result<Mutation, Vec<Diagnostic>> {
    let options = Options { coverage: false, ..options.clone() };
    let plan = Plan::make(bundle, files, &options)?;
    // all links that the entities of tests make are there before policies are changed
    let sets = built(&plan, &options, tell);
    let others: Vec<&Snapshot> = sets.iter().flatten().map(|(_, snapshot)| *snapshot).collect();
    let mutants = plan.builder.base.mutants(&others, &|| true).map_err(|problem| vec![problem])?;
    let idle = limits.idle(&mutants.list);
    if !idle.is_empty() {
        return Err(idle);
    }
    let base = mutants.stage(&plan.builder.base, None);
    let worlds = sets.into_iter().map(|set| set.map(|(path, snapshot)| Set { path, snapshot, stage: OnceLock::new() }));
    let ground = Ground { plan: &plan, mutants: &mutants, base, worlds: worlds.collect() };
    let alive: Vec<AtomicBool> = mutants
        .list
        .iter()
        .map(|it| AtomicBool::new(it.standing == Standing::Open && limits.takes(&it.policy)))
        .collect();
    ground.ask(&alive, &options, tell);
    let left: Vec<usize> = (0..mutants.list.len()).filter(|at| alive[*at].load(Ordering::Relaxed)).collect();
    let mut fates = ground.search(bundle, &left, &options, limits, tell);
    let fate = |at: usize, standing: &Standing, fates: &mut HashMap<usize, Fate>| match (fates.remove(&at), standing) {
        (Some(fate), _) => fate,
        (None, Standing::Open) => Fate::Killed,
        (None, standing) => Fate::Set(standing.clone()),
    };
    drop(ground);
    let bounded = mutants.bounded;
    let all = mutants.list.into_iter().enumerate().filter(|(_, mutant)| limits.takes(&mutant.policy));
    let all = all.map(|(at, mutant)| {
        let fate = fate(at, &mutant.standing, &mut fates);
        (mutant, fate)
    });
    let mut mutation = Mutation { mutants: all.collect(), bounded, stale: Vec::new() };
    accepted.apply(&mut mutation, |policy| limits.takes(policy));
    Ok(mutation)
}

/// Each set of entities that tests bring, with the file of one of them, where it can be built.
type Built<'p> = Vec<Option<(&'p str, &'p Snapshot)>>;

fn built<'p>(plan: &'p Plan<'_>, options: &Options, tell: Tell<'_>) -> Built<'p> {
    let mut paths: Vec<&str> = vec![""; plan.worlds.len()];
    for job in &plan.jobs {
        if let Some(path) = job.world.and_then(|world| paths.get_mut(world)) {
            *path = &job.file.path;
        }
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((world, path)) = plan.worlds.iter().zip(&paths).nth(next.fetch_add(1, Ordering::Relaxed)) {
            // what cannot be built is a test that fails
            let _ = world.snapshot(&plan.builder, path);
            tell("entities of tests", done.fetch_add(1, Ordering::Relaxed) + 1, plan.worlds.len());
        }
    };
    share(options.jobs.clamp(1, plan.worlds.len().max(1)), work);
    let built = |(world, path): (&'p World<'_>, &'p str)| Some((path, &**world.snapshot(&plan.builder, path).ok()?));
    plan.worlds.iter().zip(paths).map(built).collect()
}

/// A set of entities that tests bring.
struct Set<'g> {
    /// The file of one of the tests.
    path: &'g str,
    snapshot: &'g Snapshot,
    stage: OnceLock<Stage<'g>>,
}

/// What mutants are tried on.
struct Ground<'g> {
    plan: &'g Plan<'g>,
    mutants: &'g Mutants,
    /// The bundle's own entities.
    base: Stage<'g>,
    /// As the plan numbers them.
    worlds: Vec<Option<Set<'g>>>,
}

impl<'g> Ground<'g> {
    fn stage<'s>(&'s self, set: &'s Set<'g>) -> &'s Stage<'g> {
        set.stage.get_or_init(|| self.mutants.stage(set.snapshot, Some(&self.base)))
    }

    /// Puts every test to all mutants that are alive.
    fn ask(&self, alive: &[AtomicBool], options: &Options, tell: Tell<'_>) {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // tests that stand together kill the same: from all over the files they soon leave few mutants to be tried
        let jobs = &self.plan.jobs;
        let jobs: Vec<&Job<'_>> = (0..SPREAD).flat_map(|first| jobs.iter().skip(first).step_by(SPREAD)).collect();
        let work = || {
            loop {
                let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                let Some(chunk) = jobs.get(start..jobs.len().min(start + CHUNK)).filter(|chunk| !chunk.is_empty())
                else {
                    return;
                };
                for job in chunk {
                    self.put(job, alive, options.now);
                }
                tell("tests", done.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len(), jobs.len());
            }
        };
        share(options.jobs.clamp(1, jobs.len().div_ceil(CHUNK).max(1)), work);
    }

    fn put(&self, job: &Job<'_>, alive: &[AtomicBool], now: i64) {
        let set = job.world.and_then(|world| self.worlds.get(world)?.as_ref());
        let (Ok(check), Some(set)) = (&job.case.check, set) else { return };
        let check = self.plan.builder.positions.named(check);
        let lives = |at: usize| alive[at].load(Ordering::Relaxed);
        let mut see = |at: usize, decision: &palisade_engine::model::Decision| {
            if !compare(&check, &Got::Decision(decision.clone())).is_empty() {
                alive[at].store(false, Ordering::Relaxed);
            }
        };
        // a request that is refused says nothing about policies
        let _ = self.mutants.try_on(self.stage(set), &check.request, now, &lives, &mut see);
    }

    /// Looks for requests that the mutants which are `left` decide otherwise: first among all that the bundle's entities
    /// and the contexts of tests make, then among those that tests with entities of their own make.
    fn search(
        &self,
        bundle: &Bundle,
        left: &[usize],
        options: &Options,
        limits: Limits<'_>,
        tell: Tell<'_>,
    ) -> HashMap<usize, Fate> {
        let plan = self.plan;
        let contexts = contexts(bundle, plan);
        let mut found: HashMap<usize, Best> = left.iter().map(|at| (*at, Best::default())).collect();
        let base = &plan.builder.base;
        let pool = Pool { entities: entities(base, plan), actions: contexts.clone() };
        let is_bounded = pool.entities.len() >= MOST_ENTITIES;
        let told = |done| tell("mutants", done, left.len());
        for (at, searched) in hunt(self.mutants, &self.base, &pool, left, (options, limits), &told) {
            if let Some(best) = found.get_mut(&at) {
                best.is_bounded |= is_bounded;
                best.take(searched, &Store::Bundle, None);
            }
        }
        // what no request to the bundle's own entities shows, one to those of a test may
        for (number, world) in plan.worlds.iter().enumerate() {
            let hidden: Vec<usize> =
                left.iter().copied().filter(|at| found.get(at).is_some_and(|best| best.shown.is_none())).collect();
            if hidden.is_empty() {
                break;
            }
            tell("mutants, with entities of tests", number + 1, plan.worlds.len());
            let set = self.worlds.get(number).and_then(Option::as_ref).filter(|_| *world.store != Store::Bundle);
            let Some(set) = set else { continue };
            let stage = self.stage(set);
            // what links here and not there, no request to the bundle's entities could show
            let (own, same): (Vec<usize>, Vec<usize>) =
                hidden.iter().partition(|at| self.mutants.decide_apart(**at, stage, &self.base));
            for (hidden, every) in [(own, true), (same, false)] {
                let pool = of_world(plan, number, &contexts, every);
                for (at, searched) in hunt(self.mutants, stage, &pool, &hidden, (options, limits), &|_| ()) {
                    if let Some(best) = found.get_mut(&at) {
                        best.take(searched, world.store, Some(set.path));
                    }
                }
            }
        }
        found.into_iter().map(|(at, best)| (at, best.fate())).collect()
    }
}

/// The best request that was found for a mutant.
#[derive(Default)]
struct Best {
    shown: Option<Box<Shown>>,
    asked: u64,
    is_bounded: bool,
}

impl Best {
    fn take(&mut self, searched: Searched, store: &Store, file: Option<&str>) {
        self.asked += searched.asked;
        self.is_bounded |= !searched.exhausted;
        if let Some(it) = searched.found {
            let (request, decision, mutated) = *it;
            let file = file.map(str::to_owned);
            self.shown = Some(Box::new(Shown { request, store: store.clone(), file, decision, mutated }));
        }
    }

    fn fate(self) -> Fate {
        match self.shown {
            Some(shown) => Fate::Survived(shown),
            // where nothing could be asked, nothing is known
            None if self.is_bounded || self.asked == 0 => Fate::Unseen(self.asked),
            None => Fate::NotToldApart(self.asked),
        }
    }
}

/// Searches for several mutants at a time.
fn hunt(
    mutants: &Mutants,
    stage: &Stage<'_>,
    pool: &Pool,
    left: &[usize],
    (options, limits): (&Options, Limits<'_>),
    tell: &(dyn Fn(usize) + Sync),
) -> Vec<(usize, Searched)> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, Searched)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = left.get(start..left.len().min(start + CHUNK)).filter(|chunk| !chunk.is_empty()) else {
                return;
            };
            mutants.search(stage, pool, chunk, (options.now, limits.requests), &|| true, &mut |at, searched| {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((at, searched));
                tell(done.fetch_add(1, Ordering::Relaxed) + 1);
            });
        }
    };
    share(options.jobs.clamp(1, left.len().div_ceil(CHUNK).max(1)), work);
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Actions, each with contexts.
type Contexts = BTreeMap<Uid<'static>, Vec<Value<'static>>>;

/// The contexts that tests ask each action with, and the empty one; every action of the schema has at least that.
fn contexts(bundle: &Bundle, plan: &Plan<'_>) -> Contexts {
    let mut found = Contexts::new();
    for request in requests(plan, None) {
        let known = found.entry(request.action.clone()).or_default();
        if known.len() < MOST_CONTEXTS && !known.contains(&request.context) {
            known.push(request.context.clone());
        }
    }
    let limits = palisade_engine::Limits::default();
    if let Some(facts) = bundle.schema.as_ref().and_then(|text| SchemaFacts::read(text, &limits).ok()) {
        for (type_name, id) in facts.actions() {
            if let Ok(action) = Uid::new(type_name.to_owned(), id.to_owned()) {
                found.entry(action).or_default();
            }
        }
    }
    for known in found.values_mut() {
        let empty = Value::Object(Vec::new());
        if !known.contains(&empty) {
            known.push(empty);
        }
    }
    found
}

/// The requests of all tests, or of those of one world.
fn requests<'p>(plan: &'p Plan<'_>, world: Option<usize>) -> impl Iterator<Item = &'p AccessRequest<'static>> {
    let jobs = plan.jobs.iter().filter(move |job| world.is_none() || job.world == world);
    jobs.filter_map(|job| job.case.check.as_ref().ok()).map(|check| &check.request)
}

/// The entities that tests name, then others of the bundle.
fn entities(base: &Snapshot, plan: &Plan<'_>) -> Vec<Uid<'static>> {
    let named = requests(plan, None).flat_map(|request| [&request.principal, &request.resource]);
    let named: BTreeSet<&Uid<'static>> = named.filter(|uid| base.entity(uid).is_some()).collect();
    let mut found: Vec<Uid<'static>> = named.iter().map(|uid| (*uid).clone()).take(MOST_ENTITIES).collect();
    for entity in base.entities() {
        if found.len() >= MOST_ENTITIES {
            break;
        }
        let part = |name| entity.get("uid").and_then(|uid| uid.get(name)).and_then(Value::as_str).map(str::to_owned);
        let uid = part("type").zip(part("id")).and_then(|(type_name, id)| Uid::new(type_name, id).ok());
        found.extend(uid.filter(|uid| !named.contains(uid)));
    }
    found
}

/// What the tests of one world ask, crossed; with `every` action, as tests ask them anywhere.
fn of_world(plan: &Plan<'_>, number: usize, contexts: &Contexts, every: bool) -> Pool {
    let named = requests(plan, Some(number)).flat_map(|request| [&request.principal, &request.resource]);
    let entities: BTreeSet<Uid<'static>> = named.cloned().collect();
    let mut actions = Contexts::new();
    for request in requests(plan, Some(number)) {
        let known = actions.entry(request.action.clone()).or_default();
        if !known.contains(&request.context) {
            known.push(request.context.clone());
        }
    }
    for (action, more) in contexts {
        let known = if every { Some(actions.entry(action.clone()).or_default()) } else { actions.get_mut(action) };
        if let Some(known) = known {
            known.extend(more.iter().filter(|context| !known.contains(context)).cloned().collect::<Vec<_>>());
        }
    }
    Pool { entities: entities.into_iter().collect(), actions }
}
