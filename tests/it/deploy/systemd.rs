//! The unit: by systemd's own checks, and the sidecar started as the unit says.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::{Running, accepted, free, program, read, seconds, skip, succeed};
use crate::documents::blocks;
use crate::support::process::{command, workspace};
use crate::support::{Client, Server};

/// The exposure that `systemd-analyze security` may give, in tenths: "OK" ends at 4.9, the best that serves TCP is near 1.
const EXPOSURE: &str = "20";

/// The values of a key, in their order.
fn values(key: &str) -> Vec<String> {
    lines_of(&read("systemd/palisade.service"), key)
}

#[test]
fn systemd_takes_the_unit() {
    let Some(mut verify) = program("systemd-analyze") else { return skip("the systemd unit", "systemd-analyze") };
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("palisade.service");
    // it looks for the programs
    let text =
        read("systemd/palisade.service").replace("/usr/bin/palisade ", concat!(env!("CARGO_BIN_EXE_palisade"), " "));
    std::fs::write(&unit, text).unwrap();
    assert_eq!(succeed(verify.args(["verify", "--man=no"]).arg(&unit)), "", "systemd-analyze verify");
    let mut security = program("systemd-analyze").unwrap();
    if !succeed(program("systemd-analyze").unwrap().arg("--help")).contains("--offline") {
        return skip("how exposed the systemd unit is", "systemd 250 or newer");
    }
    let said = succeed(security.args(["security", "--offline=true", "--threshold", EXPOSURE]).arg(&unit));
    assert!(said.contains("Overall exposure level"), "{said}");
}

/// The lines of a key in a unit's text.
fn lines_of(unit: &str, key: &str) -> Vec<String> {
    let key = format!("{key}=");
    unit.lines().filter_map(|line| line.strip_prefix(&key)).map(str::to_owned).collect()
}

/// The unit, and the drop-in of the page, each with the credentials that it hands on.
fn with_credentials() -> Vec<String> {
    let page = std::fs::read_to_string(Server::project("docs/deploy.md")).unwrap();
    let blocks = blocks(&page).into_iter().filter(|(_, language, _)| *language == "ini");
    let drop_ins = blocks.map(|(_, _, text)| text).filter(|text| text.contains("LoadCredential"));
    [read("systemd/palisade.service")].into_iter().chain(drop_ins).collect()
}

/// What systemd puts in the place of `LoadCredential` is what the configuration reads.
#[test]
fn credentials_lie_where_the_sidecar_reads_them() {
    let dir = workspace();
    let units = with_credentials();
    assert_eq!(units.len(), 2, "the unit and the drop-in of the page");
    for unit in units {
        let (credentials, variables) = (lines_of(&unit, "LoadCredential"), lines_of(&unit, "Environment"));
        assert_eq!((credentials.len(), variables.len()), (1, 1), "{unit}");
        let (name, source) = credentials[0].split_once(':').expect("an id and a file");
        assert!(source.starts_with("/etc/palisade/"), "{source}");
        // systemd.exec(5): `/run/credentials/` and the unit's name, `%n`, are the directory of a system service's credentials
        let (variable, value) = variables[0].split_once('=').unwrap();
        assert_eq!(value, format!("/run/credentials/%n/{name}"));
        let path = value.replace("%n", "palisade.service");
        let shown = succeed(command(dir.path()).args(["config", "show", "--format", "json"]).env(variable, &path));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let key = variable.strip_prefix("PALISADE_").unwrap().to_lowercase().replace("__", "/");
        assert_eq!(shown.pointer(&format!("/{key}")), Some(&path.into()), "{variable} is no key that takes it");
    }
}

