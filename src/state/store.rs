//! What makes acknowledged changes durable: the journal, in the words of the state.
//!
//! Only the writer's thread commits. A commit that cannot be made refuses the changes in it; decisions go on.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use palisade_engine::model::{Bundle, Diagnostic, Digest, Edit, Revision, Value};
use palisade_engine::{Changed, Snapshot, Thing, Told, Word, gone};
use palisade_journal::{
    AheadId, AppendError, Base, Commit, Compaction, Counts, Durability, Entry, Fresh, Image, Journal, Kind, OpenError,
    Origin, Recovered, Saved, Settings, Word as Kept,
};

use crate::state::answers::{AnswerKey, Answers, KeptAnswer};
use crate::state::{Applied, image};

/// How often what was not flushed is flushed, with `Durability::Interval`.
const INTERVAL: Duration = Duration::from_millis(200);

/// How often a store that refused is tried.
const PROBE: Duration = Duration::from_secs(1);

/// Where changes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The file.
    pub path: PathBuf,
    /// When a change is on the disk.
    pub durability: Durability,
    /// How many answers of changes with an `Idempotency-Key` are kept.
    pub max_answers: usize,
}

/// What status and metrics say of the store.
#[derive(Debug, Clone)]
pub struct StoreStatus {
    /// The file.
    pub path: PathBuf,
    /// When a change is on the disk.
    pub durability: Durability,
    /// How large it is, and what was done.
    pub counts: Counts,
    /// Why the last commit was refused, if it was.
    pub problem: Option<String>,
}

/// The open store.
#[derive(Debug)]
pub(super) struct Store {
    journal: Journal,
    durability: Durability,
    problem: Option<String>,
    answers: Answers,
    flushed_at: Instant,
    probed_at: Instant,
    // a Mutex makes it one that threads may share; it is never held
    compacting: Option<Mutex<mpsc::Receiver<Result<Compaction, OpenError>>>>,
}

/// A bundle that a request put.
#[derive(Debug)]
pub(super) struct Put<'p> {
    /// Of the state; that of the state before it where it is the same.
    pub(super) counter: u64,
    pub(super) bundle: &'p Bundle,
    /// The files that were there before it and did not load.
    pub(super) refused: Option<Digest>,
    /// How the files were, if that is known.
    pub(super) seen: Option<&'p [u8]>,
    /// What the request became, if it had a key.
    pub(super) answer: Option<(&'p AnswerKey, &'p Applied)>,
}

/// What a store held when it was opened.
#[derive(Debug)]
pub(super) struct Restored {
    /// The revision that was published last; none if nothing ever was.
    pub(super) revision: Revision,
    /// Whether the incarnation is a new one, so that nothing is published under a revision of the run before.
    pub(super) fresh: Option<Fresh>,
    pub(super) base: Option<Origin>,
    image: Option<Image>,
    pub(super) files: Option<Vec<u8>>,
    seen: Option<Vec<u8>>,
    overlay: Saved,
}

/// A store that was opened before the state was started.
#[derive(Debug)]
pub struct Opened {
    pub(super) store: Store,
    pub(super) restored: Restored,
    /// What changes with an `Idempotency-Key` became, oldest first.
    pub answers: Vec<KeptAnswer>,
}

/// Opens the store; `incarnation` is that of this run if it needs one of its own.
///
/// # Errors
/// If it is in use, damaged, or no store, or if the disk refuses it.
pub fn open(settings: &StoreSettings, incarnation: u64) -> Result<Opened, OpenError> {
    let durability = settings.durability;
    let (journal, recovered) = Journal::open(&settings.path, Settings { durability, incarnation })?;
    let dropped = recovered.dropped;
    match recovered.fresh {
        Some(Fresh::Unclean) => tracing::warn!(
            "the store {} did not end cleanly, and not every change was flushed: revisions of the run before are not \
             this run's",
            settings.path.display()
        ),
        Some(Fresh::Copied) => tracing::warn!(
            "the store {} is a copy: revisions of the run before are not this run's",
            settings.path.display()
        ),
        Some(Fresh::Created) | None => {}
    }
    if dropped > 0 {
        tracing::info!("{dropped} bytes of a change that was never acknowledged were cut off the store");
    }
    let (mut answers, mut kept) = (Answers::new(settings.max_answers), Vec::new());
    let read = recovered.answers.each(|entry| {
        if let Entry::Answered { key, answer, expires } = entry {
            kept.extend(answers.restore(key, answer, expires));
        }
        io::Result::Ok(())
    });
    read.map_err(|source| OpenError::Io { path: settings.path.clone(), action: "read", source })?;
    let store = Store {
        answers,
        journal,
        durability,
        problem: None,
        flushed_at: Instant::now(),
        probed_at: Instant::now(),
        compacting: None,
    };
    Ok(Opened { store, restored: Restored::of(recovered), answers: kept })
}

