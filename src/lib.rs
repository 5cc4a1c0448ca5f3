//! Palisade: a Cedar authorization sidecar.
//!
//! It holds policies, schema and entities in memory and answers "may this principal do this action on this
//! resource?" over HTTP. What decides is the package [`palisade_engine`], what matches the requests that gateways ask
//! about is [`palisade_routes`]. The modules of the sidecar, from the bottom up; each may name only those above it in
//! this list, and every package:
//!
//! - [`config`], [`telemetry`]: what the operator sets, and what the sidecar reports to the operator
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
pub mod identity;
pub mod source;
pub mod state;
pub mod telemetry;
pub mod transport;
