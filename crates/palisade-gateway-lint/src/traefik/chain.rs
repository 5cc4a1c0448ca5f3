//! Which middlewares a request goes through, and whether the check is among them.

use crate::answers;
use crate::headers::{BODY_HELP, body_changed, is_of_body, names_caller, names_host, overrides};
use crate::node::Node;
use crate::traefik::beside::Beside;
use crate::traefik::model::{EntryPoint, Model, Name, Provider, Router, names};
use crate::traefik::{check, compose};
use crate::{NOT_CHECKED, is_everybody, is_identity, is_of_this_machine};
use palisade_engine::model::Diagnostic;

/// How deep `chain` may lie in `chain`, and how many middlewares a request may go through.
const DEEPEST: usize = 16;
const MOST: usize = 100;

/// Middlewares that make another path of it.
const PATHS: &[&str] = &["stripprefix", "stripprefixregex", "replacepath", "replacepathregex", "addprefix"];

/// Middlewares that are known, and change nothing that is checked.
const KNOWN: &[&str] = &[
    "basicauth",
    "buffering",
    "chain",
    "circuitbreaker",
    "compress",
    "contenttype",
    "digestauth",
    "errors",
    "forwardauth",
    "grpcweb",
    "headers",
    "inflightreq",
    "ipallowlist",
    "ipwhitelist",
    "passtlsclientcert",
    "ratelimit",
    "redirectregex",
    "redirectscheme",
    "retry",
];

/// What stands in a chain.
pub(super) enum Step<'d> {
    /// A middleware, with where it is named.
    Known(Node<'d>, Node<'d>),
    /// A name that nothing here explains.
    Unknown(Name<'d>),
}

pub(super) fn lint(model: &Model<'_>, origin: &str, findings: &mut Vec<Diagnostic>) {
    entry_points(model, findings);
    providers(model, findings);
    for node in &model.unknown {
        let kind = if node.text("kind").is_empty() { node.text("type") } else { node.text("kind") };
        findings.push(node.warning(
            NOT_CHECKED,
            format!("what a `{kind}` does with requests is not known here"),
            "see that it passes nothing on without the check, and changes nothing that was checked",
        ));
    }
    let all: Vec<&Node<'_>> =
        model.middlewares.iter().map(|(_, node)| node).filter(|node| node.get("forwardauth").is_some()).collect();
    // another authentication may stand beside ours
    let ours: Vec<&Node<'_>> = all.iter().copied().filter(|node| check::is_ours(node)).collect();
    let checks = if ours.is_empty() { all } else { ours };
    if checks.is_empty() {
        let defined =
            |router: &Router<'_>| router.middlewares.iter().all(|name| find(model, name, router.provider).is_some());
        let unless = if !model.routers.iter().all(defined) {
            ", unless a middleware that is defined elsewhere does"
        } else {
            ""
        };
        findings.push(
            Diagnostic::error(origin, format!("there is no `forwardAuth`, so nothing asks the sidecar{unless}"))
                .warning()
                .rule("traefik-no-check")
                .help("add a middleware with `forwardAuth` to every router"),
        );
        return;
    }
    let services = model.servers.iter().map(|server| answers::normal(server)).collect();
    for node in &checks {
        check::lint(node, &services, findings);
    }
    let is_check = |node: &Node<'_>| checks.iter().any(|check| std::ptr::eq(check.value, node.value));
    let mut beside = Beside::read(model, &is_check);
    for router in &model.routers {
        follow(model, router, &is_check, &mut beside, findings);
    }
    for (service, node) in &model.rehosted {
        let mut routers = model.routers.iter().filter(|router| router.leads_to(service)).peekable();
        if routers.peek().is_some() && routers.all(Router::has_one_host) {
            continue;
        }
        findings.push(node.warning(
            "traefik-host-changed",
            "the service gets another host than was checked",
            "leave `passHostHeader: false` out",
        ));
    }
    for node in &model.rebased {
        findings.push(node.warning(
            "traefik-path-rewritten",
            "the path of this URL is put before that of the request: the service gets another than was checked",
            "leave `preservePath` out, or the path of the URL",
        ));
    }
    for (_, node) in model.open_api.iter().filter(|(port, _)| !model.compose.keeps(port)) {
        findings.push(node.warning(
            "traefik-api-open",
            "unauthenticated requests reach the port of the API, and read each router, service and middleware, with the secrets in them",
            "set `insecure: false`, and give `api@internal` a router that goes through the check",
        ));
    }
    compose::lint(model, findings);
    exposed(model, &is_check, findings);
}

