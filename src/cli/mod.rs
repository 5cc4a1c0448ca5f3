//! The command line: one file a verb, one table of exit codes.
//!
//! Verbs call the engine directly, so what they show is what serves; only `serve` starts the sidecar.
//! They read and write through a [`Terminal`], never the process's own streams, so that tests can look.

mod admin;
mod apply;
mod bench;
mod bundle;
mod check;
mod clock;
mod config;
mod exit;
mod explain;
mod export;
mod flags;
mod generate;
mod http;
mod init;
mod links;
mod names;
mod printable;
mod progress;
mod question;
mod record;
mod refusal;
mod review;
mod routes;
mod schema;
mod serve;
mod status;
mod store;
mod terminal;
pub mod test;
mod timely;
mod validate;
mod why;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use exit::{Exit, Stop};
pub use terminal::{ColorChoice, Terminal};

use printable::Printable;
use terminal::{Patient, wants_color};
use timely::Timely;

/// A low-latency Cedar authorization sidecar
///
/// Palisade holds policies, schema and entities in memory and answers "may this principal do this
/// action on this resource?" over HTTP. The other commands work on the same files, without a server.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "palisade",
    version,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    /// When to write colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0   success, or the decision is allow
  1   the command failed
  2   the decision is deny
  3   the bundle does not validate
  4   no decision is possible: the bundle or the request cannot be used
  5   a test failed, or there was no test to run
  64  the configuration or the command line is wrong";

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Write a small bundle to start from
    ///
    /// A schema, policies, entities, tests and a configuration, which validate, pass and serve as they are: three policies
    /// over documents, or with `--template saas` the patterns of a product that many organisations share. Nothing is
    /// overwritten.
    #[command(after_long_help = INIT_EXAMPLES)]
    Init(init::InitArgs),
    /// Serve decisions over HTTP
    ///
    /// Without flags it serves ./policies and ./entities on 127.0.0.1:8180, the admin API on 127.0.0.1:8181,
    /// and, if that is free, gRPC for Envoy on 127.0.0.1:9191. Flags win over the environment
    /// (PALISADE_CACHE__MAX_BYTES=64MiB), and that over the configuration file.
    #[command(after_long_help = SERVE_EXAMPLES)]
    Serve(serve::ServeArgs),
    /// Decide one request
    ///
    /// Exits with 0 if it is allowed, with 2 if it is denied, and with 4 if it cannot be decided.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(Box<check::CheckArgs>),
    /// Say why a request is allowed or denied, and what would turn it
    ///
    /// Shows the policies that decided, those that came nearest and what of each does not hold, and single changes that
    /// would turn the decision. Exits as `check` does.
    #[command(after_long_help = EXPLAIN_EXAMPLES)]
    Explain(Box<explain::ExplainArgs>),
    /// Find everything that is wrong with a bundle
    ///
    /// Parses policies, schema and entities, validates them strictly, and reads the tests. Exits with 3
    /// if something is wrong.
    #[command(after_long_help = VALIDATE_EXAMPLES)]
    Validate(validate::ValidateArgs),
    /// List the links of templates, and the entities that made them
    ///
    /// Links that are written by hand, and those that data make: each with its template, what fills the slots, the entity
    /// that made it, and where it or its declaration is written.
    #[command(after_long_help = LINKS_EXAMPLES)]
    Links(links::LinksArgs),
    /// Show who can do what in one tenant
    ///
    /// Asks about every principal in it, every action and every resource in it, and shows what is allowed, the roles that the
    /// principals have, and the grants with how many answers each determined. It asks and does not guess, so all is as the
    /// context says: an action that takes more (a target, a role) is denied where that is missing, and what was not tried for
    /// it is named. A grant that determined nothing gives nothing, unless its policies look for what the context does not have:
    /// then it is not known. Principals outside of the tenant, or above it, are not asked about, whatever they may do in it.
    #[command(after_long_help = REVIEW_EXAMPLES)]
    Review(Box<review::ReviewArgs>),
    /// Run the tests of the policies
    ///
    /// Tests are the files `tests/**/*.{json,yaml,yml}` beside the policies. Exits with 5 if one fails
    /// or none is found, and with 3 if the bundle cannot be used.
    #[command(after_long_help = TEST_EXAMPLES)]
    Test(test::TestArgs),
    /// Write tests from the decision log
    ///
    /// Each decision of the log becomes a test that holds what was decided, with the time of the decision. Questions that
    /// were asked again are written once. Lines that lack what a decision depended on (masked members, entities of the
    /// request) are skipped, and named on standard error.
    #[command(after_long_help = RECORD_EXAMPLES)]
    Record(record::RecordArgs),
    /// List, explain, lint and test the routes of the gateway endpoints
    #[command(after_long_help = ROUTES_EXAMPLES)]
    Routes(routes::RoutesVerb),
    /// Show what a running sidecar serves
    ///
    /// Asks the admin API. Exits with 1 if it cannot be reached, is not ready, or refused the last change.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(status::StatusArgs),
    /// Check, back up or restore the store that keeps changes
    #[command(after_long_help = STORE_EXAMPLES)]
    Store(store::StoreVerb),
    /// Send a file of changes to a running sidecar
    ///
    /// Entities, policies and links change in one transaction, all of them or none; decisions use them once the command
    /// ends. Exits with 1 if they are refused, and says why.
    #[command(after_long_help = APPLY_EXAMPLES)]
    Apply(apply::ApplyArgs),
    /// Load a running sidecar with the bundle's tests as questions
    ///
    /// Reports how many it answers, how long they take and what CPU time they cost, for your own data and machine. The
    /// sidecar counts and records these questions as any others. Exits with 1 if one was not decided, and with 5 if there
    /// is no test to ask.
    #[command(after_long_help = BENCH_EXAMPLES)]
    Bench(Box<bench::BenchArgs>),
    /// Write what serves, changes folded in, as a bundle directory or as entities a line
    ///
    /// From a running sidecar, or with `--store` from the store of one. What is written loads to the same decisions: it is
    /// read again and compared before it takes its place.
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export(Box<export::ExportArgs>),
    /// Show the configuration, or its JSON Schema
    #[command(after_long_help = CONFIG_EXAMPLES)]
    Config(config::ConfigVerb),
    /// Write the JSON Schema of the configuration, of routes or of tests, for an editor, or that of explanations
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    Schema(schema::SchemaArgs),
    /// Write a script that completes commands and flags in a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(generate::CompletionsArgs),
    /// Write the manual pages
    #[command(after_long_help = MAN_EXAMPLES)]
    Man(generate::ManArgs),
}

