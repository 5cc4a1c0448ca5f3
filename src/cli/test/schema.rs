//! The JSON Schema of files of tests, for editors and for validation elsewhere.
//!
//! It accepts all that the readers accept. It refuses unknown keys, missing ones and values of the wrong kind; what
//! only a reader can say, such as a name that two tests have, it leaves to the reader.

use serde_json::{Map, Value, json};

use crate::cli::test::yaml::FUNCTIONS;

/// What may be expected, in any case.
const WORDS: &str = "^([Aa][Ll][Ll][Oo][Ww]|[Dd][Ee][Nn][Yy]|[Ee][Rr][Rr][Oo][Rr])$";

/// What a row of `each` gives.
const PLACE: &str = "\\$\\{[^}]+\\}";

/// The JSON Schema of both forms: a YAML file is a mapping, a JSON file is an array.
#[must_use]
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tests of Cedar policies, for `palisade test`",
        "type": ["object", "array"],
        "if": {"type": "array"},
        "then": {"$ref": "#/$defs/json"},
        "else": {"$ref": "#/$defs/yaml"},
        "$defs": {
            "yaml": yaml_file(),
            "test": yaml_test(),
            "entity": yaml_entity(),
            "context": {
                "description": "The context, laid over that of `defaults` key by key; `null` takes a key out.",
                "type": ["object", "null"],
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/value"}, {"type": "null"}]},
            },
            "value": value(),
            "name": {
                "description": "An entity: `Type::id` in the namespace, or in full `Name::Space::Type::\"id\"`.",
                "type": "string",
                "pattern": format!("^([A-Za-z_][A-Za-z0-9_]*::[\\s\\S]+|{PLACE})$"),
            },
            "uid": {"anyOf": [{"$ref": "#/$defs/name"}, {"type": "object"}]},
            "expect": {
                "description": "The expected decision; `error` is a request that the schema does not allow.",
                "type": "string",
                "pattern": format!("{WORDS}|^{PLACE}$"),
            },
            "cell": {
                "description": "Requests of the test that are allowed. A part that is not named is all of the test's.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "principal": {"$ref": "#/$defs/names"},
                    "action": {"$ref": "#/$defs/actions"},
                    "resource": {"$ref": "#/$defs/names"},
                    "reason": {"description": "The policies that allow them: all of them.", "$ref": "#/$defs/texts"},
                },
            },
            "names": names("name"),
            "actions": names("action"),
            "uids": names("uid"),
            "texts": names("text"),
            "text": {"type": "string"},
            "action": {
                "description": "An action: its id, or in full `Name::Space::Action::\"id\"`.",
                "type": "string",
                "minLength": 1,
            },
            "json": {"type": "array", "items": json_test()},
        },
    })
}

/// One, a list of them, or lists in a list.
fn names(one: &str) -> Value {
    let list = match one {
        "name" => "names",
        "action" => "actions",
        "uid" => "uids",
        _ => "texts",
    };
    json!({"anyOf": [
        {"$ref": format!("#/$defs/{one}")},
        {"type": "array", "items": {"$ref": format!("#/$defs/{list}")}},
    ]})
}

/// What one request of the matrix is made of: at least one name.
fn some(names: &str, description: &str) -> Value {
    json!({"description": description, "$ref": format!("#/$defs/{names}"), "minItems": 1})
}

/// What `defaults` and tests both have.
fn request_parts() -> Map<String, Value> {
    Map::from_iter([
        ("principal".to_owned(), some("names", "The principal. A list makes a request for each.")),
        ("action".to_owned(), some("actions", "The action. A list makes a request for each.")),
        ("resource".to_owned(), some("names", "The resource. A list makes a request for each.")),
        ("context".to_owned(), json!({"$ref": "#/$defs/context"})),
        ("expect".to_owned(), json!({"$ref": "#/$defs/expect"})),
    ])
}

fn yaml_file() -> Value {
    // what the defaults do not give, each test must
    let needed: Vec<Value> = ["principal", "action", "resource", "expect"]
        .map(|key| {
            let mut each = json!({"required": [key]});
            if key == "expect" {
                each = json!({"anyOf": [each, {"required": ["allow"]}]});
            }
            json!({
                "if": {
                    "properties": {"defaults": {"type": "object", "required": [key]}},
                    "required": ["defaults"],
                },
                "else": {"properties": {"tests": {"items": each}}},
            })
        })
        .to_vec();
    json!({
        "type": "object",
        "required": ["tests"],
        "additionalProperties": false,
        "properties": {
            "namespace": {
                "description": "Put before short names; without it they are taken as they are.",
                "type": "string",
                "pattern": "^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$",
            },
            "include": {
                "description": "Files beside this one whose entities and `defaults.context` come before those here.",
                "$ref": "#/$defs/texts",
            },
            "defaults": {
                "description": "What every test of the file starts from.",
                "type": ["object", "null"],
                "properties": request_parts(),
                "additionalProperties": false,
            },
            "entities": entities("Entities that every test of the file sees in addition to those of the bundle."),
            "without": without("Entities taken out of the store for every test."),
            "tests": {"type": ["array", "null"], "items": {"$ref": "#/$defs/test"}},
        },
        "patternProperties": {"^x-": {"description": "Ignored: a place for anchors."}},
        "allOf": needed,
    })
}

