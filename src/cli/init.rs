//! `palisade init`: a small bundle to start from, which validates, passes its tests and serves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::Terminal;

/// A file that is written: where below the directory, and its text.
type File = (&'static str, &'static str);

const DOCUMENTS: &[File] = &[
    ("policies/documents.cedarschema", include_str!("init/policies/documents.cedarschema")),
    ("policies/documents.cedar", include_str!("init/policies/documents.cedar")),
    ("policies/tests/documents.yaml", include_str!("init/policies/tests/documents.yaml")),
    ("entities/documents.json", include_str!("init/entities/documents.json")),
    ("palisade.yaml", include_str!("init/palisade.yaml")),
];

const SAAS: &[File] = &[
    ("policies/saas.cedarschema", include_str!("init/saas/policies/saas.cedarschema")),
    ("policies/guards.cedar", include_str!("init/saas/policies/guards.cedar")),
    ("policies/rights.cedar", include_str!("init/saas/policies/rights.cedar")),
    ("policies/shares.cedar", include_str!("init/saas/policies/shares.cedar")),
    ("policies/saas.links.yaml", include_str!("init/saas/policies/saas.links.yaml")),
    ("policies/saas.rules.yaml", include_str!("init/saas/policies/saas.rules.yaml")),
    ("policies/tests/saas.yaml", include_str!("init/saas/policies/tests/saas.yaml")),
    ("entities/saas.json", include_str!("init/saas/entities/saas.json")),
    ("palisade.yaml", include_str!("init/palisade.yaml")),
];

/// What there is to start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Three policies over documents in folders
    #[default]
    Documents,
    /// A product that many organisations share: tenants, nested customers, roles and shares as data, tokens
    Saas,
}

impl Template {
    /// What is written. The names at the top must be free.
    const fn files(self) -> &'static [File] {
        match self {
            Self::Documents => DOCUMENTS,
            Self::Saas => SAAS,
        }
    }
}

/// Flags of `palisade init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// The directory; it is created if it is missing
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// What to start from
    #[arg(long, value_enum, default_value_t)]
    pub template: Template,
}

/// Runs the verb.
///
/// # Errors
/// If one of the files cannot be written, or something of their names is there. Nothing is ever overwritten.
pub(super) fn run(args: &InitArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let (dir, files) = (&args.dir, args.template.files());
    let taken: Vec<String> =
        tops(files).filter(|top| dir.join(top).symlink_metadata().is_ok()).map(str::to_owned).collect();
    if !taken.is_empty() {
        let names = taken.join("`, `");
        return Err(Stop::failure(format!(
            "{} has `{names}` already, and nothing is overwritten: choose another directory, or move them away",
            dir.display()
        )));
    }
    for (at, (name, text)) in files.iter().enumerate() {
        let path = dir.join(name);
        write_new(&path, text).map_err(|error| {
            let written: Vec<&str> = files.iter().take(at).map(|(name, _)| *name).collect();
            let rest =
                if written.is_empty() { String::new() } else { format!("; written before: {}", written.join(", ")) };
            Stop::failure(format!("{}: {error}{rest}", path.display()))
        })?;
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    writeln!(terminal.out, "\nNext:")?;
    if dir != Path::new(".") {
        writeln!(terminal.out, "  cd {}", quoted(dir))?;
    }
    for verb in ["validate", "test", "serve"] {
        writeln!(terminal.out, "  palisade {verb}")?;
    }
    Ok(Exit::Success)
}

/// The names directly below the directory.
fn tops(files: &[File]) -> impl Iterator<Item = &'static str> {
    let tops = files.iter().map(|(name, _)| name.split('/').next().unwrap_or(name));
    let mut last = None;
    tops.filter(move |top| last.replace(*top) != Some(*top))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path
    } else {
        format!("-- '{}'", path.replace('\'', r"'\''"))
    }
}
