//! Faults of the system and of clients that a sidecar outlives.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::process::{Process, workspace, write_policy};
use crate::support::raw::{hear, post};
use crate::support::tiny::ask;

#[test]
fn running_out_of_descriptors_passes() {
    let process = Process::start_with_files(workspace(), 48, &["http.header_timeout=60s"]);
    let metric = |series: &str| process.metric(series);
    assert_eq!(metric(r#"palisade_http_connections{listener="decisions"}"#), 0.0);
    for round in 0..3 {
        // more than there are descriptors; the system holds those that are not accepted
        let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(process.decisions).unwrap()).collect();
        process
            .until("out of descriptors", |process| process.log().matches("cannot accept a connection").count() > round);
        // what is left is enough for those who look
        assert_eq!(process.admin().get("/readyz").status, 200);
        assert!(process.metric(r#"palisade_http_connections{listener="decisions"}"#) >= 1.0);
        drop(held);
        let answer = process.client().post("/v1/is_authorized", ask("alice"));
        assert_eq!((answer.status, &answer.json()["decision"]), (200, &serde_json::json!("Allow")));
    }
    // reported at a bearable rate
    let told = process.log().matches("cannot accept a connection").count();
    assert!(told < 2_000, "{told} lines");
    // and files are read again
    write_policy(process.dir.path(), "bob");
    process.until("reloaded", |process| {
        process.client().post("/v1/is_authorized", ask("bob")).json()["decision"] == "Allow"
    });
}

/// A small generator: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[test]
fn random_bytes_hurt_no_client() {
    let process = Process::start(workspace(), &["http.header_timeout=2s", "http.body_timeout=2s"]);
    let seeds: Vec<Vec<u8>> = vec![
        post("/v1/is_authorized", "r", &ask("alice")).into_bytes(),
        post("/v1/is_authorized/batch", "r", &format!("{{\"requests\":[{}]}}", ask("alice"))).into_bytes(),
        post("/access/v1/evaluations", "r", r#"{"evaluations":[{"subject":{"type":"U","id":"a"}}],"options":{}}"#).into_bytes(),
        b"POST /v1/is_authorized HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x05\x01\x05\0\0\0\x01\x82\x84\x86\x41\0".to_vec(),
        b"GET /.well-known/authzen-configuration HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
    ];
    let pieces: &[&[u8]] = &[
        b"\r\n",
        b"\0",
        b"\xff\xfe",
        b"{",
        b"[",
        b"\"",
        b"\\ud800",
        b"9999999999999999999",
        b"content-length: 7\r\n",
        b": ",
        b"HTTP/1.0",
        b"PRI * HTTP/2.0",
    ];
    let mut random = Random(0x5eed_cafe_f00d_1234);
    let mut allowed = 0;
    for n in 0..2_000 {
        let mut bytes = if n % 4 == 0 {
            (0..random.below(300)).map(|_| random.next() as u8).collect()
        } else {
            seeds[random.below(seeds.len())].clone()
        };
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len().max(1)).min(bytes.len());
            match random.below(5) {
                0 if !bytes.is_empty() => {
                    let last = bytes.len() - 1;
                    bytes[at.min(last)] ^= 1 << random.below(8);
                }
                1 => bytes.truncate(at),
                2 => {
                    bytes.splice(at..at, pieces[random.below(pieces.len())].iter().copied());
                }
                3 => {
                    let end = (at + random.below(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => {
                    let copy: Vec<u8> = bytes[at..(at + random.below(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        let mut stream = TcpStream::connect(process.decisions).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(&bytes);
        if bytes.starts_with(b"PRI") || n % 16 == 1 {
            // HTTP/2 answers in frames; and some leave without waiting
            continue;
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let heard = hear(&mut stream);
        for response in &heard.responses {
            assert!(response.status < 500 || response.status == 505, "{}: {response:?}", bytes.escape_ascii());
            allowed += usize::from(response.status == 200);
        }
    }
    assert!(allowed > 20, "hardly any mutant was understood: {allowed}");
    let answer = process.client().post("/v1/is_authorized", ask("alice"));
    assert_eq!(answer.json()["decision"], "Allow");
    process.until("rid of all connections", |process| {
        process.metric(r#"palisade_http_connections{listener="decisions"}"#) <= 1.0
    });
    let log = process.log();
    assert!(!log.contains("panicked") && !log.contains("failed inside the engine"), "{log}");
}
