//! Why a decision is what it is: plain values, written as JSON just as they are.

use serde::{Serialize, Serializer};

use crate::model::{DeniedBy, Outcome, PolicyError, PolicyId, Revision};

/// What kind of answer is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplanationKind {
    /// Some permit holds, and no forbid.
    Allowed,
    /// Some forbid holds.
    Forbidden,
    /// No policy holds, and none failed.
    NotPermitted,
    /// No policy holds, and at least one could not be evaluated.
    Errored,
    /// A rule of the `strict` semantics denied.
    DeniedByRule,
}

/// What a policy, a part of it or a clause gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be evaluated.
    Error,
    /// Evaluation ended before it: something earlier was false or failed.
    NotReached,
}

/// A decision and the reasons for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Allow or deny, as the decision endpoints answer.
    pub decision: Outcome,
    /// Which of the ways to get there it was.
    pub kind: ExplanationKind,
    /// What determined the decision, in the shape of its answer.
    pub diagnostics: Diagnostics,
    /// The state that everything here was evaluated at.
    #[serde(serialize_with = "as_text")]
    pub revision: Revision,
    /// Those that decided first, then by how near they came.
    pub policies: Vec<ExplainedPolicy>,
    /// How many more decided or are near and are not shown: of whose scope at most one part does not hold.
    pub policies_left_out: usize,
    /// How many others there are that are not shown: of whose scope two parts do not hold, or all three.
    pub policies_farther: usize,
    /// Single changes that turn the decision, each verified by deciding again. The smallest come first.
    pub changes: Vec<TurningChange>,
    /// How the changes were looked for.
    pub search: Search,
}

/// What determined a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// The determining policies, sorted by id.
    pub reason: Vec<PolicyId>,
    /// The policies that failed to evaluate, sorted by id.
    pub errors: Vec<PolicyError>,
    /// The rule of the `strict` semantics that denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<DeniedBy>,
}

/// How far a policy is off by another action or type: no change of entities makes up for it. More than a policy has
/// conditions.
pub const FAR: usize = 100;

/// What one policy says of the request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedPolicy {
    /// Its id.
    pub id: PolicyId,
    /// `permit` or `forbid`.
    pub effect: Effect,
    /// Whether it is satisfied: true, false, or error.
    pub result: Truth,
    /// How many parts of its scope and clauses do not hold, each evaluated alone.
    pub missing: usize,
    /// How near it came, 0 where all of it holds: a condition counts 1, a part of the scope 1, 2 or 100, by what would mend it.
    pub distance: usize,
    /// The file or member of the bundle that it is in; of a link its template's.
    pub file: String,
    /// Its line there, from 1, if the text is as it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Of a link: the template, and what its slots are filled with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkOf>,
    /// Its annotations but for `@id`, sorted by name.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Principal, action and resource, in this order.
    pub scope: Vec<Clause>,
    /// The conditions, in the order in which they are evaluated.
    pub clauses: Vec<Clause>,
}

impl ExplainedPolicy {
    /// Whether at most one part of its scope does not hold.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.scope.iter().filter(|part| part.result != Truth::True).count() <= 1
    }

    /// Whether it is of another action or type than the request.
    #[must_use]
    pub fn is_of_another(&self) -> bool {
        self.distance >= FAR
    }
}

/// Whether a policy grants or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It grants.
    Permit,
    /// It refuses.
    Forbid,
}

/// What a link was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkOf {
    /// The template's id.
    pub template: String,
    /// Where the link was written, as `file:line`, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Slot (`?principal`, `?resource`) and entity.
    pub args: std::collections::BTreeMap<String, String>,
    /// The entity that made the link, where it comes from data; then `written` is where its declaration is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

/// What a clause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClauseKind {
    /// The part of the scope on the principal.
    Principal,
    /// The part of the scope on the action.
    Action,
    /// The part of the scope on the resource.
    Resource,
    /// One of the conditions that a `when` joins by `&&`.
    When,
    /// A whole `unless`: it holds where what is in its braces does not.
    Unless,
    /// A part of a clause.
    Part,
}

