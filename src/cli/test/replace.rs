//! What a report may be written over: an earlier one of its kind, and nothing else. A slip in a name must not cost a policy.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::cli::exit::Stop;
use crate::cli::test::TestArgs;
use crate::cli::test::format::Format;

/// How files end that a bundle, its tests and its configuration are read from.
const READ: [&str; 6] = ["cedar", "cedarschema", "json", "ndjson", "yaml", "yml"];

/// What is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Report(Format),
    Lcov,
    Page,
}

impl Kind {
    /// How such a file begins. A report for people has no beginning of its own.
    fn beginning(self) -> Option<&'static str> {
        match self {
            Self::Report(Format::Human) => None,
            Self::Report(Format::Json) => Some("{\n  \"passed\": "),
            Self::Report(Format::Junit) => {
                Some("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"palisade\"")
            }
            Self::Report(Format::Tap) => Some("TAP version 14\n"),
            Self::Lcov => Some("TN:\nSF:"),
            Self::Page => Some("<!doctype html>"),
        }
    }
}

/// Looks at every file that a run would write.
///
/// # Errors
/// If one is there and is no earlier report of its kind.
pub(super) fn check(args: &TestArgs) -> Result<(), Stop> {
    let reports = args.report.iter().map(|to| (to.path.as_path(), Kind::Report(to.format)));
    let lcov = args.coverage_lcov.iter().map(|path| (path.as_path(), Kind::Lcov));
    let page = args.coverage_html.iter().map(|path| (path.as_path(), Kind::Page));
    for (path, kind) in reports.chain(lcov).chain(page) {
        // what is no file, such as a pipe, keeps nothing
        if path.metadata().is_ok_and(|found| found.is_file()) && !is_replaceable(path, kind).unwrap_or(false) {
            return Err(Stop::failure(format!(
                "`{}` exists and is no report of this kind: name a new file, or remove it",
                path.display()
            )));
        }
    }
    Ok(())
}

fn is_replaceable(path: &Path, kind: Kind) -> io::Result<bool> {
    let Some(beginning) = kind.beginning() else {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        return Ok(READ.iter().all(|read| ending != *read));
    };
    let mut found = Vec::new();
    File::open(path)?.take(beginning.len() as u64).read_to_end(&mut found)?;
    Ok(found.is_empty() || found == beginning.as_bytes())
}
