//! Palisade: a Cedar authorization sidecar.
pub mod domain;
pub mod source;
