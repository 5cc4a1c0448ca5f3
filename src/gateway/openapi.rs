//! OpenAPI 3.0 and 3.1 documents as files of routes: `x-palisade` at an operation says what it becomes.
//!
//! `x-palisade` at the root says what a file of routes says before its `routes`; at an operation it is a
//! route without `match`, or a list of routes that exclude one another by `when`. The action is the
//! `operationId` where it names none. Types of path parameters become forms of captures. An operation
//! without it is not mapped, so requests for it are refused.

use serde_json::{Map, Value};

use crate::gateway::place::Place;
use crate::gateway::raw::{RawFile, RawRoute, Texts};
use crate::gateway::read::{Entry, Findings, head, typed};

/// The member that holds what is ours.
const EXTENSION: &str = "x-palisade";

/// The members of a path item that are operations.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Reads a document.
pub(super) fn read(document: &Map<String, Value>, place: &Place, findings: &mut Findings) -> Vec<Entry> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        let message = format!("this is OpenAPI `{version}`; 3.0 and 3.1 are read");
        findings.errors.push(place.at(&["openapi"]).error(message));
        return Vec::new();
    }
    let ours = document.get(EXTENSION).cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let ours_at = place.at(&[EXTENSION]);
    let Some(mut file) = typed::<RawFile>(ours, &ours_at, findings) else { return Vec::new() };
    if !file.routes.is_empty() {
        findings.errors.push(ours_at.error("routes are the operations here; put others into a file of their own"));
    }
    if file.prefix.0.is_empty() {
        file.prefix = Texts(servers(document, place, findings));
    }
    let file = head(file, &ours_at, findings);
    let mut entries = Vec::new();
    let mut unmapped = 0_usize;
    let none = Map::new();
    for (path, item) in document.get("paths").and_then(Value::as_object).unwrap_or(&none) {
        let item_at = place.at(&["paths", path]);
        if item.get("$ref").is_some() {
            findings.errors.push(item_at.error(format!("`{path}` is elsewhere (`$ref`); write it here")));
            continue;
        }
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let Some(ours) = operation.get(EXTENSION) else {
                unmapped += 1;
                continue;
            };
            let place = item_at.at(&[method]);
            let Some(path) = template(document, path, item, operation, &place, findings) else { continue };
            let routes = match ours {
                Value::Array(routes) => {
                    routes.iter().enumerate().map(|(at, r)| (r, place.at(&[EXTENSION, &at.to_string()]))).collect()
                }
                one => vec![(one, place.at(&[EXTENSION]))],
            };
            for (ours, place) in routes {
                let Some(mut raw) = typed::<RawRoute>(ours.clone(), &place, findings) else { continue };
                if !raw.matches.0.is_empty() {
                    findings
                        .errors
                        .push(place.at(&["match"]).error("the operation says what is matched; leave `match` out"));
                    continue;
                }
                raw.matches = Texts(vec![format!("{} {path}", method.to_ascii_uppercase())]);
                if raw.action.is_none() && !raw.public && raw.deny.is_none() {
                    raw.action = operation.get("operationId").and_then(Value::as_str).map(str::to_owned);
                }
                entries.push(Entry { file: file.clone(), raw, place });
            }
        }
    }
    if unmapped > 0 {
        let message = format!("{unmapped} operations have no `{EXTENSION}`, so requests for them are refused");
        findings.warnings.push(place.at(&["paths"]).error(message).warning());
    }
    entries
}

/// The paths of the servers.
fn servers(document: &Map<String, Value>, place: &Place, findings: &mut Findings) -> Vec<String> {
    let mut prefixes: Vec<String> = Vec::new();
    for server in document.get("servers").and_then(Value::as_array).into_iter().flatten() {
        let url = server.get("url").and_then(Value::as_str).unwrap_or_default();
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
            None => url,
        };
        if url.contains('{') {
            let message = format!("the server `{url}` has variables; name the path in `{EXTENSION}` as `prefix`");
            findings.errors.push(place.at(&["servers"]).error(message));
            continue;
        }
        let path = path.trim_end_matches('/').to_owned();
        if !prefixes.contains(&path) {
            prefixes.push(path);
        }
    }
    prefixes
}

/// The path with the forms that its parameters have.
fn template(
    document: &Map<String, Value>,
    path: &str,
    item: &Value,
    operation: &Value,
    place: &Place,
    findings: &mut Findings,
) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    let mut whole = true;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        let bare = name.trim_end_matches('*');
        match parameter(document, item, operation, bare) {
            Some(schema) if bare == name => match form(&schema) {
                Some(form) => out.push_str(&format!("{{{name}:{form}}}")),
                None => out.push_str(&format!("{{{name}}}")),
            },
            Some(_) => out.push_str(&format!("{{{name}}}")),
            None => {
                let message = format!("`{path}` has `{{{name}}}`, and no parameter of the path is called `{bare}`");
                findings.errors.push(place.error(message).help("declare it under `parameters` with `in: path`"));
                whole = false;
            }
        }
        rest = after;
    }
    out.push_str(rest);
    whole.then_some(out)
}

/// The schema of a path parameter, if it is declared at the operation or at the path.
fn parameter(document: &Map<String, Value>, item: &Value, operation: &Value, name: &str) -> Option<Value> {
    let listed = |of: &Value| of.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    listed(operation).into_iter().chain(listed(item)).find_map(|parameter| {
        let parameter = match parameter.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.strip_prefix("#/components/parameters/")?;
                document.get("components")?.get("parameters")?.get(name)?.clone()
            }
            None => parameter,
        };
        let is_it = parameter.get("in")?.as_str()? == "path" && parameter.get("name")?.as_str()? == name;
        is_it.then(|| parameter.get("schema").cloned().unwrap_or(Value::Null))
    })
}

/// The form of a capture that a JSON Schema means.
fn form(schema: &Value) -> Option<String> {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
        return words.filter(|words| words.len() > 1).map(|words| words.join("|"));
    }
    match (text("type"), text("format")) {
        (Some("integer"), _) => Some("int".to_owned()),
        (Some("string"), Some("uuid")) => Some("uuid".to_owned()),
        _ => None,
    }
}
