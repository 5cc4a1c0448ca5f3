//! A running sidecar and a client for it.

pub(crate) mod collector;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod patience;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod tiny;

pub(crate) use http::{Client, Response};
pub(crate) use server::{Server, fleet};

/// The value of a series in a scrape.
#[track_caller]
pub(crate) fn metric(scrape: &str, series: &str) -> f64 {
    let value = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {scrape}"))
}
