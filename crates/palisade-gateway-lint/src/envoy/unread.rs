//! What has to do with Envoy and is not its configuration, or not one that it still reads.

use serde_json::Value;

use crate::NOT_CHECKED;
use crate::node::Node;
use palisade_engine::model::Diagnostic;
use palisade_text::located;

/// An object of Kubernetes, of which Envoy's configuration is made elsewhere. Several may stand in one file, which is no
/// YAML document then.
pub(super) fn object(origin: &str, text: &str) -> Option<Diagnostic> {
    let value = |key: &str| {
        let mut lines = text.lines().enumerate();
        lines.find_map(|(n, line)| Some((n + 1, line.strip_prefix(key)?.strip_prefix(':')?.trim())))
    };
    let ((line, kind), _) = (value("kind")?, value("apiVersion")?);
    let kind = kind.trim_matches(['"', '\'']);
    let what = format!("`{kind}` is an object of Kubernetes, and not read: the lint reads what Envoy itself gets");
    let problem = Diagnostic::error(origin, what).rule(NOT_CHECKED);
    let help = "write what `/config_dump` of Envoy's admin interface gives into a file, and name that";
    Some(located(problem, text, line).help(help))
}

/// Where it is written for version 2 of Envoy's API, as far as that can be seen.
pub(super) fn version_2(root: &Node<'_>) -> Option<Diagnostic> {
    let found = root.all(&is_version_2).into_iter().next()?;
    let mut problem = found.warning(
        NOT_CHECKED,
        "this is written for version 2 of Envoy's API, which Envoy reads no more since 1.18, so nothing here is checked",
        "write it for version 3: `typed_config` with an `@type` such as \
         `type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz` in place of `config`",
    );
    problem.severity = palisade_engine::model::Severity::Error;
    Some(problem)
}

/// Whether this is a filter with the `config` of version 2, or has a type of it.
fn is_version_2(value: &Value) -> bool {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text("@type").rsplit('/').next().unwrap_or_default();
    let old_type = ["envoy.api.v2", "envoy.config.filter."].iter().any(|start| kind.starts_with(start))
        || kind.starts_with("envoy.") && kind.split('.').any(|part| part == "v2");
    old_type || text("name").starts_with("envoy.") && value.get("config").is_some_and(Value::is_object)
}