/// Providers of which nothing was read.
fn providers(model: &Model<'_>, findings: &mut Vec<Diagnostic>) {
    for (name, node) in &model.providers {
        let seen = match *name {
            "docker" | "swarm" => model.labelled,
            "kubernetesingress" | "kubernetescrd" | "kubernetesgateway" => model.cluster,
            _ => false,
        };
        if !seen {
            findings.push(node.warning(
                NOT_CHECKED,
                format!("the routers of the provider `{name}` are not looked at"),
                "name its file of Docker Compose or its objects of Kubernetes with `--traefik` too, or see that each router goes \
                 through the check",
            ));
        }
    }
}

/// Whose word an entry point takes.
fn entry_points(model: &Model<'_>, findings: &mut Vec<Diagnostic>) {
    for (_, EntryPoint { node, .. }) in &model.entry_points {
        for (key, what) in [("forwardedheaders", "`X-Forwarded-*`"), ("proxyprotocol", "PROXY protocol")] {
            let Some(trust) = node.get(key) else { continue };
            let everybody = names(&trust, "trustedips").into_iter().find(|ip| is_everybody(&ip.name));
            let insecure = trust.get("insecure").filter(|_| trust.is_true("insecure"));
            for place in [insecure, everybody.map(|ip| ip.node)].into_iter().flatten() {
                findings.push(place.warning(
                    "traefik-trusts-everybody",
                    format!(
                        "the entry point trusts the {what} of every client, so a client says itself which request is checked"
                    ),
                    "list the proxies in front in `trustedIPs`",
                ));
            }
        }
    }
}

fn find<'m, 'd>(model: &'m Model<'d>, name: &Name<'d>, provider: Provider) -> Option<&'m Node<'d>> {
    let (bare, from) = name.name.split_once('@').unwrap_or((&name.name, ""));
    let bare = if from == "kubernetescrd" || provider == Provider::Kubernetes {
        bare.rsplit('/').next().unwrap_or(bare)
    } else {
        bare
    };
    let exact = |wanted: &str| model.middlewares.iter().find(|(name, _)| name == wanted).map(|(_, node)| node);
    exact(bare).or_else(|| {
        // `namespace-name@kubernetescrd`
        let crd = from == "kubernetescrd";
        model.middlewares.iter().find(|(name, _)| crd && bare.ends_with(&format!("-{name}"))).map(|(_, node)| node)
    })
}

