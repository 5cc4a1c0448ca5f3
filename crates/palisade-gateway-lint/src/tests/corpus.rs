//! Configurations as people write them, in `tests/configurations`, with what is to be found in each.

use super::*;

/// Where the files are.
const DIRECTORY: &str = "crates/palisade-gateway-lint/tests/configurations";

/// Each line of the list: the files of one configuration, and the rules that it breaks, none of them silently.
pub(super) fn expected() -> Vec<(Vec<String>, Vec<String>)> {
    let list = text(&format!("{DIRECTORY}/expected.txt"));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (files, rules) = line.split_once(':').unwrap_or_else(|| panic!("{line}: no `:`"));
            (words(files), words(rules))
        })
        .collect()
}

fn gateway(path: &str) -> Gateway {
    match path.split('/').next() {
        Some("nginx") => Gateway::Nginx,
        Some("envoy") => Gateway::Envoy,
        Some("caddy") => Gateway::Caddy,
        Some("traefik") => Gateway::Traefik,
        Some("haproxy") => Gateway::Haproxy,
        Some("apache") => Gateway::Apache,
        other => panic!("{other:?} is no gateway"),
    }
}

/// One configuration of the list.
pub(super) fn read(files: &[String]) -> (Gateway, Vec<Source>) {
    let sources = files.iter().map(|file| (file.clone(), text(&format!("{DIRECTORY}/{file}"))));
    (gateway(&files[0]), sources.collect())
}

#[test]
fn each_configuration_has_its_findings_and_no_others() {
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    for (files, expected) in expected() {
        listed.extend(files.iter().cloned());
        let (gateway, sources) = read(&files);
        let found = lint(gateway, &sources, &alone);
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        if rules(&found) != expected {
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            wrong.push(format!("{files:?}: expected {expected:?}, found\n{}", told.join("\n")));
        }
        for finding in found {
            assert!(
                finding.help.is_some() || finding.severity == palisade_engine::model::Severity::Error,
                "{finding}: no help"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for directory in
        fs::read_dir(project(DIRECTORY)).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for file in fs::read_dir(&directory).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(project(DIRECTORY)).unwrap().display().to_string();
            assert!(listed.contains(&name), "{name} stands in no line of expected.txt");
        }
    }
}
