//! What the standard `OTEL_…` variables ask for.
//!
//! As OpenTelemetry wants it, a value that cannot be used is reported and does not keep the sidecar from starting: what
//! is wrong with traces must not cost decisions.

use std::path::PathBuf;
use std::time::Duration;

use super::sampler::Sampler;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The whole URL that spans are posted to.
    pub(super) url: String,
    /// Names and values, such as a key for the collector.
    pub(super) headers: Vec<(String, String)>,
    /// How long one attempt may take.
    pub(super) timeout: Duration,
    /// Certificates to trust instead of the system's.
    pub(super) certificate: Option<PathBuf>,
    /// What all spans have in common.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    /// Whether a caller's `traceparent` counts.
    pub(super) joins: bool,
    /// How many spans may wait.
    pub(super) queue: usize,
    /// How many are sent at once.
    pub(super) batch: usize,
    /// How long spans wait for others at most.
    pub(super) delay: Duration,
}

/// Our name among services, unless the environment gives another.
const SERVICE: &str = "palisade";

/// More spans than this never wait: each may take a few kilobytes.
const MOST_WAITING: usize = 1 << 16;

/// More attributes of the resource are not taken.
const MOST_ATTRIBUTES: usize = 128;

struct Reader<'p, F> {
    value: F,
    problems: &'p mut Vec<String>,
}