impl Restored {
    /// What the state makes of what a store held.
    pub(super) fn of(recovered: Recovered) -> Self {
        let Recovered { incarnation, fresh, counter, base, image, files, seen, overlay, .. } = recovered;
        Self { revision: Revision { incarnation, counter }, fresh, base, image, files, seen, overlay }
    }

    /// How the files were when the base was put, if that is known.
    pub(super) fn seen_at_put(&self) -> Option<&Vec<u8>> {
        self.seen.as_ref().filter(|_| self.base == Some(Origin::Put))
    }

    /// Says whether files are as they were then, where that is known: else it is those that were loaded before.
    pub(super) fn note_files(&mut self, digest: Digest, as_put: Option<bool>) {
        if let Some(as_put) = as_put.filter(|_| self.base == Some(Origin::Put)) {
            self.files = as_put.then(|| digest.as_bytes().to_vec());
        }
    }

    /// How many words the overlay has.
    pub(super) fn words(&self) -> usize {
        self.overlay.len()
    }

    /// The base that a request put.
    pub(super) fn bundle(&mut self) -> io::Result<Bundle> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "the store has no image of the base");
        let mut image = self.image.take().ok_or_else(missing)?;
        let length = image.bytes_left();
        image::read(&mut io::BufReader::with_capacity(1 << 16, &mut image), length)
    }

    /// The overlay upon a state that was loaded.
    pub(super) fn upon(&self, loaded: &Snapshot, stop: &dyn Fn() -> bool) -> Result<Snapshot, Vec<Diagnostic>> {
        let unread = |error: io::Error| {
            vec![Diagnostic::error("store", format!("what changes of the API brought cannot be read: {error}"))]
        };
        loaded
            .restored(stop, |take| {
                self.overlay.each(|entry| {
                    take(told(entry).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?);
                    io::Result::Ok(())
                })
            })
            .map_err(unread)?
    }
}

fn thing(kind: Kind) -> Thing {
    match kind {
        Kind::Entity => Thing::Entity,
        Kind::Policy => Thing::Policy,
        Kind::Link => Thing::Link,
    }
}

fn kind(thing: Thing) -> Kind {
    match thing {
        Thing::Entity => Kind::Entity,
        Thing::Policy => Kind::Policy,
        Thing::Link => Kind::Link,
    }
}

