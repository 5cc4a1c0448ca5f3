//! HAProxy with Lua or SPOE.

use crate::gateway::lint::File;

pub(super) fn lint(file: &mut File<'_>) {
    let check = ["http-request lua.", "send-spoe-group"].iter().find_map(|word| file.find(word));
    let Some(check) = check else {
        file.warn(None, "nothing asks the sidecar", "add `http-request lua.palisade` or a SPOE group");
        return;
    };
    let lines: Vec<_> = file.lines().collect();
    let denies = lines.iter().any(|(at, line)| {
        *at > check
            && line.contains("http-request deny")
            && (line.contains("unless") || line.contains("if !") || line.contains("if  !"))
    });
    if !denies {
        file.warn(
            Some(check),
            "nothing denies when the check failed or did not run: the request passes",
            "add `http-request deny deny_status 503 unless { var(txn.palisade_allowed) -m bool }` after it",
        );
    }
    for (at, line) in &lines {
        if line.contains("lua.auth-intercept") || line.contains("lua.auth-request") {
            let arguments: Vec<&str> = line.split_whitespace().skip_while(|word| !word.starts_with("lua.")).collect();
            if arguments.iter().skip(1).any(|word| *word == "*") {
                file.warn(
                    Some(*at),
                    "`*` copies `Transfer-Encoding` to the check, and a chunked request hangs it",
                    "list the headers that the sidecar needs",
                );
            }
        }
        if line.contains("set-path")
            || line.contains("replace-path")
            || line.contains("set-uri")
            || line.contains("normalize-uri")
        {
            file.warn(
                Some(*at),
                "the path is rewritten, so the sidecar and the service may see different ones",
                "rewrite in front of the check, and write routes for the result",
            );
        }
        if line.starts_with("use_backend") && *at < check {
            file.warn(
                Some(*at),
                "a backend that is chosen before the check",
                "see that the check stands in front of every way to a backend",
            );
        }
    }
    // a script of one's own removes them itself
    let own = !["lua.auth-intercept", "lua.auth-request", "send-spoe-group"].iter().any(|word| file.has(word));
    if !own && !lines.iter().any(|(_, line)| line.contains("http-request del-header")) {
        file.warn(
            Some(check),
            "identity headers that a client makes up reach the service",
            "add `http-request del-header X-User` for each before the check",
        );
    }
    if file.has("send-spoe-group") && !file.has("option set-on-error") && !file.has("filter spoe") {
        file.warn(Some(check), "an error of the agent sets nothing", "set `option set-on-error` in the agent");
    }
    for timeout in ["timeout connect", "timeout client", "timeout server"] {
        if !file.has(timeout) {
            file.warn(None, &format!("there is no `{timeout}`"), "set it in `defaults`");
        }
    }
}
