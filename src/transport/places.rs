//! Places for connections: which connection goes where a new one finds none, and what is logged of it.
//!
//! A connection that rests has had its last answer, and its client opens another when it needs one. So those that have
//! rested longest are asked to leave when a new one finds no place: a crowd that does nothing keeps no new one out. One
//! whose request is at work stays. One that has not asked anything whole has a moment to begin, and one that takes no answer
//! a moment to take it; both moments are shorter where health is asked for, since a kubelet waits no longer than a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::{Listener, Metrics};
use crate::transport::conn::{Conn, Rest, now_ms};

/// One in so many connections is asked to leave at a time: to find those that have rested longest costs a look at all.
const SHARE: usize = 64;

/// The same on the admin and ops listeners, which have few.
const SHARE_ASIDE: usize = 4;

/// At least so many are asked at a time: each takes a moment to go.
const LEAST: usize = 4;

/// How soon more are asked to leave while there is no place.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a connection may rest that brought no request yet, or takes no answer, in milliseconds.
const MOMENT: u64 = 1_000;

/// The same on the admin and ops listeners.
const MOMENT_ASIDE: u64 = 250;

/// How long a listener counts as full after a connection found no place.
const FULL_FOR: u64 = 10_000;

/// Why a connection waits where descriptors are few.
const ALL_IN_USE: &str = "all open files but those kept for admin and ops are in use; raise the limit (`ulimit -n`)";

/// Why a connection waits where the listener has as many as it may have.
const ALL_PLACES_TAKEN: &str = "the listener has as many connections as it may have (`http.max_connections`)";

/// The same on the admin and ops listeners.
const ALL_ASIDE_TAKEN: &str = "the listener has as many connections as it may have, a number that cannot be set; those \
    that rest are closed to make room, so look for clients that hold many open";

/// Why requests over HTTP/2 are refused.
const STREAMS_REFUSED: &str = "requests over HTTP/2 are refused (REFUSED_STREAM): open streams hold as much memory as \
    they may (as much as `http.max_inflight_bytes`; 8 MiB for admin and ops); look for clients that do not take their \
    answers";

/// What is known of the connections and sockets of all listeners.
#[derive(Debug, Default)]
pub struct Places {
    crowds: [Crowd; Listener::ALL.len()],
    next: AtomicU64,
}

