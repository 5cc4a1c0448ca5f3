//! Which headers of a request the sidecar decides by, and must see as the service gets them: used for every gateway.

use crate::{IDENTITY, is_identity};
use palisade_routes::overrides::{self, Asks, asks};
use palisade_routes::{forwarded, same_name};

/// Headers that say who asks.
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Headers that the sidecar reads to refuse a request besides: a form, an upgrade.
const READ: [&str; 3] = ["content-type", "content-encoding", "upgrade"];

/// One that every gateway writes itself for its service, or that is looked at where it does not.
const WRITTEN: &str = "x-forwarded-proto";

/// Parameters of FastCGI and its kin of which services put the URL of a request together.
pub(super) const URL: &[&str] = &[
    "DOCUMENT_URI",
    "HTTPS",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
];

/// Whether a header with this value names the host to a service.
pub(super) fn names_host(header: &str, value: &str) -> bool {
    match asks(header) {
        _ if same_name(header, "host") => true,
        Some(Asks::Host) => !same_name(header, "forwarded") || value.to_ascii_lowercase().contains("host="),
        _ => false,
    }
}

/// Whether a header says who asks.
pub(super) fn is_credential(header: &str) -> bool {
    CREDENTIALS.iter().any(|name| header.eq_ignore_ascii_case(name))
}

/// Whether services take another method, path or host by a header, or run another page's function. A part of a URL may be
/// the gateway's own.
pub(super) fn is_override(header: &str) -> bool {
    asks(header).is_some_and(|asks| asks != Asks::Url)
}

/// Headers of paths that say where a service is mounted, or how it gives out files, and two whose names parameters of FastCGI
/// have. A fixed value is the author's own.
const MOUNTS: &[&str] = &[
    "daphne-root-path",
    "path-info",
    "script-name",
    "x-accel-mapping",
    "x-forwarded-script-name",
    "x-script-name",
    "x-sendfile-type",
    "x-traversal-path",
    "x-vhm-root",
];

/// Whether a header says where a service is mounted, or its like.
pub(super) fn is_mount(header: &str) -> bool {
    MOUNTS.iter().any(|name| same_name(header, name))
}

/// Whether a value is a path of the gateway's own, or begins as one: no variable of a gateway begins with `/`, and of a URL
/// with a variable the path may be that of the request.
fn is_fixed(value: &str) -> bool {
    value.starts_with('/') || !value.contains(['$', '%', '{', '\\'])
}

/// Whether writing this into the request makes the service take another one than was checked. A fixed host or part of a URL
/// is the author's own; a method, a function and a fixed path never are the client's.
pub(super) fn overrides(header: &str, value: &str, from_client: bool) -> bool {
    !value.is_empty()
        && match asks(header) {
            Some(Asks::Method | Asks::Function) => true,
            Some(Asks::Path | Asks::Target) if is_fixed(value) && !is_mount(header) => true,
            Some(Asks::Path | Asks::Target | Asks::Host | Asks::Server | Asks::Url) => from_client,
            None => false,
        }
}

/// Whether a header may be written from another one that the sidecar sees, and refuses for the same: both name the scheme
/// of a URL, or both its port.
pub(super) fn is_held_to_the_same(header: &str, read: &str) -> bool {
    forwarded::part(header).is_some_and(|part| forwarded::part(read) == Some(part))
}

/// Whether services take a path by a header, or the whole target.
pub(super) fn is_path(header: &str) -> bool {
    matches!(asks(header), Some(Asks::Path | Asks::Target))
}

/// Every header by which services take another request.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    overrides::headers().map(|(name, _)| name)
}

/// Headers that say what a body is and where it ends.
pub(super) const BODY: [&str; 4] = ["content-type", "content-encoding", "content-length", "transfer-encoding"];

/// What helps where one of these is changed.
pub(super) const BODY_HELP: &str = "leave it out, so that the sidecar and the service get the client's own";

/// Whether a header says how a body is read.
pub(super) fn is_of_body(header: &str) -> bool {
    BODY.iter().any(|name| same_name(header, name))
}

