//! Where policies and entities come from.
//!
//! A source gives the whole bundle on request and says when it may have changed; the caller
//! compares digests and decides what to do about it. A source never judges what Cedar would say of
//! the text, never publishes anything, and never gives half of a state: `load` is all or nothing.
//!
//! Sources that carry single changes (feeds with a cursor) will have a wider trait of their own; this
//! one is what every source can do.

mod files;
pub mod layout;
mod picture;

#[cfg(test)]
mod conformance;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::telemetry::start_thread;
use palisade_engine::model::{Bundle, Diagnostic, Digest};

pub use files::{FileSettings, FileSource, Roots};
pub(crate) use files::{is_written, may_be_tests};
pub use layout::Layout;
pub use picture::{Held, Picture};

/// What a watch calls when a change is over, and is to be loaded. It must be brief: a signal, not a load.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Takes what a load waits for before it reads, and until when that is.
pub type Tell<'t> = &'t dyn Fn(&str, Instant);

/// A place that policies, schema and entities come from.
pub trait Source: Send + Sync {
    /// What to call it in logs and in the status, such as `files ./policies, ./entities`.
    fn name(&self) -> &str;

    /// Reads everything, as it was at one moment. May block on files or the network.
    ///
    /// # Errors
    /// Every problem found, not only the first, if what is there cannot be read whole.
    fn load(&self) -> Result<Loaded, Vec<Diagnostic>>;

    /// The same, saying what it waits for while it does. A source that never waits says nothing.
    ///
    /// # Errors
    /// As for [`Source::load`].
    fn load_telling(&self, tell: Tell<'_>) -> Result<Loaded, Vec<Diagnostic>> {
        let _ = tell;
        self.load()
    }

    /// Looks at what is there now, so that a later load can be compared with it. Takes milliseconds: a client waits.
    fn picture(&self) -> Picture;

    /// Calls `wake` some time after each change, until the guard is dropped.
    ///
    /// Several changes may be answered by one call, and a call may come without a change that matters:
    /// the caller loads and compares digests. What changes after this returns is never missed, and
    /// neither is what changed since the last `load` before it. A source that cannot watch as well as
    /// it should says so in [`Watch::degraded`] and goes on as well as it can.
    fn watch(&self, wake: Wake) -> Watch;
}

/// A bundle as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Policies, schema and entities.
    pub bundle: Bundle,
    /// Equal for equal bundles, whenever and in whatever order they were read.
    pub digest: Digest,
    /// What does not keep the bundle from being used, but what its author should see.
    pub warnings: Vec<Diagnostic>,
    /// What each file holds, by its origin.
    pub files: BTreeMap<String, Held>,
}

impl Loaded {
    /// A bundle with its digest, and nothing to say about it.
    #[must_use]
    pub fn new(bundle: Bundle) -> Self {
        let digest = Digest::of(&bundle);
        Self { bundle, digest, warnings: Vec::new(), files: BTreeMap::new() }
    }
}

/// Keeps a source watched. Dropping it ends the watch and waits for its thread, so that no wake comes afterwards.
#[must_use = "the watch ends when its guard is dropped"]
pub struct Watch {
    health: Arc<Health>,
    stop: Box<dyn Fn() + Send + Sync>,
    thread: Option<JoinHandle<()>>,
}

/// What keeps a watch from working as it should; empty while it does.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why changes are noticed late.
    late: Mutex<Option<String>>,
    /// What a change that was noticed waits for.
    waits: Mutex<Option<String>>,
    /// Since when it has been looking, if it is: a file system may not answer.
    looks: Mutex<Option<Instant>>,
    /// When it last found what it had found before.
    same_at: Mutex<Option<Instant>>,
}

impl Health {
    pub(crate) fn set(&self, late: Option<String>) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = late;
    }

    pub(crate) fn set_looks(&self, since: Option<Instant>) {
        *self.looks.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    pub(crate) fn set_same(&self, at: Instant) {
        *self.same_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    pub(crate) fn set_waits(&self, waits: Option<String>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    /// Why changes are noticed late.
    pub(crate) fn late(&self) -> Option<String> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it.
    fn get(&self) -> Option<String> {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (waits, self.late()) {
            (Some(waits), Some(late)) => Some(format!("{waits}; {late}")),
            (waits, late) => waits.or(late),
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Runs `run` on a thread of its own until it returns, which it must soon after `stop` was called.
    pub(crate) fn spawn(
        name: &str,
        health: Arc<Health>,
        stop: impl Fn() + Send + Sync + 'static,
        run: impl FnOnce() + Send + 'static,
    ) -> Self {
        let thread = match start_thread(name, None, run) {
            Ok(thread) => Some(thread),
            Err(error) => {
                health.set(Some(format!("changes are not noticed: {error}")));
                None
            }
        };
        Self { health, stop: Box::new(stop), thread }
    }

    /// Whether its thread could not be started or has stopped, so that it notices nothing.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether its thread has ended by a fault of the sidecar.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Since when it has been looking at what it watches; `None` while it waits for news.
    #[must_use]
    pub fn looks_since(&self) -> Option<Instant> {
        *self.health.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it last compared all that it watches, and found what it had last reported.
    #[must_use]
    pub fn same_at(&self) -> Option<Instant> {
        *self.health.same_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why changes may be noticed late or not at all, or are held back; `None` if all is well.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        if self.has_failed() {
            return Some("changes are not noticed: the thread that watches has stopped; it begins again".to_owned());
        }
        self.health.get()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("degraded", &self.degraded()).finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take()
            // a wake may drop its own watch; waiting for oneself never ends
            && thread.thread().id() != thread::current().id()
        {
            // a panic of the thread was reported by `degraded` and on stderr already
            let _ = thread.join();
        }
    }
}
