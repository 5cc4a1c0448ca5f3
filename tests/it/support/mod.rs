//! A running sidecar and a client for it.

pub mod http;
pub mod server;

pub use http::{Client, Response};
pub use server::{Server, fleet};
