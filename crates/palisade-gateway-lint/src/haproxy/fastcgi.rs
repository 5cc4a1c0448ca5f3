//! `fcgi-app`: the parameters that a service over FastCGI gets beside the headers of a request, or in their place.

use crate::haproxy::chosen::{Written, of_client_in};
use crate::haproxy::host;
use crate::haproxy::sections::{Config, Line, Section};
use crate::headers::{URL, body_changed, is_of_body, names_host, overrides};
use crate::report::Report;
use crate::{PROGRAM, PROGRAM_HELP, is_identity, is_listed};

/// What says how to speak with a service, and nothing of requests.
const KNOWN: &str = "acl docroot index log-stderr option pass-header path-info";

/// What the parameters that name a target are from the start.
const TARGETS: &[(&str, &str)] = &[("QUERY_STRING", "%[query]"), ("REQUEST_URI", "%[pathq] %[url]")];

/// What makes another text of a path.
const CHANGES: &[&str] = &["url_dec", "regsub(", "field(", "word(", "sub(", "bytes(", "lower", "upper", "json"];

/// The application that a section passes requests on to, if it does.
pub(super) fn lint(config: &Config, section: &Section, written: &Written, report: &mut Report<'_>) {
    let Some(used) = config.nearest(section, &["use-fcgi-app"]) else { return };
    let name = used.words.get(1).map_or("", String::as_str);
    let Some(app) = config.sections.iter().find(|app| app.kind == "fcgi-app" && app.name == name) else {
        report.not_checked(
            used.at,
            &format!("`fcgi-app {name}` is not among these files"),
            "name the file that has it too: it says which parameters the service gets",
        );
        return;
    };
    for line in &app.lines {
        match line.words.first().map_or("", String::as_str) {
            "set-param" => parameter(line, written, report),
            // `no` stands before an option
            "no" => {}
            word if is_listed(KNOWN, word) => {}
            word => report.not_checked(
                line.at,
                &format!("what `{word}` does with requests is not known here"),
                PROGRAM_HELP,
            ),
        }
    }
}

/// A parameter that is set, after those that HAProxy makes of the request: the service gets both, or this one.
fn parameter(line: &Line, written: &Written, report: &mut Report<'_>) {
    let word = |at: usize| line.words.get(at).map_or("", String::as_str);
    let (name, value) = (word(1), word(2));
    let header = name.strip_prefix("HTTP_").unwrap_or(name);
    let of_client = of_client_in(header, value, written);
    let own = format!("hdr({})", header.to_ascii_lowercase().replace('_', "-"));
    let (rule, message) = if value.contains("lua.") {
        report.not_checked(line.at, PROGRAM, PROGRAM_HELP);
        return;
    } else if is_of_body(header) {
        if !value.to_ascii_lowercase().contains(&own) {
            report.warn("haproxy-content-type-changed", line.at, &body_changed(name), "leave it out");
        }
        return;
    } else if is_identity(header) {
        // what an agent of SPOE said of the caller is in a variable
        if value.contains("var(") && !of_client {
            return;
        }
        ("haproxy-identity-set", "is set behind the check, and not by the sidecar")
    } else if name == "REQUEST_METHOD" {
        if value == "%[method]" {
            return;
        }
        ("haproxy-method-changed", "is set, and the service gets another method than was checked")
    } else if let Some((_, own)) = TARGETS.iter().find(|(known, _)| *known == name) {
        if is_listed(own, value) {
            return;
        }
        ("haproxy-path-rewritten", "is set, and the service gets another target than was checked")
    } else if URL.contains(&name) && CHANGES.iter().any(|change| value.contains(&format!(",{change}"))) {
        ("haproxy-path-rewritten", "is made of the path, and the service gets another one than was checked")
    } else if overrides(header, value, of_client) || (of_client && URL.contains(&name)) {
        ("haproxy-override-set", "is set behind the check: some services take another request by it than was checked")
    } else if of_client && name == "HTTP_HOST" {
        ("haproxy-override-set", "is what the client says in another place than `Host`, and another host was checked")
    } else if name.starts_with("HTTP_") && names_host(header, value) && !value.contains("var(") && !host::follows(value)
    {
        host::changed(line.at, name, report);
        return;
    } else {
        return;
    };
    report.warn(rule, line.at, &format!("`{name}` {message}"), "leave it out");
}
