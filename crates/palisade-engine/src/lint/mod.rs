//! What a bundle says that its author hardly meant: names of entities that are not stored, policies that allow
//! everything, groups and actions that nothing uses. All of it is warnings.
//!
//! It walks over every policy and every entity, so only a validation that was asked for does it, never a load.
//! Data may come later than policies. So a name is looked for only where the bundle stores entities of its type.
//!
//! - What policies name was collected while their trees were there (`policies::named`); `policies` says what is odd about it.
//! - `entities` looks at parents, attributes and tags, and for groups that nothing uses; `actions` at the schema.
//! - `near` finds the name that was probably meant.

mod actions;
mod entities;
mod near;
mod policies;

use cedar_policy_core::ast::EntityUID;

use crate::load::Places;
use crate::model::{Diagnostic, Document, SchemaText, Uid};
use crate::policies::Policies;
use crate::policies::named::Named;
use crate::schema::SchemaModel;
use crate::settings::Semantics;
use crate::store::Store;

use near::Near;

/// How many warnings of one kind are listed. The rest is counted.
const MAX_WARNINGS: usize = 25;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'b> {
    /// The policies.
    pub policies: &'b Policies,
    /// The schema, if there is one, and its texts.
    pub schema: Option<(&'b SchemaModel, &'b SchemaText)>,
    /// The entities.
    pub store: &'b Store,
    /// Where they stand.
    pub places: &'b Places,
    /// In which documents.
    pub documents: &'b [Document],
    /// How decisions are made.
    pub semantics: Semantics,
}

/// All warnings, a kind after the other.
#[must_use]
pub(crate) fn warnings(named: &Named, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut near = Near::new(&subject);
    let mut found = policies::everything(named);
    found.extend(policies::unstored(named, &subject, &mut near));
    found.extend(entities::dangling(&subject, &mut near));
    found.extend(entities::unused_groups(named, &subject, &near));
    found.extend(actions::unused(named, &subject));
    found
}

/// The first findings of a kind, then how many more there are.
fn listed(mut found: Vec<Diagnostic>, more: usize, rule: &'static str) -> Vec<Diagnostic> {
    let more = more + found.len().saturating_sub(MAX_WARNINGS);
    found.truncate(MAX_WARNINGS);
    if more > 0 {
        found.push(Diagnostic::error("bundle", format!("and {more} more warnings of this kind")));
    }
    found.into_iter().map(|finding| finding.warning().rule(rule)).collect()
}

/// Our uid for Cedar's.
fn uid(uid: &EntityUID) -> Uid<'static> {
    Uid { type_name: uid.entity_type().to_string().into(), id: AsRef::<str>::as_ref(uid.eid()).to_owned().into() }
}
