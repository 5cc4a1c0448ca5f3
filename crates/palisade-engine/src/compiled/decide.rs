//! One decision, from the request as it came in.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use smallvec::SmallVec;

use super::env::{Ancestors, Env};
use super::eval::{Failure, run};
use super::index::is_first;
use super::request::{Against, Decoded};
use super::series::{Kept, KeptContext};
use super::slice::{TooExpensive, cut};
use super::{CompiledSet, Condition, Entry};
use crate::broken::broken;
use crate::cedar::utf8;
use crate::derived::{Grants, MadeLink};
use crate::ids::{EntityId, NameId, PolicyIx};
use crate::model::bounds::{MAX_EXPLANATION, cut as cut_text};
use crate::model::{AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, RequestError, Uid};
use crate::reference;
use crate::snapshot::{ALWAYS, GoOn, Snapshot, Undecided};
use crate::value::Packer;

thread_local! {
    /// The buffer of the last request on this thread, so that common requests allocate none.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A larger buffer is not kept.
const KEEP: usize = 1 << 20;

/// Policies by position.
type Positions = SmallVec<[PolicyIx; 8]>;

/// Which policies hold and which fail.
#[derive(Debug, Default)]
struct Outcomes {
    permits: Positions,
    forbids: Positions,
    failed: SmallVec<[(PolicyIx, Failure); 4]>,
    /// Links that data make, of those that hold or fail. Their positions are of this request alone.
    made: SmallVec<[MadeLink; 2]>,
}

/// What was evaluated, by position.
struct Ran<'r> {
    set: &'r CompiledSet,
    made: &'r [MadeLink],
    ids: Vec<PolicyId>,
}

impl Ran<'_> {
    /// Its id.
    #[inline]
    fn id(&self, position: PolicyIx) -> &PolicyId {
        if position.is_local() { &self.ids[position.local_index()] } else { self.set.id(position) }
    }

    /// The link that data make, if it is one.
    fn made(&self, position: PolicyIx) -> Option<&MadeLink> {
        position.is_local().then(|| &self.made[position.local_index()])
    }

    fn forbids(&self, position: PolicyIx) -> bool {
        match self.made(position) {
            Some(made) => self.set.form(made.template).forbids,
            None => self.set.entries[position.index()].forbids,
        }
    }

    /// What must hold beside the scope, and what its slots are filled with.
    fn condition(&self, position: PolicyIx) -> (Condition, [EntityId; 2]) {
        match self.made(position) {
            Some(made) => (self.set.form(made.template).condition, made.slots()),
            None => {
                let entry = &self.set.entries[position.index()];
                (entry.condition, entry.slots)
            }
        }
    }

    /// Sorts by id.
    #[inline]
    fn sort<T>(&self, list: &mut [T], position: impl Fn(&T) -> PolicyIx) {
        list.sort_unstable_by(|a, b| self.id(position(a)).cmp(self.id(position(b))));
    }
}

/// Why the compiled path has no decision.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// No engine has one, the reference neither.
    Undecided(Undecided),
    /// Only the reference can say: there is a construct that programs lack, a policy that fails here and not there, or
    /// a request that is not plainly right. So it is too with the messages of policies that fail, where the caller
    /// runs no reference.
    Reference,
}

impl From<TooExpensive> for Unsettled {
    fn from(error: TooExpensive) -> Self {
        Self::Undecided(RequestError::from(error).into())
    }
}

/// Decides `request` at `snapshot`. `now` is the sidecar's clock in milliseconds since 1970. With `refer` Cedar's
/// evaluator says why policies fail, for as long as that says true; without it, such a decision is left to those who may
/// wait for it.
///
/// # Errors
/// If there is no decision here.
pub(crate) fn decide(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    refer: Option<GoOn<'_>>,
) -> Result<Decision, Unsettled> {
    let mut packer = Packer { out: BUFFER.take() };
    let decided = match against(snapshot).decode(request, now, &mut packer, None) {
        Ok(decoded) => {
            let env = environment(snapshot, &decoded, &packer);
            evaluate(snapshot, request, now, refer, &decoded, &env)
        }
        Err(_) => Err(Unsettled::Reference),
    };
    if packer.out.capacity() <= KEEP {
        BUFFER.set(packer.out);
    }
    decided
}

