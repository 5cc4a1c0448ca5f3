//! Questions one after another at one state and time: what the next shares with the one before is not worked out again.
//!
//! What is kept is what the decision alone would find: its ids, its packed context, the ancestors of its entities with
//! what it cost to climb to them. So a question is decided in a series as it is alone.

use smallvec::SmallVec;

use super::env::Ancestors;
use super::{Unsettled, decide};
use crate::ids::{EntityId, NameId};
use crate::model::{AccessRequest, Decision, RequestError};
use crate::snapshot::Snapshot;
use crate::value::{Cell, Packer};

/// Questions one after another. See [`Snapshot::series`].
#[derive(Debug)]
pub struct Series<'s> {
    snapshot: &'s Snapshot,
    now: i64,
    kept: Kept,
}

/// What one decision leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Holds the context.
    pub packer: Packer,
    /// The context, if it means the same in any question.
    pub context: Option<KeptContext>,
    /// The ancestors of the last principal and the last resource, where they were asked for.
    pub above: [Option<(EntityId, Ancestors)>; 2],
}

/// A context that lies packed.
#[derive(Debug)]
pub(super) struct KeptContext {
    /// What the caller calls it.
    pub number: u32,
    /// The action that it was read for.
    pub action: EntityId,
    /// Where it lies.
    pub cell: Cell,
    /// The name `now`, if the sidecar filled it in.
    pub filled_now: Option<NameId>,
    /// The entities that it names.
    pub named: SmallVec<[EntityId; 8]>,
}

impl<'s> Series<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, now: i64) -> Self {
        Self { snapshot, now, kept: Kept::default() }
    }

    /// Decides as [`Snapshot::decide_at_once`] does. `context` is a number for the request's context: two requests of a
    /// series that give the same have the same.
    ///
    /// # Errors
    /// As there.
    pub fn decide_at_once(
        &mut self,
        request: &AccessRequest<'_>,
        context: u32,
    ) -> Option<Result<Decision, RequestError>> {
        if self.snapshot.by_reference_alone() {
            return None;
        }
        if let Err(error) = self.snapshot.check_brought(request) {
            return Some(Err(error));
        }
        // what a panic would leave behind is dropped with it
        let mut kept = std::mem::take(&mut self.kept);
        let decided = decide::in_series(self.snapshot, request, self.now, &mut kept, context);
        self.kept = kept;
        match decided {
            Ok(decision) => Some(Ok(decision)),
            Err(Unsettled::Undecided(undecided)) => Some(Err(undecided.refused())),
            Err(Unsettled::Reference) => None,
        }
    }
}