/// What a list of names comes to, with the members of each `chain`.
fn steps<'d>(model: &Model<'d>, list: &[Name<'d>], provider: Provider) -> Vec<Step<'d>> {
    let mut found = Vec::new();
    extend(model, list, provider, 0, &mut found);
    found
}

fn extend<'d>(model: &Model<'d>, list: &[Name<'d>], provider: Provider, depth: usize, found: &mut Vec<Step<'d>>) {
    for name in list {
        if found.len() >= MOST {
            return;
        }
        let Some(node) = find(model, name, provider) else {
            found.push(Step::Unknown(name.clone()));
            continue;
        };
        match node.get("chain") {
            // no real configuration has so many
            Some(_) if depth == DEEPEST || found.len() + 1 == MOST => found.push(Step::Unknown(name.clone())),
            Some(chain) => extend(model, &names(&chain, "middlewares"), provider, depth + 1, found),
            None => found.push(Step::Known(node.clone(), name.node.clone())),
        }
    }
}

/// The entry points of a router: those that it names, or the default ones, or all.
fn of<'m, 'd>(model: &'m Model<'d>, router: &Router<'d>) -> Vec<&'m EntryPoint<'d>> {
    let all = || model.entry_points.iter();
    if router.entry_points.is_empty() {
        let default: Vec<_> = all().filter(|(_, point)| point.default).map(|(_, point)| point).collect();
        return if default.is_empty() { all().map(|(_, point)| point).collect() } else { default };
    }
    all().filter(|(name, _)| router.entry_points.contains(name)).map(|(_, point)| point).collect()
}

/// The middlewares that a router's requests go through, from each entry point by which they come.
pub(super) fn ways<'d>(model: &Model<'d>, router: &Router<'d>) -> Vec<Vec<Step<'d>>> {
    // a router below another one goes through the middlewares of that one first
    let above = names(&router.node, "parentrefs");
    let named =
        |parent: &&Router<'d>| above.iter().any(|name| name.name.split('@').next() == Some(parent.name.as_str()));
    let mut own: Vec<Name<'d>> =
        model.routers.iter().find(named).map(|parent| parent.middlewares.clone()).unwrap_or_default();
    own.extend(router.middlewares.iter().cloned());
    let points = of(model, router);
    let mut ways: Vec<Vec<Step<'d>>> = Vec::new();
    for point in points.iter().filter(|point| !point.redirects) {
        let mut way = steps(model, &point.middlewares, Provider::File);
        way.extend(steps(model, &own, router.provider));
        ways.push(way);
    }
    if points.is_empty() {
        ways.push(steps(model, &own, router.provider));
    }
    ways
}

fn follow<'d>(
    model: &Model<'d>,
    router: &Router<'d>,
    is_check: &dyn Fn(&Node<'_>) -> bool,
    beside: &mut Beside<'_, 'd>,
    findings: &mut Vec<Diagnostic>,
) {
    // Traefik's own answers: pages that tell nothing of requests, but for two
    let service = router.service.to_ascii_lowercase();
    let internal = service.ends_with("@internal");
    if internal && !matches!(service.as_str(), "api@internal" | "rest@internal") {
        return;
    }
    let (one, points, ways) = (router.has_one_host(), of(model, router), ways(model, router));
    // Kubernetes opens only ports that a `Service` names, and not that of the entry point `traefik`
    let inside = router.provider == Provider::Kubernetes && router.entry_points == ["traefik"];
    if internal && inside && points.is_empty() {
        return;
    }
    if internal {
        let open = points.is_empty() || points.iter().any(|point| !is_of_this_machine(point.node.text("address")));
        let guarded = |way: &Vec<Step<'_>>| {
            let all = way.iter().any(|step| matches!(step, Step::Unknown(_)));
            all || way
                .iter()
                .any(|step| matches!(step, Step::Known(node, _) if guards(node) || redirects(node, router)))
        };
        if open && !ways.iter().all(guarded) {
            findings.push(router.node.warning(
                "traefik-api-open",
                open_api(&service),
                "add the check to its `middlewares`, or let its entry point listen on `127.0.0.1`",
            ));
        }
        return;
    }
    let mut unchecked = false;
    for way in &ways {
        if way.iter().any(|step| matches!(step, Step::Known(node, _) if redirects(node, router))) {
            continue;
        }
        let at = way.iter().position(|step| matches!(step, Step::Known(node, _) if is_check(node)));
        unchecked |= at.is_none();
        if at.is_none() || way.iter().any(|step| matches!(step, Step::Unknown(_))) {
            for step in way {
                let Step::Unknown(name) = step else { continue };
                findings.push(name.node.warning(
                    NOT_CHECKED,
                    format!(
                        "the middleware `{}` is not defined in what was read, so what it does is not known",
                        name.written()
                    ),
                    "name the file that defines it with `--traefik` too",
                ));
            }
        }
        let Some(at) = at else { continue };
        for (position, step) in way.iter().enumerate() {
            if let Step::Known(node, named) = step {
                around(node, named, position < at, one, findings);
                if position > at && !is_check(node) {
                    node.members().iter().for_each(|(_, config)| caller(config, findings));
                }
            }
        }
    }
    if unchecked && !beside.is_of_another(router, &ways, findings) {
        findings.push(router.node.warning(
            "traefik-router-unchecked",
            "this router does not go through the check, so its requests reach the service unchecked",
            "add the check to its `middlewares`, or to those of its entry points; what is to be open is `public: true` in \
             the route file",
        ));
    }
}

