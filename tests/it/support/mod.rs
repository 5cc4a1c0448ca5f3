//! A running sidecar and a client for it.

pub mod collector;
pub mod frames;
pub mod gate;
pub mod http;
pub mod patience;
pub mod process;
pub mod raw;
pub mod server;
pub mod tiny;

pub use http::{Client, Response};
pub use server::{Server, fleet};

/// The value of a series in a scrape.
#[track_caller]
pub fn metric(scrape: &str, series: &str) -> f64 {
    let value = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {scrape}"))
}
