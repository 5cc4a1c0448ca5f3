//! `docs/openapi.yaml` and `docs/api.md` are true: the endpoints are those of the router, every example is
//! answered as documented with nothing undocumented in it, and every error code is listed.

use std::collections::BTreeSet;
use std::path::Path;

use palisade::telemetry::Listener;
use palisade::transport::ENDPOINTS;
use serde_json::{Value, json};

use crate::layers::rust_files;
use crate::support::{Response, Server, fleet};

const METHODS: &[&str] = &["get", "put", "post", "patch", "delete"];

fn document() -> Value {
    let text = std::fs::read_to_string(Server::project("docs/openapi.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Method, path and operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| Some((*method, path.as_str(), item.get(method)?)))
        })
        .collect()
}

/// What `value` stands for, if it is a reference.
fn follow<'v>(document: &'v Value, value: &'v Value) -> &'v Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

/// Every object of the schema lists all its members: an answer with any other is not as documented.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        _ => {}
    }
}

#[track_caller]
fn fits(document: &Value, schema: &Value, value: &Value, what: &str, closed: bool) {
    let mut whole = json!({ "allOf": [schema], "components": { "schemas": document["components"]["schemas"] } });
    if closed {
        close(&mut whole);
    }
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", whole).unwrap();
    let schema = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|fault| panic!("{what}: {fault:#}"));
    schemas.validate(value, schema).unwrap_or_else(|fault| panic!("{what}: {fault:#} in {value:#}"));
}

/// The sidecar that the examples are addressed to.
pub(crate) fn server() -> Server {
    let mut flags = fleet();
    flags["routes"] = json!(Server::project("routes"));
    flags["coverage"] = json!({ "sample": 1_000 });
    flags["authzen"] =
        json!({ "base_url": "https://pdp.example.com", "namespace": "Fleet", "types": { "user": "User" } });
    Server::ready(flags)
}

/// The path with the examples of its parameters.
fn filled(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let path = path.to_owned() + operation["x-query"].as_str().unwrap_or_default();
    parameters.filter(|parameter| parameter["in"] == "path").fold(path, |path, parameter| {
        let example = parameter["example"].as_str().unwrap_or_else(|| panic!("{path}: no example of {parameter}"));
        let encoded: String = example.bytes().map(|byte| format!("%{byte:02X}")).collect();
        path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &encoded)
    })
}

fn send(server: &Server, method: &str, path: &str, operation: &Value, body: Option<&Value>) -> Response {
    let listener = ENDPOINTS.iter().find(|endpoint| endpoint.path == path).unwrap().listeners[0];
    let mut client = if listener == Listener::Decisions { server.client() } else { server.admin() };
    let text = body.map(Value::to_string).unwrap_or_default();
    let headers: &[(&str, &str)] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
    client.send(&method.to_uppercase(), &filled(path, operation), headers, text.as_bytes())
}

/// An answer with every revision the same.
pub(crate) fn timeless(value: &Value) -> Value {
    let mut value = value.clone();
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    if key == "revision" && member.is_string() { *member = json!("a revision") } else { walk(member) }
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[track_caller]
fn as_documented(document: &Value, operation: &Value, answer: &Response, name: &str, what: &str) {
    let response = follow(document, &operation["responses"][answer.status.to_string()]);
    assert!(response["description"].is_string(), "{what}: {} is not documented: {}", answer.status, answer.text());
    for (header, spec) in response["headers"].as_object().into_iter().flatten() {
        if follow(document, spec)["required"] == true {
            assert!(answer.header(&header.to_lowercase()).is_some(), "{what}: no {header}");
        }
    }
    let media_type = answer.header("content-type").unwrap().split(';').next().unwrap();
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{what}: {media_type} is not documented for {}", answer.status);
    if media_type.starts_with("text/") {
        return;
    }
    fits(document, &content["schema"], &answer.json(), what, true);
    let example = &content["examples"][name]["value"];
    if !example.is_null() {
        assert_eq!(timeless(&answer.json()), timeless(example), "{what}: the answer is not the one in the document");
    }
}

#[test]
fn the_document_lists_the_endpoints() {
    let document = document();
    let documented: BTreeSet<(String, String)> =
        operations(&document).iter().map(|(method, path, _)| (method.to_uppercase(), (*path).to_owned())).collect();
    let served: BTreeSet<(String, String)> =
        ENDPOINTS.iter().map(|endpoint| (endpoint.method.to_string(), endpoint.path.to_owned())).collect();
    assert_eq!(documented, served);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let ids: BTreeSet<&str> =
        operations(&document).iter().map(|(_, _, op)| op["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), ENDPOINTS.len(), "operation ids are unique");
}

#[test]
fn every_reference_resolves() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                follow(document, value);
                members.values().for_each(|member| walk(document, member));
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(document, element)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
    // and nothing is there that is never used
    let text = document.to_string();
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(text.contains(&format!("#/components/{kind}/{name}\"")), "{kind}/{name} is not used");
        }
    }
}

