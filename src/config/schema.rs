//! The published JSON Schema, and what follows from it: unknown keys, and type errors in plain words.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::raw::RawConfig;
use crate::config::tree::{Path, Tree, shown};
use crate::config::{Problem, Secret};
use palisade_engine::model::{closest, near};

/// The JSON Schema of `palisade.yaml`, for editors and for validation elsewhere: a key without a value has its default.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = reader_schema();
    allow_nothing(&mut schema, &mut Path::new());
    schema
}

/// Lets every member be `null`, but for those that must be there and those that guard something.
fn allow_nothing(schema: &mut Value, path: &mut Path) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> = required.filter_map(|key| key.as_str().map(str::to_owned)).collect();
    for (key, below) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        path.push(key.clone());
        allow_nothing(below, path);
        let is_guard = path.len() > 1 && crate::config::GUARDS.iter().any(|guard| path.iter().eq(guard.iter()));
        if required.contains(key) || is_guard {
            refuse_null(below);
        } else {
            let whole = below.take();
            *below = or_null(whole);
        }
        path.pop();
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            path.push("[]".to_owned());
            allow_nothing(inner, path);
            path.pop();
        }
    }
}

fn refuse_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
    }
}

/// The schema, which `null` fits too.
fn or_null(mut schema: Value) -> Value {
    let closed = ["enum", "oneOf", "anyOf", "const"].iter().any(|key| schema.get(key).is_some());
    match schema.get_mut("type") {
        Some(Value::Array(types)) if !closed => {
            if !types.iter().any(|kind| kind == "null") {
                types.push(Value::from("null"));
            }
            schema
        }
        Some(kind @ Value::String(_)) if !closed => {
            *kind = Value::Array(vec![kind.take(), Value::from("null")]);
            schema
        }
        None if !closed => schema,
        _ => {
            // what describes it stays where editors look for it
            let mut around = serde_json::Map::new();
            for key in ["description", "default"] {
                if let Some(value) = schema.as_object_mut().and_then(|members| members.remove(key)) {
                    around.insert(key.to_owned(), value);
                }
            }
            around.insert("anyOf".to_owned(), Value::Array(vec![schema, serde_json::json!({"type": "null"})]));
            Value::Object(around)
        }
    }
}

/// The same as the reader follows it, once what is `null` is taken away.
pub(super) fn reader_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<RawConfig>().to_value()
}

/// The schema of the member `key` of the object that `schema` describes.
pub(super) fn member<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let listed = schema.get("properties").and_then(|properties| properties.get(key));
    listed.or_else(|| schema.get("additionalProperties").filter(|any| any.is_object()))
}

