//! The system's notifier, held so that a fault of it is an error and not the end of the process.
//!
//! `notify` reads events on a thread of its own. If that thread could not be started, or has ended by a panic, every
//! further call of it panics, and so does freeing it: two panics at once abort the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use notify::{RecursiveMode, Watcher};

use crate::source::files::settle::Signals;
use crate::telemetry::room_for_threads;

/// A notifier that watches directories one by one.
pub(super) struct Notifier(Option<Box<dyn Watcher + Send>>);

// === impl Notifier ===

impl Notifier {
    /// The operating system's notifier, which feeds `signals`.
    pub(super) fn system(signals: Arc<Signals>) -> notify::Result<Self> {
        // it starts its thread without a look at whether that worked
        room_for_threads(1).map_err(notify::Error::io)?;
        let watcher = notify::recommended_watcher(move |event| {
            // the notifier's thread ends with a panic, and nothing would be noticed any more
            if catch_unwind(AssertUnwindSafe(|| signals.notice(event))).is_err() {
                signals.notice(Err(notify::Error::generic("an event was lost by a fault of the sidecar")));
            }
        })?;
        Ok(Self::of(Box::new(watcher)))
    }

    pub(super) fn of(watcher: Box<dyn Watcher + Send>) -> Self {
        Self(Some(watcher))
    }

    /// Whether it still works, as far as is known.
    pub(super) fn works(&self) -> bool {
        self.0.is_some()
    }

    /// Watches a directory, without those in it.
    pub(super) fn watch(&mut self, place: &Path) -> notify::Result<()> {
        self.call(|watcher| watcher.watch(place, RecursiveMode::NonRecursive))
    }

    /// Watches it no more.
    pub(super) fn unwatch(&mut self, place: &Path) -> notify::Result<()> {
        self.call(|watcher| watcher.unwatch(place))
    }

    fn call(&mut self, work: impl FnOnce(&mut dyn Watcher) -> notify::Result<()>) -> notify::Result<()> {
        let gone = || notify::Error::generic("the notifier's thread has ended");
        let watcher = self.0.as_deref_mut().ok_or_else(gone)?;
        catch_unwind(AssertUnwindSafe(|| work(watcher))).unwrap_or_else(|_| {
            self.free();
            Err(gone())
        })
    }

    fn free(&mut self) {
        let watcher = self.0.take();
        // its panic is counted and logged like every other
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests {
    use notify::{Config, EventHandler, WatcherKind};

    use super::*;

    /// As `notify` is when its thread has ended.
    struct Dead;

    impl Watcher for Dead {
        fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
            Ok(Self)
        }

        fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
            panic!("the channel is closed")
        }

        fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
            panic!("the channel is closed")
        }

        fn kind() -> WatcherKind {
            WatcherKind::NullWatcher
        }
    }

    impl Drop for Dead {
        fn drop(&mut self) {
            panic!("the channel is closed")
        }
    }

    #[test]
    fn a_notifier_whose_thread_has_ended_is_an_error() {
        let mut notifier = Notifier::of(Box::new(Dead));
        assert!(notifier.works());
        assert!(notifier.watch(Path::new("/")).is_err() && !notifier.works());
        assert!(notifier.unwatch(Path::new("/")).is_err());
        drop(Notifier::of(Box::new(Dead)));
    }
}
