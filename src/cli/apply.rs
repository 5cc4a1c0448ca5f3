//! `palisade apply`: sends a file of changes to a running sidecar, as one transaction.

mod refused;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::admin::{AdminArgs, expect_admin};
use crate::cli::apply::refused::{BEFORE_ARRAY, Sent};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::ConfigArgs;
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, http};
use palisade_engine::model::count;

/// Flags of `palisade apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// File of changes: JSON as `POST /v1/changes` takes it, an array of changes, or one change a line; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Try the changes, and make none of them
    #[arg(long)]
    pub dry_run: bool,
    /// What happens to references at what is deleted [default: `dangling` of the file, else `refuse`]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub dangling: Option<DanglingFlag>,
    /// Make the changes only while the sidecar serves this revision
    #[arg(long, value_name = "REVISION")]
    pub if_match: Option<palisade_engine::model::Revision>,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Output format; `json` is the API's answer
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// What happens to references at what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DanglingFlag {
    /// The changes are refused
    Refuse,
    /// They are removed where what holds them may be without
    Unlink,
    /// The same, and what cannot be without is deleted too
    Cascade,
    /// They stay
    Keep,
}

impl DanglingFlag {
    fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Unlink => "unlink",
            Self::Cascade => "cascade",
            Self::Keep => "keep",
        }
    }
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Warnings that are shown; the answer may have more.
const SHOWN: usize = 20;

/// Bodies from here on are sent with a bar.
const LARGE: usize = 4 << 20;

/// Runs the verb. It fails where the changes are refused.
///
/// # Errors
/// If the configuration is wrong, the file cannot be read, or there is no answer.
pub(super) fn run(args: &ApplyArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let (address, token) = args.admin.find(&args.config)?;
    let shown = args.file.display();
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        terminal.stdin.read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(&args.file)
    };
    let text = text.map_err(|error| Stop::failure(format!("cannot read `{shown}`: {error}")))?;
    if text.trim().is_empty() {
        let help = "write one change a line, such as `{\"delete\": \"User::\\\"ann\\\"\"}`, or `[]` for none";
        return Err(Stop::failure(format!("there is no change in `{shown}`: {help}")));
    }
    let (body, media) = body(text);
    let dangling = args.dangling.map(|what| format!("&dangling={}", what.word())).unwrap_or_default();
    let path = format!("/v1/changes?dry_run={}{dangling}", args.dry_run);
    let bar = (body.len() >= LARGE && io::stderr().is_terminal()).then(|| {
        let style = ProgressStyle::with_template("sending changes {wide_bar} {bytes} of {total_bytes}, {eta} left");
        ProgressBar::new(body.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let sent = |bytes: usize| {
        if let Some(bar) = &bar {
            bar.set_position(bytes as u64);
        }
    };
    let if_match = args.if_match.map(|revision| ("If-Match", format!("\"{revision}\"")));
    let request = http::Post { path: &path, media, body: body.as_bytes(), header: if_match, sent: &sent };
    let answer = http::post(&address, &request, token.as_deref(), Duration::from_secs(args.timeout));
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let answer =
        answer.map_err(|error| Stop::failure(format!("no answer from the admin API at {address}: {error}")))?;
    expect_admin(&address, answer.status)?;
    let Ok(said) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(Stop::failure(format!("the answer of {address} (HTTP {}) is not JSON", answer.status)));
    };
    let good = answer.status == 200;
    if args.format == OutputFormat::Json {
        serde_json::to_writer_pretty(&mut *terminal.out, &said).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    } else if good {
        warned(&said, terminal)?;
        writeln!(terminal.out, "{}", summary(&said, args.dry_run))?;
    } else {
        let by_line = media == NDJSON;
        refused::write(&said, Sent { file: &shown.to_string(), body: &body, by_line }, terminal.err)?;
    }
    Ok(if good { Exit::Success } else { Exit::Failure })
}

/// What is sent, and as what. An array is made a transaction.
fn body(text: String) -> (String, &'static str) {
    let text = match text.strip_prefix(palisade_engine::model::json::BYTE_ORDER_MARK) {
        Some(behind) => behind.to_owned(),
        None => text,
    };
    if text.trim_start().starts_with('[') {
        return (format!("{BEFORE_ARRAY}{text}}}"), JSON);
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // a line that is a change stands for itself; anything else is one object, be it over several lines
    let is_change = serde_json::from_str::<Value>(first)
        .is_ok_and(|line| line.as_object().is_some_and(|members| !members.contains_key("changes")));
    if is_change { (text, NDJSON) } else { (text, JSON) }
}

fn summary(said: &Value, dry_run: bool) -> String {
    let number = |member: &str| {
        let number = said.pointer(&format!("/applied/{member}")).and_then(Value::as_u64);
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
    };
    let parts: Vec<String> = [
        ("upserted", "entity", "stored"),
        ("deleted", "entity", "deleted"),
        ("policies", "policy", "changed"),
        ("links_added", "link", "added"),
        ("links_removed", "link", "removed"),
    ]
    .into_iter()
    .filter(|(member, ..)| number(member) > 0)
    .map(|(member, what, done)| format!("{} {done}", count(number(member), what)))
    .collect();
    let what = if parts.is_empty() { "nothing changed".to_owned() } else { parts.join(", ") };
    let revision = said.get("revision").and_then(Value::as_str).unwrap_or("unknown");
    match (dry_run, said.get("published").and_then(Value::as_bool)) {
        (true, _) => format!("would be: {what}"),
        (_, Some(true)) => format!("revision {revision}: {what}"),
        _ => format!("revision {revision} still serves: {what}"),
    }
}

/// Shows what the changes brought that is only reported.
fn warned(said: &Value, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let warnings = said.get("warnings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for warning in warnings.iter().take(SHOWN) {
        let text = |name: &str| warning.get(name).and_then(Value::as_str).unwrap_or_default();
        writeln!(terminal.err, "warning: {}: {}", text("where"), text("message"))?;
    }
    match warnings.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => writeln!(terminal.err, "warning: and {}", count(more, "more warning")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_as_what_they_are() {
        let change = r#"{"delete":"U::\"a\""}"#;
        for (text, body_is, media) in [
            (format!("{change}\n{change}\n"), format!("{change}\n{change}\n"), NDJSON),
            (format!("\n{change}"), format!("\n{change}"), NDJSON),
            (format!("[{change}]"), format!(r#"{{"changes":[{change}]}}"#), JSON),
            (format!(r#"{{"changes":[{change}]}}"#), format!(r#"{{"changes":[{change}]}}"#), JSON),
            ("{\n\"changes\": []\n}".to_owned(), "{\n\"changes\": []\n}".to_owned(), JSON),
        ] {
            assert_eq!(body(text.clone()), (body_is, media), "{text}");
        }
    }

    #[test]
    fn an_answer_is_summed_up() {
        let said = |published: bool, upserted: u64| serde_json::json!({ "revision": "1-2", "published": published, "applied": { "upserted": upserted, "deleted": 1 } });
        assert_eq!(summary(&said(true, 3), false), "revision 1-2: 3 entities stored, 1 entity deleted");
        assert_eq!(summary(&said(false, 0), true), "would be: 1 entity deleted");
        let nothing = serde_json::json!({ "revision": "1-2", "published": false, "applied": {} });
        assert_eq!(summary(&nothing, false), "revision 1-2 still serves: nothing changed");
    }
}
