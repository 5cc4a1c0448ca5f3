//! `palisade check`: one decision.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app;
use crate::cli::bundle::{BundleArgs, Chosen};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::set_semantics;
use crate::cli::names::Names;
use crate::cli::progress;
use crate::cli::refusal::{self, Source};
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{denied_by, policy_error};
use crate::cli::{OutputFormat, SemanticsArg, clock};
use palisade_engine::model::json::{in_words, without_byte_order_mark};
use palisade_engine::model::{
    AccessRequest, Bundle, Decision, DeniedBy, Diagnostic, PolicyId, RequestError, Revision, Uid, Value, Written,
};
use palisade_engine::{AboutPolicy, Snapshot};

/// Flags of `palisade check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Principal, such as `User::alice`, or in full `App::User::"alice"`
    #[arg(short = 'l', long, value_name = "UID", required_unless_present = "request_json", help_heading = "Request")]
    pub principal: Option<String>,
    /// Action, such as `view`, or in full `App::Action::"view"`
    #[arg(short, long, value_name = "UID", required_unless_present = "request_json", help_heading = "Request")]
    pub action: Option<String>,
    /// Resource, such as `Photo::vacation.jpg`, or in full `App::Photo::"vacation.jpg"`
    #[arg(short, long, value_name = "UID", required_unless_present = "request_json", help_heading = "Request")]
    pub resource: Option<String>,
    /// The context: a JSON object, a file that holds one, or `-` for standard input
    #[arg(short, long, value_name = "JSON|FILE", help_heading = "Request")]
    pub context: Option<String>,
    /// The whole request, in the API's JSON: a file, or `-` for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["principal", "action", "resource", "context"],
        help_heading = "Request"
    )]
    pub request_json: Option<PathBuf>,
    /// The time for a request without `now`, such as 2026-11-21T12:00:00Z [default: the clock's]
    #[arg(long, value_name = "TIME", value_parser = clock::parse, help_heading = "Request")]
    pub now: Option<i64>,
    /// How the decision is made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// Show which policies determined the decision, with their places and annotations, which failed, and why it was
    /// denied
    #[arg(short, long)]
    pub verbose: bool,
    /// Output format; `json` has the shape of the API's answers
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// Format of errors and warnings
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub error_format: ErrorFormat,
}

/// How problems are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// With excerpts.
    #[default]
    Human,
    /// A line each.
    Plain,
    /// A JSON object a line.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// If the bundle or the request cannot be used.
pub(super) fn run(args: &CheckArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let chosen = args.bundle.choose_with(|tree| set_semantics(tree, args.semantics))?;
    let (text, source) = match (&args.request_json, &args.context) {
        (None, Some(context)) if context.trim_start().starts_with('{') => (Some(context.clone()), None),
        (None, None) => (None, None),
        (path, context) => {
            let place = path.as_ref().map(|path| path.display().to_string()).or_else(|| context.clone());
            let source = input(&place.unwrap_or_default(), path.is_some(), terminal.stdin)?;
            (Some(source.text.clone()), Some(source))
        }
    };
    let source = source.as_ref();
    let bundle = match chosen.read() {
        Ok(read) => {
            // a file that is not read may be the one that would decide
            write_problems(&read.warnings, args.error_format, terminal.err)?;
            read.bundle
        }
        Err(problems) => {
            write_problems(&problems, args.error_format, terminal.err)?;
            return Ok(Exit::Undecided);
        }
    };
    let written = [&args.principal, &args.action, &args.resource].map(|name| name.as_deref());
    let names = Names::of(bundle.schema.as_ref(), &app::engine_settings(&chosen.settings).limits, &written);
    let request = match request(args, text.as_deref(), &names) {
        Ok(request) => request,
        Err(error) => {
            refusal::write(&error, source, args.error_format, terminal.err)?;
            return Ok(Exit::Undecided);
        }
    };
    let now = args.now.unwrap_or_else(clock::now);
    let decided = palisade_engine::on_big_stack(|| decide(bundle, &chosen, &request, now))?;
    match decided {
        Err(problems) => {
            write_problems(&chosen.with_places(problems), args.error_format, terminal.err)?;
            Ok(Exit::Undecided)
        }
        Ok((answer, warnings)) => {
            // what `serve` would refuse by default
            write_problems(&warnings, args.error_format, terminal.err)?;
            match answer {
                Ok((decision, known)) => {
                    write_decision(&decision, &known, args, terminal)?;
                    Ok(if decision.outcome.is_allow() { Exit::Success } else { Exit::Deny })
                }
                Err(error) => {
                    refusal::write(&error, source, args.error_format, terminal.err)?;
                    Ok(Exit::Undecided)
                }
            }
        }
    }
}

