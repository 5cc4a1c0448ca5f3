//! Caddy with `forward_auth`.

use crate::gateway::lint::File;

pub(super) fn lint(file: &mut File<'_>) {
    let Some(check) = file.find("forward_auth") else {
        file.warn(
            None,
            "there is no `forward_auth`, so nothing asks the sidecar",
            "add `forward_auth` in front of `reverse_proxy`",
        );
        return;
    };
    let lines: Vec<_> = file.lines().collect();
    match lines.iter().find(|(at, line)| *at > check && line.starts_with("uri ")) {
        Some((at, line)) if !line.ends_with('?') => {
            file.warn(
                Some(*at),
                "the client's query is appended to the sidecar's URI",
                "end the URI with `?`: `uri /gateway/forward?`",
            );
        }
        Some(_) => {}
        None => file.warn(Some(check), "the sidecar is asked at the client's own path", "set `uri /gateway/forward?`"),
    }
    if !file.has("response_header_timeout") || !file.has("dial_timeout") {
        file.warn(
            Some(check),
            "a sidecar that hangs holds every request for ever",
            "set `dial_timeout 500ms` and `response_header_timeout 1s` in `transport http`",
        );
    }
    let copied = lines.iter().filter_map(|(at, line)| line.strip_prefix("copy_headers ").map(|names| (*at, names)));
    let mut any = false;
    for (at, names) in copied {
        for name in names.split_whitespace().filter(|name| !matches!(*name, "{" | "}")) {
            any = true;
            let name = name.split('>').next_back().unwrap_or(name);
            let removed = lines.iter().any(|(_, line)| {
                line.strip_prefix("request_header -").is_some_and(|r| r.trim().eq_ignore_ascii_case(name))
            });
            if !removed {
                file.warn(
                    Some(at),
                    &format!("Caddy 2.10.0 to 2.11.1 pass the client's own `{name}` on where the sidecar gives none"),
                    &format!("add `request_header -{name}` before `forward_auth`, inside a `route`"),
                );
            }
        }
    }
    if !any {
        file.warn(
            Some(check),
            "identity headers of the sidecar do not reach the service, and the client's own do",
            "list them in `copy_headers`",
        );
    }
    if !lines.iter().any(|(_, line)| *line == "route {" || line.starts_with("route ")) {
        file.warn(
            Some(check),
            "outside of a `route` block directives are sorted, so headers are removed after the check",
            "put them and `reverse_proxy` into `route { ... }`",
        );
    }
    for (at, line) in &lines {
        if line.starts_with("handle_path")
            || line.starts_with("uri strip_prefix")
            || line.starts_with("rewrite ")
            || line.starts_with("uri replace")
        {
            file.warn(
                Some(*at),
                "the path is rewritten, so the sidecar and the service may see different ones",
                "rewrite after the check if at all, and write routes for what the client sends",
            );
        }
    }
}