impl TraceSettings {
    /// Reads the variables through `value`. `None` if nothing is to be exported. What is wrong with a variable goes to
    /// `problems`, a sentence each.
    pub fn read(value: impl Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Option<Self> {
        // an empty variable counts as unset
        let value = |name: &str| value(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Reader { value, problems }.settings()
    }
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn settings(&mut self) -> Option<TraceSettings> {
        if self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let endpoint = self.endpoint()?;
        match self.get("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                self.problem("OTEL_TRACES_EXPORTER", other, "`otlp` or `none`; no traces are exported");
                return None;
            }
        }
        if let Some((name, protocol)) = self.of_traces("PROTOCOL")
            && protocol != "http/protobuf"
        {
            let help = "`http/protobuf`, usually at port 4318; no traces are exported";
            self.problem(&name, &protocol, help);
            return None;
        }
        if let Some((name, compression)) = self.of_traces("COMPRESSION")
            && compression != "none"
        {
            self.problem(&name, &compression, "`none`; spans are sent uncompressed");
        }
        for kind in ["CLIENT_KEY", "CLIENT_CERTIFICATE"] {
            if let Some((name, _)) = self.of_traces(kind) {
                self.problems.push(format!("`{name}` is not used: the sidecar shows no certificate of its own"));
            }
        }
        let (sampler, arg) = (self.get("OTEL_TRACES_SAMPLER"), self.get("OTEL_TRACES_SAMPLER_ARG"));
        let queue = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1..=MOST_WAITING as u64) as usize;
        let propagators = self.get("OTEL_PROPAGATORS");
        Some(TraceSettings {
            url: endpoint,
            headers: self.headers(),
            timeout: self.timeout(),
            certificate: self.of_traces("CERTIFICATE").map(|(_, file)| PathBuf::from(file)),
            resource: self.resource(),
            sampler: Sampler::read(sampler.as_deref(), arg.as_deref(), self.problems),
            joins: propagators.is_none_or(|names| names.split(',').any(|name| name.trim() == "tracecontext")),
            queue,
            batch: (self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1..=MOST_WAITING as u64) as usize).min(queue),
            delay: Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1..=3_600_000)),
        })
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.value)(name)
    }

    /// The variable for traces alone, or else that for all signals; and its name.
    fn of_traces(&self, kind: &str) -> Option<(String, String)> {
        [format!("OTEL_EXPORTER_OTLP_TRACES_{kind}"), format!("OTEL_EXPORTER_OTLP_{kind}")]
            .into_iter()
            .find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    fn problem(&mut self, name: &str, value: &str, expected: &str) {
        self.problems.push(format!("`{name}` is `{value}`: expected {expected}"));
    }

    /// The URL for traces, as it stands, or that for all signals with our path below it.
    fn endpoint(&mut self) -> Option<String> {
        let (name, endpoint) = self.of_traces("ENDPOINT")?;
        let usable = endpoint.parse::<http::Uri>().ok().filter(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
        });
        let Some(url) = usable else {
            self.problem(&name, &endpoint, "a URL such as `http://127.0.0.1:4318`; no traces are exported");
            return None;
        };
        if name.contains("TRACES") {
            return Some(url.to_string());
        }
        let base = url.to_string();
        let base = base.split('?').next().unwrap_or_default();
        Some(format!("{}/v1/traces", base.trim_end_matches('/')))
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let Some((name, text)) = self.of_traces("HEADERS") else { return Vec::new() };
        let usable = |(name, value): &(String, String)| {
            http::HeaderName::try_from(name.as_str()).is_ok() && http::HeaderValue::try_from(value.as_str()).is_ok()
        };
        let mut headers = Vec::new();
        for pair in pairs(&text) {
            match pair.filter(usable) {
                Some(pair) => headers.push(pair),
                // a value may be secret
                None => self
                    .problems
                    .push(format!("`{name}` has an entry that is not a header (`name=value,…`); it is skipped")),
            }
        }
        headers
    }

    fn timeout(&mut self) -> Duration {
        let name = self.of_traces("TIMEOUT").map_or_else(|| "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned(), |(name, _)| name);
        Duration::from_millis(self.number(&name, 10_000, 1..=600_000))
    }

    fn number(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(text) = self.get(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = range.into_inner();
                self.problem(name, &text, &format!("a whole number from {low} to {high}; {default} is used"));
                default
            }
        }
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let mut resource = Vec::new();
        let mut set = |name: &str, value: String| {
            if !resource.iter().any(|(known, _)| known == name) && resource.len() < MOST_ATTRIBUTES {
                resource.push((name.to_owned(), value));
            }
        };
        // what comes first counts
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            set("service.name", name);
        }
        if let Some(text) = self.get("OTEL_RESOURCE_ATTRIBUTES") {
            for pair in pairs(&text) {
                match pair {
                    Some((name, value)) => set(&name, value),
                    None => self.problems.push(
                        "`OTEL_RESOURCE_ATTRIBUTES` has an entry that is not `name=value`; it is skipped".to_owned(),
                    ),
                }
            }
        }
        set("service.name", SERVICE.to_owned());
        set("service.version", env!("CARGO_PKG_VERSION").to_owned());
        set("service.instance.id", crate::telemetry::fresh_id().to_string());
        set("telemetry.sdk.name", SERVICE.to_owned());
        set("telemetry.sdk.language", "rust".to_owned());
        set("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned());
        resource
    }
}

