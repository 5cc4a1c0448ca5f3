//! One message in, one message out, as gRPC frames them.
//!
//! tonic would answer a message that it cannot read with an error of gRPC, which Envoy takes for a failure of
//! the service and may let the request pass. So a message is read here, and what is wrong with it is a denial.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Frame;
use prost::Message;
use tonic::body::Body;

/// The name of the trailer that says how a call ended.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The length of a frame's head: whether the message is compressed, and its length.
const HEAD: usize = 5;

/// The one uncompressed message in a body.
pub(super) fn message(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_first_chunk::<HEAD>()?;
    let [compressed, length @ ..] = *head;
    let whole = usize::try_from(u32::from_be_bytes(length)).is_ok_and(|length| length == message.len());
    (compressed == 0 && whole).then_some(message)
}

/// A call that succeeded with this message.
pub(super) fn answer(message: &impl Message) -> Response<Body> {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    let written = message.encode(&mut frame);
    let data = written.is_ok().then(|| frame.freeze());
    let mut answer =
        Response::new(Body::new(Unary { status: if data.is_some() { "0" } else { "13" }, data, ended: false }));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// A frame, and the trailers.
struct Unary {
    data: Option<Bytes>,
    status: &'static str,
    ended: bool,
}

impl hyper::body::Body for Unary {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(None);
        }
        let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static(self.status))]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_whole_message() {
        for (body, expected) in [
            (&b"\0\0\0\0\x02ab"[..], Some(&b"ab"[..])),
            (b"\0\0\0\0\0", Some(b"")),
            (b"", None),
            (b"\0\0\0\0", None),
            (b"\x01\0\0\0\x02ab", None),
            (b"\0\0\0\0\x03ab", None),
            (b"\0\0\0\0\x01ab", None),
            (b"\0\xff\xff\xff\xffab", None),
        ] {
            assert_eq!(message(body), expected, "{body:?}");
        }
    }
}
