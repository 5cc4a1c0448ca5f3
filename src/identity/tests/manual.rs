//! The manual says what is so.

use std::path::Path;

use crate::identity::api_tokens::ApiTokens;
use crate::identity::*;

fn manual() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/identity.md")).unwrap()
}

/// The blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn its_configurations_are_accepted() {
    let examples = blocks(&manual(), "yaml");
    assert!(examples.len() >= 6);
    for example in examples {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("palisade.yaml");
        std::fs::write(&path, &example).unwrap();
        let settings = crate::config::load(Some(&path), [], serde_json::Value::Null);
        settings.unwrap_or_else(|errors| panic!("{example}\n{errors}"));
    }
}

#[test]
fn its_api_tokens_are_read() {
    let examples = blocks(&manual(), "json");
    let [tokens] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!(ApiTokens::parse(tokens.as_bytes()).map(|tokens| tokens.len()).ok(), Some(3));
}

#[test]
fn it_lists_every_code() {
    let text = manual();
    let listed: Vec<&str> = text
        .split("| code | meaning |")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes: Vec<&str> = AuthCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, codes);
    assert!(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/identity.rs")).exists());
}
