//! Known traps in the configurations of gateways.
//!
//! Each of these was seen to let a request pass unchecked, to show the sidecar another path than the service
//! gets, or to hang. A finding is a warning: who wrote the file knows what a lint cannot see. What the gateway would
//! not read at all is an error. Those of nginx and Envoy are read by their structure, the others by their text.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod questions;
mod traefik;
mod tunnels;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::Diagnostic;
use crate::gateway::place::located;

pub use questions::questions;

/// What the sidecar says of the caller.
const IDENTITY: [&str; 3] = ["X-Palisade-Principal", "X-Palisade-Auth-Method", "X-Palisade-Token"];

/// How long the sidecar takes for an answer if nothing else is set.
const DEADLINE: Duration = Duration::from_millis(100);

/// A gateway whose configuration can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// nginx with `auth_request`.
    Nginx,
    /// Envoy with `ext_authz`.
    Envoy,
    /// Caddy with `forward_auth`.
    Caddy,
    /// Traefik with `forwardAuth`.
    Traefik,
    /// HAProxy with Lua or SPOE.
    Haproxy,
    /// Apache with `mod_lua`.
    Apache,
}

/// Finds the files that an `include` names, as name and text, or says why it cannot. Whoever calls reads them: nothing
/// here touches files. A pattern that matches nothing is no failure.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<Vec<(String, String)>, String>;

/// The traps in the configuration `text`, which was read from `origin`.
#[must_use]
pub fn lint(gateway: Gateway, origin: &str, text: &str, files: Files<'_>) -> Vec<Diagnostic> {
    let mut file = File { origin, text, findings: Vec::new() };
    match gateway {
        Gateway::Nginx => return nginx::lint(origin, text, files),
        Gateway::Envoy => envoy::lint(&mut file),
        Gateway::Caddy => caddy::lint(&mut file),
        Gateway::Traefik => traefik::lint(&mut file),
        Gateway::Haproxy => haproxy::lint(&mut file),
        Gateway::Apache => apache::lint(&mut file),
    }
    tunnels::lint(gateway, &mut file);
    file.findings.sort_by_key(|finding| finding.line);
    file.findings
}

/// A configuration, and what was found in it.
struct File<'a> {
    origin: &'a str,
    text: &'a str,
    findings: Vec<Diagnostic>,
}

impl<'a> File<'a> {
    /// The lines that say something, from 1, without comments.
    fn lines(&self) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, without_comment(line).trim()));
        lines.filter(|(_, line)| !line.is_empty())
    }

    /// The first line that contains `word`.
    fn find(&self, word: &str) -> Option<usize> {
        self.lines().find(|(_, line)| line.contains(word)).map(|(at, _)| at)
    }

    fn has(&self, word: &str) -> bool {
        self.find(word).is_some()
    }

    /// Warns at a line, or about the file as a whole.
    fn warn(&mut self, line: Option<usize>, message: &str, help: &str) {
        let finding = Diagnostic::error(self.origin, message).warning().help(help);
        self.findings.push(match line {
            Some(line) => located(finding, self.text, line),
            None => finding,
        });
    }
}

/// What is before a `#` that begins a comment; one inside a word or a string is none.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() || before == ';' || before == '{' => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}
