//! The integration tests, in one binary so that they link once.
//!
//! Each module is a surface; `support` is the only one that touches the API and the sockets, so that the
//! cases read as tables. Add a case to the module of its surface, and a bug's case to `regressions`.

mod corpus;
mod differential;
mod policies;
mod support;
