//! HAProxy with Lua or SPOE.
//!
//! The files are read as one configuration, section by section, and the rules of each frontend in the order in which
//! they run.

mod chosen;
mod condition;
mod frontend;
mod guards;
mod plain;
mod sections;

use crate::domain::Diagnostic;
use crate::gateway::lint::report::Report;
use crate::gateway::lint::{Files, Source};
use sections::{Config, Section};

/// The traps in the configuration that these files make.
pub(super) fn lint(sources: &[Source], files: Files<'_>) -> Vec<Diagnostic> {
    let mut report = Report::new(files);
    let mut config = Config::default();
    for (origin, text) in sources {
        let source = report.add(origin, text);
        config.read(source, text, &mut report);
    }
    if config.sections.is_empty() {
        return report.findings(&[]);
    }
    let all = || config.sections.iter().flat_map(|section| config.rules(section));
    let named = all().any(|rule| rule.lua().is_some_and(is_named));
    // without a name that tells, every action is taken for the check
    let is_check = |rule: &sections::Rule<'_>| {
        rule.action() == "send-spoe-group" || rule.lua().is_some_and(|name| !named || is_named(name))
    };
    if !all().any(|rule| is_check(&rule)) {
        report.missing(
            "haproxy-no-check",
            None,
            "nothing asks the sidecar",
            "add `http-request lua.palisade` or a SPOE group to every frontend",
        );
        return report.findings(&[]);
    }
    frontend::lint(&config, &is_check, &mut report);
    report.findings(&[])
}

/// Whether the name of a Lua action says that it asks somebody.
fn is_named(name: &str) -> bool {
    name.contains("palisade") || name.contains("auth")
}

/// Whether a section listens to clients.
fn listens(section: &Section) -> bool {
    matches!(section.kind.as_str(), "frontend" | "listen")
}
