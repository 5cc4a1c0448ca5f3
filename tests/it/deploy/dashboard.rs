//! The dashboard: its structure as Grafana's current schema has it, and every expression of it in a real Prometheus.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::prometheus::{Prometheus, documented, selectors};
use super::read;

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/palisade.json")).unwrap()
}

/// The expressions of all panels, with the panel's title.
fn expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].as_str().unwrap().to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// As Grafana fills in its variables.
fn filled(expr: &str) -> String {
    let filled = expr.replace("$__rate_interval", "5s").replace("$job", ".*").replace("$instance", ".*");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Every expression gives something of a healthy sidecar, but for those that show only what is above 0.
pub(super) fn shows(prometheus: &Prometheus) {
    for (title, expr) in expressions() {
        let expr = filled(&expr);
        let whole = expr.strip_suffix(" > 0").unwrap_or(&expr);
        assert!(!prometheus.query(whole).is_empty(), "{title} is empty: {expr}");
        for selector in selectors(&expr) {
            assert!(!prometheus.query(&selector).is_empty(), "{title}: no series is {selector}");
        }
    }
}

#[test]
fn every_panel_can_be_shown() {
    let dashboard = dashboard();
    assert_eq!(
        (&dashboard["uid"], &dashboard["title"], &dashboard["id"]),
        (&json!("palisade"), &json!("Palisade"), &Value::Null)
    );
    assert!(dashboard["schemaVersion"].as_u64() >= Some(41), "older ones are migrated at each load");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);

    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24 && at("w") > 0 && at("h") > 0, "{title}: {}", panel["gridPos"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"], source, "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        let refs: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(refs.len(), targets.len(), "{title}: two queries have one name");
        for target in targets {
            assert_eq!(target["datasource"], source, "{title}");
        }
    }
}

#[test]
fn every_panel_asks_for_metrics_that_exist() {
    let known = documented();
    for (title, expr) in expressions() {
        let selected = selectors(&expr);
        assert!(!selected.is_empty(), "{title}: {expr}");
        for selector in selected {
            let name = selector.split('{').next().unwrap();
            assert!(known.contains(name), "{title}: the manual does not describe `{name}`");
            assert!(
                selector.contains("job=~\"$job\",instance=~\"$instance\""),
                "{title}: {selector} is of all sidecars"
            );
        }
        filled(&expr);
    }
}