/// systemd's check looks at these lines: it finds what is wrong with one that is broken.
#[test]
fn systemd_looks_at_credentials() {
    let Some(_) = program("systemd-analyze") else { return skip("credentials of the systemd unit", "systemd-analyze") };
    for unit in with_credentials() {
        let whole = if unit.contains("ExecStart=") {
            unit.replace("/usr/bin/palisade ", concat!(env!("CARGO_BIN_EXE_palisade"), " "))
        } else {
            format!("{unit}ExecStart={} serve\n", env!("CARGO_BIN_EXE_palisade"))
        };
        let credential = format!("LoadCredential={}", lines_of(&unit, "LoadCredential")[0]);
        for (broken, expected) in [
            (whole.clone(), ""),
            (whole.replace(&credential, "LoadCredential=a/b:/etc/palisade/a"), "Credential name \"a/b\" not valid"),
            (whole.replace(&credential, "LoadCredential=a:etc/a b"), "Credential source \"etc/a b\" not valid"),
            (whole.replace(&credential, "LoadCredentials=a:/etc/a"), "'LoadCredentials'"),
            (whole.replace("/%n/", "/%Q/"), "Failed to resolve specifiers"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("palisade.service");
            std::fs::write(&path, &broken).unwrap();
            let ran = program("systemd-analyze").unwrap().args(["verify", "--man=no"]).arg(&path).output().unwrap();
            let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert!(
                said.contains(expected) && (said.is_empty() || !expected.is_empty()),
                "{expected}: {said}\n{broken}"
            );
        }
    }
}

#[test]
fn the_parts_of_the_unit_agree() {
    let dir = workspace();
    let config = read("systemd/palisade.yaml");
    accepted(dir.path(), &config);
    let tree: serde_json::Value = serde_saphyr::from_str(&config).unwrap();
    let time = |key: &str| seconds(tree["shutdown"][key].as_str().unwrap());
    assert!(seconds(&values("TimeoutStopSec")[0]) > time("delay") + time("grace"), "systemd would cut the drain short");
    assert_eq!(values("Type"), ["notify"]);
    // what it writes lies where the unit lets it write
    let sink = tree["decision_log"]["sink"].as_str().unwrap();
    assert_eq!(
        sink.strip_prefix("/var/log/").and_then(|rest| rest.split('/').next()),
        Some(&*values("LogsDirectory")[0])
    );
    let user = &values("User")[0];
    assert!(read("systemd/palisade.sysusers").contains(&format!("\nu {user} ")), "the user is made");
}

#[test]
fn the_sidecar_starts_as_the_unit_says() {
    let dir = workspace();
    let place = |path: &str| dir.path().join(path).display().to_string();
    std::fs::create_dir(place("log")).unwrap();
    std::fs::write(place("admin-tokens"), "a-token-that-is-long-enough-to-be-one\n").unwrap();
    let (decisions, admin, ops) = (free(), free(), free());
    let config = read("systemd/palisade.yaml")
        .replace("/etc/palisade/bundle", &place(""))
        .replace("/var/log/palisade", &place("log"))
        .replace("127.0.0.1:8180", &decisions.to_string())
        .replace("127.0.0.1:8181", &admin.to_string())
        .replace("127.0.0.1:8182", &ops.to_string());
    assert!(!config.contains(":818"), "{config}");
    // the bundle of the tests has no schema
    std::fs::write(place("palisade.yaml"), format!("{config}validation: off\n")).unwrap();

    let start = values("ExecStart").remove(0).replace("/etc/palisade/palisade.yaml", &place("palisade.yaml"));
    let mut words = start.split(' ');
    assert_eq!(words.next(), Some("/usr/bin/palisade"));
    let mut serve = command(dir.path());
    serve.args(words);
    let credential = values("LoadCredential").remove(0);
    let (name, _) = credential.split_once(':').unwrap();
    for variable in values("Environment") {
        let (key, value) = variable.split_once('=').unwrap();
        serve.env(key, value.replace(&format!("/run/credentials/%n/{name}"), &place("admin-tokens")));
    }
    let manager = UnixDatagram::bind(place("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    serve.env("NOTIFY_SOCKET", place("notify")).env("WATCHDOG_USEC", "30000000");
    let _running = Running::start(&mut serve);
    let mut message = [0; 4096];
    loop {
        let length = manager.recv(&mut message).expect("it becomes ready");
        if message[..length].starts_with(b"READY=1") {
            break;
        }
    }
    assert_eq!(Client::new(ops).get("/readyz").status, 200);
    assert_eq!(Client::new(ops).get("/metrics").status, 200, "Prometheus needs no token");
    assert_eq!(Client::new(admin).get("/v1/status").status, 401, "the admin API does");
    // the command of the page
    let status = succeed(command(dir.path()).args([
        "status",
        "--config",
        &place("palisade.yaml"),
        "--token-file",
        &place("admin-tokens"),
    ]));
    assert!(status.contains("ready"), "{status}");
}