/// What is known of the policies that determined a decision.
type Known = Vec<(PolicyId, AboutPolicy)>;

type Answer = (Result<(Decision, Known), RequestError>, Vec<Diagnostic>);

fn decide(bundle: Bundle, chosen: &Chosen, request: &AccessRequest<'_>, now: i64) -> Result<Answer, Vec<Diagnostic>> {
    let settings = chosen.engine();
    let revision = Revision { incarnation: 0, counter: 1 };
    let (snapshot, warnings) = Snapshot::build_observed(bundle.into(), &settings, revision, &progress::observers())?;
    let decided = snapshot.decide(request, now).map(|decision| {
        let known = decision.reasons.iter().filter_map(|id| Some((id.clone(), snapshot.about(id)?))).collect();
        (decision, known)
    });
    Ok((decided, warnings))
}

fn input(place: &str, is_whole: bool, stdin: &mut dyn Read) -> Result<Source, Stop> {
    let is_stdin = place == "-";
    let read = if is_stdin {
        let mut text = String::new();
        stdin.read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(place)
    };
    let file = if is_stdin { "standard input" } else { place };
    match read {
        Ok(text) => Ok(Source { file: file.to_owned(), text: without_byte_order_mark(&text).to_owned(), is_whole }),
        Err(error) => Err(Stop::failure(format!("cannot read {file}: {error}"))),
    }
}

fn request<'a>(args: &CheckArgs, text: Option<&'a str>, names: &Names) -> Result<AccessRequest<'a>, RequestError> {
    let parsed = text.map(|text| Value::parse(text.as_bytes()));
    let not_json = |what: &str, error: &serde_json::Error| {
        RequestError::new("invalid_json", "", format!("{what} is not JSON: {}", in_words(&error.to_string())))
    };
    if args.request_json.is_some() {
        let value = parsed.unwrap_or(Ok(Value::Null)).map_err(|error| not_json("the request", &error))?;
        return AccessRequest::from_value(value);
    }
    let named = |flag: &str, text: &Option<String>, read: &dyn Fn(&str) -> Result<Uid<'static>, String>| {
        read(text.as_deref().unwrap_or_default())
            .map_err(|error| RequestError::new("invalid_uid", format!("/{flag}"), format!("--{flag}: {error}")))
    };
    let mut request = AccessRequest::new(
        named("principal", &args.principal, &|name| names.entity(name))?,
        named("action", &args.action, &|name| names.action(name))?,
        named("resource", &args.resource, &|name| names.entity(name))?,
    );
    if let Some(parsed) = parsed {
        let context = parsed.map_err(|error| not_json("the context", &error))?;
        if context.as_object().is_none() {
            let message = format!("the context must be an object, not {}", context.kind());
            return Err(RequestError::new("invalid_context", "/context", message));
        }
        request.context = context;
    }
    Ok(request)
}

fn write_decision(decision: &Decision, known: &Known, args: &CheckArgs, terminal: &mut Terminal<'_>) -> io::Result<()> {
    if args.format == OutputFormat::Json {
        return writeln!(terminal.out, "{}", as_json(decision));
    }
    let (word, tone) = if decision.outcome.is_allow() { ("ALLOW", Tone::Good) } else { ("DENY", Tone::Bad) };
    writeln!(terminal.out, "{}", toned(word, tone, terminal.color))?;
    if !args.verbose {
        // most often a misspelled name
        if let Some(denied @ DeniedBy::UnknownEntity { .. }) = &decision.denied_by {
            writeln!(terminal.err, "denied because {}", denied_by(denied))?;
        }
        return Ok(());
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

fn write_problems(problems: &[Diagnostic], format: ErrorFormat, to: &mut dyn Write) -> io::Result<()> {
    for problem in problems {
        match format {
            ErrorFormat::Human => writeln!(to, "{problem}")?,
            ErrorFormat::Json => writeln!(to, "{}", json!(problem))?,
            ErrorFormat::Plain => {
                let plain = Diagnostic { excerpt: None, help: None, ..problem.clone() };
                writeln!(to, "{}", one_line(&plain.to_string(), format))?;
            }
        }
    }
    Ok(())
}

fn one_line(text: &str, format: ErrorFormat) -> String {
    if format == ErrorFormat::Plain { text.replace('\n', " ") } else { text.to_owned() }
}
