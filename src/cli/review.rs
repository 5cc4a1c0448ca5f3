//! `palisade review`: who can do what in one tenant.
//!
//! It asks and does not guess: every right that it shows is a decision. What it shows of roles and grants says where those
//! may come from.

mod look;

use std::collections::BTreeSet;
use std::fs;
use std::io;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::app;
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::set_semantics;
use crate::cli::names::Names;
use crate::cli::progress;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::{OutputFormat, SemanticsArg, clock};
use look::{Fault, Found, Grant, Wanted};
use palisade_engine::model::{Revision, Uid, Value};
use palisade_engine::{NO_SCHEMA, SchemaFacts, Snapshot};

/// Flags of `palisade review`.
#[derive(Debug, Clone, Args)]
pub struct ReviewArgs {
    /// The tenant, such as `Tenant::acme`: an entity. What is in it is reviewed, and itself
    #[arg(value_name = "UID")]
    pub tenant: String,
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Only this principal; may be repeated
    #[arg(short = 'l', long, value_name = "UID")]
    pub principal: Vec<String>,
    /// Only this action; may be repeated
    #[arg(short, long, value_name = "UID")]
    pub action: Vec<String>,
    /// The context of each question: a JSON object, or a file that holds one
    #[arg(short, long, value_name = "JSON|FILE", default_value = "{}")]
    pub context: String,
    /// The time of each question, such as 2026-11-21T12:00:00Z [default: the clock's]
    #[arg(long, value_name = "TIME", value_parser = clock::parse)]
    pub now: Option<i64>,
    /// How decisions are made [key: decision.semantics]
    #[arg(long, value_enum)]
    pub semantics: Option<SemanticsArg>,
    /// How many questions are asked at most; where it takes more, nothing is reviewed
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub limit: usize,
    /// How many resources are named in a row of the table
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub show: usize,
    /// Output format; `json` names all resources
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Runs the verb.
///
/// # Errors
/// If there is no bundle, or nothing can be reviewed.
pub(super) fn run(args: &ReviewArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let chosen = args.bundle.choose_with(|tree| set_semantics(tree, args.semantics))?;
    let text = if args.context.trim_start().starts_with('{') {
        args.context.clone()
    } else {
        let unread = |error: io::Error| Stop::failure(format!("cannot read {}: {error}", args.context));
        fs::read_to_string(&args.context).map_err(unread)?
    };
    let context = Value::parse(text.as_bytes()).ok().filter(|context| context.as_object().is_some());
    let context = context.ok_or_else(|| Stop::usage("the context is not an object in JSON"))?;
    let Some(bundle) = chosen.read_shown(terminal.err)? else { return Ok(Exit::Invalid) };
    let Some(schema) = bundle.schema.clone() else {
        return Err(Stop::failure(format!("{NO_SCHEMA}, and it says which actions there are to ask about")));
    };
    let limits = app::engine_settings(&chosen.settings).limits;
    let written: Vec<Option<&str>> =
        args.principal.iter().chain([&args.tenant]).chain(&args.action).map(|name| Some(name.as_str())).collect();
    let names = Names::of(Some(&schema), &limits, &written);
    let entity = |name: &String| names.entity(name).map_err(Stop::usage);
    let wanted = Wanted {
        tenant: entity(&args.tenant)?,
        principals: args.principal.iter().map(entity).collect::<Result<_, _>>()?,
        actions: args.action.iter().map(|name| names.action(name).map_err(Stop::usage)).collect::<Result<_, _>>()?,
        context,
        now: args.now.unwrap_or_else(clock::now),
        limit: args.limit,
    };
    let (settings, revision) = (chosen.engine(), Revision { incarnation: 0, counter: 1 });
    let bar = progress::counted();
    let review = || {
        let facts = SchemaFacts::read(&schema, &limits)?;
        let (snapshot, _) = Snapshot::build_observed(bundle.into(), &settings, revision, &progress::observers())?;
        Ok(look::look(&snapshot, &facts, &wanted, &|done, of| bar("asking", done, of)))
    };
    match palisade_engine::on_big_stack(review)? {
        Ok(Ok(found)) => {
            match args.format {
                OutputFormat::Human => table(&found, args, terminal)?,
                OutputFormat::Json => {
                    let shown = as_json(&found, &wanted.tenant, &text);
                    serde_json::to_writer_pretty(&mut *terminal.out, &shown).map_err(io::Error::from)?;
                    writeln!(terminal.out)?;
                }
            }
            Ok(Exit::Success)
        }
        Ok(Err(fault)) => Err(Stop::failure(in_words(fault, args))),
        Err(problems) => {
            bundle::show(&chosen.with_places(problems), terminal.err)?;
            Ok(Exit::Invalid)
        }
    }
}

fn in_words(fault: Fault, args: &ReviewArgs) -> String {
    match fault {
        Fault::NoTenant(uid) => format!("{uid} is not stored; `palisade check --help` says which files are read"),
        Fault::Unknown(uid) => format!("{uid} is not stored, or is not in {}", args.tenant),
        Fault::NoAction(action) => format!("the schema has no action {action}"),
        Fault::TooMany(takes) => format!(
            "it takes {takes} questions, more than {}: name principals (-l) or actions (-a), or raise --limit",
            args.limit
        ),
        Fault::Refused(error) => format!("no question can be asked: {error}; the context is given with -c"),
    }
}

/// Whether a grant of the tenant does nothing for any principal of it. Unknown where it decided nothing and not all was asked,
/// or its policies look for what the context does not have.
fn gives_nothing(found: &Found, grant: &Grant) -> Option<bool> {
    match grant {
        Grant { links: 0, .. } => Some(true),
        Grant { decided: 1.., .. } if found.is_whole => Some(false),
        Grant { needs, .. } => (found.is_whole && needs.is_empty() && found.not_asked.is_empty()).then_some(true),
    }
}

/// Words one after the other.
fn listed(words: &BTreeSet<String>) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn effect(grant: &Grant) -> &'static str {
    match (grant.effect.permits, grant.effect.forbids) {
        (true, false) => "permit",
        (false, true) => "forbid",
        (true, true) => "both",
        (false, false) => "-",
    }
}

