//! `palisade routes explain`: the check that one request becomes, and its decision.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::bundle::{self, BundleArgs};
use crate::cli::check::as_json;
use crate::cli::exit::{Exit, Stop};
use crate::cli::names::Names;
use crate::cli::routes::Ready;
use crate::cli::routes::store::Store;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::cli::test::{denied_by, policy_error};
use crate::cli::why;
use crate::cli::{OutputFormat, clock, progress};
use palisade_engine::model::{AccessRequest, Decision, Diagnostic, Explanation, Revision, Uid, Value};
use palisade_engine::{Snapshot, on_big_stack};
use palisade_routes::{
    Auth, Body, Effect, Entities, Identity, Outcome, Peer, Refusal, RequestFacts, Route, RouteTable, Rule, show_check,
};

/// Flags of `palisade routes explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Method and target, such as `GET /devices/7?full=1`
    #[arg(value_name = "REQUEST")]
    pub request: String,
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// The host that the client named [default: each host of the routes]
    #[arg(long, value_name = "HOST", help_heading = "Request")]
    pub host: Option<String>,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", help_heading = "Request")]
    pub header: Vec<String>,
    /// The body: JSON, a file that holds it as `@FILE`, or `-` for standard input
    #[arg(short, long, value_name = "JSON|@FILE", help_heading = "Request")]
    pub body: Option<String>,
    /// Principal, such as `User::alice`, or in full `App::User::"alice"`; without it there is no decision, and what
    /// depends on it is shown as `<...>`
    #[arg(short = 'l', long, value_name = "UID", help_heading = "Request")]
    pub principal: Option<String>,
    /// How the principal authenticated: `context.auth.method`
    #[arg(long, value_name = "METHOD", requires = "principal", help_heading = "Request")]
    pub auth: Option<String>,
    /// The principal authenticated with a second factor: `context.auth.mfa`
    #[arg(long, requires = "principal", help_heading = "Request")]
    pub mfa: bool,
    /// The verified claims, a JSON object
    #[arg(long, value_name = "JSON", help_heading = "Request")]
    pub claims: Option<String>,
    /// The address of the client, `peer.ip`
    #[arg(long, value_name = "IP", help_heading = "Request")]
    pub peer_ip: Option<IpAddr>,
    /// The name in the certificate of the client, `peer.name`
    #[arg(long, value_name = "NAME", help_heading = "Request")]
    pub peer_name: Option<String>,
    /// The time of the request, such as 2026-11-21T12:00:00Z [default: the clock's]
    #[arg(long, value_name = "TIME", value_parser = clock::parse, help_heading = "Request")]
    pub now: Option<i64>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// What a request became on one host.
struct Explained<'t> {
    host: Option<String>,
    route: Option<&'t Route>,
    /// The rules of the route that concern the request.
    concerning: Vec<&'t Rule>,
    outcome: Result<Outcome<'static>, Refusal>,
    /// The decision of each check, where it is known who asks.
    answers: Option<Vec<Answer>>,
}

/// The decision of one check, or why there is none.
type Answer = Result<(Decision, Option<Explanation>), String>;

/// The method of authentication where no flag names one.
const USUAL_METHOD: &str = "password";

