//! The integration tests, in one binary so that they link once.
//!
//! Each module is a surface; `support` is the only one that touches the API and the sockets, so that the
//! cases read as tables. Add a case to the module of its surface, and a bug's case to `regressions`.

mod cache;
mod corpus;
mod decision_log;
mod drain;
mod faults;
mod http_raw;
mod limits;
mod policies;
mod reload;
mod smuggling;
mod support;
