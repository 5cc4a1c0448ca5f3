//! Mutants of policies: each policy with one thing in it that is different. A mutant that no test notices shows what the
//! tests do not hold.
//!
//! - `draft` writes the mutants of policies as texts, `standing` asks the validator about them; `links` has those of links.
//! - `stage` is a state that mutants are tried on, with what decides there: entities make links, so that differs.
//! - `trial` says which of them decide a request otherwise; `search` looks for such a request.
//!
//! A mutant changes one policy or some links, so of a request only those are evaluated again, by Cedar's own evaluator; what all
//! say together is put together as Cedar's authorizer and the semantics do. No bundle is built for a mutant.

mod draft;
mod links;
mod search;
mod stage;
mod standing;
mod trial;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use cedar_policy_core::ast::{Expr, Policy};

use super::source::Source;
use crate::model::explanation::{Effect, Place};
use crate::model::{Diagnostic, PolicyId};
use crate::policies;
use crate::snapshot::{GoOn, Snapshot};
pub use search::{Pool, Searched};
pub use stage::Stage;

/// Policies and links of which mutants are made. What all of them say of a request is asked where one says otherwise.
const MOST_POLICIES: usize = 20_000;

/// Mutants that are made.
const MOST_MUTANTS: usize = 200_000;

/// A policy with one thing in it that is different.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    /// The policy or template that is changed.
    pub policy: PolicyId,
    /// Whether that one grants or refuses.
    pub effect: Effect,
    /// The file or member of the bundle that it is in.
    pub file: String,
    /// Where in the file the change is, if that is known.
    pub place: Option<Place>,
    /// What is changed, in words that stay the same while the policy does; unique among those of its policy.
    pub name: String,
    /// How it is changed.
    pub sort: MutantSort,
    /// What can be said of it before a request is asked.
    pub standing: Standing,
}

/// How a policy is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MutantSort {
    /// It, or a part of it, is gone.
    Removed,
    /// A part holds where it did not, or it grants what it refused.
    Negated,
    /// A part asks for less, or for more: another operator, an element less.
    Weakened,
}

/// What can be said of a mutant before a request is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may decide otherwise.
    Open,
    /// It is the same policy.
    Same,
    /// Of every request that the schema allows it says the same.
    Constant,
    /// A bundle with it is refused: it does not validate against the schema.
    Refused(String),
}

/// The mutants of all policies of a bundle.
#[derive(Debug)]
pub struct Mutants {
    /// The mutants, policy by policy.
    pub list: Vec<Mutant>,
    /// Whether there are more than are made.
    pub bounded: bool,
    made: Vec<Made>,
    /// The policies and templates that have mutants.
    groups: Vec<Group>,
}

/// What a mutant is instead.
#[derive(Debug)]
enum Made {
    Policy(Box<OfPolicy>),
    Link(links::Exchange),
}

/// A policy or template instead of another.
#[derive(Debug)]
struct OfPolicy {
    group: usize,
    /// The condition; nothing where the policy is gone.
    condition: Option<Expr>,
    /// The parts of the scope.
    scope: [Expr; 3],
    /// Whether permit and forbid change places.
    flips: bool,
    /// The part of the scope that is changed.
    part: Option<usize>,
}

/// A policy or template, and its mutants.
#[derive(Debug)]
struct Group {
    text: PolicyId,
    mutants: Vec<usize>,
}

impl Snapshot {
    /// Makes the mutants of all policies, and of all templates that have a link here or in one of `others`: states with the
    /// same policies over other entities.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// If there are too many policies, or `go_on` said false.
    pub fn mutants(&self, others: &[&Self], go_on: GoOn<'_>) -> Result<Mutants, Diagnostic> {
        // file by file, as they are written
        let mut texts: BTreeMap<(String, usize, PolicyId), (&Self, PolicyId)> = BTreeMap::new();
        for snapshot in [&self].into_iter().chain(others) {
            let count = snapshot.policy_count();
            if count > MOST_POLICIES {
                let message = format!("mutants are made of up to {MOST_POLICIES} policies and links, not of {count}");
                return Err(Diagnostic::error("policies", message).help("test a part of the bundle"));
            }
            for id in snapshot.one_of_each() {
                let site = snapshot.known_site(&id);
                let text = snapshot.text_id(&id);
                texts.entry((site.origin.to_string(), site.span.start, text)).or_insert((snapshot, id));
            }
        }
        let mut all = Mutants { list: Vec::new(), bounded: false, made: Vec::new(), groups: Vec::new() };
        let validator = standing::Validator::new(self.core.schema.as_deref());
        for ((_, _, text), (snapshot, id)) in texts {
            if !go_on() {
                return Err(policies::abandoned());
            }
            // what was loaded can be read again
            if let Ok(policy) = snapshot.parsing().policy(&id) {
                all.add(snapshot, &text, &policy, &validator);
            }
        }
        all.add_links(self);
        Ok(all)
    }
}

impl Mutants {
    /// Adds the mutants of `text`, a policy or the template of one.
    fn add(&mut self, snapshot: &Snapshot, text: &PolicyId, policy: &Policy, validator: &standing::Validator<'_>) {
        let group = self.groups.len();
        let site = snapshot.known_site(text);
        let original = policy.template();
        let written = draft::written(policy, site.text());
        let source = Source::new(site);
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut mutants = Vec::new();
        let bare = policies::scope_of(original);
        let measure = validator.measure(original, &bare);
        for draft in draft::all(&written) {
            if self.list.len() == MOST_MUTANTS {
                self.bounded = true;
                break;
            }
            let (template, standing) = match &draft.text {
                None => (None, Standing::Open),
                Some(mutated) => match draft::parsed(text, mutated) {
                    Some(template) => {
                        let standing = measure.standing(&template, draft.part.is_none());
                        (Some(template), standing)
                    }
                    // what is no policy would not load either
                    None => continue,
                },
            };
            let seen = names.entry(draft.name.clone()).or_default();
            *seen += 1;
            let name = if *seen > 1 { format!("{} #{seen}", draft.name) } else { draft.name };
            let place = written.is_as_given.then(|| source.place(&draft.span)).flatten();
            mutants.push(self.list.len());
            self.list.push(Mutant {
                policy: text.clone(),
                effect: if site.forbids { Effect::Forbid } else { Effect::Permit },
                file: site.origin.to_string(),
                place,
                name,
                sort: draft.sort,
                standing,
            });
            let scope = |template: &cedar_policy_core::ast::Template| {
                [
                    template.principal_constraint().as_expr(),
                    template.action_constraint().as_expr(),
                    template.resource_constraint().as_expr(),
                ]
            };
            self.made.push(Made::Policy(Box::new(OfPolicy {
                group,
                scope: scope(template.as_ref().unwrap_or(original)),
                condition: template.map(|template| template.condition()),
                flips: draft.flips,
                part: draft.part,
            })));
        }
        self.groups.push(Group { text: text.clone(), mutants });
    }
}
