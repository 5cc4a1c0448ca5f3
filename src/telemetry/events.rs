//! Events: a log line and its counter in one, so that neither is forgotten.
//!
//! None of them belongs on a request's path.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::telemetry::{IdentitySource, Listener, Metrics, ReloadResult, ReloadSource, logging};
use palisade_engine::model::{Diagnostic, PolicyId, Revision, Severity};

/// New policies or entities are active.
#[derive(Debug)]
pub struct ReloadPublished {
    /// Where they came from.
    pub source: ReloadSource,
    /// The revision that they have.
    pub revision: Revision,
    /// How many policies are active now.
    pub policies: usize,
    /// How many entities are active now.
    pub entities: usize,
    /// How many of the policies forbid.
    pub forbids: usize,
    /// How many routes are active now.
    pub routes: usize,
    /// How long it took to build and publish them.
    pub took: Duration,
}

impl ReloadPublished {
    /// Logs and counts it, and sets the gauges of what is active.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(self.source, ReloadResult::Good).inc();
        metrics.published(self.revision, self.policies, self.entities);
        metrics.forbids.set(i64::try_from(self.forbids).unwrap_or(i64::MAX));
        let Self { source, revision, policies, forbids, entities, routes, took } = self;
        // of a float as it is a log would show `3.1714379999999998`
        let took_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        info!(%source, %revision, policies, forbids, entities, routes, took_ms, "policies and entities loaded");
    }
}

/// What was published lacks forbids that were active before.
#[derive(Debug)]
pub struct ForbidsRemoved<'a> {
    /// Where the change came from.
    pub source: ReloadSource,
    /// The revision without them.
    pub revision: Revision,
    /// Their ids.
    pub ids: &'a [PolicyId],
}

/// How many ids a log line names.
const NAMED_IDS: usize = 100;

impl ForbidsRemoved<'_> {
    /// Logs it as a warning: requests that were denied may be allowed now.
    pub fn emit(&self, _: &Metrics) {
        let Self { source, revision, ids } = self;
        let removed = ids.len();
        let named: Vec<&str> = ids.iter().take(NAMED_IDS).map(|id| &**id).collect();
        let more = if removed > NAMED_IDS { format!(" and {} more", removed - NAMED_IDS) } else { String::new() };
        warn!(%source, %revision, removed, "forbid policies are removed: {}{more}", named.join(", "));
    }
}

/// A transaction is active.
#[derive(Debug)]
pub struct ChangePublished {
    /// The revision that it has.
    pub revision: Revision,
    /// How many policies are active now.
    pub policies: usize,
    /// How many entities are active now.
    pub entities: usize,
    /// How many of the policies forbid, where it changed policies.
    pub forbids: Option<usize>,
    /// How long it took to make and publish it.
    pub took: Duration,
}

impl ChangePublished {
    /// Counts it and sets the gauges of what is active; logs it for those who look for it: there may be many.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(ReloadSource::Changes, ReloadResult::Good).inc();
        metrics.changed(self.revision, self.policies, self.entities);
        if let Some(forbids) = self.forbids {
            metrics.forbids.set(i64::try_from(forbids).unwrap_or(i64::MAX));
        }
        let (source, Self { revision, policies, entities, took, .. }) = (ReloadSource::Changes, self);
        debug!(%source, %revision, policies, entities, took_ms = took.as_secs_f64() * 1e3, "changes made");
    }
}

/// A transaction cannot be made. Its sender is answered why.
#[derive(Debug)]
pub struct ChangeRefused<'a> {
    /// What is wrong with it.
    pub problems: &'a [Diagnostic],
}

impl ChangeRefused<'_> {
    /// Counts it, and logs the first problem.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(ReloadSource::Changes, ReloadResult::Bad).inc();
        let (source, errors) = (ReloadSource::Changes, self.problems.len());
        if let Some(first) = self.problems.first() {
            info!(%source, errors, "changes refused: {first}");
        }
    }
}

/// Files changed something that a change of the API hides.
#[derive(Debug)]
pub struct FilesHidden<'a> {
    /// What it is.
    pub names: &'a [String],
}

