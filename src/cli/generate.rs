//! `palisade completions` and `palisade man`: what is made from the definitions of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::exit::{Exit, Stop};
use crate::cli::terminal::Terminal;

/// Flags of `palisade completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell to complete in
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Flags of `palisade man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write every page into this directory, instead of the first to standard output
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Runs `palisade completions`.
///
/// # Errors
/// If the script cannot be written.
pub(super) fn completions(args: &CompletionsArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "palisade", &mut script);
    terminal.out.write_all(&script)?;
    Ok(Exit::Success)
}

/// Runs `palisade man`.
///
/// # Errors
/// If a page cannot be written.
pub(super) fn man(args: &ManArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    match &args.dir {
        None => page(&root, "palisade", terminal.out)?,
        Some(dir) => {
            let failed = |error: io::Error| Stop::failure(format!("{}: {error}", dir.display()));
            fs::create_dir_all(dir).map_err(failed)?;
            pages(&root, "palisade", dir).map_err(failed)?;
        }
    }
    Ok(Exit::Success)
}

fn pages(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    page(command, name, &mut text)?;
    fs::write(dir.join(format!("{name}.1")), text)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| pages(command, &format!("{name}-{}", command.get_name()), dir))
}

fn page(command: &Command, name: &str, to: &mut dyn Write) -> io::Result<()> {
    // leaked text of a process that ends soon: clap wants names that live as long
    let command = command.clone().name(String::leak(name.to_owned()) as &str);
    clap_mangen::Man::new(command).render(&mut &mut *to)
}
