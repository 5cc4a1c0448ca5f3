//! The one thread that builds and publishes snapshots.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::domain::{Change, Diagnostic, Revision};
use crate::engine::{EngineSettings, Snapshot, on_big_stack};
use crate::state::{Applied, Origin, Published, Rejected};
use crate::telemetry::{Metrics, events};

/// A change on its way to the writer.
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) origin: Origin,
    pub(super) reply: oneshot::Sender<Result<Applied, Rejected>>,
    pub(super) submitted: Instant,
}

pub(super) struct Writer {
    published: Arc<Published>,
    settings: EngineSettings,
    metrics: Arc<Metrics>,
    /// Publications so far.
    counter: u64,
}

impl Writer {
    pub(super) fn new(published: Arc<Published>, settings: EngineSettings, metrics: Arc<Metrics>) -> Self {
        Self { published, settings, metrics, counter: 0 }
    }

    pub(super) fn start(mut self, queue: mpsc::Receiver<Command>) -> std::io::Result<()> {
        thread::Builder::new().name("palisade-writer".to_owned()).spawn(move || {
            while let Ok(command) = queue.recv() {
                let Command { change, origin, reply, submitted } = command;
                let outcome = self.apply(change, origin, submitted);
                // whoever asked may have left; the change stands all the same
                let _ = reply.send(outcome);
            }
        })?;
        Ok(())
    }

    fn apply(&mut self, change: Change, origin: Origin, submitted: Instant) -> Result<Applied, Rejected> {
        let bundle = match change {
            Change::Replace(bundle) => bundle,
            Change::Entities(_) => {
                let problem = Diagnostic::error("changes", "changes of single entities are not wired up yet");
                return Err(Rejected::Invalid(vec![problem]));
            }
        };
        let current = self.published.snapshot.load_full();
        if let Some(current) = current.filter(|current| **current.bundle() == bundle) {
            self.published.board.confirmed(origin);
            events::ReloadUnchanged { source: origin }.emit(&self.metrics);
            return Ok(Applied {
                revision: current.revision(),
                published: false,
                policies: current.policy_count(),
                entities: current.entity_count(),
                warnings: Vec::new(),
                took: submitted.elapsed(),
            });
        }
        let revision = Revision { incarnation: self.published.incarnation, counter: self.counter + 1 };
        match self.build(bundle, revision) {
            Ok((snapshot, warnings)) => Ok(self.publish(snapshot, warnings, origin, submitted)),
            Err(problems) => {
                events::ReloadRejected { source: origin, diagnostics: &problems }.emit(&self.metrics);
                self.published.board.failed(origin, problems.clone());
                Err(Rejected::Invalid(problems))
            }
        }
    }

    /// Builds on a large stack. A panic in the engine is a fault of the bundle, not the end of the writer.
    fn build(
        &self,
        bundle: crate::domain::Bundle,
        revision: Revision,
    ) -> Result<(Snapshot, Vec<Diagnostic>), Vec<Diagnostic>> {
        let bundle = Arc::new(bundle);
        let build = || on_big_stack(|| Snapshot::build(bundle, &self.settings, revision));
        match catch_unwind(AssertUnwindSafe(build)) {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(vec![Diagnostic::error("bundle", format!("no thread to build it on: {error}"))]),
            Err(_) => {
                Err(vec![Diagnostic::error("bundle", "building it failed inside the engine; please report the bundle")])
            }
        }
    }

    fn publish(
        &mut self,
        snapshot: Snapshot,
        warnings: Vec<Diagnostic>,
        origin: Origin,
        submitted: Instant,
    ) -> Applied {
        let applied = Applied {
            revision: snapshot.revision(),
            published: true,
            policies: snapshot.policy_count(),
            entities: snapshot.entity_count(),
            warnings: warnings.clone(),
            took: submitted.elapsed(),
        };
        self.counter = applied.revision.counter;
        self.published.board.published(origin, applied.revision, applied.policies, applied.entities, warnings);
        let replaced = self.published.snapshot.swap(Some(Arc::new(snapshot)));
        self.published.revision.send_replace(Some(applied.revision));
        events::ReloadPublished {
            source: origin,
            revision: applied.revision,
            policies: applied.policies,
            entities: applied.entities,
            took: applied.took,
        }
        .emit(&self.metrics);
        for warning in &applied.warnings {
            tracing::warn!(source = origin.as_str(), "{warning}");
        }
        // freeing a large state takes a while: here, unless a reader still holds it
        drop(replaced);
        applied
    }
}
