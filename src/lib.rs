//! Palisade: a Cedar authorization sidecar.
//!
//! It holds policies, schema and entities in memory and answers "may this principal do this action on this
//! resource?" over HTTP. The modules, from the bottom up; each may name only those above it in this list:
//!
//! - [`domain`]: plain values, such as requests, decisions, revisions and diagnostics
//! - [`text`]: documents that people write, with the line of every node
//! - [`config`], [`telemetry`]: what the operator says, and what the operator is told
//! - [`engine`]: the snapshot and evaluation over it; alone knows Cedar
//! - [`gateway`]: the route table that turns an HTTP request into checks
//! - [`state`]: what is published, snapshot and routes, and the one writer that replaces it
//! - [`decide`]: one check, with cache and decision log
//! - [`source`]: where policies and entities come from
//! - [`identity`]: who is calling
//! - [`transport`]: HTTP; alone knows hyper
//! - [`app`]: wires them to a running sidecar
//! - [`cli`]: the command line, one file a verb

pub mod app;
pub mod cli;
pub mod config;
pub mod decide;
pub mod domain;
pub mod engine;
pub mod gateway;
pub mod identity;
pub mod source;
pub mod state;
pub mod telemetry;
pub mod text;
pub mod transport;
