//! `palisade schema`: the JSON Schemas of the files that people write, and of explanations.

use std::io;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::Terminal;
use crate::cli::test;
use crate::config;

/// Flags of `palisade schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Which files
    #[arg(value_enum, value_name = "FILES")]
    pub of: Files,
}

/// Files that a JSON Schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Files {
    /// The configuration, palisade.yaml.
    Config,
    /// Routes of the gateway endpoints.
    Routes,
    /// Tests of policies, in YAML and in JSON.
    Tests,
    /// What `palisade explain --format json` and `POST /v1/explain` answer.
    Explanations,
}

/// The document that describes the HTTP API.
const OPENAPI: &str = include_str!("../../docs/openapi.yaml");

/// The schema of an explanation, as the API's document has it.
fn explanations() -> Value {
    let document: Value = serde_saphyr::from_str(OPENAPI).unwrap_or_default();
    let mut definitions = Map::new();
    let mut wanted = vec!["Explanation".to_owned()];
    while let Some(name) = wanted.pop() {
        if definitions.contains_key(&name) {
            continue;
        }
        let mut schema = document["components"]["schemas"][&name].clone();
        point_to_definitions(&mut schema, &mut wanted);
        definitions.insert(name, schema);
    }
    definitions.sort_keys();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An explanation",
        "$ref": "#/$defs/Explanation",
        "$defs": definitions,
    })
}

/// Lets references lead to `$defs`, and notes to which.
fn point_to_definitions(schema: &mut Value, wanted: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member.as_str().and_then(|to| to.strip_prefix("#/components/schemas/")).map(str::to_owned) {
                    Some(name) if key == "$ref" => {
                        *member = Value::from(format!("#/$defs/{name}"));
                        wanted.push(name);
                    }
                    _ => point_to_definitions(member, wanted),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| point_to_definitions(element, wanted)),
        _ => {}
    }
}

/// Runs the verb.
///
/// # Errors
/// If the schema cannot be written.
pub(super) fn run(args: &SchemaArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let schema = match args.of {
        Files::Config => config::json_schema(),
        Files::Routes => palisade_routes::json_schema(),
        Files::Tests => test::json_schema(),
        Files::Explanations => explanations(),
    };
    serde_json::to_writer_pretty(&mut *terminal.out, &schema).map_err(io::Error::from)?;
    writeln!(terminal.out)?;
    Ok(Exit::Success)
}
