//! What of a request a client writes, in the expressions and formats of Apache.

use crate::apache::hosts::{Found, Host};
use crate::directive::Directive;
use crate::headers::is_held_to_the_same;

/// What reads a header, up to its name.
const HEADERS: &[&str] = &["%{HTTP:", "%{HTTP_", "%{req:", "%{http:", "%{req_novary:", "req(", "http(", "req_novary("];

/// What reads the rest of what a client wrote.
const OTHERS: &[&str] = &["QUERY_STRING", "THE_REQUEST", "%{SSL:SSL_TLS_SNI", "%{SSL_TLS_SNI"];

/// What `SetEnvIf` looks at that is no header.
const NO_HEADERS: &[&str] =
    &["remote_host", "remote_addr", "server_addr", "request_method", "request_protocol", "request_uri", "host"];

/// What of these a client writes too. The sidecar sees it, and not that it names a service.
const LINE: &[&str] = &["request_method", "request_protocol", "request_uri"];

/// Variables of the environment that hold what a client wrote, each with the header that it is from, if it is from one.
#[derive(Default)]
pub(super) struct Written {
    variables: Vec<(String, Option<String>)>,
    /// Those that hold a part of the request line.
    of_line: Vec<String>,
}

// === impl Written ===

impl Written {
    pub(super) fn read(hosts: &[Host<'_>]) -> Self {
        let mut written = Self::default();
        for Found { directive: line, conditions, .. } in hosts.iter().flat_map(Host::all) {
            match line.name() {
                "setenvif" | "setenvifnocase" => {
                    let header = line.argument(1).to_ascii_lowercase();
                    let names = assignments(line, 3).filter(|(_, value)| value.contains('$'));
                    if LINE.contains(&header.as_str()) {
                        written.of_line.extend(names.map(|(name, _)| name.to_owned()));
                    } else if !NO_HEADERS.contains(&header.as_str()) {
                        written.variables.extend(names.map(|(name, _)| (name.to_owned(), Some(header.clone()))));
                    }
                }
                "setenvifexpr" if reads(line.argument(1), &Self::default(), &|_| false) => {
                    for (name, _) in assignments(line, 2).filter(|(_, value)| value.contains('$')) {
                        written.variables.push((name.to_owned(), None));
                    }
                }
                "rewriterule" => {
                    let flags = line.argument(3).trim_matches(['[', ']']).split(',');
                    for (name, value) in flags.filter_map(|flag| flag.trim().split_once('=')?.1.split_once(':')) {
                        let none = Self::default();
                        if reads(value, &none, &|_| false) || captured(value, conditions, &none) {
                            written.variables.push((name.to_owned(), None));
                        } else if has_number(value, '$') {
                            written.of_line.push(name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        written
    }
}

/// The `NAME=value` of a line, from an argument on.
pub(super) fn assignments(line: &Directive, from: usize) -> impl Iterator<Item = (&str, &str)> {
    line.words.iter().skip(from).filter_map(|word| word.split_once('='))
}

/// Whether a value holds what a client writes, beside `Host`.
pub(super) fn of_client(value: &str, written: &Written) -> bool {
    reads(value, written, &|_| false)
}

/// Whether what names a service holds what a client writes: in a header, or in the request line.
pub(super) fn names_service(service: &str, interpolated: bool, written: &Written) -> bool {
    let of_line = written.of_line.iter();
    let named = |name: &str| {
        (interpolated && service.contains(&format!("${{{name}}}")))
            || forms(name).iter().any(|form| service.contains(form))
    };
    of_client(service, written)
        || has_number(service, '$')
        || of_line.chain(written.variables.iter().map(|(name, _)| name)).any(|name| named(name))
}

/// Whether a text holds what a pattern found, as `$1`.
fn has_number(text: &str, mark: char) -> bool {
    text.match_indices(mark).any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

/// How a variable of the environment is written in a value.
fn forms(name: &str) -> [String; 5] {
    [
        format!("%{{ENV:{name}}}"),
        format!("%{{env:{name}}}"),
        format!("%{{reqenv:{name}}}"),
        format!("%{{{name}}}e"),
        format!("env('{name}')"),
    ]
}

/// Whether a client may write a part of the value that a header gets, and the sidecar does not see it there.
pub(super) fn of_client_in(header: &str, value: &str, written: &Written) -> bool {
    reads(value, written, &|read| is_held_to_the_same(header, read))
}

fn reads(value: &str, written: &Written, seen: &dyn Fn(&str) -> bool) -> bool {
    let named = |start: &str| {
        value.match_indices(start).any(|(at, _)| {
            let rest = value[at + start.len()..].trim_start_matches(['\'', '"', ' ']);
            let name = rest.split(['}', ')', '\'', '"']).next().unwrap_or_default();
            !name.eq_ignore_ascii_case("host") && !seen(name)
        })
    };
    let variable = |(name, header): &(String, Option<String>)| {
        forms(name).iter().any(|form| value.contains(form)) && !header.as_deref().is_some_and(seen)
    };
    HEADERS.iter().any(|start| named(start))
        || OTHERS.iter().any(|other| value.contains(other))
        || written.variables.iter().any(variable)
}

/// Whether a value holds what the conditions before a `RewriteRule` found, as `%1`, in what a client writes.
pub(super) fn captured(value: &str, conditions: &[&Directive], written: &Written) -> bool {
    has_number(value, '%') && conditions.iter().any(|condition| reads(condition.argument(1), written, &|_| false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_word_a_value_is() {
        let written = Written {
            variables: vec![("BE".to_owned(), Some("X-Scheme".to_owned())), ("Q".to_owned(), None)],
            ..Written::default()
        };
        for (header, value, expected) in [
            ("X-Forwarded-Proto", "%{HTTP:X-P}", true),
            ("X-Forwarded-Proto", "expr=%{HTTP_X_P}", true),
            ("X-Forwarded-Proto", "expr=%{req:X-P}", true),
            ("X-Forwarded-Proto", "expr=%{QUERY_STRING}", true),
            ("X-Forwarded-Proto", "expr=req('X-P')", true),
            ("X-Forwarded-Proto", "expr=%{req:X-Forwarded-Proto}", false),
            ("X-Forwarded-Proto", "expr=req( 'X-Scheme' )", false),
            ("X-Forwarded-Proto", "%{BE}e", false),
            ("X-Forwarded-Port", "%{BE}e", true),
            ("X-Forwarded-Proto", "%{Q}e", true),
            ("X-Forwarded-Proto", "expr=%{REQUEST_SCHEME}", false),
            ("X-Forwarded-Proto", "%{HTTPS}s", false),
            ("X-Forwarded-Server", "expr=%{HTTP_HOST}", false),
            ("X-Forwarded-Proto", "https", false),
        ] {
            assert_eq!(of_client_in(header, value, &written), expected, "{header}: {value}");
        }
    }
}
