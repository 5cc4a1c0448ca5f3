//! What of a context is hidden, while it is written: nothing hidden is copied, and nothing is changed.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use smallvec::SmallVec;

use crate::config::{MaskPath, MaskStep};
use palisade_engine::model::{DeniedBy, PolicyError, Uid, Value};

/// What stands in for a hidden value.
const MASKED: &str = "***";

/// What is left of the paths that lead into a value.
type Paths<'p> = SmallVec<[&'p [MaskStep]; 4]>;

/// A context with what is to be hidden in it, as it is written.
pub(super) struct Masked<'v> {
    value: &'v Value<'v>,
    paths: Paths<'v>,
}

/// What happens to a member of an object.
enum Member<'v> {
    Hidden,
    Shown(Masked<'v>),
}

impl<'v> Masked<'v> {
    pub(super) fn new(value: &'v Value<'v>, mask: &'v [MaskPath]) -> Self {
        Self { value, paths: mask.iter().map(MaskPath::steps).collect() }
    }

    fn member(&self, key: &str, value: &'v Value<'v>) -> Member<'v> {
        let mut paths = Paths::new();
        for path in &self.paths {
            match path.split_first() {
                Some((MaskStep::Key(name), _)) if name != key => {}
                Some((_, [])) => return Member::Hidden,
                Some((_, rest)) => paths.push(rest),
                None => {}
            }
        }
        Member::Shown(Self { value, paths })
    }

    /// Arrays are no level: a path leads into each of their elements.
    fn element(&self, value: &'v Value<'v>) -> Self {
        Self { value, paths: self.paths.clone() }
    }

    /// Whether anything is hidden in it.
    pub(super) fn hides(&self) -> bool {
        match self.value {
            _ if self.paths.is_empty() => false,
            Value::Object(members) => members.iter().any(|(key, value)| match self.member(key, value) {
                Member::Hidden => true,
                Member::Shown(member) => member.hides(),
            }),
            Value::Array(elements) => elements.iter().any(|element| self.element(element).hides()),
            _ => false,
        }
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            value if self.paths.is_empty() => value.serialize(serializer),
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    match self.member(key, value) {
                        Member::Hidden => map.serialize_entry(key.as_ref(), MASKED)?,
                        Member::Shown(member) => map.serialize_entry(key.as_ref(), &member)?,
                    }
                }
                map.end()
            }
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(|element| self.element(element))),
            value => value.serialize(serializer),
        }
    }
}

/// What stands in for a message of a decision whose context hides something. Messages quote values, also in other
/// spellings than the request's and after some arithmetic, so no search in them would find it.
const WITHHELD: &str = "not shown, since something is masked";

/// The errors without their messages.
pub(super) fn without_messages(errors: &[PolicyError]) -> Vec<PolicyError> {
    let withheld: Arc<str> = WITHHELD.into();
    let bare = |error: &PolicyError| PolicyError { policy_id: error.policy_id.clone(), message: withheld.clone() };
    errors.iter().map(bare).collect()
}

/// The rule without an entity that the line does not name besides: it may come from what is hidden.
pub(super) fn without_hidden_entity<'a>(rule: &'a DeniedBy, named: [&Uid<'_>; 3]) -> Cow<'a, DeniedBy> {
    match rule {
        DeniedBy::UnknownEntity { entity } if named.iter().all(|uid| uid.to_string() != *entity) => {
            Cow::Owned(DeniedBy::UnknownEntity { entity: MASKED.to_owned() })
        }
        _ => Cow::Borrowed(rule),
    }
}
