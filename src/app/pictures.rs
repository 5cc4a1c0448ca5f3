//! Looks at the files before the API reports that a change is done.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::source::{Picture, Source};
use crate::state::State;
use crate::telemetry::{Metrics, start_thread, supervised};

/// How long a change of the API waits at most for that: files may be on a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The newest picture, until it is taken.
pub(super) type Newest = Arc<Mutex<Option<Taken>>>;

/// What the files held when a change of the API was acknowledged.
pub(super) struct Taken {
    pub(super) picture: Picture,
    /// When it was asked for.
    pub(super) at: Instant,
}

/// From now on the files of `source` are looked at each time before `state` acknowledges a change of the API.
pub(super) fn start(source: Arc<impl Source + 'static>, state: &State, metrics: Arc<Metrics>) -> io::Result<Newest> {
    // one that waits is enough to see that the thread does not come to it
    let (ask, asked) = sync_channel::<SyncSender<Picture>>(1);
    let work = supervised("palisade-look", metrics, move || look(&*source, &asked));
    start_thread("palisade-look", None, work)?;
    let newest = Newest::default();
    let to_fill = Arc::clone(&newest);
    state.before_answers(Some(Arc::new(move || {
        let at = Instant::now();
        let (give, given) = sync_channel(1);
        let picture = ask.try_send(give).ok().and_then(|()| given.recv_timeout(PATIENCE).ok());
        let Some(picture) = picture else {
            tracing::warn!(
                "the files could not be looked at within {PATIENCE:?}, while the API changed something; if they were \
                 changed before that and are read after it, they replace it"
            );
            return None;
        };
        let kept = picture.kept();
        if kept.is_none() {
            tracing::warn!(
                "too many files could not be read to store how they are while the API changed something; if they were \
                 changed before that and are read after the next start, they replace it"
            );
        }
        *to_fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taken { picture, at });
        kept
    })));
    Ok(newest)
}

/// Looks whenever it is asked, until `state` does not ask any more.
fn look(source: &impl Source, asked: &Receiver<SyncSender<Picture>>) {
    while let Ok(give) = asked.recv() {
        // fails if it took too long: then it may show what was changed afterwards
        let _ = give.send(source.picture());
    }
}
