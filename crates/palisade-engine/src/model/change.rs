//! Changes to what is decided upon. Replacing everything is one kind of change.

use std::sync::Arc;

use crate::model::{Document, Uid, Value};

/// Everything a decision is made from, as text with its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Policies and templates, in the order in which they count.
    pub policies: Vec<PolicyText>,
    /// The schema; without one nothing is validated.
    pub schema: Option<SchemaText>,
    /// Documents of entities.
    pub entities: Vec<Document>,
    /// Policies made from templates.
    pub links: Vec<Link>,
    /// Files of routes for the gateway endpoints: origin and text.
    pub routes: Vec<(String, String)>,
}

/// One text of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// The file, or the member of an uploaded bundle.
    pub origin: String,
    /// Cedar policies and templates.
    pub text: String,
    /// How its policies get their ids.
    pub naming: PolicyNaming,
}

/// How the policies of a text are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyNaming {
    /// By `@id`, else `<stem>.<n>`, counted from 0: a file of the bundle directory.
    Stem(String),
    /// The text is one policy, and this is its id.
    Exactly(String),
    /// The text is one policy of a file that has several, not as they are written there.
    Part {
        /// Its id.
        id: String,
        /// The line of the file at which it begins, from 1.
        line: usize,
    },
    /// `policy0`, `policy1`, …: one text of an uploaded bundle. Links may still name a template by its `@id`.
    Ordinal,
}

impl PolicyNaming {
    /// The id, where the text is one policy that has been given one.
    #[must_use]
    pub fn exactly(&self) -> Option<&str> {
        match self {
            Self::Exactly(id) | Self::Part { id, .. } => Some(id),
            Self::Stem(_) | Self::Ordinal => None,
        }
    }

    /// The line of the file at which the text begins, where the text is not as it is written there.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Part { line, .. } => Some(*line),
            _ => None,
        }
    }
}

/// A schema as text, in Cedar's or in the JSON syntax: JSON where its first visible character is `{`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The parts with their origin; several are several fragments of one schema.
    pub fragments: Vec<(String, String)>,
}

/// A policy made from a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The template's policy id, or in one uploaded text its `@id`.
    pub template_id: String,
    /// The id of the policy to make.
    pub link_id: String,
    /// Slot (`?principal`, `?resource`) and entity (`Type::"id"`).
    pub args: Vec<(String, String)>,
    /// Where it is written, if that is a file; else its position among the links says where.
    pub written: Option<Written>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file, as its author knows it.
    pub origin: Arc<str>,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
}

/// Something to apply to the published state, whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Replace policies, schema, entities and links together.
    Replace(Bundle),
    /// Change single entities, in this order and as one transaction.
    Entities(Vec<EntityChange>),
}

/// A change of one entity, or of all below one.
#[derive(Debug, Clone, PartialEq)]
pub enum EntityChange {
    /// Store the entity, an object in Cedar's JSON form, in place of what was stored under its uid.
    Upsert(Value<'static>),
    /// Remove the entity. What refers to it goes on referring to it.
    Delete(Uid<'static>),
    /// Remove the entity and everything that has it above itself.
    DeleteSubtree(Uid<'static>),
}
