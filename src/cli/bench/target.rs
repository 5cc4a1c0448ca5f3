//! Where a sidecar takes questions.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::cli::exit::Stop;
use crate::config::ListenAddr;

/// An address, and the name that it was given by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Over TCP.
    Tcp {
        /// The name and port, for the `Host` header.
        host: String,
        /// The address that it led to.
        address: SocketAddr,
    },
    /// Over a Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// The one that a URL names, or the configuration.
    ///
    /// # Errors
    /// If it is no such URL, or its name leads nowhere.
    pub(super) fn find(url: Option<&str>, listen: &ListenAddr) -> Result<Self, Stop> {
        match (url, listen) {
            (Some(url), _) => Self::read(url),
            (None, ListenAddr::Unix(path)) => Ok(Self::Unix(path.clone())),
            (None, ListenAddr::Tcp(address)) if address.port() == 0 => Err(Stop::usage(
                "`listen.decisions` chooses a port when it starts: name the address, as in `palisade bench http://127.0.0.1:8180`",
            )),
            (None, ListenAddr::Tcp(address)) => {
                let mut address = *address;
                // a listener on all addresses is reached on this machine
                match address.ip() {
                    ip if !ip.is_unspecified() => {}
                    ip if ip.is_ipv4() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                    _ => address.set_ip(Ipv6Addr::LOCALHOST.into()),
                }
                Ok(Self::Tcp { host: address.to_string(), address })
            }
        }
    }

    fn read(url: &str) -> Result<Self, Stop> {
        let forms = "write `http://127.0.0.1:8180` or `unix:/run/palisade.sock`";
        let wrong = |why: &str| Stop::usage(format!("`{url}`: {why}; {forms}"));
        if let Some(path) = url.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong("there is no path")) } else { Ok(Self::Unix(path.into())) };
        }
        if url.starts_with("https:") {
            return Err(wrong("the sidecar speaks no TLS, and what stands before it is not what is measured"));
        }
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(wrong("the scheme is not `http`")),
            None => url,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) || authority.contains(char::is_control)
        {
            return Err(wrong("name the address alone, without a path"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']'))
        });
        let named = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let mut found = named.to_socket_addrs().map_err(|error| Stop::failure(format!("`{url}`: {error}")))?;
        let address = found.next().ok_or_else(|| Stop::failure(format!("`{url}` does not resolve to an address")))?;
        Ok(Self::Tcp { host: authority.to_owned(), address })
    }

    /// What stands in the `Host` header.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => host,
            Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, .. } => write!(f, "http://{host}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_or_refused() {
        let listen = |text: &str| ListenAddr::Tcp(text.parse().unwrap());
        let any = listen("127.0.0.1:1");
        for (url, listen, expected) in [
            (None, &listen("127.0.0.1:8180"), Ok("http://127.0.0.1:8180 127.0.0.1:8180")),
            (None, &listen("0.0.0.0:8180"), Ok("http://127.0.0.1:8180 127.0.0.1:8180")),
            (None, &listen("[::]:8180"), Ok("http://[::1]:8180 [::1]:8180")),
            (None, &listen("127.0.0.1:0"), Err("chooses a port when it starts")),
            (None, &ListenAddr::Unix("/run/p.sock".into()), Ok("unix:/run/p.sock ")),
            (Some("http://127.0.0.1:9000"), &any, Ok("http://127.0.0.1:9000 127.0.0.1:9000")),
            (Some("http://127.0.0.1:9000/"), &any, Ok("http://127.0.0.1:9000 127.0.0.1:9000")),
            (Some("127.0.0.1:9000"), &any, Ok("http://127.0.0.1:9000 127.0.0.1:9000")),
            (Some("http://127.0.0.1"), &any, Ok("http://127.0.0.1 127.0.0.1:80")),
            (Some("http://[::1]"), &any, Ok("http://[::1] [::1]:80")),
            (Some("http://[::1]:7"), &any, Ok("http://[::1]:7 [::1]:7")),
            (Some("unix:/run/p.sock"), &any, Ok("unix:/run/p.sock ")),
            (Some("unix:"), &any, Err("there is no path")),
            (Some("https://127.0.0.1"), &any, Err("no TLS")),
            (Some("ftp://127.0.0.1"), &any, Err("not `http`")),
            (Some("http://127.0.0.1:1/v1/is_authorized"), &any, Err("without a path")),
            (Some("http://u@127.0.0.1:1"), &any, Err("without a path")),
            (Some(""), &any, Err("without a path")),
            (Some("http://127.0.0.1:1\r\nX: y"), &any, Err("without a path")),
            (Some("http://127.0.0.1:99999"), &any, Err("99999")),
        ] {
            let found = Target::find(url, listen);
            match (found, expected) {
                (Ok(found), Ok(shown)) => {
                    let address =
                        if let Target::Tcp { address, .. } = &found { address.to_string() } else { String::new() };
                    assert_eq!(format!("{found} {address}"), shown);
                }
                (Err(stop), Err(part)) => assert!(stop.message.contains(part), "{url:?}: {}", stop.message),
                (found, expected) => panic!("{url:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