/// Runs the verb.
///
/// # Errors
/// If the routes or the flags cannot be used.
pub(super) fn run(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let Some((method, target)) = args.request.split_once(' ') else {
        return Err(Stop::usage(format!("`{}` is not a request; write `GET /path`", args.request)));
    };
    let body = match args.body.as_deref() {
        None => None,
        Some("-") => {
            let mut text = String::new();
            terminal.stdin.read_to_string(&mut text)?;
            Some(text)
        }
        Some(text) => Some(match text.strip_prefix('@') {
            Some(path) => {
                fs::read_to_string(path).map_err(|error| Stop::failure(format!("cannot read {path}: {error}")))?
            }
            None => text.to_owned(),
        }),
    };
    let mut headers = Vec::new();
    for header in &args.header {
        let (name, value) =
            header.split_once(':').ok_or_else(|| Stop::usage(format!("`--header {header}`: write `Name: value`")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let claims = args
        .claims
        .as_deref()
        .map(|text| Value::parse(text.as_bytes()))
        .transpose()
        .map_err(|error| Stop::usage(format!("--claims: not JSON: {error}")))?;
    let ready = super::read(&args.bundle, terminal)?;
    let store = ready.store(terminal)?;
    let names = Names::of(ready.bundle.schema.as_ref(), &ready.engine.limits, &[args.principal.as_deref()]);
    let principal = args.principal.as_deref().map(|name| names.entity(name)).transpose();
    let principal = principal.map_err(|error| Stop::usage(format!("--principal: {error}")))?;
    let auth = Auth { method: args.auth.as_deref().unwrap_or(USUAL_METHOD), mfa: args.mfa };
    let identity = principal.map(|principal| Identity {
        principal: in_namespace(principal, &ready.table),
        auth: Some(auth),
        token: None,
        claims: claims.as_ref(),
    });
    let facts = RequestFacts {
        method,
        target: target.as_bytes(),
        host: args.host.as_deref(),
        headers: &headers,
        body: Body::Whole(body.as_ref().map_or(b"", |body| body.as_bytes())),
        peer: Peer { ip: args.peer_ip, name: args.peer_name.as_deref() },
    };
    let mut explained = if args.host.is_some() {
        vec![explain(&ready.table, facts, identity.as_ref(), &store)]
    } else {
        anywhere(&ready.table, facts, identity.as_ref(), &store)
    };
    if identity.is_some() {
        let now = args.now.unwrap_or_else(clock::now);
        let warnings = decide(&mut explained, &ready, now)?;
        bundle::show(&warnings, terminal.err)?;
    }
    write(&explained, args, terminal)?;
    Ok(exit(&explained))
}

/// The worst of what came of the request on each host.
fn exit(explained: &[Explained<'_>]) -> Exit {
    let answers = || explained.iter().flat_map(|one| one.answers.iter().flatten());
    if answers().any(Result::is_err) {
        return Exit::Undecided;
    }
    let denied = answers().flatten().any(|(decision, _)| !decision.outcome.is_allow());
    if denied || explained.iter().any(|one| one.outcome.is_err()) { Exit::Deny } else { Exit::Success }
}

/// Decides every check. Gives what is to be said of the bundle.
fn decide(explained: &mut [Explained<'_>], ready: &Ready, now: i64) -> io::Result<Vec<Diagnostic>> {
    if !explained.iter().any(|one| matches!(one.outcome, Ok(Outcome::Checks(_)))) {
        return Ok(Vec::new());
    }
    on_big_stack(|| {
        let revision = Revision { incarnation: 0, counter: 1 };
        let bundle = Arc::new(ready.bundle.clone());
        let built = Snapshot::build_observed(bundle, &ready.engine, revision, &progress::observers());
        for one in explained {
            let Ok(Outcome::Checks(checks)) = &one.outcome else { continue };
            let answers = checks.iter().map(|check| match &built {
                Ok((snapshot, _)) => snapshot
                    .decide(check, now)
                    .map_err(|error| error.message)
                    .map(|decision| (decision, snapshot.explain(check, now, &why::options(false)).ok())),
                Err(_) => Err("the bundle cannot be used".to_owned()),
            });
            one.answers = Some(answers.collect());
        }
        match built {
            Ok((_, warnings)) => warnings,
            Err(problems) => ready.chosen.with_places(problems),
        }
    })
}

/// A principal whose type was written without the namespace that the routes have, if they have just one such type.
fn in_namespace<'u>(principal: Uid<'u>, table: &RouteTable) -> Uid<'u> {
    let types = table.routes().iter().flat_map(|route| match &route.effect {
        Effect::Checks { principals, .. } => principals.as_slice(),
        Effect::Public | Effect::Deny(_) => &[],
    });
    let same = |name: &&String| name.rsplit("::").next() == Some(&*principal.type_name);
    let mut known: Vec<&String> = types.filter(same).collect();
    known.sort_unstable();
    known.dedup();
    match known.as_slice() {
        [one] => Uid { type_name: (*one).clone().into(), ..principal },
        _ => principal,
    }
}

/// The hosts on which the request has a route; where it has none anywhere, the refusal.
fn anywhere<'t>(
    table: &'t RouteTable,
    facts: RequestFacts<'t>,
    identity: Option<&Identity<'_>>,
    store: &Store,
) -> Vec<Explained<'t>> {
    let mut hosts: Vec<String> = table.routes().iter().flat_map(|route| route.hosts.iter().cloned()).collect();
    hosts.sort();
    hosts.dedup();
    let mut all: Vec<Explained<'t>> = Vec::new();
    for host in hosts.into_iter().map(|host| host.replace('*', "any")).chain(["unnamed.invalid".to_owned()]) {
        // a handful of names for the life of a command
        let one = explain(table, RequestFacts { host: Some(String::leak(host)), ..facts }, identity, store);
        let same = |other: &Explained<'_>| match (one.route, other.route) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (None, None) => one.outcome == other.outcome,
            _ => false,
        };
        if !all.iter().any(same) {
            all.push(one);
        }
    }
    let unmapped = |one: &Explained<'_>| matches!(&one.outcome, Err(refusal) if refusal.route.is_none());
    if all.iter().any(|one| !unmapped(one)) {
        all.retain(|one| !unmapped(one));
    } else {
        // a path that is known for another method says more than one that is not known
        all.sort_by_key(|one| matches!(&one.outcome, Err(refusal) if refusal.message.starts_with("no route")));
        all.truncate(1);
        all.iter_mut().for_each(|one| one.host = None);
    }
    all
}