/// What is said where one is changed behind the check.
pub(super) fn body_changed(name: &str) -> String {
    format!("`{name}` is changed behind the check: the service reads the body otherwise than the sidecar did")
}

/// What is said where the body itself is.
pub(super) const BODY_REPLACED: &str =
    "the body is replaced behind the check: the service reads another one than the client sent with what was checked";

/// Whether the sidecar must see a header where the service does. It never reads the exact names of its own headers.
pub(super) fn must_be_seen(header: &str) -> bool {
    let own = IDENTITY.iter().any(|name| header.eq_ignore_ascii_case(name));
    let read = READ.iter().any(|name| header.eq_ignore_ascii_case(name));
    let asks = asks(header).is_some() && !same_name(header, WRITTEN);
    (is_identity(header) && !own) || asks || is_credential(header) || read
}

/// A header that must be seen and that a pattern takes away, if there is one. Of twins of the sidecar's own headers two
/// spellings stand for all.
pub(super) fn hidden_by(matches: &dyn Fn(&str) -> bool) -> Option<String> {
    let twins = IDENTITY
        .iter()
        .flat_map(|name| ['.', '_'].map(|mark| name.to_ascii_lowercase().replace('-', &mark.to_string())));
    let names = known().filter(|name| *name != WRITTEN).chain(CREDENTIALS).chain(READ).map(str::to_owned);
    names.chain(twins).find(|name| matches(name))
}

/// Whether a header that says who asks is given a text of the gateway's own: every caller is that one then.
pub(super) fn names_caller(header: &str, value: &str, variables: &[char]) -> bool {
    is_credential(header) && !value.is_empty() && !value.contains(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sidecar_decides_by_must_be_seen() {
        let names = ["X_Palisade_Principal", "x.palisade.token", "X-HTTP-Method-Override", "x.original.url", "Cookie"];
        for name in names.into_iter().chain(known().filter(|name| *name != WRITTEN)) {
            assert!(must_be_seen(name), "{name}");
            assert!(hidden_by(&|known| same_name(known, &name.to_ascii_lowercase())).is_some(), "{name}");
        }
        for name in ["X-Palisade-Principal", "X-Request-ID", "X-Original-Method", "Connection", "Content-Length"] {
            assert!(!must_be_seen(name), "{name}");
            assert!(hidden_by(&|known| known.eq_ignore_ascii_case(name)).is_none(), "{name}");
        }
    }

    #[test]
    fn what_the_gateway_writes_is_weighed() {
        assert!(overrides("X-HTTP-Method-Override", "DELETE", false));
        assert!(!overrides("X-HTTP-Method-Override", "", true));
        assert!(overrides("X-Original-URL", "$arg_u", true));
        assert!(overrides("Next-Action", "7f", false));
        assert!(overrides("X-Request-URI", "$arg_u", true));
        assert!(!overrides("X-Request-URI", "$request_uri", false));
        assert!(overrides("X-Request-URI", "/x$request_uri", false));
        assert!(overrides("X_Original_URL", "https://app.test/x", false));
        assert!(!overrides("X-Original-URL", "https://%[req.hdr(host)]%[pathq]", false));
        assert!(!overrides("X-Accel-Mapping", "/srv/=/files/", false));
        assert!(!overrides("X-Script-Name", "/app", false));
        assert!(overrides("X-Script-Name", "$arg_a", true));
        assert!(!overrides("X-Forwarded-Host", "app.test", false));
        assert!(overrides("X-Forwarded-Proto", "$arg_p", true));
        assert!(!overrides("X-Forwarded-Prefix", "/api", false));
        assert!(!overrides("X-User", "$arg_u", true));
        assert!(is_held_to_the_same("X-Forwarded-Proto", "x_scheme"));
        assert!(!is_held_to_the_same("X-Forwarded-Port", "X-Scheme"));
        assert!(!is_held_to_the_same("X-Forwarded-Host", "X-Forwarded-Host"));
        assert!(names_caller("Authorization", "Bearer abc", &['$']));
        assert!(!names_caller("Authorization", "Bearer $cookie_token", &['$']));
    }
}
