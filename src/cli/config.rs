//! `palisade config`: the configuration as it can be, and as it is.

use std::io;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::exit::{Exit, Stop};
use crate::cli::serve::ServeArgs;
use crate::cli::terminal::Terminal;
use crate::config;

/// Flags of `palisade config`.
#[derive(Debug, Clone, Args)]
pub struct ConfigVerb {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to show.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Write the JSON Schema of palisade.yaml
    #[command(after_long_help = "Examples:\n  $ palisade config schema")]
    Schema,
    /// Write the configuration that `serve` would use with the same flags
    ///
    /// Merged from the flags, the environment, the file and the defaults. Secrets are shown as `***`.
    #[command(after_long_help = "Examples:\n  $ palisade config show --set cache.enabled=false")]
    Show(Box<ShowArgs>),
}

/// Flags of `palisade config show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
}

/// How a configuration is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// As palisade.yaml.
    #[default]
    Yaml,
    /// As JSON.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// If the configuration is wrong.
pub(super) fn run(args: &ConfigVerb, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    match &args.command {
        ConfigCommand::Schema => {
            serde_json::to_writer_pretty(&mut *terminal.out, &config::json_schema()).map_err(io::Error::from)?;
            writeln!(terminal.out)?;
        }
        ConfigCommand::Show(args) => {
            let flags = args.serve.tree()?;
            let file = args.serve.bundle.config.config.as_deref();
            let effective = config::effective(file, config::environment(), flags)
                .map_err(|errors| Stop::usage(errors.to_string()))?;
            match args.format {
                ConfigFormat::Json => {
                    serde_json::to_writer_pretty(&mut *terminal.out, &effective).map_err(io::Error::from)?;
                    writeln!(terminal.out)?;
                }
                ConfigFormat::Yaml => {
                    let text = serde_saphyr::to_string(&effective).map_err(|error| Stop::failure(error.to_string()))?;
                    terminal.out.write_all(text.as_bytes())?;
                }
            }
        }
    }
    Ok(Exit::Success)
}
