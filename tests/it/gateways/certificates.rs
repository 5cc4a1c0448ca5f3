//! Callers whom Envoy knows by their client certificate: no other client becomes one of them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::ClientConfig;
use serde_json::Value;

use super::client::{Say, say as plain};
use super::run::Setting;
use super::stand::Stand;
use super::table::Gateway;
use super::tap::Words;
use super::tls::{Authority, Certificate, Name, client, say_tls};
use crate::documents::blocks;
use crate::support::Server;
use crate::support::gate::bearer;

const ANN: (&str, &str) = ("Fleet::User::\"ann\"", "sso");
const BILLING: (&str, &str) = ("Fleet::Service::\"billing\"", "mtls");
const WEB: (&str, &str) = ("Fleet::Service::\"shop/web\"", "mtls");
const XFCC: &str = "X-Forwarded-Client-Cert";
const SPOOF: &str = "URI=spiffe://prod.example/billing";

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// It passes, and the service sees this caller and how that is known.
    Passes((&'static str, &'static str)),
    /// The sidecar refuses it with this status, for this reason.
    Refused(u16, &'static str),
    /// The connection is refused, and the sidecar is not asked.
    NoTls,
}
use Expect::{NoTls, Passes, Refused};

/// What `docs/identity.md` shows of certificates.
fn documented() -> Value {
    let page = std::fs::read_to_string(Server::project("docs/identity.md")).unwrap();
    let block = blocks(&page).into_iter().find(|(_, _, text)| text.contains("  peer:")).unwrap().2;
    serde_saphyr::from_str(&block).unwrap()
}

/// The authorities, and what the server shows.
struct Pki {
    servers: Authority,
    clients: Authority,
    server: Certificate,
}

impl Pki {
    fn new() -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let names = [Name::Dns("gw.test"), Name::Uri("spiffe://prod.example/gateway")];
        Self { server: servers.sign(&names, ServerAuth), servers, clients }
    }

    /// A client with a certificate of these names.
    fn client(&self, names: &[Name<'_>]) -> Arc<ClientConfig> {
        client(&self.servers, Some(&self.clients.sign(names, ClientAuth)))
    }
}

