//! `palisade explain`: one decision, and why it is what it is.

use clap::{Args, ValueEnum};

use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::question::{ErrorFormat, Question, RequestArgs};
use crate::cli::terminal::Terminal;
use crate::cli::{SemanticsArg, why};

/// Flags of `palisade explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub request: RequestArgs,
    /// How the decision is made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// Show up to 100 policies with every part of each, and up to 20 changes
    #[arg(long)]
    pub all: bool,
    /// Output format; `json` has the shape of the answers of `POST /v1/explain`, `svg` is a picture
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Format of errors and warnings
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub error_format: ErrorFormat,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// A picture, for pages and tickets.
    Svg,
}

/// Runs the verb.
///
/// # Errors
/// If the bundle or the request cannot be used.
pub(super) fn run(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let question = Question {
        bundle: &args.bundle,
        request: &args.request,
        semantics: args.semantics,
        error_format: args.error_format,
    };
    let answer = question.put(terminal, |(snapshot, request, now)| {
        let explained = snapshot.explain(request, now, &why::options(args.all))?;
        Ok((explained, [&request.principal, &request.action, &request.resource].map(ToString::to_string)))
    })?;
    let Some((explanation, asked)) = answer else { return Ok(Exit::Undecided) };
    match args.format {
        Format::Svg => why::svg::write(&explanation, &asked, args.all, terminal.out)?,
        Format::Human => why::write(&explanation, args.all, terminal.color, terminal.out)?,
        Format::Json => writeln!(terminal.out, "{}", why::json(&explanation))?,
    }
    Ok(if explanation.decision.is_allow() { Exit::Success } else { Exit::Deny })
}
