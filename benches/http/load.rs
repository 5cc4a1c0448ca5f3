//! Servers as processes, and a load that keeps a number of connections busy.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support;

/// A server that can be started.
pub struct Target {
    /// What the table calls it.
    pub name: String,
    command: Command,
}

/// A server that runs. It is killed when dropped.
pub struct Running {
    /// What the table calls it.
    pub name: String,
    addr: SocketAddr,
    process: Child,
}

/// What one round showed.
pub struct Sample {
    /// User and system time of the server, in microseconds per request.
    pub cpu_us: f64,
    /// Requests answered per second.
    pub per_second: f64,
}

impl Target {
    pub fn floor(name: &str, kind: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--floor", kind]).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self { name: name.to_owned(), command }
    }

    pub fn palisade(name: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command.arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
        command.env("PALISADE_LISTEN__DECISIONS", "127.0.0.1:0").env("PALISADE_LISTEN__ADMIN", "off");
        command
            .env("PALISADE_POLICIES", support::project("policies"))
            .env("PALISADE_ENTITIES", support::project("entities"));
        command.envs(env.iter().copied());
        Self { name: name.to_owned(), command }
    }

    /// Starts it, waits until it answers, and pins it to the first core where `taskset` is there.
    pub fn start(mut self) -> Running {
        let mut process = self.command.spawn().unwrap();
        let output: Box<dyn BufRead + Send> = match (process.stdout.take(), process.stderr.take()) {
            (Some(out), _) => Box::new(BufReader::new(out)),
            (None, Some(err)) => Box::new(BufReader::new(err)),
            (None, None) => panic!("no output to read the address from"),
        };
        let (found, addr) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, addr)) = line.split_once("addr=") {
                    let _ = found.send(addr.trim().parse::<SocketAddr>());
                }
            }
        });
        let addr = addr.recv_timeout(Duration::from_secs(30)).expect("the server says where it listens").unwrap();
        pin(process.id(), "0");
        let running = Running { name: self.name, addr, process };
        running.wait_ready();
        running
    }
}

impl Running {
    fn wait_ready(&self) {
        let bodies = support::questions();
        for _ in 0..400 {
            if std::panic::catch_unwind(|| drive(self, &bodies[..1], 1, Duration::from_millis(1))).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{} does not answer", self.name);
    }

    /// Nanoseconds that its threads have run.
    fn cpu_ns(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        tasks
            .flatten()
            .filter_map(|task| {
                std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
            })
            .sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Pins a process's present and future threads; without `taskset` it stays free, and the table is noisier.
fn pin(process: u32, core: &str) {
    let _ = Command::new("taskset")
        .args(["-a", "-p", "-c", core, &process.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Keeps `connections` busy for `time`, each with one request at a time.
pub fn drive(server: &Running, bodies: &[String], connections: usize, time: Duration) -> Sample {
    pin(std::process::id(), "1");
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(
        bodies
            .iter()
            .map(|body| {
                format!("POST /v1/is_authorized HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                    .into_bytes()
            })
            .collect(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(server.addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let (before, started) = (server.cpu_ns(), Instant::now());
        let end = started + time;
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(i, stream)| tokio::spawn(ask(stream, requests.clone(), i, end)))
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await.unwrap();
        }
        let (after, took) = (server.cpu_ns(), started.elapsed());
        Sample {
            cpu_us: (after - before) as f64 / 1_000.0 / answered as f64,
            per_second: answered as f64 / took.as_secs_f64(),
        }
    })
}

async fn ask(mut stream: TcpStream, requests: Arc<Vec<Vec<u8>>>, first: usize, end: Instant) -> u64 {
    let mut buffer = vec![0; 16 << 10];
    let mut answered = 0;
    let mut next = first * 7;
    loop {
        stream.write_all(&requests[next % requests.len()]).await.unwrap();
        next += 1;
        let mut filled = 0;
        loop {
            let n = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            filled += n;
            if let Some(length) = whole(&buffer[..filled]) {
                assert_eq!(length, filled, "one answer at a time");
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        answered += 1;
        if Instant::now() >= end {
            return answered;
        }
    }
}

/// The length of a response once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}
