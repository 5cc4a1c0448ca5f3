//! The route table: which routes there are for a host, and which of them a request matches.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::asked::{Asked, Reads};
use crate::body;
use crate::bounds::{MAX_NODES, MAX_SAME, Problems};
use crate::condition::exclude;
use crate::facts::{Body, RequestFacts};
use crate::host::normal_host;
use crate::looks::Looks;
use crate::mask::{Kept, Masks};
use crate::methods;
use crate::overrides;
use crate::path::PathClass;
use crate::path::Target;
use crate::read::Kind;
use crate::refusal::Refusal;
use crate::resolve::Found;
use crate::route::{Effect, Route};
use crate::service::Suffixes;
use crate::trie::{RouteId, Same, Trie};
use crate::upgrade;
use palisade_engine::model::{Diagnostic, Value};

/// In the routes of how many hosts a path is looked for that the request's own host does not have.
const MAX_HOSTS: usize = 16;

/// How many places of masks are looked at for all routes, when a table is built, to know which of them masks concern. A
/// route that is not looked at is taken for one: that costs its requests some time.
const MAX_LOOKS: usize = 20_000_000;

/// All routes, compiled. Immutable; a change makes another table.
#[derive(Debug)]
pub struct RouteTable {
    /// Those that are mapped, and after them those that are only kept from wider ones.
    routes: Vec<Route>,
    mapped: usize,
    /// By host.
    exact: HashMap<String, Trie, RandomState>,
    /// By ending, such as `.example.com`; the longest first.
    wild: Vec<(String, Trie)>,
    /// For hosts that no route names.
    any: Trie,
    /// The names that they ask for.
    asked: Asked,
}

impl Default for RouteTable {
    /// A table without routes, which refuses everything.
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            mapped: 0,
            exact: HashMap::default(),
            wild: Vec::new(),
            any: Trie::new(false, None),
            asked: Asked::default(),
        }
    }
}

impl RouteTable {
    pub(super) fn build(mut routes: Vec<Route>, errors: &mut Problems) -> Self {
        routes.sort_by_key(|route| route.kind);
        let mapped = routes.iter().filter(|route| route.kind == Kind::Mapped).count();
        let keys: BTreeSet<String> = routes.iter().flat_map(|route| route.hosts.iter().cloned()).collect();
        let (mut told, mut mixed) = (HashSet::new(), HashSet::new());
        let (mut nodes, mut too_large) = (0_usize, false);
        let (mut contested, mut looks) = (vec![false; routes.len()], MAX_LOOKS);
        // captures by their routes and places
        let mut deciding: HashSet<(RouteId, usize), RandomState> = HashSet::default();
        let mut make = |key: Option<&str>| {
            let concerns = |route: &&Route| {
                route.hosts.is_empty() || key.is_some_and(|key| route.hosts.iter().any(|host| covers(host, key)))
            };
            let folds = routes.iter().find(concerns).is_some_and(|route| route.service.folds());
            let suffixes = suffixes(routes.iter().filter(concerns));
            let mut trie = Trie::new(folds, suffixes);
            let mut masks = Masks::new(suffixes != Some(Suffixes::Exact));
            for (id, route) in routes.iter().enumerate() {
                if concerns(&route) {
                    let differs = if route.service.folds() != folds {
                        Some("path_case")
                    } else if suffixes == Some(Suffixes::Format) && route.service.suffixes != suffixes {
                        Some("suffixes")
                    } else {
                        None
                    };
                    if let Some(key) = differs
                        && mixed.insert(route.origin.clone())
                    {
                        errors.push(two_routers(route, key));
                    }
                    let any_slash = route.allowed.contains(PathClass::TrailingSlash);
                    if let Some(mask) = &route.mask
                        && (route.kind != Kind::Mapped || !mask.is_fixed())
                    {
                        masks.insert(mask, id);
                    }
                    match route.kind {
                        Kind::Mapped => {}
                        Kind::Kept => {
                            trie.reserve(&route.pattern, any_slash, id);
                            continue;
                        }
                        Kind::Listed => continue,
                    }
                    trie.insert(&route.pattern, any_slash, id, &mut |other, same| {
                        // once for each route, however many others are for its requests
                        if told.contains(&id) {
                            return;
                        }
                        let first = &routes[other];
                        let problem = match same {
                            Same::TooMany => too_many(first, route),
                            Same::Few if !exclude(&first.when, &route.when) => clash(first, route),
                            Same::Few => return,
                        };
                        told.insert(id);
                        errors.push(problem);
                    });
                    if nodes + trie.len() + masks.len() > MAX_NODES {
                        if !too_large {
                            too_large = true;
                            errors.push(too_large_a_tree(route));
                        }
                        break;
                    }
                }
            }
            nodes += trie.len() + masks.len();
            for (id, route) in routes.iter().enumerate().filter(|(_, route)| concerns(route)) {
                trie.decisions(&route.pattern, &mut |place| {
                    deciding.insert((id, place));
                });
            }
            if masks.len() > 0 {
                for (id, route) in routes.iter().enumerate().filter(|(_, route)| concerns(route)) {
                    // a route that takes a format off has requests that its pattern does not show
                    contested[id] = contested[id]
                        || suffixes == Some(Suffixes::Format)
                        || masks.meets(&route.pattern, &mut looks, &|other| keeps(&routes[other], route) != Kept::None);
                }
            }
            trie.masks = masks;
            trie
        };
        let any = make(None);
        let (mut exact, mut wild) = (HashMap::default(), Vec::new());
        for key in keys {
            let trie = make(Some(&key));
            match key.strip_prefix('*') {
                Some(ending) => wild.push((ending.to_owned(), trie)),
                None => {
                    exact.insert(key, trie);
                }
            }
        }
        wild.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        for (id, (route, contested)) in routes.iter_mut().zip(contested).enumerate() {
            route.contested = contested;
            for capture in &mut route.captures {
                capture.decides |= contested || deciding.contains(&(id, capture.at));
            }
        }
        let asked = Asked::new(routes.iter().flat_map(Route::names));
        Self { routes, mapped, exact, wild, any, asked }
    }

