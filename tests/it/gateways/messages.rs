//! Reads the calls of a gRPC connection off the wire: HTTP/2 frames, and the messages in their data.
//!
//! The headers of HTTP/2 are compressed, but what Envoy says of a request stands in the message, as it is.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use prost::Message;

use super::tap::Asked;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The calls of a connection with their answers.
pub(super) fn read(there: &[u8], back: &[u8]) -> Vec<Asked> {
    let (questions, answers) = (data(there.strip_prefix(PREFACE).unwrap_or(there)), data(back));
    let asked = |(stream, bytes): (u32, Vec<u8>)| {
        let check: CheckRequest = message(&bytes)?;
        let http = check.attributes?.request?.http?;
        let answer = answers.get(&stream).and_then(|bytes| message::<CheckResponse>(bytes));
        let status = answer.and_then(|answer| answer.status);
        Some(Asked {
            method: http.method,
            target: http.path.into_bytes(),
            host: http.host,
            // text, unless Envoy is set to send bytes
            body: if http.raw_body.is_empty() { http.body.into_bytes() } else { http.raw_body },
            allowed: status.as_ref().is_some_and(|status| status.code == 0),
            code: status.map(|status| status.message).unwrap_or_default(),
        })
    };
    questions.into_iter().filter_map(asked).collect()
}

fn message<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let (head, rest) = bytes.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    M::decode(rest.get(..length)?).ok()
}

/// The data of each stream: streams are numbered in the order in which they began.
fn data(mut bytes: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    let mut streams: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let Some(payload) = rest.get(..length) else { break };
        if head[3] == 0 {
            // padding is for those who hide lengths
            assert_eq!(head[4] & 8, 0, "padded data");
            streams.entry(stream).or_default().extend_from_slice(payload);
        }
        bytes = &rest[length..];
    }
    streams
}
