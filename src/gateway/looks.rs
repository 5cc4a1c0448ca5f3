//! What a route has looked at, where a name may stand in the query and in the body.
//!
//! Some services put the two together, and one of them wins. So a value counts only if the route has looked at the same
//! name on the other side too, for this very request: a rule whose conditions do not hold has looked at nothing more.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::domain::Value;
use crate::gateway::names::same_field;
use crate::gateway::query;

/// The query or the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
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

    /// The first that the other side names too, without that the route has looked there. Where the query does not name
    /// it at all, to be one of the `known` members of the body is enough.
    pub(super) fn doubtful(
        &self,
        query: Option<&str>,
        body: Option<&Value<'_>>,
        known: Option<&BTreeSet<String>>,
    ) -> Option<Look> {
        let looks = self.0.borrow();
        let seen = |side, name: &str| looks.iter().any(|look| look.side == side && look.name == name);
        let members = body.and_then(Value::as_object).unwrap_or_default();
        let asks =
            |wanted: &dyn Fn(&str) -> bool| query.is_some_and(|query| query::names(query).any(|key| wanted(&key)));
        let listed = |key: &str| known.is_some_and(|known| known.contains(key));
        let doubtful = |look: &&Look| match look.side {
            Side::Query => members.iter().any(|(key, _)| {
                same_field(key, &look.name)
                    && !seen(Side::Body, key)
                    && (!listed(key) || asks(&|key| same_field(key, &look.name)))
            }),
            Side::Body => asks(&|key| same_field(key, &look.name) && !seen(Side::Query, key)),
        };
        looks.iter().find(doubtful).cloned()
    }
}
