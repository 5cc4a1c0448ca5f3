//! Where the client itself says which service gets a request.

use crate::gateway::lint::caddy::sites::Sites;
use crate::gateway::lint::caddy::{check, rest};
use crate::gateway::lint::directive::Directive;
use crate::gateway::lint::report::Report;

/// Placeholders that hold what a client wrote, because `vars` or `map` puts it there.
pub(super) fn written(sites: &Sites) -> Vec<String> {
    let mut written = Vec::new();
    let mut var = |words: &[String]| {
        if let [name, value, ..] = words
            && of_client(value, &[])
        {
            written.extend([format!("{{vars.{name}}}"), format!("{{http.vars.{name}}}")]);
        }
    };
    for line in sites.all("vars") {
        var(rest(line));
        line.body().iter().for_each(|inner| var(&inner.words));
    }
    for map in sites.all("map") {
        let given = |line: &Directive| line.arguments().iter().any(|value| of_client(value, &[]));
        if map.body().iter().any(given) {
            written.extend(rest(map).iter().skip(1).cloned());
        }
    }
    written
}

/// Whether a value holds what a client writes, beside `Host`.
pub(super) fn of_client(value: &str, written: &[String]) -> bool {
    let reads = ["header.", "query", "cookie"].iter().any(|part| value.contains(part)) && value.contains('{');
    (reads && !value.to_ascii_lowercase().contains("header.host}")) || written.iter().any(|name| value.contains(name))
}

/// What a `reverse_proxy` passes requests on to, where a client names it.
pub(super) fn upstreams(proxy: &Directive, written: &[String], report: &mut Report<'_>) {
    let dynamic = proxy.body().iter().filter(|line| line.name() == "dynamic");
    let inner =
        dynamic.flat_map(|line| line.arguments().iter().chain(line.body().iter().flat_map(Directive::arguments)));
    let named = check::upstreams(proxy).into_iter().chain(inner.map(String::as_str));
    if named.into_iter().any(|to| of_client(to, written)) {
        report.warn(
            "caddy-override-set",
            proxy.at,
            "the client says which service gets the request, and the sidecar went by the host",
            "name the services here, or let `map` choose among those that it lists",
        );
    }
}
