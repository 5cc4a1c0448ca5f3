//! Callers as the transport asks for them: real keys, real files, a real server for key sets.
#![allow(clippy::needless_pass_by_value, reason = "tables of cases read best with plain values")]

mod manual;
mod matrix;
mod mutation;
mod rotation;
mod secrets;
mod support;
