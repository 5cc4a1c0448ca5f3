//! The compiled engine: decisions over packed values, exact to the last erroring policy.
//!
//! - `request` turns a request into ids and packed values; `env` is what evaluation sees of it.
//! - `index` finds the policies whose scope can hold; `compile` made their conditions into `program`s, which
//!   `eval` runs.
//! - `candidates` finds, by other means, what the reference has to see; `misses` what an explanation has to.
//! - `granted` runs templates for the links that data make.
//! - `decide` puts it together, `series` for questions that come one after another. Whatever is not plainly covered, and every error message, is the reference's.

mod brought;
mod candidates;
mod compile;
mod decide;
mod env;
mod eval;
mod granted;
mod index;
mod misses;
mod program;
mod reach;
mod request;
mod series;
mod slice;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast;
use cedar_policy_core::ast::{ActionConstraint, EntityReference, PrincipalOrResourceConstraint as Constraint};
use foldhash::fast::RandomState;

use crate::data_rules::Reads;
use crate::derived::NONE;
use crate::layout::intern;
use crate::model::PolicyId;
use crate::store::{Draft, Store};
use crate::value::{Record, TooLarge};

pub(crate) use brought::check_brought;
pub(crate) use candidates::{Lineage, candidates, near};
pub(crate) use decide::{Unsettled, decide};
pub(crate) use granted::{made_candidates, made_near};
pub(crate) use misses::{FAR, Nearby, nearby};
pub use series::Series;
pub(crate) use slice::{Seen, by_reference, everything, reached};

use compile::Compiler;
use env::{Ancestors, Env};
use granted::{Form, Forms};
use index::{Actions, Index, Scope, Scopes};
use misses::Misses;
use program::{Op, Pool, Program};
use reach::Reach;

/// In how many plans a policy may be on average.
const MOST_FILED: usize = 64;

/// What must hold beside the scope.
#[derive(Debug, Clone, Copy)]
enum Condition {
    /// Nothing.
    Always,
    /// A program.
    Program(u32),
    /// What only the reference can evaluate.
    Reference,
}

/// One policy that can decide.
#[derive(Debug, Clone)]
struct Entry {
    scopes: Scopes,
    condition: Condition,
    /// A member of the context without which the condition is false.
    needs: Option<u32>,
    forbids: bool,
    /// Its place among all ids in sorted order.
    rank: u32,
    /// What the slots of its template are linked to.
    slots: [u32; 2],
    id: PolicyId,
}

/// All policies of a snapshot, ready to run.
#[derive(Debug)]
pub(crate) struct CompiledSet {
    /// Policies in the order of their texts, then links.
    entries: Vec<Entry>,
    programs: Vec<Program>,
    pool: Pool,
    index: Index,
    misses: Misses,
    /// What is known beforehand of each action that the schema declares.
    plans: HashMap<u32, Plan, RandomState>,
    reach: Reach,
    /// What later links take over.
    templates: HashMap<PolicyId, Pattern>,
    /// What grants of the data run.
    forms: Arc<Forms>,
    /// Each entity that a link names, and the link's position; sorted.
    linked: Box<[(u32, u32)]>,
}

/// The actions of a schema do not change with the entities, so neither does what follows from them.
#[derive(Debug)]
struct Plan {
    above: Ancestors,
    /// The policies filed under the action, or under one that it is in.
    policies: Box<[u32]>,
}

/// What links take over from their template.
#[derive(Debug, Clone)]
struct Pattern {
    principal: Constraint,
    action: ActionConstraint,
    resource: Constraint,
    condition: Condition,
    forbids: bool,
}

/// A set that grows policy by policy.
#[derive(Debug)]
pub(crate) struct Compiling<'d> {
    compiler: Compiler<'d>,
    entries: Vec<Entry>,
    programs: Vec<Program>,
    reach: Reach,
    templates: HashMap<PolicyId, Pattern>,
    forms: Arc<Forms>,
    /// Whether a name did not fit into the store.
    overflowed: bool,
}

impl<'d> Compiling<'d> {
    /// Interns what policies name in `draft`.
    pub(crate) fn new(draft: &'d mut Draft) -> Self {
        Self {
            compiler: Compiler::new(draft),
            entries: Vec::new(),
            programs: Vec::new(),
            reach: Reach::default(),
            templates: HashMap::new(),
            forms: Arc::default(),
            overflowed: false,
        }
    }

    /// Goes on with a set, without some of its policies. What only these used stays in it.
    pub(crate) fn resume(set: &CompiledSet, removed: &HashSet<PolicyId>, draft: &'d mut Draft) -> Self {
        let mut entries: Vec<Entry> =
            set.entries.iter().filter(|entry| !removed.contains(&entry.id)).cloned().collect();
        // room for one more, which is the usual case
        entries.reserve(1);
        let mut forms = set.forms.clone();
        if removed.iter().any(|id| forms.has(id)) {
            Arc::make_mut(&mut forms).without(removed.iter());
        }
        Self {
            compiler: Compiler::resume(draft, set.pool.clone()),
            entries,
            programs: set.programs.clone(),
            reach: set.reach.clone(),
            templates: set.templates.clone(),
            forms,
            overflowed: false,
        }
    }

