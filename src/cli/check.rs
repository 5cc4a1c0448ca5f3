//! `palisade check`: one decision.

use std::io;

use clap::Args;
use serde_json::json;

use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::question::{ErrorFormat, Question, RequestArgs};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{denied_by, policy_error};
use crate::cli::why;
use crate::cli::{OutputFormat, SemanticsArg};
use palisade_engine::AboutPolicy;
use palisade_engine::model::{Decision, PolicyId, Written};

/// Flags of `palisade check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub request: RequestArgs,
    /// How the decision is made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// Show which policies determined the decision, with their places and annotations, which failed, and why it was
    /// denied
    #[arg(short, long)]
    pub verbose: bool,
    /// Show why, as `palisade explain` does
    #[arg(long, conflicts_with = "verbose")]
    pub explain: bool,
    /// Output format; `json` has the shape of the API's answers
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// Format of errors and warnings
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub error_format: ErrorFormat,
}

/// Runs the verb.
///
/// # Errors
/// If the bundle or the request cannot be used.
pub(super) fn run(args: &CheckArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let question = Question {
        bundle: &args.bundle,
        request: &args.request,
        semantics: args.semantics,
        error_format: args.error_format,
    };
    let answer = question.put(terminal, |(snapshot, request, now)| {
        let decision = snapshot.decide(request, now)?;
        let known: Known = decision.reasons.iter().filter_map(|id| Some((id.clone(), snapshot.about(id)?))).collect();
        let why = if args.explain { Some(snapshot.explain(request, now, &why::options(false))?) } else { None };
        Ok((decision, known, why))
    })?;
    let Some((decision, known, why)) = answer else { return Ok(Exit::Undecided) };
    match why {
        Some(why) if args.format == OutputFormat::Json => {
            let mut shown = as_json(&decision);
            shown["explanation"] = why::json(&why);
            writeln!(terminal.out, "{shown}")?;
        }
        Some(why) => why::write(&why, false, terminal.color, terminal.out)?,
        None => write_decision(&decision, &known, args, terminal)?,
    }
    Ok(if decision.outcome.is_allow() { Exit::Success } else { Exit::Deny })
}

/// What is known of the policies that determined a decision.
type Known = Vec<(PolicyId, AboutPolicy)>;

fn write_decision(decision: &Decision, known: &Known, args: &CheckArgs, terminal: &mut Terminal<'_>) -> io::Result<()> {
    if args.format == OutputFormat::Json {
        return writeln!(terminal.out, "{}", as_json(decision));
    }
    let (word, tone) = if decision.outcome.is_allow() { ("ALLOW", Tone::Good) } else { ("DENY", Tone::Bad) };
    writeln!(terminal.out, "{}", toned(word, tone, terminal.color))?;
    if !args.verbose {
        return match why_denied(decision) {
            Some(why) => writeln!(terminal.err, "denied because {why}"),
            None => Ok(()),
        };
    }
    if decision.reasons.is_empty() {
        writeln!(terminal.out, "no policy determined this")?;
    } else {
        writeln!(terminal.out, "determined by")?;
        for id in &decision.reasons {
            let about = known.iter().find(|(known, _)| known == id).map(|(_, about)| about);
            write_reason(id, about, terminal)?;
        }
    }
    if let Some(denied) = &decision.denied_by {
        writeln!(terminal.out, "denied because {}", denied_by(denied))?;
    }
    decision.errors.iter().try_for_each(|error| writeln!(terminal.out, "policy error {}", policy_error(error)))
}

/// Why it is a denial, in a line: a reader of the word alone looks for the fault in the wrong place.
fn why_denied(decision: &Decision) -> Option<String> {
    if decision.outcome.is_allow() {
        return None;
    }
    if let Some(denied) = &decision.denied_by {
        return Some(denied_by(denied));
    }
    let named = |ids: &mut dyn Iterator<Item = &PolicyId>| {
        let all: Vec<String> = ids.map(|id| format!("`{id}`")).collect();
        let more = all.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    if !decision.reasons.is_empty() {
        let verb = if decision.reasons.len() == 1 { "forbids" } else { "forbid" };
        return Some(format!("{} {verb} it", named(&mut decision.reasons.iter())));
    }
    Some(match &decision.errors[..] {
        [] => "no policy permits it; `--explain` shows which came nearest".to_owned(),
        [error] => format!("no policy permits it, and one failed: {}", policy_error(error)),
        errors => {
            let ids: Vec<PolicyId> = errors.iter().map(|error| error.policy_id.clone()).collect();
            format!("no policy permits it, and {} failed; `--verbose` shows why", named(&mut ids.iter()))
        }
    })
}

/// How many policies are named in a line.
const NAMED: usize = 3;

/// A policy that determined the decision: where it was written, and what its author says of it.
fn write_reason(id: &str, about: Option<&AboutPolicy>, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let shown = |place: &Written| match place.line {
        Some(line) => format!("{}:{line}", place.origin),
        None => place.origin.to_string(),
    };
    let place = about.and_then(|about| about.place.as_ref()).map(|place| format!("  {}", shown(place)));
    writeln!(terminal.out, "  {id}{}", toned(place.unwrap_or_default(), Tone::Faint, terminal.color))?;
    let Some(about) = about else { return Ok(()) };
    if let Some((template, place)) = &about.template {
        writeln!(terminal.out, "    link of the template {template}  {}", shown(place))?;
    }
    if let Some(entity) = &about.made_by {
        writeln!(terminal.out, "    made by {entity}")?;
    }
    about.annotations.iter().try_for_each(|(name, text)| {
        // one line each, whatever is in it
        let text: Vec<&str> = text.split_whitespace().collect();
        writeln!(terminal.out, "    @{name}: {}", text.join(" "))
    })
}

/// A decision in the shape of the API's answers.
pub(super) fn as_json(decision: &Decision) -> serde_json::Value {
    let mut diagnostics = json!({
        "reason": decision.reasons.iter().map(|id| &**id).collect::<Vec<_>>(),
        "errors": decision.errors,
    });
    if let Some(denied) = &decision.denied_by {
        diagnostics["denied_by"] = json!(denied);
    }
    json!({"decision": decision.outcome, "diagnostics": diagnostics})
}
