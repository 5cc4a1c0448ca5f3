//! The metrics as a scraper reads them, and as the manual describes them.

use std::collections::BTreeMap;

use super::*;

const REVISION: Revision = Revision { incarnation: 0xab, counter: 7 };

/// Reads the text format: name to type, and series with value. Fails on anything else.
fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut types, mut series) = (BTreeMap::new(), BTreeMap::new());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.as_deref(), Some(name), "TYPE follows HELP");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|name| types.contains_key(*name));
            assert!(types.contains_key(family.unwrap_or(name)), "{line} lacks HELP and TYPE");
            assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "{key} twice");
        }
    }
    (types, series)
}

#[test]
fn every_series_is_there_from_the_start() {
    let metrics = Metrics::new().unwrap();
    let (types, series) = parse(&metrics.render());
    for key in [
        r#"palisade_decisions_total{outcome="deny",transport="grpc"}"#,
        r#"palisade_denied_by_total{rule="forbid_error"}"#,
        r#"palisade_reloads_total{result="bad",source="files"}"#,
        r#"palisade_http_requests_total{listener="ops",status_class="5xx"}"#,
        r#"palisade_http_connections{listener="admin"}"#,
        r#"palisade_verify_total{result="mismatch"}"#,
        "palisade_ready",
        "palisade_snapshot_revision",
        "palisade_cache_hits_total",
        "palisade_decision_duration_seconds_count",
    ] {
        assert_eq!(series.get(key), Some(&0.0), "{key}");
    }
    assert_eq!(series.get(&format!("palisade_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), Some(&1.0));
    assert!(series["process_start_time_seconds"] > 1.7e9);
    assert_eq!(types["palisade_decision_duration_seconds"], "histogram");
    assert!(series.contains_key(r#"palisade_decision_duration_seconds_bucket{le="0.000001"}"#), "{series:?}");
}

#[test]
fn counting_reaches_the_right_series() {
    let metrics = Metrics::new().unwrap();
    for (i, transport) in Transport::ALL.iter().enumerate() {
        for (j, kind) in DecisionKind::ALL.iter().enumerate() {
            metrics.decisions(*transport, *kind).inc_by((10 * i + j + 1) as u64);
        }
    }
    metrics.decided(Transport::Native, DecisionKind::Allow, Duration::from_micros(3));
    for (status, class) in
        [(100, "1xx"), (200, "2xx"), (304, "3xx"), (404, "4xx"), (503, "5xx"), (0, "5xx"), (999, "5xx")]
    {
        let counter = metrics.requests(Listener::Ops, status);
        counter.inc();
        let key = format!("palisade_http_requests_total{{listener=\"ops\",status_class=\"{class}\"}}");
        assert_eq!(parse(&metrics.render()).1[&key], counter.get() as f64, "{status}");
    }
    metrics.denied_by(&DeniedBy::UnknownEntity { entity: String::new() }).inc();
    metrics.reloads(ReloadSource::Bundle, ReloadResult::Unchanged).inc();
    metrics.at_scrape(|metrics| metrics.cache_entries.set(5));
    let (_, series) = parse(&metrics.render());
    for (i, transport) in Transport::ALL.iter().enumerate() {
        for (j, kind) in DecisionKind::ALL.iter().enumerate() {
            let extra = usize::from(i == 0 && j == 0);
            let key = format!("palisade_decisions_total{{outcome=\"{kind}\",transport=\"{transport}\"}}");
            assert_eq!(series[&key], (10 * i + j + 1 + extra) as f64);
        }
    }
    assert_eq!(series[r#"palisade_denied_by_total{rule="unknown_entity"}"#], 1.0);
    assert_eq!(series[r#"palisade_reloads_total{result="unchanged",source="bundle"}"#], 1.0);
    assert_eq!(series[r#"palisade_decision_duration_seconds_bucket{le="0.000002"}"#], 0.0);
    assert_eq!(series[r#"palisade_decision_duration_seconds_bucket{le="0.000005"}"#], 1.0);
    assert_eq!(series["palisade_cache_entries"], 5.0);
}

#[test]
fn one_revision_is_shown() {
    let metrics = Metrics::new().unwrap();
    let shown = |metrics: &Metrics| -> Vec<String> {
        parse(&metrics.render()).1.into_keys().filter(|key| key.starts_with("palisade_snapshot_info")).collect()
    };
    assert!(shown(&metrics).is_empty());
    metrics.published(REVISION, 3, 4);
    metrics.published(REVISION.next(), 5, 6);
    assert_eq!(shown(&metrics), [r#"palisade_snapshot_info{revision="00000000000000ab-8"}"#]);
    let (_, series) = parse(&metrics.render());
    assert_eq!(
        (series["palisade_snapshot_revision"], series["palisade_policies"], series["palisade_entities"]),
        (8.0, 5.0, 6.0)
    );
    assert!(series["palisade_data_age_seconds"] < 60.0);
}

#[test]
fn the_manual_describes_every_metric() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let documented: BTreeMap<String, (String, Vec<String>)> = manual
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let labels = cells[3]
                .split(", ")
                .filter(|label| !label.is_empty())
                .map(|label| label.trim_matches('`').to_owned())
                .collect();
            (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
        })
        .collect();
    let metrics = Metrics::new().unwrap();
    metrics.published(REVISION, 0, 0);
    let registered: BTreeMap<String, (String, Vec<String>)> = {
        let _text = metrics.render();
        let family = |family: &prometheus::proto::MetricFamily| {
            let labels = family.get_metric()[0].get_label().iter().map(|label| label.name().to_owned()).collect();
            (family.name().to_owned(), (format!("{:?}", family.get_field_type()).to_lowercase(), labels))
        };
        metrics.registry.gather().iter().map(family).collect()
    };
    assert_eq!(documented, registered);
}