    /// The same as a new set, in which templates have the numbers that they have in another.
    pub(crate) fn numbered_as(self, set: &CompiledSet) -> Self {
        Self { forms: Arc::new(set.forms.names_alone()), ..self }
    }

    /// Compiles a policy, or a template for its links.
    pub(crate) fn policy(&mut self, template: &ast::Template, id: &PolicyId) {
        let Ok(condition) = self.condition(template) else {
            self.overflowed = true;
            return;
        };
        let pattern = Pattern {
            principal: template.principal_constraint().as_inner().clone(),
            action: template.action_constraint().clone(),
            resource: template.resource_constraint().as_inner().clone(),
            condition,
            forbids: template.effect() == ast::Effect::Forbid,
        };
        if template.is_static() {
            self.overflowed |= self.enter(&pattern, id, &HashMap::new()).is_err();
        } else {
            self.overflowed |= self.form(&pattern, id).is_err();
            self.templates.insert(id.clone(), pattern);
        }
    }

    /// Compiles a template for the grants of the data.
    fn form(&mut self, pattern: &Pattern, id: &PolicyId) -> Result<(), TooLarge> {
        let (scopes, needs) = self.scopes(pattern, [NONE; 2])?;
        let Pattern { condition, forbids, .. } = *pattern;
        Arc::make_mut(&mut self.forms).put(Form { scopes, condition, needs, forbids, id: id.clone() });
        Ok(())
    }

    /// Adds a link of a template that was compiled.
    pub(crate) fn link(&mut self, template: &PolicyId, id: &PolicyId, values: &HashMap<ast::SlotId, ast::EntityUID>) {
        let Some(pattern) = self.templates.remove(template) else {
            self.overflowed = true;
            return;
        };
        self.overflowed |= self.enter(&pattern, id, values).is_err();
        self.templates.insert(template.clone(), pattern);
    }

    fn condition(&mut self, template: &ast::Template) -> Result<Condition, TooLarge> {
        let Some(expression) = template.non_scope_constraints() else { return Ok(Condition::Always) };
        self.reach.add(expression, self.compiler.draft)?;
        Ok(match self.compiler.program(expression) {
            Ok(program) if *program.ops == [Op::Const(1 << 4)] => Condition::Always,
            Ok(program) => {
                self.programs.push(program);
                Condition::Program(self.programs.len() as u32 - 1)
            }
            Err(_) => Condition::Reference,
        })
    }

    fn enter(
        &mut self,
        pattern: &Pattern,
        id: &PolicyId,
        values: &HashMap<ast::SlotId, ast::EntityUID>,
    ) -> Result<(), TooLarge> {
        let mut slots = [u32::MAX; 2];
        for (place, slot) in slots.iter_mut().zip([ast::SlotId::principal(), ast::SlotId::resource()]) {
            if let Some(uid) = values.get(&slot) {
                *place = intern(uid, self.compiler.draft)?;
            }
        }
        let (scopes, needs) = self.scopes(pattern, slots)?;
        let (condition, forbids) = (pattern.condition, pattern.forbids);
        self.entries.push(Entry { scopes, condition, needs, forbids, rank: UNRANKED, slots, id: id.clone() });
        Ok(())
    }

    /// The scope of a policy, and what its context must have.
    fn scopes(&mut self, pattern: &Pattern, slots: [u32; 2]) -> Result<(Scopes, Option<u32>), TooLarge> {
        let scopes = Scopes {
            principal: scope(&pattern.principal, slots[0], self.compiler.draft)?,
            action: actions(&pattern.action, self.compiler.draft)?,
            resource: scope(&pattern.resource, slots[1], self.compiler.draft)?,
        };
        let needs = match pattern.condition {
            Condition::Program(program) => self.programs[program as usize].needs_in_context(),
            Condition::Always | Condition::Reference => None,
        };
        Ok((scopes, needs))
    }

