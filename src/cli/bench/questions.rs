//! Tests as requests over HTTP.

use std::sync::Arc;

use serde_json::json;

use crate::cli::bench::target::Target;
use crate::cli::test::{Expect, Store, TestFile};
use palisade_engine::model::AccessRequest;

/// Where questions are asked.
const PATH: &str = "/v1/is_authorized";

/// A question, and what its test expects.
#[derive(Debug)]
pub(super) struct Question {
    /// The whole request, head and body.
    pub(super) bytes: Vec<u8>,
    /// Whether access is expected.
    pub(super) allow: bool,
}

/// What of the tests can be asked.
#[derive(Debug)]
pub(super) struct Questions {
    /// In the order of the tests.
    pub(super) asked: Arc<[Question]>,
    /// Tests that a sidecar cannot be asked: it holds no entities of theirs, or they expect an error.
    pub(super) skipped: usize,
}

impl Questions {
    /// The questions of all tests.
    pub(super) fn of(files: &[TestFile], target: &Target) -> Self {
        let (mut asked, mut skipped) = (Vec::new(), 0);
        for case in files.iter().flat_map(|file| &file.cases) {
            match &case.check {
                Ok(check) if check.store == Store::Bundle && check.expect != Expect::Error => {
                    let bytes = request(&check.request, target);
                    asked.push(Question { bytes, allow: check.expect == Expect::Allow });
                }
                _ => skipped += 1,
            }
        }
        Self { asked: asked.into(), skipped }
    }
}

/// A request as it goes over the wire.
fn request(request: &AccessRequest<'_>, target: &Target) -> Vec<u8> {
    let mut body = json!({
        "principal": request.principal.to_string(),
        "action": request.action.to_string(),
        "resource": request.resource.to_string(),
        "context": request.context.to_json(),
    });
    for (name, carried) in [("entities", &request.entities), ("additional_entities", &request.additional_entities)] {
        if let Some(carried) = carried {
            body[name] = carried.to_json();
        }
    }
    let body = body.to_string();
    let (host, length) = (target.host(), body.len());
    format!("POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
