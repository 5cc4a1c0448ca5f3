//! Where the parts of a bundle are may change while a source reads it: it reads what a process that starts would read.

use serde_json::json;

use super::*;
use crate::config;
use crate::source::Layout;

/// A source of `policies`, as `serve` has it, with what else is configured.
fn served(place: &Place, flags: serde_json::Value) -> FileSource {
    let mut flags = flags;
    flags["policies"] = json!(place.path("m"));
    let loaded = config::load(None, [], flags).unwrap();
    FileSource::found_by(move || Layout::of(&loaded).roots(false), settings())
}

/// The files of policies that are read, or what is wrong.
fn read(source: &FileSource) -> Result<Vec<String>, String> {
    let text = |problem: &Diagnostic| format!("{}: {}", problem.origin, problem.message);
    let loaded = source.load().map_err(|problems| problems.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    let name = |origin: &str| origin.rsplit("/m/").next().unwrap_or_default().to_owned();
    Ok(loaded.bundle.policies.iter().map(|policy| name(&policy.origin)).collect())
}

#[test]
fn a_directory_that_turns_into_a_bundle_directory_is_read_as_one_and_back() {
    let place = Place::new();
    place.write("m/guards/g.cedar", "forbid (principal, action, resource);");
    let source = served(&place, json!({}));
    assert_eq!(read(&source).unwrap(), ["guards/g.cedar"]);
    place.write("m/policies/p.cedar", POLICY);
    assert_eq!(read(&source).unwrap(), ["policies/p.cedar"]);
    let warnings = source.load().unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.origin.ends_with("m/guards/g.cedar")), "{warnings:?}");
    // what is saved beside `policies` is refused, not skipped
    for name in ["stop.cedar", "stop.cedar.json", "a.links.yaml", "b.rules.json"] {
        place.write(&format!("m/{name}"), "forbid (principal, action, resource);");
        let refused = read(&source).unwrap_err();
        assert!(refused.contains(name) && refused.contains("is not read: a bundle directory"), "{refused}");
        place.remove_file(&format!("m/{name}"));
    }
    for name in [".hidden.cedar", "README.md", "notes.txt", "data.json", "old.cedar~"] {
        place.write(&format!("m/{name}"), "");
    }
    assert_eq!(read(&source).unwrap(), ["policies/p.cedar"]);
    fs::remove_dir_all(place.path("m/policies")).unwrap();
    assert_eq!(read(&source).unwrap(), ["guards/g.cedar"]);
}

#[test]
fn a_bundle_directory_that_comes_late_is_read_as_one() {
    let place = Place::new();
    let source = served(&place, json!({}));
    assert!(read(&source).unwrap_err().contains("does not exist"));
    place.write("m/policies/p.cedar", POLICY);
    place.write("m/entities/e.json", "[]");
    let loaded = source.load().unwrap();
    assert_eq!((loaded.bundle.policies.len(), loaded.bundle.entities.len()), (1, 1));
}

#[test]
fn what_another_key_names_is_no_file_that_is_left_over() {
    for (entities, schema, files) in [
        ("m/e.json", None, &["m/e.json"][..]),
        ("m/ents", None, &["m/ents/e.json"]),
        ("m/e.json", Some("m/s.cedarschema"), &["m/e.json", "m/s.cedarschema"]),
        ("m/e.json", Some("m/schema.json"), &["m/e.json", "m/schema.json"]),
        ("out/e.json", None, &["out/e.json"]),
    ] {
        let place = Place::new();
        place.write("m/p.cedar", POLICY);
        for file in files {
            place.write(file, if file.contains("schema") { "// none" } else { "[]" });
        }
        let mut flags = json!({"entities": place.path(entities)});
        if let Some(schema) = schema {
            flags["schema"] = json!(place.path(schema));
        }
        let loaded = served(&place, flags).load().unwrap();
        assert_eq!(loaded.warnings, [], "{files:?}");
        place.write("m/left.json", "[]");
        let flags = json!({"entities": place.path(entities)});
        let warnings = served(&place, flags).load().unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.origin.ends_with("left.json")), "{warnings:?}");
    }
}
