//! The locations that pass requests on to a service.

use std::collections::HashSet;

use crate::answers::normal;
use crate::directive::Directive;
use crate::headers::{URL, is_held_to_the_same, is_path, overrides};
use crate::nginx::known::Known;
use crate::nginx::scope::{Block, Matches, Server};
use crate::nginx::target::{Target, resolved, variables, writes_path};
use crate::nginx::value::{of_client, reads};
use crate::nginx::{bodies, cache, host};
use crate::report::Report;
use crate::{IDENTITY, NOT_CHECKED, is_identity};

/// What passes requests on, and what sets the headers that go along.
const PASSES: &[(&str, &str)] = &[
    ("proxy_pass", "proxy_set_header"),
    ("grpc_pass", "grpc_set_header"),
    ("fastcgi_pass", "fastcgi_param"),
    ("uwsgi_pass", "uwsgi_param"),
    ("scgi_pass", "scgi_param"),
];

/// What helps where nothing asks.
const HELP: &str = "add `auth_request /_palisade;`; what is to be open is `public: true` in the route file";

/// Handlers of another name that run a service, or change files, unless they are `off`.
const HANDLERS: &[&str] = &["dav_methods", "passenger_enabled"];

/// A handler that the locations of a server take over from it.
const INHERITED: &str = "passenger_enabled";

/// Whether a directive passes requests on, or answers them by more than a file. By their names all modules say so.
pub(super) fn is_pass(name: &str) -> bool {
    name.ends_with("_pass") || HANDLERS.contains(&name)
}

fn is_on(directive: &Directive) -> bool {
    is_pass(directive.name()) && !(HANDLERS.contains(&directive.name()) && directive.argument(1) == "off")
}

/// What in a block itself passes requests on. nginx inherits none of these, but for one.
pub(super) fn passes<'t>(block: &Block<'t>) -> Option<&'t Directive> {
    let location = || block.head.is_some_and(|head| head.name() == "location") && block.own("return").is_none();
    let inherited = || block.nearest(INHERITED).filter(|directive| is_on(directive) && location());
    block.body().iter().find(|directive| is_on(directive)).or_else(inherited)
}

/// Whether anything in a body or in its blocks passes requests on.
pub(super) fn pass_on(body: &[Directive]) -> bool {
    body.iter().any(|d| is_on(d) || pass_on(d.body()))
}

/// Whether it is known here what of a request goes along with what a directive passes on.
pub(super) fn is_known(pass: &Directive) -> bool {
    PASSES.iter().any(|(name, _)| *name == pass.name())
}

/// What sets the headers that go along with what `pass` passes on.
pub(super) fn setter(pass: &Directive) -> &'static str {
    PASSES.iter().find(|(name, _)| *name == pass.name()).map_or("proxy_set_header", |(_, sets)| *sets)
}

/// The headers that a block sets for its service, in small letters.
pub(super) fn headers(block: &Block<'_>, pass: &Directive) -> HashSet<String> {
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("http_").map_or_else(|| name.clone(), |rest| rest.replace('_', "-"))
    };
    block.all(setter(pass)).iter().map(|set| plain(set.argument(1))).collect()
}