    /// The set.
    ///
    /// # Errors
    /// If the store had no more room for names.
    pub(crate) fn finish(self) -> Result<CompiledSet, TooLarge> {
        let Self { compiler, mut entries, programs, reach, templates, mut forms, overflowed } = self;
        if !forms.is_planned() {
            Arc::make_mut(&mut forms).settle();
        }
        if overflowed {
            return Err(TooLarge);
        }
        let pool = compiler.finish();
        entries.shrink_to_fit();
        for (rank, i) in in_order(&entries).into_iter().enumerate() {
            entries[i].rank = rank as u32;
        }
        let index = Index::build(entries.iter().map(|entry: &Entry| &entry.scopes));
        let misses = Misses::build(entries.iter().map(|entry: &Entry| &entry.scopes));
        let slots = entries.iter().zip(0..).flat_map(|(entry, i)| entry.slots.map(|slot| (slot, i)));
        let mut linked: Vec<(u32, u32)> = slots.filter(|(slot, _)| *slot != u32::MAX).collect();
        linked.sort_unstable();
        linked.dedup();
        let (plans, linked) = (HashMap::default(), linked.into());
        Ok(CompiledSet { entries, programs, pool, index, misses, plans, reach, templates, forms, linked })
    }
}

/// The positions of policies in the order of their ids. Those that had a rank keep their order, so that one more costs one.
fn in_order(entries: &[Entry]) -> Vec<usize> {
    let by_id = |a: &usize, b: &usize| entries[*a].id.cmp(&entries[*b].id);
    let mut known: Vec<usize> = (0..entries.len()).filter(|i| entries[*i].rank != UNRANKED).collect();
    known.sort_unstable_by_key(|i| entries[*i].rank);
    let mut new: Vec<usize> = (0..entries.len()).filter(|i| entries[*i].rank == UNRANKED).collect();
    new.sort_unstable_by(by_id);
    let (mut order, mut known) = (Vec::with_capacity(entries.len()), known.into_iter().peekable());
    for i in new {
        while let Some(before) = known.next_if(|known| by_id(known, &i).is_lt()) {
            order.push(before);
        }
        order.push(i);
    }
    order.extend(known);
    order
}

/// The rank of a policy before all are known.
const UNRANKED: u32 = u32::MAX;

impl CompiledSet {
    /// Makes a plan for each of the `declared` actions, which `store` has, unless policies and actions are so many
    /// that looking is better than remembering.
    pub(crate) fn plan(&mut self, declared: &[u32], store: &Store) {
        if !self.forms.is_planned() {
            Arc::make_mut(&mut self.forms).plan(declared, store);
        }
        let mut room = MOST_FILED * self.entries.len();
        for action in declared {
            let above = Env::new(store, [*action; 3], Record::Built(&[])).ancestors(*action);
            let policies = self.index.filed_under(*action, above.ids());
            let Some(rest) = room.checked_sub(policies.len()) else {
                self.plans = HashMap::default();
                return;
            };
            room = rest;
            self.plans.insert(*action, Plan { above, policies });
        }
    }

    /// The links that name an entity.
    pub(crate) fn linked_to(&self, entity: u32) -> impl Iterator<Item = &PolicyId> {
        let first = self.linked.partition_point(|(named, _)| *named < entity);
        let links = self.linked.iter().skip(first).take_while(move |(named, _)| *named == entity);
        links.filter_map(|(_, position)| Some(&self.entries.get(*position as usize)?.id))
    }

    /// Whether more of it is used by no policy any more than is used.
    pub(crate) fn is_mostly_waste(&self) -> bool {
        self.programs.len() > 2 * (self.entries.len() + self.templates.len()) + 256
    }

    /// What the conditions read.
    pub(crate) fn reads(&self) -> Reads<'_> {
        let Reach { names, entities, tags, depth } = &self.reach;
        Reads { names, entities, tags: *tags, depth: *depth }
    }

    /// The policies that only the reference can evaluate.
    pub(crate) fn uncompiled(&self) -> Vec<PolicyId> {
        let reference = self.entries.iter().filter(|entry| matches!(entry.condition, Condition::Reference));
        reference.map(|entry| entry.id.clone()).collect()
    }
}

fn scope(constraint: &Constraint, slot: u32, draft: &mut Draft) -> Result<Scope, TooLarge> {
    let mut entity = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => intern(uid, draft),
        EntityReference::Slot(_) => Ok(slot),
    };
    Ok(match constraint {
        Constraint::Any => Scope::Any,
        Constraint::Eq(reference) => Scope::Is(entity(reference)?),
        Constraint::In(reference) => Scope::In(entity(reference)?),
        Constraint::Is(ty) => Scope::Type(draft.type_id(&ty.to_string())),
        Constraint::IsIn(ty, reference) => {
            let id = entity(reference)?;
            Scope::TypeIn(draft.type_id(&ty.to_string()), id)
        }
    })
}

fn actions(constraint: &ActionConstraint, draft: &mut Draft) -> Result<Actions, TooLarge> {
    Ok(match constraint {
        ActionConstraint::Any => Actions::Any,
        ActionConstraint::Eq(uid) => Actions::Is(intern(uid, draft)?),
        ActionConstraint::In(uids) => {
            let mut ids = uids.iter().map(|uid| intern(uid, draft)).collect::<Result<Vec<_>, _>>()?;
            ids.sort_unstable();
            ids.dedup();
            Actions::In(ids.into())
        }
    })
}
