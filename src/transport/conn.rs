//! What is known of one connection while it is open.
//!
//! A request holds its [`Open`] from its head until its answer has gone to the HTTP library whole. From it the idle
//! timeout knows whether a connection is in use, the end of the process what was not answered, and the budgets how much
//! memory streams, bodies and answers hold.
//!
//! Over HTTP/2 a stream takes memory until its client has taken its answer, and one connection has hundreds. So each
//! holds what it takes from its first moment on, out of a budget for streams alone: who hoards streams takes no room from
//! the bodies of others. The only stream of a connection costs no more than a request over HTTP/1, and is not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Version};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::telemetry::Listener;
use crate::transport::Services;
use crate::transport::budget::{Budget, Part};
use crate::transport::span::Ends;
use crate::transport::timer::TimerSlot;

/// The window that HTTP/2 begins with, for a connection and for each stream.
const FIRST_WINDOW: u32 = 65_535;

/// What a stream takes beside the bytes of its head: its task, the HTTP library's part, and a small answer.
const STREAM_COST: usize = 10 << 10;

/// What of that is for an answer.
const SMALL_ANSWER: usize = 1 << 10;

/// What each field of a head takes beside its bytes.
const FIELD_COST: usize = 208;

/// A larger answer counts until its bytes are freed, a smaller one until the HTTP library has it.
pub(super) const LARGE_ANSWER: usize = 16 << 10;

/// What is smaller is never refused on the admin and ops listeners: metrics must be had when there is no room for anything
/// else. They have few connections, and it holds for one request of each.
const NEVER_REFUSED: usize = 128 << 10;

/// How a connection rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It has asked nothing yet, or not all of a head.
    Unasked,
    /// Its client has all answers.
    Done,
    /// Its client takes no answer.
    Untaken,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) services: Arc<Services>,
    pub(super) listener: Listener,
    /// Its addresses, where spans hold them.
    pub(super) ends: Ends,
    /// The connection's timer for bodies.
    pub(super) body_timer: TimerSlot,
    pub(super) window: Window,
    open: AtomicUsize,
    /// Open requests whose answer is there and waits for the client. Over HTTP/2 alone.
    untaken: AtomicUsize,
    begun: AtomicUsize,
    last: AtomicBool,
    /// It speaks HTTP/2.
    pub(super) http2: AtomicBool,
    /// The peer does not take what is sent at the moment.
    stalled: AtomicBool,
    /// Since when that is so, by [`now_ms`].
    stalls: AtomicU64,
    /// Since when it rests, if it does, by [`now_ms`].
    rests: AtomicU64,
    /// It was asked to leave.
    leave: (AtomicBool, Notify),
    /// The bytes that its requests hold of the budget.
    bytes: Part,
    /// The same of the budget for streams.
    streams: Part,
}

