//! The host of a request, in the one form that route files write it in.

use std::borrow::Cow;

/// Lower-cases `host` and takes off the port and one trailing dot.
///
/// `None` if it is no host: empty, a list, with user information, or with characters that a name does not have.
#[must_use]
pub fn normal_host(host: &str) -> Option<Cow<'_, str>> {
    if is_normal(host.as_bytes()) {
        return Some(Cow::Borrowed(host));
    }
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        match after {
            "" => (&host[..address.len() + 2], None),
            after => (&host[..address.len() + 2], Some(after.strip_prefix(':')?)),
        }
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    if port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_err() || port.starts_with('+')) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let legal = name.starts_with('[')
        || (!name.is_empty()
            && name.len() <= 253
            && !name.split('.').any(str::is_empty)
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    legal.then(|| {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    })
}

/// Whether it is plainly in that form, as most hosts are.
fn is_normal(host: &[u8]) -> bool {
    // what stands before the first byte counts as a dot: no label is empty
    let mut last = b'.';
    let fine = |byte: u8| {
        let before = std::mem::replace(&mut last, byte);
        matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') || (byte == b'.' && before != b'.')
    };
    host.len() <= 253 && host.iter().copied().all(fine) && last != b'.'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_one_host() {
        for (host, expected) in [
            ("api.autopi.io", Some("api.autopi.io")),
            ("API.AutoPi.io", Some("api.autopi.io")),
            ("gw.test.", Some("gw.test")),
            ("GW.Test.:8443", Some("gw.test")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("a_b", Some("a_b")),
            ("", None),
            (".", None),
            (".a", None),
            ("a..b", None),
            ("a..", None),
            ("a,b", None),
            ("a b", None),
            ("user@a", None),
            ("a:", None),
            ("a:x", None),
            ("a:+1", None),
            ("a:99999", None),
            ("a:1:2", None),
            ("[::1", None),
            ("[x]", None),
            ("[::1]x", None),
            ("bücher.de", None),
        ] {
            assert_eq!(normal_host(host).as_deref(), expected, "{host:?}");
            assert!(!is_normal(host.as_bytes()) || expected == Some(host), "{host:?}");
        }
    }
}