// Lines after `$` are run by a test, and what follows is what they write, `...` standing for the rest.

const INIT_EXAMPLES: &str = "Examples:
  $ palisade init documents
  wrote documents/policies/documents.cedarschema
  ...
  $ palisade init --template saas product
  wrote product/policies/saas.cedarschema
  ...";

const SERVE_EXAMPLES: &str = "Examples:
  $ palisade serve
  $ palisade serve --config palisade.yaml --listen 0.0.0.0:8180 --set cache.max_bytes=256MiB";

const CHECK_EXAMPLES: &str = r#"Examples:
  $ palisade check -l User::u-hq-fda-dm -a ViewDevice -r Device::d-depot \
      -c '{"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": false}}'
  ALLOW"#;

const EXPLAIN_EXAMPLES: &str = r#"Examples:
  $ palisade explain -l User::u-hq-fda-dm -a ViewDevice -r Device::d-depot \
      -c '{"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": false}}'"#;

const VALIDATE_EXAMPLES: &str = "Examples:
  $ palisade validate
  $ palisade validate --policies ./policies --entities ./entities --deny-warnings --format json";

const LINKS_EXAMPLES: &str = "Examples:
  $ palisade links
  $ palisade links --template reader --format json";

const REVIEW_EXAMPLES: &str = r#"Examples:
  $ palisade review Tenant::tb -l User::tb-floor -a ViewDevice -a UpdateDevice \
      -c '{"auth": {"method": "password", "mfa": true}}'
  $ palisade review Tenant::tb -c '{"auth": {"method": "password", "mfa": true}}' --format json"#;

const TEST_EXAMPLES: &str = "Examples:
  $ palisade test --quiet
  $ palisade test scenarios.json '*ListDevices*' --fail-fast
  $ palisade test --format junit
  $ palisade test --report junit=report.xml --report json=report.json
  $ palisade test --watch";

const RECORD_EXAMPLES: &str = "Examples:
  $ palisade record decisions.log --output policies/tests/recorded.yaml
  $ palisade record decisions.log --limit 20";

const ROUTES_EXAMPLES: &str = "Examples:
  $ palisade routes explain 'GET /dongle/devices/7'
  $ palisade routes lint";

const STATUS_EXAMPLES: &str = "Examples:
  $ palisade status
  $ palisade status --admin-listen unix:/run/palisade-admin.sock --format json";

const STORE_EXAMPLES: &str = "Examples:
  $ palisade store check --store state/palisade.store
  $ palisade store backup --store state/palisade.store backup.store";

const APPLY_EXAMPLES: &str = "Examples:
  $ palisade apply changes.ndjson --dry-run
  $ palisade apply customer-closed.json --dangling cascade";

const BENCH_EXAMPLES: &str = "Examples:
  $ palisade bench
  $ palisade bench http://127.0.0.1:8180 --connections 64 --duration 30 --format json";
