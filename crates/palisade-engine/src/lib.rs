//! Decides whether a principal may do an action on a resource, by Cedar policies over entities that are all in memory.
//!
//! Build a snapshot, decide, change it, decide again:
//!
//! ```
//! use std::sync::Arc;
//!
//! use palisade_engine::model::{
//!     AccessRequest, Bundle, Document, Edit, PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
//! };
//! use palisade_engine::{EngineSettings, Snapshot, on_big_stack};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = "entity Group; entity User in [Group]; entity Document;
//!     action read appliesTo { principal: User, resource: Document };";
//! let policy = r#"permit (principal in Group::"readers", action == Action::"read", resource);"#;
//! let entities = r#"[
//!     {"uid": {"type": "Group", "id": "readers"}, "attrs": {}, "parents": []},
//!     {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": []},
//!     {"uid": {"type": "Document", "id": "plan"}, "attrs": {}, "parents": []}
//! ]"#;
//! let bundle = Bundle {
//!     policies: vec![PolicyText {
//!         origin: "readers.cedar".to_owned(),
//!         text: policy.to_owned(),
//!         naming: PolicyNaming::Stem("readers".to_owned()),
//!     }],
//!     schema: Some(SchemaText { fragments: vec![("app.cedarschema".to_owned(), schema.to_owned())] }),
//!     entities: vec![Document::held("entities.json", entities)],
//!     ..Bundle::default()
//! };
//! let first = Revision { incarnation: 1, counter: 1 };
//!
//! // Cedar's parser recurses with the nesting of a text: this stack has room for all that the limits let through
//! let built = on_big_stack(|| Snapshot::build(Arc::new(bundle), &EngineSettings::default(), first))?;
//! let (snapshot, warnings) = built.map_err(|problems| format!("{problems:#?}"))?;
//! assert!(warnings.is_empty());
//!
//! let request = AccessRequest::new(
//!     Uid::parse(r#"User::"ann""#)?,
//!     Uid::parse(r#"Action::"read""#)?,
//!     Uid::parse(r#"Document::"plan""#)?,
//! );
//! // no policy reads the time here; otherwise it is milliseconds since 1970
//! let decision = snapshot.decide(&request, 0)?;
//! assert!(!decision.outcome.is_allow());
//!
//! // ann becomes a reader; what held the old snapshot goes on with it
//! let ann = r#"{"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": [{"type": "Group", "id": "readers"}]}"#;
//! let change = Edit::Upsert(Value::parse(ann.as_bytes())?.into_owned());
//! let changed = snapshot.apply(&[change], first.next()).map_err(|problems| format!("{problems:#?}"))?;
//!
//! let decision = changed.decide(&request, 0)?;
//! assert!(decision.outcome.is_allow());
//! assert_eq!(*decision.reasons[0], *"readers.0");
//! assert!(!snapshot.decide(&request, 0)?.outcome.is_allow());
//! # Ok(())
//! # }
//! ```
//!
//! Decisions are Cedar's, by default with two rules that only deny more: see [`Semantics`]. Each takes microseconds and
//! makes no input or output. The engine has no threads but those that [`on_big_stack`] starts, no files, sockets, clocks
//! or locks: the text of a document that is not held comes through [`model::Reread`], the time as an argument.
//!
//! - [`model`] has the plain values that go in and come out.
//! - [`Snapshot`] is what decisions are made from; [`Verdict`] is what can be said of a bundle without serving it.
//! - `compiled` decides: indexed policies as programs, over the interned entities of `store`.
//! - `reference` evaluates with Cedar's own authorizer, over all entities or a slice for one request.
//! - `explain` says why a decision is what it is, part by part of the policies that could apply.
//! - `guard` bounds what is handed to Cedar; `stack` gives it the room that it needs.

mod broken;
mod cedar;
mod change;
mod compiled;
mod conform;
mod data_rules;
mod decode;
mod derived;
mod diagnose;
mod entities;
mod explain;
mod export;
mod ext;
mod facts;
mod guard;
mod ids;
mod layout;
mod lint;
mod listing;
mod load;
mod made;
mod misfit;
pub mod model;
mod policies;
mod reference;
mod same;
mod schema;
mod settings;
mod shared;
mod site;
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

pub use change::{Changed, Footprint, Overlay, Thing, Told, Word, gone};
pub use compiled::Series;
pub use conform::Dropped;
pub use explain::{
    ExplainOptions, Mutant, MutantSort, Mutants, Outcomes, Pool, Searched, SeenPart, SeenPolicy, Sightings, Stage,
    Standing,
};
pub use facts::{ActionFacts, MemberFacts, MemberKind, SchemaFacts};
pub use listing::{Listed, ListedLink};
pub use policies::AboutPolicy;
pub use settings::{EngineKind, EngineSettings, KeptTrees, Limits, NowPolicy, Semantics, Validation};
pub use snapshot::{GoOn, Loading, Observers, Snapshot, Undecided};
pub use stack::{EVALUATION_STACK_BYTES, begin_on_big_stack, on_big_stack};
pub use validate::{NO_SCHEMA, Verdict, check};