/// One listener's.
#[derive(Debug, Default)]
struct Crowd {
    // std Mutex: taken when a connection comes, goes, or finds no place; never for a request
    open: Mutex<HashMap<u64, Arc<Conn>>>,
    /// Why a connection found no place last, and when, by [`now_ms`].
    full: Mutex<Option<(u64, &'static str)>>,
    /// When a stream of HTTP/2 was refused last, by [`now_ms`]; 0 if none was.
    refused: AtomicU64,
    /// What is wrong with its Unix socket.
    socket: Mutex<Option<String>>,
}

/// The two listeners that decide share descriptors where those are few.
fn decides(listener: Listener) -> bool {
    matches!(listener, Listener::Decisions | Listener::Grpc)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Places ===

impl Places {
    fn crowd(&self, listener: Listener) -> &Crowd {
        &self.crowds[listener as usize]
    }

    /// Notes that a connection is open, until what this returns is dropped.
    pub(super) fn enter(conn: &Arc<Conn>) -> Entered {
        let places = &conn.services.places;
        let number = places.next.fetch_add(1, Ordering::Relaxed);
        lock(&places.crowd(conn.listener).open).insert(number, conn.clone());
        Entered { conn: conn.clone(), number }
    }

    /// Asks connections to leave that have rested longest, among those of the listeners that `helps` names; gives how
    /// many.
    pub(super) fn make_room(&self, metrics: &Metrics, helps: impl Fn(Listener) -> bool) -> usize {
        let now = now_ms();
        let (mut most, mut resting) = (0, Vec::new());
        for listener in Listener::ALL.iter().filter(|listener| helps(**listener)) {
            let crowd = lock(&self.crowd(*listener).open);
            let (share, moment) = if decides(*listener) { (SHARE, MOMENT) } else { (SHARE_ASIDE, MOMENT_ASIDE) };
            most += (crowd.len() / share).max(LEAST);
            resting.extend(crowd.iter().filter_map(|(number, conn)| {
                let (since, rest) = conn.rests_since()?;
                let over = rest == Rest::Done || now.saturating_sub(since) >= moment;
                over.then(|| (since, *number, conn.clone()))
            }));
        }
        if resting.len() > most {
            resting.select_nth_unstable_by_key(most, |(since, number, _)| (*since, *number));
            resting.truncate(most);
        }
        for (_, _, conn) in &resting {
            metrics.connections_given_up(conn.listener).inc();
            conn.dismiss();
        }
        resting.len()
    }

    /// Notes that a request over HTTP/2 was refused, since streams hold all that they may.
    pub(super) fn note_refused_stream(&self, metrics: &Metrics, listener: Listener) {
        metrics.streams_refused(listener).inc();
        let (now, refused) = (now_ms(), &self.crowd(listener).refused);
        let before = refused.swap(now.max(1), Ordering::Relaxed);
        if before == 0 || now.saturating_sub(before) >= FULL_FOR {
            tracing::warn!(listener = listener.as_str(), "{STREAMS_REFUSED}");
        }
    }

    /// Says what is wrong with a listener's socket; whether that is news.
    pub(super) fn note_socket(&self, listener: Listener, problem: Option<String>) -> bool {
        let mut known = lock(&self.crowd(listener).socket);
        let news = *known != problem;
        *known = problem;
        news
    }

    /// The problems of the listeners.
    pub(super) fn degraded(&self) -> Vec<String> {
        let now = now_ms();
        let of = |listener: &Listener| {
            let crowd = self.crowd(*listener);
            let full = lock(&crowd.full).filter(|(at, _)| now.saturating_sub(*at) < FULL_FOR);
            let full = full.map(|(_, why)| format!("new connections wait at the `{listener}` listener: {why}"));
            let refused = crowd.refused.load(Ordering::Relaxed);
            let refused = (refused > 0 && now.saturating_sub(refused) < FULL_FOR)
                .then(|| format!("at the `{listener}` listener {STREAMS_REFUSED}"));
            full.into_iter().chain(refused).chain(lock(&crowd.socket).clone())
        };
        Listener::ALL.iter().flat_map(of).collect()
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Entered {
    conn: Arc<Conn>,
    number: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.conn.services.places.crowd(self.conn.listener).open).remove(&self.number);
    }
}

/// What a connection holds while it is open: its place on its listener, and one among the descriptors where they are few.
pub(super) type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// The places of one listener.
pub(super) struct Room {
    listener: Listener,
    most: usize,
    own: Arc<Semaphore>,
    descriptors: Option<Arc<Semaphore>>,
}

// === impl Room ===

impl Room {
    /// `descriptors` are shared with the other listener that decides.
    pub(super) fn new(listener: Listener, most: usize, descriptors: Option<Arc<Semaphore>>) -> Self {
        let descriptors = descriptors.filter(|_| decides(listener));
        Self { listener, most, own: Arc::new(Semaphore::new(most)), descriptors }
    }

    /// A place, if there is one; else why not.
    pub(super) fn try_take(&self) -> Result<Place, &'static str> {
        let own = self
            .own
            .clone()
            .try_acquire_owned()
            .map_err(|_| if decides(self.listener) { ALL_PLACES_TAKEN } else { ALL_ASIDE_TAKEN })?;
        let descriptor = self.descriptors.as_ref().map(|descriptors| descriptors.clone().try_acquire_owned());
        Ok((own, descriptor.transpose().map_err(|_| ALL_IN_USE)?))
    }

    /// Waits for a place, and asks connections that rest to leave. `wanting` hears what is waited for.
    pub(super) async fn take(
        &self,
        places: &Places,
        metrics: &Metrics,
        mut wanting: impl FnMut(&'static str),
    ) -> Place {
        loop {
            let why = match self.try_take() {
                Ok(place) => return place,
                Err(why) => why,
            };
            wanting(why);
            *lock(&places.crowd(self.listener).full) = Some((now_ms(), why));
            if why == ALL_IN_USE {
                places.make_room(metrics, decides);
            } else {
                places.make_room(metrics, |listener| listener == self.listener);
            }
            // given back at once, so that both are taken together
            let given = async {
                match &self.descriptors {
                    Some(descriptors) if why == ALL_IN_USE => drop(descriptors.acquire().await),
                    _ => drop(self.own.acquire().await),
                }
            };
            // elapsed or not, it is tried again
            let _ = tokio::time::timeout(AGAIN, given).await;
        }
    }

    /// Waits until the listener has no connection.
    pub(super) async fn all_gone(&self) {
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        // never closed
        let _ = self.own.acquire_many(all).await;
    }
}
