//! The environment: `PALISADE_CACHE__MAX_BYTES=64MiB` sets `cache.max_bytes`.
//!
//! A name that starts with our prefix and means nothing is an error: its author would otherwise take it for a
//! setting. What Kubernetes injects for Services is known and skipped.

use serde_json::{Map, Value};

use crate::config::schema::{all_paths, is_text, member};
use crate::config::tree::{Path, shown};
use crate::config::{FILE_VARIABLE, Origin, Problem};
use palisade_engine::model::closest;
use palisade_text::yaml;

/// What our variables start with.
pub(super) const PREFIX: &str = "PALISADE_";

/// What the variables begin with that the project's own tests read.
const TESTS: &str = "TEST_";

/// One variable as a partial tree.
#[derive(Debug, PartialEq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Value,
}

/// Reads our variables among `env`; those of sections come before those of the keys in them.
pub(super) fn variables(
    env: impl IntoIterator<Item = (String, String)>,
    schema: &Value,
    problems: &mut Vec<Problem>,
) -> Vec<Variable> {
    let mut found: Vec<(Path, Variable)> = Vec::new();
    let mut env: Vec<(String, String)> = env.into_iter().collect();
    env.sort();
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if name == FILE_VARIABLE || rest.starts_with(TESTS) || injected_by_kubernetes(rest, &text) {
            continue;
        }
        let path: Path = rest.split("__").map(key_of).collect();
        let Some(at) = path.iter().try_fold(schema, |schema, key| member(schema, key)) else {
            problems.push(Problem::new(Origin::Variable(name.clone()), "", unknown(&name, schema)));
            continue;
        };
        match value_of(&text, at) {
            Ok(value) => {
                let value =
                    path.iter().rev().fold(value, |value, key| Value::Object(Map::from_iter([(key.clone(), value)])));
                found.push((path, Variable { name, value }));
            }
            Err(error) => {
                let message = format!("{error}; put text with special characters in quotes");
                problems.push(Problem::new(Origin::Variable(name), shown(&path), message));
            }
        }
    }
    found.sort_by_key(|(path, _)| path.len());
    found.into_iter().map(|(_, variable)| variable).collect()
}

/// Capitals are the environment's spelling of our lower case; anything else is a name as written.
fn key_of(segment: &str) -> String {
    if segment.contains(|c: char| c.is_ascii_lowercase()) { segment.to_owned() } else { segment.to_ascii_lowercase() }
}

/// Reads YAML, but takes text as it is where only text is meant: `[::1]:8180` needs no quotes.
fn value_of(text: &str, schema: &Value) -> Result<Value, String> {
    match yaml::parse_value(text) {
        Ok(value @ (Value::String(_) | Value::Null)) => Ok(value),
        _ if is_text(schema) => Ok(Value::String(text.to_owned())),
        other => other,
    }
}

fn unknown(name: &str, schema: &Value) -> String {
    let known: Vec<String> = all_paths(schema)
        .iter()
        .map(|path| format!("{PREFIX}{}", path.join("__").to_ascii_uppercase()))
        .chain([FILE_VARIABLE.to_owned()])
        .collect();
    // all names share the prefix, so only the rest of the name shows how near two are
    let rest = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let tails: Vec<String> = known.iter().map(|name| rest(name)).collect();
    match closest(&rest(&name.to_ascii_uppercase()), tails.iter().map(String::as_str)) {
        Some(near) => format!("unknown variable; did you mean `{PREFIX}{near}`?"),
        None => "unknown variable; keys are written in capitals with two underscores between levels, such as `PALISADE_CACHE__MAX_BYTES`".to_owned(),
    }
}

/// Whether Kubernetes sets `PALISADE_<rest>` for a Service named `palisade` or `palisade-<something>`.
fn injected_by_kubernetes(rest: &str, value: &str) -> bool {
    if rest.contains("__") {
        return false;
    }
    let own = ["SERVICE_HOST", "SERVICE_PORT", "PORT"].contains(&rest)
        || rest.starts_with("SERVICE_PORT_")
        || rest.starts_with("PORT_");
    // of another Service whose name starts with ours; the value keeps `PALISADE_ADMIN_PORT=8181` an error
    let url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let port = |after: &str| after.starts_with(|c: char| c.is_ascii_digit());
    let other = rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (rest.ends_with("_PORT") && url)
        || rest.split_once("_PORT_").is_some_and(|(_, after)| port(after));
    own || other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_injects_is_passed_over() {
        for (rest, value, expected) in [
            ("SERVICE_HOST", "10.0.0.1", true),
            ("SERVICE_PORT", "8180", true),
            ("SERVICE_PORT_HTTP", "8180", true),
            ("PORT", "tcp://10.0.0.1:8180", true),
            ("PORT_8180_TCP_ADDR", "10.0.0.1", true),
            ("ADMIN_SERVICE_HOST", "10.0.0.1", true),
            ("ADMIN_SERVICE_PORT_HTTP", "8181", true),
            ("ADMIN_PORT", "tcp://10.0.0.1:8181", true),
            ("ADMIN_PORT_8181_TCP", "tcp://10.0.0.1:8181", true),
            ("ADMIN_PORT", "8181", false),
            ("SERVICE", "x", false),
            ("LISTEN__ADMIN_PORT", "tcp://x", false),
        ] {
            assert_eq!(injected_by_kubernetes(rest, value), expected, "{rest}={value}");
        }
    }
}
