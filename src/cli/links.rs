//! `palisade links`: every link of a bundle, and the entity that made it where data did.

use std::io;

use clap::Args;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::bundle::{self, BundleArgs};
use crate::cli::exit::{Exit, Stop};
use crate::cli::progress;
use crate::cli::terminal::{Terminal, Tone, toned};
use palisade_engine::model::{Revision, Written};
use palisade_engine::{ListedLink, Snapshot};

/// Flags of `palisade links`.
#[derive(Debug, Clone, Args)]
pub struct LinksArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Show links of this template alone
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

const HEADS: [&str; 6] = ["LINK", "TEMPLATE", "PRINCIPAL", "RESOURCE", "MADE BY", "WRITTEN AT"];

/// Runs the verb.
///
/// # Errors
/// If there is no bundle.
pub(super) fn run(args: &LinksArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let chosen = args.bundle.choose()?;
    let Some(bundle) = chosen.read_shown(terminal.err)? else { return Ok(Exit::Invalid) };
    let (settings, revision) = (chosen.engine(), Revision { incarnation: 0, counter: 1 });
    let build = || Snapshot::build_observed(bundle.into(), &settings, revision, &progress::observers());
    match palisade_engine::on_big_stack(build)? {
        Ok((snapshot, _)) => {
            let wanted = |listed: &ListedLink<'_>| {
                args.template.as_ref().is_none_or(|template| *template == listed.link.template_id)
            };
            let links: Vec<_> = snapshot.links().into_iter().filter(wanted).collect();
            write(&links, args.format, terminal)?;
            Ok(Exit::Success)
        }
        Err(problems) => {
            bundle::show(&chosen.with_places(problems), terminal.err)?;
            Ok(Exit::Invalid)
        }
    }
}

fn write(links: &[ListedLink<'_>], format: OutputFormat, terminal: &mut Terminal<'_>) -> io::Result<()> {
    if format == OutputFormat::Json {
        let shown: Vec<_> = links.iter().map(as_json).collect();
        serde_json::to_writer_pretty(&mut *terminal.out, &shown).map_err(io::Error::from)?;
        return writeln!(terminal.out);
    }
    let rows: Vec<[String; 6]> = links.iter().map(row).collect();
    let mut widths = HEADS.map(str::len);
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    let line = |cells: &[String; 6]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(terminal.out, "{}", toned(line(&HEADS.map(str::to_owned)), Tone::Faint, terminal.color))?;
    rows.iter().try_for_each(|row| writeln!(terminal.out, "{}", line(row)))
}

fn place(written: &Written) -> String {
    match written.line {
        Some(line) => format!("{}:{line}", written.origin),
        None => written.origin.to_string(),
    }
}

fn slot<'l>(listed: &'l ListedLink<'_>, name: &str) -> Option<&'l str> {
    listed.link.args.iter().find(|(slot, _)| slot == name).map(|(_, entity)| entity.as_str())
}

fn row(listed: &ListedLink<'_>) -> [String; 6] {
    let filled = |name| slot(listed, name).unwrap_or("-").to_owned();
    [
        listed.link.link_id.clone(),
        listed.link.template_id.clone(),
        filled("?principal"),
        filled("?resource"),
        listed.made_by.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        listed.link.written.as_ref().map_or_else(|| "-".to_owned(), place),
    ]
}

fn as_json(listed: &ListedLink<'_>) -> serde_json::Value {
    json!({
        "link_id": listed.link.link_id,
        "template_id": listed.link.template_id,
        "principal": slot(listed, "?principal"),
        "resource": slot(listed, "?resource"),
        "made_by": listed.made_by.as_ref().map(ToString::to_string),
        "written": listed.link.written.as_ref().map(place),
        "declaration": listed.declaration.map(palisade_engine::model::LinkDeclaration::to_json),
    })
}
