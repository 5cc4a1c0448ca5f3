//! Empty variables. A template that renders nothing for one takes back what the file set, and so must not weaken it.
//!
//! For most keys some value guards more than the default does: a smaller limit, a socket instead of a port, a listener that
//! is off, another store. So every key is taken for one of these unless it stands among [`HARMLESS`]: one that is added is
//! refused until someone has thought about it.

use std::collections::VecDeque;
use std::sync::LazyLock;

use serde_json::Value;

use crate::config::raw::RawConfig;
use crate::config::tree::{Path, Tree, shown};
use crate::config::{GUARDS, Origin, Problem};

/// Keys and sections whose default guards as much as any other value does, or that guard nothing.
const HARMLESS: [&[&str]; 16] = [
    // the default is the strictest word
    &["validation"],
    &["decision", "semantics"],
    &["load", "allow_empty_policies"],
    &["load", "allow_empty_entities"],
    &["store", "durability"],
    // how fast it is, what it shows of itself, and how long it waits
    &["authzen", "base_url"],
    &["cache"],
    &["coverage"],
    &["gateway", "deadline"],
    &["http", "max_answer_bytes"],
    &["identity", "cache"],
    &["load", "vanish_quiet"],
    &["log"],
    &["reload"],
    &["shutdown"],
    &["store", "idempotency"],
];

/// The keys with their defaults.
static DEFAULTS: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(RawConfig::default()).unwrap_or_else(|_| Value::Null));

/// Reports each key that has a value in `tree` which an empty variable would take back, and that may guard something.
pub(super) fn report(tree: &Tree, variable: &Value, origin: &Origin, problems: &mut Vec<Problem>) {
    for path in leaves(variable, Value::is_null) {
        let Some(set) = tree.get(&path) else { continue };
        for below in leaves(set, |value| !value.is_null()) {
            let key: Path = path.iter().chain(&below).cloned().collect();
            let value = tree.get(&key);
            if is_harmless(&key) || is_known_guard(&path) || value == at(&DEFAULTS, &key) {
                continue;
            }
            let message = format!(
                "the variable is empty, which would take back what is set at {}: give it a value, or unset it",
                tree.origin(&key)
            );
            problems.push(Problem::new(origin.clone(), shown(&key), message));
        }
    }
}

fn is_harmless(key: &[String]) -> bool {
    HARMLESS.iter().any(|harmless| key.len() >= harmless.len() && harmless.iter().zip(key).all(|(a, b)| a == b))
}

/// Whether the variable is refused however it came to be empty.
fn is_known_guard(path: &[String]) -> bool {
    GUARDS.iter().any(|guard| path.iter().eq(guard.iter()))
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// The paths of what is no mapping, or an empty one, and is `wanted`.
fn leaves(value: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<Path> {
    let (mut found, mut open) = (Vec::new(), VecDeque::from([(Path::new(), value)]));
    while let Some((path, value)) = open.pop_front() {
        match value.as_object().filter(|members| !members.is_empty()) {
            Some(members) => open.extend(members.iter().map(|(key, value)| {
                let mut path = path.clone();
                path.push(key.clone());
                (path, value)
            })),
            None if wanted(value) => found.push(path),
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path as File;

    use serde_json::json;

    use super::*;
    use crate::config::schema::{all_paths, reader_schema};

    fn read(text: &str, variable: (&str, &str)) -> Result<(), String> {
        let env = vec![(variable.0.to_owned(), variable.1.to_owned())];
        let file = Some((File::new("palisade.yaml"), text));
        crate::config::settings_of(file, env, json!({}), Vec::new()).map(drop).map_err(|errors| errors.to_string())
    }

    #[test]
    fn an_empty_variable_weakens_nothing() {
        for (file, variable, key) in [
            ("decision: {semantics: cedar, forbid_errors: deny}", "DECISION__FORBID_ERRORS", "decision.forbid_errors"),
            ("decision: {semantics: cedar, forbid_errors: deny}", "DECISION", "decision.forbid_errors"),
            ("decision: {unknown_entities: deny}", "DECISION__UNKNOWN_ENTITIES", "decision.unknown_entities"),
            ("context: {now: override}", "CONTEXT__NOW", "context.now"),
            ("explain: {decisions: off}", "EXPLAIN__DECISIONS", "explain.decisions"),
            ("listen: {admin: off}", "LISTEN__ADMIN", "listen.admin"),
            ("listen: {grpc: off}", "LISTEN__GRPC", "listen.grpc"),
            ("listen: {decisions: 'unix:/run/d.sock'}", "LISTEN__DECISIONS", "listen.decisions"),
            ("listen: {decisions: 'unix:/run/d.sock', socket_mode: 0600}", "LISTEN__SOCKET_MODE", "listen.socket_mode"),
            ("authzen: {overlay: {default: override, user: deny}}", "AUTHZEN__OVERLAY__user", "authzen.overlay.user"),
            ("engine: {verify_sample: 10}", "ENGINE__VERIFY_SAMPLE", "engine.verify_sample"),
            ("policies: /etc/p", "POLICIES", "policies"),
            ("entities: /etc/e", "ENTITIES", "entities"),
            ("limits: {max_changes: 10}", "LIMITS__MAX_CHANGES", "limits.max_changes"),
            ("http: {max_batch: 10}", "HTTP", "http.max_batch"),
            ("store: {path: s}", "STORE__PATH", "store.path"),
            ("decision_log: {sink: stderr, overflow: deny}", "DECISION_LOG__OVERFLOW", "decision_log.overflow"),
        ] {
            let error = read(file, (&format!("PALISADE_{variable}"), "")).expect_err(file);
            let expected = format!(
                "PALISADE_{variable}: `{key}`: the variable is empty, which would take back what is set at palisade.yaml:1"
            );
            assert!(error.contains(&expected), "{file}: {error}");
            // with nothing to take back it is as good as unset
            read("validation: strict", (&format!("PALISADE_{variable}"), "")).unwrap();
        }
        for (file, variable) in [
            ("validation: off", "VALIDATION"),
            ("decision: {semantics: cedar}", "DECISION__SEMANTICS"),
            ("cache: {max_bytes: 1MiB}", "CACHE"),
            // as the default is
            ("context: {now: fill}", "CONTEXT__NOW"),
            ("listen:\n", "LISTEN"),
        ] {
            read(file, (&format!("PALISADE_{variable}"), " ")).unwrap();
        }
    }

    #[test]
    fn what_is_harmless_is_a_key() {
        let known = all_paths(&reader_schema());
        let is_known = |key: &&[&str]| known.iter().any(|path| path.iter().eq(key.iter()));
        let unknown: Vec<_> = HARMLESS.iter().filter(|key| !is_known(key)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
