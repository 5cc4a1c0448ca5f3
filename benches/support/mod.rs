//! What the benches share: the project's own bundle and its questions, worlds of any size, and stock Cedar.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot set up must stop")]
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod cases;
pub(crate) mod engines;
pub(crate) mod stock;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use palisade::source::{FileSettings, FileSource, Source};
use palisade_engine::model::{AccessRequest, Bundle, Revision, Value};
use palisade_engine::{EngineSettings, Limits, Snapshot, on_big_stack};

/// The revision of every snapshot here.
pub(crate) const REVISION: Revision = Revision { incarnation: 1, counter: 1 };

/// 2026-11-21T12:00:00Z, when no token of the fixtures has expired.
pub(crate) const NOW: i64 = 1_795_262_400_000;

/// A path of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The four products' bundle.
pub(crate) fn fleet() -> Bundle {
    FileSource::new(project("policies"), Some(project("entities")), FileSettings::default()).load().unwrap().bundle
}

/// The server's settings, but for the depth of hierarchies, which a bench drives beyond the default.
pub(crate) fn settings() -> EngineSettings {
    EngineSettings { limits: Limits { max_depth: 128, ..Limits::default() }, ..EngineSettings::default() }
}

/// A snapshot of a bundle.
pub(crate) fn snapshot(bundle: Bundle) -> Arc<Snapshot> {
    let build = || Snapshot::build(Arc::new(bundle), &settings(), REVISION);
    Arc::new(on_big_stack(build).unwrap().unwrap().0)
}

/// The bodies of the documented scenarios, as a service would send them.
pub(crate) fn questions() -> Vec<String> {
    let text = std::fs::read_to_string(project("policies/tests/scenarios.json")).unwrap();
    let scenarios: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    scenarios.into_iter().map(|scenario| scenario["request"].to_string()).collect()
}

/// A question as the engine takes it.
pub(crate) fn request(body: &str) -> AccessRequest<'_> {
    AccessRequest::from_value(Value::parse(body.as_bytes()).unwrap()).unwrap()
}
