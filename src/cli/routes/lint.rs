//! `palisade routes lint`: what is wrong with the routes, and the known traps of gateways.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::routes::include;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::count;
use palisade_engine::model::{Diagnostic, Severity};
use palisade_gateway_lint::{Gateway, Source, lint};
use palisade_routes::questions;

/// Flags of `palisade routes lint`.
#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// A configuration of nginx with `auth_request`; what it includes is read too
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub nginx: Vec<PathBuf>,
    /// A configuration of Envoy with `ext_authz`, in YAML or JSON
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub envoy: Vec<PathBuf>,
    /// A Caddyfile with `forward_auth`; what it imports is read too
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub caddy: Vec<PathBuf>,
    /// A configuration of Traefik with `forwardAuth`: static or dynamic, in YAML or TOML, or labels in a file of Docker
    /// Compose; all files count as one, with those that the file provider names
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub traefik: Vec<PathBuf>,
    /// A configuration of HAProxy with Lua or SPOE; all files count as one
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub haproxy: Vec<PathBuf>,
    /// A configuration of Apache with `mod_lua`; what it includes is read too
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub apache: Vec<PathBuf>,
    /// Fail on warnings too, as a script must: a trap in a gateway's configuration is a warning
    #[arg(long, visible_alias = "strict")]
    pub deny_warnings: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Runs the verb.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn run(args: &LintArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let gateways = [
        (Gateway::Nginx, &args.nginx),
        (Gateway::Envoy, &args.envoy),
        (Gateway::Caddy, &args.caddy),
        (Gateway::Traefik, &args.traefik),
        (Gateway::Haproxy, &args.haproxy),
        (Gateway::Apache, &args.apache),
    ];
    let mut findings: Vec<Diagnostic> = Vec::new();
    let mut what = Vec::new();
    let mut looked_at = 0;
    for (gateway, files) in gateways {
        // Traefik and HAProxy make one configuration of several files, each with paths of its own
        let together = matches!(gateway, Gateway::Traefik | Gateway::Haproxy);
        let mut sources: Vec<Source> = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let origin = file.display().to_string();
            let text = include::read(file).map_err(|error| Stop::failure(format!("cannot read {origin}: {error}")))?;
            sources.push((origin, text));
            if !together || at + 1 == files.len() {
                let directory = file.parent().unwrap_or(Path::new(""));
                findings.extend(lint(gateway, &sources, &|pattern| include::files(directory, pattern)));
                sources.clear();
            }
        }
        looked_at += files.len();
    }
    if looked_at > 0 {
        what.push(count(looked_at, "gateway"));
    }
    // a user who names a gateway's file may have no routes yet
    let chosen = match args.bundle.choose() {
        Err(stop) if stop.exit == Exit::Usage => return Err(stop),
        chosen => chosen,
    };
    let place = chosen.as_ref().ok().and_then(|chosen| super::place(&chosen.layout));
    if what.is_empty() || place.is_some() || args.bundle.routes.is_some() {
        match super::load(&chosen?, place.ok_or_else(super::no_routes)?)? {
            Ok(ready) => {
                what.insert(0, count(ready.table.routes().len(), "route"));
                findings.extend(questions(&ready.table));
                findings.extend(ready.warnings);
            }
            Err(problems) => findings.extend(problems),
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    if args.format == OutputFormat::Json {
        let valid = errors == 0 && !(args.deny_warnings && warnings > 0);
        let shown = json!({"valid": valid, "findings": findings});
        serde_json::to_writer_pretty(&mut *terminal.out, &shown).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
    } else {
        bundle::show(&findings, terminal.out)?;
        // the last line must not begin with `usable` where there are traps: a user would take the file for a good one
        let counts = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(n, _)| *n > 0);
        let counts: Vec<String> = counts.map(|(n, w)| count(n, w)).collect();
        let (word, tone) = match (errors, warnings) {
            (0, 0) => ("usable", Tone::Good),
            (0, _) => ("usable", Tone::Strong),
            _ => ("not usable", Tone::Bad),
        };
        let with = if counts.is_empty() { String::new() } else { format!(", with {}", counts.join(" and ")) };
        let what = if what.is_empty() { String::new() } else { format!(": {}", what.join(", ")) };
        writeln!(terminal.out, "{}{with}{what}", toned(word, tone, terminal.color))?;
    }
    let failed = errors > 0 || (args.deny_warnings && warnings > 0);
    Ok(if failed { Exit::Invalid } else { Exit::Success })
}
