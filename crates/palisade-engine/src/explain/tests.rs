//! Explanations against Cedar: what they say of policies, of clauses and of changes.

pub(super) mod links;
mod masked;
mod places;
mod say;
mod seen;
mod worlds;