/// The paths of all keys, sections included, in the schema's order.
pub(super) fn all_paths(schema: &Value) -> Vec<Path> {
    fn walk(schema: &Value, above: &Path, out: &mut Vec<Path>) {
        for (key, below) in properties(schema) {
            let mut path = above.clone();
            path.push(key.clone());
            out.push(path.clone());
            walk(below, &path, out);
        }
    }
    let mut out = Vec::new();
    walk(schema, &Path::new(), &mut out);
    out
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Takes keys that the schema does not know, and sections that are no mappings, out of the tree and reports each.
///
/// The latter here, because a struct would be read from a list too, by position.
pub(super) fn report_unknown_keys(tree: &mut Tree, schema: &Value, problems: &mut Vec<Problem>) {
    fn walk(node: &Value, schema: &Value, path: &mut Path, all: &[Path], out: &mut Vec<(Path, String)>) {
        let Value::Object(members) = node else {
            out.push((path.clone(), format!("must be {}, not {}", expected(schema), kind(node))));
            return;
        };
        for (key, value) in members {
            path.push(key.clone());
            match member(schema, key) {
                Some(below) if types(below).contains(&"object") => walk(value, below, path, all, out),
                Some(below) => walk_items(value, below, path, all, out),
                None => out.push((path.clone(), format!("unknown key; {}", hint(path, schema, all)))),
            }
            path.pop();
        }
    }
    fn walk_items(node: &Value, schema: &Value, path: &mut Path, all: &[Path], out: &mut Vec<(Path, String)>) {
        let mappings = schema.get("items").filter(|items| types(items).contains(&"object"));
        let (Value::Array(items), Some(schema)) = (node, mappings) else { return };
        // an item that is no mapping is for the reader to report
        for (i, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
            path.push(i.to_string());
            walk(item, schema, path, all, out);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(&tree.value, schema, &mut Path::new(), &all_paths(schema), &mut found);
    for (path, message) in found {
        problems.push(Problem::new(tree.origin(&path), shown(&path), message));
        tree.remove(&path);
    }
}

/// Keys that are called otherwise elsewhere, and ours for them, which no letters show.
const CALLED_OTHERWISE: [(&[&str], &[&str]); 6] = [
    (&["decision_log", "path"], &["decision_log", "sink"]),
    (&["decision_log", "file"], &["decision_log", "sink"]),
    (&["decision_log", "output"], &["decision_log", "sink"]),
    (&["store", "file"], &["store", "path"]),
    (&["log", "verbosity"], &["log", "level"]),
    (&["listen", "http"], &["listen", "decisions"]),
];

/// What the unknown key at `path`, in the section that `schema` describes, may have been meant to be.
fn hint(path: &[String], schema: &Value, all: &[Path]) -> String {
    let key = path.last().map(String::as_str).unwrap_or_default();
    let called = CALLED_OTHERWISE.iter().find(|(other, _)| path.iter().eq(other.iter()));
    if let Some((_, ours)) = called {
        return format!("did you mean `{}`?", ours.join("."));
    }
    if let Some(near) = closest(key, properties(schema).map(|(key, _)| key.as_str())) {
        return format!("did you mean `{near}`?");
    }
    if let Some(elsewhere) = all.iter().find(|path| path.last().is_some_and(|last| last == key)) {
        return format!("did you mean `{}`?", shown(elsewhere));
    }
    let siblings: Vec<String> = properties(schema).map(|(key, _)| key.clone()).collect();
    format!("the keys here are {}", list(&siblings, "and"))
}

/// Reads the tree. What has the wrong type is reported and left out, until the rest can be read.
pub(super) fn deserialize(tree: &mut Tree, schema: &Value, problems: &mut Vec<Problem>) -> RawConfig {
    loop {
        let error = match serde_path_to_error::deserialize::<_, RawConfig>(&tree.value) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let path = path_of(error.path());
        let message = message(&path, tree.get(&path), schema, error.inner());
        let origin = tree.origin(&path);
        problems.push(Problem::new(origin, shown(&path), message));
        if path.is_empty() || tree.remove(&path).is_none() {
            return RawConfig::default();
        }
    }
}

fn path_of(path: &serde_path_to_error::Path) -> Path {
    use serde_path_to_error::Segment;
    path.iter()
        .map_while(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            // a word that is no variant: the path ends at the word
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Says what was expected and what was found. Messages of our own types already do.
fn message(path: &Path, found: Option<&Value>, schema: &Value, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let from_serde = ["invalid type", "invalid value", "unknown variant"].iter().any(|start| said.starts_with(start));
    let at = path.iter().try_fold(schema, |schema, key| member(schema, key).or_else(|| schema.get("items")));
    let (true, Some(schema), Some(found)) = (from_serde, at, found) else {
        return said;
    };
    let words = words(schema);
    if words.is_empty() {
        let hint = match (found, types(schema).contains(&"string")) {
            (Value::Number(_) | Value::Bool(_), true) => "; put it in quotes if it is meant as text",
            (Value::String(text), false) if would_fit(text, schema) => "; write it without quotes",
            _ => "",
        };
        // a secret is not repeated
        let is_secret = schema.get("writeOnly") == Some(&Value::Bool(true));
        let found = match found {
            _ if is_secret => "a single value".to_owned(),
            Value::String(_) if !hint.is_empty() => format!("the text {}", kind(found)),
            _ => kind(found),
        };
        return format!("must be {}, not {found}{hint}", expected(schema));
    }
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let hint = found.as_str().map(|found| near::hint(found, words.iter().copied())).unwrap_or_default();
    format!("must be {}, not {}{hint}", list(&quoted, "or"), kind(found))
}

/// Whether a text would be what is wanted without the quotes around it.
fn would_fit(text: &str, schema: &Value) -> bool {
    let types = types(schema);
    (types.contains(&"boolean") && ["true", "false"].contains(&text))
        || (types.contains(&"integer") && text.parse::<u64>().is_ok())
}

/// The words that a closed set allows; empty for other schemas.
fn words(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    // one that may be left out
    let optional = match schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one, other]) if types(other) == ["null"] => words(one),
        _ => Vec::new(),
    };
    listed.chain(described.filter_map(|one| one.get("const")?.as_str())).chain(optional).collect()
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether nothing but text is meant, so that an environment variable needs no YAML quotes.
pub(super) fn is_text(schema: &Value) -> bool {
    let types = types(schema);
    types.contains(&"string") && !types.contains(&"integer") && words(schema).is_empty()
        // an address that may be left out
        || schema.get("anyOf").and_then(Value::as_array).is_some_and(|any| any.iter().any(is_text))
}

fn expected(schema: &Value) -> String {
    let types = types(schema);
    if types.contains(&"object") {
        let keys: Vec<String> = properties(schema).map(|(key, _)| key.clone()).collect();
        if keys.is_empty() { "a mapping".to_owned() } else { format!("a mapping with the keys {}", list(&keys, "and")) }
    } else if types.contains(&"array") {
        "a list".to_owned()
    } else if types.contains(&"boolean") {
        "`true` or `false`".to_owned()
    } else if types.contains(&"integer") && !types.contains(&"string") {
        let least = schema.get("minimum").and_then(Value::as_u64).unwrap_or(0);
        match schema.get("maximum").and_then(Value::as_u64) {
            Some(most) => format!("a whole number from {least} to {most}"),
            None => format!("a whole number of at least {least}"),
        }
    } else if types.contains(&"integer") && schema.get("pattern").is_some() {
        "a size such as `64MiB`".to_owned()
    } else if types.contains(&"integer") {
        "a duration such as `250ms` or `10s`".to_owned()
    } else {
        "text".to_owned()
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        // text that is as long as a token may be one, at a wrong place
        Value::String(text) if text.len() < Secret::LEAST => format!("`{text}`"),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// `a, b and c`.
fn list(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} {word} {last}", front.join(", ")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config;

    #[test]
    fn the_published_schema_takes_nothing_where_the_reader_does() {
        let schema = json_schema();
        let issuer =
            json!({"issuer": "i", "audiences": ["a"], "jwks": {"file": "f"}, "claims": {"principal": "U::\"{sub}\""}});
        let identity = |key: &str| {
            let mut issuer = issuer.clone();
            issuer[key] = Value::Null;
            json!({"identity": {"issuers": [issuer]}})
        };
        let mut documents: Vec<Value> = all_paths(&reader_schema())
            .iter()
            .map(|path| path.iter().rev().fold(Value::Null, |below, key| json!({ key.as_str(): below })))
            .collect();
        documents.extend(issuer.as_object().unwrap().keys().map(|key| identity(key)));
        documents.extend([
            identity("leeway"),
            json!({"identity": {"issuers": [null]}}),
            json!({"validation": "of"}),
            json!({}),
        ]);
        let mut taken = 0;
        for document in documents {
            let text = document.to_string();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, &text).unwrap();
            let read = config::load(Some(file.path()), [], Value::Null);
            let fits = conforms(&schema, &document);
            // what else is wrong with a document, such as a file that is not there, no schema can say
            let about_null = |error: &config::ConfigErrors| {
                error.to_string().contains("no value")
                    || error.to_string().contains("null")
                    || error.to_string().contains("`of`")
                    || error.to_string().contains("missing field")
            };
            match (&read, &fits) {
                (Ok(_), Ok(())) => taken += 1,
                (Err(error), Ok(())) => assert!(!about_null(error), "{text}: {error}"),
                (Err(_), Err(_)) => {}
                (Ok(_), Err(fault)) => panic!("{text}: {fault}"),
            }
        }
        assert!(taken > 60, "{taken}");
    }

    /// Holds a document to a JSON Schema.
    pub(crate) fn conforms(schema: &Value, document: &Value) -> Result<(), String> {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("schema.json", schema.clone()).unwrap();
        let schema = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|fault| panic!("{fault:#}"));
        schemas.validate(document, schema).map_err(|fault| format!("{fault:#}"))
    }
}
