//! Answers of services that nginx keeps: one that is for one caller must not be given to another.

use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::Block;
use crate::nginx::target::variables;
use crate::nginx::value::{is_of_sidecar, reads};
use crate::report::Report;

/// What `proxy_cache` goes by where no `proxy_cache_key` is set.
const DEFAULT: &str = "$scheme$proxy_host$request_uri";

/// A location that passes requests on.
pub(super) fn lint(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    if block.asks().is_none() {
        return;
    }
    let kind = pass.name().trim_end_matches("pass");
    let on = |what: &str| block.nearest(&format!("{kind}{what}")).filter(|line| line.argument(1) != "off");
    if let Some(cache) = on("cache") {
        let key = on("cache_key").map_or(DEFAULT, |key| key.argument(1));
        let apart = ["no_cache", "cache_bypass"].iter().all(|what| {
            let conditions = on(what).map(Directive::arguments).unwrap_or_default();
            conditions.iter().any(|value| names_caller(value, true, block, known))
        });
        shared(cache, key, apart, block, known, report);
    }
    if let Some(store) = on("store") {
        shared(store, store.argument(1), false, block, known, report);
    }
}

/// Reports what is kept under a key without the host, or without the caller unless those that name themselves are kept
/// `apart`.
fn shared(line: &Directive, key: &str, apart: bool, block: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let host = reads(key, &|name| matches!(name, "host" | "http_host" | "server_name"), block, known);
    let what = match (host, apart || names_caller(key, false, block, known)) {
        (true, true) => return,
        (false, true) => "the host",
        (true, false) => "the caller",
        (false, false) => "the host or the caller",
    };
    let name = line.name();
    let help = if name.ends_with("store") {
        format!("leave `{name}` out, or put `$host` and `$http_authorization` into its path")
    } else {
        format!(
            "set `{name}_key $scheme$host$request_uri$http_authorization$http_cookie;`, or set it `off` here and keep only \
             what is open to all"
        )
    };
    let message =
        format!("what one caller got is given to others: nothing of {what} is in the key by which answers are kept");
    report.warn("nginx-cache-shared", line.at, &message, &help);
}

/// Whether a value is another one for another caller. For a condition what a `map` or an `if` makes of a caller is as good.
fn names_caller(value: &str, condition: bool, block: &Block<'_>, known: &Known<'_>) -> bool {
    let sets = block.all("auth_request_set");
    let of_caller = |name: &str| {
        let header = name.strip_prefix("http_").is_some_and(|header| {
            header == "cookie" || ["auth", "token", "key", "session"].iter().any(|part| header.contains(part))
        });
        let said = |set: &&Directive| {
            set.argument(1).trim_start_matches('$') == name
                && is_of_sidecar(set)
                && !variables(set.argument(2)).any(|from| from.ends_with("auth_method"))
        };
        header
            || name == "remote_user"
            || ["cookie_", "ssl_client_", "jwt_"].iter().any(|start| name.starts_with(start))
            || sets.iter().any(said)
    };
    let read = |word: &str| reads(word, &of_caller, block, known);
    let mapped = |name: &str| {
        let sets = |line: &Directive| line.name() == "set" && line.argument(1).trim_start_matches('$') == name;
        let asked = |line: &Directive| line.body().iter().any(sets) && line.arguments().iter().any(|word| read(word));
        known.maps(name).iter().any(|map| read(map.argument(1))) || block.conditions().any(asked)
    };
    reads(value, &|name| of_caller(name) || (condition && mapped(name)), block, known)
}
