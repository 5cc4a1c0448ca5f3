//! The formats of headers that Envoy writes: whose word a value is.

use crate::headers::is_held_to_the_same;

/// Commands that hold nothing of what a client writes, by what their names begin with. Every other one may.
const OWN: &[&str] = &[
    "CLUSTER_",
    "CONNECTION_ID",
    "DOWNSTREAM_DIRECT_",
    "DOWNSTREAM_LOCAL_",
    "DOWNSTREAM_REMOTE_",
    "DOWNSTREAM_TLS_",
    "DOWNSTREAM_TRANSPORT_",
    "EMIT_TIME",
    "ENVIRONMENT",
    "HOSTNAME",
    "PROTOCOL",
    "ROUTE_NAME",
    "START_TIME",
    "STREAM_ID",
    "UNIQUE_ID",
    "UPSTREAM_",
    "VIRTUAL_CLUSTER_NAME",
    "VIRTUAL_HOST_NAME",
];

/// Metadata that the author of a configuration writes.
const WRITTEN: &[&str] = &["CLUSTER", "LISTENER", "ROUTE", "UPSTREAM_HOST", "VIRTUAL_HOST"];

/// Whether a client may write a part of the value that a header gets. What the sidecar checked is no word of the client's
/// where it names the same.
pub(super) fn of_client(header: &str, value: &str) -> bool {
    let host = header.to_ascii_lowercase().contains("host");
    let checked = |read: &str| match read.trim().to_ascii_lowercase().as_str() {
        ":authority" | "host" | ":scheme" | ":method" => true,
        ":path" => !host,
        read => is_held_to_the_same(header, read),
    };
    commands(value).any(|(name, argument)| match name {
        "REQ" | "REQUEST_HEADER" => !argument.split('?').all(checked),
        "PATH" => host,
        "METADATA" => !WRITTEN.contains(&argument.split(':').next().unwrap_or_default()),
        name => !OWN.iter().any(|own| name.starts_with(own)),
    })
}

/// Whether a client may write a part of a value by which a destination is chosen. Here the host and the path count too:
/// that they were checked says nothing of where they lead.
pub(super) fn is_of_client(value: &str) -> bool {
    commands(value).any(|(name, argument)| match name {
        "METADATA" => !WRITTEN.contains(&argument.split(':').next().unwrap_or_default()),
        name => !OWN.iter().any(|own| name.starts_with(own)),
    })
}

/// The commands in a format, each with its argument; `%%` is a sign and no command.
fn commands(format: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = format;
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = rest.split_once('%')?;
            if let Some(literal) = behind.strip_prefix('%') {
                rest = literal;
                continue;
            }
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
            let (name, more) = behind.split_at(end);
            let (argument, more) = match more.strip_prefix('(') {
                Some(inner) => inner.split_once(')').unwrap_or((inner, "")),
                None => ("", more),
            };
            // a length may stand in front of the end
            rest = more.split_once('%').map_or("", |(_, rest)| rest);
            return Some((name, argument));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_where_a_connection_leads() {
        for (value, expected) in [
            ("%REQ(x-dest)%", true),
            ("%REQ(:authority)%", true),
            ("%PATH(NQ)%:80", true),
            ("%REQUESTED_SERVER_NAME%", true),
            ("%DYNAMIC_METADATA(a:b)%", true),
            ("%FILTER_STATE(a:PLAIN)%", true),
            ("%METADATA(ROUTE:a:b)%", false),
            ("%DOWNSTREAM_LOCAL_ADDRESS%", false),
            ("%ENVIRONMENT(X)%:80", false),
            ("10.0.0.1:80", false),
            ("%%REQ(x-dest)%%", false),
        ] {
            assert_eq!(is_of_client(value), expected, "{value}");
        }
    }

    #[test]
    fn whose_word_a_value_is() {
        for (header, value, expected) in [
            ("x-forwarded-host", "%REQ(x-foo)%", true),
            ("x-forwarded-host", "%REQUEST_HEADER(x-foo):80%", true),
            ("x-forwarded-host", "a-%QUERY_PARAM(m)%", true),
            ("x-forwarded-host", "%REQ(x-foo?:authority)%", true),
            ("x-forwarded-host", "%REQ(:AUTHORITY)%", false),
            ("x-forwarded-host", "%REQ(:path)%", true),
            ("x-forwarded-host", "%REQUESTED_SERVER_NAME%", true),
            ("x-forwarded-host", "%DYNAMIC_METADATA(a:b)%", true),
            ("x-forwarded-host", "%METADATA(ROUTE:a:b)%", false),
            ("x-forwarded-host", "%DOWNSTREAM_LOCAL_ADDRESS%:%PROTOCOL%", false),
            ("x-forwarded-host", "%%REQ(x-foo)%%", false),
            ("x-forwarded-host", "app.test", false),
            ("x-original-url", "%REQ(:PATH)%", false),
            ("x-original-url", "%PATH(WQ)%", false),
            ("x-forwarded-proto", "%REQ(x-forwarded-proto)%", false),
            ("x-forwarded-proto", "%REQ(x-foo)%", true),
            ("x-forwarded-proto", "%REQ(x-foo", true),
        ] {
            assert_eq!(of_client(header, value), expected, "{header}: {value}");
        }
    }
}
