//! Answers on their way over HTTP/2, where each stream is given up whose client does not take its answer.
//!
//! The HTTP library hands a piece of a body on as soon as the client's window has room for one byte of it, and is done
//! with the stream when the last piece is handed on. So a body goes to it in small pieces, the last of which only fits
//! when the window has room for everything before it; and the task that the library starts for a stream is dropped,
//! which resets the stream, when its client leaves a piece untaken for too long. A client that answers pings all the
//! while is no exception. What such streams hold until then is bounded in [`conn`](super::conn). Over HTTP/1 an answer is written at once, and timed in [`Patient`](super::patience::Patient).

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::transport::conn::Open;

/// The largest piece. A client must take at least so much in `http.body_timeout`.
const PIECE: usize = 16 << 10;

thread_local! {
    /// What a body did while its stream's task was polled: both run within the same poll.
    static DONE: Cell<Done> = const { Cell::new(Done::Nothing) };

    /// The stream that is started next is refused: its service was called just before, on this thread.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Refuses the stream whose service is being called, and gives the error that its service must end in. The client may
/// ask again, since nothing was done.
pub(super) fn refuse() -> h2::Error {
    REFUSED.set(true);
    h2::Reason::REFUSED_STREAM.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    /// A piece was handed on: from now on it is the client's turn.
    Piece,
    /// There was no piece to hand on yet.
    Waits,
}

pin_project! {
    /// A body, with the request that it answers.
    #[derive(Debug)]
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
        // what of the last frame is not handed on yet
        rest: Bytes,
        handed: usize,
        http2: bool,
        open: Open,
    }
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, mut open: Open, http2: bool) -> Self {
        open.forget_head();
        Self { body, rest: Bytes::new(), handed: 0, http2, open }
    }
}

impl<B: Body<Data = Bytes>> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if !*this.http2 {
            return this.body.poll_frame(cx);
        }
        if this.rest.is_empty() {
            this.open.note_untaken(false);
            DONE.set(Done::Waits);
            match ready!(this.body.poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if !data.is_empty() => *this.rest = data,
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let whole = this.rest.len();
        let size = match whole {
            _ if whole > PIECE => PIECE,
            // that the last byte fits says that all before it do
            2.. if !this.open.conn.window.covers(*this.handed, whole) => whole - 1,
            _ => whole,
        };
        let piece = this.rest.split_to(size);
        *this.handed += size;
        this.open.conn.window.spend(size);
        this.open.note_untaken(true);
        DONE.set(Done::Piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Starts the tasks of HTTP/2 streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// How long a client may leave a piece untaken.
    pub(super) patience: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        if REFUSED.replace(false) {
            // it has no more to do than to say so: as a task it would take memory until its turn
            let _ = pin!(stream).poll(&mut Context::from_waker(Waker::noop()));
            return;
        }
        tokio::spawn(Stream { stream, patience: self.patience, untaken: None });
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        stream: F,
        patience: Duration,
        // made only where the client lets a piece wait
        untaken: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        DONE.set(Done::Nothing);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match DONE.get() {
            Done::Piece => *this.untaken = Some(Box::pin(tokio::time::sleep(*this.patience))),
            Done::Waits => *this.untaken = None,
            Done::Nothing => {}
        }
        match this.untaken {
            // dropped, the stream is reset
            Some(untaken) => untaken.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
