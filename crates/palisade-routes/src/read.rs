//! Reads files of routes into entries that know where they were written.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bounds::{MAX_ROUTES, Problems, too_many_routes};
use crate::guard::Guards;
use crate::host::normal_host;
use crate::mask::Mask;
use crate::openapi;
use crate::raw::{RawCredential, RawDefaults, RawFile, RawRoute};
use crate::route::Credential;
use crate::service::Service;
use palisade_engine::model::Diagnostic;
use palisade_engine::model::near::hint_of_reader;
use palisade_engine::model::uid::is_type_name;
use palisade_text::{Place, json, located, yaml};

/// One route as it was written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: Arc<Head>,
    pub(super) raw: RawRoute,
    pub(super) place: Place,
    /// What its captures must be besides, as a document says.
    pub(super) guards: Arc<Guards>,
    /// Its requests, if it is an operation of a document.
    pub(super) mask: Option<Arc<Mask>>,
    pub(super) kind: Kind,
}

/// What a route is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Requests are for it.
    Mapped,
    /// It is an operation that is not mapped, and keeps its requests from the routes of wider paths.
    Kept,
    /// It is one too, and no pattern holds its requests: the masks alone keep them.
    Listed,
}

/// What a file says of all its routes.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) namespace: Option<String>,
    pub(super) hosts: Arc<[String]>,
    pub(super) prefixes: Vec<String>,
    pub(super) credential: Option<Arc<Credential>>,
    pub(super) service: Arc<Service>,
    pub(super) defaults: RawDefaults,
    pub(super) place: Place,
}

/// What reading found wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Problems,
    pub(super) warnings: Problems,
}

/// Reads one file: routes, or an OpenAPI document where it has a member `openapi`.
pub(super) fn read(origin: &str, text: &str, findings: &mut Findings) -> Vec<Entry> {
    let parsed = if json::looks_like_json(text) { json::parse(text) } else { yaml::parse(text) };
    let document = match parsed {
        Ok(document) => document,
        Err(error) => {
            let problem = Diagnostic::error(origin, error.message);
            findings.errors.push(match error.line {
                Some(line) => located(problem, text, line),
                None => problem,
            });
            return Vec::new();
        }
    };
    let place = Place::root(origin, text, document.lines);
    let Value::Object(mut members) = document.value else {
        findings.errors.push(place.error("a file of routes is a mapping; see `palisade routes schema`"));
        return Vec::new();
    };
    if members.contains_key("openapi") || members.contains_key("swagger") {
        return openapi::read(&Value::Object(members), &place, findings);
    }
    let routes = members.remove("routes");
    // a fault of the head does not hide those of the routes
    let file = typed::<RawFile>(Value::Object(members), &place, findings);
    let has_head = file.is_some();
    let head = head(file.unwrap_or_default(), &place, findings);
    let routes = match routes {
        Some(Value::Array(routes)) => routes,
        None | Some(Value::Null) => {
            findings.warnings.push(place.error("there are no `routes` here").warning());
            return Vec::new();
        }
        Some(_) => {
            findings.errors.push(place.at(&["routes"]).error("`routes` must be a list"));
            return Vec::new();
        }
    };
    if routes.len() > MAX_ROUTES {
        findings.errors.push(too_many_routes(origin));
        return Vec::new();
    }
    let mut entries = Vec::new();
    for (at, route) in routes.into_iter().enumerate() {
        let place = place.at(&["routes", &at.to_string()]);
        if let Some(raw) = typed::<RawRoute>(route, &place, findings) {
            if raw.matches.0.is_empty() {
                findings.errors.push(place.error("the route lacks `match`, such as `match: GET /devices/{id}`"));
            }
            let (file, guards) = (head.clone(), Arc::default());
            entries.push(Entry { file, raw, place, guards, mask: None, kind: Kind::Mapped });
        }
    }
    // without their namespace and hosts they would be others
    if has_head { entries } else { Vec::new() }
}

/// Faults of one value that are looked for.
const MOST_FAULTS: usize = 20;

/// Reads a value into its type. Every error has the line of the member that it is about.
pub(super) fn typed<T: DeserializeOwned>(mut value: Value, place: &Place, findings: &mut Findings) -> Option<T> {
    let mut known: Option<Vec<String>> = None;
    for _ in 0..MOST_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(typed) => return if known.is_none() { Some(typed) } else { None },
            Err(error) => error,
        };
        let steps = fault(error, place, findings);
        // the reader stops at the first: what is wrong is taken out, and the rest is read
        if known.as_ref() == Some(&steps) || !take_out(&mut value, &steps) {
            break;
        }
        known = Some(steps);
    }
    None
}

