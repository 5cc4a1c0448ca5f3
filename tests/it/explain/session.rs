//! The session in `docs/explain.md`: its commands run in a copy of the repository's bundle, and write what the page shows.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::Server;

/// Runs a block as a shell does, with our binary on the path.
fn shell(dir: &Path, script: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_palisade"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh").args(["-c", script]).env("PATH", path).current_dir(dir).output().unwrap();
    String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            std::fs::copy(entry.path(), to).map(|_| ()).unwrap()
        }
    }
}

#[test]
fn the_session_of_the_page_is_what_the_commands_write() {
    let page = Server::project("docs/explain.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for part in ["policies", "entities", "routes"] {
        copy(Path::new(&Server::project(part)), &dir.path().join(part));
    }
    let (mut out, mut script, mut ran) = (String::new(), None::<String>, 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            writeln!(out, "{}\n```", block.join("\n")).unwrap();
            script = Some(block.join("\n"));
        } else if line == "```text" {
            lines.by_ref().take_while(|line| *line != "```").for_each(drop);
            let said = shell(dir.path(), &script.take().expect("a command before what it writes"));
            assert!(!said.contains("error:"), "{said}");
            writeln!(out, "{}\n```", said.trim_end()).unwrap();
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} commands were found");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, &out).unwrap();
    }
    assert!(
        out == text || std::env::var_os("BLESS").is_some(),
        "docs/explain.md differs; if that is meant, run it with BLESS=1\n{out}"
    );
}
