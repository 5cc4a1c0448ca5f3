//! What is read, and what it is called.

use std::fs;
use std::time::Instant;

use super::{POLICY, Place, settings};
use crate::source::{FileSettings, FileSource, Roots, Source};
use palisade_engine::model::PolicyNaming;

#[test]
fn reads_a_bundle_directory() {
    let place = Place::new();
    place.write("policies/autopi/devices.cedar", POLICY);
    place.write("policies/autopi.cedar", POLICY);
    place.write("policies/main.cedarschema", "entity A;");
    place.write("policies/more.cedarschema", "entity B;");
    place.write("policies/tests/case.cedar", "not read");
    place.write("policies/autopi/tests/deep.cedar", POLICY);
    place.write("policies/README.md", "not read");
    place.write("policies/links.json", "not read");
    place.write("entities/z.json", "[]");
    place.write("entities/a/b.ndjson", "");
    place.write("entities/a/x.cedarschema.json", "not read");
    let bundle = place.load().unwrap();

    let stems: Vec<_> = bundle.policies.iter().map(|policy| policy.naming.clone()).collect();
    let expected = ["autopi", "autopi/devices", "autopi/tests/deep", "base"];
    assert_eq!(stems, expected.map(|stem| PolicyNaming::Stem(stem.to_owned())));
    let root = place.path("policies").display().to_string();
    assert_eq!(bundle.policies[1].origin, format!("{root}/autopi/devices.cedar"));
    assert_eq!(bundle.policies[1].text, POLICY);
    let fragments = bundle.schema.unwrap().fragments;
    assert_eq!(fragments[0], (format!("{root}/main.cedarschema"), "entity A;".to_owned()));
    assert_eq!(fragments.len(), 2);
    let documents: Vec<_> = bundle.entities.iter().map(|d| d.origin.rsplit_once("/entities/").unwrap().1).collect();
    assert_eq!(documents, ["a/b.ndjson", "z.json"]);
}

/// A schema may lie at the top of the policies or beside them, under some names, once and in one form.
#[test]
fn a_schema_is_found_where_people_put_it() {
    const CEDAR: &str = "entity A;";
    let found = |files: &[(&str, &str)]| {
        let place = Place::new();
        files.iter().for_each(|(path, text)| place.write(path, text));
        let loaded = place.files_with(settings(), |roots| roots.with_schema_beside(place.path(""))).load();
        let root = format!("{}/", place.path("").display()).replace("//", "/");
        let short = |text: String| text.replace(&root, "").replace("./", "");
        loaded
            .map(|loaded| {
                let fragments = loaded.bundle.schema.map_or(Vec::new(), |schema| schema.fragments);
                fragments.into_iter().map(|(origin, _)| short(origin)).collect::<Vec<_>>().join(" ")
            })
            .map_err(|problems| short(problems[0].to_string()))
    };
    for path in [
        "policies/cedarschema",
        "policies/cedarschema.json",
        "policies/x.cedarschema",
        "policies/x.cedarschema.json",
        "cedarschema",
        "cedarschema.json",
        "schema.cedarschema",
        "x.cedarschema",
        "x.cedarschema.json",
    ] {
        let text = if path.ends_with(".json") { "{}" } else { CEDAR };
        assert_eq!(found(&[(path, text)]).as_deref(), Ok(path));
    }
    for path in ["schema.cedar", "sub/x.cedarschema", "schema.json", ".x.cedarschema"] {
        assert_eq!(found(&[(path, CEDAR)]).as_deref(), Ok(""), "{path}");
    }
    for (first, second) in [
        ("policies/x.cedarschema", "cedarschema"),
        ("policies/x.cedarschema.json", "x.cedarschema.json"),
        ("a.cedarschema", "b.cedarschema"),
        ("policies/x.cedarschema", "policies/x.cedarschema.json"),
    ] {
        let text = |path: &str| if path.ends_with(".json") { "{}" } else { CEDAR };
        let problem = found(&[(first, text(first)), (second, text(second))]).unwrap_err();
        assert!(problem.contains(first) && problem.contains(second), "{problem}");
    }
}

