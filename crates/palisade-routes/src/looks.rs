//! What a route has looked at, where a name may stand in the path, in the query and in the body.
//!
//! Some services put these together, and one of them wins. So a value counts only if the route has looked at the same
//! name on the other sides too, for this very request: a rule whose conditions do not hold has looked at nothing more.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::asked::Reads;
use crate::values;
use palisade_engine::model::Value;

/// The path, the query or the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A capture of the path.
    Path,
    /// A parameter of the query.
    Query,
    /// A member at the top of the body.
    Body,
}

/// A name that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) side: Side,
    pub(super) name: String,
}

/// All that a route looked at for one request.
#[derive(Debug, Default)]
pub(super) struct Looks(RefCell<Vec<Look>>);

impl Looks {
    /// Goes on from what was looked at before.
    pub(super) fn after(earlier: &[Look]) -> Self {
        Self(RefCell::new(earlier.to_vec()))
    }

    /// What was looked at.
    pub(super) fn into_inner(self) -> Vec<Look> {
        self.0.into_inner()
    }

    pub(super) fn note(&self, side: Side, name: &str) {
        let mut looks = self.0.borrow_mut();
        // a list of many elements asks for the same again and again
        if !looks.iter().any(|look| look.side == side && look.name == name) {
            looks.push(Look { side, name: name.to_owned() });
        }
    }

    /// The first that another side names too, without that the route has looked there. Where the query does not name
    /// it at all, to be one of the `known` members of the body is enough. A value of the path may be there again: then
    /// all readers find the same. `capture` is what it is in the path.
    pub(super) fn doubtful<'v>(
        &self,
        query: Option<&str>,
        body: Option<&Value<'_>>,
        known: Option<&BTreeSet<String>>,
        reads: &Reads<'_>,
        capture: &dyn Fn(&str) -> Option<Cow<'v, str>>,
    ) -> Option<Look> {
        let looks = self.0.borrow();
        let seen = |side, name: &str| looks.iter().any(|look| look.side == side && look.name == name);
        let members = body.and_then(Value::as_object).unwrap_or_default();
        let asks = |name: &str, wanted: &dyn Fn(&str) -> bool| reads.has_parameter(query, name, wanted);
        let says = |name: &str, wanted: &dyn Fn(&str, &Value<'_>) -> bool| reads.has_member(members, name, wanted);
        let listed = |key: &str| known.is_some_and(|known| known.contains(key));
        let doubtful = |look: &&Look| match look.side {
            Side::Path => {
                let own = capture(&look.name);
                let asked = asks(&look.name, &|key| !seen(Side::Query, key));
                let asked_else = asked
                    && !matches!(reads.parameter(query, &look.name), Ok(Some(value)) if Some(&value) == own.as_ref());
                asked_else
                    || says(&look.name, &|key, value| {
                        !seen(Side::Body, key)
                            && !listed(key)
                            && !own.as_ref().is_some_and(|own| *key == look.name && is_text(value, own))
                    })
            }
            Side::Query => {
                says(&look.name, &|key, _| !seen(Side::Body, key) && (!listed(key) || asks(&look.name, &|_| true)))
            }
            Side::Body => asks(&look.name, &|key| !seen(Side::Query, key)),
        };
        looks.iter().find(doubtful).cloned()
    }
}

/// Whether a member of a body is this text, or the number that it is.
fn is_text(value: &Value<'_>, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Long(own) => values::of_number(*own).is_none() && own.to_string() == text,
        _ => false,
    }
}