/// The same of a question that comes after another at the same state and time, which left `kept`. Requests with the same
/// number for their contexts have the same.
///
/// # Errors
/// If there is no decision here.
pub(super) fn in_series(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    kept: &mut Kept,
    number: u32,
) -> Result<Decision, Unsettled> {
    let known = kept.context.take().filter(|context| context.number == number);
    let decoded = against(snapshot).decode(request, now, &mut kept.packer, known.as_ref());
    let Ok(decoded) = decoded else { return Err(Unsettled::Reference) };
    kept.context = match known {
        Some(known) if decoded.kept => Some(known),
        // what the store does not know has ids of this question alone
        _ if !decoded.locals.is_empty() => None,
        _ => Some(KeptContext {
            number,
            action: decoded.ids[1],
            cell: decoded.context,
            filled_now: decoded.filled_now,
            named: decoded.named.clone(),
        }),
    };
    let mut env = environment(snapshot, &decoded, &kept.packer);
    let plain = decoded.layer.is_none();
    if plain {
        let [principal, resource] = std::mem::take(&mut kept.above);
        let of = |above: Option<(EntityId, Ancestors)>, id| {
            RefCell::new(above.filter(|(of, _)| *of == id).map(|(_, above)| above))
        };
        env.kept = [of(principal, env.principal), of(resource, env.resource)];
    }
    let decided = evaluate(snapshot, request, now, None, &decoded, &env);
    if plain && decided.is_ok() {
        // ids of the request alone mean others in the next
        kept.above = env.into_ancestors().map(|above| above.filter(|(id, _)| !id.is_local()));
    }
    if kept.packer.out.capacity() > KEEP {
        (kept.packer, kept.context) = (Packer::default(), None);
    }
    decided
}

fn against(snapshot: &Snapshot) -> Against<'_> {
    Against {
        store: &snapshot.store,
        layout: snapshot.core.layout.as_deref(),
        now: snapshot.core.settings.now,
        limits: &snapshot.core.settings.limits,
    }
}

/// What an evaluation sees.
#[inline]
fn environment<'e>(snapshot: &'e Snapshot, decoded: &'e Decoded<'_>, packer: &'e Packer) -> Env<'e> {
    let mut env = Env::new(&snapshot.store, decoded.ids, decoded.context(packer));
    env.layer = decoded.layer.as_ref();
    env.local_types = &decoded.locals.uid_types;
    env.filled_now = decoded.filled_now;
    if decoded.layer.is_none() {
        env.above_action = snapshot.core.compiled.plans.get(env.action).map(|plan| &plan.above);
    }
    env
}

fn evaluate(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    refer: Option<GoOn<'_>>,
    decoded: &Decoded<'_>,
    env: &Env<'_>,
) -> Result<Decision, Unsettled> {
    let set = &snapshot.core.compiled;
    let semantics = snapshot.core.settings.semantics;
    let Outcomes { permits, forbids, mut failed, made } = set.evaluate(env, &snapshot.grants)?;
    let ran = Ran { set, made: &made, ids: made.iter().map(|made| snapshot.id_of(made)).collect() };
    let mut errors = Vec::new();
    if !failed.is_empty() {
        let untold = failed.iter().any(|(_, failure)| *failure == Failure::Failed);
        let go_on: GoOn<'_> = match refer {
            Some(go_on) => go_on,
            None if untold => return Err(Unsettled::Reference),
            None => ALWAYS,
        };
        ran.sort(&mut failed, |(position, _)| *position);
        errors = explain(snapshot, request, now, decoded, env, &ran, &failed, go_on)?;
    }
    let failed_forbids = || failed.iter().map(|(position, _)| *position).filter(|position| ran.forbids(*position));
    let unknown = || unknown_entity(snapshot, request, decoded, env);
    let failed_forbid = || Some(DeniedBy::ForbidError { policy_id: ran.id(failed_forbids().next()?).clone() });
    let denied_by = semantics.unknown_entities_deny().then(unknown).flatten();
    let denied_by = denied_by.or_else(|| semantics.forbid_errors_deny().then(failed_forbid).flatten());
    let forbid_errors = failed_forbids().count();
    let allowed = forbids.is_empty() && !permits.is_empty();
    let mut reasons = if forbids.is_empty() { permits } else { forbids };
    ran.sort(&mut reasons, |position| *position);
    Ok(Decision {
        outcome: if allowed && denied_by.is_none() { Outcome::Allow } else { Outcome::Deny },
        reasons: reasons.iter().map(|position| ran.id(*position).clone()).collect(),
        errors,
        forbid_errors,
        denied_by,
        revision: snapshot.revision(),
        time_dependent: env.read_now.get(),
    })
}

