//! What a store holds, without taking it: for those who only read it.

use std::path::Path;
use std::sync::Arc;

use palisade_engine::model::{Bundle, Diagnostic, Digest, Revision};
use palisade_engine::{EngineSettings, Snapshot, on_big_stack};
use palisade_journal::{OpenError, Origin, look};

use crate::state::store::Restored;

/// What a store held when it was looked at.
#[derive(Debug)]
pub struct Held(Restored);

impl Held {
    /// Reads a store, which another process may have open. Nothing is changed.
    ///
    /// # Errors
    /// If it is damaged or no store, or cannot be read.
    pub fn look(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Restored::of(look(path)?)))
    }

    /// What was published last, if anything was.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        Some(self.0.revision).filter(|revision| revision.counter > 0)
    }

    /// Whether its base is what files held.
    #[must_use]
    pub fn needs_files(&self) -> bool {
        self.0.base != Some(Origin::Put)
    }

    /// Whether these files were loaded last.
    #[must_use]
    pub fn has_files(&self, digest: Digest) -> bool {
        self.0.files.as_deref().is_none_or(|files| files == digest.as_bytes().as_slice())
    }

    /// What changes brought, above the base that a request put.
    ///
    /// # Errors
    /// If it cannot be read or built.
    pub fn folded(mut self, settings: &EngineSettings) -> Result<Snapshot, Vec<Diagnostic>> {
        let base = self.0.bundle();
        let base = base.map_err(|error| {
            vec![Diagnostic::error("store", format!("the bundle that was put cannot be read: {error}"))]
        })?;
        self.above(base, settings)
    }

    /// What changes brought, above this base.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn above(self, base: Bundle, settings: &EngineSettings) -> Result<Snapshot, Vec<Diagnostic>> {
        let fold = || {
            let (built, _) = Snapshot::build(Arc::new(base), settings, self.0.revision)?;
            if self.0.words() == 0 { Ok(built) } else { self.0.upon(&built, &|| false) }
        };
        let no_thread = |error| Err(vec![Diagnostic::error("store", format!("no thread to build it on: {error}"))]);
        on_big_stack(fold).unwrap_or_else(no_thread)
    }
}
