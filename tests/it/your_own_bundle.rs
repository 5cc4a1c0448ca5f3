//! The page that starts a bundle: every command of it runs, in its order, and says what the page shows.

use std::process::Command;

use serde_json::Value;

use crate::documents::{Curl, blocks, curl};
use crate::openapi::timeless;
use crate::support::process::{Process, command};
use crate::support::{Client, Server};

/// Runs a block as a shell does, with our binary on the path.
fn shell(dir: &std::path::Path, script: &str) -> (bool, String) {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_palisade"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh").args(["-c", script]).env("PATH", path).current_dir(dir).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    (ran.status.success(), format!("{said}{}", String::from_utf8(ran.stderr).unwrap()))
}

fn answer(process: &Process, curl: &Curl) -> Value {
    let path = curl.url.strip_prefix("localhost:8180").unwrap();
    let headers: Vec<(&str, &str)> = curl.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    Client::new(process.decisions).send("POST", path, &headers, curl.body.as_bytes()).json()
}

#[test]
fn every_command_of_the_page_says_what_it_shows() {
    let text = std::fs::read_to_string(Server::project("docs/your-own-bundle.md")).unwrap();
    let blocks = blocks(&text);
    let place = tempfile::tempdir().unwrap();
    let bundle = place.path().join("documents");
    let mut serving = None;
    let mut run = 0;
    for (n, (line, language, script)) in blocks.iter().enumerate() {
        if *language != "sh" {
            continue;
        }
        run += 1;
        let what = format!("line {line}: {script}");
        let shown = blocks.get(n + 1).filter(|(_, language, _)| *language != "sh").map(|(_, _, text)| text);
        if script.trim() == "palisade serve" {
            let settings = ["listen.decisions=127.0.0.1:0", "listen.admin=127.0.0.1:0"];
            let mut serve = command(&bundle);
            serving = Some(Process::serve(&mut serve, tempfile::tempdir().unwrap(), &settings));
        } else if let Some(curl) = curl(script) {
            let shown: Value = serde_json::from_str(shown.unwrap()).unwrap();
            let process = serving.as_ref().unwrap();
            // files that changed are read soon
            process.until(&what, |process| timeless(&answer(process, &curl)) == timeless(&shown));
        } else if script.starts_with("palisade status") {
            let process = serving.as_ref().unwrap();
            let address = format!("palisade status --admin-listen {}", process.admin);
            process.until(&what, |_| shell(&bundle, &address).1.contains("broken.cedar"));
        } else {
            let at = if bundle.exists() { &*bundle } else { place.path() };
            let (good, said) = shell(at, script);
            assert!(good, "{what}{said}");
            if let Some(shown) = shown {
                assert_eq!(said, *shown, "{what}");
            }
        }
    }
    assert!(run >= 15, "only {run} commands were found");
    let process = serving.unwrap();
    process.until("well again", |process| !process.admin().get("/v1/status").text().contains("broken.cedar"));
}
