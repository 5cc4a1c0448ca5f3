//! What must hold for a change to be made, looked at when its turn has come.

use palisade_engine::Snapshot;
use palisade_engine::model::Revision;

use crate::state::Rejected;

/// What must hold for a change to be made: its sender read it, and knows of no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// One of these revisions serves.
    OneOf(Vec<Revision>),
    /// None of these does.
    NoneOf(Vec<Revision>),
    /// This is there.
    Stored(Named),
    /// This is not there.
    Absent(Named),
    /// This is there, or there is nothing to delete.
    Deletable(Named),
}

/// What a change is about, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Everything that serves.
    State,
    /// The policy or template of this id.
    Policy(String),
    /// The link of this id.
    Link(String),
}

impl Named {
    fn is_in(&self, serves: &Snapshot) -> bool {
        match self {
            Self::State => true,
            // one that data make is there too, though no one can change it by hand
            Self::Policy(id) => serves.policy_text(id).is_some() || serves.makes_link(id),
            Self::Link(id) => serves.link(id).is_some() || serves.makes_link(id),
        }
    }

    fn in_words(&self, serves: Option<&Snapshot>) -> String {
        match (self, serves) {
            (Self::State, Some(serves)) => format!("revision {}", serves.revision()),
            (Self::State, None) => "revision".to_owned(),
            (Self::Policy(id), _) => format!("policy `{id}`"),
            (Self::Link(id), _) => format!("link `{id}`"),
        }
    }
}

impl Expected {
    /// Refuses a change if this does not hold where `serves` is what serves.
    pub(super) fn check(&self, serves: Option<&Snapshot>) -> Result<(), Rejected> {
        let revision = serves.map(Snapshot::revision);
        let is_among = |revisions: &[Revision]| revision.is_some_and(|revision| revisions.contains(&revision));
        let is_there = |named: &Named| serves.is_some_and(|serves| named.is_in(serves));
        match self {
            Self::OneOf(revisions) if !is_among(revisions) => Err(Rejected::Unexpected(revision)),
            Self::Stored(Named::State) if serves.is_none() => Err(Rejected::Unexpected(None)),
            Self::NoneOf(revisions) if is_among(revisions) => {
                Err(Rejected::Condition(format!("the {} serves", Named::State.in_words(serves))))
            }
            Self::Stored(named) if !is_there(named) => {
                Err(Rejected::Condition(format!("there is no {}", named.in_words(serves))))
            }
            Self::Absent(Named::State) if serves.is_some() => {
                Err(Rejected::Condition(format!("the {} serves", Named::State.in_words(serves))))
            }
            Self::Absent(named) if is_there(named) => {
                Err(Rejected::Condition(format!("the {} is there already", named.in_words(serves))))
            }
            Self::Deletable(_) if serves.is_none() => Err(Rejected::NotLoaded),
            Self::Deletable(named) if !is_there(named) => Err(Rejected::Missing(named.in_words(serves))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use palisade_engine::model::{Bundle, PolicyNaming, PolicyText};
    use palisade_engine::{EngineSettings, Validation};

    fn snapshot() -> Snapshot {
        let text = "permit (principal, action, resource);".to_owned();
        let policies = vec![PolicyText { origin: "p".to_owned(), text, naming: PolicyNaming::Exactly("p".to_owned()) }];
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 7 };
        let bundle = Arc::new(Bundle { policies, ..Bundle::default() });
        palisade_engine::on_big_stack(|| Snapshot::build(bundle, &settings, revision)).unwrap().unwrap().0
    }

    #[test]
    fn each_condition_holds_or_says_why_not() {
        let serves = snapshot();
        let [now, old] = [7, 6].map(|counter| Revision { incarnation: 1, counter });
        let policy = |id: &str| Named::Policy(id.to_owned());
        let condition = |text: &str| Some(Rejected::Condition(text.to_owned()));
        for (expected, of_some, of_nothing) in [
            (Expected::OneOf(vec![old, now]), None, Some(Rejected::Unexpected(None))),
            (Expected::OneOf(vec![old]), Some(Rejected::Unexpected(Some(now))), Some(Rejected::Unexpected(None))),
            (Expected::NoneOf(vec![old]), None, None),
            (Expected::NoneOf(vec![now]), condition(&format!("the revision {now} serves")), None),
            (Expected::Stored(Named::State), None, Some(Rejected::Unexpected(None))),
            (Expected::Absent(Named::State), condition(&format!("the revision {now} serves")), None),
            (Expected::Stored(policy("p")), None, condition("there is no policy `p`")),
            (Expected::Stored(policy("q")), condition("there is no policy `q`"), condition("there is no policy `q`")),
            (Expected::Absent(policy("p")), condition("the policy `p` is there already"), None),
            (Expected::Absent(policy("q")), None, None),
            (Expected::Deletable(policy("p")), None, Some(Rejected::NotLoaded)),
            (
                Expected::Deletable(Named::Link("p".to_owned())),
                Some(Rejected::Missing("link `p`".to_owned())),
                Some(Rejected::NotLoaded),
            ),
        ] {
            assert_eq!(expected.check(Some(&serves)).err(), of_some, "{expected:?}");
            assert_eq!(expected.check(None).err(), of_nothing, "{expected:?}");
        }
    }
}
