//! `palisade status`: what a running sidecar serves, and whether it is ready.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::{ConfigArgs, set};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::{OutputFormat, http};

/// Flags of `palisade status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address of the admin API [default: `listen.admin` of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// File of bearer tokens, of which the first is sent [default: `admin.token_file` of the configuration]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// How the status is written; `json` is the API's answer
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Runs the verb.
///
/// # Errors
/// If the configuration is wrong, or there is no answer.
pub fn run(args: &StatusArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let mut flags = args.config.tree()?;
    if let Some(address) = &args.admin_listen {
        set(&mut flags, &["listen", "admin"], Value::from(address.as_str()));
    }
    let settings = args.config.load(flags)?;
    let Some(address) = settings.listen.admin else {
        return Err(Stop::failure("the admin API is off (`listen.admin`), so there is no status to get"));
    };
    let token = match args.token_file.as_ref().or(settings.admin.token_file.as_ref()) {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| Stop::failure(format!("cannot read the token file `{}`: {error}", path.display())))?;
            // while tokens are replaced the file has several, and each is good
            let token = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Stop::failure(format!("the token file `{}` does not begin with a token", path.display())));
            }
            Some(token.to_owned())
        }
        None => settings.admin.tokens.first().map(|token| token.expose().to_owned()),
    };
    let answer = http::get(&address, "/v1/status", token.as_deref(), Duration::from_secs(args.timeout))
        .map_err(|error| Stop::failure(format!("no answer from the admin API at {address}: {error}")))?;
    let Ok(status) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(Stop::failure(format!("the answer of {address} (HTTP {}) is not a status", answer.status)));
    };
    if args.format == OutputFormat::Json {
        serde_json::to_writer_pretty(&mut *terminal.out, &status).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    } else {
        write_tree(&status, 0, terminal)?;
    }
    let ready = answer.status == 200 && status.get("ready").and_then(Value::as_bool) != Some(false);
    Ok(if ready { Exit::Success } else { Exit::Failure })
}

/// Members as indented lines.
fn write_tree(value: &Value, depth: usize, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let Value::Object(members) = value else { return writeln!(terminal.out, "{}", scalar(value)) };
    let width = members.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    let pad = "  ".repeat(depth);
    for (key, value) in members {
        write!(terminal.out, "{pad}{}", toned(format_args!("{key:<width$}"), Tone::Faint, terminal.color))?;
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                writeln!(terminal.out)?;
                write_tree(value, depth + 1, terminal)?;
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                writeln!(terminal.out)?;
                for item in items {
                    write_tree(item, depth + 1, terminal)?;
                }
            }
            Value::Bool(truth) => {
                let tone = if *truth { Tone::Good } else { Tone::Bad };
                // whether a flag is good news is only known of this one
                writeln!(terminal.out, "  {}", toned(truth, tone, terminal.color && key == "ready"))?;
            }
            _ => writeln!(terminal.out, "  {}", scalar(value))?,
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
