//! The compiled engine: decisions over packed values, exact to the last erroring policy.
//!
//! - `request` turns a request into ids and packed values; `env` is what evaluation sees of it.
//! - `index` finds the policies whose scope can hold; `compile` made their conditions into `program`s, which
//!   `eval` runs.
//! - `plan` notes beforehand which policies are about each declared action.
//! - `candidates` finds, by other means, what the reference has to see; `misses` what an explanation has to.
//! - `granted` runs templates for the links that data make.
//! - `set` takes policies out of a set and puts others in: what stays is shared with the set before.
//! - `decide` puts it together, `series` for questions that come one after another. Whatever is not plainly covered, and every error message, is the reference's.

mod brought;
mod candidates;
#[cfg(test)]
mod check;
mod compile;
mod decide;
mod env;
mod eval;
mod granted;
mod index;
mod misses;
mod plan;
mod program;
mod reach;
mod request;
mod series;
mod set;
mod slice;

use std::sync::Arc;

use crate::broken::broken;
use crate::ids::{EntityId, NameId, PolicyIx, ProgramIx};
use crate::model::PolicyId;
use crate::shared::{List, Map, Set};
use crate::store::Pairs;

pub(crate) use brought::check_brought;
pub(crate) use candidates::{Lineage, candidates, near};
pub(crate) use decide::{Unsettled, decide};
pub(crate) use granted::{made_candidates, made_near};
pub(crate) use misses::{Lineages, Near, Nearby, farther, nearby};
pub use series::Series;
pub(crate) use set::Compiling;
pub(crate) use slice::{Seen, by_reference, everything, reached};

use granted::Forms;
use index::{Index, Scopes};
use misses::Misses;
use plan::Plans;
use program::{Pool, Program};
pub(crate) use reach::Reach;

/// What must hold beside the scope.
#[derive(Debug, Clone, Copy)]
enum Condition {
    /// Nothing.
    Always,
    /// A program.
    Program(ProgramIx),
    /// What only the reference can evaluate.
    Reference,
}

/// One policy that can decide.
#[derive(Debug, Clone)]
struct Entry {
    scopes: Scopes,
    condition: Condition,
    /// A member of the context without which the condition is false.
    needs: Option<NameId>,
    forbids: bool,
    /// What the slots of its template are linked to.
    slots: [EntityId; 2],
    id: PolicyId,
}

/// All policies of a snapshot, ready to run. A copy shares all of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompiledSet {
    /// Policies by position: in the order of their texts, then links. One that is gone holds for no action, and leaves its
    /// position to another.
    entries: List<Entry>,
    positions: Map<PolicyId, PolicyIx>,
    programs: List<Program>,
    /// Positions that are left over.
    free: List<PolicyIx>,
    /// Programs that are left over.
    free_programs: List<ProgramIx>,
    /// How many policies and templates were taken out since the set was made: what they alone name is there still.
    dropped: usize,
    /// The entities that policies and templates name, or did since the set was made, and that were not loaded.
    named: Set<EntityId>,
    pool: Arc<Pool>,
    index: Index,
    misses: Misses,
    plans: Plans,
    reach: Arc<Reach>,
    /// What later links take over.
    templates: Map<PolicyId, Arc<Pattern>>,
    /// What grants of the data run.
    forms: Arc<Forms>,
    /// Each entity that a link names, and the link's position.
    linked: Pairs,
}

/// What links take over from their template.
#[derive(Debug)]
struct Pattern {
    /// With [`EntityId::NONE`] where there is a slot.
    scopes: Scopes,
    condition: Condition,
    /// A member of the context without which the condition is false.
    needs: Option<NameId>,
    forbids: bool,
}

impl CompiledSet {
    /// How many policies can decide.
    fn len(&self) -> usize {
        self.positions.len()
    }

    /// What is filed under a position.
    #[inline]
    fn entry(&self, position: PolicyIx) -> &Entry {
        match self.entries.get(position.index()) {
            Some(entry) => entry,
            None => broken("a policy that is filed and is not there"),
        }
    }

    /// A compiled condition.
    #[inline]
    fn program(&self, program: ProgramIx) -> &Program {
        &self.programs[program.index()]
    }

    /// The links that name an entity.
    pub(crate) fn linked_to(&self, entity: EntityId) -> impl Iterator<Item = &PolicyId> {
        self.linked.of(entity.raw()).map(|position| &self.entry(PolicyIx::from_raw(position)).id)
    }

    /// Whether a policy, a template or a link names an entity, or may, that was not loaded.
    pub(crate) fn names(&self, entity: EntityId) -> bool {
        self.named.contains(&entity) || self.linked.of(entity.raw()).next().is_some()
    }

    /// All such entities.
    pub(crate) fn all_named(&self) -> impl Iterator<Item = EntityId> {
        let linked = self.entries.iter().flat_map(|entry| entry.slots).filter(|slot| *slot != EntityId::NONE);
        self.named.iter().copied().chain(linked)
    }

    /// Whether more of it is used by no policy any more than is used.
    pub(crate) fn is_mostly_waste(&self) -> bool {
        self.dropped > 2 * (self.len() + self.templates.len()) + 256
    }

    /// What the conditions read.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The policies that only the reference can evaluate.
    pub(crate) fn uncompiled(&self) -> Vec<PolicyId> {
        let reference = self.entries.iter().filter(|entry| matches!(entry.condition, Condition::Reference));
        reference.map(|entry| entry.id.clone()).collect()
    }
}
