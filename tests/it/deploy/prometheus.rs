//! A real Prometheus that scrapes and evaluates every quarter of a second, and what the rules ask it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::{Running, free, program, read};
use crate::support::{Client, Server};

/// How long it may take to see something.
const PATIENCE: Duration = Duration::from_secs(120);

/// A rule as `alerts.yaml` has it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub alert: String,
    pub expr: String,
    #[serde(default, rename = "for")]
    pub lasts: Option<String>,
    pub labels: std::collections::BTreeMap<String, String>,
    pub annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

pub(super) fn rules() -> Vec<Rule> {
    let file: Groups = serde_saphyr::from_str(&read("prometheus/alerts.yaml")).unwrap();
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The metrics that the manual describes, histograms with their series.
pub(super) fn documented() -> BTreeSet<String> {
    let manual = std::fs::read_to_string(Server::project("docs/metrics.md")).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.flat_map(|(name, rest)| {
        let ends: &[&str] = if rest.contains("histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
        ends.iter().map(move |end| format!("{name}{end}"))
    })
    .collect()
}

/// The series that an expression selects: names with their matchers.
pub(super) fn selectors(expr: &str) -> Vec<String> {
    let mut found = Vec::new();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for prefix in ["palisade_", "process_start_time_seconds"] {
        for (at, _) in expr.match_indices(prefix) {
            if expr[..at].chars().last().is_some_and(|c| word(c) || c == '"') {
                continue;
            }
            let name = at + expr[at..].find(|c| !word(c)).unwrap_or(expr.len() - at);
            let end = if expr[name..].starts_with('{') { name + expr[name..].find('}').unwrap() + 1 } else { name };
            found.push(expr[at..end].to_owned());
        }
    }
    found
}

pub(super) struct Prometheus {
    _running: Running,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes these targets with these rules. None where it is not installed.
    pub(super) fn start(targets: &[SocketAddr], rules: &str) -> Option<Self> {
        let mut command = program("prometheus")?;
        let dir = tempfile::tempdir().unwrap();
        let address = free();
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 200ms, evaluation_interval: 250ms}}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: palisade, static_configs: [{{targets: [{}]}}]}}]\n",
            targets.join(", ")
        );
        std::fs::write(dir.path().join("prometheus.yaml"), config).unwrap();
        std::fs::write(dir.path().join("rules.yaml"), rules).unwrap();
        command.current_dir(dir.path());
        command.args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={address}"));
        let prometheus = Self { _running: Running::start(&mut command), address, _dir: dir };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() || Client::new(address).get("/-/ready").status != 200 {
            assert!(Instant::now() < deadline, "Prometheus does not start");
            thread::sleep(Duration::from_millis(20));
        }
        // three scrapes of each, of those that cannot be reached too
        prometheus.until("scraping", || {
            let seen = prometheus.query("count_over_time(up[1m]) >= 3").len();
            (seen == targets.len()).then_some(()).ok_or_else(|| format!("{seen} of {}", targets.len()))
        });
        Some(prometheus)
    }

    #[track_caller]
    pub(super) fn until(&self, what: &str, condition: impl Fn() -> Result<(), String>) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(why) = condition() {
            assert!(Instant::now() < deadline, "not {what}: {why}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn get(&self, path: &str) -> Value {
        let answer = Client::new(self.address).get(path);
        let json = answer.json();
        assert_eq!(json["status"], "success", "{path}: {json}");
        json["data"].clone()
    }

    /// The samples that an expression gives now.
    pub(super) fn query(&self, expr: &str) -> Vec<Value> {
        let encoded: String = expr
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let data = self.get(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().unwrap_or_else(|| panic!("{expr}: {data}")).clone()
    }

    /// Every rule as it is evaluated.
    pub(super) fn rules(&self) -> Vec<Value> {
        self.get("/api/v1/rules")["groups"][0]["rules"].as_array().unwrap().clone()
    }

    /// The alerts that are pending or fire, by name.
    pub(super) fn alerts(&self) -> Vec<(String, Value)> {
        let alerts = self.get("/api/v1/alerts")["alerts"].as_array().unwrap().clone();
        let named = |alert: Value| (alert["labels"]["alertname"].as_str().unwrap().to_owned(), alert);
        alerts.into_iter().map(named).collect()
    }
}

#[test]
fn selectors_are_found() {
    let expr =
        r#"sum by (le) (rate(palisade_a_total{outcome="error"}[5m])) / palisade_b > 1 and up{job="palisade"} == 1"#;
    assert_eq!(selectors(expr), [r#"palisade_a_total{outcome="error"}"#, "palisade_b"]);
    assert!(documented().contains("palisade_decision_duration_seconds_bucket"));
    assert!(documented().contains("palisade_ready"));
}