/// What the page's listener wants of certificates. Without it Envoy sends a DNS name or the subject over gRPC.
const URIS_ONLY: &str = "                  match_typed_subject_alt_names:
                    - {san_type: URI, matcher: {prefix: \"spiffe://prod.example/\"}}
";

/// The page's listener, which wants certificates with a URI, and one that takes all certificates and none.
pub(super) fn run(gateway: &Gateway, program: &Path) {
    let pki = Pki::new();
    let files = [
        ("server.pem", pki.server.pem.clone()),
        ("server.key", pki.server.key_pem.clone()),
        ("clients.pem", pki.clients.pem()),
    ];
    let known = pki.client(&[Name::Uri("spiffe://prod.example/billing")]);
    let speak = |addr, what: &Say<'_>| say_tls(&known, addr, what).ok();
    let open = [("require_client_certificate: true", "require_client_certificate: false"), (URIS_ONLY, "")];
    let stand = |changes| {
        let setting = Setting { changes, files: &files, speak: &speak, sidecar: documented(), ..Setting::default() };
        Stand::with(gateway, program, setting)
    };
    asks(&stand(&[]), &pki, true);
    asks(&stand(&open), &pki, false);
    if gateway.words == Words::Envoy {
        let all = [open[0], open[1], ("{uri: true}", "{uri: true, dns: true, subject: true, cert: true, chain: true}")];
        asks_with_all(&stand(&all), &pki);
    }
}

/// A listener without TLS, on which no client can have a certificate.
pub(super) fn run_plain(gateway: &Gateway, program: &Path) {
    let stand = Stand::with(gateway, program, Setting { sidecar: documented(), ..Setting::default() });
    let spoofed = || Say::get("/d/7").with(XFCC, SPOOF);
    let ann = bearer("ann");
    for (what, say, expect) in [
        ("spoofed", spoofed(), Refused(401, "missing_credential")),
        ("spoofed twice", spoofed().with(XFCC, SPOOF), Refused(401, "missing_credential")),
        ("spoofed beside a token", spoofed().with("Authorization", &ann), Passes(ANN)),
    ] {
        check(&stand, (what, false), None, &say, expect);
    }
}

/// A listener that sends all of a certificate: what stands in one name must not be taken for further names.
fn asks_with_all(stand: &Stand<'_>, pki: &Pki) {
    let (malformed, unknown) = (Refused(401, "malformed_peer"), Refused(401, "unknown_peer"));
    let billing = "spiffe://prod.example/billing";
    for (what, names, expect) in [
        ("a URI", &[Name::Uri(billing)][..], Passes(BILLING)),
        ("a URI with a DNS name behind it", &[Name::Uri(billing), Name::Dns("x")], malformed),
        ("a URI in a DNS name", &[Name::Dns("x;URI=spiffe://prod.example/billing")], malformed),
        ("a URI in a subject", &[Name::Common("x\";URI=spiffe://prod.example/billing;Subject=\"")], unknown),
        ("a URI in a subject, escaped", &[Name::Common("x\\\";URI=spiffe://prod.example/billing")], unknown),
    ] {
        check(stand, (what, false), Some(&pki.client(names)), &Say::get("/d/7"), expect);
    }
}

fn asks(stand: &Stand<'_>, pki: &Pki, strict: bool) {
    let (ann, bob) = (bearer("ann"), bearer("bob"));
    let (ann, bob) = (ann.as_str(), bob.as_str());
    let grpc = stand.gateway.words == Words::Grpc;
    let uri = |uri| pki.client(&[Name::Uri(uri)]);
    let billing = uri("spiffe://prod.example/billing");
    let web = uri("spiffe://prod.example/ns/shop/sa/web");
    let stranger = uri("spiffe://prod.example/other");
    let unnamed = pki.client(&[]);
    let none = client(&pki.servers, None);
    let another = Authority::new("clients");
    let other = client(&pki.servers, Some(&another.sign(&[Name::Uri("spiffe://prod.example/billing")], ClientAuth)));
    let seven = || Say::get("/d/7");
    let token = |who| seven().with("Authorization", who);
    let spoofed = || seven().with(XFCC, SPOOF);
    let unknown = Refused(401, "unknown_peer");
    let no_uri = if strict { NoTls } else { unknown };
    let without = if strict { NoTls } else { Refused(401, "missing_credential") };
    // over HTTP a name is read out of a header, and what could be read differently is refused
    let odd = Refused(401, if grpc { "unknown_peer" } else { "malformed_peer" });
    let two = [Name::Uri("spiffe://prod.example/billing"), Name::Uri("spiffe://prod.example/x")];
    let like = pki.client(&[Name::Dns("spiffe://prod.example/billing")]);
    for (what, client, say, expect) in [
        ("known", &billing, seven(), Passes(BILLING)),
        ("known by a part of its name", &web, seven(), Passes(WEB)),
        ("known and denied", &billing, Say::get("/d/closed"), Refused(403, "denied")),
        ("known on a public route", &billing, Say::get("/open"), Passes(("", ""))),
        ("known with a spoofed caller", &web, seven().with("X-Palisade-Principal", "root"), Passes(WEB)),
        // ---- not known
        ("another name", &stranger, seven(), unknown),
        ("another domain", &uri("spiffe://test.example/billing"), seven(), no_uri),
        ("a name below", &uri("spiffe://prod.example/billing/x"), seven(), unknown),
        ("a name above", &uri("spiffe://prod.example/ns/shop/sa"), seven(), unknown),
        ("a DNS name", &pki.client(&[Name::Dns("billing.prod.example")]), seven(), no_uri),
        ("a subject", &pki.client(&[Name::Common("spiffe://prod.example/billing")]), seven(), no_uri),
        ("no name", &unnamed, seven(), no_uri),
        ("a list in a name", &uri("spiffe://prod.example/billing,x"), seven(), odd),
        ("a key in a name", &uri("spiffe://prod.example/billing;DNS=x"), seven(), odd),
        ("an end in a name", &uri("spiffe://prod.example/billing;"), seven(), odd),
        ("a name in a name", &uri("spiffe://prod.example/x;URI=spiffe://prod.example/billing"), seven(), odd),
        ("a quote in a name", &uri("spiffe://prod.example/\";URI=\"spiffe://prod.example/billing\""), seven(), odd),
        // over gRPC Envoy sends the first
        ("two names", &pki.client(&two), seven(), if grpc { Passes(BILLING) } else { odd }),
        // over gRPC Envoy does not say of what kind a name is: only its own check keeps this one out
        ("a DNS name like a URI", &like, seven(), if grpc && !strict { Passes(BILLING) } else { no_uri }),
        ("of another authority", &other, seven(), NoTls),
        ("none", &none, seven(), without),
        // ---- what a client says of its certificate
        ("spoofed beside one's own", &web, spoofed(), Passes(WEB)),
        ("spoofed beside a stranger's", &stranger, spoofed(), unknown),
        ("spoofed beside one without a name", &unnamed, spoofed(), no_uri),
        ("spoofed in the twin", &stranger, seven().with("X_Forwarded_Client_Cert", SPOOF), unknown),
        ("spoofed without one", &none, spoofed(), without),
        // ---- beside a token
        ("a token and a certificate", &billing, token(ann), Passes(ANN)),
        ("a token beside a stranger's", &stranger, token(ann), Passes(ANN)),
        ("a token that is not allowed", &billing, token(bob), Refused(403, "denied")),
        ("a bad token", &billing, token("Bearer nonsense"), Refused(401, "unknown_token")),
        ("a token alone", &none, token(ann), if strict { NoTls } else { Passes(ANN) }),
    ] {
        check(stand, (what, strict), Some(client), &say, expect);
    }
}

/// Over TLS with this client, or without.
fn check(stand: &Stand<'_>, what: (&str, bool), client: Option<&Arc<ClientConfig>>, say: &Say<'_>, expect: Expect) {
    let mark = stand.tap.mark();
    let (reply, seen) = loop {
        let reply = match client {
            Some(client) => say_tls(client, stand.addr(), say),
            None => plain(stand.addr(), say).ok_or(ErrorKind::UnexpectedEof.into()),
        };
        let seen = stand.upstream.take();
        if expect == NoTls || !stand.again(reply.as_ref().ok(), seen.len()) {
            break (reply, seen);
        }
    };
    let asked = stand.tap.since(&mark);
    let about = || format!("{what:?}: {say:?}: {reply:?}, asked {asked:?}, {seen:?}\n{}", stand.told());
    let status = reply.as_ref().ok().map(|reply| reply.status);
    match expect {
        NoTls => assert_eq!((status, seen.len(), asked.len()), (None, 0, 0), "{}", about()),
        Refused(expected, code) => {
            assert_eq!((status, seen.len()), (Some(expected), 0), "{}", about());
            assert!(asked.last().is_some_and(|it| it.code == code), "{}", about());
            assert!(asked.iter().all(|it| !it.allowed), "{}", about());
        }
        Passes((who, method)) => {
            assert_eq!((status, seen.len()), (Some(200), 1), "{}", about());
            let told = |name| seen[0].like(name).into_iter().find(|value| !value.is_empty()).unwrap_or_default();
            assert_eq!((told("x-palisade-principal"), told("x-palisade-auth-method")), (who, method), "{}", about());
            assert!(seen[0].like("x-palisade-principal").len() <= 1, "{}", about());
            assert!(seen[0].like("x-forwarded-client-cert").iter().all(|it| *it != SPOOF), "{}", about());
        }
    }
}
