//! Reports to files, beside the one on standard output.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::exit::Stop;
use crate::cli::printable::Printable;
use crate::cli::test::format::{self, Format};
use crate::cli::test::report::Report;

/// A file that a report is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTo {
    /// How it is written.
    pub format: Format,
    /// Where it is written.
    pub path: PathBuf,
}

impl ReportTo {
    /// Reads `FORMAT=FILE`, for clap.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        const HOW: &str = "write FORMAT=FILE, such as junit=report.xml; a format is human, json, junit or tap";
        let (format, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or(HOW)?;
        let format = Format::from_str(format, false).map_err(|_| format!("there is no format `{format}`: {HOW}"))?;
        Ok(Self { format, path: PathBuf::from(path) })
    }
}

/// Refuses two reports to one file: the second would replace the first.
pub(super) fn check(reports: &[ReportTo]) -> Result<(), Stop> {
    let mut taken = HashSet::new();
    match reports.iter().find(|to| !taken.insert(&to.path)) {
        Some(twice) => {
            Err(Stop::usage(format!("two reports go to `{}`: give each a file of its own", twice.path.display())))
        }
        None => Ok(()),
    }
}

/// Writes the report to each file, however the others fare.
pub(super) fn write(reports: &[ReportTo], report: &Report, quiet: bool) -> Result<(), Stop> {
    let mut failures = Vec::new();
    for to in reports {
        let mut text = Vec::new();
        let mut shown = Printable::new(&mut text, false);
        let written = format::write(report, to.format, quiet, false, &mut shown).and_then(|()| shown.flush());
        if let Err(error) = written.and_then(|()| fs::write(&to.path, &text)) {
            failures.push(format!("cannot write the report `{}`: {error}", to.path.display()));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Stop::failure(failures.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_and_a_file() {
        for (text, expected) in [
            ("junit=a.xml", Ok((Format::Junit, "a.xml"))),
            ("json=/tmp/a=b.json", Ok((Format::Json, "/tmp/a=b.json"))),
            ("a.xml", Err("write FORMAT=FILE")),
            ("junit=", Err("write FORMAT=FILE")),
            ("pdf=a.pdf", Err("there is no format `pdf`")),
        ] {
            match (ReportTo::parse(text), expected) {
                (Ok(to), Ok((format, path))) => {
                    assert_eq!((to.format, to.path), (format, PathBuf::from(path)), "{text}")
                }
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
