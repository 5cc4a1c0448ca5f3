//! The image: built by buildah, and run as it would be, on a read-only root and without rights.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Running, artefact, free, program, skip, succeed};
use crate::support::process::workspace;
use crate::support::{Client, Server};

/// Buildah with all of its state below `dir`.
fn buildah(dir: &Path) -> Option<Command> {
    let mut buildah = program("buildah")?;
    std::fs::write(dir.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    std::fs::write(dir.join("registries.conf"), "").unwrap();
    buildah.env("HOME", dir).env("TMPDIR", dir).args(["--storage-driver", "vfs"]);
    for (option, name) in [("--root", "root"), ("--runroot", "runroot"), ("--registries-conf", "registries.conf")] {
        buildah.arg(option).arg(dir.join(name));
    }
    Some(buildah)
}

#[test]
fn the_image_is_built_and_runs() {
    // to mount, and to become another user
    if succeed(Command::new("id").arg("-u")).trim() != "0" {
        return skip("the container image", "the user root");
    }
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    succeed(Command::new(artefact("container/rootfs.sh")).arg(env!("CARGO_BIN_EXE_palisade")).arg(&context));
    if program("objcopy").is_some() {
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        let (stripped, debug) = (context.join("rootfs/usr/bin/palisade"), context.join("palisade.debug"));
        assert!(size(&stripped) < size(Path::new(env!("CARGO_BIN_EXE_palisade"))) && size(&debug) > 1 << 20);
        let linked = succeed(
            program("objcopy")
                .unwrap()
                .args(["--dump-section", ".gnu_debuglink=/dev/stdout"])
                .arg(&stripped)
                .arg("/dev/null"),
        );
        assert!(linked.starts_with("palisade.debug"), "{linked}");
    } else {
        skip("a binary without its debug information", "objcopy");
    }
    let Some(mut build) = buildah(dir.path()) else { return skip("the container image", "buildah") };
    let containerfile = std::fs::read_to_string(Server::project("deploy/container/Containerfile")).unwrap();
    assert!(containerfile.lines().any(|line| line == "FROM scratch"), "nothing is fetched");
    build.args(["build", "--isolation", "chroot", "--tag", "palisade", "--signature-policy"]);
    build.arg(dir.path().join("policy.json"));
    succeed(build.arg("--file").arg(artefact("container/Containerfile")).arg(&context));

    let image = succeed(buildah(dir.path()).unwrap().args(["inspect", "--type", "image", "palisade"]));
    let image: Value = serde_json::from_str(&image).unwrap();
    let config = &image["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/usr/bin/palisade"]), &json!(["serve"])));
    assert_eq!((&config["WorkingDir"], &config["Env"]), (&json!("/etc/palisade"), &json!(["PATH=/usr/bin"])));

    let mut from = buildah(dir.path()).unwrap();
    from.args(["from", "--pull-never", "--signature-policy"]).arg(dir.path().join("policy.json"));
    let container = succeed(from.arg("localhost/palisade"));
    let mounted = succeed(buildah(dir.path()).unwrap().args(["mount", container.trim()]));
    let root = Path::new(mounted.trim());
    let programs: Vec<_> = std::fs::read_dir(root.join("usr/bin")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(programs, ["palisade"], "no shell, nothing else");

    // a root that is read-only, the image's user without any capability, the image's working directory and command
    let bundle = workspace();
    succeed(Command::new("chmod").args(["-R", "a+rX"]).arg(bundle.path()));
    let (decisions, admin) = (free(), free());
    let script = r#"set -e
        root=$1 bundle=$2
        shift 2
        mount --bind "$root" "$root"
        mkdir -p "$root/proc"
        mount -t proc proc "$root/proc"
        mount --bind "$bundle" "$root/etc/palisade"
        mount -o remount,bind,ro "$root"
        exec unshare --root "$root" --wd /etc/palisade --setgid 65532 --setuid 65532 /usr/bin/palisade serve "$@""#;
    let mut run = Command::new("unshare");
    run.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]).arg(root).arg(bundle.path());
    for setting in ["validation=off", "decision.semantics=cedar", "listen.grpc=off"] {
        run.args(["--set", setting]);
    }
    run.args(["--set", &format!("listen.decisions={decisions}"), "--set", &format!("listen.admin={admin}")]);
    let _running = Running::start(&mut run);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::net::TcpStream::connect(admin).is_err() || Client::new(admin).get("/readyz").status != 200 {
        assert!(std::time::Instant::now() < deadline, "it does not start: {run:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let body = json!({"principal": "User::\"alice\"", "action": "Action::\"a\"", "resource": "Thing::\"t\""});
    assert_eq!(Client::new(decisions).post("/v1/is_authorized", body.to_string()).json()["decision"], "Allow");
}