/// Milliseconds of a clock that is cheap to read and never goes back: it is read for each request.
pub(super) fn now_ms() -> u64 {
    #[cfg(target_os = "linux")]
    let now = clock_gettime(ClockId::MonotonicCoarse);
    #[cfg(not(target_os = "linux"))]
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

impl Conn {
    pub(super) fn new(services: Arc<Services>, listener: Listener, ends: Ends) -> Self {
        Self {
            services,
            listener,
            ends,
            body_timer: TimerSlot::default(),
            window: Window::default(),
            open: AtomicUsize::new(0),
            untaken: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            last: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            stalls: AtomicU64::new(0),
            rests: AtomicU64::new(now_ms()),
            leave: Default::default(),
            bytes: Part::default(),
            streams: Part::default(),
        }
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Whether it speaks HTTP/2 and nothing of any stream is left to do or to send.
    pub(super) fn is_without_streams(&self) -> bool {
        self.http2.load(Ordering::Relaxed) && !self.is_busy() && !self.stalled.load(Ordering::Relaxed)
    }

    /// Whether none of its requests is at work: each was answered, and at most its client has to take the answer.
    pub(super) fn is_answered(&self) -> bool {
        self.open.load(Ordering::Relaxed) <= self.untaken.load(Ordering::Relaxed)
    }

    /// Since when it rests, by [`now_ms`], and how: nothing is asked of it at the moment. `None` while something is, and
    /// once it was asked to leave.
    pub(super) fn rests_since(&self) -> Option<(u64, Rest)> {
        if !self.is_answered() || self.leave.0.load(Ordering::Relaxed) {
            return None;
        }
        let (since, stalled) = (self.rests.load(Ordering::Relaxed), self.stalled.load(Ordering::Relaxed));
        Some(match self.requests() {
            _ if stalled => (since.max(self.stalls.load(Ordering::Relaxed)), Rest::Untaken),
            _ if self.is_busy() => (since, Rest::Untaken),
            0 => (since, Rest::Unasked),
            _ => (since, Rest::Done),
        })
    }

    /// Notes whether its peer takes what is sent.
    pub(super) fn note_stalled(&self, stalled: bool) {
        if stalled {
            self.stalls.store(now_ms(), Ordering::Relaxed);
        }
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Asks it to leave: it answers what is under way and closes.
    pub(super) fn dismiss(&self) {
        self.leave.0.store(true, Ordering::Relaxed);
        self.leave.1.notify_one();
    }

    /// Waits until it is asked to leave.
    pub(super) async fn dismissed(&self) {
        self.leave.1.notified().await;
    }

    /// How many requests have come so far.
    pub(super) fn requests(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Lets the connection end after the answer at hand: where its next request begins is not known.
    pub(super) fn end_after_answer(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// Whether it ends after the answer at hand.
    pub(super) fn ends(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    fn budget(&self) -> &Budget {
        match self.listener {
            Listener::Decisions | Listener::Grpc => &self.services.decision_bytes,
            Listener::Admin | Listener::Ops => &self.services.admin_bytes,
        }
    }

    fn streams_budget(&self) -> &Budget {
        match self.listener {
            Listener::Decisions | Listener::Grpc => &self.services.decision_streams,
            Listener::Admin | Listener::Ops => &self.services.admin_streams,
        }
    }
}

/// A request that is not answered yet, and the bytes that it holds of the budgets.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) conn: Arc<Conn>,
    held: usize,
    /// What its stream holds. Nothing over HTTP/1, and for the only stream of a connection.
    stream: usize,
    /// What it holds for an answer that is being written.
    growing: usize,
    /// Its answer waits for the client.
    untaken: bool,
}

impl Open {
    /// `cost` is what its stream takes, see [`stream_cost`]. `None` if there is no room for one more stream.
    pub(super) fn begin(conn: &Arc<Conn>, cost: usize) -> Option<Self> {
        let only = conn.open.fetch_add(1, Ordering::Relaxed) == 0;
        let stream = if only { 0 } else { cost };
        if stream > 0 && !conn.streams.take(conn.streams_budget(), stream, 0) {
            conn.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        conn.begun.fetch_add(1, Ordering::Relaxed);
        conn.services.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Self { conn: conn.clone(), held: 0, stream, growing: 0, untaken: false })
    }

    /// Takes more bytes from the budget; false if there are not so many.
    pub(super) fn hold(&mut self, more: usize) -> bool {
        let taken = self.conn.bytes.take(self.conn.budget(), more, self.held);
        if taken {
            self.held += more;
        }
        taken
    }

    /// Holds an answer that has grown to so many bytes beside the request; false if there is no room for it. It is held in
    /// steps, each as large as what there was: what grows keeps room for as much.
    pub(super) fn hold_growing(&mut self, answer: usize) -> bool {
        if answer <= self.growing.max(LARGE_ANSWER) {
            return true;
        }
        let more = answer.next_power_of_two() - self.growing;
        let held = self.hold(more);
        if held {
            self.growing += more;
        }
        held
    }

    /// Gives back what it holds, of the budget and of its connection's share.
    fn give(&mut self, bytes: usize) {
        self.conn.bytes.give(self.conn.budget(), bytes);
        self.held -= bytes;
    }

    /// Holds an answer below [`LARGE_ANSWER`] instead of the request's bytes; false if there is no room for it. There is
    /// always room for the answer to the only request of a connection, and for a very small one.
    pub(super) fn hold_small(&mut self, answer: usize) -> bool {
        let Some(more) = answer.checked_sub(self.held) else {
            self.give(self.held - answer);
            return true;
        };
        if self.stream > 0 && answer > SMALL_ANSWER {
            return self.hold(more);
        }
        self.conn.bytes.add(self.conn.budget(), more);
        self.held = answer;
        true
    }

    /// Holds a large answer instead of the request's bytes, for as long as any part of it is anywhere; `None`, with
    /// nothing held, if there is no room for it.
    pub(super) fn hold_large(&mut self, answer: Bytes) -> Option<Bytes> {
        self.give(self.held);
        let (size, conn) = (answer.len(), &self.conn);
        let aside = matches!(conn.listener, Listener::Admin | Listener::Ops);
        if size < NEVER_REFUSED && self.stream == 0 && aside {
            conn.bytes.add(conn.budget(), size);
        } else if !conn.bytes.take(conn.budget(), size, 0) {
            return None;
        }
        Some(Bytes::from_owner(Counted { bytes: answer, conn: self.conn.clone() }))
    }

    /// Its head is gone: from now on its stream takes no more than any other.
    pub(super) fn forget_head(&mut self) {
        let head = self.stream.saturating_sub(STREAM_COST);
        if head > 0 {
            self.conn.streams.give(self.conn.streams_budget(), head);
            self.stream -= head;
        }
    }

    /// Notes whether its answer, or a piece of it, waits for the client.
    pub(super) fn note_untaken(&mut self, untaken: bool) {
        if untaken == self.untaken {
            return;
        }
        self.untaken = untaken;
        if untaken {
            self.conn.rests.store(now_ms(), Ordering::Relaxed);
            self.conn.untaken.fetch_add(1, Ordering::Relaxed);
        } else {
            self.conn.untaken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.note_untaken(false);
        self.give(self.held);
        if self.stream > 0 {
            self.conn.streams.give(self.conn.streams_budget(), self.stream);
        }
        self.conn.services.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.conn.rests.store(now_ms(), Ordering::Relaxed);
        self.conn.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the stream of an HTTP/2 request takes, its head included. Hundreds of them wait on one connection; over HTTP/1.1
/// one does, in the connection's own buffer, and costs nothing here.
pub(super) fn stream_cost<B>(request: &Request<B>) -> usize {
    if request.version() != Version::HTTP_2 {
        return 0;
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    // twice: the library keeps what it reads into for as long as a field points into it
    let fields = request.headers().iter().map(|(name, value)| FIELD_COST + 2 * (name.as_str().len() + value.len()));
    STREAM_COST + 2 * target + fields.sum::<usize>()
}

/// Bytes that hold their part of the budget until the last reference to them is gone, in whatever queue that is.
struct Counted {
    bytes: Bytes,
    conn: Arc<Conn>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.conn.bytes.give(self.conn.budget(), self.bytes.len());
    }
}

/// What is known of the windows of an HTTP/2 client. Never more than there really is.
#[derive(Debug)]
pub(super) struct Window {
    /// The least that it ever gave each stream.
    stream: AtomicU32,
    /// What is left for the whole connection, once everything that was handed over is sent.
    left: AtomicI64,
}

impl Default for Window {
    fn default() -> Self {
        Self { stream: AtomicU32::new(FIRST_WINDOW), left: AtomicI64::new(i64::from(FIRST_WINDOW)) }
    }
}

impl Window {
    /// Whether the windows have room for `bytes` more of a stream that has handed over `before`.
    pub(super) fn covers(&self, before: usize, bytes: usize) -> bool {
        before + bytes <= self.stream.load(Ordering::Relaxed) as usize
            && i64::try_from(bytes).is_ok_and(|bytes| bytes <= self.left.load(Ordering::Relaxed))
    }

    /// Bytes were handed over.
    pub(super) fn spend(&self, bytes: usize) {
        self.left.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// The client opens the connection's window further.
    pub(super) fn widen(&self, bytes: u32) {
        self.left.fetch_add(i64::from(bytes), Ordering::Relaxed);
    }

    /// The client says how much each stream begins with.
    pub(super) fn set_stream(&self, bytes: u32, first: bool) {
        if first {
            self.stream.store(bytes, Ordering::Relaxed);
        } else {
            self.stream.fetch_min(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_costs_more_than_its_bytes_over_http2_alone() {
        let cost = |version, value: &str| {
            stream_cost(&Request::builder().version(version).uri("/path").header("name", value).body(()).unwrap())
        };
        assert_eq!(cost(Version::HTTP_11, &"x".repeat(1_000)), 0);
        assert!(cost(Version::HTTP_2, "") > STREAM_COST);
        assert_eq!(cost(Version::HTTP_2, &"x".repeat(1_000)), cost(Version::HTTP_2, "") + 2_000);
    }

    #[test]
    fn windows_cover_what_the_client_promised() {
        let window = Window::default();
        assert!(window.covers(0, 65_535) && !window.covers(0, 65_536) && !window.covers(1, 65_535));
        window.set_stream(1_000_000, true);
        assert!(!window.covers(0, 65_536), "the connection's own window is as it was");
        window.widen(1_000);
        assert!(window.covers(0, 66_535) && window.covers(900_000, 100));
        window.spend(66_000);
        assert!(window.covers(0, 535) && !window.covers(0, 536));
        window.set_stream(10, false);
        window.set_stream(1_000, false);
        assert!(window.covers(0, 10) && !window.covers(0, 11), "the least counts");
    }
}
