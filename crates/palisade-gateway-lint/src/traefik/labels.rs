//! Labels of containers, and the command line of Traefik, as they stand in a file of Docker Compose.

use crate::NOT_CHECKED;
use crate::node::{Document, Node};
use palisade_engine::model::Diagnostic;

/// A dotted name, its text, and its line.
type Entry = (Vec<String>, String, usize);

/// The labels for Traefik of a file's containers, as documents of their own.
pub(super) fn documents(root: &Node<'_>, findings: &mut Vec<Diagnostic>) -> Vec<Document> {
    let mut documents = Vec::new();
    let compose = root.get("services").is_some() && root.get("http").is_none();
    if let Some(include) = root.get("include").filter(|_| compose) {
        findings.push(include.warning(
            NOT_CHECKED,
            "what is included here is not looked at",
            "look at what `docker compose config` writes",
        ));
    }
    // Traefik in Kubernetes
    for pod in root.all(&|value| value.get("containers").is_some_and(serde_json::Value::is_array)) {
        for container in pod.list("containers").iter().filter(|container| is_proxy(container)) {
            started(container, &mut documents);
        }
    }
    for (name, container) in root.get("services").map(|services| services.members()).unwrap_or_default() {
        let proxy = is_proxy(&container);
        if proxy {
            started(&container, &mut documents);
        }
        elsewhere(&container, proxy, findings);
        let labels = [container.get("labels"), container.way(&["deploy", "labels"])];
        let mut entries: Vec<Entry> = labels.iter().flatten().flat_map(read).collect();
        if entries.is_empty() || entries.iter().any(|(path, text, _)| path[..] == ["enable"] && text == "false") {
            continue;
        }
        let kind =
            |word: &str| entries.iter().any(|(path, _, _)| path.len() > 2 && path[0] == word && path[1] == "routers");
        // without a router of its own Traefik makes one
        if !proxy && !["http", "tcp", "udp"].iter().any(|word| kind(word)) {
            let implied =
                entries.iter().find(|(path, text, _)| path[..] == ["enable"] && text == "true").map(|entry| entry.2);
            let path = ["http", "routers", name, "rule"].map(str::to_owned).to_vec();
            entries.extend(implied.map(|line| (path, String::new(), line)));
        }
        for (path, text, _) in &entries {
            if path.last().is_some_and(|last| last == "middlewares") && text.contains("${") {
                findings.push(container.warning(
                    NOT_CHECKED,
                    "which middlewares a router has is not known here: a variable says it",
                    "look at what `docker compose config` writes",
                ));
            }
        }
        // whose labels they are
        let line = entries.first().map_or(1, |entry| entry.2);
        entries.push((vec!["container".to_owned()], name.to_owned(), line));
        documents.push(Document::dotted(&entries));
    }
    documents
}

/// Whether a container runs Traefik itself.
pub(super) fn is_proxy(container: &Node<'_>) -> bool {
    let image = container.text("image");
    let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    name.split(':').next().is_some_and(|name| name == "traefik" || name.starts_with("traefik-ee"))
}

/// The static configuration that a container of Traefik is started with: its command line, or its environment.
fn started(container: &Node<'_>, documents: &mut Vec<Document>) {
    let commands = ["entrypoint", "command", "args"].iter().filter_map(|key| container.get(key));
    let variables = ["environment", "env"].iter().filter_map(|key| container.get(key));
    for entries in commands.map(|command| flags(&command)).chain(variables.map(|list| environment(&list))) {
        if !entries.is_empty() {
            documents.push(Document::dotted(&entries));
        }
    }
}

/// Variables such as `TRAEFIK_ENTRYPOINTS_WEB_ADDRESS`: a table, or a list of texts or of names with values.
fn environment(list: &Node<'_>) -> Vec<Entry> {
    let line = |node: &Node<'_>| node.place.line().unwrap_or(1);
    let text = |node: &Node<'_>| node.value.as_str().map_or_else(|| node.value.to_string(), str::to_owned);
    let mut entries: Vec<(String, String, usize)> =
        list.members().into_iter().map(|(name, node)| (name.to_owned(), text(&node), line(&node))).collect();
    for item in list.items() {
        match item.value.as_str().map(|text| text.split_once('=').unwrap_or((text, ""))) {
            Some((name, value)) => entries.push((name.to_owned(), value.to_owned(), line(&item))),
            None => {
                let value = item.get("value").map(|value| text(&value)).unwrap_or_default();
                entries.push((item.text("name").to_owned(), value, line(&item)));
            }
        }
    }
    let entry = |(name, value, line): (String, String, usize)| {
        let name = name.trim().to_ascii_lowercase();
        let path = name.strip_prefix("traefik_")?.split('_').map(str::to_owned).collect();
        Some((path, value.trim_matches(['"', '\'']).to_owned(), line))
    };
    entries.into_iter().filter_map(entry).collect()
}

/// What of a container stands in other files or in other containers.
fn elsewhere(container: &Node<'_>, proxy: bool, findings: &mut Vec<Diagnostic>) {
    for (key, counts) in [("label_file", true), ("extends", true), ("env_file", proxy)] {
        if let Some(node) = container.get(key).filter(|_| counts) {
            findings.push(node.warning(
                NOT_CHECKED,
                format!("what this container takes from elsewhere (`{key}`) is not looked at"),
                "look at what `docker compose config` writes",
            ));
        }
    }
}

/// The labels that are for Traefik: a list of `name=value`, or a table.
fn read(labels: &Node<'_>) -> Vec<Entry> {
    let line = |node: &Node<'_>| node.place.line().unwrap_or(1);
    let mut entries = Vec::new();
    for (name, node) in labels.members() {
        let text = node.value.as_str().map_or_else(|| node.value.to_string(), str::to_owned);
        entries.extend(entry(name, &text, line(&node)));
    }
    for item in labels.items() {
        let text = item.value.as_str().unwrap_or_default();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        entries.extend(entry(name, value, line(&item)));
    }
    entries
}

fn entry(name: &str, value: &str, line: usize) -> Option<Entry> {
    let name = name.trim().to_ascii_lowercase();
    let path = name.strip_prefix("traefik.")?.split('.').map(str::to_owned).collect();
    // `$$` is how a `$` is written there
    Some((path, value.trim().replace("$$", "$"), line))
}

/// The flags of a command line, which say what a static configuration says.
fn flags(command: &Node<'_>) -> Vec<Entry> {
    let line = |node: &Node<'_>| node.place.line().unwrap_or(1);
    let mut words: Vec<(String, usize)> = Vec::new();
    match command.value.as_str() {
        Some(text) => words.extend(text.split_whitespace().map(|word| (word.to_owned(), line(command)))),
        None => words.extend(
            command.items().iter().map(|item| (item.value.as_str().unwrap_or_default().to_owned(), line(item))),
        ),
    }
    let flag = |(word, line): (String, usize)| {
        let (name, value) =
            word.trim_start_matches('-').split_once('=').unwrap_or((word.trim_start_matches('-'), "true"));
        let path: Vec<String> = name.to_ascii_lowercase().split('.').map(str::to_owned).collect();
        (word.starts_with("--") && !name.is_empty()).then(|| (path, value.trim_matches(['"', '\'']).to_owned(), line))
    };
    words.into_iter().filter_map(flag).collect()
}
