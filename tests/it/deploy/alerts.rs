//! The alert rules: as the manual lists them, by promtool, and in a real Prometheus that scrapes a healthy sidecar and
//! unhealthy ones.

use std::collections::BTreeSet;

use serde_json::json;

use super::prometheus::{Prometheus, Rule, documented, rules, selectors};
use super::{artefact, free, program, read, skip, succeed};
use crate::support::process::{Process, command, serve_with, workspace, write_policy};
use crate::support::{Client, Server};

/// `alice` may do everything; what needs `x` fails without it.
const FORBIDS: &str = "@id(\"a\") forbid (principal == User::\"eve\", action, resource);\n\
                       @id(\"b\") forbid (principal, action == Action::\"fail\", resource) when { context.x > 1 };\n";

fn ask(client: &mut Client, action: &str) -> u16 {
    let body = json!({"principal": "User::\"alice\"", "action": format!("Action::\"{action}\""),
        "resource": "Thing::\"t\"", "context": {}});
    client.post("/v1/is_authorized", body.to_string()).status
}

/// The rules with nothing to wait for: what would only be pending fires.
fn at_once() -> String {
    let text = read("prometheus/alerts.yaml");
    text.lines().filter(|line| !line.trim_start().starts_with("for: ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_manual_lists_the_rules() {
    let manual = std::fs::read_to_string(Server::project("docs/metrics.md")).unwrap();
    let listed: BTreeSet<String> = manual.lines().filter(|line| line.starts_with("| Palisade")).map(into_row).collect();
    let row = |rule: &Rule| {
        let lasts = rule.lasts.as_deref().unwrap_or("");
        format!("{} `{}` {lasts} {}", rule.alert, rule.expr, rule.labels["severity"])
    };
    let written: BTreeSet<String> = rules().iter().map(row).collect();
    assert_eq!(listed, written);
    for rule in rules() {
        assert!(["critical", "warning"].contains(&&*rule.labels["severity"]), "{rule:?}");
        assert_eq!(rule.annotations.keys().collect::<Vec<_>>(), ["description", "summary"], "{rule:?}");
        let known = documented();
        for selector in selectors(&rule.expr) {
            let name = selector.split('{').next().unwrap();
            assert!(known.contains(name), "{}: the manual does not describe `{name}`", rule.alert);
        }
    }
}

/// Name, expression, how long, severity of a line of the manual's table.
fn into_row(line: &str) -> String {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    assert_eq!(cells.len(), 7, "{line}");
    cells[1..5].join(" ")
}

#[test]
fn promtool_finds_nothing_wrong() {
    let tests = read("prometheus/alerts_test.yaml");
    for rule in rules() {
        let fires = format!("alertname=\"{}\"", rule.alert);
        assert!(tests.contains(&fires), "alerts_test.yaml never has {} fire", rule.alert);
    }
    let Some(mut check) = program("promtool") else { return skip("the alert rules", "promtool") };
    let said =
        succeed(check.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(artefact("prometheus/alerts.yaml")));
    assert!(said.contains(&format!("{} rules found", rules().len())), "{said}");
    let mut test = program("promtool").unwrap();
    succeed(test.current_dir(artefact("prometheus")).args(["test", "rules", "alerts_test.yaml"]));
}

/// Fires or not as the machine of the tests is busy or not, so the tests with a real sidecar do not ask for it.
const SLOW: &str = "PalisadeSlow";

#[test]
fn no_alert_fires_on_a_healthy_sidecar() {
    let dir = workspace();
    std::fs::write(dir.path().join("policies/forbids.cedar"), FORBIDS).unwrap();
    let log = format!("decision_log.sink={}", dir.path().join("decisions.jsonl").display());
    let process = Process::start(dir, &[&log, "engine.verify_sample=1"]);
    let Some(prometheus) = Prometheus::start(&[process.admin], &at_once()) else {
        return skip("the alerts of a healthy sidecar", "prometheus");
    };
    let mut client = process.client();
    // decisions, a change that is taken, and time for a comparison of the files: `reload.poll` is 5 s
    for round in 0..30 {
        assert_eq!(ask(&mut client, "view"), 200);
        assert_eq!(ask(&mut client, &format!("action-{round}")), 200);
        if round == 5 {
            std::fs::write(
                process.path("policies/more.cedar"),
                "permit (principal == User::\"bob\", action, resource);",
            )
            .unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let good = "palisade_reloads_total{result=\"good\",source=\"files\"} >= 2";
    prometheus
        .until("seeing the change", || (!prometheus.query(good).is_empty()).then_some(()).ok_or_else(|| process.log()));
    let mut alerts = prometheus.alerts();
    alerts.retain(|(name, _)| name != SLOW);
    assert_eq!(alerts, [], "{}", process.log());
    for rule in prometheus.rules().into_iter().filter(|rule| rule["name"] != SLOW) {
        assert_eq!((&rule["health"], &rule["state"]), (&json!("ok"), &json!("inactive")), "{rule:#}");
    }
    // a rule that selects nothing would never fire
    for selector in rules().iter().flat_map(|rule| selectors(&rule.expr)) {
        assert!(!prometheus.query(&selector).is_empty(), "no series is {selector}");
    }
    super::dashboard::shows(&prometheus);
}

#[test]
fn the_right_alerts_fire_on_unhealthy_sidecars() {
    // what takes a minute takes a second here
    let rules_text = at_once().replace("palisade_data_age_seconds > 60", "palisade_data_age_seconds > 1");
    assert!(rules_text.contains("palisade_data_age_seconds > 1 and"));

    let dir = workspace();
    std::fs::write(dir.path().join("policies/forbids.cedar"), FORBIDS).unwrap();
    let settings = ["decision_log.sink=/dev/full", "decision_log.queue=8", "http.max_connections=4", "reload.poll=0s"];
    let process = Process::start(dir, &settings);

    // another never had a bundle
    let (dir, decisions, admin) = (workspace(), free(), free());
    std::fs::write(dir.path().join("policies/p.cedar"), "permit (").unwrap();
    let mut unready = command(dir.path());
    serve_with(&mut unready, &[&format!("listen.decisions={decisions}"), &format!("listen.admin={admin}")]);
    let _unready = super::Running::start(&mut unready);

    // a third must record every decision, into a pipe that is not read
    let dir = workspace();
    let pipe = dir.path().join("pipe");
    succeed(std::process::Command::new("mkfifo").arg(&pipe));
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let sink = format!("decision_log.sink={}", pipe.display());
    let stuck = Process::start(dir, &[&sink, "decision_log.queue=8", "decision_log.overflow=deny"]);

    let targets = [process.admin, admin, stuck.admin, free()];
    let Some(prometheus) = Prometheus::start(&targets, &rules_text) else {
        return skip("the alerts of unhealthy sidecars", "prometheus");
    };
    // more than there is room for: those that rest are closed
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = process.client();
        for _ in 0..8 {
            ask(&mut client, "fail");
        }
        clients.push(client);
    }
    std::fs::remove_file(process.path("policies/forbids.cedar")).unwrap();
    prometheus.until("without the forbids", || {
        (process.metric("palisade_forbids") == 0.0).then_some(()).ok_or_else(|| process.log())
    });
    write_policy(process.dir.path(), "alice");
    std::fs::write(process.path("policies/p.cedar"), "permit (").unwrap();

    let expected: BTreeSet<&str> = [
        "PalisadeChangeRefused",
        "PalisadeConnectionsGivenUp",
        "PalisadeDataOld",
        "PalisadeDecisionErrors",
        "PalisadeDecisionLogDropped",
        "PalisadeDecisionLogFailing",
        "PalisadeDecisionLogQueueFull",
        "PalisadeDegraded",
        "PalisadeDown",
        "PalisadeForbidErrors",
        "PalisadeForbidsDropped",
        "PalisadeNotReady",
        "PalisadeServerErrors",
    ]
    .into();
    prometheus.until("alarmed", || {
        ask(&mut Client::new(decisions), "view");
        for _ in 0..100 {
            ask(&mut stuck.client(), "view");
        }
        let alerts = prometheus.alerts();
        let firing = alerts.iter().map(|(name, _)| name.as_str()).filter(|name| *name != SLOW);
        let firing: BTreeSet<&str> = firing.collect();
        if firing == expected {
            Ok(())
        } else {
            Err(format!(
                "missing {:?}, too many {:?}\n{}",
                expected.difference(&firing).collect::<Vec<_>>(),
                firing.difference(&expected).collect::<Vec<_>>(),
                process.log()
            ))
        }
    });
    for (name, alert) in prometheus.alerts() {
        for (what, text) in alert["annotations"].as_object().unwrap() {
            let text = text.as_str().unwrap();
            assert!(
                !text.contains("<error") && !text.contains("no value") && !text.contains("{{"),
                "{name} {what}: {text}"
            );
        }
        let target = match &*name {
            "PalisadeNotReady" => admin,
            "PalisadeDecisionErrors" | "PalisadeDecisionLogQueueFull" => stuck.admin,
            "PalisadeChangeRefused" | "PalisadeForbidErrors" | "PalisadeForbidsDropped" => process.admin,
            _ => continue,
        };
        let instance = alert["labels"]["instance"].as_str();
        // the one that never had a bundle may have been scraped before it refused it, and cannot decide either
        let too = ["PalisadeChangeRefused", "PalisadeDecisionErrors"].contains(&&*name);
        let also = too && instance == Some(&*admin.to_string());
        assert!(instance == Some(&*target.to_string()) || also, "{name} is for another: {alert:#}");
    }
}
