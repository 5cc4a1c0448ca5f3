//! A running sidecar and a client for it.

pub mod http;
pub mod raw;
pub mod server;
pub mod tiny;

pub use http::{Client, Response};
pub use server::{Server, fleet};
