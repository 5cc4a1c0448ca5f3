//! The decision engine: a snapshot of schema, policies and entities, and evaluation over it.
//!
//! Takes bytes and domain values; the only module that names Cedar. Synchronous, without I/O or clocks.
//!
//! - [`Snapshot`] is what decisions are made from; [`Verdict`] is what can be said of a bundle without serving it.
//! - `reference` evaluates with Cedar's own authorizer.
//! - `guard` bounds what is handed to Cedar; `stack` gives it the room that it needs.

mod conform;
mod diagnose;
mod entities;
mod facts;
mod guard;
mod policies;
mod reference;
mod schema;
mod settings;
mod snapshot;
mod stack;
mod validate;

pub use facts::{ActionFacts, MemberFacts, MemberKind, SchemaFacts};
pub use settings::{EngineSettings, Limits, NowPolicy, Semantics, Validation};
pub use snapshot::Snapshot;
pub use stack::{EVALUATION_STACK_BYTES, on_big_stack};
pub use validate::{Verdict, check};