/// How the parts of a clause make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// `a && b`
    All,
    /// `a || b`
    Any,
    /// `!a`, and `unless { a }`
    Not,
    /// `if a then b else c`: the parts are a, b and c.
    If,
}

/// A part of the scope, or a clause of a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clause {
    /// What it is.
    pub kind: ClauseKind,
    /// As its author wrote it, cut where it is long.
    pub text: String,
    /// Where it stands in the policy's file, if that is known.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What it gave.
    pub result: Truth,
    /// What it gives alone, where it was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<Truth>,
    /// Why it cannot be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ReadValue>,
    /// For each `in` of it, the way through the hierarchy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hierarchy: Vec<HierarchyPath>,
    /// How `parts` make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// What it consists of, where that is worth looking at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Clause>,
}

/// A span of a file, lines and columns in characters from 1; the end is behind the last character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line of its first character.
    pub line: usize,
    /// Column of its first character.
    pub column: usize,
    /// Line of its end.
    pub end_line: usize,
    /// Column of its end.
    pub end_column: usize,
    /// The whole first line, if it is worth showing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// An attribute or a tag that a clause reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadValue {
    /// As a policy writes it: `principal.locations`, `context.auth.mfa`.
    pub path: String,
    /// What it is, in Cedar's syntax, cut where it is long; `None` where there is none.
    pub value: Option<String>,
    /// Whether it is hidden by `decision_log.mask`.
    #[serde(skip_serializing_if = "is_false")]
    pub masked: bool,
}

/// The way from an entity up the hierarchy to where an `in` wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HierarchyPath {
    /// Whether the way leads there.
    pub holds: bool,
    /// The entity on the left.
    pub from: String,
    /// What it was to be in; several where a set was asked for.
    pub to: Vec<String>,
    /// The entities on the way, `from` first. Where the way ends elsewhere, up to its top.
    pub path: Vec<String>,
    /// Which of `to` are not stored, so that nothing is in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A single change that turns the decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurningChange {
    /// In words.
    pub words: String,
    /// What changes.
    #[serde(flatten)]
    pub edit: Proposed,
    /// What changes with it, in the same transaction: a data rule ties them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Proposed>,
    /// Whether the entity that changes is not stored, so that it is added.
    #[serde(skip_serializing_if = "is_false")]
    pub adds: bool,
    /// What the decision is then.
    pub decision: Outcome,
    /// The policy whose clause asked for it.
    pub policy: PolicyId,
}

/// One change, of one member of one entity or of the context.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Proposed {
    /// The entity gets a parent.
    AddParent {
        /// The entity.
        entity: String,
        /// What it is put into.
        parent: String,
    },
    /// The entity loses a parent.
    RemoveParent {
        /// The entity.
        entity: String,
        /// What it is taken out of.
        parent: String,
    },
    /// An attribute or a tag of an entity gets another value.
    SetAttribute {
        /// The entity.
        entity: String,
        /// The attribute, and the members of records below it; of a tag, its key.
        path: Vec<String>,
        /// Whether it is a tag.
        #[serde(skip_serializing_if = "is_false")]
        tag: bool,
        /// The whole new value in Cedar's JSON form; absent where the member goes.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<serde_json::Value>,
    },
    /// An entity that is not stored is added, so that it makes a link.
    AddEntity {
        /// The entity; any name will do.
        entity: String,
        /// Its attributes in Cedar's JSON form.
        attributes: serde_json::Value,
    },
    /// A member of the context gets another value.
    SetContext {
        /// The member, and the members of records below it.
        path: Vec<String>,
        /// The whole new value in Cedar's JSON form; absent where the member goes.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<serde_json::Value>,
    },
}

/// How single changes were looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Search {
    /// How many changes were tried.
    pub tried: usize,
    /// Whether there was more to try than the bounds allow, so that others may turn the decision too.
    pub bounded: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the serializer passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

fn as_text<S: Serializer>(revision: &Revision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(revision.text().as_str())
}