    /// The routes, in the order of the files.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        self.routes.get(..self.mapped).unwrap_or_default()
    }

    /// The operations of documents that are not mapped. Requests for them are refused, also where a wider path is
    /// mapped.
    #[must_use]
    pub fn unmapped(&self) -> &[Route] {
        self.routes.get(self.mapped..).unwrap_or_default()
    }

    /// The route of a request, before the caller is known.
    ///
    /// # Errors
    /// If none is mapped, if the mapped one denies, or if the request can be read in two ways.
    pub fn find<'x>(&'x self, facts: RequestFacts<'x>) -> Result<Found<'x>, Refusal> {
        let target = Target::parse(facts.target).map_err(|fault| {
            Refusal::bad_request("ambiguous_path", format!("{}: {}", fault.name(), fault.describe()))
        })?;
        let trie = self.trie(facts.host)?;
        let candidates = trie.find(&target).map(|leaf| (leaf, leaf.routes(facts.method)));
        let mapped = candidates.map_or(&[][..], |(_, routes)| routes);
        // every route that it could be has a say: which one it is may depend on the body
        let ignores =
            |what| !mapped.is_empty() && self.among(mapped).all(|route| route.service.ignores.contains(&what));
        let reads_body = self.among(mapped).any(|route| route.reads_body);
        // a form may have a hundred thousand values: the tree is walked once
        let methods = OnceCell::new();
        let methods = || methods.get_or_init(|| trie.methods(&target));
        let other_methods = || methods().iter().any(|method| *method != facts.method);
        let is_mapped = |word: &str| methods().binary_search(&word.to_ascii_uppercase().as_str()).is_ok();
        // The same routes for another name are no danger. A name with a dot that no file has is one of those whose files say
        // no `hosts`; without a dot it is a machine's.
        let is_host = |host: &str| match self.named_tree(host) {
            Some(named) => !std::ptr::eq(named, trie),
            None => self.any.has_routes() && !std::ptr::eq(&raw const self.any, trie) && is_dotted_name(host),
        };
        let know = |knows: &dyn Fn(&Route) -> bool| !mapped.is_empty() && self.among(mapped).all(knows);
        let at = overrides::At {
            reads_body,
            other_methods: &other_methods,
            is_mapped: &is_mapped,
            knows_of_query: &|name| know(&|route| route.knows_of_query(name)),
            knows_of_header: &|name| know(&|route| route.knows_of_header(name)),
            knows_of_body: &|| know(&|route| route.knows_of_body(methods::PLAIN_FIELD)),
            is_host: &is_host,
        };
        overrides::check(&facts, target.query, at, &ignores)?;
        let routes = match candidates {
            Some((_, routes)) if !routes.is_empty() => routes,
            _ if !target.classes.is_empty() => return Err(ambiguous(&target)),
            None => return Err(Refusal::forbidden("no_route", self.nowhere(facts.host, &target))),
            Some((leaf, _)) => {
                let message = format!("this path is mapped for {} alone", leaf.methods().join(", "));
                return Err(Refusal::forbidden("no_route", message));
            }
        };
        let body = if reads_body {
            let first = self.among(routes).next().map(|route| route.place.as_str()).unwrap_or_default();
            Some(body::read(&facts).map_err(|refusal| refusal.by(first))?)
        } else if body::may_be_there(&facts) {
            // the service may put the path, the query and the body together
            let shown = matches!(facts.body, Body::Whole(_));
            let of = |shown| self.among(routes).flat_map(move |route| route.asked_of_body(shown)).collect();
            let (names, queries): (BTreeSet<&str>, BTreeSet<&str>) = (of(shown), of(false));
            if names.is_empty() { None } else { Some(body::seen(&facts, &self.asked, &names, &queries)?) }
        } else {
            None
        };
        self.choose(routes, facts, target, body)
    }

    fn among<'x>(&'x self, ids: &'x [RouteId]) -> impl Iterator<Item = &'x Route> {
        ids.iter().filter_map(|id| self.routes.get(*id))
    }

    /// Why a request is not for the route that its path leads to, but for an operation of a document.
    fn contest(&self, route: &Route, found: &Found<'_>) -> Option<String> {
        if !route.contested {
            return None;
        }
        let (method, slash) = (found.facts.method, found.target.trailing_slash);
        let is_one = |other: RouteId| {
            let other = &self.routes[other];
            let has = |wanted: &str| other.pattern.methods.iter().any(|method| method == wanted);
            // without a route to it, it is neither with a final slash nor without
            let ends = matches!(other.effect, Effect::Deny(_))
                || other.pattern.trailing_slash == slash
                || other.allowed.contains(PathClass::TrailingSlash);
            match keeps(other, route) {
                Kept::None => false,
                Kept::OfMethod => ends && (has(method) || (method == "HEAD" && has("GET"))),
                Kept::All => true,
            }
        };
        let other = self.trie(found.facts.host).ok()?.masks.find(&found.target.segments, &is_one)?;
        let (other, of) = self.routes.get(other).and_then(|other| Some((other, &other.mask.as_ref()?.of)))?;
        Some(match other.effect {
            Effect::Deny(_) => format!("this path may be one for an operation that is refused: {of}"),
            _ => format!("this path may also be one for {of}, and the document does not say which"),
        })
    }

    /// The one whose conditions hold. They exclude one another, so it is the only one.
    fn choose<'x>(
        &'x self,
        routes: &'x [RouteId],
        facts: RequestFacts<'x>,
        target: Target<'x>,
        body: Option<Value<'x>>,
    ) -> Result<Found<'x>, Refusal> {
        let mut found = Found { route: None, facts, target, body, looked: Vec::new(), asked: &self.asked };
        // what one route has read, the next need not read again
        let reads = Reads::new(&self.asked);
        let mut other = None;
        for route in self.among(routes) {
            if route.kind == Kind::Kept
                && let Effect::Deny(reason) = &route.effect
            {
                return Err(Refusal::forbidden("no_route", reason.clone()).by(&route.place));
            }
            if !found.target.classes.beyond(route.allowed).is_empty() {
                return Err(ambiguous(&found.target).by(&route.place));
            }
            let reason = route.guards.refuse(&found.target.segments);
            if let Some(reason) = reason.or_else(|| self.contest(route, &found)) {
                other = Some(Refusal::forbidden("no_route", reason).by(&route.place));
                continue;
            }
            let looks = Looks::default();
            let inputs = found.inputs(route, None, None, &looks, &reads);
            route.deciding().for_each(|name| inputs.note_capture(name));
            let mut holds = true;
            for condition in &route.when {
                holds = holds && condition.holds(&inputs, None).map_err(|refusal| refusal.by(&route.place))?;
            }
            if !holds {
                continue;
            }
            if let Effect::Deny(reason) = &route.effect {
                return Err(Refusal::forbidden("denied_by_route", reason.clone()).by(&route.place));
            }
            if matches!(route.effect, Effect::Public) {
                inputs.settled().map_err(|refusal| refusal.by(&route.place))?;
            }
            upgrade::check(found.facts.headers, route.upgrade).map_err(|refusal| refusal.by(&route.place))?;
            found.looked = looks.into_inner();
            found.route = Some(route);
            return Ok(found);
        }
        let no_case = || Refusal::forbidden("no_case", "the conditions of no route for this path and method hold");
        Err(other.unwrap_or_else(no_case))
    }

    /// Says that no route has the path, or that those of other hosts have: a wrong host looks like a wrong path.
    fn nowhere(&self, host: Option<&str>, target: &Target<'_>) -> String {
        let exact = self.exact.iter().map(|(host, trie)| (host.clone(), trie));
        let wild = self.wild.iter().map(|(ending, trie)| (format!("*{ending}"), trie));
        let there = exact.chain(wild).take(MAX_HOSTS).filter(|(_, trie)| trie.find(target).is_some());
        let mut hosts: Vec<String> = there.map(|(host, _)| host).collect();
        hosts.sort_unstable();
        if self.trie(host).is_ok_and(|trie| trie.bars(target)) {
            "a route has this path but for its final slash, its case or a suffix such as `.json`, and no other route takes \
             it instead; see `service.suffixes` where the service distinguishes suffixes"
                .to_owned()
        } else if hosts.is_empty() {
            "no route has this path".to_owned()
        } else {
            format!("no route has this path on this host; it is mapped on {}", hosts.join(", "))
        }
    }

    fn trie(&self, host: Option<&str>) -> Result<&Trie, Refusal> {
        if self.exact.is_empty() && self.wild.is_empty() {
            return Ok(&self.any);
        }
        let bad = || Refusal::bad_request("bad_host", "the host is missing or not valid");
        let host = host.and_then(normal_host).ok_or_else(bad)?;
        Ok(self.named_tree(&host).unwrap_or(&self.any))
    }

    /// The tree of the routes that name `host`.
    fn named_tree(&self, host: &str) -> Option<&Trie> {
        let wild = || self.wild.iter().find(|(ending, _)| host.ends_with(ending.as_str())).map(|(_, trie)| trie);
        self.exact.get(host).or_else(wild)
    }
}

