//! What the `listen` and `admin` sections must mean.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::check::Checker;
use crate::config::raw::listen::{Address, RawAdmin, RawListen, RawSocketMode};
use crate::config::tree::shown;
use crate::config::{AdminSettings, ListenAddr, ListenSettings, Secret, SocketSettings};
use palisade_engine::model::closest;

/// Read and write for everyone but the owner and the group.
const FOR_OTHERS: u32 = 0o007;

impl AdminSettings {
    /// Whether requests must carry a token.
    pub(super) fn has_token(&self) -> bool {
        self.token_file.is_some() || !self.tokens.is_empty()
    }
}

impl Checker<'_> {
    pub(super) fn admin(&mut self, raw: RawAdmin) -> AdminSettings {
        let token_file = raw.token_file.map(|file| self.path(&["admin", "token_file"], file));
        if raw.tokens.as_ref().is_some_and(Vec::is_empty) {
            // a template that renders an empty list must not open the door
            self.report(&["admin", "tokens"], "is empty: list at least one token, or leave the key out");
        }
        let mut tokens = Vec::new();
        for (i, token) in raw.tokens.into_iter().flatten().enumerate() {
            let key = ["admin", "tokens", &i.to_string()].map(str::to_owned);
            let checked = match token {
                Some(token) => Secret::token(token.expose()),
                // an item of the wrong type was reported and blanked
                None if self.is_known_bad(&shown(&key)) => continue,
                None => Err("must be text, not null".to_owned()),
            };
            match checked {
                Ok(token) => tokens.push(token),
                Err(message) => self.report(&key.each_ref().map(String::as_str), message),
            }
        }
        let mut hosts = Vec::new();
        for (i, host) in raw.hosts.into_iter().enumerate() {
            let key = ["admin", "hosts", &i.to_string()].map(str::to_owned);
            let checked = match host {
                Some(host) => host_name(&host),
                None if self.is_known_bad(&shown(&key)) => continue,
                None => Err("must be text, not null".to_owned()),
            };
            match checked {
                Ok(host) => hosts.push(host),
                Err(message) => self.report(&key.each_ref().map(String::as_str), message),
            }
        }
        let max_body_bytes = self.bytes(&["admin", "max_body_bytes"], raw.max_body_bytes, 1);
        let max_inflight_bytes = self.bytes(&["admin", "max_inflight_bytes"], raw.max_inflight_bytes, 1);
        AdminSettings { token_file, tokens, hosts, max_body_bytes, max_inflight_bytes }
    }

    pub(super) fn listen(&mut self, raw: &RawListen, has_token: bool) -> ListenSettings {
        let decisions = match raw.decisions.0.as_str() {
            "off" => {
                self.report(&["listen", "decisions"], "cannot be `off`: a sidecar without decisions has no use");
                None
            }
            text => self.address("decisions", text, 8180),
        };
        let optional =
            |checker: &mut Self, name: &str, address: Option<&Address>, example: u16| match address?.0.as_str() {
                "off" => None,
                text => checker.address(name, text, example),
            };
        let admin = optional(self, "admin", Some(&raw.admin), 8181);
        let ops = optional(self, "ops", raw.ops.as_ref(), 8182);
        let grpc_by_default = self.tree.get(&["listen".to_owned(), "grpc".to_owned()]).is_none();
        let grpc = optional(self, "grpc", Some(&raw.grpc), 9191).filter(|address| {
            // who gave its place to another listener did not mean to have both
            let others = [&decisions, &admin, &ops];
            !(grpc_by_default && others.into_iter().flatten().any(|other| address.collides_with(other)))
        });

        let all = [("decisions", &decisions), ("admin", &admin), ("ops", &ops), ("grpc", &grpc)];
        let bound: Vec<(&str, &ListenAddr)> =
            all.into_iter().filter_map(|(name, address)| Some((name, address.as_ref()?))).collect();
        for (i, (name, address)) in bound.iter().enumerate() {
            if let Some((other, taken)) = bound[..i].iter().find(|(_, taken)| address.collides_with(taken)) {
                self.report(&["listen", name], format!("`{address}` is taken by `listen.{other}` (`{taken}`): each listener needs an address of its own"));
            }
        }
        if let Some(address) = admin.as_ref().filter(|address| !address.is_local())
            && !has_token
            && !self.is_known_bad("admin.token_file")
            && !self.is_known_bad("admin.tokens")
        {
            self.report(
                &["listen", "admin"],
                format!("other machines can reach `{address}`, and the admin API can replace every policy: set `admin.token_file`, or listen on 127.0.0.1; to open health and metrics alone use `listen.ops`"),
            );
        }
        let sockets = self.sockets(raw);
        if let Some(address @ ListenAddr::Unix(_)) = &admin
            && sockets.admin & FOR_OTHERS != 0
            && !has_token
            && !self.is_known_bad("admin.token_file")
            && !self.is_known_bad("admin.tokens")
        {
            let mode = sockets.admin;
            self.report(
                &["listen", "socket_mode"],
                format!("with `{mode:04o}` everyone on this machine can reach `{address}`, and the admin API can replace every policy: set `admin.token_file`, or open the others alone, such as `{{decisions: {mode:04o}}}`"),
            );
        }
        // only where it was reported does the stand-in come in
        let decisions = decisions.unwrap_or(ListenAddr::Unix(PathBuf::new()));
        ListenSettings { decisions, admin, ops, grpc, grpc_by_default, sockets }
    }

    fn address(&mut self, name: &str, text: &str, example: u16) -> Option<ListenAddr> {
        ListenAddr::parse(text, example).map_err(|message| self.report(&["listen", name], message)).ok()
    }

    fn sockets(&mut self, raw: &RawListen) -> SocketSettings {
        let mut sockets = SocketSettings::default();
        let set = |checker: &mut Self, key: &[&str], text: &str, modes: &mut [&mut u32]| match mode(text) {
            Ok(mode) => modes.iter_mut().for_each(|place| **place = mode),
            Err(message) => checker.report(key, message),
        };
        let SocketSettings { decisions, admin, ops, grpc, .. } = &mut sockets;
        match &raw.socket_mode {
            None => {}
            Some(RawSocketMode::All(text)) => {
                set(self, &["listen", "socket_mode"], text, &mut [decisions, admin, ops, grpc]);
            }
            Some(RawSocketMode::ByListener(modes)) => {
                for (name, text) in modes {
                    let key = ["listen", "socket_mode", name.as_str()];
                    let place = match name.as_str() {
                        "decisions" => &mut *decisions,
                        "admin" => &mut *admin,
                        "ops" => &mut *ops,
                        "grpc" => &mut *grpc,
                        other => {
                            let names = ["decisions", "admin", "ops", "grpc"];
                            let hint = match closest(other, names) {
                                Some(near) => format!("did you mean `{near}`?"),
                                None => format!("the keys here are {}", names.join(", ")),
                            };
                            self.report(&key, format!("unknown key; {hint}"));
                            continue;
                        }
                    };
                    set(self, &key, text, &mut [place]);
                }
            }
        }
        sockets.group = raw.socket_group.as_ref().map(|group| group.0.clone());
        let no_name = |group: &String| group.is_empty() || group.contains([':', '\n', '\0']);
        if sockets.group.as_ref().is_some_and(no_name) {
            self.report(&["listen", "socket_group"], "must be the name or the number of a group");
        }
        sockets
    }
}

/// Permissions in octal digits. Never more than read, write and execute.
fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777);
    match mode {
        None => Err(format!("`{text}` is not a mode: write three octal digits after a zero, such as `0660`")),
        Some(mode) if mode & 0o600 != 0o600 => {
            Err(format!("`{text}` keeps the owner out: the first of the three digits is 6 or 7, as in `0660`"))
        }
        Some(mode) => Ok(mode),
    }
}

/// A host name in lower case, without a dot at its end.
fn host_name(text: &str) -> Result<String, String> {
    let example = "write the name alone, such as `palisade.example.com`";
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            })
    };
    // an address is always taken; who lists one all the same means no harm
    if is_name(&name) || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        Ok(name)
    } else if name.contains('*') {
        Err(format!("`{text}` is a pattern, which names that an attacker chooses could match: {example}"))
    } else if name.rsplit_once(':').is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok()) {
        Err(format!("`{text}` has a port, but any port is accepted: {example}"))
    } else {
        Err(format!("`{text}` is not a host name: {example}"))
    }
}
