//! Changes to what is decided upon. Replacing everything is one kind of change.

use crate::model::{Diagnostic, Document, ForEach, Uid, Value, Written};
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
    /// What holds for every entity of a type: links that the data make, rules that they must keep.
    pub for_each: ForEach,
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

/// Something to apply to the published state, whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Replace policies, schema, entities and links together.
    Replace(Bundle),
    /// Make several small changes together.
    Transaction(Transaction),
}

/// Several small changes, all of them or none, in this order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// What to do.
    pub edits: Vec<Edit>,
    /// What happens to references at what is deleted.
    pub dangling: Dangling,
}

/// What happens to stored references at what a transaction deletes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dangling {
    /// The transaction is refused.
    #[default]
    Refuse,
    /// They are removed where what holds them may be without: parents, members of sets, optional attributes, tags, and
    /// explicit links. Else the transaction is refused.
    Unlink,
    /// The same, and an entity that cannot be without is deleted too.
    Cascade,
    /// They stay.
    Keep,
}

/// One small change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Store the entity, an object in Cedar's JSON form, in place of what was stored under its uid.
    Upsert(Value<'static>),
    /// Change parts of a stored entity.
    Update(Box<Update>),
    /// Remove the entity.
    Delete(Uid<'static>),
    /// Remove the entity and everything that has it above itself.
    DeleteSubtree(Uid<'static>),
    /// Forget what changes did to the entity: the base counts again.
    Revert(Uid<'static>),
    /// Forget what changes did to the policy or template of this id.
    RevertPolicy(String),
    /// Forget what changes did to the link of this id.
    RevertLink(String),
    /// Add a policy or template, or replace the one of this id.
    PutPolicy {
        /// Its id.
        id: String,
        /// One policy or template, in Cedar's syntax or its JSON form.
        text: String,
    },
    /// Remove the policy or template of this id.
    DeletePolicy(String),
    /// Add a link, or replace the one of its id.
    PutLink(Link),
    /// Remove the link of this id.
    DeleteLink(String),
    /// Refuse the transaction unless this is what was stored before it.
    Expect {
        /// Under this uid.
        uid: Uid<'static>,
        /// The entity, or none.
        equals: Option<Value<'static>>,
    },
}

/// Changes of parts of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which one.
    pub uid: Uid<'static>,
    /// Attributes to set.
    pub attrs: Vec<(String, Value<'static>)>,
    /// Attributes to remove.
    pub unset: Vec<String>,
    /// Tags to set.
    pub tags: Vec<(String, Value<'static>)>,
    /// Tags to remove.
    pub untag: Vec<String>,
    /// Parents to add.
    pub add_parents: Vec<Uid<'static>>,
    /// Parents to remove.
    pub remove_parents: Vec<Uid<'static>>,
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entities that it stored.
    pub upserted: usize,
    /// Entities that it removed.
    pub deleted: usize,
    /// Policies and templates that it put or removed.
    pub policies: usize,
    /// Links that it put.
    pub links_added: usize,
    /// Links that it removed.
    pub links_removed: usize,
}

/// Why a transaction is refused. Each finding's place is a JSON pointer into the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// What was stored before is not what it expects.
    Unmet(Vec<Diagnostic>),
    /// Changes that cannot be made.
    Invalid(Vec<Diagnostic>),
    /// Something refers to what it deletes: the first of them, and how many there are.
    Dangling(Vec<Diagnostic>, usize),
    /// Links need a template that it removes, or makes a policy of.
    InUse(Vec<Diagnostic>),
    /// Links that the data make cannot be changed by hand.
    Derived(Vec<Diagnostic>),
    /// An entity on the path of a link from data would not be stored.
    BrokenPath(Vec<Diagnostic>),
    /// The data would break rules.
    Rule(Vec<Diagnostic>),
    /// It was not wanted any more.
    GivenUp,
}

impl Refused {
    /// What is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Diagnostic] {
        match self {
            Self::Unmet(found)
            | Self::Invalid(found)
            | Self::Dangling(found, _)
            | Self::InUse(found)
            | Self::Derived(found)
            | Self::BrokenPath(found)
            | Self::Rule(found) => found,
            Self::GivenUp => &[],
        }
    }
}

impl Transaction {
    /// Bytes that it takes in memory, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.edits.iter().map(Edit::weight).sum()
    }
}

impl Edit {
    /// Bytes that it takes in memory, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let uid = |uid: &Uid<'_>| uid.type_name.len() + uid.id.len() + size_of_val(uid);
        let named = |members: &[(String, Value<'_>)]| -> usize {
            members.iter().map(|(name, value)| name.len() + size_of_val(name) + value.weight()).sum()
        };
        let names = |names: &[String]| -> usize { names.iter().map(|name| name.len() + size_of_val(name)).sum() };
        let uids = |uids: &[Uid<'_>]| -> usize { uids.iter().map(uid).sum() };
        size_of::<Self>()
            + match self {
                Self::Upsert(value) => value.weight(),
                Self::Update(update) => {
                    uid(&update.uid)
                        + named(&update.attrs)
                        + named(&update.tags)
                        + names(&update.unset)
                        + names(&update.untag)
                        + uids(&update.add_parents)
                        + uids(&update.remove_parents)
                }
                Self::Delete(of) | Self::DeleteSubtree(of) | Self::Revert(of) => uid(of),
                Self::RevertPolicy(id) | Self::RevertLink(id) | Self::DeletePolicy(id) | Self::DeleteLink(id) => {
                    id.len()
                }
                Self::PutPolicy { id, text } => id.len() + text.len(),
                Self::PutLink(link) => {
                    link.template_id.len()
                        + link.link_id.len()
                        + link.args.iter().map(|(slot, arg)| slot.len() + arg.len() + 48).sum::<usize>()
                }
                Self::Expect { uid: of, equals } => uid(of) + equals.as_ref().map_or(0, Value::weight),
            }
    }
}