/// What is kept from `route` because it is for `other`, an operation of a document.
fn keeps(other: &Route, route: &Route) -> Kept {
    // an operation that is not mapped is denied too
    let denied = other.when.is_empty() && matches!(other.effect, Effect::Deny(_));
    match (&other.mask, &route.mask) {
        (Some(mask), _) if denied => mask.keeps(&route.pattern, other.kind != Kind::Listed),
        // Two mapped ones: between operations it is the service that knows. What takes several segments is ours, as is a
        // file of routes, and there the tree says which is tried first.
        (Some(mask), Some(own)) if !mask.is_open() && !own.is_open() => mask.keeps(&route.pattern, true),
        _ => Kept::None,
    }
}

fn ambiguous(target: &Target<'_>) -> Refusal {
    Refusal::bad_request("ambiguous_path", format!("{}: programs read such a path differently", target.classes))
}

/// Whether routes for `host` are also routes for requests that are looked up under `key`.
fn covers(host: &str, key: &str) -> bool {
    host == key || host.strip_prefix('*').is_some_and(|ending| key.trim_start_matches('*').ends_with(ending))
}

/// Whether a host is a name in several parts, and no address.
fn is_dotted_name(host: &str) -> bool {
    host.contains('.') && host.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// How the one router of a host takes suffixes, as all of its routes say, or the more careful of them.
fn suffixes<'r>(mut routes: impl Iterator<Item = &'r Route> + Clone) -> Option<Suffixes> {
    let format = Some(Suffixes::Format);
    if routes.clone().any(|route| route.service.suffixes == format) {
        return format;
    }
    routes.all(|route| route.service.suffixes == Some(Suffixes::Exact)).then_some(Suffixes::Exact)
}

