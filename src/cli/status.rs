//! `palisade status`: what a running sidecar serves, and whether it is ready.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::cli::admin::{AdminArgs, expect_admin};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::ConfigArgs;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::{OutputFormat, http};
use crate::config::ListenAddr;
use palisade_engine::model::Revision;

/// Flags of `palisade status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Wait until the sidecar serves this revision or a later one, such as the revision in the answer to a PUT
    #[arg(long, value_name = "REVISION")]
    pub wait: Option<Revision>,
    /// How long to wait for the answer or the revision, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Output format; `json` is the API's answer
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// How often it is asked while a revision is awaited.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the admin API is, and how it is asked.
struct Admin {
    address: ListenAddr,
    token: Option<String>,
    deadline: Instant,
}

/// Runs the verb. It fails where the sidecar is not ready or refused the last change, and where it does not serve the
/// awaited revision in time.
///
/// # Errors
/// If the configuration is wrong, or there is no answer.
pub(super) fn run(args: &StatusArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let (address, token) = args.admin.find(&args.config)?;
    let admin = Admin { address, token, deadline: Instant::now() + Duration::from_secs(args.timeout) };
    let (good, status) = match args.wait {
        Some(wanted) => admin.wait(wanted)?,
        None => admin.ask()?,
    };
    if args.format == OutputFormat::Json {
        serde_json::to_writer_pretty(&mut *terminal.out, &status).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    } else {
        write_tree(&status, 0, terminal)?;
    }
    let is_false = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(false);
    let refused = is_false(status.get("last_attempt").and_then(|attempt| attempt.get("ok")));
    let well = good && !refused && !is_false(status.get("ready"));
    if let Some(wanted) = args.wait.filter(|wanted| !serves(&status, *wanted)) {
        return Err(Stop::failure(format!("revision {wanted} is not served after {} s", args.timeout)));
    }
    Ok(if well { Exit::Success } else { Exit::Failure })
}

/// Whether the status is of this revision or a later one of the same run.
fn serves(status: &Value, wanted: Revision) -> bool {
    served(status).is_some_and(|served| served.incarnation == wanted.incarnation && served.counter >= wanted.counter)
}

fn served(status: &Value) -> Option<Revision> {
    status.get("revision")?.as_str()?.parse().ok()
}

// === impl Admin ===

impl Admin {
    /// The status, and whether its answer was a success.
    fn ask(&self) -> Result<(bool, Value), Stop> {
        let (address, token) = (&self.address, self.token.as_deref());
        let left = self.deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        let answer = http::get(address, "/v1/status", token, left)
            .map_err(|error| Stop::failure(format!("no answer from the admin API at {address}: {error}")))?;
        expect_admin(address, answer.status)?;
        let Ok(status) = serde_json::from_slice::<Value>(&answer.body) else {
            return Err(Stop::failure(format!("the answer of {address} (HTTP {}) is not a status", answer.status)));
        };
        Ok((answer.status == 200, status))
    }

    /// The status once it is of this revision or a later one, or the last one before the time is over.
    fn wait(&self, wanted: Revision) -> Result<(bool, Value), Stop> {
        loop {
            let asked = self.ask();
            let is_over = Instant::now() + PAUSE >= self.deadline;
            match asked {
                Ok((true, status)) if serves(&status, wanted) => return Ok((true, status)),
                // counters start again with the process, so it would be awaited for ever
                Ok((true, status)) if served(&status).is_some_and(|now| now.incarnation != wanted.incarnation) => {
                    let message = format!("revision {wanted} is of an earlier run: the sidecar was restarted since");
                    return Err(Stop::failure(message));
                }
                // not authorized, or no status: that does not change
                Ok((false, status)) if status.get("ready").is_none() => return Ok((false, status)),
                asked if is_over => return asked,
                _ => thread::sleep(PAUSE),
            }
        }
    }
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
