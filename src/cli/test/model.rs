//! Tests as values: what is asked, and what must come of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Uid};

/// The tests of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct TestFile {
    /// The file as its author knows it, for messages.
    pub path: String,
    /// Its path under the directory of tests: the first half of a test's id.
    pub id: String,
    /// Its tests, in the order in which they stand.
    pub cases: Vec<Case>,
}

/// One request and what must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What its author calls it; a matrix adds the request's parts.
    pub name: String,
    /// The line of the file.
    pub line: Option<usize>,
    /// Why it must be so.
    pub why: Option<String>,
    /// The test, or what keeps it from being one.
    pub check: Result<Check, Fault>,
}

/// What a [`Case`] checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The request.
    pub request: AccessRequest<'static>,
    /// The entities that it is decided upon.
    pub store: Store,
    /// The expected decision.
    pub expect: Expect,
    /// The policies that must determine the decision, if that matters.
    pub reasons: Option<Reasons>,
    /// How many policies must fail to evaluate, if that matters.
    pub errors: Option<usize>,
    /// Whether it is about an entity that is not stored. Else a misspelled name would be denied, and the test pass.
    pub unknown: Unknown,
}

/// Whether a test is about an entity that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It is not, as far as it says: a name that nothing has is misspelled.
    Unsaid,
    /// It brings all entities itself, as in the form of Cedar's command line: it misspells none of the bundle's.
    Allowed,
    /// It says so.
    Said,
}

/// The policies that must determine a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons {
    /// Their ids.
    pub ids: BTreeSet<String>,
    /// Whether they must be all that determine it. In the form of Cedar's command line they need not be, as there.
    pub all: bool,
}

impl Reasons {
    /// What the test calls a policy that determined the decision: its id, or, of a link that data made, the id of its
    /// template, where the test names that.
    pub(super) fn calls<'r>(&self, id: &'r str) -> &'r str {
        match id.split_once('@') {
            Some((template, _)) if !self.ids.contains(id) && self.ids.contains(template) => template,
            _ => id,
        }
    }
}

/// The expected decision of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Access.
    Allow,
    /// No access.
    Deny,
    /// No decision: the request does not fit the schema.
    Error,
}

/// The entities that a request is decided upon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Store {
    /// Those of the bundle.
    Bundle,
    /// These alone: a JSON array.
    Only(Arc<str>),
    /// Those of the bundle with changes, in order.
    Changed(Arc<[EntityChange]>),
}

/// A change that a test makes to the bundle's entities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EntityChange {
    /// Adds an entity, or replaces the one of that name.
    Put {
        /// The line of the file, for messages.
        line: usize,
        /// Its name.
        uid: Uid<'static>,
        /// The entity to start from.
        like: Option<Uid<'static>>,
        /// Attributes, in Cedar's JSON form: an object as text, so that it can be compared.
        attributes: String,
        /// Attributes that the entity to start from has and this one has not.
        unset: Vec<String>,
        /// Parents, if they are not those of the entity to start from.
        parents: Option<Vec<Uid<'static>>>,
        /// Tags, if they are not those of the entity to start from: an object as text.
        tags: Option<String>,
    },
    /// Takes an entity away.
    Remove {
        /// The line of the file, for messages.
        line: usize,
        /// Its name.
        uid: Uid<'static>,
    },
}

/// Why something in a file of tests is not a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line of the file, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    /// A fault at `line`.
    pub fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into() }
    }
}

impl From<Fault> for Vec<Fault> {
    fn from(fault: Fault) -> Self {
        vec![fault]
    }
}

/// Something of a file, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

/// Faults of one list that are kept: all of a long one may be wrong.
const MOST_FAULTS: usize = 100;

/// All that was made, or everything that is wrong with any of it.
pub(super) fn all<T, E: Into<Vec<Fault>>, C: FromIterator<T>>(made: impl IntoIterator<Item = Result<T, E>>) -> Read<C> {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for one in made {
        match one {
            Ok(one) => good.push(one),
            Err(wrong) if faults.len() < MOST_FAULTS => faults.extend(wrong.into()),
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok(good.into_iter().collect()) } else { Err(faults) }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        })
    }
}
