//! A question on the command line: the flags that ask it, and putting it to a bundle.
//!
//! `check` and `explain` take the same question and differ in what they show of the answer.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app;
use crate::cli::bundle::{BundleArgs, Chosen};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::set_semantics;
use crate::cli::names::Names;
use crate::cli::progress;
use crate::cli::refusal::{self, Source};
use crate::cli::terminal::Terminal;
use crate::cli::{SemanticsArg, clock};
use crate::config::near_path;
use palisade_engine::Snapshot;
use palisade_engine::model::json::{in_words, without_byte_order_mark};
use palisade_engine::model::{AccessRequest, Bundle, Diagnostic, RequestError, Revision, Uid, Value};

/// Flags that ask.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
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

/// A question to a bundle.
#[derive(Debug)]
pub(super) struct Question<'q> {
    pub(super) bundle: &'q BundleArgs,
    pub(super) request: &'q RequestArgs,
    pub(super) semantics: Option<SemanticsArg>,
    pub(super) error_format: ErrorFormat,
}

/// What is asked: the state, the request, and the clock.
pub(super) type Asked<'a> = (&'a Snapshot, &'a AccessRequest<'a>, i64);

impl Question<'_> {
    /// Reads bundle and request, and asks. `None` where no answer is possible: then why has been written.
    ///
    /// # Errors
    /// If the configuration is wrong, or there is no bundle.
    pub(super) fn put<T: Send>(
        &self,
        terminal: &mut Terminal<'_>,
        ask: impl FnOnce(Asked<'_>) -> Result<T, RequestError> + Send,
    ) -> Result<Option<T>, Stop> {
        let format = self.error_format;
        let args = self.request;
        // what cannot be read leaves no decision possible
        let undecided = |stop: Stop| match stop.exit {
            Exit::Failure => Stop { exit: Exit::Undecided, ..stop },
            _ => stop,
        };
        let chosen = self.bundle.choose_with(|tree| set_semantics(tree, self.semantics)).map_err(undecided)?;
        let (text, source) = match (&args.request_json, &args.context) {
            (None, Some(context)) if is_written_out(context) => (Some(context.clone()), None),
            (None, None) => (None, None),
            (path, context) => {
                let place = path.as_ref().map(|path| path.display().to_string()).or_else(|| context.clone());
                let flag = if path.is_some() { "--request-json" } else { "--context" };
                let source = input(&place.unwrap_or_default(), flag, terminal.stdin).map_err(undecided)?;
                (Some(source.text.clone()), Some(source))
            }
        };
        let source = source.as_ref();
        let bundle = match chosen.read() {
            Ok(read) => {
                // a file that is not read may be the one that would decide
                write_problems(&read.warnings, format, terminal.err)?;
                read.bundle
            }
            Err(problems) => {
                write_problems(&problems, format, terminal.err)?;
                return Ok(None);
            }
        };
        let written = [&args.principal, &args.action, &args.resource].map(|name| name.as_deref());
        let names = Names::of(bundle.schema.as_ref(), &app::engine_settings(&chosen.settings).limits, &written);
        let request = match request(args, text.as_deref(), &names) {
            Ok(request) => request,
            Err(error) => {
                refusal::write(&error, source, format, terminal.err)?;
                return Ok(None);
            }
        };
        let now = args.now.unwrap_or_else(clock::now);
        match palisade_engine::on_big_stack(|| answer(bundle, &chosen, &request, now, ask))? {
            Err(problems) => write_problems(&chosen.with_places(problems), format, terminal.err)?,
            Ok((answer, warnings)) => {
                // what `serve` would refuse by default
                write_problems(&warnings, format, terminal.err)?;
                match answer {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(error) => refusal::write(&error, source, format, terminal.err)?,
                }
            }
        }
        Ok(None)
    }
}

type Answer<T> = (Result<T, RequestError>, Vec<Diagnostic>);

fn answer<T>(
    bundle: Bundle,
    chosen: &Chosen,
    request: &AccessRequest<'_>,
    now: i64,
    ask: impl FnOnce(Asked<'_>) -> Result<T, RequestError>,
) -> Result<Answer<T>, Vec<Diagnostic>> {
    let settings = chosen.engine();
    let revision = Revision { incarnation: 0, counter: 1 };
    let (snapshot, warnings) = Snapshot::build_observed(bundle.into(), &settings, revision, &progress::observers())?;
    Ok((ask((&snapshot, request, now)), warnings))
}

/// Whether this is JSON, and not the name of a file: what is no object is reported as the context that it would be.
fn is_written_out(context: &str) -> bool {
    let text = context.trim_start();
    text.starts_with(['{', '[', '"']) && !Path::new(context).exists() || text == "null"
}

fn input(place: &str, flag: &str, stdin: &mut dyn Read) -> Result<Source, Stop> {
    let is_whole = flag == "--request-json";
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
        Err(error) => {
            let is_context = !is_stdin && !is_whole;
            let bare = place.strip_prefix('@').filter(|path| is_context && Path::new(path).exists());
            let near = near_path(Path::new(place));
            let help = match bare {
                Some(bare) => format!("; write it without `@`: `{flag} {bare}`"),
                None if is_context => format!(
                    "{near}; `{flag}` takes an object of JSON such as `'{{\"now\": 1}}'`, the name of a file, or `-`"
                ),
                None => near,
            };
            Err(Stop::failure(format!("`{flag}`: cannot read {file}: {error}{help}")))
        }
    }
}

fn request<'a>(args: &RequestArgs, text: Option<&'a str>, names: &Names) -> Result<AccessRequest<'a>, RequestError> {
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
