//! Policies and entities from a bundle directory.
//!
//! `policies/**/*.cedar` and `*.cedar.json`, `policies/*.cedarschema` (and `*.cedarschema.json`),
//! `entities/**/*.{json,ndjson}`, and `routes/**/*.{yaml,yml,json}` but for `routes/tests`.
//! What is read is what was there at one moment: the tree is listed, read, and listed again, and if
//! the two lists differ in anything the load starts again. So a volume that is swapped below a load
//! gives the old state or the new one, never some of each. What is being written, or has just gone, is
//! waited for: see `caution`.
//!
//! Never follows a link out of the directory given, never blocks on a pipe, never reads more than the
//! limits allow, never writes.

mod blank;
mod caution;
mod dirs;
mod gone;
mod links;
mod names;
mod news;
mod notifier;
mod open;
mod picture;
mod policy_json;
mod read;
mod resolve;
mod roots;
mod rules;
mod scan;
mod settle;
mod sightings;
mod stamp;
mod stream;
mod unread;
mod watch;
mod writers;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::source::{Loaded, Picture, Source, Tell, Wake, Watch};
use caution::Caution;
pub(crate) use names::may_be_tests;
pub(super) use names::{is_like_schema, is_policies, is_schema};
use palisade_engine::model::{Bundle, Diagnostic};
pub use roots::Roots;
use scan::Scan;
pub(in crate::source) use stamp::Stamp;
pub(crate) use writers::is_written;

/// How files are read and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// How long nothing must have changed before a change is reported; at most ten times as long passes from the first.
    pub quiet: Duration,
    /// How often the tree is compared with what it was, in case that a notification was lost. At
    /// most a second is waited while notifications do not work, and never so little that looking
    /// takes more than a twentieth of the time.
    pub poll: Duration,
    /// Whether the operating system is asked to report changes; if not, polling alone finds them.
    pub notifications: bool,
    /// The most bytes that a file may have.
    pub max_file_bytes: u64,
    /// The most bytes that all files together may have.
    pub max_total_bytes: u64,
    /// The most files and directories there may be.
    pub max_files: usize,
    /// Whether it is an error that the entities given do not exist: they may be a mount that was lost.
    pub entities_required: bool,
    /// Whether there may be no file of policies, or only empty ones.
    pub allow_empty_policies: bool,
    /// How long a file must be gone, or empty, until that counts in a source that read it before.
    pub vanish_quiet: Duration,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            poll: Duration::from_secs(5),
            notifications: true,
            max_file_bytes: 512 << 20,
            max_total_bytes: 1 << 30,
            max_files: 100_000,
            entities_required: true,
            allow_empty_policies: false,
            vanish_quiet: Duration::from_secs(2),
        }
    }
}

/// A source that reads a bundle directory, or single files.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    tree: Arc<Tree>,
    /// What the last load saw, so that a watch that starts later still notices what changed in between.
    // std Mutex: held for a clone or a store
    last: Mutex<Option<Arc<Scan>>>,
    caution: Caution,
}

/// Finds the roots for each look.
type Find = Box<dyn Fn() -> Roots + Send + Sync>;

/// What a file source reads, and within which limits.
struct Tree {
    /// The roots, and where they depend on what is there, as they were at first.
    roots: Roots,
    find: Option<Find>,
    settings: FileSettings,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("roots", &self.roots).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tree {
    /// The place to name where no file is to blame.
    fn shown(&self) -> String {
        self.roots().list().first().map(|root| root.path.display().to_string()).unwrap_or_default()
    }

    fn roots(&self) -> Cow<'_, Roots> {
        match &self.find {
            Some(find) => Cow::Owned(find()),
            None => Cow::Borrowed(&self.roots),
        }
    }
}

// === impl FileSource ===

impl FileSource {
    /// A source for `policies` and `entities`, each a directory or a single file.
    ///
    /// Nothing is read yet; relative paths are relative to the working directory at each load.
    #[must_use]
    pub fn new(policies: PathBuf, entities: Option<PathBuf>, settings: FileSettings) -> Self {
        let roots = Roots::of_policies(policies);
        let roots = match entities {
            Some(path) => roots.with_entities(path, settings.entities_required),
            None => roots,
        };
        Self::of(roots, settings)
    }

    /// A source for these roots.
    #[must_use]
    pub fn of(roots: Roots, settings: FileSettings) -> Self {
        Self::made(roots, None, settings)
    }

    /// A source that reads, at each look, what `find` gives then: where the parts of a bundle are may depend on what is
    /// there, and a process that runs must read what one that starts would read.
    #[must_use]
    pub fn found_by(find: impl Fn() -> Roots + Send + Sync + 'static, settings: FileSettings) -> Self {
        let roots = find();
        Self::made(roots, Some(Box::new(find)), settings)
    }

    /// A source to watch files by that are no part of a bundle, such as tests: each path a directory or a file, which
    /// need not be there. It loads an empty bundle.
    #[must_use]
    pub fn of_others(paths: impl IntoIterator<Item = PathBuf>, settings: FileSettings) -> Self {
        Self::of(Roots::of_others(paths), settings)
    }

    fn made(roots: Roots, find: Option<Find>, mut settings: FileSettings) -> Self {
        // so that times can be added without a thought, and a zero does not keep a core busy
        settings.quiet = settings.quiet.min(Duration::from_secs(3_600));
        settings.poll = settings.poll.clamp(Duration::from_millis(10), Duration::from_secs(86_400));
        let paths: Vec<_> = roots.list().iter().map(|root| root.path.display().to_string()).collect();
        let name = format!("files {}", paths.join(", "));
        let tree = Arc::new(Tree { roots, find, settings });
        Self { name, tree, last: Mutex::new(None), caution: Caution::default() }
    }

    /// What of the files can be used where [`Source::load`] fails: to report what is wrong with the rest too.
    #[must_use]
    pub fn rest(&self) -> Bundle {
        read::rest(&self.tree)
    }

    fn last(&self) -> Option<Arc<Scan>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        self.load_telling(&|_, _| ())
    }

    fn load_telling(&self, tell: Tell<'_>) -> Result<Loaded, Vec<Diagnostic>> {
        let (scan, result) = self.caution.load(&self.tree, tell, || read::load(&self.tree));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(scan);
        result
    }

    fn picture(&self) -> Picture {
        self.caution.picture(&self.tree)
    }

    fn watch(&self, wake: Wake) -> Watch {
        let signals = Arc::default();
        self.caution.listen(&signals);
        watch::start(Arc::clone(&self.tree), self.last(), signals, notifier::Notifier::system, wake)
    }
}
