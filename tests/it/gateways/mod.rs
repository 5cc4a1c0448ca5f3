//! The real gateways, each with the configuration of its page in `docs/gateways`: one table of requests, what
//! becomes of them when the sidecar fails, 37 targets that programs read differently, bodies that are passed on, and
//! callers with certificates.
//!
//! `tests/gateways/install.sh` fetches them into `target/gateways`; else they are looked for on the `PATH`. What
//! is not there is named as skipped, and fails where `PALISADE_TEST_GATEWAYS=require` is set.

mod bodies;
mod certificates;
mod client;
mod faults;
mod http2;
mod messages;
mod nasty;
mod run;
mod scenarios;
mod stand;
mod table;
mod tap;
mod tls;
mod upstream;

use std::io::Write as _;
use std::panic;
use std::path::Path;
use std::sync::Once;

use run::Setting;
use stand::Stand;
use table::{GATEWAYS, Gateway, WITH_BODIES, WITH_CERTIFICATES};

/// Past the harness, which shows nothing of a test that passes.
fn tell(line: &str) {
    // at once, so that lines of several threads do not mix
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What made a test fail, at once: what the harness shows at the end may be cut, since logs of gateways are long.
fn tell_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |failure| {
            // other tests have threads that may fail
            let thread = std::thread::current();
            if let Some(test) = thread.name().filter(|name| name.starts_with("gateways::")) {
                let said = failure.payload_as_str().unwrap_or_default();
                let start: String = said.lines().take(3).collect::<Vec<_>>().join(" | ").chars().take(1_000).collect();
                let at = failure.location().map(ToString::to_string).unwrap_or_default();
                tell(&format!("{test} failed at {at}: {start}"));
            }
            before(failure);
        }));
    });
}

/// Whether to go on without a gateway that is not here.
fn missing(gateway: &Gateway) {
    tell(&format!("SKIPPED: {} is not installed (tests/gateways/install.sh)", gateway.name));
    let required = std::env::var("PALISADE_TEST_GATEWAYS").is_ok_and(|value| value == "require");
    assert!(!required, "{} is required", gateway.name);
}

/// Everything through one gateway.
fn drive(name: &str) {
    let gateway = GATEWAYS.iter().find(|gateway| gateway.name == name).unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    tell_failures();
    let mut stand = Stand::start(gateway, &program);
    scenarios::run(&stand);
    bodies::run_none(&stand);
    let passed = nasty::run(&stand);
    faults::run(&mut stand);
    faults::mistyped(&stand, &program);
    faults::overload(gateway, &program);
    tell(&format!("gateway {name}: {}; {passed:?} of 37 nasty targets passed", gateway.version(&program)));
}

/// What has Envoy pass on whole bodies alone.
const WHOLE: &str = "allow_partial_message: false";

/// Routes that read bodies, through one that passes them on.
fn drive_bodies(name: &str) {
    let (gateway, too_large) = WITH_BODIES.iter().find(|(gateway, _)| gateway.name == name).unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    bodies::run(&Stand::start(gateway, &program), *too_large);
    if gateway.files()[0].1.contains(WHOLE) {
        let changes = [(WHOLE, "allow_partial_message: true")];
        bodies::run_cut(&Stand::with(gateway, &program, Setting { changes: &changes, ..Setting::default() }));
    }
}

/// Callers with certificates, through one that asks for them, or has no TLS to do so.
fn drive_certificates(name: &str, run: fn(&Gateway, &Path)) {
    let gateway = WITH_CERTIFICATES.iter().find(|gateway| gateway.name == name).unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    run(gateway, &program);
}

macro_rules! gateways {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { drive($name); })*

        #[test]
        fn every_gateway_has_its_test() {
            let names: Vec<&str> = GATEWAYS.iter().map(|gateway| gateway.name).collect();
            assert_eq!(names, [$($name),*]);
            let (here, gone): (Vec<_>, Vec<_>) = GATEWAYS.iter().partition(|gateway| gateway.program().is_some());
            let list = |of: &[&Gateway]| of.iter().map(|gateway| gateway.name).collect::<Vec<_>>().join(", ");
            tell(&format!("gateways here: {}; skipped: {}", list(&here), if gone.is_empty() { "none".to_owned() } else { list(&gone) }));
        }
    };
}

