//! `palisade routes`: the route table of the gateway endpoints, without a server.

mod cases;
mod explain;
mod include;
mod lint;
mod list;
mod store;
mod test;

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app;
use crate::cli::bundle::{self, BundleArgs, Chosen};
use crate::cli::exit::{Exit, Stop};
use crate::cli::routes::store::Store;
use crate::cli::terminal::Terminal;
use crate::source::Layout;
use palisade_engine::model::{Bundle, Diagnostic};
use palisade_engine::{EngineSettings, on_big_stack};
use palisade_routes::RouteTable;

/// Flags of `palisade routes`.
#[derive(Debug, Clone, Args)]
pub struct RoutesVerb {
    #[command(subcommand)]
    pub command: RoutesCommand,
}

/// What to do with the routes.
#[derive(Debug, Clone, Subcommand)]
pub enum RoutesCommand {
    /// List the routes and what each becomes
    #[command(
        after_long_help = "Examples:\n  $ palisade routes list --host api.autopi.io\n  $ palisade routes list --denied"
    )]
    List(list::ListArgs),
    /// Show the check that a request becomes and its decision, or why the request is refused
    ///
    /// The decision needs `--principal`. Exits with 2 if the request is refused or denied, and with 4 if a check cannot
    /// be decided.
    #[command(after_long_help = EXPLAIN_EXAMPLES)]
    Explain(Box<explain::ExplainArgs>),
    /// Find what is wrong with the routes, or with a gateway's configuration
    ///
    /// Exits with 3 if the routes cannot be used, or a gateway's file is not a configuration of that gateway. Known traps
    /// in it are warnings: `--deny-warnings` makes them fail.
    #[command(
        after_long_help = "Examples:\n  $ palisade routes lint\n  $ palisade routes lint --deny-warnings --format json"
    )]
    Lint(lint::LintArgs),
    /// Run the tests of the routes
    ///
    /// Tests are the files `tests/*.{yaml,yml}` beside the routes. Exits with 5 if one fails or none is found.
    #[command(after_long_help = "Examples:\n  $ palisade routes test --quiet")]
    Test(test::TestArgs),
    /// Write the JSON Schema of a file of routes
    #[command(after_long_help = "Examples:\n  $ palisade routes schema")]
    Schema,
}

const EXPLAIN_EXAMPLES: &str = "Examples:
  $ palisade routes explain 'GET /dongle/devices/7'
  $ palisade routes explain 'POST /dongle/devices/move_devices/' --host api.autopi.io \\
      --body '{\"devices\": [\"d-dk\"], \"customer\": \"NO\"}' -l User::u-hq-aa-nca";

/// Routes that could be compiled.
struct Ready {
    table: RouteTable,
    bundle: Bundle,
    warnings: Vec<Diagnostic>,
    /// Which bundle it is, and by which configuration.
    chosen: Chosen,
    /// How decisions are made.
    engine: EngineSettings,
    /// Where the routes are.
    place: PathBuf,
}

impl Ready {
    /// What its entities refer to; all problems are reported before it stops.
    fn store(&self, terminal: &mut Terminal<'_>) -> Result<Store, Stop> {
        Store::read(&self.bundle).or_else(|problems| {
            bundle::show(&problems, terminal.err)?;
            Err(Stop::silent(Exit::Invalid))
        })
    }
}

/// Reads bundle and routes; all problems are reported before it stops.
fn read(bundle: &BundleArgs, terminal: &mut Terminal<'_>) -> Result<Ready, Stop> {
    let chosen = bundle.choose()?;
    let place = place(&chosen.layout).ok_or_else(no_routes)?;
    load(&chosen, place)?.or_else(|problems| {
        bundle::show(&problems, terminal.err)?;
        Err(Stop::silent(Exit::Invalid))
    })
}

fn no_routes() -> Stop {
    Stop::failure("there is no `./routes` and no `./routes.yaml` here: name the routes with `--routes`")
}

/// Where the routes are, if they are anywhere.
fn place(layout: &Layout) -> Option<PathBuf> {
    layout.routes.clone().filter(|path| layout.routes_named || path.exists())
}

fn load(chosen: &Chosen, place: PathBuf) -> Result<Result<Ready, Vec<Diagnostic>>, Stop> {
    let read = match chosen.read_with_routes() {
        Ok(read) => read,
        Err(problems) => return Ok(Err(problems)),
    };
    let limits = app::engine_settings(&chosen.settings).limits;
    let compiled = on_big_stack(|| palisade_routes::compile_bundle(&read.bundle, &limits))?;
    let engine = chosen.engine();
    let chosen = chosen.clone();
    Ok(compiled.map(|(table, warnings)| Ready { table, bundle: read.bundle, warnings, chosen, engine, place }))
}

/// Runs the verb.
///
/// # Errors
/// If the routes cannot be read.
pub(super) fn run(args: &RoutesVerb, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    match &args.command {
        RoutesCommand::List(args) => list::run(args, terminal),
        RoutesCommand::Explain(args) => explain::run(args, terminal),
        RoutesCommand::Lint(args) => lint::run(args, terminal),
        RoutesCommand::Test(args) => test::run(args, terminal),
        RoutesCommand::Schema => {
            serde_json::to_writer_pretty(&mut *terminal.out, &palisade_routes::json_schema())
                .map_err(io::Error::from)?;
            writeln!(terminal.out)?;
            Ok(Exit::Success)
        }
    }
}