pub(super) fn lint(server: &Server<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let passing = server.blocks.iter().filter(|block| !known.is_check(block)).filter_map(|b| Some((b, passes(b)?)));
    let (others, passing): (Vec<(&Block<'_>, &Directive)>, Vec<_>) =
        passing.partition(|(block, pass)| known.is_of_others(block, pass));
    for (block, pass) in others.into_iter().filter(|(block, _)| block.asks().is_some()) {
        guarded_by_another(block, pass, known, report);
    }
    for (block, pass) in &passing {
        if !is_known(pass) {
            if block.asks().is_some() {
                report.warn(
                    NOT_CHECKED,
                    pass.at,
                    &format!("what of a request `{}` gives to the service is not known here", pass.name()),
                    "see that the service gets the method, the path and the host that were checked, and the sidecar's headers \
                     in the place of a client's own",
                );
            }
            continue;
        }
        path(block, pass, report);
        host::lint(server, block, pass, known, report);
        cache::lint(block, pass, known, report);
        upgrade(block, known, report);
        overridden(block, pass, known, report);
        if block.asks().is_some() {
            checked(block, pass, known, report);
        }
        // of copies nginx takes the variables of the request that is copied
        let copied = mirrored(server, block, known);
        if block.asks().is_some() || copied.is_some() {
            identity(block, &copied.unwrap_or_else(|| vec![block]), pass, report);
        }
    }
    let unchecked: Vec<&Block<'_>> = passing
        .iter()
        .map(|(block, _)| *block)
        .filter(|block| block.nearest("auth_request").is_none() && mirrored(server, block, known).is_none())
        .collect();
    if unchecked.len() == passing.len()
        && !unchecked.is_empty()
        && let Some(head) = server.head
    {
        let message = "nothing asks the sidecar about the requests of this server: they reach the service unchecked";
        report.missing("nginx-unchecked", Some(head.at), message, HELP);
        return;
    }
    for block in unchecked {
        let inside = block.own("internal").is_some() || block.matches() == Some(Matches::Name);
        let message = if inside {
            "what is sent here by `error_page`, `mirror`, `try_files` or `X-Accel-Redirect` reaches the service unchecked"
        } else {
            "requests here reach the service unchecked: no `auth_request` is active"
        };
        report.missing("nginx-unchecked", block.head.map(|head| head.at), message, HELP);
    }
}

/// A service whose requests the sidecar is asked about elsewhere, behind another check alone.
fn guarded_by_another(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    let to = |url: &String| {
        let to = known.addresses(Target::read(url).host);
        to.into_iter().any(|to| to.contains('$') || known.services.contains(&normal(to)))
    };
    if resolved(pass.argument(1), block).iter().any(to) {
        let message = "another check is asked about the requests here, and they reach a service of which the sidecar is asked \
                       elsewhere";
        report.missing("nginx-unchecked", pass.at, message, HELP);
    }
}

/// The locations that copy requests to this one by `mirror`, of which nginx makes use behind the check, if it is reached by
/// them alone: it is `internal`, nothing else names it, and each of them asks. Nothing is copied of what nginx asks itself.
fn mirrored<'s, 't>(server: &'s Server<'t>, block: &Block<'t>, known: &Known<'_>) -> Option<Vec<&'s Block<'t>>> {
    let start = match block.matches()? {
        Matches::Exactly(uri) | Matches::Prefix(uri) => Some(uri),
        Matches::Pattern => None,
        Matches::Name => return None,
    };
    block.own("internal")?;
    let leads = |other: &Block<'t>| other.all("mirror").iter().any(|line| server.may_choose(line.argument(1), block));
    let main = |other: &&Block<'t>| {
        let copy = other.own("internal").is_some() && (std::ptr::eq(*other, block) || leads_to(server, other));
        other.matches().is_some() && !known.answers_one(other) && other.own("return").is_none() && !copy
    };
    let copying: Vec<&Block<'t>> = server.blocks.iter().filter(main).filter(|other| leads(other)).collect();
    let named = |other: &Block<'t>| {
        let lines = ["error_page", "try_files", "rewrite", "auth_request"].map(|name| other.all(name)).concat();
        let here = |word: &String| {
            start.is_some_and(|uri| word.starts_with(uri)) || (word.starts_with('/') && server.may_choose(word, block))
        };
        // the page of a location behind the check is asked about where it is passed on
        lines.iter().any(|line| line.words.iter().skip(1).any(here))
    };
    let alone =
        !copying.is_empty() && copying.iter().all(|other| other.asks().is_some()) && !server.blocks.iter().any(named);
    alone.then_some(copying)
}

/// Whether some location copies requests to this one.
fn leads_to<'t>(server: &Server<'t>, block: &Block<'t>) -> bool {
    let mirrors = |other: &Block<'t>| other.all("mirror").iter().any(|line| server.may_choose(line.argument(1), block));
    server.blocks.iter().any(mirrors)
}

/// Whether the service gets the path that was checked.
fn path(block: &Block<'_>, pass: &Directive, report: &mut Report<'_>) {
    if pass.name() == "proxy_pass" && resolved(pass.argument(1), block).iter().any(|url| writes_path(url)) {
        report.warn(
            "nginx-pass-uri",
            Some(pass.at),
            "a URI in `proxy_pass` makes nginx decode and resolve the path, so the service gets another than was \
             checked",
            "leave out everything after the host, the last `/` too; `$request_uri` alone is as good",
        );
    }
    if let Some(method) = block.nearest("proxy_method").filter(|_| pass.name() == "proxy_pass") {
        report.warn(
            "nginx-method-changed",
            method.at,
            "the service gets another method than was checked",
            "leave `proxy_method` out",
        );
    }
    // the service gets each that is set, and may go by the last
    let methods = block.all(setter(pass)).into_iter().filter(|set| set.argument(1) == "REQUEST_METHOD");
    for method in methods.filter(|set| set.argument(2).replace(['{', '}'], "") != "$request_method") {
        report.warn(
            "nginx-method-changed",
            method.at,
            "the service gets another method than was checked",
            "set `REQUEST_METHOD` to `$request_method`",
        );
    }
}

/// Whether the headers of a client are passed on by themselves.
pub(super) fn passes_headers(block: &Block<'_>, pass: &Directive) -> bool {
    let switch = format!("{}_request_headers", pass.name());
    block.nearest(&switch).is_none_or(|set| set.argument(1) != "off")
}

