//! Addresses of listeners. Names are not looked up: an address must mean the same at every start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// A TCP address. Port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A Unix socket's path is copied into a field of 108 bytes that ends with a NUL.
const LONGEST_SOCKET_PATH: usize = 107;

impl ListenAddr {
    /// Reads `ip:port`, `localhost:port` or `unix:/path`. `example` is a port for the hints.
    pub(super) fn parse(text: &str, example: u16) -> Result<Self, String> {
        let forms = format!("write `127.0.0.1:{example}`, `localhost:{example}` or `unix:/run/palisade.sock`");
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("`unix:` lacks a path: write `unix:/run/palisade.sock`".to_owned()),
                // it would be a file of that name in the working directory
                _ if path.starts_with('@') => Err(format!(
                    "`{text}` would be a socket without a file, which no permissions guard: write \
                     `unix:/run/palisade.sock`, or `unix:./{path}` for a file of that name"
                )),
                1..=LONGEST_SOCKET_PATH if !path.contains('\0') => Ok(Self::Unix(PathBuf::from(path))),
                _ => Err(format!(
                    "`{text}` is not a socket path: it has at most {LONGEST_SOCKET_PATH} bytes, none of them NUL"
                )),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Tcp(address));
        }
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits(text) || text.strip_prefix(':').is_some_and(digits) {
            let port = text.trim_start_matches(':');
            return Err(format!(
                "`{text}` is a port without an address: write `127.0.0.1:{port}`, or `0.0.0.0:{port}` to be reached from other machines"
            ));
        }
        // an address of which the last part may be a port
        if let Some((ip, port)) = text.rsplit_once(':')
            && let (Ok(ip), true) = (ip.parse::<Ipv6Addr>(), port.parse::<u16>().is_ok())
            && text.parse::<Ipv6Addr>().is_ok()
        {
            return Err(format!(
                "`{text}` lacks brackets, so that it is not clear where the port begins: write `[{ip}]:{port}`, or \
                 `[{text}]:{example}` if all of it is the address"
            ));
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Err(format!("`{text}` lacks a port: write `{}`", SocketAddr::new(ip, example)));
        }
        match text.rsplit_once(':') {
            Some(("localhost", port)) => match port.parse::<u16>() {
                // `parse` would take a sign
                Ok(number) if digits(port) => Ok(Self::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number))),
                _ => Err(format!("`{text}` has no port from 0 to 65535: {forms}")),
            },
            None if text == "localhost" => Err(format!("`localhost` lacks a port: write `localhost:{example}`")),
            Some((host, port))
                if digits(port) && host.bytes().any(|b| b.is_ascii_alphabetic()) && !host.contains([':', '/', ' ']) =>
            {
                Err(format!(
                    "`{host}` is a name, and names are not looked up: write an IP address, such as `0.0.0.0:{port}`"
                ))
            }
            _ => Err(format!("`{text}` is not an address: {forms}")),
        }
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether both cannot be bound at once.
    pub(super) fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp(a), Self::Tcp(b)) => {
                let wildcard = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
                a.port() != 0
                    && a.port() == b.port()
                    && (a.ip() == b.ip() || wildcard(a.ip(), b.ip()) || wildcard(b.ip(), a.ip()))
            }
            _ => false,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms() {
        for (text, shown) in [
            ("127.0.0.1:8180", "127.0.0.1:8180"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:8180", "[::1]:8180"),
            ("localhost:8180", "127.0.0.1:8180"),
            ("localhost:0", "127.0.0.1:0"),
            ("unix:/run/palisade.sock", "unix:/run/palisade.sock"),
        ] {
            assert_eq!(ListenAddr::parse(text, 8180).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_wrong_comes_with_a_hint() {
        for (text, hint) in [
            ("8180", "is a port without an address: write `127.0.0.1:8180`"),
            (":9000", "is a port without an address: write `127.0.0.1:9000`"),
            ("127.0.0.1", "lacks a port: write `127.0.0.1:8180`"),
            ("::1", "lacks a port: write `[::1]:8180`"),
            ("[::1]", "lacks a port: write `[::1]:8180`"),
            ("localhost", "lacks a port: write `localhost:8180`"),
            ("::1:8180", "write `[::1]:8180`, or `[::1:8180]:8180` if all of it is the address"),
            ("fe80::1:2:9000", "write `[fe80::1:2]:9000`"),
            ("2001:db8::beef", "lacks a port: write `[2001:db8::beef]:8180`"),
            ("unix:@palisade", "write `unix:/run/palisade.sock`, or `unix:./@palisade`"),
            ("localhost:http", "has no port from 0 to 65535"),
            ("localhost:+80", "has no port from 0 to 65535"),
            ("localhost:70000", "has no port from 0 to 65535"),
            ("pdp.example.com:8180", "names are not looked up: write an IP address, such as `0.0.0.0:8180`"),
            ("127.0.0.1:70000", "is not an address"),
            ("http://127.0.0.1:8180", "is not an address"),
            ("", "is not an address"),
            ("unix:", "lacks a path"),
        ] {
            let error = ListenAddr::parse(text, 8180).unwrap_err();
            assert!(error.contains(hint), "{text:?}: {error}");
        }
        assert!(ListenAddr::parse(&format!("unix:/{}", "x".repeat(107)), 1).is_err());
    }

    #[test]
    fn collisions() {
        for (a, b, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
        ] {
            let [x, y] = [a, b].map(|text| ListenAddr::parse(text, 1).unwrap());
            assert_eq!((x.collides_with(&y), y.collides_with(&x)), (expected, expected), "{a} {b}");
        }
    }
}
