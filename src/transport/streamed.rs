//! Bodies of answers that are made while they are sent, on a thread of their own.
//!
//! The thread writes pieces into a short queue, from which the connection takes them. A client that reads slowly makes
//! the thread wait; one that takes no piece in time, or leaves, ends it. So what an answer holds does not grow with its
//! size. A body that is not made to its end ends in an error, so that no client takes a part of it for the whole.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use crate::transport::watch::Events;

/// Bytes of a piece. A client must take at least so much in `http.body_timeout`.
const PIECE: usize = 64 << 10;

/// Pieces that may wait.
const QUEUE: usize = 4;

/// What such an answer holds at most, about.
pub(super) const STREAM_BYTES: usize = (QUEUE + 2) * PIECE;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// There from the start.
    Whole(Full<Bytes>),
    /// Made while it is sent.
    Streamed(Streamed),
    /// Sent as it happens, without an end.
    Events(Events),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed(streamed) => streamed.poll(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Self::Events(events) => events.poll(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Streamed(_) | Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Streamed(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}

/// The end that the connection takes pieces from. Dropped, it ends the thread.
#[derive(Debug)]
pub(super) struct Streamed(Arc<Shared>);

/// The end that the thread writes into.
#[derive(Debug)]
pub(super) struct Pieces {
    shared: Arc<Shared>,
    /// How long the client may leave a piece.
    patience: Duration,
    piece: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is room, or no use in more.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    waker: Option<Waker>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it was written.
    Whole,
    /// It broke off.
    Broken,
    /// The client has left.
    Unwanted,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // nothing in here panics half way
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        let waker = {
            let mut state = self.lock();
            state.end.get_or_insert(end);
            if end == End::Unwanted {
                state.pieces.clear();
            }
            state.waker.take()
        };
        self.moved.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the answer could not be written")
}

// === impl Streamed ===

impl Streamed {
    /// A body that `write` makes on a thread of its own. The client must take each piece within `patience`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn begin(
        patience: Duration,
        write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut pieces = Pieces { shared: shared.clone(), patience, piece: Vec::with_capacity(PIECE) };
        palisade_engine::begin_on_big_stack(move || {
            let written = write(&mut pieces).and_then(|()| pieces.flush());
            pieces.shared.end(if written.is_ok() { End::Whole } else { End::Broken });
        })?;
        Ok(Self(shared))
    }

    /// A body that is never taken, for the answer to `HEAD`.
    pub(super) fn none() -> Self {
        let shared = Shared::default();
        shared.end(End::Whole);
        Self(Arc::new(shared))
    }

    /// Waits until it is written or begins to fill the queue. What is small is sent whole, with its length.
    ///
    /// # Errors
    /// If it broke off before.
    pub(super) async fn settled(self) -> io::Result<Content> {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.end.is_some() || state.pieces.len() >= QUEUE {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let mut state = self.0.lock();
        match state.end {
            None => {}
            Some(End::Whole) => {
                let pieces: Vec<Bytes> = state.pieces.drain(..).collect();
                return Ok(Bytes::from(pieces.concat()).into());
            }
            Some(End::Broken | End::Unwanted) => return Err(broken_off()),
        }
        drop(state);
        Ok(Content::Streamed(self))
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.pieces.pop_front() {
            drop(state);
            self.0.moved.notify_all();
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.end {
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken | End::Unwanted) => Poll::Ready(Some(Err(broken_off()))),
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.0.end(End::Unwanted);
    }
}

// === impl Pieces ===

impl Pieces {
    /// Hands the piece on, once there is room for it.
    fn hand_on(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.patience;
        let mut state = self.shared.lock();
        while state.pieces.len() >= QUEUE && state.end.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"));
            }
            state = self.shared.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.end.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.pieces.push_back(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE)).into());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE {
            self.hand_on()?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.hand_on() }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // a panic of the thread, if it has not ended before
        self.shared.end(End::Broken);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http_body_util::BodyExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn collect(streamed: Streamed) -> io::Result<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Content::Streamed(streamed).collect()).map(|body| body.to_bytes())
    }

    #[test]
    fn a_body_comes_whole_or_ends_in_an_error() {
        let text: Vec<u8> = (0..3 * STREAM_BYTES + 7).map(|n| n as u8).collect();
        for len in [0, 1, PIECE, PIECE + 1, text.len()] {
            let part = text[..len].to_vec();
            let streamed = Streamed::begin(PATIENCE, move |out| out.write_all(&part)).unwrap();
            assert_eq!(collect(streamed).unwrap(), text[..len]);
        }
        let failed = Streamed::begin(PATIENCE, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("a fault"))
        });
        assert!(collect(failed.unwrap()).is_err());
        let panicked = Streamed::begin(PATIENCE, |out| {
            out.write_all(b"half")?;
            panic!("a fault")
        });
        assert!(collect(panicked.unwrap()).is_err());
        assert!(collect(Streamed::none()).unwrap().is_empty());
    }

    #[test]
    fn what_is_small_has_a_length() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (len, whole) in [(0, true), (100, true), (2 * PIECE, true), (QUEUE * PIECE + 1, false)] {
            let streamed = Streamed::begin(PATIENCE, move |out| out.write_all(&vec![b'x'; len])).unwrap();
            let content = runtime.block_on(streamed.settled()).unwrap();
            assert_eq!(content.size_hint().exact(), whole.then_some(len as u64), "{len}");
            assert_eq!(runtime.block_on(content.collect()).unwrap().to_bytes().len(), len);
        }
        let failed = Streamed::begin(PATIENCE, |_| Err(io::Error::other("a fault"))).unwrap();
        assert!(runtime.block_on(failed.settled()).is_err());
    }

    #[test]
    fn a_client_that_leaves_or_takes_nothing_ends_the_thread() {
        for (patience, leaves) in [(PATIENCE, true), (Duration::from_millis(50), false)] {
            let (tell, told) = mpsc::channel();
            let streamed = Streamed::begin(patience, move |out| {
                let ended = loop {
                    if let Err(error) = out.write_all(&[0; 1_000]) {
                        break error;
                    }
                };
                tell.send(ended.kind()).unwrap();
                Err(ended)
            });
            let streamed = streamed.unwrap();
            if leaves {
                while streamed.0.lock().pieces.len() < QUEUE {
                    std::thread::yield_now();
                }
                drop(streamed);
                assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(io::ErrorKind::BrokenPipe));
            } else {
                assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(io::ErrorKind::TimedOut));
                assert!(collect(streamed).is_err(), "what waits is taken, and then it breaks off");
            }
        }
    }
}