/// Variables in which nginx keeps the path that it decoded, or a part of that.
const DECODED: &[&str] =
    &["uri", "document_uri", "fastcgi_path_info", "fastcgi_script_name", "request_filename", "realpath_root"];

/// Whether what is set is a variable of the service, and stands for no header.
fn is_parameter(set: &Directive, pass: &Directive) -> bool {
    setter(pass).ends_with("_param") && !set.argument(1).starts_with("HTTP_")
}

/// Whether the service gets another method, path or host than was checked.
fn overridden(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    for set in block.all(setter(pass)) {
        let (name, value) = (set.argument(1), set.argument(2));
        let url = setter(pass).ends_with("_param") && URL.contains(&name);
        let name = name.strip_prefix("HTTP_").unwrap_or(name);
        // the sidecar sees the client's own `X-Forwarded-Proto`, and refuses what is more than a scheme
        let seen = |variable: &str| {
            let read = variable.strip_prefix("http_");
            read.is_some_and(|read| is_held_to_the_same(name, read) && !known.hides(read))
        };
        let wanted = |variable: &str| of_client(variable) && !seen(variable);
        let of_client = reads(value, &wanted, block, known);
        // a path that nginx decoded is not the one that was checked
        let decoded = |variable: &str| DECODED.contains(&variable);
        let other_path = !is_parameter(set, pass) && is_path(name) && reads(value, &decoded, block, known);
        let writes = |value: &str| overrides(name, value, of_client);
        let written = writes(value) || resolved(value, block).iter().any(|value| writes(value));
        if written || (url && of_client) || other_path {
            report.warn(
                "nginx-override-set",
                set.at,
                &format!("`{name}` is set behind the check: some services take another request by it than was checked"),
                "leave it out, or set it to an empty value",
            );
        }
    }
}

/// Whether more is upgraded than a WebSocket where the sidecar allows one.
fn upgrade(block: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let Some(set) = block.header("proxy_set_header", "Upgrade").filter(|set| !set.argument(2).is_empty()) else {
        return;
    };
    if upgrades_more(set.argument(2), block, known, &mut HashSet::new()) {
        report.warn(
            "nginx-upgrade",
            Some(set.at),
            "any upgrade is passed on: in one to `h2c` a client sends requests that the sidecar is never asked about",
            "set it from a `map $http_upgrade` that knows `~*^websocket$` alone",
        );
    }
    if block.asks().is_some() && !known.upgrades_told {
        report.warn(
            "nginx-upgrade",
            Some(set.at),
            "the sidecar does not see an upgrade, and so allows a WebSocket on every route",
            "set `proxy_set_header Upgrade $http_upgrade;` where the sidecar is asked",
        );
    }
}

/// Whether a value may be something else than `websocket` or nothing. Each variable is followed once.
fn upgrades_more(value: &str, block: &Block<'_>, known: &Known<'_>, seen: &mut HashSet<String>) -> bool {
    if !value.contains('$') {
        return !value.is_empty() && !value.eq_ignore_ascii_case("websocket");
    }
    variables(value).any(|name| {
        if of_client(name) || name == "1" {
            return true;
        }
        if !seen.insert(name.to_owned()) {
            return false;
        }
        let sets = block.sets().into_iter().filter(|set| set.argument(1).trim_start_matches('$') == name);
        sets.into_iter().any(|set| upgrades_more(set.argument(2), block, known, seen))
            || known.maps(name).iter().flat_map(|map| map.body()).any(|line| {
                let (key, value) = (line.name(), line.argument(1));
                let special = matches!(key, "hostnames" | "volatile" | "include");
                // the whole value of the header, and a value from a part of it
                let whole = matches!(key.trim_start_matches(['~', '*']), "websocket" | "^websocket$")
                    && (key == "websocket" || key.ends_with('$'));
                let captured = key.starts_with('~') && value.contains('$');
                !special && !whole && (captured || upgrades_more(value, block, known, seen))
            })
    })
}

/// A location whose requests are asked about.
fn checked(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    if let Some(satisfy) = block.nearest("satisfy").filter(|satisfy| satisfy.argument(1) == "any") {
        report.warn(
            "nginx-satisfy-any",
            Some(satisfy.at),
            "with `satisfy any` an `allow` or `auth_basic` lets requests pass that the sidecar denied",
            "leave it out: `satisfy all` is the default",
        );
    }
    accelerated(block, pass, report);
    bodies::lint(block, pass, known, report);
}