impl FilesHidden<'_> {
    /// Logs it as a warning.
    pub fn emit(&self, _: &Metrics) {
        let hidden = self.names.len();
        let named = self.names.iter().take(NAMED_IDS).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if hidden > NAMED_IDS { format!(" and {} more", hidden - NAMED_IDS) } else { String::new() };
        let source = ReloadSource::Files;
        warn!(%source, hidden, "the files changed what changes of the API hide: {named}{more}; `revert` makes the files count");
    }
}

/// Files were changed before a change that the API has acknowledged since: they are skipped.
#[derive(Debug)]
pub struct LoadSuperseded {
    /// What was loaded.
    pub source: ReloadSource,
}

impl LoadSuperseded {
    /// Logs and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(self.source, ReloadResult::Superseded).inc();
        let source = self.source;
        warn!(%source, "superseded: these files were changed before a change that the API acknowledged, so they are skipped; they count again when they change");
    }
}

/// The sender of a change left before it took effect: the change was not built, or given up.
#[derive(Debug)]
pub struct ChangeAbandoned {
    /// What brought it.
    pub source: ReloadSource,
}

impl ChangeAbandoned {
    /// Logs and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(self.source, ReloadResult::Abandoned).inc();
        info!(source = %self.source, "abandoned: the client disconnected before this change took effect");
    }
}

/// A source offered what is active already.
#[derive(Debug)]
pub struct ReloadUnchanged {
    /// The source.
    pub source: ReloadSource,
    /// Whether it could not be loaded before.
    pub repaired: bool,
    /// Whether an operator asked for it, and waits for a line.
    pub asked: bool,
}

impl ReloadUnchanged {
    /// Logs and counts it; the data counts as current.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(self.source, ReloadResult::Unchanged).inc();
        metrics.confirmed_current();
        if self.repaired {
            info!(source = %self.source, "repaired: what is there now is what serves already");
        } else if self.asked {
            info!(source = %self.source, "reload asked for: nothing has changed since the last one");
        } else {
            debug!(source = %self.source, "nothing changed");
        }
    }
}

/// One line about what is wrong with a bundle, or what its author should look at.
pub fn finding(source: ReloadSource, diagnostic: &Diagnostic) {
    finding_with(logging::is_json(), source, diagnostic);
}

/// For people the message says it all; programs get the parts as fields too.
fn finding_with(fields: bool, source: ReloadSource, diagnostic: &Diagnostic) {
    let fields = fields.then_some(diagnostic);
    let file = fields.map(|diagnostic| diagnostic.origin.as_str());
    let line = fields.and_then(|diagnostic| diagnostic.line);
    let column = fields.and_then(|diagnostic| diagnostic.column);
    let policy = fields.and_then(|diagnostic| diagnostic.policy_id.as_deref());
    let code = fields.map(Diagnostic::code);
    match diagnostic.severity {
        Severity::Error => error!(%source, file, line, column, policy, code, "{diagnostic}"),
        Severity::Warning => warn!(%source, file, line, column, policy, code, "{diagnostic}"),
    }
}

/// New policies or entities were rejected. What served keeps serving.
#[derive(Debug)]
pub struct ReloadRejected<'a> {
    /// Where they came from.
    pub source: ReloadSource,
    /// What is wrong with them.
    pub diagnostics: &'a [Diagnostic],
    /// Whether it was not reported before.
    pub news: bool,
    /// What goes on serving.
    pub serving: Option<Revision>,
}

impl ReloadRejected<'_> {
    /// Logs a line a finding, then one that sums up, and counts it. What is no news is counted alone.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.reloads(self.source, ReloadResult::Bad).inc();
        let source = self.source;
        if !self.news {
            debug!(%source, "still refused, for the same reasons");
            return;
        }
        for diagnostic in self.diagnostics {
            finding(source, diagnostic);
        }
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        match self.serving {
            Some(revision) => error!(%source, errors, "change rejected; still serving revision {revision}"),
            None => error!(
                %source,
                errors,
                "change rejected; nothing to serve yet: waiting for files that can be loaded, or a bundle through the API"
            ),
        }
    }
}