impl CompiledSet {
    fn id(&self, position: PolicyIx) -> &PolicyId {
        &self.entries[position.index()].id
    }
}

impl Outcomes {
    #[inline]
    fn note(&mut self, position: PolicyIx, forbids: bool, result: Result<bool, Failure>) {
        match result {
            Ok(false) => {}
            Ok(true) if forbids => self.forbids.push(position),
            Ok(true) => self.permits.push(position),
            Err(failure) => self.failed.push((position, failure)),
        }
    }
}

impl CompiledSet {
    /// Evaluates all policies whose scope holds, and the links that data make.
    #[inline]
    fn evaluate(&self, env: &Env<'_>, grants: &Grants) -> Result<Outcomes, Unsettled> {
        let mut outcomes = Outcomes::default();
        let mut uncovered = false;
        let in_scope =
            |position: PolicyIx| Some(&self.entries[position.index()]).filter(|entry| entry.scopes.hold(env));
        let mut run_one = |condition: Condition, needs: Option<NameId>, slots: [EntityId; 2]| {
            if needs.is_some_and(|name| env.context.find(name).is_none()) {
                return Ok(false);
            }
            match condition {
                Condition::Always => Ok(true),
                Condition::Program(program) => run(self.program(program), &self.pool, env, slots),
                // the whole request goes to the reference
                Condition::Reference => {
                    uncovered = true;
                    Err(Failure::Failed)
                }
            }
        };
        let mut visit = |position: PolicyIx, entry: &Entry| {
            let result = run_one(entry.condition, entry.needs, entry.slots);
            outcomes.note(position, entry.forbids, result);
        };
        self.index.by_entity(env, |position| {
            if let Some(entry) = in_scope(position) {
                visit(position, entry);
            }
        });
        if let Some(plan) = self.plans.get(env.action).filter(|_| env.layer.is_none()) {
            // of what is filed under an action that never changes, the action's part is known to hold
            for position in &plan.policies {
                let entry = &self.entries[position.index()];
                if entry.scopes.hold_for_entities(env) {
                    visit(*position, entry);
                }
            }
        } else {
            for position in self.index.by_action(env.action) {
                if let Some(entry) = in_scope(*position) {
                    visit(*position, entry);
                }
            }
            self.index.by_group(env, |position, key| {
                if let Some(entry) = in_scope(position).filter(|entry| is_first(&entry.scopes.action, key, env)) {
                    visit(position, entry);
                }
            });
        }
        for position in self.index.others() {
            if let Some(entry) = in_scope(*position) {
                visit(*position, entry);
            }
        }
        if !grants.is_empty() {
            self.of_grants(grants, env, |made, form| {
                let result = run_one(form.condition, form.needs, made.slots());
                if result != Ok(false) {
                    let position = PolicyIx::local(outcomes.made.len() as u32);
                    outcomes.made.push(made);
                    outcomes.note(position, form.forbids, result);
                }
            });
        }
        if env.is_over_budget() {
            return Err(TooExpensive.into());
        }
        if uncovered { Err(Unsettled::Reference) } else { Ok(outcomes) }
    }
}

/// The first entity of the request that is neither stored nor carried by it.
fn unknown_entity(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    decoded: &Decoded<'_>,
    env: &Env<'_>,
) -> Option<DeniedBy> {
    let layout = snapshot.core.layout.as_deref();
    // decoding has checked that an id of an `enum` type is among the choices
    let is_choice =
        |id| layout.and_then(|layout| layout.entity_type(env.type_of(id))).is_some_and(|ty| ty.choices.is_some());
    let unknown = |id: EntityId| env.entity(id).is_none() && !is_choice(id);
    let denied = |uid: &Uid<'_>| Some(DeniedBy::UnknownEntity { entity: uid.to_string() });
    if unknown(env.principal) {
        return denied(&request.principal);
    }
    if unknown(env.resource) {
        return denied(&request.resource);
    }
    let id = decoded.named.iter().copied().find(|id| unknown(*id))?;
    denied(&uid_of(id, decoded, env))
}

