//! One world in both engines, the same requests to both, and a count of what was met.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Bundle, Decision, DeniedBy, RequestError, Revision};
use palisade_engine::{EngineKind, EngineSettings, KeptTrees, NowPolicy, Semantics, Snapshot, Validation};

use super::generate::World;
use super::generate::choices::Choices;
use super::generate::features::{FEATURES, Features};
use super::shrink::{Case, shrink};
use super::ways::{self, Ways};

/// What a decision is compared by.
pub(crate) type Answer = Result<Decision, RequestError>;

/// The sidecar's clock: most requests are decided at the first.
const CLOCKS: &[i64] = &[
    1_790_000_000_123,
    1_790_000_000_124,
    0,
    1_709_201_472_345,
    253_402_207_199_999,
    // beyond what can be written as a date
    253_402_207_200_000,
    253_402_300_799_999,
    253_402_300_800_000,
    -1,
    i64::MAX,
    i64::MIN,
];

/// The revision of every snapshot that is compared.
pub(crate) const REVISION: Revision = Revision { incarnation: 1, counter: 1 };

/// One state in both engines.
#[derive(Debug)]
pub(crate) struct Both {
    /// Decides by programs.
    pub compiled: Snapshot,
    /// Decides by Cedar's authorizer over all entities.
    pub reference: Snapshot,
}

/// Draws how a world is decided upon.
pub(crate) fn settings(c: &mut Choices) -> EngineSettings {
    EngineSettings {
        semantics: if c.chance(60) { Semantics::Cedar } else { Semantics::of(c.chance(80), c.chance(80)) },
        now: [NowPolicy::Fill, NowPolicy::Fill, NowPolicy::Fill, NowPolicy::Override, NowPolicy::Off][c.below(5)],
        validation: Validation::Off,
        ..EngineSettings::default()
    }
}

/// Builds a bundle in one engine. The thread must have the stack for it.
pub(crate) fn build(bundle: &Arc<Bundle>, settings: &EngineSettings, kind: EngineKind) -> Result<Snapshot, String> {
    // one engine has all of Cedar's trees at hand, the other makes those that it needs
    let settings = EngineSettings { kind, kept: KeptTrees(0), ..settings.clone() };
    match Snapshot::build(bundle.clone(), &settings, REVISION) {
        Ok((snapshot, _)) => Ok(snapshot),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// How messages about cycles read. Which of several cycles they name, and where one starts, is up to the order
/// of Cedar's hash maps: two runs of the reference differ there too.
const CYCLES: &[&str] = &["input graph has a cycle containing vertex", "entities are their own ancestors"];

/// The answer without what may differ: `time_dependent` may be tighter, which is checked apart; of cycles only
/// that there is one.
pub(crate) fn comparable(answer: &Answer) -> Answer {
    answer.clone().map(|decision| Decision { time_dependent: false, ..decision }).map_err(|mut error| {
        if let Some(cycle) = CYCLES.iter().find(|cycle| error.message.contains(**cycle)) {
            error.message = (*cycle).to_owned();
        }
        error
    })
}

/// Decides in all ways and says what differs. Returns the one answer.
pub(crate) fn compare(both: &Both, request: &AccessRequest<'_>, now: i64, slice: bool) -> Result<Answer, String> {
    let compiled = both.compiled.decide(request, now);
    let reference = both.reference.decide(request, now);
    if comparable(&compiled) != comparable(&reference) {
        return Err(format!("compiled: {compiled:#?}\nreference: {reference:#?}"));
    }
    if slice {
        let sliced = both.compiled.decide_by_reference(request, now);
        if comparable(&sliced) != comparable(&reference) {
            return Err(format!("reference over a slice: {sliced:#?}\nreference over everything: {reference:#?}"));
        }
    }
    if let (Ok(ours), Ok(theirs)) = (&compiled, &reference)
        && ours.time_dependent != theirs.time_dependent
    {
        if ours.time_dependent {
            return Err("time_dependent, where the reference says that it is not".to_owned());
        }
        // the compiled engine saw that no policy read the clock: then no clock may make a difference
        for other in &CLOCKS[1..6] {
            let again = both.reference.decide(request, *other);
            if comparable(&again) != comparable(&reference) {
                return Err(format!("not time_dependent, but at {now}: {reference:#?}\nat {other}: {again:#?}"));
            }
        }
    }
    Ok(compiled)
}

/// What a run has met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Worlds decided upon, and worlds that both engines refused.
    pub worlds: [u64; 2],
    /// Worlds with a schema.
    pub declared: u64,
    /// Policies that could decide, and entities.
    pub policies: u64,
    /// Stored entities.
    pub entities: u64,
    /// Requests, those compared over a slice too, and decisions that the compiled engine left to the reference.
    pub requests: u64,
    /// Compared over a slice too.
    pub slices: u64,
    /// Left to the reference by the compiled engine.
    pub fallbacks: u64,
    /// Policies that only the reference can evaluate.
    pub uncompiled: u64,
    /// What was asked in other ways too.
    pub ways: Ways,
    /// How requests ended, by name.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Requests that were refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Errors of policies by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// For each feature: policies that have it, decisions that such a policy determined, and such that failed.
    pub features: Vec<[u64; 3]>,
}

/// What kind of error a message reports.
fn kind_of(message: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("integer overflow", "integer overflow"),
        ("type error", "type error"),
        ("does not exist", "missing entity, attribute or tag"),
        ("does not have the", "missing entity, attribute or tag"),
        ("extension", "extension function"),
        ("unlinked", "unlinked slot"),
    ];
    KINDS.iter().find(|(part, _)| message.contains(part)).map_or("other", |(_, kind)| kind)
}

