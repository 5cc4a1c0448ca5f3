//! The commands in the documents answer as the documents show.

use serde_json::{Value, json};

use crate::openapi::{server, timeless};
use crate::support::{Server, fleet};

/// The fenced blocks of a document: line, language, text.
pub(crate) fn blocks(text: &str) -> Vec<(usize, &str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (n, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((n + 1, language, String::new())),
            (None, Some((_, _, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The words of a command, as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What a `curl` asks: method, URL, headers, body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Curl {
    pub method: Option<String>,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

pub(crate) fn curl(command: &str) -> Option<Curl> {
    let words = words(command);
    let mut words = words.into_iter();
    if words.next()? != "curl" {
        return None;
    }
    let mut curl = Curl::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" | "-i" | "-si" => {}
            "-X" => curl.method = words.next(),
            "-d" => curl.body = words.next()?,
            "-H" => {
                let header = words.next()?;
                let (name, value) = header.split_once(':')?;
                curl.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            url if curl.url.is_empty() && !url.starts_with('-') => curl.url = word,
            _ => return None,
        }
    }
    Some(curl)
}

#[test]
fn commands_answer_as_shown() {
    let mut asked = 0;
    for name in ["README.md", "docs/api.md", "docs/authzen.md", "docs/changes.md"] {
        let text = std::fs::read_to_string(Server::project(name)).unwrap();
        let blocks = blocks(&text);
        for pair in blocks.windows(2) {
            let [(line, "sh", command), (_, "json", shown)] = pair else { continue };
            let what = format!("{name}:{line}");
            // what starts the sidecar is done already
            let command: String = command
                .lines()
                .filter(|line| !line.starts_with("palisade serve"))
                .map(|line| format!("{line}\n"))
                .collect();
            let Some(curl) = curl(&command) else { continue };
            let server = server();
            let (mut client, path) = match curl.url.split_once('/') {
                Some(("localhost:8180", path)) => (server.client(), path),
                Some(("localhost:8181", path)) => (server.admin(), path),
                other => panic!("{what}: {other:?} is none of our listeners"),
            };
            let method = curl.method.as_deref().unwrap_or(if curl.body.is_empty() { "GET" } else { "POST" });
            let headers: Vec<(&str, &str)> = curl.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let answer = client.send(method, &format!("/{path}"), &headers, curl.body.as_bytes());
            let shown: Value = serde_json::from_str(shown).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(timeless(&answer.json()), timeless(&shown), "{what}: {}", answer.text());
            asked += 1;
        }
    }
    assert!(asked >= 9, "only {asked} commands were found");
}

/// The tour's caller of a gateway: the file of API tokens as it is written there, the answer's head as far as it is shown.
#[test]
fn a_gateway_is_allowed_as_shown() {
    let text = std::fs::read_to_string(Server::project("README.md")).unwrap();
    let blocks = blocks(&text);
    let at = blocks.iter().position(|(_, language, _)| *language == "http").expect("the README shows an answer's head");
    let [(_, _, start), (_, _, command), (_, _, shown)] = &blocks[at - 2..=at] else { unreachable!("three blocks") };
    let [_, tokens, _, file] = words(start.lines().next().unwrap()).try_into().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(&file), tokens).unwrap();
    let mut flags = fleet();
    flags["routes"] = json!(Server::project("routes"));
    flags["identity"] = json!({"api_tokens": {"file": dir.path().join(&file)}});
    let server = Server::start(flags);
    server.until("ready", |server| server.services.unready().is_empty());
    let curl = curl(command).unwrap();
    let path = curl.url.strip_prefix("localhost:8180").unwrap();
    let headers: Vec<(&str, &str)> = curl.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let answer = server.client().send("GET", path, &headers, b"");
    let mut shown = shown.lines();
    assert_eq!(shown.next(), Some("HTTP/1.1 200 OK"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    for line in shown {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(answer.header(name), Some(value));
    }
}

#[test]
fn reads_commands() {
    let read = curl("curl -s localhost:1/x -H 'a: b:c' \\\n -X PUT -d '{\n \"a\": \"\\\"b\" }'\n").unwrap();
    let expected = Curl {
        method: Some("PUT".to_owned()),
        url: "localhost:1/x".to_owned(),
        headers: vec![("a".to_owned(), "b:c".to_owned())],
        body: "{\n \"a\": \"\\\"b\" }".to_owned(),
    };
    assert_eq!(read, expected);
    assert_eq!(curl("palisade test"), None);
    assert_eq!(curl("curl -s localhost:1/x | grep y"), None);
    assert_eq!(words("a \"b \\\" c\" ''"), ["a", "b \" c", ""]);
    assert_eq!(blocks("x\n```sh\na\n```\n```json\n{}\n```\n").len(), 2);
}