/// Takes out the member or element that `steps` lead to. Says whether it was there.
fn take_out(value: &mut Value, steps: &[String]) -> bool {
    let Some((last, way)) = steps.split_last() else { return false };
    let within = way.iter().try_fold(value, |here, step| match here {
        Value::Object(members) => members.get_mut(step),
        Value::Array(elements) => elements.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    });
    match within {
        Some(Value::Object(members)) => members.remove(last).is_some(),
        // those behind it stay in their places
        Some(Value::Array(elements)) => {
            let found = last.parse::<usize>().ok().filter(|i| i + 1 == elements.len());
            found.and_then(|_| elements.pop()).is_some()
        }
        _ => false,
    }
}

/// Reports an error of the reader. Gives the way to what it is about.
fn fault(error: serde_path_to_error::Error<serde_json::Error>, place: &Place, findings: &mut Findings) -> Vec<String> {
    let mut steps: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(key.clone()),
            serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
            _ => None,
        })
        .collect();
    let inner = error.into_inner().to_string();
    // the path of an unknown member ends at the mapping that it is in
    let unknown = inner.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    if let Some(unknown) = unknown.filter(|unknown| steps.last().is_none_or(|last| last != unknown)) {
        steps.push(unknown.to_owned());
    }
    let near = match unknown {
        Some("path" | "method" | "methods" | "url" | "uri") if inner.contains("`match`") => {
            "; the methods and the path of a route are its `match`, such as `match: GET /devices/{id}`".to_owned()
        }
        _ => hint_of_reader(&inner),
    };
    let message = inner.replace("unknown field", "unknown key").replace("expected one of", "there are") + &near;
    let shown = steps.join(".");
    let message = if shown.is_empty() || message.contains(&format!("`{shown}`")) {
        message
    } else {
        format!("`{shown}`: {message}")
    };
    let way: Vec<&str> = steps.iter().map(String::as_str).collect();
    findings.errors.push(place.at(&way).error(message));
    steps
}

/// Checks what a file says of all its routes.
pub(super) fn head(file: RawFile, place: &Place, findings: &mut Findings) -> Arc<Head> {
    let mut hosts = Vec::new();
    // what a file of routes means without saying so, and what a document must say
    let all = file.hosts.0 == ["*"];
    for host in file.hosts.0.into_iter().filter(|_| !all) {
        let name = host.strip_prefix("*.").unwrap_or(&host);
        if normal_host(name).as_deref() == Some(name) {
            hosts.push(host);
        } else {
            let help = "write it in lower case without a port, or as `*.example.com`";
            findings.errors.push(place.at(&["hosts"]).error(format!("`{host}` is not a host")).help(help));
        }
    }
    let mut prefixes = Vec::new();
    for prefix in file.prefix.0 {
        if prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['{', '}'])) {
            prefixes.push(prefix);
        } else {
            let message = format!(
                "`{prefix}` is not a prefix: a prefix begins with `/`, does not end with one, and has no captures"
            );
            findings.errors.push(place.at(&["prefix"]).error(message));
        }
    }
    if prefixes.is_empty() {
        prefixes.push(String::new());
    }
    if let Some(namespace) = &file.namespace
        && !is_type_name(namespace)
    {
        findings.errors.push(place.at(&["namespace"]).error(format!("`{namespace}` is not a namespace")));
    }
    let credential = file.credential.map(|raw| Arc::new(credential(raw, &place.at(&["credential"]), findings)));
    Arc::new(Head {
        namespace: file.namespace,
        hosts: hosts.into(),
        prefixes,
        credential,
        service: Arc::new(file.service),
        defaults: file.defaults,
        place: place.clone(),
    })
}

/// Checks where a credential is said to be.
fn credential(raw: RawCredential, place: &Place, findings: &mut Findings) -> Credential {
    let header = raw.header.to_ascii_lowercase();
    let mut error = |at: &str, message: String| findings.errors.push(place.at(&[at]).error(message));
    if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        error("header", format!("`{header}` is not a header"));
    }
    let schemes = match (&raw.name, raw.scheme) {
        // what a cookie holds stands there alone
        (Some(_), None) => vec![String::new()],
        (Some(_), Some(_)) => {
            error("scheme", "a cookie holds the credential alone: leave `scheme` out".to_owned());
            Vec::new()
        }
        (None, scheme) => scheme.map_or_else(|| vec!["Bearer".to_owned()], |scheme| scheme.0),
    };
    match (&raw.name, header == "cookie") {
        (None, true) => error("header", "`cookie` holds many: say under `name` which one is the credential".to_owned()),
        (Some(_), false) => error("name", "`name` is for `header: cookie` alone".to_owned()),
        // RFC 6265: a token
        (Some(name), true)
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) =>
        {
            error("name", format!("`{name}` is not the name of a cookie"));
        }
        _ => {}
    }
    Credential { header, cookie: raw.name, schemes }
}