/// A link of a file is the link that a bundle has, and its problems name its line.
#[test]
fn links_of_files_are_links_of_the_bundle() {
    let place = Place::new();
    place.write("policies/a/b.links.yaml", "- template: t\n  principal: U::\"a\"\n");
    place.write("policies/x.links.json", r#"[{"template": "t", "id": "x", "principal": {"type": "U", "id": "b"}}]"#);
    place.write("policies/tests/x.links.yaml", "not read");
    place.write("entities/y.links.json", "[]");
    let loaded = place.files(settings()).load().unwrap();
    let links: Vec<_> = loaded.bundle.links.iter().map(|link| (&*link.link_id, &*link.args[0].1)).collect();
    assert_eq!(links, [("a/b.links.0", "U::\"a\""), ("x", "U::\"b\"")]);
    assert_eq!((loaded.bundle.entities.len(), loaded.warnings.len()), (1, 1), "{:?}", loaded.warnings);
    for (text, expected) in [
        ("", "x.links.yaml: this file is empty"),
        ("# none", "x.links.yaml: there is no link in this file"),
        ("- template: t\n  to: me", "x.links.yaml:2: unknown member `to`"),
    ] {
        place.write("policies/x.links.yaml", text);
        let problems = place.load().unwrap_err();
        assert!(problems[0].to_string().contains(expected), "{text}: {}", problems[0]);
    }
}

#[test]
fn names_that_are_not_the_authors_are_skipped() {
    let place = Place::new();
    for name in
        [".hidden.cedar", "base.cedar~", ".base.cedar.swp", "4913", "#base.cedar#", ".git/x.cedar", "base.cedar.bak"]
    {
        place.write(&format!("policies/{name}"), b"\xff");
    }
    assert_eq!(place.load().unwrap().policies.len(), 1);
}

#[test]
fn the_order_of_creation_does_not_matter() {
    let names = ["a/b.cedar", "a.cedar", "b.cedar", "a/a.cedar", "z/y/x.cedar", "a-b.cedar", "B.cedar"];
    let place = Place::new();
    let mut digests = Vec::new();
    for shuffle in 0..12 {
        for root in ["policies", "entities"] {
            let _ = fs::remove_dir_all(place.path(root));
        }
        for i in 0..names.len() {
            let name = names[(i * (shuffle % 6 + 1) + shuffle) % names.len()];
            place.write(&format!("policies/{name}"), name);
            place.write(&format!("entities/{name}.json"), name);
        }
        digests.push(place.files(settings()).load().unwrap().digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn a_root_may_be_a_single_file() {
    let place = Place::new();
    place.write("rules.txt", POLICY);
    place.write("data", "[]");
    place.write("types.txt", "entity A;");
    let source = FileSource::new(place.path("rules.txt"), Some(place.path("data")), settings());
    let bundle = source.load().unwrap().bundle;
    assert_eq!(bundle.policies[0].naming, PolicyNaming::Stem("rules.txt".to_owned()));
    assert_eq!(bundle.policies[0].origin, place.path("rules.txt").display().to_string());
    assert_eq!(bundle.entities[0].as_held(), Some(&b"[]"[..]));
    assert_eq!(bundle.schema, None);

    let source = FileSource::new(place.path("policies/base.cedar"), None, settings());
    assert_eq!(source.load().unwrap().bundle.policies[0].naming, PolicyNaming::Stem("base".to_owned()));
    let roots = Roots::of_policies(place.path("policies/base.cedar")).with_schema(place.path("types.txt"));
    let source = FileSource::of(roots, settings());
    assert_eq!(source.load().unwrap().bundle.schema.unwrap().fragments[0].1, "entity A;");
}

#[test]
fn a_schema_from_elsewhere_takes_the_place_of_the_one_beside() {
    let place = Place::new();
    place.write("policies/here.cedarschema", "entity Here;");
    place.write("types/there.cedarschema", "entity There;");
    let source = place.files_with(settings(), |roots| roots.with_schema(place.path("types")));
    let fragments = source.load().unwrap().bundle.schema.unwrap().fragments;
    assert_eq!(fragments.len(), 1);
    assert_eq!(fragments[0].1, "entity There;");
}

#[test]
fn a_schema_that_is_not_read_is_reported() {
    let place = Place::new();
    place.write("policies/deep/x.cedarschema", "entity A;");
    let loaded = place.files(settings()).load().unwrap();
    assert_eq!(loaded.bundle.schema, None);
    assert!(loaded.warnings[0].origin.ends_with("policies/deep/x.cedarschema"), "{:?}", loaded.warnings);
}

#[test]
fn missing_entities_are_an_error_only_where_they_are_required() {
    let place = Place::new();
    assert!(place.load().unwrap().entities.is_empty());
    let required = FileSettings { entities_required: true, ..settings() };
    let problems = place.files(required).load().unwrap_err();
    assert!(problems[0].origin.ends_with("entities") && problems[0].message.contains("does not exist"), "{problems:?}");
}

#[test]
fn links_within_the_root_are_followed() {
    let place = Place::new();
    place.write("policies/store/x.cedar", POLICY);
    place.link("store", "policies/other");
    place.link("store/x.cedar", "policies/one.cedar");
    fs::hard_link(place.path("policies/base.cedar"), place.path("policies/hard.cedar")).unwrap();
    place.rename("policies", "real");
    place.link("real", "policies");
    let stems: Vec<_> = place.load().unwrap().policies.into_iter().map(|p| p.naming).collect();
    let expected = ["base", "hard", "one", "other/x", "store/x"];
    assert_eq!(stems, expected.map(|stem| PolicyNaming::Stem(stem.to_owned())));
}

#[test]
fn many_files_load_quickly() {
    let place = Place::new();
    for i in 0..2_000 {
        place.write(&format!("entities/{}/{i}.json", i % 20), "[]");
    }
    let start = Instant::now();
    assert_eq!(place.load().unwrap().entities.len(), 2_000);
    assert!(start.elapsed().as_secs() < 5);
}
