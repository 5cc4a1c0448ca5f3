//! The manifest: by the schemas of Kubernetes, and its configuration served as a kubelet lays it out.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Running, accepted, artefact, free, installed, read, seconds, skip, succeed};
use crate::support::Client;
use crate::support::process::command;

/// The first version with native sidecars, and the newest that there are schemas for.
const VERSIONS: [&str; 2] = ["1.29.0", "1.37.0"];

fn documents() -> Vec<Value> {
    let text = read("kubernetes/sidecar.yaml");
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn kind(kind: &str, name: &str) -> Value {
    let named = |it: &Value| it["kind"] == kind && it["metadata"]["name"] == name;
    documents().into_iter().find(named).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn pod() -> Value {
    kind("Deployment", "app")["spec"]["template"]["spec"].clone()
}

fn configuration() -> String {
    kind("ConfigMap", "palisade-config")["data"]["palisade.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn kubernetes_takes_the_manifest() {
    let wheels = installed().join("wheels");
    if !wheels.join(".version").exists() {
        return skip("the Kubernetes manifest", "kubernetes-validate");
    }
    for version in VERSIONS {
        let mut validate = Command::new("python3");
        validate.env("PYTHONPATH", &wheels).args(["-m", "kubernetes_validate", "--strict", "-k", version]);
        let said = succeed(validate.arg(artefact("kubernetes/sidecar.yaml")));
        assert_eq!(said.matches("passed for resource").count(), documents().len(), "{said}");
    }
}

#[test]
fn the_sidecar_is_one() {
    let dir = tempfile::tempdir().unwrap();
    accepted(dir.path(), &configuration());
    let config: Value = serde_saphyr::from_str(&configuration()).unwrap();
    let pod = pod();
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always", "it is an init container that must end, else");
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| &sidecar[probe]["httpGet"]);
    assert_eq!(probes.map(|probe| &probe["path"]), ["/readyz", "/readyz", "/livez"]);
    for probe in probes {
        let port = sidecar["ports"].as_array().unwrap().iter().find(|port| port["name"] == probe["port"]).unwrap();
        let ops = config["listen"]["ops"].as_str().unwrap();
        assert_eq!(ops, format!("0.0.0.0:{}", port["containerPort"]), "the kubelet comes from outside the pod");
        let scraped = &kind("Deployment", "app")["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
        assert_eq!(*scraped, port["containerPort"].to_string());
    }
    let time = |key: &str| seconds(config["shutdown"][key].as_str().unwrap());
    let patience = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(patience > time("delay") + time("grace"), "the kubelet would cut the drain short");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    for container in [sidecar, &pod["containers"][0]] {
        let security = &container["securityContext"];
        assert_eq!(
            (&security["readOnlyRootFilesystem"], &security["allowPrivilegeEscalation"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
    // each volume is there, and what is mounted is no single file
    let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    for mount in sidecar["volumeMounts"].as_array().unwrap() {
        assert!(volumes.contains(&&mount["name"]), "{mount}");
        assert!(mount.get("subPath").is_none(), "{mount}: a `subPath` is never updated");
    }
}

/// Lays a ConfigMap out as a kubelet does: files are links through `..data`, which is swapped whole.
fn mounted(map: &Value, at: &Path, version: u32) {
    let versioned = format!("..2026_11_27_{version}");
    std::fs::create_dir_all(at.join(&versioned)).unwrap();
    for (name, text) in map["data"].as_object().unwrap() {
        std::fs::write(at.join(&versioned).join(name), text.as_str().unwrap()).unwrap();
        let _ = symlink(Path::new("..data").join(name), at.join(name));
    }
    symlink(&versioned, at.join("..data_tmp")).unwrap();
    std::fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
}

#[test]
fn the_sidecar_serves_what_the_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    let place = |path: &str| dir.path().join(path).display().to_string();
    std::fs::create_dir(place("run")).unwrap();
    for name in ["policies", "entities"] {
        mounted(&kind("ConfigMap", &format!("palisade-{name}")), &dir.path().join(name), 1);
    }
    let (decisions, ops) = (free(), free());
    let mut config = kind("ConfigMap", "palisade-config");
    let text = configuration()
        .replace("/etc/palisade", &place(""))
        .replace("/run/palisade", &place("run"))
        .replace("127.0.0.1:8180", &decisions.to_string())
        .replace("0.0.0.0:8182", &ops.to_string());
    assert!(text.contains(&format!("ops: {ops}")) && text.contains(&format!("decisions: {decisions}")), "{text}");
    config["data"]["palisade.yaml"] = json!(text);
    mounted(&config, &dir.path().join("config"), 1);

    let sidecar = &pod()["initContainers"][0];
    let arguments = sidecar["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let mut serve = command(dir.path());
    // what Kubernetes sets for a Service of that name
    serve.env("PALISADE_SERVICE_HOST", "10.0.0.1").env("PALISADE_PORT", "tcp://10.0.0.1:8180");
    serve.args(arguments.map(|argument| argument.replace("/etc/palisade", &place(""))));
    let _running = Running::start(&mut serve);
    let until = |what: &str, condition: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !condition() {
            assert!(std::time::Instant::now() < deadline, "not {what}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let listening = |address| std::net::TcpStream::connect(address).is_ok();
    until("ready", &|| listening(ops) && Client::new(ops).get("/readyz").status == 200);
    assert_eq!(Client::new(ops).get("/livez").status, 200);
    let decision = |user: &str| {
        let body = json!({"principal": format!("User::\"{user}\""), "action": "Action::\"View\"",
            "resource": "Document::\"plan\""});
        Client::new(decisions).post("/v1/is_authorized", body.to_string()).json()["decision"].clone()
    };
    assert_eq!(decision("alice"), "Allow");
    assert_eq!(decision("bob"), "Deny");
    let status = command(dir.path()).args(["status", "--config", &place("config/palisade.yaml")]).output().unwrap();
    assert!(status.status.success(), "{status:?}");

    // the ConfigMap changes
    let mut entities = kind("ConfigMap", "palisade-entities");
    let text = entities["data"]["entities.json"].as_str().unwrap().replace("alice", "bob");
    entities["data"]["entities.json"] = json!(text);
    mounted(&entities, &dir.path().join("entities"), 2);
    until("changed", &|| decision("bob") == "Allow");
    assert_eq!(decision("alice"), "Deny");
}
