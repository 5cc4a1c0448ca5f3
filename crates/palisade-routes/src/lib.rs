//! The route table: what an HTTP request that a gateway describes must be allowed to do.
//!
//! Files of routes and OpenAPI documents are compiled to one table; a request becomes checks that must all
//! allow, or passes as public, or is refused with a reason. What can be read in two ways is refused, never
//! normalised. Pure functions over text: no sockets, no clocks, no verification of credentials, no decision.
//!
//! - [`compile`] reads files; [`RouteTable::find`] matches a request; [`Found::resolve`] makes its checks.
//! - `path`, `query`, `host` and `body` are the careful readers of each part of a request.
//! - `names` says when two names are one; `overrides` and `upgrade` find what asks for another request than is checked;
//!   `media` and `parts` say what a service may take a body for.
//! - `writing` says whether an id that may not be there has one writing.
//! - `trie` finds the routes of a path; `mask` keeps from them what is for an operation that a document does not map.
//! - `pattern`, `condition`, `template` and `source` are the words of a route.

mod actions;
mod asked;
mod body;
mod bounds;
mod check;
mod compile;
mod condition;
mod cookie;
mod facts;
pub mod forwarded;
mod guard;
mod host;
mod looks;
mod mask;
mod media;
mod methods;
mod names;
mod openapi;
pub mod overrides;
mod parts;
mod path;
mod pattern;
mod query;
mod questions;
mod raw;
mod read;
mod refusal;
mod resolve;
mod route;
mod second;
mod service;
mod shape;
mod show;
mod source;
mod table;
mod template;
mod trie;
mod upgrade;
mod values;
mod watched;
mod writing;

#[cfg(test)]
mod tests;

pub use compile::{compile, compile_bundle, together};
pub use condition::{Condition, Test};
pub use cookie::cookie;
pub use facts::{Auth, Body, Entities, Field, Headers, Identity, Peer, RequestFacts};
pub use guard::Guards;
pub use host::normal_host;
pub use names::{is_twin, same_name};
pub use path::{Classes, PathClass, PathFault, Segment, Target};
pub use pattern::{Form, Part, Pattern};
pub use questions::questions;
pub use raw::json_schema;
pub use refusal::{Refusal, StatusClass};
pub use resolve::{Found, MAX_EACH, Outcome};
pub use route::{CheckTemplate, ContextMember, Credential, Effect, Route, Rule, RuleEffect};
pub use service::{Ignored, PathCase, Service, Suffixes};
pub use shape::Shape;
pub use show::{show_check, show_uid};
pub use source::Source;
pub use table::RouteTable;
pub use template::{EntityTemplate, Fixed, ResourceTemplate, TextTemplate, ValueTemplate};
pub use upgrade::Upgrade;
pub use watched::Watched;
