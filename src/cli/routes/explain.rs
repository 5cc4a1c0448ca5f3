//! `palisade routes explain`: the check that one request becomes.

use std::fs;
use std::io;

use clap::Args;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::routes::store::Store;
use crate::cli::terminal::{Terminal, Tone, toned};
use crate::domain::{Uid, Value};
use crate::gateway::{
    Body, Effect, Entities, Identity, Outcome, Peer, Refusal, RequestFacts, Route, RouteTable, show_check,
};

/// Flags of `palisade routes explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Method and target, such as `GET /devices/7?full=1`
    #[arg(value_name = "REQUEST")]
    pub request: String,
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// The host that the client named [default: each that the routes are for]
    #[arg(long, value_name = "HOST", help_heading = "Request")]
    pub host: Option<String>,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", help_heading = "Request")]
    pub header: Vec<String>,
    /// The body: JSON, a file that holds it as `@FILE`, or `-` for standard input
    #[arg(short, long, value_name = "JSON|@FILE", help_heading = "Request")]
    pub body: Option<String>,
    /// Who asks, such as `User::"alice"`; without it, what depends on that is shown as `<...>`
    #[arg(short = 'l', long, value_name = "UID", help_heading = "Request")]
    pub principal: Option<String>,
    /// The verified claims, a JSON object
    #[arg(long, value_name = "JSON", help_heading = "Request")]
    pub claims: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// What a request became on one host.
struct Explained<'t> {
    host: Option<String>,
    route: Option<&'t Route>,
    outcome: Result<Vec<String>, Refusal>,
}

/// Runs the verb.
///
/// # Errors
/// If the routes or the flags cannot be used.
pub fn run(args: &ExplainArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let Some((method, target)) = args.request.split_once(' ') else {
        return Err(Stop::usage(format!("`{}` is no request; write `GET /path`", args.request)));
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
    let principal = args
        .principal
        .as_deref()
        .map(Uid::parse)
        .transpose()
        .map_err(|error| Stop::usage(format!("--principal: {error}")))?;
    let claims = args
        .claims
        .as_deref()
        .map(|text| Value::parse(text.as_bytes()))
        .transpose()
        .map_err(|error| Stop::usage(format!("--claims: not JSON: {error}")))?;
    let ready = super::read(&args.bundle, terminal)?;
    let store = ready.store(terminal)?;
    let identity = principal.map(|principal| Identity {
        principal: in_namespace(principal, &ready.table),
        auth: None,
        token: None,
        claims: claims.as_ref(),
    });
    let facts = RequestFacts {
        method,
        target: target.as_bytes(),
        host: args.host.as_deref(),
        headers: &headers,
        body: Body::Whole(body.as_ref().map_or(b"", |body| body.as_bytes())),
        peer: Peer::default(),
    };
    let explained = if args.host.is_some() {
        vec![explain(&ready.table, facts, identity.as_ref(), &store)]
    } else {
        anywhere(&ready.table, facts, identity.as_ref(), &store)
    };
    write(&explained, args, terminal)?;
    let refused = explained.iter().any(|one| one.outcome.is_err());
    Ok(if refused { Exit::Deny } else { Exit::Success })
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
        Err(refusal) => return Explained { host, route: None, outcome: Err(refusal) },
    };
    let route = found.route();
    let somebody = somebody(route);
    let stand_in = StandIn { principal: &somebody.principal };
    let (identity, entities): (&Identity<'_>, &dyn Entities) = match identity {
        Some(identity) => (identity, store),
        None => (&somebody, &stand_in),
    };
    let outcome = found.resolve(Some(identity), entities).map(|outcome| match outcome {
        Outcome::Public => vec!["public".to_owned()],
        Outcome::Checks(checks) => checks.iter().map(show_check).collect(),
    });
    Explained { host, route, outcome }
}

/// A principal that stands for whoever asks.
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
            writeln!(terminal.out, "  becomes  {route}")?;
            writeln!(terminal.out, "  at       {}", route.place)?;
        }
        match &one.outcome {
            Ok(checks) => {
                for check in checks {
                    let word = if check == "public" { "passes" } else { "check" };
                    writeln!(terminal.out, "  {word:7}  {}", toned(check, Tone::Good, terminal.color))?;
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

fn json(one: &Explained<'_>, request: &str) -> serde_json::Value {
    let refused = one.outcome.as_ref().err();
    json!({
        "request": request,
        "host": one.host,
        "route": one.route.map(|route| route.pattern.to_string()),
        "where": one.route.map(|route| &route.place).or(refused.and_then(|refusal| refusal.route.as_ref())),
        "checks": one.outcome.as_ref().ok(),
        "refused": refused.map(|refusal| json!({"code": refusal.code, "message": refusal.message})),
    })
}
