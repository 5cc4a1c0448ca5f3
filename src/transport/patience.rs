//! A stream that gives up on a peer that stalls where the HTTP library would wait for ever.
//!
//! The library times the head and we time the body, but neither the bytes by which HTTP/1 and HTTP/2 are
//! told apart nor an answer that nobody takes. A connection held this way costs a place among
//! `http.max_connections`, so both are timed here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What an HTTP/2 connection begins with. As long as the bytes agree, the version is open.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

type Timer = Option<Pin<Box<Sleep>>>;

/// The stream.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    limits: Limits,
    /// How many bytes of the preface have come; `None` once the version is known.
    opening: Option<usize>,
    opening_timer: Timer,
    write_timer: Timer,
}

/// How long a peer may stall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the version is known.
    pub(super) opening: Duration,
    /// Without taking a byte of what is sent.
    pub(super) write: Duration,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, limits: Limits) -> Self {
        Self { stream, limits, opening: Some(0), opening_timer: None, write_timer: None }
    }

    /// Follows the first bytes until they are no preface, or all of it.
    fn note_opening(&mut self, new: &[u8]) {
        let Some(seen) = self.opening else { return };
        let now = seen + new.len();
        let undecided = !new.is_empty() && now < PREFACE.len() && PREFACE[seen..now] == *new;
        self.opening = undecided.then_some(now);
        if !undecided {
            self.opening_timer = None;
        }
    }

    /// Times a write for as long as it is pending.
    fn time_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_timer = None;
            return result;
        }
        expired(&mut self.write_timer, self.limits.write, cx).map(|()| Err(timed_out("the peer takes no answer")))
    }
}

/// Ready once the timer, started at the first call, is over.
fn expired(timer: &mut Timer, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(cx)
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.opening.is_none() {
            return result;
        }
        if result.is_ready() {
            self.note_opening(&buf.filled()[before..]);
            return result;
        }
        let limit = self.limits.opening;
        expired(&mut self.opening_timer, limit, cx).map(|()| Err(timed_out("the peer sends no request")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.time_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.time_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