/// The change that a record keeps.
fn told(entry: Entry<'_>) -> Result<Told<'_>, String> {
    match entry {
        Entry::Overlay { word: Kept::Put(change), .. } => {
            let change = Value::parse_usual(change).map_err(|error| error.to_string())?;
            match change {
                Value::Object(mut members) if matches!(&*members, [(name, Value::Object(_))] if name == "upsert") => {
                    Ok(Told::Entity(members.swap_remove(0).1))
                }
                change => Edit::from_value(change, "store").map(Told::Change).map_err(|error| error.message),
            }
        }
        Entry::Overlay { kind, key, word: Kept::Tombstone } => {
            gone(thing(kind), std::str::from_utf8(key).map_err(|error| error.to_string())?).map(Told::Change)
        }
        Entry::Answered { .. } => Err("an answer is no change".to_owned()),
    }
}

/// The commit of a transaction.
pub(super) fn of_transaction(counter: u64, changed: &Changed) -> Commit {
    let mut commit = Commit::new(counter);
    changed.words(|thing, key, word| match word {
        Word::Is(change) => commit.put(kind(thing), key.as_bytes(), change.as_bytes()),
        Word::Gone => commit.tombstone(kind(thing), key.as_bytes()),
        Word::OfBase => commit.revert(kind(thing), key.as_bytes()),
    });
    commit
}

impl Store {
    /// What status and metrics say of it.
    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            path: self.path().to_owned(),
            durability: self.durability,
            counts: self.journal.counts(),
            problem: self.problem.clone(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.journal.path()
    }

    /// Whether what is committed is on the disk.
    pub(super) fn is_durable(&self) -> bool {
        self.durability == Durability::Fsync
    }

    /// Puts what a change became into its commit.
    pub(super) fn keep(&mut self, commit: &mut Commit, key: &AnswerKey, applied: &Applied) {
        self.answers.keep(commit, key, applied);
    }

    /// Commits transactions, all of them or none.
    pub(super) fn commit(&mut self, commits: &[Commit]) -> Result<(), String> {
        let done = self.journal.append(commits);
        self.noted(done)
    }

    /// Begins to write records ahead of the commit that will name them.
    pub(super) fn begin_ahead(&mut self) -> Result<AheadId, String> {
        let begun = self.journal.begin_ahead();
        self.noted(begun)
    }

    /// Writes a piece of them. Gives a handle to flush it with, unless it is the system's to say when.
    pub(super) fn append_ahead(&mut self, id: AheadId, piece: &[u8]) -> Result<Option<File>, String> {
        let done = self.journal.append_ahead(id, piece);
        self.noted(done)?;
        // without one the commit has more to flush
        Ok(if self.durability == Durability::None { None } else { self.journal.handle().ok() })
    }

    /// Gives them up.
    pub(super) fn drop_ahead(&mut self, id: AheadId) {
        self.journal.drop_ahead(id);
    }

    /// Commits a base that files had.
    pub(super) fn loaded(&mut self, counter: u64, digest: Digest) -> Result<(), String> {
        let mut commit = Commit::new(counter);
        commit.base(Base { origin: Origin::Files(digest.as_bytes().to_vec()), image: None });
        self.commit(&[commit])
    }

    /// Commits a base that a request put, and that the overlay is empty.
    pub(super) fn put(&mut self, put: &Put<'_>) -> Result<(), String> {
        let done = self.append_put(put);
        self.noted(done)
    }

    fn append_put(&mut self, put: &Put<'_>) -> Result<(), AppendError> {
        let Put { counter, bundle, refused, seen, answer } = put;
        let id = self.journal.begin_image()?;
        let mut failed = None;
        let mut pieces =
            io::BufWriter::with_capacity(1 << 20, Pieces { journal: &mut self.journal, id, failed: &mut failed });
        let written = image::write(bundle, &mut pieces).and_then(|()| io::Write::flush(&mut pieces));
        drop(pieces.into_parts());
        if let Some(error) = failed {
            return Err(error);
        }
        if let Err(error) = written {
            self.journal.drop_image(id);
            let path = self.path().to_owned();
            return Err(AppendError::Failed { path, why: error.to_string() });
        }
        let base = Base { origin: Origin::Put, image: Some(id) };
        let mut commit = Commit::new(*counter);
        if *counter > self.journal.counter() {
            commit.clear();
            commit.base(base);
        } else {
            commit.same_base(base);
        }
        if let Some(files) = refused {
            // as they are they must not replace it at the next start
            commit.saw_files(files.as_bytes());
        }
        commit.put_beside(seen.unwrap_or_default());
        if let Some((key, applied)) = answer {
            self.answers.keep(&mut commit, key, applied);
        }
        let done = self.journal.append(&[commit]);
        if done.is_err() {
            self.journal.drop_image(id);
        }
        done
    }

    /// Notes how the files were when the base was put; what cannot be noted counts as changed afterwards.
    pub(super) fn saw(&mut self, seen: &[u8]) {
        let mut commit = Commit::new(self.journal.counter());
        commit.put_beside(seen);
        let done = self.journal.append(&[commit]);
        let _ = self.noted(done);
    }

    /// Notes that files of this digest are older than what serves, and do not replace it after a restart either.
    pub(super) fn saw_files(&mut self, digest: Digest) {
        let mut commit = Commit::new(self.journal.counter());
        commit.saw_files(digest.as_bytes());
        // what cannot be noted is at worst loaded again
        let done = self.journal.append(&[commit]);
        let _ = self.noted(done);
    }

    fn noted<T>(&mut self, done: Result<T, AppendError>) -> Result<T, String> {
        match done {
            Ok(done) => {
                if self.problem.take().is_some() {
                    tracing::info!("the store {} takes changes again", self.path().display());
                }
                Ok(done)
            }
            Err(error) => {
                let message = error.to_string();
                if self.problem.as_ref() != Some(&message) {
                    tracing::error!("changes are refused: {message}");
                }
                self.problem = Some(message.clone());
                Err(message)
            }
        }
    }

    /// How long it may be until [`Store::tend`] is called again.
    pub(super) fn patience(&self) -> Duration {
        INTERVAL
    }

    /// Tries whether a store that refused takes commits again, and looks whether one that did not is still in its place.
    fn probe(&mut self) -> bool {
        if self.journal.failure().is_some() || self.probed_at.elapsed() < PROBE {
            return false;
        }
        self.probed_at = Instant::now();
        let refused = self.problem.is_some();
        let done = if refused {
            self.journal.append(&[Commit::new(self.journal.counter())])
        } else {
            self.journal.check_place()
        };
        let fails = self.noted(done).is_err();
        refused || fails
    }

    /// Does what is due: flushes, and compacts beside the commits. Gives whether anything is worth a new status.
    pub(super) fn tend(&mut self) -> bool {
        let mut did = self.probe();
        if self.durability == Durability::Interval && self.flushed_at.elapsed() >= INTERVAL {
            self.flushed_at = Instant::now();
            if self.journal.counts().unflushed > 0 {
                let done = self.journal.flush();
                let _ = self.noted(done);
                did = true;
            }
        }
        if let Some(compacting) = &self.compacting {
            match compacting.lock().unwrap_or_else(PoisonError::into_inner).try_recv() {
                Err(mpsc::TryRecvError::Empty) => return did,
                Err(mpsc::TryRecvError::Disconnected) => {}
                Ok(copied) => {
                    let done = copied.and_then(|compaction| self.journal.finish_compaction(compaction));
                    if let Err(error) = done {
                        tracing::warn!("the store was not compacted: {error}");
                    }
                }
            }
            self.compacting = None;
            return true;
        }
        if self.journal.compaction_due() {
            self.begin_compaction();
        }
        did
    }

    fn begin_compaction(&mut self) {
        let mut compaction = match self.journal.compaction() {
            Ok(Some(compaction)) => compaction,
            Ok(None) => return,
            Err(error) => return tracing::warn!("the store was not compacted: {error}"),
        };
        let (send, compacting) = mpsc::channel();
        let copy = move || {
            let copied = compaction.copy().map(|()| compaction);
            // a store that was closed meanwhile has no use for it
            let _ = send.send(copied);
        };
        match std::thread::Builder::new().name("palisade-compact".to_owned()).spawn(copy) {
            Ok(_) => self.compacting = Some(Mutex::new(compacting)),
            Err(error) => tracing::warn!("the store was not compacted, there is no thread for it: {error}"),
        }
    }

    /// Flushes, and ends the run cleanly.
    pub(super) fn close(self) {
        if let Err(error) = self.journal.close() {
            tracing::error!("the store was not closed cleanly: {error}");
        }
    }
}

/// Writes an image piece by piece.
struct Pieces<'j> {
    journal: &'j mut Journal,
    id: palisade_journal::ImageId,
    failed: &'j mut Option<AppendError>,
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.journal.append_image(self.id, bytes) {
            let message = error.to_string();
            self.failed.get_or_insert(error);
            return Err(io::Error::other(message));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
