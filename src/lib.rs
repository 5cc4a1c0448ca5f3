//! Palisade: a Cedar authorization sidecar.
pub mod domain;
pub mod engine;
