//! `palisade schema`: the JSON Schemas of the files that people write.

use std::io;

use clap::{Args, ValueEnum};

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
    };
    serde_json::to_writer_pretty(&mut *terminal.out, &schema).map_err(io::Error::from)?;
    writeln!(terminal.out)?;
    Ok(Exit::Success)
}