/// The entries of `name=value,name=value`, percent-decoded. `None` for one that is no such pair.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| {
        let (name, value) = entry.split_once('=')?;
        let pair = (decoded(name.trim())?, decoded(value.trim())?);
        (!pair.0.is_empty()).then_some(pair)
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<TraceSettings>, Vec<String>) {
        let mut problems = Vec::new();
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        (TraceSettings::read(value, &mut problems), problems)
    }

    #[test]
    fn endpoints_are_those_of_the_standard() {
        let (all, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        for (variables, expected) in [
            (&[][..], None),
            (&[(all, "")], None),
            (&[(all, "http://127.0.0.1:4318")], Some("http://127.0.0.1:4318/v1/traces")),
            (&[(all, " https://otel.example/in/ ")], Some("https://otel.example/in/v1/traces")),
            (&[(all, "http://[::1]:4318")], Some("http://[::1]:4318/v1/traces")),
            (&[(traces, "http://a:1/x?y=z")], Some("http://a:1/x?y=z")),
            (&[(traces, "http://a:1")], Some("http://a:1/")),
            (&[(all, "http://b:2"), (traces, "http://a:1/t")], Some("http://a:1/t")),
            (&[(all, "http://b:2"), ("OTEL_SDK_DISABLED", "true")], None),
            (&[(all, "http://b:2"), ("OTEL_SDK_DISABLED", "TRUE")], None),
            (&[(all, "http://b:2"), ("OTEL_SDK_DISABLED", "1")], Some("http://b:2/v1/traces")),
            (&[(all, "http://b:2"), ("OTEL_TRACES_EXPORTER", "none")], None),
            (&[(all, "http://b:2"), ("OTEL_TRACES_EXPORTER", "otlp")], Some("http://b:2/v1/traces")),
            (&[(all, "http://b:2"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], Some("http://b:2/v1/traces")),
        ] {
            let (settings, problems) = read(variables);
            assert_eq!(settings.map(|settings| settings.url).as_deref(), expected, "{variables:?}");
            assert!(problems.is_empty(), "{variables:?}: {problems:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_reported_with_its_name() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1");
        for (variables, exports, problem) in [
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "a:4317")][..], false, "`OTEL_EXPORTER_OTLP_ENDPOINT` is `a:4317`"),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://a:1")], false, "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "/v1")], false, "expected a URL"),
            (&[all, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], false, "`OTEL_EXPORTER_OTLP_PROTOCOL` is `grpc`"),
            (&[all, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")], false, "`http/protobuf`"),
            (&[all, ("OTEL_TRACES_EXPORTER", "console")], false, "`OTEL_TRACES_EXPORTER` is `console`"),
            (&[all, ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")], true, "uncompressed"),
            (&[all, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k")], true, "`OTEL_EXPORTER_OTLP_CLIENT_KEY` is not used"),
            (&[all, ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], true, "`OTEL_EXPORTER_OTLP_TIMEOUT` is `10s`"),
            (&[all, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0")], true, "`OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`"),
            (&[all, ("OTEL_BSP_MAX_QUEUE_SIZE", "-1")], true, "2048 is used"),
            (&[all, ("OTEL_TRACES_SAMPLER", "x")], true, "`OTEL_TRACES_SAMPLER` is `x`"),
            (&[all, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")], true, "`OTEL_EXPORTER_OTLP_HEADERS` has an entry"),
            (&[all, ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0d%0ab: c")], true, "not a header"),
            (&[all, ("OTEL_RESOURCE_ATTRIBUTES", "a")], true, "`OTEL_RESOURCE_ATTRIBUTES` has an entry"),
        ] {
            let (settings, problems) = read(variables);
            assert_eq!(settings.is_some(), exports, "{variables:?}");
            assert!(problems.len() == 1 && problems[0].contains(problem), "{variables:?}: {problems:?}");
            assert!(!problems[0].contains("secret"));
        }
    }

    #[test]
    fn the_rest_is_as_the_variables_say() {
        let (settings, problems) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b=c%2C, ,X-Other = d"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_SERVICE_NAME", "door"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=a%3Db,service.version=7"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let settings = settings.unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(settings.headers, [pair("api-key", "a b=c,"), pair("X-Other", "d")]);
        assert_eq!((settings.timeout, settings.delay), (Duration::from_millis(250), Duration::from_millis(20)));
        assert_eq!((settings.queue, settings.batch, settings.joins), (100, 100, false));
        assert_eq!(settings.certificate, Some("/ca.pem".into()));
        let value = |name: &str| settings.resource.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
        for (name, expected) in [
            ("service.name", Some("door")),
            ("service.version", Some("7")),
            ("deployment.environment.name", Some("a=b")),
            ("telemetry.sdk.language", Some("rust")),
            ("other", None),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        let (plain, _) = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")]);
        assert!(plain.unwrap().resource.contains(&pair("service.name", "palisade")));
    }
}
