//! A load that keeps a number of connections busy, for any HTTP server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one round showed.
pub(crate) struct Sample {
    /// User and system time of the server, in microseconds per request.
    pub cpu_us: f64,
    /// Requests answered per second.
    pub per_second: f64,
    /// Microseconds from sending a request to having its answer.
    pub p50: f64,
    pub p99: f64,
}

/// A whole request as it goes over the wire.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Requests of a file, one a line: `{"path": .., "body": ..}`, the body as text.
pub(crate) fn requests(file: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let request: Value = serde_json::from_str(line).unwrap();
        post(request["path"].as_str().unwrap(), request["body"].as_str().unwrap())
    };
    text.lines().map(line).collect()
}

/// Keeps `connections` busy for `time`, each with one request at a time.
pub(crate) fn drive(
    addr: SocketAddr,
    pid: u32,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Sample {
    crate::server::pin(std::process::id(), "1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let awake = stay_awake();
        let (before, started) = (cpu_ns(pid), Instant::now());
        let end = started + time;
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(i, stream)| tokio::spawn(ask(stream, requests.clone(), i * requests.len() / connections, end)))
            .collect();
        let mut waited = Vec::new();
        for task in tasks {
            waited.extend(task.await.unwrap());
        }
        let cpu = cpu_ns(pid) - before;
        awake.abort();
        sample(waited, cpu, started.elapsed())
    })
}

/// Keeps the client from sleeping: to wake it would be charged to the server that answers it, and the more often
/// the longer the client had to wait.
pub(crate) fn stay_awake() -> tokio::task::JoinHandle<()> {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    })
}

/// What the times of all answers, in nanoseconds, and the server's come to.
pub(crate) fn sample(mut waited: Vec<u32>, server_ns: u64, took: Duration) -> Sample {
    waited.sort_unstable();
    let at = |share: f64| f64::from(waited[((waited.len() - 1) as f64 * share) as usize]) / 1_000.0;
    Sample {
        cpu_us: server_ns as f64 / 1_000.0 / waited.len() as f64,
        per_second: waited.len() as f64 / took.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// Nanoseconds that the threads of a process have run.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flatten()
        .filter_map(|task| {
            std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Asks until `end`. Returns the nanoseconds that each answer took.
async fn ask(mut stream: TcpStream, requests: Arc<Vec<Vec<u8>>>, first: usize, end: Instant) -> Vec<u32> {
    let mut buffer = vec![0; 1 << 20];
    let mut waited = Vec::new();
    for request in requests.iter().cycle().skip(first) {
        let sent = Instant::now();
        stream.write_all(request).await.unwrap();
        let mut filled = 0;
        let length = loop {
            let n = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            filled += n;
            if let Some(length) = whole(&buffer[..filled]) {
                break length;
            }
        };
        assert_eq!(length, filled, "one answer at a time");
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        let now = Instant::now();
        waited.push(u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX));
        if now >= end {
            break;
        }
    }
    waited
}

/// The answer to one request, whatever its status.
pub(crate) fn ask_once(addr: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.write_all(request)?;
    let (mut answer, mut some) = (Vec::new(), [0; 4096]);
    while whole(&answer).is_none() {
        match stream.read(&mut some)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(&some[..n]),
        }
    }
    Ok(answer)
}

/// The length of a response once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let field = |wanted: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    if let Some(length) = field("content-length") {
        let length: usize = length.parse().ok()?;
        return (bytes.len() >= head + length).then_some(head + length);
    }
    // chunked: the body is whole with its last chunk
    (field("transfer-encoding").is_some() && bytes.ends_with(b"\r\n0\r\n\r\n")).then_some(bytes.len())
}
