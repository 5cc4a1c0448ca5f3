//! The decision engine: a snapshot of schema, policies and entities, and evaluation over it.
//!
//! Takes bytes and domain values; the only module that names Cedar. Synchronous, without files, sockets or
//! clocks: the text of a document that is not held comes through [`crate::model::Reread`].
//!
//! - [`Snapshot`] is what decisions are made from; [`Verdict`] is what can be said of a bundle without serving it.
//! - `compiled` decides: indexed policies as programs, over the interned entities of `store`.
//! - `reference` evaluates with Cedar's own authorizer, over all entities or a slice for one request.
//! - `guard` bounds what is handed to Cedar; `stack` gives it the room that it needs.

mod broken;
mod cedar;
mod change;
mod compiled;
mod conform;
mod decode;
mod diagnose;
mod entities;
mod export;
mod ext;
mod facts;
mod guard;
mod layout;
mod lint;
mod load;
mod misfit;
pub mod model;
mod policies;
mod reference;
mod schema;
mod settings;
mod snapshot;
mod stack;
mod steps;
mod store;
mod strict;
mod validate;
mod validating;
mod value;

#[cfg(test)]
mod tests;

pub use conform::Dropped;
pub use facts::{ActionFacts, MemberFacts, MemberKind, SchemaFacts};
pub use settings::{EngineKind, EngineSettings, KeptTrees, Limits, NowPolicy, Semantics, Validation};
pub use snapshot::{GoOn, Loading, Observers, Snapshot, Undecided};
pub use stack::{EVALUATION_STACK_BYTES, begin_on_big_stack, on_big_stack};
pub use validate::{Verdict, check};