/// One host has one router: it distinguishes cases, or it does not, and so with suffixes.
fn two_routers(route: &Route, key: &str) -> Diagnostic {
    let message = format!("another file has routes for the same host, with another `service.{key}`");
    Diagnostic::error(&route.origin, message).help("say the same in both, or give each its own `hosts`")
}

fn clash(first: &Route, second: &Route) -> Diagnostic {
    let message = format!("`{}` is mapped at {} already, for the same requests", second.pattern, first.place);
    let mut error = Diagnostic::error(&second.origin, message)
        .help("remove one, or give both `when` with conditions that exclude one another");
    error.line = second.line;
    error
}

fn too_many(first: &Route, second: &Route) -> Diagnostic {
    let message = format!(
        "`{}` is mapped more than {MAX_SAME} times for one method and path, from {} on",
        second.pattern, first.place
    );
    let mut error = Diagnostic::error(&second.origin, message).help("use fewer routes with `when`, or other paths");
    error.line = second.line;
    error
}

fn too_large_a_tree(route: &Route) -> Diagnostic {
    let message = format!("the paths of all routes and hosts have more than {MAX_NODES} segments, up to here");
    let mut error = Diagnostic::error(&route.origin, message).help("use shorter paths, fewer words, or fewer hosts");
    error.line = route.line;
    error
}