/// What happens where any client reaches a service of Traefik itself.
fn open_api(service: &str) -> &'static str {
    if service.starts_with("rest@") {
        "unauthenticated requests reach this router, and give Traefik other routers and services, without the check"
    } else {
        "unauthenticated requests reach this router, and read each router, service and middleware, with the secrets in them"
    }
}

/// Whether a middleware lets some clients pass alone: by the sidecar, another authentication, or their address.
fn guards(node: &Node<'_>) -> bool {
    const GUARDS: &[&str] = &["basicauth", "digestauth", "forwardauth"];
    let listed = |(kind, config): &(&str, Node<'_>)| {
        let list = names(config, "sourcerange");
        matches!(*kind, "ipallowlist" | "ipwhitelist")
            && !list.is_empty()
            && !list.iter().any(|ip| is_everybody(&ip.name))
    };
    node.members().iter().any(|member| GUARDS.contains(&member.0) || listed(member))
}

/// Whether a middleware sends every request of a router elsewhere.
fn redirects(node: &Node<'_>, router: &Router<'_>) -> bool {
    let scheme = node.get("redirectscheme").is_some_and(|to| to.text("scheme").eq_ignore_ascii_case("https"));
    let everything = [
        "",
        ".*",
        "(.*)",
        "^.*",
        "^.*$",
        "^(.*)$",
        "^http://(.*)",
        "^http://(.*)$",
        "^https?://(.*)",
        "^https?://(.*)$",
    ];
    let regex = node.get("redirectregex").is_some_and(|to| everything[1..].contains(&to.text("regex")));
    (scheme && !router.tls) || regex
}

/// A middleware in front of the check or behind it, maybe of a router that takes requests for one host alone.
fn around(node: &Node<'_>, named: &Node<'_>, before: bool, one: bool, findings: &mut Vec<Diagnostic>) {
    for (kind, config) in node.members() {
        if PATHS.contains(&kind) && before {
            findings.push(named.warning(
                "traefik-path-before-check",
                "the path is rewritten in front of the check, so the sidecar sees another than the client sent",
                "put the check first in the router's `middlewares`, and write routes for what the client sends",
            ));
        }
        if PATHS.contains(&kind) && !before {
            findings.push(named.warning(
                "traefik-path-rewritten",
                "the path is rewritten behind the check, so the sidecar and the service may see different ones",
                "let the service have the path as it was sent: what is taken off may be the part by which routes decide",
            ));
        }
        if kind == "grpcweb" && !before {
            findings.push(named.warning(
                "traefik-content-type-changed",
                body_changed("Content-Type"),
                "put it in front of the check in the router's `middlewares`, so that the sidecar sees what it makes",
            ));
        }
        if kind == "errors" && before {
            findings.push(named.warning(
                "traefik-errors-before-check",
                "what the sidecar denies is sent on as a `GET` for the error page, unchecked and with the client's own \
                 headers",
                "put it behind the check in the router's `middlewares`",
            ));
        }
        if kind == "headers" {
            headers(&config, before, one, findings);
        }
        if kind == "plugin" || (!PATHS.contains(&kind) && !KNOWN.contains(&kind)) {
            findings.push(named.warning(
                NOT_CHECKED,
                format!("what the middleware `{kind}` makes of a request is not known here"),
                "see that it changes neither method, path, host nor the sidecar's headers, and passes nothing on",
            ));
        }
    }
}

