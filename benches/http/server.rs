//! Servers as processes of their own: started, pinned to the first core, killed when done.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::floor::Answer;
use crate::{load, support};

/// A server that can be started.
pub(crate) struct Target {
    /// What the table calls it.
    pub name: String,
    command: Command,
}

/// A server that runs. It is killed when dropped.
pub(crate) struct Running {
    /// What the table calls it.
    pub name: String,
    pub addr: SocketAddr,
    process: Child,
}

impl Target {
    /// What only parses, and answers `answer` to everything.
    pub(crate) fn floor(name: &str, kind: &str, answer: &Answer) -> Self {
        let mut command = pinned(std::env::current_exe().unwrap());
        command.args(["--floor", kind, &serde_json::to_string(answer).unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self { name: name.to_owned(), command }
    }

    pub(crate) fn palisade(name: &str, env: &[(&str, &str)]) -> Self {
        let mut command = pinned(env!("CARGO_BIN_EXE_palisade"));
        command.arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
        command
            .env("PALISADE_LISTEN__DECISIONS", "127.0.0.1:0")
            .env("PALISADE_LISTEN__ADMIN", "off")
            .env("PALISADE_LISTEN__GRPC", "off");
        command
            .env("PALISADE_POLICIES", support::project("policies"))
            .env("PALISADE_ENTITIES", support::project("entities"));
        command.envs(env.iter().copied());
        Self { name: name.to_owned(), command }
    }

    /// Starts it and waits until it answers `question` with 200.
    pub(crate) fn start(self, question: &[u8]) -> Running {
        let running = self.start_unasked();
        for _ in 0..400 {
            if load::ask_once(running.addr, question).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
                return running;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{} does not answer", running.name);
    }

    /// Starts it and waits until it says where it listens.
    pub(crate) fn start_unasked(mut self) -> Running {
        let process = self.command.spawn().unwrap();
        // from here on it is killed, also if it never answers
        let mut running = Running { name: self.name, addr: ([127, 0, 0, 1], 0).into(), process };
        let output: Box<dyn BufRead + Send> = match (running.process.stdout.take(), running.process.stderr.take()) {
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
        running.addr = addr.recv_timeout(Duration::from_secs(30)).expect("the server says where it listens").unwrap();
        running
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program on the first core from its first instruction: runtimes size themselves by it, and two workers that take
/// turns on one core would cost more than they do. Without `taskset` it stays free, and the table is noisier.
pub(crate) fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let there = Command::new("taskset").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// Pins a process's present and future threads; without `taskset` it stays free, and the table is noisier.
pub(crate) fn pin(process: u32, core: &str) {
    let _ = Command::new("taskset")
        .args(["-a", "-p", "-c", core, &process.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
