//! Health and metrics.

use http::StatusCode;
use serde_json::json;

use crate::telemetry::Metrics;
use crate::transport::Services;
use crate::transport::respond::{self, Answer};

/// `GET /livez`: the process runs and answers.
pub(super) fn live() -> Answer {
    respond::json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// `GET /readyz`: whether requests should be sent here, and if not, why. What is wrong with the bundle quotes it, so
/// that is shown only where the admin API would show it.
pub(super) fn ready(services: &Services, trusted: bool) -> Answer {
    let reasons = services.unready();
    let published = services.pdp.state().load();
    let revision = published.as_ref().map(|published| published.snapshot.revision().to_string());
    if reasons.is_empty() {
        return respond::json(StatusCode::OK, &json!({ "status": "ready", "revision": revision }));
    }
    let mut body = json!({ "status": "not ready", "reasons": reasons, "revision": revision });
    if trusted {
        let status = services.pdp.state().status();
        body["problems"] = json!(status.last_attempt.map(|attempt| attempt.problems).unwrap_or_default());
        body["waits_for"] = json!(status.waits.map(|waits| waits.to_string()));
    }
    respond::json(StatusCode::SERVICE_UNAVAILABLE, &body)
}

/// `GET /metrics`, in Prometheus' text format. What is cheaper to read than to keep is read here.
pub(super) fn metrics(services: &Services) -> Answer {
    let metrics = &services.metrics;
    if let Some(cache) = services.pdp.cache() {
        metrics.cache_bytes.set(i64::try_from(cache.bytes()).unwrap_or(i64::MAX));
        metrics.cache_entries.set(i64::try_from(cache.len()).unwrap_or(i64::MAX));
    }
    if let Some(log) = services.pdp.log() {
        metrics.decision_log_failing.set(i64::from(log.is_failing()));
        metrics.decision_log_queue_bytes.set(i64::try_from(log.queue_bytes()).unwrap_or(i64::MAX));
        metrics.decision_log_queue_ratio.set(log.queue_ratio());
    }
    metrics.degraded.set(i64::from(services.degraded().is_some()));
    metrics.set_ready(services.unready().is_empty());
    respond::with_type(StatusCode::OK, Metrics::CONTENT_TYPE, metrics.render())
}
