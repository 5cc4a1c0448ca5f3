//! The real binary, for what only a process has: signals, exit codes, limits of the system.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Client;

/// A running `palisade serve`. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub decisions: SocketAddr,
    pub admin: SocketAddr,
    /// Its working directory.
    pub dir: tempfile::TempDir,
}

/// A directory for the process, with a bundle: `alice` may do everything.
pub(crate) fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["policies", "entities"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    write_policy(dir.path(), "alice");
    dir
}

/// Lets one user do everything, and no one else anything. The policy has the user's name.
pub(crate) fn write_policy(dir: &Path, user: &str) {
    let text = format!("@id(\"{user}\")\npermit (principal == User::\"{user}\", action, resource);\n");
    // whole or not at all, as an editor does it
    std::fs::write(dir.join("policies/p.tmp"), text).unwrap();
    std::fs::rename(dir.join("policies/p.tmp"), dir.join("policies/p.cedar")).unwrap();
}

/// The command with nothing of the environment that configures it.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    without_environment(&mut command);
    command.current_dir(dir);
    command
}

/// The same command, run by a shell that has done something first, such as setting a limit.
pub(crate) fn command_after(first: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    without_environment(&mut command);
    command.current_dir(dir);
    command.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_palisade")]);
    command
}

fn without_environment(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PALISADE_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
}

impl Process {
    /// Serves the workspace's bundle with these settings, each `key=value`, and waits until it is ready.
    pub(crate) fn start(dir: tempfile::TempDir, settings: &[&str]) -> Self {
        let mut command = command(dir.path());
        Self::spawn(&mut command, dir, settings)
    }

    /// The same with at most `files` open files.
    pub(crate) fn start_with_files(dir: tempfile::TempDir, files: usize, settings: &[&str]) -> Self {
        Self::start_after(&format!("ulimit -n {files}"), dir, settings)
    }

    /// The same, started by a shell that has done something first.
    pub(crate) fn start_after(first: &str, dir: tempfile::TempDir, settings: &[&str]) -> Self {
        let mut command = command_after(first, dir.path());
        Self::spawn(&mut command, dir, settings)
    }

    fn spawn(command: &mut Command, dir: tempfile::TempDir, settings: &[&str]) -> Self {
        let settings: Vec<&str> = over_those_of_tests(settings).collect();
        Self::serve(command, dir, &settings)
    }

    /// Serves what this command finds with these settings alone, and waits until it is ready.
    pub(crate) fn serve(command: &mut Command, dir: tempfile::TempDir, settings: &[&str]) -> Self {
        add_serve(command, settings.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, copy) = (child.stderr.take().unwrap(), log.clone());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&String::from_utf8_lossy(&line));
                log.push('\n');
            }
        });
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, log, reader: Some(reader), decisions: unset, admin: unset, dir };
        process.decisions = process.listener("decisions");
        process.admin = process.listener("admin");
        process.until("ready", |process| process.admin().get("/readyz").status == 200);
        process
    }

    /// Where it listens for what.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let mark = format!("listener={name} addr=");
        self.until(&format!("listening for {name}"), |process| process.log().contains(&mark));
        let log = self.log();
        let rest = &log[log.find(&mark).unwrap() + mark.len()..];
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.decisions)
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.signals(name, 1);
    }

    /// Sends a signal many times, as fast as it can be done.
    pub(crate) fn signals(&self, name: &str, times: usize) {
        let script =
            format!("i=0; while [ $i -lt {times} ]; do kill -{name} {} || exit 1; i=$((i+1)); done", self.pid());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            assert!(Instant::now() < deadline, "not {what}: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end; gives its status and its log.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.log())
    }

    /// A file in its working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        super::metric(&self.admin().get("/metrics").text(), series)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports of its own, and a bundle without a schema.
const SERVED_BY_TESTS: [&str; 6] = [
    "listen.decisions=127.0.0.1:0",
    "listen.admin=127.0.0.1:0",
    "listen.grpc=off",
    "validation=off",
    "decision.semantics=cedar",
    "reload.quiet=20ms",
];

/// These settings over those of the tests.
fn over_those_of_tests<'s>(settings: &'s [&'s str]) -> impl Iterator<Item = &'s str> {
    SERVED_BY_TESTS.iter().chain(settings).copied()
}

/// Has `command` serve on ports of its own, with these settings over those of the tests.
pub(crate) fn serve_with(command: &mut Command, settings: &[&str]) {
    add_serve(command, over_those_of_tests(settings));
}

fn add_serve<'s>(command: &mut Command, settings: impl Iterator<Item = &'s str>) {
    command.arg("serve");
    for setting in settings {
        command.args(["--set", setting]);
    }
}
