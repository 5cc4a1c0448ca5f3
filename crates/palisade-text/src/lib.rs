//! Documents that people write, YAML and JSON, with the line of every node, and findings at a place in them.
//!
//! One reader for configuration, routes and the configurations of gateways, so that a word means the same in all of
//! them and every problem says its line. Nothing here opens a file.

pub mod json;
mod lines;
mod place;
pub mod yaml;

pub use lines::Lines;
pub use place::{Place, Starts, located};
