//! The integration tests, in one binary so that they link once.
//!
//! Each module is a surface; `support` is the only one that touches the API and the sockets, so that the
//! cases read as tables. Add a case to the module of its surface.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and tables of cases read best with plain values"
)]

mod authzen;
mod authzen_mapping;
mod batches;
mod bench;
mod browser;
mod bundle;
mod cache;
mod changes;
mod corpus;
mod decision_log;
mod deploy;
mod differential;
mod documents;
mod door;
mod drain;
mod explain;
mod export;
mod faults;
mod faults_of_changes;
mod gateway;
mod gateways;
mod http2_floods;
mod http_connections;
mod http_raw;
mod hull;
mod layers;
mod limits;
mod links;
mod log_lines;
mod log_overflow;
mod log_pipes;
mod native;
mod notify;
mod openapi;
mod order;
mod outcomes;
mod packs;
mod paths;
mod pipes;
mod policies;
mod pressure;
mod publish;
mod published;
mod reload;
mod scores;
mod smuggling;
mod stock;
mod store;
mod streams;
mod support;
mod test_watch;
mod tidy;
mod traces;
mod words;
mod your_own_bundle;