/// Another authentication behind the check that says who asks in the sidecar's own headers.
fn caller(config: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let told = |at: &Node<'_>, name: &str, findings: &mut Vec<Diagnostic>| {
        findings.push(at.warning(
            "traefik-identity-set",
            format!("`{name}` is set behind the check, and not by the sidecar"),
            "give it another name, or leave it out: the sidecar's answer sets it",
        ));
    };
    // of `basicAuth`, `digestAuth` and `forwardAuth`
    if let Some(field) = config.get("headerfield").filter(|field| field.value.as_str().is_some_and(is_identity)) {
        told(&field, config.text("headerfield"), findings);
    }
    let list = names(config, "authresponseheaders");
    for copied in list.iter().filter(|copied| is_identity(&copied.name)) {
        told(&copied.node, copied.written(), findings);
    }
    check::of_body(&list, findings);
    // another authentication writes the caller that it found into `headerField`
    if let Some(field) = config.get("headerfield").filter(|field| field.value.as_str().is_some_and(is_of_body)) {
        findings.push(field.warning(
            "traefik-content-type-changed",
            body_changed(config.text("headerfield")),
            BODY_HELP,
        ));
    }
    if let Some(pattern) = config.get("authresponseheadersregex") {
        told(&pattern, "X-Palisade-Principal` and whatever else the pattern fits", findings);
    }
}

fn headers(config: &Node<'_>, before: bool, one: bool, findings: &mut Vec<Diagnostic>) {
    for (name, value) in config.get("customrequestheaders").map(|set| set.members()).unwrap_or_default() {
        let empty = value.value.as_str().is_none_or(str::is_empty);
        if is_identity(name) && !before {
            findings.push(value.warning(
                "traefik-identity-set",
                format!("`{name}` is set behind the check, and not by the sidecar"),
                "leave it out: the sidecar's answer sets it",
            ));
        }
        let text = value.value.as_str().unwrap_or_default();
        if before && names_caller(name, text, &[]) {
            findings.push(value.warning(
                "traefik-check-told",
                format!("the sidecar gets a fixed `{name}`, so every caller is that one"),
                "leave it out: the client's own is passed to the sidecar",
            ));
        }
        if !before && !one && !empty && names_host(name, text) {
            findings.push(value.warning(
                "traefik-host-changed",
                "the service gets another host than was checked",
                "leave it out, or let its router take one host alone: ``Host(`app.test`)``",
            ));
        } else if !before && overrides(name, text, false) {
            findings.push(value.warning(
                "traefik-override-set",
                format!("`{name}` is set behind the check: some services take another request by it than was checked"),
                "leave it out",
            ));
        }
        if !before && is_of_body(name) {
            findings.push(value.warning("traefik-content-type-changed", body_changed(name), BODY_HELP));
        }
        if matches!(name, "x-forwarded-uri" | "x-forwarded-method" | "x-forwarded-host") && before && !empty {
            findings.push(value.warning(
                "traefik-path-before-check",
                "the sidecar may be asked about another request than the client's",
                "leave it out: Traefik says itself what is asked for",
            ));
        }
    }
}

/// Providers that make routers by themselves.
fn exposed(model: &Model<'_>, is_check: &dyn Fn(&Node<'_>) -> bool, findings: &mut Vec<Diagnostic>) {
    let checked = |point: &EntryPoint<'_>| {
        let way = steps(model, &point.middlewares, Provider::File);
        point.redirects || way.iter().any(|step| matches!(step, Step::Known(node, _) if is_check(node)))
    };
    if !model.entry_points.is_empty() && model.entry_points.iter().all(|(_, point)| checked(point)) {
        return;
    }
    for node in &model.exposed {
        findings.push(node.warning(
            "traefik-exposed-by-default",
            "every container gets a router of its own, without the check",
            "set `exposedByDefault: false`, or name the check in the `middlewares` of each entry point",
        ));
    }
}