const EXPORT_EXAMPLES: &str = "Examples:
  $ palisade export --output exported
  $ palisade export
  $ palisade export --store state/palisade.store --output exported --force";

const CONFIG_EXAMPLES: &str = "Examples:
  $ palisade config schema
  $ palisade config show --format json";

const SCHEMA_EXAMPLES: &str = "Examples:
  $ palisade schema tests";

const COMPLETIONS_EXAMPLES: &str = "Examples:
  $ palisade completions bash";

const MAN_EXAMPLES: &str = "Examples:
  $ palisade man";

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SemanticsArg {
    /// Cedar's, and a denial where a forbid fails or an entity is unknown.
    Strict,
    /// Cedar's exactly.
    Cedar,
}

/// Runs the process's command line on the process's streams.
pub fn main() -> Exit {
    let serving = is_serve(std::env::args_os());
    // before the configuration is read, which may wait for a file system
    crate::app::outlive_signals(serving);
    // not locked: while one verb runs, the log and the decision log write to the same streams from their threads
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let mut out = Patient::new(io::BufWriter::new(stdout));
    // a pager may keep the others waiting, but the sidecar must end where it cannot start
    let mut err: Box<dyn Write> =
        if serving { Box::new(Patient::new(Timely::new(stderr, LAST_WORDS))) } else { Box::new(Patient::new(stderr)) };
    let env = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let streams = |choice| (wants_color(choice, &io::stdout(), env), wants_color(choice, &io::stderr(), env));
    run(std::env::args_os(), &mut io::stdin(), &mut out, &mut *err, &streams)
}

/// How long a sidecar that cannot start waits until its errors are written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whether the verb is `serve`, however wrong the rest of the command line may be.
fn is_serve(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut args = args.into_iter().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--color" {
            args.next();
        } else if !arg.as_encoded_bytes().starts_with(b"-") {
            return arg == "serve";
        }
    }
    false
}

/// Runs a command line, its first word being the program's name. `colors` says whether output and
/// errors show colours.
pub fn run<A: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = A>,
    stdin: &mut dyn io::Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colors: &dyn Fn(ColorChoice) -> (bool, bool),
) -> Exit {
    let parsed = Cli::command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let exit = match parsed {
        Ok(cli) => {
            let (color, color_err) = colors(cli.color);
            let mut shown = Printable::new(&mut *out, color);
            let mut told = Printable::new(&mut *err, color_err);
            let mut terminal = Terminal { stdin, out: &mut shown, err: &mut told, color, color_err };
            let exit = dispatch(&cli.command, &mut terminal).unwrap_or_else(|stop| {
                for line in stop.message.lines() {
                    let prefix = terminal::toned("error:", terminal::Tone::Bad, terminal.color_err);
                    // nothing can report it if this fails
                    let _ = writeln!(terminal.err, "{prefix} {line}");
                }
                stop.exit
            });
            let flushed = shown.flush().and_then(|()| told.flush());
            return end(exit, flushed, err);
        }
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let (color, color_err) = colors(ColorChoice::Auto);
            let (to, color): (&mut dyn Write, bool) = if asked { (out, color) } else { (err, color_err) };
            let text = error.render();
            let _ = if color { write!(to, "{}", text.ansi()) } else { write!(Printable::new(to, false), "{text}") };
            if asked { Exit::Success } else { Exit::Usage }
        }
    };
    let flushed = out.flush().and_then(|()| err.flush());
    end(exit, flushed, err)
}

/// How to exit, once everything was written or could not be.
fn end(exit: Exit, flushed: io::Result<()>, err: &mut dyn Write) -> Exit {
    match flushed {
        Ok(()) => exit,
        Err(error) => {
            let _ = writeln!(err, "error: cannot write the output: {error}");
            Exit::Failure
        }
    }
}

fn dispatch(command: &Command, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    match command {
        Command::Init(args) => init::run(args, terminal),
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(args, terminal),
        Command::Explain(args) => explain::run(args, terminal),
        Command::Validate(args) => validate::run(args, terminal),
        Command::Links(args) => links::run(args, terminal),
        Command::Review(args) => review::run(args, terminal),
        Command::Test(args) => test::run(args, terminal),
        Command::Record(args) => record::run(args, terminal),
        Command::Routes(args) => routes::run(args, terminal),
        Command::Status(args) => status::run(args, terminal),
        Command::Store(args) => store::run(args, terminal),
        Command::Apply(args) => apply::run(args, terminal),
        Command::Bench(args) => bench::run(args, terminal),
        Command::Export(args) => export::run(args, terminal),
        Command::Config(args) => config::run(args, terminal),
        Command::Schema(args) => schema::run(args, terminal),
        Command::Completions(args) => generate::completions(args, terminal),
        Command::Man(args) => generate::man(args, terminal),
    }
}
