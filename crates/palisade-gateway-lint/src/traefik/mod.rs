//! Traefik with `forwardAuth`.
//!
//! All files are one configuration: the static one, the dynamic ones that its file provider names, and labels of
//! containers. YAML, JSON and TOML are read, and names whatever their case, as Traefik reads them.

mod beside;
mod chain;
mod check;
mod compose;
mod labels;
mod model;

use crate::node::{self, Document, Node};
use crate::{Files, NO_DIRECTORY, NOT_CHECKED, Source};
use model::{Model, Provider};
use palisade_engine::model::Diagnostic;
use palisade_text::located;

/// How many files are read at most, with those that the file provider names.
const MOST: usize = 200;

/// One of these is in everything that Traefik reads.
const KNOWN: &[&str] =
    &["http", "tcp", "udp", "tls", "entrypoints", "providers", "services", "kind", "global", "api", "log"];

pub(super) fn lint(sources: &[Source], files: Files<'_>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut documents: Vec<Read> = Vec::new();
    for (origin, text) in sources {
        read(origin, text, &mut documents, &mut findings);
    }
    // what the file provider names is read too, once
    let mut named: Vec<Source> = Vec::new();
    for Read { origin, text, document, .. } in &documents {
        let root = Node::root(origin, text, document);
        for (key, pattern) in [("filename", "{}"), ("directory", "{}/*")] {
            let Some(provider) = root.way(&["providers", "file", key]) else { continue };
            let path = provider.value.as_str().unwrap_or_default();
            let found = files(&pattern.replace("{}", path.trim_end_matches('/')));
            match found {
                Err(why) if key == "directory" && why.starts_with(NO_DIRECTORY) => {
                    away(&provider, path, origin, &documents, &mut findings);
                }
                Ok(found) if key == "directory" && found.is_empty() => {
                    away(&provider, path, origin, &documents, &mut findings);
                }
                Ok(found) => {
                    let readable = |name: &str| [".yaml", ".yml", ".toml"].iter().any(|end| name.ends_with(end));
                    named.extend(found.into_iter().filter(|(name, _)| key == "filename" || readable(name)));
                }
                // the file stands elsewhere where Traefik runs, and was named too
                Err(_)
                    if sources.iter().any(|(origin, _)| key == "filename" && file_name(origin) == file_name(path)) => {}
                Err(why) => findings.push(provider.warning(
                    NOT_CHECKED,
                    format!("the dynamic configuration is not looked at: {why}"),
                    "name it with `--traefik` too",
                )),
            }
        }
    }
    for (origin, text) in named {
        let known = documents.iter().any(|read| read.origin == origin || read.text == text);
        if known || documents.len() >= MOST {
            continue;
        }
        read(&origin, &text, &mut documents, &mut findings);
    }
    let mut model = Model::default();
    for Read { origin, text, document, provider } in &documents {
        model.add(&Node::root(origin, text, document), *provider);
    }
    if !documents.is_empty() {
        let origin = sources.first().map_or("", |(origin, _)| origin.as_str());
        chain::lint(&model, origin, &mut findings);
    }
    findings.sort_by(|a, b| (&a.origin, a.line).cmp(&(&b.origin, b.line)));
    findings.dedup();
    findings
}

/// A directory that stands elsewhere where Traefik runs: what is in it may have been named.
fn away(provider: &Node<'_>, path: &str, origin: &str, documents: &[Read], findings: &mut Vec<Diagnostic>) {
    if !documents.iter().any(|read| read.origin != origin && read.document.value.get("http").is_some()) {
        findings.push(provider.warning(
            NOT_CHECKED,
            format!("the dynamic configuration is not looked at: there is nothing in `{path}` here"),
            "name each file of it with `--traefik` too",
        ));
    }
}

/// A document, with its file and its provider.
struct Read {
    origin: String,
    text: String,
    document: Document,
    provider: Provider,
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Names are read whatever their case.
fn canonical(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Reads a file, or each document in it.
fn read(origin: &str, text: &str, documents: &mut Vec<Read>, findings: &mut Vec<Diagnostic>) {
    let mut take = |text: &str, read: Result<Document, Diagnostic>| match read {
        Ok(document) if !KNOWN.iter().any(|key| document.value.get(key).is_some()) => {
            let what =
                "not a configuration of Traefik: `http`, `entryPoints`, `providers` and `services` are all missing";
            findings.push(located(Diagnostic::error(origin, what).rule(NOT_CHECKED), text, 1));
        }
        Ok(document) => {
            let written = |document: Document, provider: Provider| Read {
                origin: origin.to_owned(),
                text: text.to_owned(),
                document,
                provider,
            };
            let told = labels::documents(&Node::root(origin, text, &document), findings);
            documents.extend(told.into_iter().map(|document| written(document, Provider::Labels)));
            documents.push(written(document, Provider::File));
        }
        Err(mut problem) => {
            if text.contains("{{") {
                problem.help = Some("templates are not understood: look at what they give".to_owned());
            }
            findings.push(problem);
        }
    };
    if origin.to_ascii_lowercase().ends_with(".toml") {
        return take(text, node::toml(origin, text, canonical));
    }
    let parts = parts(text);
    for part in &parts {
        take(part, node::yaml(origin, part, canonical));
    }
    if parts.is_empty() {
        findings.push(
            Diagnostic::error(origin, "the file is empty, so nothing asks the sidecar")
                .warning()
                .rule("traefik-no-check")
                .help("add a middleware with `forwardAuth` to every router"),
        );
    }
}

/// The documents of a file, as Kubernetes writes several into one. Each has its lines where they were.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let (mut part, mut before) = (String::new(), 0_usize);
    for line in text.lines() {
        before += 1;
        if line == "---" || line.starts_with("--- ") {
            parts.push(std::mem::replace(&mut part, "\n".repeat(before)));
        } else {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.push(part);
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && line != "...";
    parts.retain(|part| part.lines().any(says));
    parts.truncate(MOST);
    parts
}