/// What the service learns of the caller, of which `asking` are the locations that ask.
fn identity(block: &Block<'_>, asking: &[&Block<'_>], pass: &Directive, report: &mut Report<'_>) {
    let sets = setter(pass);
    let (mut missing, mut lost): (Vec<&str>, bool) = (Vec::new(), false);
    for name in IDENTITY {
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        let header = if sets.ends_with("_param") { variable.as_str() } else { name };
        if block.header(sets, header).is_none() {
            missing.push(name);
            lost |= block.loses(sets, header);
        }
        // nginx sends a header twice that is set twice, so each must be right
        for set in block.all(sets).iter().filter(|set| set.argument(1).eq_ignore_ascii_case(header)) {
            if !set.argument(2).is_empty() && !from_sidecar(asking, set.argument(2), name) {
                report.missing(
                    "nginx-identity-set",
                    Some(set.at),
                    &format!(
                        "`{name}` is set to what no `auth_request_set` takes from the sidecar's header of that name"
                    ),
                    &help(sets, name, header),
                );
            }
        }
    }
    twins(block, asking, sets, report);
    let Some(first) = missing.first().filter(|_| passes_headers(block, pass)) else { return };
    let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let replaced = if lost {
        format!("; where a block has a `{sets}`, those of the blocks around it do not count")
    } else {
        String::new()
    };
    let header = if sets.ends_with("_param") { "HTTP_X_PALISADE_..." } else { first };
    report.missing(
        "nginx-identity-headers",
        Some(pass.at),
        &format!("a client's own {names} reaches the service, because nothing active here sets it{replaced}"),
        &help(sets, first, header),
    );
}

/// Twins of the sidecar's own headers that nginx itself writes: no client can, and services take them for these.
fn twins(block: &Block<'_>, asking: &[&Block<'_>], sets: &str, report: &mut Report<'_>) {
    for set in block.all(sets) {
        let (name, value) = (set.argument(1), set.argument(2));
        let header = if sets.ends_with("_param") { name.strip_prefix("HTTP_") } else { Some(name) };
        let Some(header) = header.filter(|header| is_identity(header)) else { continue };
        let param = sets.ends_with("_param");
        let exact =
            |own: &str| header.eq_ignore_ascii_case(&if param { own.replace('-', "_") } else { own.to_owned() });
        let own = IDENTITY.iter().find(|own| exact(own));
        let right = IDENTITY.iter().any(|own| from_sidecar(asking, value, own));
        if own.is_none() && !value.is_empty() && !right {
            report.warn(
                "nginx-identity-set",
                set.at,
                &format!(
                    "services may take `{name}` for what the sidecar says of the caller, and it is not set from that"
                ),
                "leave it out, or set it to an empty value",
            );
        }
    }
}

/// Whether the service may send nginx to another path, which the sidecar is asked about by the old one. Some services do so
/// where a client names the path in a header.
fn accelerated(block: &Block<'_>, pass: &Directive, report: &mut Report<'_>) {
    let kind = pass.name().trim_end_matches("pass");
    let ignores = |line: &&Directive| line.words.iter().any(|word| word.eq_ignore_ascii_case("X-Accel-Redirect"));
    if !passes_headers(block, pass) || block.all(&format!("{kind}ignore_headers")).iter().any(ignores) {
        return;
    }
    // a client's own reaches no service where both are fixed
    let sets = setter(pass);
    let fixed = |name: &str| {
        let header = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        let set = block.header(sets, if sets.ends_with("_param") { &header } else { name });
        set.is_some_and(|set| !set.argument(2).contains('$'))
    };
    if !["X-Accel-Mapping", "X-Sendfile-Type"].iter().all(|name| fixed(name)) {
        report.missing(
            "nginx-accel-redirect",
            pass.at,
            "`X-Accel-Redirect` of the service makes nginx serve another path, which was not checked; some services send it \
             because a client names `X-Accel-Mapping` and `X-Sendfile-Type`",
            &format!(
                "set `{kind}ignore_headers X-Accel-Redirect;`, or give both headers of the client a fixed value where the \
                 service needs it"
            ),
        );
    }
}

fn help(sets: &str, name: &str, header: &str) -> String {
    let snake = name.to_ascii_lowercase().replace('-', "_");
    let variable = snake.replacen("x_", "$", 1);
    format!("set `auth_request_set {variable} $upstream_http_{snake};` and `{sets} {header} {variable};`")
}

/// Whether a value is a variable that holds what the sidecar says in the header `name`.
fn from_sidecar(asking: &[&Block<'_>], value: &str, name: &str) -> bool {
    let bare = |word: &str| word.replace(['{', '}'], "").to_ascii_lowercase();
    let source = format!("$upstream_http_{}", name.to_ascii_lowercase().replace('-', "_"));
    let taken = |block: &&Block<'_>| {
        let mut sets = block.all("auth_request_set").into_iter();
        sets.any(|set| bare(set.argument(1)) == bare(value) && bare(set.argument(2)) == source)
    };
    // a location may name itself as the one that copies
    asking.iter().any(taken)
}