/// The first load begins: until it is done, nothing can be decided.
#[derive(Debug)]
pub struct FirstLoad<'a> {
    /// Where the policies are.
    pub policies: &'a Path,
    /// Where the entities are.
    pub entities: &'a Path,
    /// Whether changes of them are noticed.
    pub watched: bool,
}

impl FirstLoad<'_> {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        let Self { policies, entities, watched } = self;
        let (policies, entities) = (policies.display(), entities.display());
        info!(%policies, %entities, watched, "waiting for policies and entities to be loaded; not ready before that");
    }
}

/// A load waits before it reads: for a file that may be half-written, or may come back.
#[derive(Debug)]
pub struct LoadWaits<W> {
    /// What is loaded.
    pub source: ReloadSource,
    /// What it waits for, and for how long.
    pub waits: W,
}

impl<W: Display> LoadWaits<W> {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        info!(source = %self.source, "waiting: {}", self.waits);
    }
}

/// A listener accepts connections.
#[derive(Debug)]
pub struct ListenerBound<A> {
    /// Which one.
    pub name: Listener,
    /// The address that it is bound to, with the port that the system chose.
    pub addr: A,
}

impl<A: Display> ListenerBound<A> {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        info!(listener = %self.name, addr = %self.addr, "listening");
    }
}

/// The sidecar is asked to stop: it is unready from now on.
#[derive(Debug)]
pub struct DrainStarted {
    /// How long it keeps serving before it closes its listeners.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub grace: Duration,
}

impl DrainStarted {
    /// Logs it and takes readiness back.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.set_ready(false);
        info!(delay_ms = millis(self.delay), grace_ms = millis(self.grace), "shutting down");
    }
}

/// The sidecar has ended its work.
#[derive(Debug)]
pub struct DrainFinished {
    /// How long it took, from the start of the drain.
    pub took: Duration,
    /// Connections that were still open when the grace period was over, and were cut.
    pub cut: usize,
    /// Requests that were not answered by then.
    pub unanswered: usize,
}

impl DrainFinished {
    /// Logs it; as a warning if connections were cut.
    pub fn emit(&self, _: &Metrics) {
        let (took_ms, cut, unanswered) = (millis(self.took), self.cut, self.unanswered);
        if cut == 0 && unanswered == 0 {
            info!(took_ms, "shut down; every request on an accepted connection was answered");
        } else {
            warn!(took_ms, cut, unanswered, "shut down; connections were cut when `shutdown.grace` was over");
        }
    }
}

/// The sidecar should have ended by now and has not: it is ended, whatever it does.
#[derive(Debug)]
pub struct DrainOverdue {
    /// Connections that are still open.
    pub cut: usize,
    /// Requests that are not answered.
    pub unanswered: usize,
}

impl DrainOverdue {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        let Self { cut, unanswered } = self;
        error!(cut, unanswered, "`shutdown.grace` is over and something is stuck: ending without waiting for it");
    }
}

/// The decision log could not keep up. The caller limits how often it says so.
#[derive(Debug)]
pub struct DecisionLogDropped {
    /// Records dropped since the last time it was said.
    pub count: u64,
}

impl DecisionLogDropped {
    /// Logs it. The records were counted when they were dropped: a stuck sink must not hide them.
    pub fn emit(&self, _: &Metrics) {
        warn!(count = self.count, "decision log: records were not taken: its queue is full, or its sink fails");
    }
}

/// A source works worse than it should, but what serves keeps serving.
#[derive(Debug)]
pub struct SourceDegraded<'a> {
    /// What is wrong, and what it means for the user.
    pub message: &'a str,
}

impl SourceDegraded<'_> {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        warn!("{}", self.message);
    }
}

/// A source works again as it should.
#[derive(Debug)]
pub struct SourceRepaired<'a> {
    /// What was wrong with it.
    pub message: &'a str,
}

impl SourceRepaired<'_> {
    /// Logs it.
    pub fn emit(&self, _: &Metrics) {
        info!("repaired; this is over: {}", self.message);
    }
}

