//! A gateway's process, on a port of its own. It is killed with all its children when dropped.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Reply, Say, say};
use super::table::{Gateway, installed};

pub(super) struct Running {
    child: Child,
    dir: tempfile::TempDir,
    pub addr: SocketAddr,
}

/// What stands around a gateway.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub sidecar: SocketAddr,
    pub service: SocketAddr,
    pub setting: &'a Setting<'a>,
}

/// What a test wants otherwise than the page has it.
pub(super) struct Setting<'a> {
    /// Of the gateway's configuration: what becomes what.
    pub changes: &'a [(&'a str, &'a str)],
    /// It is wrong, and need not let anything pass.
    pub mistaken: bool,
    /// Files beside the configuration.
    pub files: &'a [(&'a str, String)],
    /// How it is spoken to.
    pub speak: &'a (dyn Fn(SocketAddr, &Say<'_>) -> Option<Reply> + Sync),
    /// Of the sidecar's configuration.
    pub sidecar: Value,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self { changes: &[], mistaken: false, files: &[], speak: &say, sidecar: json!({}) }
    }
}

impl Running {
    /// Starts it and waits until a public route passes, or with a mistake, until it answers.
    pub(super) fn start(gateway: &Gateway, program: &Path, around: Around<'_>) -> Self {
        // another process may take the port between the choice and the start
        let attempts = (0..3).map(|_| Self::attempt(gateway, program, around));
        let mut log = String::new();
        for attempt in attempts {
            match attempt {
                Ok(running) => return running,
                Err(said) => log = said,
            }
        }
        panic!("{} does not start: {log}", gateway.name)
    }

    fn attempt(gateway: &Gateway, program: &Path, around: Around<'_>) -> Result<Self, String> {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        // some give up root's rights once they run
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let here = dir.path().to_str().unwrap();
        // beside the program, where it was fetched, and where its distribution has them, where it was installed
        let fetched = installed().join("debian/usr/lib/apache2/modules");
        let modules = if program.starts_with(installed()) { fetched } else { "/usr/lib/apache2/modules".into() };
        let put = |text: &str| text.replace("DIR", here).replace("MODULES", modules.to_str().unwrap());
        for (name, text) in gateway.files() {
            let mut text = text;
            for (from, to) in around.setting.changes {
                assert!(text.contains(from) || gateway.files().len() > 1, "{name} has no {from}");
                text = text.replace(from, to);
            }
            for (from, to) in gateway.patch.iter().filter(|(from, _)| text.contains(from)).collect::<Vec<_>>() {
                text = text.replace(from, to);
            }
            std::fs::write(dir.path().join(name), with_ports(&put(&text), addr, around)).unwrap();
        }
        for (name, text) in around.setting.files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = gateway.command(program);
        command.args(gateway.arguments.iter().map(|argument| put(argument))).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let mut running = Self { child, dir, addr };
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline && running.child.try_wait().unwrap().is_none() {
            let ready = Say { wait: Duration::from_millis(500), ..Say::get("/open") };
            let reply = (around.setting.speak)(addr, &ready);
            if reply.is_some_and(|reply| reply.status == 200 || around.setting.mistaken) {
                return Ok(running);
            }
            thread::sleep(Duration::from_millis(20));
        }
        let ended = running.child.try_wait().unwrap().is_some();
        assert!(ended, "{} lets nothing pass: {}", gateway.name, running.log());
        Err(running.log())
    }

    /// What it wrote so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // its group, which is its own; it may have ended
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// The ports of the pages become those of the test, all at once.
fn with_ports(text: &str, own: SocketAddr, around: Around<'_>) -> String {
    let Around { sidecar, service, .. } = around;
    let ports = [("8080", own), ("8180", sidecar), ("9191", sidecar), ("9000", service)];
    let marked = ports
        .iter()
        .enumerate()
        .fold(text.to_owned(), |text, (at, (port, _))| text.replace(port, &format!("\u{1}{at}\u{1}")));
    let put = |text: String, (at, (_, addr)): (usize, &(&str, SocketAddr))| {
        text.replace(&format!("\u{1}{at}\u{1}"), &addr.port().to_string())
    };
    ports.iter().enumerate().fold(marked, put)
}