fn table(found: &Found, args: &ReviewArgs, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let mut rows = vec![["PRINCIPAL", "ACTION", "TYPE", "ALLOWED", "OF", "WHICH"].map(str::to_owned).to_vec()];
    for principal in &found.principals {
        if principal.rights.is_empty() {
            rows.push([&principal.uid.to_string(), "-", "-", "0", "-", "-"].map(str::to_owned).to_vec());
        }
        for right in &principal.rights {
            let which: Vec<&str> = right.allowed.iter().take(args.show).map(|uid| &*uid.id).collect();
            let rest = right.allowed.len() - which.len();
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            rows.push(vec![
                principal.uid.to_string(),
                right.action.id.to_string(),
                right.resource_type.clone(),
                right.allowed.len().to_string(),
                right.of.to_string(),
                format!("{}{more}", which.join(", ")),
            ]);
        }
    }
    write(&rows, terminal)?;
    let mut rows = vec![["ROLE", "HAS", "WHO"].map(str::to_owned).to_vec()];
    for (uid, role) in &found.roles {
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let has: Vec<&str> = role.parents.iter().map(|uid| &*uid.id).collect();
        let who: Vec<&str> = role.members.iter().map(|uid| &*uid.id).collect();
        rows.push(vec![uid.to_string(), or_none(has.join(", ")), or_none(who.join(", "))]);
    }
    write(&rows, terminal)?;
    let mut rows = vec![["GRANT", "REFERS TO", "EFFECT", "LINKS", "DECIDED"].map(str::to_owned).to_vec()];
    for grant in &found.grants {
        let refers: Vec<String> = grant.refers.iter().map(|(name, uid)| format!("{name} {}", uid.id)).collect();
        rows.push(vec![
            grant.uid.to_string(),
            if refers.is_empty() { "-".to_owned() } else { refers.join(", ") },
            effect(grant).to_owned(),
            grant.links.to_string(),
            grant.decided.to_string(),
        ]);
    }
    write(&rows, terminal)?;
    for grant in found.grants.iter().filter(|grant| gives_nothing(found, grant) == Some(true)) {
        let why = if grant.links == 0 { "makes no link" } else { "decided nothing" };
        writeln!(terminal.out, "gives nothing: {} {why}", grant.uid)?;
    }
    let is_open = |grant: &&Grant| found.is_whole && grant.decided == 0 && !grant.needs.is_empty();
    for grant in found.grants.iter().filter(is_open) {
        let needs = listed(&grant.needs);
        writeln!(terminal.out, "not known: {} decided nothing, and looks for {needs} in the context (-c)", grant.uid)?;
    }
    for (action, why) in &found.not_asked {
        writeln!(terminal.out, "not asked: {action}: {why}")?;
    }
    if !found.not_tried.is_empty() {
        let members = listed(&found.not_tried);
        writeln!(terminal.out, "not tried: with {members} in the context, which some policies look for (-c)")?;
    }
    let (asked, tenant) = (found.asked, &args.tenant);
    writeln!(
        terminal.out,
        "{asked} questions asked, of those in {tenant} alone, each with the context {}",
        args.context
    )
}