/// Keys or tokens were read again.
#[derive(Debug)]
pub struct IdentityRenewed<'a> {
    /// Which of them.
    pub source: IdentitySource,
    /// Where they come from.
    pub from: &'a str,
    /// Whether anything changed.
    pub result: ReloadResult,
    /// Whether they could not be read before.
    pub repaired: bool,
}

impl IdentityRenewed<'_> {
    /// Logs and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.identity_reloads(self.source, self.result).inc();
        let Self { source, from, result, repaired } = self;
        match result {
            ReloadResult::Unchanged if *repaired => {
                info!(%source, from, "repaired: {} can be reloaded again", source.what());
            }
            ReloadResult::Unchanged => debug!(%source, from, "nothing changed"),
            _ => info!(%source, from, "{} are loaded", source.what()),
        }
    }
}

/// Keys or tokens could not be renewed. The previous ones stay active while they are not too old.
#[derive(Debug)]
pub struct IdentityRefused<'a> {
    /// Which of them.
    pub source: IdentitySource,
    /// Where they come from.
    pub from: &'a str,
    /// What is wrong.
    pub problem: &'a str,
    /// Whether it was not reported before.
    pub news: bool,
}

impl IdentityRefused<'_> {
    /// Counts it, and logs it as an error the first time.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.identity_reloads(self.source, ReloadResult::Bad).inc();
        let Self { source, from, problem, news } = self;
        if *news {
            error!(%source, from, "{} cannot be reloaded: {problem}", source.what());
        } else {
            debug!(%source, from, "still cannot be reloaded: {problem}");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::telemetry::logging::{capture, capture_as};

    #[test]
    fn a_refusal_is_one_line_a_finding_and_one_count() {
        let metrics = Metrics::new().unwrap();
        let diagnostics = [
            Diagnostic::error("policies/a.cedar", "unknown variable `x`"),
            Diagnostic::error("policies/b.cedar", "odd").warning(),
        ];
        let log = capture("info", || {
            ReloadRejected { source: ReloadSource::Files, diagnostics: &diagnostics, news: true, serving: None }
                .emit(&metrics)
        });
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 3, "{log}");
        assert!(lines[0].contains("ERROR") && lines[0].contains("policies/a.cedar: unknown variable `x`"), "{log}");
        assert!(lines[1].contains("WARN"), "{log}");
        assert!(lines[2].contains("errors=1"), "{log}");
        assert_eq!(metrics.reloads(ReloadSource::Files, ReloadResult::Bad).get(), 1);
    }

    #[test]
    fn a_finding_has_its_parts_as_fields_in_json_alone() {
        let mut found =
            Diagnostic::about("policy", vec![Diagnostic::error("a.cedar", "odd").at("x\n yz", 3).policy("p")]);
        let found = found.remove(0);
        let log = capture_as(LogFormat::Json, "info", || finding_with(true, ReloadSource::Files, &found));
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        let expected = serde_json::json!({"file": "a.cedar", "line": 2, "column": 2, "policy": "p", "code": "policy"});
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{key}: {log}");
        }
        let ruled = found.rule("dangling-name").warning();
        let log = capture_as(LogFormat::Json, "info", || finding_with(true, ReloadSource::Files, &ruled));
        assert!(log.contains(r#""code":"dangling-name""#) && log.contains("WARN"), "{log}");
        let log = capture("info", || finding_with(false, ReloadSource::Files, &ruled));
        assert!(log.contains("a.cedar:2:2: warning: odd") && !log.contains("file="), "{log}");
    }

    #[test]
    fn every_event_logs_at_its_level() {
        let metrics = Metrics::new().unwrap();
        let published = |source| ReloadPublished {
            source,
            revision: Revision { incarnation: 1, counter: 2 },
            policies: 3,
            forbids: 2,
            entities: 4,
            routes: 5,
            took: Duration::from_millis(5),
        };
        let check = |expected: &str, emit: &dyn Fn()| {
            let log = capture("info", emit);
            assert!(
                if expected.is_empty() { log.is_empty() } else { log.contains(expected) },
                "{log:?} lacks {expected:?}"
            );
        };
        check("revision=0000000000000001-2 policies=3 forbids=2 entities=4 routes=5", &|| {
            published(ReloadSource::Files).emit(&metrics)
        });
        let waits = LoadWaits { source: ReloadSource::Files, waits: "for quiet" };
        check("INFO waiting: for quiet source=files", &|| waits.emit(&metrics));
        check("superseded", &|| LoadSuperseded { source: ReloadSource::Files }.emit(&metrics));
        check("abandoned", &|| ChangeAbandoned { source: ReloadSource::Bundle }.emit(&metrics));
        let ids: Vec<PolicyId> = (0..102).map(|n| format!("f{n}").into()).collect();
        let revision = Revision { incarnation: 1, counter: 2 };
        check("forbid policies are removed: f0, f1, f2, ", &|| {
            ForbidsRemoved { source: ReloadSource::Files, revision, ids: &ids }.emit(&metrics)
        });
        check(", f99 and 2 more", &|| {
            ForbidsRemoved { source: ReloadSource::Files, revision, ids: &ids }.emit(&metrics)
        });
        let unchanged =
            |repaired, asked| ReloadUnchanged { source: ReloadSource::Files, repaired, asked }.emit(&metrics);
        check("", &|| unchanged(false, false));
        check("INFO repaired", &|| unchanged(true, false));
        check("INFO reload asked for: nothing has changed", &|| unchanged(false, true));
        check("INFO repaired; this is over: polling", &|| SourceRepaired { message: "polling" }.emit(&metrics));
        for (source, what) in [
            (IdentitySource::Jwks, "issuer keys"),
            (IdentitySource::ApiTokens, "API tokens"),
            (IdentitySource::AdminTokens, "admin tokens"),
        ] {
            let renewed = |result, repaired| IdentityRenewed { source, from: "f", result, repaired }.emit(&metrics);
            check("", &|| renewed(ReloadResult::Unchanged, false));
            check(&format!("repaired: {what} can be"), &|| renewed(ReloadResult::Unchanged, true));
            check(&format!("INFO {what} are loaded"), &|| renewed(ReloadResult::Good, false));
            let refused = || IdentityRefused { source, from: "f", problem: "empty", news: true }.emit(&metrics);
            check(&format!("ERROR {what} cannot be reloaded: empty"), &refused);
        }
        let (policies, entities) = (Path::new("./policies"), Path::new("e"));
        check("not ready before that policies=./policies entities=e", &|| {
            FirstLoad { policies, entities, watched: true }.emit(&metrics);
        });
        check("listener=ops addr=127.0.0.1:1", &|| {
            ListenerBound { name: Listener::Ops, addr: "127.0.0.1:1" }.emit(&metrics)
        });
        check("grace_ms=20000", &|| {
            DrainStarted { delay: Duration::ZERO, grace: Duration::from_secs(20) }.emit(&metrics)
        });
        let finished = |cut, unanswered| DrainFinished { took: Duration::ZERO, cut, unanswered }.emit(&metrics);
        check("every request on an accepted connection was answered", &|| finished(0, 0));
        check("WARN", &|| finished(1, 0));
        check("unanswered=1", &|| finished(0, 1));
        check("ERROR", &|| DrainOverdue { cut: 1, unanswered: 2 }.emit(&metrics));
        check("count=7", &|| DecisionLogDropped { count: 7 }.emit(&metrics));
        check("polling instead", &|| SourceDegraded { message: "cannot watch: polling instead" }.emit(&metrics));
        assert_eq!(metrics.decision_log_dropped.get(), 0, "counted where they are dropped");
        assert_eq!((metrics.entities.get(), metrics.forbids.get()), (4, 2));
        assert_eq!(metrics.reloads(ReloadSource::Files, ReloadResult::Superseded).get(), 1);
        assert_eq!(metrics.reloads(ReloadSource::Bundle, ReloadResult::Abandoned).get(), 1);
    }
}
