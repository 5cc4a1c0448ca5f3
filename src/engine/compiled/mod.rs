//! The compiled engine: decisions over packed values, exact to the last erroring policy.
//!
//! - `request` turns a request into ids and packed values; `env` is what evaluation sees of it.
//! - `index` finds the policies whose scope can hold; `compile` made their conditions into `program`s, which
//!   `eval` runs.
//! - `decide` puts it together. Whatever is not plainly covered, and every error message, is the reference's.

mod brought;
mod compile;
mod decide;
mod env;
mod eval;
mod index;
mod program;
mod reach;
mod request;
mod slice;

use std::collections::HashMap;

use cedar_policy_core::ast;
use cedar_policy_core::ast::{ActionConstraint, EntityReference, PrincipalOrResourceConstraint as Constraint};
use foldhash::fast::RandomState;

use crate::domain::PolicyId;
use crate::engine::layout::intern;
use crate::engine::policies::Policies;
use crate::engine::store::{Draft, Store};
use crate::engine::value::{Record, TooLarge};

pub use brought::check_brought;
pub use decide::{Unsettled, decide};
pub use slice::{by_reference, everything};

use compile::Compiler;
use env::{Ancestors, Env};
use index::{Actions, Index, Scope, Scopes};
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
#[derive(Debug)]
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
pub struct CompiledSet {
    /// In the order of Cedar's set.
    entries: Vec<Entry>,
    programs: Vec<Program>,
    pool: Pool,
    index: Index,
    /// What is known beforehand of each action that the schema declares.
    plans: HashMap<u32, Plan, RandomState>,
    reach: Reach,
}

/// The actions of a schema do not change with the entities, so neither does what follows from them.
#[derive(Debug)]
struct Plan {
    above: Ancestors,
    /// The policies filed under the action, or under one that it is in.
    policies: Box<[u32]>,
}

impl CompiledSet {
    /// Compiles all policies. Interns what they name in `draft`.
    ///
    /// # Errors
    /// If the store has no more room for names.
    pub fn build(policies: &Policies, draft: &mut Draft) -> Result<Self, TooLarge> {
        let mut entries = Vec::with_capacity(policies.count());
        let mut programs: Vec<Program> = Vec::new();
        let mut of_template: HashMap<ast::PolicyID, Condition> = HashMap::new();
        let mut reach = Reach::default();
        let mut compiler = Compiler::new(draft);
        let set: &ast::PolicySet = (*policies.set).as_ref();
        for policy in set.policies() {
            let condition = match of_template.get(policy.template().id()) {
                Some(condition) => *condition,
                None => {
                    let condition = match policy.non_scope_constraints() {
                        None => Condition::Always,
                        Some(expression) => {
                            reach.add(expression, compiler.draft)?;
                            match compiler.program(expression) {
                                Ok(program) if *program.ops == [Op::Const(1 << 4)] => Condition::Always,
                                Ok(program) => {
                                    programs.push(program);
                                    Condition::Program(programs.len() as u32 - 1)
                                }
                                Err(_) => Condition::Reference,
                            }
                        }
                    };
                    of_template.insert(policy.template().id().clone(), condition);
                    condition
                }
            };
            let slot = |id: ast::SlotId| policy.env().get(&id);
            let mut slots = [u32::MAX; 2];
            for (place, id) in slots.iter_mut().zip([ast::SlotId::principal(), ast::SlotId::resource()]) {
                if let Some(uid) = slot(id) {
                    *place = intern(uid, compiler.draft)?;
                }
            }
            let scopes = Scopes {
                principal: scope(policy.principal_constraint().as_inner(), slots[0], compiler.draft)?,
                action: actions(policy.action_constraint(), compiler.draft)?,
                resource: scope(policy.resource_constraint().as_inner(), slots[1], compiler.draft)?,
            };
            let id: &str = policy.id().as_ref();
            let id = policies.sites.get_key_value(id).map_or_else(|| id.into(), |(id, _)| id.clone());
            let forbids = policy.effect() == ast::Effect::Forbid;
            let needs = match condition {
                Condition::Program(program) => programs[program as usize].needs_in_context(),
                Condition::Always | Condition::Reference => None,
            };
            entries.push(Entry { scopes, condition, needs, forbids, rank: 0, slots, id });
        }
        let pool = compiler.finish();
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by(|a, b| entries[*a].id.cmp(&entries[*b].id));
        for (rank, i) in order.into_iter().enumerate() {
            entries[i].rank = rank as u32;
        }
        let index = Index::build(entries.iter().map(|entry: &Entry| &entry.scopes));
        Ok(Self { entries, programs, pool, index, plans: HashMap::default(), reach })
    }

    /// Makes a plan for each of the `declared` actions, which `store` has, unless policies and actions are so many
    /// that looking is better than remembering.
    pub fn plan(&mut self, declared: &[u32], store: &Store) {
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

    /// The policies that only the reference can evaluate.
    pub fn uncompiled(&self) -> Vec<PolicyId> {
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
