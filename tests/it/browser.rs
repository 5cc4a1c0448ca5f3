//! Web pages in a real browser try what a stranger's page would: to read the admin API and the decision API, and to
//! change what decides. None may get through.
//!
//! `tests/browser/install.sh` fetches the browser. Without one the test says that it was skipped; with
//! `PALISADE_TEST_BROWSER=require` it fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use palisade::telemetry::Listener;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::tiny::{bundle, tiny};

/// How long a page may take. A browser takes about a second.
const PATIENCE: Duration = Duration::from_secs(90);

/// What every page has: a report of what it saw, by name.
const PAGE: &str = r#"<!doctype html><title>page</title><script>
const seen = {};
// the status, or that the browser refuses to show the answer
async function tries(name, url, options) {
    try { seen[name] = (await fetch(url, options)).status || 'opaque'; } catch (error) { seen[name] = 'hidden'; }
}
function loads(name, element, url) {
    return new Promise(done => {
        const node = document.createElement(element);
        node.onload = () => { seen[name] = 'loaded'; done(); };
        node.onerror = () => { seen[name] = 'failed'; done(); };
        node.src = url;
        document.documentElement.append(node);
    });
}
function submits(name, url, enctype, text) {
    return new Promise(done => {
        const frame = document.createElement('iframe');
        frame.name = name;
        const form = document.createElement('form');
        Object.assign(form, { method: 'post', action: url, enctype, target: name });
        const field = document.createElement('textarea');
        // with the `=` in a string, the line that `text/plain` sends is JSON
        const at = text.lastIndexOf('"}');
        field.name = text.slice(0, at) + '';
        field.value = text.slice(at);
        form.append(field);
        document.documentElement.append(frame, form);
        frame.onload = () => { seen[name] = 'submitted'; done(); };
        form.submit();
        setTimeout(done, 3000);
    });
}
async function go() {
    const json = { 'content-type': 'application/json' };
    TRIES
    await fetch('/report', { method: 'POST', body: JSON.stringify(seen) });
}
window.onload = go;
</script>"#;

/// Tries of a page that has one origin with the API: what DNS rebinding gives a stranger.
const SAME_ORIGIN: &str = r#"
    await tries('get bundle', '/v1/bundle');
    await tries('get status', '/v1/status');
    await tries('get metrics', '/metrics');
    await tries('get ready', '/readyz');
    await tries('put bundle', '/v1/bundle', { method: 'PUT', headers: json, body: BUNDLE });
    await tries('validate', '/v1/validate', { method: 'POST', headers: json, body: BUNDLE });
    await tries('ask', '/v1/is_authorized', { method: 'POST', headers: json, body: ASK });
    await tries('ask untyped', '/v1/is_authorized', { method: 'POST', body: new Blob([ASK]) });
    await tries('evaluate', '/access/v1/evaluation', { method: 'POST', headers: json, body: ASK });
"#;

/// Tries of a page that knows the listeners' addresses.
const OTHER_ORIGIN: &str = r#"
    for (const host of ['localhost', '127.0.0.1', 'api.example']) {
        const admin = `http://${host}:ADMIN`, decisions = `http://${host}:DECISIONS`;
        await tries(`${host} get`, admin + '/v1/bundle');
        await tries(`${host} get silently`, admin + '/v1/bundle', { mode: 'no-cors' });
        await tries(`${host} put`, admin + '/v1/bundle', { method: 'PUT', headers: json, body: BUNDLE });
        for (const type of [undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/json']) {
            const body = new Blob([BUNDLE], { type });
            await tries(`${host} validate ${type}`, admin + '/v1/validate', { method: 'POST', mode: 'no-cors', body });
            const ask = new Blob([ASK], { type });
            await tries(`${host} ask ${type}`, decisions + '/v1/is_authorized', { method: 'POST', mode: 'no-cors', body: ask });
            navigator.sendBeacon(decisions + '/v1/is_authorized/batch', new Blob([`{"requests":[${ASK}]}`], { type }));
        }
        await loads(`${host} image`, 'img', admin + '/v1/bundle');
        await loads(`${host} script`, 'script', admin + '/metrics');
        await submits(`${host} form`, admin + '/v1/validate', 'text/plain', '{"policies":"x"}');
        await submits(`${host} form ask`, decisions + '/v1/is_authorized', 'text/plain', ASK);
    }
"#;

/// The browser and the libraries that came with it.
fn browser() -> Option<(PathBuf, PathBuf)> {
    let installed = ["chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"];
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).flat_map(|dir| installed.map(|name| dir.join(name)));
    let fetched = Server::project("target/browser/debian");
    let libraries = fetched.join("usr/lib/x86_64-linux-gnu");
    let own = fetched.join("usr/lib/chromium/chromium-headless-shell");
    found.chain([own]).find(|program| program.is_file()).map(|program| (program, libraries))
}

