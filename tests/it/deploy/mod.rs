//! What is in `deploy/` is built, linted and run with the real programs: Prometheus, systemd, buildah, logrotate, and the
//! schemas of Kubernetes.
//!
//! `tests/deploy/install.sh` fetches them into `target/deploy`. What is not there is named as skipped, and fails where
//! `PALISADE_TEST_DEPLOY=require` is set.

mod alerts;
mod container;
mod dashboard;
mod kubernetes;
mod logrotate;
mod prometheus;
mod systemd;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::Server;
use crate::support::process::command;

/// A file of `deploy/`.
fn artefact(name: &str) -> PathBuf {
    Server::project("deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(artefact(name)).unwrap()
}

/// Says what is not tested for want of what; fails where that is required.
fn skip(what: &str, missing: &str) {
    let line = format!("SKIPPED: {what}: {missing} is not here (tests/deploy/install.sh)\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert_ne!(std::env::var("PALISADE_TEST_DEPLOY").as_deref(), Ok("require"), "{missing} is required");
}

fn installed() -> PathBuf {
    Server::project("target/deploy")
}

/// A program of the machine, or of what was fetched with the libraries that it needs.
fn program(name: &str) -> Option<Command> {
    let fetched = installed().join("debian");
    for place in ["usr/bin", "usr/sbin", "bin"] {
        let path = fetched.join(place).join(name);
        if path.exists() {
            let libraries = ["usr/lib", "lib"].iter().flat_map(|lib| std::fs::read_dir(fetched.join(lib)));
            let libraries: Vec<String> = libraries
                .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
                .filter(|path| path.to_str().is_some_and(|path| path.ends_with("-linux-gnu")))
                .map(|path| format!("{0}:{0}/systemd", path.display()))
                .collect();
            let mut command = Command::new(path);
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
            return Some(command);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut places = path.split(':').map(Path::new).chain(["/usr/sbin", "/sbin"].map(Path::new));
    places.find_map(|place| Some(place.join(name)).filter(|path| path.exists())).map(Command::new)
}

/// Runs it; gives all that it said. It must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{said}", ran.status);
    said
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that is free at the moment.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The configuration is one that `serve` takes.
#[track_caller]
fn accepted(dir: &Path, config: &str) {
    let file = dir.join("accepted.yaml");
    std::fs::write(&file, config).unwrap();
    succeed(command(dir).args(["config", "show", "--config"]).arg(&file));
}

/// The files below a directory of `deploy/`, with their paths from the project's root.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.strip_prefix(Server::project("")).unwrap().display().to_string());
        }
    }
    found
}

#[test]
fn the_page_names_every_file_and_no_other() {
    let page = std::fs::read_to_string(Server::project("docs/deploy.md")).unwrap();
    let there = files(&artefact(""));
    for file in &there {
        let name = file.rsplit('/').next().unwrap();
        assert!(page.contains(name), "docs/deploy.md does not name {file}");
    }
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c));
    for (at, _) in page.match_indices("deploy/") {
        let path = page[at..].split(ends).next().unwrap().trim_end_matches('.');
        // `target/deploy/`, `kubectl exec deploy/app`
        if page[..at].ends_with("exec ") || page[..at].ends_with('-') {
            continue;
        }
        assert!(Server::project(path).exists(), "docs/deploy.md names {path}");
    }
}

/// Seconds of a duration such as `20s` or `5min`.
fn seconds(text: &str) -> u64 {
    let number: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" | "min" => 60,
        other => panic!("{text}: {other} is no unit"),
    };
    number.parse::<u64>().unwrap() * unit
}