fn entities(description: &str) -> Value {
    json!({"description": description, "type": ["array", "null"], "items": {"$ref": "#/$defs/entity"}})
}

fn without(description: &str) -> Value {
    json!({"description": description, "anyOf": [{"$ref": "#/$defs/uids"}, {"type": "null"}]})
}

fn yaml_test() -> Value {
    let mut keys = request_parts();
    keys.extend([
        ("name".to_owned(), json!({"description": "Unique in its file.", "type": "string"})),
        (
            "why".to_owned(),
            json!({"description": "The reason in one sentence, shown when the test fails.", "type": "string"}),
        ),
        (
            "reason".to_owned(),
            json!({
                "description": "The ids of the policies that determine the decision: all of them.",
                "$ref": "#/$defs/texts",
            }),
        ),
        (
            "errors".to_owned(),
            json!({
                "description": "How many policies fail to evaluate. Without this, none may.",
                "type": ["integer", "string"],
                "minimum": 0,
                "pattern": format!("^{PLACE}$"),
            }),
        ),
        (
            "unknown".to_owned(),
            json!({
                "description": "Whether the denial is about an entity that is not stored. Without this it fails the test.",
                "type": ["boolean", "string"],
                "pattern": format!("^{PLACE}$"),
            }),
        ),
        (
            "allow".to_owned(),
            json!({
                "description": "Which of the test's requests are allowed; every other one must be denied.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/cell"},
            }),
        ),
        (
            "each".to_owned(),
            json!({
                "description": "Rows: the test stands for one test each, in which `${name}` is what the row says.",
                "type": "array",
                "minItems": 1,
                "items": {"type": "object"},
            }),
        ),
        (
            "entities".to_owned(),
            entities("Entities for this test, in addition to those of the file and of the bundle."),
        ),
        (
            "without".to_owned(),
            without("Entities taken out of the store for this test."),
        ),
    ]);
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": keys,
        "if": {"properties": {"expect": {"pattern": "^[Ee][Rr][Rr][Oo][Rr]$"}}, "required": ["expect"]},
        "then": {"properties": {"reason": false, "errors": false}},
        "not": {"required": ["expect", "allow"]},
    })
}

fn yaml_entity() -> Value {
    json!({
        "type": "object",
        "required": ["uid"],
        "additionalProperties": false,
        "properties": {
            "uid": {"$ref": "#/$defs/uid"},
            "like": {"description": "Start from a copy of this entity.", "$ref": "#/$defs/uid"},
            "attrs": members("Attributes, merged key by key into those of `like`."),
            "unset": {"description": "Attributes of `like` to take away.", "$ref": "#/$defs/texts"},
            "parents": {
                "description": "Parents, instead of those of `like`.",
                "anyOf": [{"$ref": "#/$defs/uids"}, {"type": "null"}],
            },
            "tags": members("Tags, instead of those of `like`."),
        },
    })
}

fn members(description: &str) -> Value {
    json!({"description": description, "type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/value"}})
}

/// A Cedar value. The short forms are mappings of one key.
fn value() -> Value {
    let short = |key: &str, of: Value| json!({"if": {"type": "object", "required": [key], "maxProperties": 1}, "then": {"properties": {key: of}}});
    let mut forms: Vec<Value> = FUNCTIONS.iter().map(|name| short(name, json!({"type": "string"}))).collect();
    forms.push(short("entity", json!({"$ref": "#/$defs/uid"})));
    json!({
        "description": "A Cedar value. Short forms: `{entity: Type::id}`, `{datetime: ..}`, `{duration: ..}`, `{decimal: ..}`, `{ip: ..}`.",
        "type": ["string", "integer", "boolean", "array", "object"],
        "items": {"$ref": "#/$defs/value"},
        "additionalProperties": {"$ref": "#/$defs/value"},
        "allOf": forms,
    })
}

fn json_test() -> Value {
    let uid = json!({"description": "`Type::\"id\"`, or `{type, id}`.", "type": ["string", "object"]});
    json!({
        "type": "object",
        "required": ["request", "decision"],
        "additionalProperties": false,
        "properties": {
            "name": {"description": "Shown in the report.", "type": "string"},
            "why": {"description": "A remark, not compared.", "type": ["string", "null"]},
            "request": {
                "type": "object",
                "required": ["principal", "action", "resource"],
                "additionalProperties": false,
                "properties": {
                    "principal": uid,
                    "action": uid,
                    "resource": uid,
                    "context": {"type": ["object", "null"]},
                    "entities": {"type": ["array", "null"]},
                    "additional_entities": {"type": ["array", "null"]},
                },
            },
            "decision": {
                "description": "`error` is a request that the schema does not allow.",
                "type": "string",
                "pattern": WORDS,
            },
            "reason": {
                "description": "Ids of policies that determine the decision; there may be more.",
                "type": ["array", "null"],
                "items": {"type": "string"},
            },
            "num_errors": {
                "description": "How many policies fail to evaluate.",
                "type": ["integer", "null"],
                "minimum": 0,
            },
            "unknown": {
                "description": "Whether the denial is about an entity that is not stored. Without this it fails the test.",
                "type": "boolean",
            },
            "entities": {
                "description": "Entities instead of those of the bundle: an array, or the name of a file of them.",
                "type": ["array", "string", "null"],
            },
        },
    })
}