/// The browser at a page. It is killed when dropped.
struct Browser {
    child: Child,
    _home: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Option<Self> {
        let Some((program, libraries)) = browser() else {
            assert!(
                std::env::var("PALISADE_TEST_BROWSER").as_deref() != Ok("require"),
                "no browser is here, and PALISADE_TEST_BROWSER=require: run tests/browser/install.sh"
            );
            // past the harness, which shows nothing of a test that passes
            let _ = std::io::stderr().write_all(b"SKIPPED: no browser is installed (tests/browser/install.sh)\n");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let libraries = std::env::join_paths([libraries.clone(), libraries.join("pulseaudio")]).unwrap();
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            // without a debugging port the browser ends with the page
            .args(["--remote-debugging-port=0", "--host-resolver-rules=MAP *.example 127.0.0.1"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .arg(url)
            .env("HOME", home.path())
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        Some(Self { child, _home: home })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stranger's server. It has the page and takes its report. All else goes to the sidecar as the browser sent it:
/// to the page that is one origin, as when its name leads to the sidecar from one moment to the next.
struct Stranger {
    addr: SocketAddr,
    reports: Receiver<Value>,
}

impl Stranger {
    fn start(server: &Server, tries: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (admin, decisions) = (server.admin, server.decisions);
        let ask = json!({"principal": "User::\"alice\"", "action": "Action::\"read\"", "resource": "File::\"f\""});
        let page = PAGE
            .replace("TRIES", tries)
            .replace("ADMIN", &admin.port().to_string())
            .replace("DECISIONS", &decisions.port().to_string())
            .replace("BUNDLE", &json!(stolen().to_string()).to_string())
            .replace("ASK", &json!(ask.to_string()).to_string());
        let (report, reports) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (page, report) = (page.clone(), report.clone());
                thread::spawn(move || serve(stream, &page, &report, admin, decisions));
            }
        });
        Self { addr, reports }
    }

    /// What the page saw, opened at this name.
    fn visited_as(&self, host: &str) -> Option<Value> {
        let _browser = Browser::open(&format!("http://{host}:{}/page", self.addr.port()))?;
        Some(self.reports.recv_timeout(PATIENCE).expect("the page reports"))
    }
}

/// One connection, one request: then it closes.
fn serve(stream: TcpStream, page: &str, report: &Sender<Value>, admin: SocketAddr, decisions: SocketAddr) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut stream = reader.into_inner();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let answer = match target {
        "/page" => page.as_bytes().to_vec(),
        "/report" => {
            let _ = report.send(serde_json::from_slice(&body).unwrap_or(Value::Null));
            Vec::new()
        }
        "/favicon.ico" => Vec::new(),
        path => {
            let to = if path.contains("is_authorized") || path.starts_with("/access") { decisions } else { admin };
            let mut onward = TcpStream::connect(to).unwrap();
            onward.write_all(head.as_bytes()).and_then(|()| onward.write_all(&body)).unwrap();
            let mut answer = Vec::new();
            let _ = onward.read_to_end(&mut answer);
            let _ = stream.write_all(&answer);
            return;
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer));
}

/// What a stranger would like to be the law.
fn stolen() -> Value {
    let mut bundle = bundle();
    bundle["policies"]["stolen"] = json!("permit (principal, action, resource);");
    bundle
}

/// Answers that were given, on both listeners.
fn given(server: &Server) -> u64 {
    [Listener::Admin, Listener::Decisions]
        .map(|listener| server.services.metrics.requests(listener, 200).get())
        .iter()
        .sum()
}

#[test]
fn no_page_gets_through() {
    let server = tiny(json!({ "admin": { "hosts": ["friend.example"] } }));
    let revision = server.services.pdp.state().snapshot().unwrap().revision();
    let before = given(&server);

    // DNS rebinding: one origin, of a name that is not ours
    let rebinding = Stranger::start(&server, SAME_ORIGIN);
    let Some(seen) = rebinding.visited_as("evil.example") else { return };
    for (name, status) in seen.as_object().unwrap() {
        assert_eq!(status, 403, "{name}: {seen:#}");
    }
    assert_eq!(seen.as_object().unwrap().len(), 9, "{seen:#}");

    // a stranger's page, and one of another program of this machine
    for host in ["evil.example", "localhost", "127.0.0.1"] {
        let stranger = Stranger::start(&server, OTHER_ORIGIN);
        let seen = stranger.visited_as(host).unwrap();
        for (name, outcome) in seen.as_object().unwrap() {
            let harmless = ["opaque", "hidden", "failed", "submitted"].map(Value::from);
            assert!(harmless.contains(outcome), "{host}: {name}: {seen:#}");
        }
        assert!(seen.as_object().unwrap().len() >= 30, "{seen:#}");
    }
    assert_eq!(given(&server), before, "a page was answered");
    assert_eq!(server.services.pdp.state().snapshot().unwrap().revision(), revision, "a page changed the policies");

    // the browser does reach us: a name that the operator lists is answered
    let friend = Stranger::start(&server, SAME_ORIGIN);
    let seen = friend.visited_as("friend.example").unwrap();
    for (name, status) in seen.as_object().unwrap() {
        let expected = if name == "evaluate" { 400 } else { 200 };
        assert_eq!(status, expected, "{name}: {seen:#}");
    }
    assert!(given(&server) > before);
}

/// What a browser makes of a picture: whether it is whole, what lies outside of it, and texts that lie upon each other.
const LOOK: &str = r#"
    const picture = PICTURE;
    const parsed = new DOMParser().parseFromString(picture, 'image/svg+xml');
    seen.broken = parsed.getElementsByTagName('parsererror').length;
    document.documentElement.append(document.importNode(parsed.documentElement, true));
    const svg = document.querySelector('svg');
    const boxes = [...svg.querySelectorAll('text')].map(text => text.getBBox());
    const { width, height } = svg.viewBox.baseVal;
    seen.texts = boxes.length;
    seen.outside = boxes.filter(b => b.x < 0 || b.y < 0 || b.x + b.width > width || b.y + b.height > height).length;
    const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + 3 >= b.y + b.height - 3 || b.y + 3 >= a.y + a.height - 3;
    seen.covered = boxes.filter((a, i) => boxes.some((b, j) => i < j && !apart(a, b))).length;
    seen.named = [svg.getAttribute('role'), svg.querySelector('title').textContent.split(':')[0]];
    const image = new Image();
    image.src = 'data:image/svg+xml;base64,' + btoa(unescape(encodeURIComponent(picture)));
    await image.decode().catch(() => {});
    seen.width = image.naturalWidth;
"#;

#[test]
fn a_browser_shows_the_picture_of_an_explanation() {
    let context = r#"{"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": false}}"#;
    for (who, action, what, flags, word) in [
        ("User::u-cph-odense", "UpdateVehicle", "Vehicle::v-dk3", &[][..], "DENY"),
        ("User::u-cph", "UpdateVehicle", "Vehicle::v-dk", &["--all"], "ALLOW"),
    ] {
        let drawn = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["explain", "-l", who, "-a", action, "-r", what, "-c", context, "--format", "svg"])
            .args(flags)
            .current_dir(Server::project(""))
            .output()
            .unwrap();
        let picture = String::from_utf8(drawn.stdout).unwrap();
        assert!(picture.starts_with("<svg "), "{picture}{}", String::from_utf8_lossy(&drawn.stderr));
        let server = tiny(json!({ "admin": { "hosts": ["friend.example"] } }));
        let page = Stranger::start(&server, &LOOK.replace("PICTURE", &json!(picture).to_string()));
        let Some(seen) = page.visited_as("friend.example") else { return };
        assert!(seen["texts"].as_u64() > Some(20), "{seen:#}");
        for (name, expected) in [
            ("broken", json!(0)),
            ("outside", json!(0)),
            ("covered", json!(0)),
            ("named", json!(["img", word])),
            ("width", json!(960)),
        ] {
            assert_eq!(seen[name], expected, "{name}: {seen:#}");
        }
    }
}