#[test]
fn every_example_is_answered_as_documented() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        // of its own: an example may replace the bundle
        let server = server();
        let request = &operation["requestBody"]["content"]["application/json"];
        if request.is_null() {
            let what = format!("{method} {path}");
            let answer = send(&server, method, path, operation, None);
            let expected = operation["x-status"].as_u64().unwrap_or(200);
            assert_eq!(u64::from(answer.status), expected, "{what}: {}", answer.text());
            let examples = operation["responses"]["200"]["content"]["application/json"]["examples"].as_object();
            let name = examples.and_then(|examples| examples.keys().next()).map_or("", String::as_str);
            as_documented(&document, operation, &answer, name, &what);
            continue;
        }
        let examples = request["examples"].as_object().unwrap_or_else(|| panic!("{path} has no examples"));
        for (name, example) in examples {
            let what = format!("{method} {path}, example `{name}`");
            let expected = example["x-status"].as_u64().unwrap_or(200);
            if expected == 200 {
                fits(&document, &request["schema"], &example["value"], &what, false);
            }
            let answer = send(&server, method, path, operation, Some(&example["value"]));
            assert_eq!(u64::from(answer.status), expected, "{what}: {}", answer.text());
            as_documented(&document, operation, &answer, name, &what);
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (media_type, content) in follow(&document, response)["content"].as_object().unwrap() {
                for (name, example) in content["examples"].as_object().into_iter().flatten() {
                    let what = format!("{method} {path}, answer `{name}`");
                    assert!(examples.contains_key(name), "{what} belongs to no request");
                    assert!(status.len() == 3 && media_type.contains("json"));
                    fits(&document, &content["schema"], &example["value"], &what, true);
                }
            }
        }
    }
}

#[test]
fn what_goes_wrong_is_documented_too() {
    let document = document();
    let unready = Server::start(json!({}));
    for (method, path, operation) in operations(&document) {
        let what = format!("{method} {path} before the first bundle");
        let example = operation["requestBody"]["content"]["application/json"]["examples"]
            .as_object()
            .and_then(|e| e.values().next());
        let answer = send(&unready, method, path, operation, example.map(|example| &example["value"]));
        as_documented(&document, operation, &answer, "", &what);
        if operation["requestBody"].is_object() {
            let text = "not json";
            let what = format!("{method} {path} with no JSON");
            let mut client = if path.starts_with("/access") || path.contains("is_auth") {
                unready.client()
            } else {
                unready.admin()
            };
            let answer = client.send(
                &method.to_uppercase(),
                &filled(path, operation),
                &[("content-type", "application/json")],
                text.as_bytes(),
            );
            assert_eq!(answer.status, 400, "{what}");
            as_documented(&document, operation, &answer, "", &what);
        }
    }
}

/// The codes that the source gives to errors.
fn codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for module in ["src/transport", "crates/palisade-engine/src", "src/decide"] {
        for path in rust_files(&Server::project(module)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = without_tests(&path, &text);
            let text: String = code.chars().filter(|c| !c.is_whitespace()).collect();
            let mut add = |after: &str| {
                if let Some((word, rest)) = after.split_once('"')
                    && !word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                {
                    codes.insert(word.to_owned());
                    return Some(rest.to_owned());
                }
                None
            };
            for call in ["RequestError::new(\"", "bad_request(\""] {
                text.split(call).skip(1).for_each(|after| drop(add(after)));
            }
            for after in text.split("::new(StatusCode::").skip(1) {
                if let Some((_, after)) = after.split_once(",\"") {
                    add(after);
                }
            }
            // codes chosen in a table: ("code", "/pointer")
            for after in text.split("(\"").skip(1) {
                let is_pair = after.split_once("\",\"").is_some_and(|(word, rest)| {
                    word.contains('_')
                        && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                        && (rest.starts_with('/') || rest.starts_with("\")"))
                });
                if is_pair {
                    add(after);
                }
            }
        }
    }
    codes
}

fn without_tests<'t>(path: &Path, text: &'t str) -> &'t str {
    if path.ends_with("tests.rs") { "" } else { text.split("#[cfg(test)]").next().unwrap_or_default() }
}

#[test]
fn every_error_code_is_listed() {
    let codes = codes();
    assert!(codes.len() > 20 && codes.contains("invalid_bundle") && codes.contains("unknown_type"), "{codes:?}");
    let document = document();
    let documented: BTreeSet<String> = document["components"]["schemas"]["Code"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(documented, codes, "docs/openapi.yaml, schema `Code`");
    let guide = std::fs::read_to_string(Server::project("docs/api.md")).unwrap();
    let section = guide.split("\n## Errors\n").nth(1).expect("docs/api.md has `## Errors`");
    let listed: BTreeSet<String> =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    assert_eq!(listed, codes, "the table in docs/api.md");
}