impl Tally {
    fn count(&mut self, answer: &Answer, features: &HashMap<&str, Features>) {
        self.requests += 1;
        let decision = match answer {
            Ok(decision) => decision,
            Err(error) => {
                *self.outcomes.entry("refused").or_default() += 1;
                *self.refused.entry(error.code).or_default() += 1;
                return;
            }
        };
        let outcome = match &decision.denied_by {
            Some(DeniedBy::UnknownEntity { .. }) => "deny: unknown entity",
            Some(DeniedBy::ForbidError { .. }) => "deny: forbid failed",
            None if decision.outcome.is_allow() => "allow",
            None if decision.reasons.is_empty() => "deny: no permit",
            None => "deny: forbid",
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        for (flag, name) in [
            (!decision.errors.is_empty(), "with errors of policies"),
            (decision.outcome.is_allow() && !decision.errors.is_empty(), "allow despite errors"),
            (decision.forbid_errors > 0, "with failed forbids"),
            (decision.time_dependent, "time-dependent"),
            (decision.reasons.len() > 1, "with several reasons"),
        ] {
            if flag {
                *self.outcomes.entry(name).or_default() += 1;
            }
        }
        let joined = |ids: &mut dyn Iterator<Item = &str>| {
            let mut all = Features::default();
            for id in ids {
                all.join(features.get(id).copied().unwrap_or_default());
            }
            all
        };
        let determined = joined(&mut decision.reasons.iter().map(|id| &**id));
        let failed = joined(&mut decision.errors.iter().map(|error| &*error.policy_id));
        for (at, (feature, _)) in FEATURES.iter().enumerate() {
            self.features[at][1] += u64::from(determined.has(*feature));
            self.features[at][2] += u64::from(failed.has(*feature));
        }
        for error in &decision.errors {
            *self.errors.entry(kind_of(&error.message)).or_default() += 1;
        }
    }

    /// A report in Markdown.
    #[allow(dead_code, reason = "the fuzz target has this file too, and reports in its own way")]
    pub(crate) fn report(&self, seconds: f64) -> String {
        let mut out = String::new();
        let [worlds, unbuildable] = self.worlds;
        let rate = self.requests as f64 / seconds.max(0.001);
        let _ = writeln!(out, "# Differential run\n\n| what | count |\n|---|---:|");
        for (name, n) in [
            ("worlds", worlds),
            ("of them with a schema", self.declared),
            ("bundles that both engines refused", unbuildable),
            ("policies and links", self.policies),
            ("stored entities", self.entities),
            ("requests", self.requests),
            ("of them also over a slice", self.slices),
            ("decided by the reference after all", self.fallbacks),
            ("decided without the reference at hand", self.ways.at_once),
            ("decided in a series with others", self.ways.series),
            ("asked again with a stored entity sent along", self.ways.resent),
            ("asked again with a member that Cedar ignores", self.ways.ignored),
            ("asked again of a state that was read back", self.ways.restored),
            ("policies not compiled", self.uncompiled),
            ("differences", 0),
        ] {
            let _ = writeln!(out, "| {name} | {n} |");
        }
        let _ = writeln!(out, "\n{seconds:.1} s, {rate:.0} requests a second, both engines and building included.");
        for (title, counts) in [
            ("How requests ended", &self.outcomes),
            ("Refused requests by code", &self.refused),
            ("Errors of policies", &self.errors),
        ] {
            let _ = writeln!(out, "\n| {title} | count |\n|---|---:|");
            for (name, n) in counts {
                let _ = writeln!(out, "| {name} | {n} |");
            }
        }
        let _ = writeln!(
            out,
            "\n| construct | policies | decisions determined | decisions with it failing |\n|---|---:|---:|---:|"
        );
        for ((_, name), [policies, determined, failed]) in FEATURES.iter().zip(&self.features) {
            let _ = writeln!(out, "| `{}` | {policies} | {determined} | {failed} |", name.replace('|', "\\|"));
        }
        out
    }
}

/// Puts `requests` requests to a world, in both engines.
///
/// # Errors
/// The first difference, with a case made as small as it goes.
pub(crate) fn run_world(world: &World, c: &mut Choices, requests: usize, tally: &mut Tally) -> Result<(), String> {
    tally.features.resize(FEATURES.len(), [0; 3]);
    let settings = settings(c);
    let bundle = Arc::new(world.bundle.clone());
    let made = (build(&bundle, &settings, EngineKind::Compiled), build(&bundle, &settings, EngineKind::Reference));
    let both = match made {
        (Ok(compiled), Ok(reference)) => Both { compiled, reference },
        (Err(_), Err(_)) => {
            tally.worlds[1] += 1;
            return Ok(());
        }
        (compiled, reference) => {
            let (compiled, reference) = (compiled.err(), reference.err());
            return Err(format!(
                "one engine refuses the bundle\ncompiled: {compiled:?}\nreference: {reference:?}\n{:#?}",
                world.bundle
            ));
        }
    };
    tally.worlds[0] += 1;
    tally.declared += u64::from(world.model.declared);
    tally.policies += world.policies.len() as u64;
    tally.entities += world.entities.len() as u64;
    tally.uncompiled += both.compiled.uncompiled().len() as u64;
    for policy in &world.policies {
        for (at, (feature, _)) in FEATURES.iter().enumerate() {
            tally.features[at][0] += u64::from(policy.features.has(*feature));
        }
    }
    let restored = ways::restore(&both.compiled, &settings)
        .map_err(|problem| format!("what was read back does not load: {problem}\n{:#?}", world.bundle))?;
    let features = world.policies.iter().map(|policy| (policy.id.as_str(), policy.features)).collect();
    let stored: Vec<palisade_engine::model::Value<'static>> = both.compiled.entities().collect();
    stored.iter().try_for_each(ways::check_export).map_err(|twice| format!("{twice}\n{:#?}", world.bundle))?;
    // drawn apart, so that a seed means the same requests whatever else is asked
    let mut aside = Choices::seeded(tally.requests);
    for _ in 0..requests {
        let request = world.request(c);
        let now = if c.chance(4) { *c.pick(CLOCKS) } else { CLOCKS[0] };
        let slice = c.chance(12);
        tally.slices += u64::from(slice);
        match compare(&both, &request, now, slice) {
            Ok(answer) => {
                ways::ask_otherwise(&both, (&restored, &stored), &request, now, &answer, &mut aside, &mut tally.ways)
                    .map_err(|difference| format!("{difference}\n\n{request:#?}\n{:#?}", world.bundle))?;
                tally.count(&answer, &features);
            }
            Err(difference) => {
                let case = shrink(Case::new(world, &settings, request, now));
                return Err(format!("{difference}\n\n{case}"));
            }
        }
    }
    tally.fallbacks += both.compiled.fallbacks();
    Ok(())
}