/// Writes a table whose first row is its head, and an empty line; nothing where there is only the head.
fn write(rows: &[Vec<String>], terminal: &mut Terminal<'_>) -> io::Result<()> {
    let [head, rest @ ..] = rows else { return Ok(()) };
    if rest.is_empty() {
        return Ok(());
    }
    let mut widths = vec![0; head.len()];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    for (n, row) in rows.iter().enumerate() {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = padded.join("  ").trim_end().to_owned();
        let line = if n == 0 { toned(line, Tone::Faint, terminal.color).to_string() } else { line };
        writeln!(terminal.out, "{line}")?;
    }
    writeln!(terminal.out)
}

fn as_json(found: &Found, tenant: &Uid<'_>, context: &str) -> Json {
    let texts = |uids: &[Uid<'static>]| uids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let principals: Vec<Json> = found
        .principals
        .iter()
        .map(|principal| {
            let rights: Vec<Json> = principal
                .rights
                .iter()
                .map(|right| {
                    json!({
                        "action": right.action.to_string(),
                        "resource_type": right.resource_type,
                        "allowed": texts(&right.allowed),
                        "of": right.of,
                    })
                })
                .collect();
            json!({ "principal": principal.uid.to_string(), "in": texts(&principal.parents), "rights": rights })
        })
        .collect();
    let roles: Vec<Json> = found
        .roles
        .iter()
        .map(|(uid, role)| json!({ "role": uid.to_string(), "in": texts(&role.parents), "who": texts(&role.members) }))
        .collect();
    let grants: Vec<Json> = found
        .grants
        .iter()
        .map(|grant| {
            let refers: serde_json::Map<String, Json> =
                grant.refers.iter().map(|(name, uid)| (name.clone(), json!(uid.to_string()))).collect();
            json!({
                "grant": grant.uid.to_string(),
                "refers_to": refers,
                "effect": effect(grant),
                "links": grant.links,
                "decided": grant.decided,
                "needs": grant.needs,
                "gives_nothing": gives_nothing(found, grant),
            })
        })
        .collect();
    let not_asked: serde_json::Map<String, Json> =
        found.not_asked.iter().map(|(action, why)| (action.to_string(), json!(why))).collect();
    json!({
        "tenant": tenant.to_string(),
        "context": serde_json::from_str::<Json>(context).unwrap_or_default(),
        "principals": principals,
        "roles": roles,
        "grants": grants,
        "asked": found.asked,
        "not_asked": not_asked,
        "not_tried": found.not_tried,
    })
}
