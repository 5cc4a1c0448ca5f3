//! Traefik with `forwardAuth`.

use crate::gateway::lint::File;

pub(super) fn lint(file: &mut File<'_>) {
    let Some(check) = file.find("forwardAuth") else {
        file.warn(
            None,
            "there is no `forwardAuth`, so nothing asks the sidecar",
            "add a middleware with `forwardAuth` to every router",
        );
        return;
    };
    for (line, text) in file.lines().collect::<Vec<_>>() {
        if text.contains("trustForwardHeader") && text.contains("true") {
            file.warn(
                Some(line),
                "what a client says in `X-Forwarded-*` may be passed to the sidecar",
                "set `trustForwardHeader: false`",
            );
        }
        if text.contains("insecure: true") || text.contains("insecure = true") {
            file.warn(
                Some(line),
                "the entry point believes anybody's `X-Forwarded-*`",
                "list the proxies in front in `trustedIPs`",
            );
        }
        if text.contains("authResponseHeadersRegex") {
            file.warn(
                Some(line),
                "a pattern takes more headers from the sidecar than the service expects",
                "list them in `authResponseHeaders`",
            );
        }
        if ["stripPrefix", "replacePath", "addPrefix"].iter().any(|word| text.contains(word)) {
            file.warn(
                Some(line),
                "the path is rewritten; before the check, the sidecar sees the rewritten one",
                "put the check first in the router's `middlewares`, and write routes for what the client sends",
            );
        }
        if text.contains("rule:") && text.contains("service:") && !text.contains("middlewares:") {
            file.warn(
                Some(line),
                "this router has no middleware, so its requests are not checked",
                "add the check to its `middlewares`",
            );
        }
    }
    if !file.has("authResponseHeaders") {
        file.warn(
            Some(check),
            "identity headers of the sidecar do not reach the service, and the client's own do",
            "list them in `authResponseHeaders`",
        );
    }
    if file.has("authRequestHeaders") {
        file.warn(
            file.find("authRequestHeaders"),
            "the sidecar refuses twins of its own headers (`X_Palisade_Principal`) only where it sees them",
            "leave `authRequestHeaders` out, so that it sees all headers",
        );
    }
    if file.has("forwardBody") && !file.has("preserveRequestMethod") {
        file.warn(
            file.find("forwardBody"),
            "the check is a `GET` with a body, which whatever stands in between may drop",
            "set `preserveRequestMethod: true`",
        );
    }
    if file.has("forwardBody") && !file.has("maxBodySize") {
        file.warn(
            file.find("forwardBody"),
            "bodies of any size are kept in memory for the check",
            "set `maxBodySize`; a larger one is answered with 401",
        );
    }
}
