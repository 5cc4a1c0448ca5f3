//! Work of the admin API that takes long with a large bundle: on threads of its own, few at a time.
//!
//! On the threads that serve, such work would hold up decisions for as long as it takes.

use std::io;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::transport::respond::Problem;

/// Bundles that are validated at a time: each takes a thread and as much memory as one that is loaded.
const MAX_VALIDATIONS: usize = 2;

/// Bundles that are written at a time: each keeps its snapshot.
const MAX_EXPORTS: usize = 2;

/// Bodies that are read into bundles at a time.
const MAX_READINGS: usize = 2;

/// Turns for each kind of such work.
#[derive(Debug)]
pub struct Aside {
    /// Bundles that may be validated at a time.
    pub validations: Arc<Semaphore>,
    /// Bundles that may be written at a time.
    pub exports: Arc<Semaphore>,
    readings: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Self {
        let turns = |most| Arc::new(Semaphore::new(most));
        Self { validations: turns(MAX_VALIDATIONS), exports: turns(MAX_EXPORTS), readings: turns(MAX_READINGS) }
    }
}

/// A turn. It is over when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Aside {
    /// A turn to validate, if there is one.
    pub(super) fn validation(&self) -> Result<Turn, Problem> {
        let busy = || format!("{MAX_VALIDATIONS} bundles are being validated at the moment; ask again");
        at_once(&self.validations).ok_or_else(|| Problem::unavailable("too_busy", busy()))
    }

    /// A turn to write a bundle, if there is one.
    pub(super) fn export(&self) -> Result<Turn, Problem> {
        let busy = || format!("{MAX_EXPORTS} bundles are being read by clients at the moment; ask again");
        at_once(&self.exports).ok_or_else(|| Problem::unavailable("too_busy", busy()))
    }

    /// Waits for a turn to read a body: a change is not refused because others come at the same time.
    pub(super) async fn reading(&self) -> Result<Turn, Problem> {
        // never closed
        self.readings.clone().acquire_owned().await.map_err(|_| failed())
    }
}

fn at_once(turns: &Arc<Semaphore>) -> Option<Turn> {
    turns.clone().try_acquire_owned().ok()
}

/// Does `work` on a thread with a large stack; it can ask whether the client disconnected.
///
/// # Errors
/// If there is no thread, or the work panics.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (tell, told) = oneshot::channel();
    // not tokio's threads: it panics where none can be had
    palisade_engine::begin_on_big_stack(move || {
        let done = work(&|| tell.is_closed());
        let _ = tell.send(done);
    })
    .map_err(|error| no_thread(&error))?;
    // the thread panicked, which is logged
    told.await.map_err(|_| failed())
}

/// There is no thread for it at the moment.
pub(super) fn no_thread(error: &io::Error) -> Problem {
    Problem::unavailable("no_thread", format!("no thread to do this on: {error}; ask again"))
}

fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this failed inside the engine")
}

/// Lets everything else go before the work of this thread, from now on until it ends.
pub(super) fn give_way() {
    // elsewhere it would be the whole process
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}
