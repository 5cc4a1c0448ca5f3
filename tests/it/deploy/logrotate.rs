//! The real logrotate with the file as it is shipped: no record is lost, none is written to the old file afterwards.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{program, read, skip, succeed};
use crate::support::process::{Process, workspace};

#[test]
fn rotation_loses_nothing() {
    let Some(mut rotate) = program("logrotate") else { return skip("log rotation", "logrotate") };
    let dir = workspace();
    let place = |path: &str| dir.path().join(path).display().to_string();
    for made in ["log", "bin"] {
        std::fs::create_dir(place(made)).unwrap();
    }
    // it refuses files and directories that others may write
    std::fs::set_permissions(place("log"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let user = succeed(std::process::Command::new("id").arg("-un"));
    let group = succeed(std::process::Command::new("id").arg("-gn"));
    let shipped = read("logrotate/palisade");
    let config = shipped
        .replace("/var/log/palisade", &place("log"))
        .replace("su palisade palisade", &format!("su {} {}", user.trim(), group.trim()));
    assert!(config.contains(&place("log")) && !config.contains("su palisade"), "{config}");
    std::fs::write(place("rotate.conf"), config).unwrap();
    std::fs::set_permissions(place("rotate.conf"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (fake, conf, state, bin) = (place("bin/systemctl"), place("rotate.conf"), place("state"), place("bin"));

    let sink = format!("decision_log.sink={}", place("log/decisions.jsonl"));
    let process = Process::start(dir, &[&sink]);
    // in systemd's place: it takes exactly this command line
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'kill --kill-who=main --signal=USR1 palisade.service' ] || exit 1\nkill -USR1 {}\n",
        process.pid()
    );
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut client = process.client();
    let mut ask = |times: usize| {
        let body = json!({"principal": "User::\"alice\"", "action": "Action::\"view\"", "resource": "Thing::\"t\""});
        for _ in 0..times {
            assert_eq!(client.post("/v1/is_authorized", body.to_string()).status, 200);
        }
    };
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let now = process.path("log/decisions.jsonl");
    ask(10);
    process.until("written", |_| lines(&now) == 10);
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    succeed(rotate.env("PATH", path).args(["--force", "--state", &state, &conf]));
    process.until("opened again", |_| now.exists());
    ask(7);
    process.until("written to the new file", |_| lines(&now) == 7);
    let rotated: Vec<_> = std::fs::read_dir(process.path("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| *path != now)
        .collect();
    assert_eq!(rotated.len(), 1, "{rotated:?}");
    assert_eq!(lines(&rotated[0]), 10, "{rotated:?}");
}
