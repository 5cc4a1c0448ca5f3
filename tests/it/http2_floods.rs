//! Floods of HTTP/2 frames that ask for work or memory without end: rapid resets, CONTINUATION, SETTINGS,
//! PING, empty DATA, headers that unpack to much. Each ends or is borne; memory stays, and others are served.

use std::io::{Read, Write};
use std::time::Duration;

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::http::connect;
use crate::support::process::{Process, workspace};
use crate::support::tiny::ask;

/// `POST /v1/is_authorized` to `x`, by HPACK's static table.
fn head() -> Vec<u8> {
    let path = b"/v1/is_authorized";
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend_from_slice(path);
    block.extend_from_slice(&[0x01, 1, b'x']);
    block
}

/// A field that is added to the dynamic table, and then named by one byte as often as one likes.
fn bomb() -> Vec<u8> {
    let mut block = head();
    block.extend_from_slice(&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    block.extend_from_slice(&vec![b'v'; 4_000]);
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    block
}

/// Resident memory of a process, in MiB.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// Sends what `next` gives until the server has enough or `limit` bytes are out. Answers are not read.
fn flood(process: &Process, limit: usize, mut next: impl FnMut(u32) -> Vec<u8>) -> bool {
    let mut stream = connect(process.decisions);
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let (mut sent, mut n) = (0, 0);
    let refused = loop {
        while bytes.len() < 1 << 16 {
            bytes.extend(next(n));
            n += 1;
        }
        if stream.write_all(&bytes).is_err() {
            break true;
        }
        sent += bytes.len();
        bytes.clear();
        if sent >= limit {
            break false;
        }
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    // what it said meanwhile, as far as it is here
    let _ = stream.read(&mut [0; 4096]);
    refused
}

#[test]
fn floods_of_frames() {
    let process = Process::start(workspace(), &["http.header_timeout=1s", "http.body_timeout=1s"]);
    let odd = |n: u32| 2 * n + 1;
    type Next = Box<dyn FnMut(u32) -> Vec<u8>>;
    // whether the connection must have ended before it was all sent
    let floods: Vec<(&str, bool, Next)> = vec![
        (
            "rapid reset",
            true,
            Box::new(move |n| {
                [frame(HEADERS, END_HEADERS, odd(n), &head()), frame(RST_STREAM, 0, odd(n), &8_u32.to_be_bytes())]
                    .concat()
            }),
        ),
        (
            "CONTINUATION without end",
            true,
            Box::new(|n| if n == 0 { frame(HEADERS, 0, 1, &head()) } else { frame(CONTINUATION, 0, 1, &[0; 0]) }),
        ),
        (
            "CONTINUATION with fields",
            true,
            Box::new(|n| {
                let field = [&[0x00, 1, b'a', 100][..], &[b'v'; 100]].concat();
                if n == 0 { frame(HEADERS, 0, 1, &head()) } else { frame(CONTINUATION, 0, 1, &field.repeat(100)) }
            }),
        ),
        ("a head that unpacks", true, Box::new(move |n| frame(HEADERS, END_HEADERS, odd(n), &bomb()))),
        (
            "empty DATA",
            true,
            Box::new(|n| if n == 0 { frame(HEADERS, END_HEADERS, 1, &head()) } else { frame(DATA, 0, 1, &[]) }),
        ),
        ("PING", true, Box::new(|_| frame(PING, 0, 0, b"12345678"))),
        ("SETTINGS", true, Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]))),
        ("streams without end", true, Box::new(move |n| frame(HEADERS, END_HEADERS, odd(n), &head()))),
        // these two cost the reading of them and are not answered: borne
        ("WINDOW_UPDATE", false, Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))),
        ("unknown frames", false, Box::new(|_| frame(0xfa, 0, 0, &[0; 100]))),
        ("a frame too large", true, Box::new(|_| frame(DATA, 0, 1, &vec![0; 20_000]))),
        ("DATA for no stream", true, Box::new(|_| frame(DATA, 0, 1, &[0; 1_000]))),
    ];
    let mut faults = String::new();
    for (name, must_end, next) in floods {
        let before = resident(&process);
        let ended = flood(&process, 24 << 20, next);
        if must_end && !ended {
            faults.push_str(&format!("{name}: taken without end\n"));
        }
        let after = resident(&process);
        if after > before.max(60) + 64 {
            faults.push_str(&format!("{name}: {before} MiB became {after} MiB\n"));
        }
        let answer = process.client().post("/v1/is_authorized", ask("alice"));
        assert_eq!(answer.json()["decision"], "Allow", "{name}");
    }
    assert!(faults.is_empty(), "\n{faults}");
    process.until("rid of the connections", |process| {
        process.metric(r#"palisade_http_connections{listener="decisions"}"#) <= 1.0
    });
    assert!(!process.log().contains("panicked"), "{}", process.log());
}

/// Small answers that the client does not take cost some kilobytes each, and a connection may have hundreds.
#[test]
fn streams_whose_answers_are_not_taken() {
    let process = Process::start(
        workspace(),
        &["http.body_timeout=60s", "http.max_inflight_bytes=8MiB", "http.idle_timeout=60s"],
    );
    let path = b"/nothing";
    let head = [&[0x82, 0x86, 0x04, path.len() as u8][..], path, &[0x01, 1, b'x']].concat();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    for n in 0..256 {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head));
    }
    let before = resident(&process);
    let clients: Vec<_> = (0..80)
        .map(|_| {
            let mut stream = connect(process.decisions);
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    let refused = || process.metric(r#"palisade_http_streams_refused_total{listener="decisions"}"#);
    process.until("refused", |_| refused() >= f64::from(80 * 256 - 1_000));
    let after = resident(&process);
    assert!(after <= before + 64, "{before} MiB became {after} MiB");
    assert_eq!(process.client().post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
    drop(clients);
}