/// The uid of an id that the request or the store gave.
fn uid_of(id: EntityId, decoded: &Decoded<'_>, env: &Env<'_>) -> Uid<'static> {
    let found = if id.is_local() {
        decoded.locals.uid(env.store, id)
    } else {
        let ty = env.store.symbols().type_name(env.store.type_of(id)).to_string();
        env.store.record(id).map(|record| (ty, utf8(record.id()).to_owned()))
    };
    match found {
        Some((type_name, id)) => Uid { type_name: type_name.into(), id: id.into() },
        None => broken("an id that was never given out"),
    }
}

/// The messages of policies that failed: the reference evaluates them over what their evaluations read.
#[expect(clippy::too_many_arguments, reason = "one caller, which has just these at hand")]
fn explain(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    decoded: &Decoded<'_>,
    env: &Env<'_>,
    ran: &Ran<'_>,
    failed: &[(PolicyIx, Failure)],
    go_on: GoOn<'_>,
) -> Result<Vec<PolicyError>, Unsettled> {
    // a uid may be as long as the request: it is written once, however many policies look for its entity
    let mut missing: HashMap<EntityId, Arc<str>> = HashMap::new();
    let mut errors = Vec::with_capacity(failed.len());
    let mut parsing = snapshot.parsing();
    let mut cedars = None;
    for (position, failure) in failed {
        let id = ran.id(*position);
        if let Failure::NoEntity(absent) = failure {
            let message = missing.entry(*absent).or_insert_with(|| {
                // in Cedar's words
                let message = format!("entity `{}` does not exist", uid_of(*absent, decoded, env));
                cut_text(message, MAX_EXPLANATION).into()
            });
            errors.push(PolicyError { policy_id: id.clone(), message: message.clone() });
            continue;
        }
        if !go_on() {
            return Err(Unsettled::Undecided(Undecided::GivenUp));
        }
        if cedars.is_none() {
            // once for all that failed: an entity that comes with the request may be as large as the request
            let made = reference::request(snapshot, request, now).map_err(|_| Unsettled::Reference)?.0;
            let entities = cut(env, &decoded.locals, reads(ran, decoded, env, failed))?;
            cedars = Some((ast::Request::clone(made.as_ref()), entities));
        }
        let Some((cedar_request, entities)) = &cedars else { return Err(Unsettled::Reference) };
        let evaluator = Evaluator::new(cedar_request.clone(), entities.as_ref(), Extensions::all_available());
        let kept = snapshot.core.policies.trees.whole().filter(|_| !position.is_local());
        let evaluated = match kept {
            Some(set) => {
                let policy = set.policy(&cedar_policy::PolicyId::new(&**id)).ok_or(Unsettled::Reference)?;
                evaluator.evaluate(policy.as_ref())
            }
            None => {
                let parsed = parsing.policy(id);
                evaluator.evaluate(&parsed.map_err(|many| Unsettled::Undecided(RequestError::from(many).into()))?)
            }
        };
        let error = evaluated.err().ok_or(Unsettled::Reference)?;
        errors.push(PolicyError::new(id.clone(), error.to_string()));
    }
    Ok(errors)
}

/// The entities of the request, and those that the evaluations of the failed policies read.
fn reads(ran: &Ran<'_>, decoded: &Decoded<'_>, env: &Env<'_>, failed: &[(PolicyIx, Failure)]) -> HashSet<EntityId> {
    let mut reads = HashSet::from(decoded.ids);
    for (position, _) in failed.iter().filter(|(_, failure)| *failure == Failure::Failed) {
        let (condition, slots) = ran.condition(*position);
        if let Condition::Program(program) = condition {
            let mut tracked = Env::new(env.store, decoded.ids, env.context);
            tracked.layer = env.layer;
            tracked.local_types = env.local_types;
            tracked.reads = Some(RefCell::new(Vec::new()));
            let _ = run(ran.set.program(program), &ran.set.pool, &tracked, slots);
            reads.extend(tracked.reads.into_iter().flat_map(RefCell::into_inner));
        }
    }
    reads
}
