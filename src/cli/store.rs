//! `palisade store`: looks at the file that changes are kept in, backs it up, and puts a backup in its place.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use palisade_journal::{Checked, Origin, backup, check, restore};
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::ConfigArgs;
use crate::cli::terminal::Terminal;
use palisade_engine::model::{Revision, count};

/// Flags of `palisade store`.
#[derive(Debug, Clone, Args)]
pub struct StoreVerb {
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with the store.
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Read the whole store and say what it holds
    ///
    /// Nothing is changed; a sidecar may have it open. Exits with 1 if it is damaged.
    #[command(after_long_help = "Examples:\n  $ palisade store check --store state/palisade.store")]
    Check(CheckArgs),
    /// Copy the store to a file that does not exist yet
    ///
    /// The copy is checked. A sidecar may have the store open: the copy is what was acknowledged at one moment.
    #[command(after_long_help = "Examples:\n  $ palisade store backup --store state/palisade.store backup.store")]
    Backup(BackupArgs),
    /// Put a backup in the place of a store that does not exist
    ///
    /// Stop the sidecar and move the old store away first. Revisions of the time before are not those of the time after.
    #[command(after_long_help = "Examples:\n  $ palisade store restore --store state/palisade.store backup.store")]
    Restore(RestoreArgs),
}

/// Which store, and how to show it.
#[derive(Debug, Clone, Args)]
pub struct Which {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The store [default: `store.path` of the configuration]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// Flags of `palisade store check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub which: Which,
}

/// Flags of `palisade store backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub which: Which,
    /// The file to write
    #[arg(value_name = "TO")]
    pub to: PathBuf,
}

/// Flags of `palisade store restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub which: Which,
    /// The backup
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
}

impl Which {
    fn path(&self) -> Result<PathBuf, Stop> {
        if let Some(path) = &self.store {
            return Ok(path.clone());
        }
        let settings = self.config.load(self.config.tree()?)?;
        let none = || Stop::usage("there is no store: name it with `--store`, or set `store.path`");
        settings.store.path.ok_or_else(none)
    }

    fn show(&self, path: &Path, checked: &Checked, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
        let Checked { version, incarnation, counter, clean, backup, bytes, unacknowledged, .. } = *checked;
        let revision = (counter > 0).then(|| Revision { incarnation, counter }.to_string());
        let base = checked.base.as_ref().map(|base| match base {
            Origin::Put => "bundle",
            Origin::Files(_) => "files",
        });
        if self.format == OutputFormat::Json {
            let shown = json!({
                "path": path.display().to_string(),
                "version": version,
                "revision": revision,
                "base": base,
                "image_bytes": checked.image_bytes,
                "overlay": checked.overlay,
                "answers": checked.answers,
                "bytes": bytes,
                "unacknowledged_bytes": unacknowledged,
                "clean": clean,
                "backup": backup,
            });
            writeln!(terminal.out, "{shown:#}")?;
            return Ok(Exit::Success);
        }
        writeln!(terminal.out, "{}: intact, {bytes} bytes, format {version}", path.display())?;
        writeln!(terminal.out, "revision: {}", revision.as_deref().unwrap_or("nothing was ever published"))?;
        writeln!(terminal.out, "base: {}", base.unwrap_or("none yet"))?;
        writeln!(terminal.out, "overlay: {}, answers kept: {}", count(checked.overlay, "change"), checked.answers)?;
        let end = match (backup, clean) {
            (true, _) => "a backup, not opened yet",
            (false, true) => "cleanly",
            (false, false) => "not cleanly, or a sidecar has it open",
        };
        writeln!(terminal.out, "ended: {end}")?;
        if unacknowledged > 0 {
            writeln!(terminal.out, "{unacknowledged} bytes at its end were never acknowledged")?;
        }
        Ok(Exit::Success)
    }
}

/// Runs the verb.
///
/// # Errors
/// If the store is damaged or in the way, or cannot be read or written.
pub(super) fn run(args: &StoreVerb, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let failed = |error: palisade_journal::OpenError| Stop::failure(error.to_string());
    match &args.command {
        StoreCommand::Check(CheckArgs { which }) => {
            let path = which.path()?;
            which.show(&path, &check(&path).map_err(failed)?, terminal)
        }
        StoreCommand::Backup(BackupArgs { which, to }) => {
            let checked = backup(&which.path()?, to).map_err(failed)?;
            which.show(to, &checked, terminal)
        }
        StoreCommand::Restore(RestoreArgs { which, from }) => {
            let path = which.path()?;
            let checked = restore(from, &path).map_err(failed)?;
            which.show(&path, &checked, terminal)
        }
    }
}
