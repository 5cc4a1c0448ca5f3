//! `palisade routes list`: the routes and what each becomes.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::{Terminal, Tone, toned};
use palisade_routes::{Effect, Route};

/// Flags of `palisade routes list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Only routes for this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only routes that are refused, and operations of OpenAPI documents that are not mapped, with the reasons
    #[arg(long)]
    pub denied: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Runs the verb.
///
/// # Errors
/// If the routes cannot be used.
pub(super) fn run(args: &ListArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let ready = super::read(&args.bundle, terminal)?;
    bundle::show(&ready.warnings, terminal.err)?;
    let wanted = |route: &&Route| {
        let host = args.host.as_ref().is_none_or(|host| route.hosts.is_empty() || route.hosts.contains(host));
        host && (!args.denied || matches!(route.effect, Effect::Deny(_)))
    };
    let unmapped: &[Route] = if args.denied { ready.table.unmapped() } else { &[] };
    let routes: Vec<&Route> = ready.table.routes().iter().chain(unmapped).filter(wanted).collect();
    if args.format == OutputFormat::Json {
        let listed: Vec<_> = routes.iter().map(|route| shown(route)).collect();
        serde_json::to_writer_pretty(&mut *terminal.out, &listed).map_err(io::Error::from)?;
        writeln!(terminal.out)?;
        return Ok(Exit::Success);
    }
    let width = routes.iter().map(|route| route.pattern.to_string().chars().count()).max().unwrap_or(0).min(72);
    for route in routes {
        let when: Vec<String> = route.when.iter().map(ToString::to_string).collect();
        let when = if when.is_empty() { String::new() } else { format!(" when {}", when.join(" and ")) };
        let place = toned(&route.place, Tone::Faint, terminal.color);
        writeln!(terminal.out, "{:width$}  {route}{when}  {place}", route.pattern.to_string())?;
    }
    Ok(Exit::Success)
}

fn shown(route: &Route) -> serde_json::Value {
    json!({
        "match": route.pattern.to_string(),
        "hosts": route.hosts.to_vec(),
        "when": route.when.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "becomes": route.to_string(),
        "where": route.place,
        "allow_paths": route.allowed.to_string(),
        "fields": route.fields.as_deref(),
        "parameters": route.parameters.as_deref(),
        "comment": route.comment,
        "captures": route.guards.shapes().map(|(name, shape)| (name, shape.to_string())).collect::<BTreeMap<_, _>>(),
    })
}
