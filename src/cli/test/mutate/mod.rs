//! `palisade test --mutate`: which changes of the policies no test would notice.
//!
//! - `hunt` asks the tests, and looks for requests that would have shown a mutant which none of them sees.
//! - `accept` reads the mutants that their author lets live, with the reasons; `write` shows what came of all.

mod accept;
mod hunt;
mod write;

use palisade_engine::model::{AccessRequest, Decision};
use palisade_engine::{Mutant, Standing};

use crate::cli::test::model::Store;

pub(super) use accept::{Accepted, read as read_accepted};
pub(super) use hunt::{Limits, run};
pub(super) use write::{human, json, junit, tap, tests};

/// What came of all mutants, policy by policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mutation {
    /// Each mutant, and what came of it.
    pub mutants: Vec<(Mutant, Fate)>,
    /// Whether more mutants could be made than are.
    pub bounded: bool,
    /// What is accepted though it does not live: in words, with the place.
    pub stale: Vec<String>,
}

/// What came of a mutant.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// A test failed with it.
    Killed,
    /// No test failed, and this request would have.
    Survived(Box<Shown>),
    /// No test failed, and none of so many requests would have; there are more, or none could be asked.
    Unseen(u64),
    /// No test failed, and none of all the requests that entities and contexts make, so many, would have.
    NotToldApart(u64),
    /// No test failed, and its author says why that is well.
    Accepted(String),
    /// It is no other policy, or says the same of whatever the schema allows; or a bundle with it is refused.
    Set(Standing),
}

/// A request that a mutant decides otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The request.
    pub request: AccessRequest<'static>,
    /// The entities that it is decided upon.
    pub store: Store,
    /// The file of tests that they stand in, where they are not the bundle's.
    pub file: Option<String>,
    /// How it is decided.
    pub decision: Decision,
    /// How it is decided with the mutant.
    pub mutated: Decision,
}

impl Mutation {
    /// Those that a test killed, and those that a test could have killed.
    #[must_use]
    pub fn score(&self) -> (usize, usize) {
        self.mutants.iter().fold((0, 0), |(killed, all), (_, fate)| match fate {
            Fate::Killed => (killed + 1, all + 1),
            Fate::Survived(_) | Fate::Unseen(_) => (killed, all + 1),
            _ => (killed, all),
        })
    }

    /// How many of a hundred were killed; all, where there are none.
    #[must_use]
    pub fn percent(&self) -> f64 {
        match self.score() {
            (_, 0) => 100.0,
            (killed, all) => killed as f64 * 100.0 / all as f64,
        }
    }

    /// Those with a fate.
    fn with<'m>(&'m self, is: impl Fn(&Fate) -> bool + 'm) -> impl Iterator<Item = &'m (Mutant, Fate)> {
        self.mutants.iter().filter(move |(_, fate)| is(fate))
    }
}

/// `file:line:column`, as far as it is known.
fn place(mutant: &Mutant) -> String {
    match &mutant.place {
        Some(place) => format!("{}:{}:{}", mutant.file, place.line, place.column),
        None => mutant.file.clone(),
    }
}
