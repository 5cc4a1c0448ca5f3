//! The compiled engine against the reference.

mod budgets;
pub(crate) mod changes;
mod corpus;
mod data_rules;
mod depth;
mod derived;
pub(crate) mod dice;
mod lints;
mod operators;
mod places;
mod refusals;
mod resent;
mod scopes;
mod semantics;
mod steps;
mod store;
mod support;
