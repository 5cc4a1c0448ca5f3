//! What is known of one connection while it is open, and the budget of bytes that all connections share.
//!
//! A request holds its [`Open`] from its head until its answer has gone to the HTTP library whole. From it the idle
//! timeout knows whether a connection is in use, the end of the process what was not answered, and the budget how much
//! memory bodies and answers hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Version};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::transport::Services;
use crate::transport::router::Surface;
use crate::transport::span::Ends;
use crate::transport::timer::TimerSlot;

/// The window that HTTP/2 begins with, for a connection and for each stream.
const FIRST_WINDOW: u32 = 65_535;

/// What each HTTP/2 request and each of its fields take beside their bytes, while its body is waited for.
const STREAM_COST: usize = 2 << 10;
const FIELD_COST: usize = 128;

/// A larger answer counts until its bytes are freed, a smaller one until the HTTP library has it.
pub(super) const LARGE_ANSWER: usize = 16 << 10;

/// All requests of one connection hold at most this part of the budget, so that one client leaves room for others.
const CONNECTION_SHARE: usize = 4;

/// What is smaller is never refused: metrics must be had when there is no room for anything else.
const NEVER_REFUSED: usize = 128 << 10;

/// An open connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) services: Arc<Services>,
    pub(super) surface: Surface,
    /// Its addresses, where spans tell them.
    pub(super) ends: Ends,
    /// The connection's timer for bodies.
    pub(super) body_timer: TimerSlot,
    pub(super) window: Window,
    open: AtomicUsize,
    begun: AtomicUsize,
    last: AtomicBool,
    /// It speaks HTTP/2.
    pub(super) http2: AtomicBool,
    /// The peer does not take what is sent at the moment.
    pub(super) stalled: AtomicBool,
    /// Since when it rests, if it does, by [`now_ms`].
    rests: AtomicU64,
    /// It was asked to leave.
    leave: (AtomicBool, Notify),
    /// The bytes that its requests hold of the budget.
    held: AtomicUsize,
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
    pub(super) fn new(services: Arc<Services>, surface: Surface, ends: Ends) -> Self {
        Self {
            services,
            surface,
            ends,
            body_timer: TimerSlot::default(),
            window: Window::default(),
            open: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            last: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            rests: AtomicU64::new(now_ms()),
            leave: Default::default(),
            held: AtomicUsize::new(0),
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

    /// Since when it rests, by [`now_ms`]: it is asked nothing, and its last answer has gone. `None` while it does not,
    /// or was asked to leave.
    pub(super) fn rests_since(&self) -> Option<u64> {
        let rests = !self.is_busy() && !self.stalled.load(Ordering::Relaxed) && !self.leave.0.load(Ordering::Relaxed);
        rests.then(|| self.rests.load(Ordering::Relaxed))
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

    /// Takes bytes for a request that has `own` already from what one connection may hold. One that is alone on its
    /// connection is never refused.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let most = self.budget().most / CONNECTION_SHARE;
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used <= own || after <= most).then_some(after)
        };
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
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
        match self.surface {
            Surface::Decisions | Surface::Grpc => &self.services.decision_bytes,
            Surface::Admin | Surface::Ops => &self.services.admin_bytes,
        }
    }
}

/// A request that is not answered yet, and the bytes that it holds of the budget.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) conn: Arc<Conn>,
    held: usize,
    /// What its head takes, until that is held.
    head: usize,
    /// What it holds for an answer that is being written.
    growing: usize,
}

impl Open {
    /// `head` is what its head takes, see [`head_cost`].
    pub(super) fn begin(conn: &Arc<Conn>, head: usize) -> Self {
        conn.open.fetch_add(1, Ordering::Relaxed);
        conn.begun.fetch_add(1, Ordering::Relaxed);
        conn.services.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { conn: conn.clone(), held: 0, head, growing: 0 }
    }

    /// Takes its head's bytes from the budget, once, for a request that waits; false if there are not so many.
    pub(super) fn hold_head(&mut self) -> bool {
        let head = std::mem::take(&mut self.head);
        self.hold(head)
    }

    /// Takes more bytes from the budget; false if there are not so many.
    pub(super) fn hold(&mut self, more: usize) -> bool {
        if !self.conn.take(more, self.held) {
            return false;
        }
        let taken = self.conn.budget().take(more, self.held);
        if taken {
            self.held += more;
        } else {
            self.conn.held.fetch_sub(more, Ordering::Relaxed);
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
        self.conn.budget().give(bytes);
        self.conn.held.fetch_sub(bytes, Ordering::Relaxed);
        self.held -= bytes;
    }

    /// Holds an answer below [`LARGE_ANSWER`] instead of the request's bytes. There is always room for it: the request
    /// that it answers had some.
    pub(super) fn hold_small(&mut self, answer: usize) {
        match answer.checked_sub(self.held) {
            Some(more) => {
                self.conn.budget().used.fetch_add(more, Ordering::Relaxed);
                self.conn.held.fetch_add(more, Ordering::Relaxed);
                self.held = answer;
            }
            None => self.give(self.held - answer),
        }
    }

    /// Holds a large answer instead of the request's bytes, for as long as any part of it is anywhere; `None`, with
    /// nothing held, if there is no room for it.
    pub(super) fn hold_large(&mut self, answer: Bytes) -> Option<Bytes> {
        self.give(self.held);
        let size = answer.len();
        if size < NEVER_REFUSED {
            self.conn.budget().used.fetch_add(size, Ordering::Relaxed);
            self.conn.held.fetch_add(size, Ordering::Relaxed);
        } else if !self.conn.take(size, 0) {
            return None;
        } else if !self.conn.budget().take(size, 0) {
            self.conn.held.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        Some(Bytes::from_owner(Counted { bytes: answer, conn: self.conn.clone() }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.give(self.held);
        self.conn.services.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.conn.rests.store(now_ms(), Ordering::Relaxed);
        self.conn.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the head of an HTTP/2 request takes. Hundreds of them wait on one connection; over HTTP/1.1 one does, in the
/// connection's own buffer.
pub(super) fn head_cost<B>(request: &Request<B>) -> usize {
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
        self.conn.budget().give(self.bytes.len());
        self.conn.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// How many bytes of bodies and answers may be held at a time, on all connections of some listeners.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of that many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, used: AtomicUsize::new(0) }
    }

    /// How many bytes are held at the moment.
    #[must_use]
    pub fn held(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for a request that has `own` already. One that is alone is never refused: its own limits hold.
    ///
    /// What does not fit is never added, not even for a moment: a request that does fit would be refused because of it.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used <= own || after <= self.most).then_some(after)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
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
    fn a_budget_refuses_what_is_too_much_together() {
        let budget = Budget::new(100);
        assert!(budget.take(60, 0) && !budget.take(60, 0) && budget.take(40, 0) && !budget.take(1, 0));
        budget.give(40);
        assert!(budget.take(40, 60), "up to the limit");
        budget.give(100);
        // alone it may be as large as its own limit lets it, in one piece or many
        assert!(budget.take(500, 0) && budget.take(500, 500));
        assert!(!budget.take(1, 0), "but then there is no room for others");
        budget.give(1_000);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_head_costs_more_than_its_bytes_over_http2_alone() {
        let cost = |version, value: &str| {
            head_cost(&Request::builder().version(version).uri("/path").header("name", value).body(()).unwrap())
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