fn explain<'t>(
    table: &'t RouteTable,
    facts: RequestFacts<'t>,
    identity: Option<&Identity<'_>>,
    store: &Store,
) -> Explained<'t> {
    let host = facts.host.filter(|host| *host != "unnamed.invalid").map(str::to_owned);
    let found = match table.find(facts) {
        Ok(found) => found,
        Err(refusal) => {
            return Explained { host, route: None, concerning: Vec::new(), outcome: Err(refusal), answers: None };
        }
    };
    let route = found.route();
    let somebody = somebody(route);
    let stand_in = StandIn { principal: &somebody.principal };
    let (identity, entities): (&Identity<'_>, &dyn Entities) = match identity {
        Some(identity) => (identity, store),
        None => (&somebody, &stand_in),
    };
    let concerning = found.concerning(identity, entities);
    let outcome = found.resolve(Some(identity), entities).map(|outcome| match outcome {
        Outcome::Public => Outcome::Public,
        Outcome::Checks(checks) => Outcome::Checks(checks.into_iter().map(AccessRequest::into_owned).collect()),
    });
    Explained { host, route, concerning, outcome, answers: None }
}

/// A principal that stands for any caller.
fn somebody(route: Option<&Route>) -> Identity<'static> {
    let allowed = match route.map(|route| &route.effect) {
        Some(Effect::Checks { principals, .. }) => principals.first().cloned(),
        _ => None,
    };
    let type_name = allowed.unwrap_or_else(|| "User".to_owned());
    let principal = Uid { type_name: type_name.into(), id: "<principal>".into() };
    Identity { principal, auth: None, token: None, claims: None }
}

/// Names what would be looked up.
struct StandIn<'a> {
    principal: &'a Uid<'a>,
}

impl Entities for StandIn<'_> {
    fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>> {
        let of = if entity == self.principal { "principal".to_owned() } else { entity.id.to_string() };
        Some(Uid { type_name: "Entity".into(), id: format!("<{of}.{attribute}>").into() })
    }
}

