//! `palisade explain`: one decision, and why it is what it is.

use clap::Args;

use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::question::{ErrorFormat, Question, RequestArgs};
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, SemanticsArg, why};

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
    /// Output format; `json` has the shape of the answers of `POST /v1/explain`
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
pub(super) fn run(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let question = Question {
        bundle: &args.bundle,
        request: &args.request,
        semantics: args.semantics,
        error_format: args.error_format,
    };
    let answer =
        question.put(terminal, |(snapshot, request, now)| snapshot.explain(request, now, &why::options(args.all)))?;
    let Some(explanation) = answer else { return Ok(Exit::Undecided) };
    match args.format {
        OutputFormat::Human => why::write(&explanation, args.all, terminal.color, terminal.out)?,
        OutputFormat::Json => writeln!(terminal.out, "{}", why::json(&explanation))?,
    }
    Ok(if explanation.decision.is_allow() { Exit::Success } else { Exit::Deny })
}
