//! Where the operations of a document are served: hosts, and what stands before the path.

use serde_json::Value;

use crate::host::normal_host;
use crate::pattern::Pattern;

/// How many servers a list may mean, with each value of its variables.
const MAX_SERVERS: usize = 64;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Base {
    /// Its host; `None` where its URL names none.
    pub(super) host: Option<String>,
    /// What stands before the path.
    pub(super) prefix: String,
}

/// What a file says itself, so that the servers need not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) hosts: bool,
    pub(super) prefix: bool,
}

/// What a list of servers means, and what of it is left out.
#[derive(Debug, Default)]
pub(super) struct Servers {
    pub(super) bases: Vec<Base>,
    pub(super) remarks: Vec<String>,
}

/// Reads a list of servers.
///
/// # Errors
/// Which of them cannot be read.
pub(super) fn read(list: &Value, said: Said) -> Result<Servers, String> {
    let list = list.as_array().ok_or("`servers` is not a list")?;
    if list.is_empty() {
        return Err("`servers` is empty".to_owned());
    }
    let mut found = Servers::default();
    for server in list {
        let url = server.get("url").and_then(Value::as_str).ok_or("a server has no `url`")?;
        for text in expanded(url, server.get("variables"), &mut found.remarks)? {
            let base = base(&text, said).map_err(|error| format!("the server `{url}` {error}"))?;
            if !found.bases.contains(&base) {
                found.bases.push(base);
            }
            if found.bases.len() > MAX_SERVERS {
                return Err(format!("there are more than {MAX_SERVERS} servers, with the values of their variables"));
            }
        }
    }
    if !said.hosts
        && found.bases.iter().any(|base| base.host.is_none())
        && let Some(named) = found.bases.iter().find_map(|base| base.host.as_deref())
    {
        return Err(format!("one server names the host `{named}` and another names none"));
    }
    Ok(found)
}

/// The URL with each value that its variables can have. A variable without a list of values has its default alone.
fn expanded(url: &str, variables: Option<&Value>, remarks: &mut Vec<String>) -> Result<Vec<String>, String> {
    let mut texts = vec![String::new()];
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("the server `{url}` has `{{` without `}}`"))?;
        let variable = variables.and_then(|variables| variables.get(name));
        let Some(variable) = variable else {
            return Err(format!("the server `{url}` has variables that are not declared: `{name}`"));
        };
        let default = variable.get("default").and_then(scalar);
        let values: Vec<String> = match variable.get("enum") {
            Some(Value::Array(values)) if !values.is_empty() => values
                .iter()
                .map(scalar)
                .collect::<Option<_>>()
                .ok_or_else(|| format!("`{name}` has values of no use"))?,
            Some(_) => return Err(format!("the variable `{name}` of the server `{url}` has an `enum` without values")),
            None => {
                let default =
                    default.clone().ok_or_else(|| format!("the variable `{name}` of `{url}` has no default"))?;
                remarks.push(format!(
                    "the variable `{name}` of the server `{url}` can have any value, and only its default `{default}` is mapped"
                ));
                vec![default]
            }
        };
        if default.as_ref().is_some_and(|default| !values.contains(default)) {
            return Err(format!("the default of the variable `{name}` of `{url}` is not among its values"));
        }
        if texts.len().saturating_mul(values.len()) > MAX_SERVERS {
            return Err(format!("the variables of the server `{url}` make more than {MAX_SERVERS} servers"));
        }
        let texts_before = std::mem::take(&mut texts);
        for text in &texts_before {
            texts.extend(values.iter().map(|value| format!("{text}{before}{value}")));
        }
        rest = after;
    }
    Ok(texts.into_iter().map(|text| format!("{text}{rest}")).collect())
}

/// The text of a value, as documents without quotes have numbers too.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn base(url: &str, said: Said) -> Result<Base, String> {
    if url.contains(['?', '#']) && !said.prefix {
        return Err("has a query or a fragment".to_owned());
    }
    let (authority, path) = if let Some((scheme, rest)) = url.split_once("://") {
        if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err("is not reached by HTTP".to_owned());
        }
        split(rest)
    } else if let Some(rest) = url.strip_prefix("//") {
        split(rest)
    } else if url.starts_with('/') {
        (None, url)
    } else {
        return Err("is relative to where the document was fetched from; begin it with `https://` or `/`".to_owned());
    };
    let host = match authority {
        None => None,
        Some(_) if said.hosts => authority.and_then(normal_host).map(std::borrow::Cow::into_owned),
        Some(authority) => match normal_host(authority) {
            Some(host) => Some(host.into_owned()),
            None => return Err("has no host that a request can have".to_owned()),
        },
    };
    let prefix = path.trim_end_matches('/').to_owned();
    if !said.prefix && prefix.contains(['{', '}']) {
        return Err("has a brace in its path".to_owned());
    }
    if !said.prefix && !prefix.is_empty() {
        Pattern::parse(&format!("GET {prefix}"), "")
            .map_err(|error| format!("has a path that is not valid: {error}"))?;
    }
    Ok(Base { host, prefix })
}

fn split(rest: &str) -> (Option<&str>, &str) {
    let at = rest.find('/').unwrap_or(rest.len());
    (Some(&rest[..at]), &rest[at..])
}