fn write(all: &[Explained<'_>], args: &ExplainArgs, terminal: &mut Terminal<'_>) -> io::Result<()> {
    if args.format == OutputFormat::Json {
        let shown: Vec<_> = all.iter().map(|one| json(one, &args.request)).collect();
        serde_json::to_writer_pretty(&mut *terminal.out, &shown)?;
        return writeln!(terminal.out);
    }
    for one in all {
        let host = one.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        writeln!(terminal.out, "{}{host}", toned(&args.request, Tone::Strong, terminal.color))?;
        if let Some(route) = one.route {
            writeln!(terminal.out, "  route    {}", route.pattern)?;
            for condition in &route.when {
                writeln!(terminal.out, "  when     {condition}")?;
            }
            let (does, others) = route.with(&one.concerning);
            let of_others = match others {
                0 => None,
                1 => Some("(1 more rule does not apply to this request)".to_owned()),
                n => Some(format!("({n} more rules do not apply to this request)")),
            };
            let lines = does.iter().chain(&of_others).flat_map(|text| wrapped(text, WIDTH));
            for (n, line) in lines.enumerate() {
                writeln!(terminal.out, "  {:<8} {line}", if n == 0 { "becomes" } else { "" })?;
            }
            writeln!(terminal.out, "  at       {}", route.place)?;
        }
        match &one.outcome {
            Ok(Outcome::Public) => {
                writeln!(terminal.out, "  passes   {}", toned("public", Tone::Good, terminal.color))?;
            }
            Ok(Outcome::Checks(checks)) => {
                for (n, check) in checks.iter().enumerate() {
                    writeln!(terminal.out, "  check    {}", toned(show_check(check), Tone::Good, terminal.color))?;
                    match one.answers.as_ref().and_then(|answers| answers.get(n)) {
                        Some(answer) => write_answer(answer, terminal)?,
                        None => writeln!(terminal.out, "  answer   name a principal with `--principal` to see it")?,
                    }
                }
                if one.answers.is_some() && args.auth.is_none() && checks.iter().any(wants_auth) {
                    let mfa = args.mfa;
                    writeln!(
                        terminal.out,
                        "  assumed  auth = {{method: \"{USUAL_METHOD}\", mfa: {mfa}}}; see `--auth`, `--mfa`"
                    )?;
                }
            }
            Err(refusal) => {
                writeln!(terminal.out, "  refused  {}", toned(refusal, Tone::Bad, terminal.color))?;
                if let (None, Some(place)) = (one.route, &refusal.route) {
                    writeln!(terminal.out, "  at       {place}")?;
                }
            }
        }
    }
    Ok(())
}

/// How many characters of a text stand in a line.
const WIDTH: usize = 100;

/// A text in lines that are no longer than `width`, as far as its words allow; all but the first are indented.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(format!("  {word}")),
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

fn wants_auth(check: &AccessRequest<'_>) -> bool {
    check.context.get("auth").is_some()
}

fn write_answer(answer: &Answer, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let (decision, explained) = match answer {
        Ok(answer) => answer,
        Err(why) => {
            return writeln!(
                terminal.out,
                "  answer   {}",
                toned(format_args!("none: {why}"), Tone::Bad, terminal.color)
            );
        }
    };
    let (word, tone) = if decision.outcome.is_allow() { ("ALLOW", Tone::Good) } else { ("DENY", Tone::Bad) };
    write!(terminal.out, "  answer   {}", toned(word, tone, terminal.color))?;
    let ids: Vec<&str> = decision.reasons.iter().map(|id| &**id).collect();
    match (&decision.denied_by, ids.is_empty()) {
        (Some(denied), _) => writeln!(terminal.out, ": {}", denied_by(denied))?,
        (None, true) => writeln!(terminal.out, ": no policy determined this")?,
        (None, false) => writeln!(terminal.out, ", determined by {}", ids.join(", "))?,
    }
    decision
        .errors
        .iter()
        .try_for_each(|error| writeln!(terminal.out, "           policy error {}", policy_error(error)))?;
    match explained {
        Some(explained) => why::write_nearest_and_change(explained, terminal.color, terminal.out),
        None => Ok(()),
    }
}

fn json(one: &Explained<'_>, request: &str) -> serde_json::Value {
    let refused = one.outcome.as_ref().err();
    let checks = one.outcome.as_ref().ok().map(|outcome| match outcome {
        Outcome::Public => vec!["public".to_owned()],
        Outcome::Checks(checks) => checks.iter().map(show_check).collect(),
    });
    let answers = one.answers.as_ref().map(|answers| {
        let one = |answer: &Answer| match answer {
            Ok((decision, explained)) => {
                let mut shown = as_json(decision);
                if let Some(explained) = explained {
                    shown["explanation"] = why::json(explained);
                }
                shown
            }
            Err(why) => json!({"error": why}),
        };
        answers.iter().map(one).collect::<Vec<_>>()
    });
    json!({
        "request": request,
        "host": one.host,
        "route": one.route.map(|route| route.pattern.to_string()),
        "where": one.route.map(|route| &route.place).or(refused.and_then(|refusal| refusal.route.as_ref())),
        "checks": checks,
        "answers": answers,
        "refused": refused.map(|refusal| json!({"code": refusal.code, "message": refusal.message})),
    })
}
