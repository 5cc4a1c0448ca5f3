//! Plain values that every other module speaks: requests, decisions, revisions, changes, errors.
//!
//! Nothing here knows Cedar, HTTP, clocks or locks. What crosses a module boundary is one of these.

pub mod bounds;
pub mod change;
pub mod count;
pub mod decision;
pub mod digest;
pub mod document;
pub mod edit;
pub mod error;
pub mod explanation;
pub mod findings;
pub mod for_each;
pub mod json;
pub mod link;
pub mod near;
pub mod place;
pub mod request;
pub mod revision;
pub mod text;
pub mod uid;
pub mod usual;
pub(crate) mod way;
pub mod written;

pub use change::{
    Bundle, Change, Dangling, Edit, Link, PolicyNaming, PolicyText, Refused, SchemaText, Tally, Transaction, Update,
};
pub use count::{count, plural};
pub use decision::{Decision, DeniedBy, Outcome, PolicyError, PolicyId};
pub use digest::Digest;
pub use document::{Document, Reread};
pub use error::{Diagnostic, RequestError, Severity};
pub use explanation::Explanation;
pub use findings::{Findings, MAX_LISTED};
pub use for_each::{DataRule, ForEach, Level, LinkDeclaration, Missing};
pub use json::Value;
pub use link::LinkNames;
pub use near::{closest, hint, hint_of_text};
pub use request::{AccessRequest, Overlay, OverlayMode};
pub use revision::{Revision, RevisionText};
pub use text::{Member, Text};
pub use uid::Uid;
pub(crate) use way::Step;
pub use written::{MemberLines, Written};
