//! The compiled engine against the reference.

mod corpus;
mod operators;
mod scopes;
mod store;
mod support;
