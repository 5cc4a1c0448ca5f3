//! A stream that gives up on a peer that stalls where the HTTP library would wait for ever.
//!
//! We time the body where it is read, an answer over HTTP/2 where it is handed on, and a connection that rests where it
//! is served. Here the head is timed, from its first byte, and an answer over HTTP/1 that is not taken. A connection held
//! this way costs a place among `http.max_connections`.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::transport::conn::Conn;
use crate::transport::frames::Frames;
use crate::transport::heads::Heads;

/// What an HTTP/2 connection begins with. As long as the bytes agree, the version is open.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long we read on, and forget what comes, when a connection closes within a body.
const LINGER: Duration = Duration::from_secs(1);

/// The most that is read then: who sends without end is cut.
const LINGER_BYTES: usize = 16 << 20;

type Timer = Option<Pin<Box<Sleep>>>;

/// The stream.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    conn: Arc<Conn>,
    limits: Limits,
    version: Version,
    head_timer: Timer,
    write_timer: Timer,
    linger_timer: Timer,
    lingered: usize,
}

#[derive(Debug)]
enum Version {
    /// So many bytes of the preface have come.
    Open(usize),
    Http1(Heads),
    Http2(Frames),
}

/// How long a peer may stall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first byte of a head to its last; on a new connection from its start.
    pub(super) head: Duration,
    /// Without taking a byte of what is sent.
    pub(super) write: Duration,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, conn: Arc<Conn>, limits: Limits) -> Self {
        Self {
            stream,
            conn,
            limits,
            version: Version::Open(0),
            head_timer: None,
            write_timer: None,
            linger_timer: None,
            lingered: 0,
        }
    }

    /// Follows what the peer says, and spoils what must be refused.
    fn hear(&mut self, new: &mut [u8]) {
        match &mut self.version {
            Version::Open(seen) => {
                let now = *seen + new.len();
                let common = now.min(PREFACE.len());
                let agrees = PREFACE[*seen..common] == new[..common - *seen];
                if !agrees || new.is_empty() {
                    let mut heads = Heads::default();
                    let mut before = *PREFACE;
                    // the first head began with the connection, and its timer goes on
                    heads.read(&mut before[..*seen]);
                    self.version = Version::Http1(heads);
                    self.hear(new);
                } else if now < PREFACE.len() {
                    *seen = now;
                } else {
                    let mut frames = Frames::default();
                    frames.read(&new[common - *seen..], &self.conn.window);
                    self.version = Version::Http2(frames);
                    self.conn.http2.store(true, Ordering::Relaxed);
                    self.head_timer = None;
                }
            }
            Version::Http1(heads) => {
                if heads.read(new) {
                    self.head_timer = None;
                }
                if heads.is_lost() {
                    self.conn.end_after_answer();
                }
            }
            Version::Http2(frames) => frames.read(new, &self.conn.window),
        }
    }

    /// Whether the peer is within a head.
    fn is_within_head(&self) -> bool {
        match &self.version {
            Version::Open(_) => true,
            Version::Http1(heads) => heads.is_within_head(),
            Version::Http2(_) => false,
        }
    }

    /// Times a write for as long as it is pending.
    fn time_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.write_timer.take().is_some() {
                self.conn.note_stalled(false);
            }
            return result;
        }
        if self.write_timer.is_none() {
            self.conn.note_stalled(true);
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
        if result.is_ready() {
            self.hear(&mut buf.filled_mut()[before..]);
            return result;
        }
        if !self.is_within_head() {
            return result;
        }
        let limit = self.limits.head;
        expired(&mut self.head_timer, limit, cx).map(|()| Err(timed_out("the peer sends no request")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
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

    /// Ends what we send. A client that still sends a body would get a reset for it, and a reset may cost it the answer
    /// that it has not read yet: so what comes is read and forgotten for a while (RFC 9112, 9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        while matches!(&this.version, Version::Http1(heads) if heads.is_within_body()) {
            let mut space = [MaybeUninit::uninit(); 8192];
            let mut unread = ReadBuf::uninit(&mut space);
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut unread);
            if read.is_pending() {
                return expired(&mut this.linger_timer, LINGER, cx).map(Ok);
            }
            if !matches!(read, Poll::Ready(Ok(()))) || unread.filled().is_empty() {
                break;
            }
            this.lingered += unread.filled().len();
            // one that sends without a pause has no more time than others
            if this.lingered > LINGER_BYTES || expired(&mut this.linger_timer, LINGER, cx).is_ready() {
                break;
            }
            this.hear(unread.filled_mut());
        }
        Poll::Ready(Ok(()))
    }
}
