//! HAProxy with Lua or SPOE.
//!
//! The files are read as one configuration, section by section, and the rules of each frontend in the order in which
//! they run.

mod cache;
mod chosen;
mod condition;
mod fastcgi;
mod frontend;
mod guards;
mod host;
mod known;
mod peers;
mod plain;
mod sections;
mod upgrades;

use crate::report::Report;
use crate::{Files, Source};
use palisade_engine::model::Diagnostic;
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
    let tier = all().filter_map(asks).max();
    let is_check = |rule: &sections::Rule<'_>| tier.is_some() && asks(*rule) == tier;
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
    known::lint(&config, &is_check, &mut report);
    peers::lint(&config, &is_check, &mut report);
    report.findings(&[])
}

/// How surely a rule asks the sidecar, if it asks a program at all: a program whose name says so wins over one whose
/// name does not. Where no name says so, every program is taken for the check.
fn asks(rule: sections::Rule<'_>) -> Option<u8> {
    if rule.lua().is_none() && rule.action() != "send-spoe-group" {
        return None;
    }
    let says = |what: &str| rule.action().contains(what) || rule.arguments().iter().any(|word| word.contains(what));
    Some(if says("palisade") { 2 } else { u8::from(says("auth")) })
}

/// Whether a section listens to clients.
fn listens(section: &Section) -> bool {
    matches!(section.kind.as_str(), "frontend" | "listen")
}