gateways! {
    nginx_of_debian: "nginx 1.22",
    nginx_of_today: "nginx 1.31",
    caddy_of_debian: "caddy 2.6",
    caddy_of_today: "caddy 2.11",
    traefik: "traefik",
    haproxy: "haproxy",
    apache: "apache",
    envoy_over_http: "envoy over HTTP",
    envoy_over_grpc: "envoy over gRPC",
}

#[test]
fn bodies_through_traefik() {
    drive_bodies("traefik with bodies");
}

#[test]
fn bodies_through_envoy_over_http() {
    drive_bodies("envoy over HTTP with bodies");
}

#[test]
fn bodies_through_envoy_over_grpc() {
    drive_bodies("envoy over gRPC with bodies");
}

#[test]
fn certificates_through_envoy_over_http() {
    drive_certificates("envoy over HTTP with certificates", certificates::run);
}

#[test]
fn certificates_through_envoy_over_grpc() {
    drive_certificates("envoy over gRPC with certificates", certificates::run);
}

#[test]
fn certificates_through_envoy_without_tls() {
    drive_certificates("envoy over HTTP without TLS", certificates::run_plain);
}

/// A proxy in front that Caddy trusts: what that proxy says of the host does not count.
fn drive_trusting(name: &str, change: (&str, &str)) {
    let gateway = GATEWAYS.iter().find(|gateway| gateway.name == name).unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    scenarios::run_hosts(&Stand::with(gateway, &program, Setting { changes: &[change], ..Setting::default() }));
}

#[test]
fn caddy_of_today_that_trusts_a_proxy() {
    let trusting = "\tadmin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n";
    drive_trusting("caddy 2.11", ("\tadmin off\n", trusting));
}

#[test]
fn caddy_of_debian_that_trusts_a_proxy() {
    let trusting = "uri /gateway/forward?\n\t\t\ttrusted_proxies 127.0.0.1/32\n";
    drive_trusting("caddy 2.6", ("uri /gateway/forward?\n", trusting));
}

/// Pages of the service for what is denied are fetched without a check: even so no client says there who asks.
#[test]
fn apache_that_fetches_pages_for_errors() {
    let gateway = GATEWAYS.iter().find(|gateway| gateway.name == "apache").unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    let pages = "    LuaScope thread\n    ErrorDocument 401 /login\n    ErrorDocument 403 /denied\n";
    let changes = [("    LuaScope thread\n", pages)];
    scenarios::run_pages(&Stand::with(gateway, &program, Setting { changes: &changes, ..Setting::default() }));
}

/// Over gRPC the client's address is that of the connection, whatever a header says and however many proxies are trusted.
#[test]
fn envoy_over_grpc_with_a_proxy_in_front() {
    let gateway = GATEWAYS.iter().find(|gateway| gateway.name == "envoy over gRPC").unwrap();
    let Some(program) = gateway.program() else { return missing(gateway) };
    let hops = "use_remote_address: true\n                xff_num_trusted_hops: 1\n";
    for change in [("use_remote_address: true\n", hops), ("use_remote_address: true\n", "use_remote_address: false\n")]
    {
        let setting = Setting { changes: &[change], ..Setting::default() };
        scenarios::run_peers(&Stand::with(gateway, &program, setting));
    }
}

#[test]
fn the_configurations_of_the_pages_have_no_traps() {
    let more = WITH_BODIES.iter().map(|(gateway, _)| gateway).chain(WITH_CERTIFICATES);
    for gateway in GATEWAYS.iter().chain(more) {
        let dir = tempfile::tempdir().unwrap();
        let (flag, file) = gateway.lint;
        let text = gateway.files().into_iter().find(|(name, _)| name == file).unwrap().1;
        std::fs::write(dir.path().join(file), text).unwrap();
        let mut command = crate::support::process::command(dir.path());
        let output = command.args(["routes", "lint", "--deny-warnings", flag, file]).output().unwrap();
        assert!(output.status.success(), "{}: {}", gateway.name, String::from_utf8_lossy(&output.stdout));
    }
}
