//! What the values must mean: turns the raw configuration into settings and reports what cannot be.
//!
//! A value that fails its check gets its default, so that the checks after it can run; the settings
//! that come out are of use only if nothing was reported.

mod identity;
mod listen;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::config::raw::{Effect, RawAuthzen, RawConfig, RawDecision, RawDecisionLog, RawHttp};
use crate::config::tree::{Tree, shown};
use crate::config::units::{ByteSize, Span};
use crate::config::{
    AuthzenSettings, CacheSettings, ContextSettings, DecisionLogSettings, DecisionSettings, EngineSettings,
    ExplainSettings, GatewaySettings, HttpSettings, LimitSettings, LoadSettings, LogSettings, LogSink, MaskPath,
    OverlayRule, OverlaySettings, Problem, ReloadSettings, Semantics, Settings, ShutdownSettings, StoreSettings,
};
use palisade_engine::model::bounds::{MAX_EXPRESSION_DEPTH, MAX_NESTING};
use palisade_engine::model::closest;
use palisade_engine::model::uid::is_type_name;

/// The HTTP library's least buffer for a request head.
const LEAST_HEADER_BYTES: u64 = 8 * 1024;

/// The least memory of the decision log's queue: a record that never fits is never recorded.
const LEAST_LOG_QUEUE: usize = 64 << 10;

/// Where `default` stands among the types of `authzen.overlay`.
const OVERLAY_DEFAULT: &str = "default";

/// Checks every value. `tree` says where each was written.
pub(super) fn check(raw: RawConfig, tree: &Tree, problems: &mut Vec<Problem>) -> Settings {
    let mut checker = Checker { tree, problems };
    let path = |checker: &mut Checker<'_>, key: &[&str], text: String| checker.path(key, text);
    let policies = path(&mut checker, &["policies"], raw.policies);
    let schema = raw.schema.map(|schema| path(&mut checker, &["schema"], schema));
    let entities = raw.entities.map(|entities| path(&mut checker, &["entities"], entities));
    let routes = raw.routes.map(|routes| path(&mut checker, &["routes"], routes));
    let admin = checker.admin(raw.admin);
    if raw.cache.enabled && raw.cache.max_bytes.0 == 0 {
        checker
            .report(&["cache", "max_bytes"], "must be more than 0; to do without the cache set `cache.enabled: false`");
    }
    checker.level(&raw.log.level);
    Settings {
        policies,
        schema,
        entities,
        routes,
        validation: raw.validation,
        decision: decision(&raw.decision),
        explain: ExplainSettings { decisions: raw.explain.decisions },
        coverage_sample: NonZeroU32::new(raw.coverage.sample),
        context: ContextSettings { now: raw.context.now },
        cache: CacheSettings { enabled: raw.cache.enabled, max_bytes: raw.cache.max_bytes.0 },
        engine: EngineSettings {
            kind: raw.engine.kind,
            verify_sample: NonZeroU32::new(raw.engine.verify_sample),
            verify_unready: raw.engine.verify_unready,
        },
        authzen: checker.authzen(raw.authzen),
        identity: checker.identity(raw.identity),
        gateway: GatewaySettings { deadline: checker.deadline(raw.gateway.deadline) },
        listen: checker.listen(&raw.listen, admin.has_token()),
        admin,
        http: checker.http(&raw.http),
        limits: LimitSettings {
            max_depth: raw.limits.max_depth.get(),
            max_parents: raw.limits.max_parents.get(),
            max_nesting: checker.bounded("max_nesting", raw.limits.max_nesting, MAX_NESTING),
            max_expression_depth: checker.bounded(
                "max_expression_depth",
                raw.limits.max_expression_depth,
                MAX_EXPRESSION_DEPTH,
            ),
            max_policy_tokens: raw.limits.max_policy_tokens.get(),
            max_policies_bytes: checker.bytes(&["limits", "max_policies_bytes"], raw.limits.max_policies_bytes, 1),
            max_policies: raw.limits.max_policies.get(),
            max_links_from_data: raw.limits.max_links_from_data.get(),
            max_validation_steps: raw.limits.max_validation_steps.get() as u64,
            max_changes: raw.limits.max_changes.get(),
            max_entity_bytes: checker.bytes(&["limits", "max_entity_bytes"], raw.limits.max_entity_bytes, 1),
        },
        reload: ReloadSettings {
            watch: raw.reload.watch,
            quiet: raw.reload.quiet.0,
            poll: Some(raw.reload.poll.0).filter(|poll| !poll.is_zero()),
        },
        store: StoreSettings {
            path: raw.store.path.map(|path| checker.path(&["store", "path"], path)),
            durability: raw.store.durability,
            idempotency_ttl: raw.store.idempotency.ttl.0,
            idempotency_max: raw.store.idempotency.max.get(),
        },
        load: LoadSettings {
            allow_empty_policies: raw.load.allow_empty_policies,
            allow_empty_entities: raw.load.allow_empty_entities,
            vanish_quiet: raw.load.vanish_quiet.0,
            require: raw.load.require,
        },
        decision_log: checker.decision_log(raw.decision_log),
        log: LogSettings { format: raw.log.format, level: raw.log.level },
        shutdown: ShutdownSettings { grace: raw.shutdown.grace.0, delay: raw.shutdown.delay.0 },
    }
}

struct Checker<'a> {
    tree: &'a Tree,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, key: &[&str], message: impl Into<String>) {
        self.problems.push(Problem::new(self.tree.origin(key), shown(key), message));
    }

    /// Whether the value of `key` was already found wrong, so that what follows from its absence says nothing.
    fn is_known_bad(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| {
            problem.path == key || key.strip_prefix(&problem.path).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    fn path(&mut self, key: &[&str], text: String) -> PathBuf {
        if text.is_empty() || text.contains('\0') {
            self.report(key, "must be a path");
        }
        PathBuf::from(text)
    }

    fn bytes(&mut self, key: &[&str], size: ByteSize, least: u64) -> usize {
        if size.0 < least {
            self.report(key, format!("must be at least {}", ByteSize(least)));
        }
        usize::try_from(size.0).unwrap_or(usize::MAX)
    }

    fn deadline(&mut self, span: Span) -> std::time::Duration {
        if span.0.is_zero() {
            self.report(&["gateway", "deadline"], "must be more than 0s: without any time every request is denied");
        }
        span.0
    }

    fn positive(&mut self, key: &[&str], span: Span) -> std::time::Duration {
        if span.0.is_zero() {
            self.report(key, "must be more than 0s: without a limit one slow client holds a connection for ever");
        }
        span.0
    }

    fn http(&mut self, raw: &RawHttp) -> HttpSettings {
        HttpSettings {
            max_body_bytes: self.bytes(&["http", "max_body_bytes"], raw.max_body_bytes, 1),
            max_header_bytes: self.bytes(&["http", "max_header_bytes"], raw.max_header_bytes, LEAST_HEADER_BYTES),
            max_answer_bytes: self.bytes(&["http", "max_answer_bytes"], raw.max_answer_bytes, 1),
            max_inflight_bytes: self.bytes(&["http", "max_inflight_bytes"], raw.max_inflight_bytes, 1),
            header_timeout: self.positive(&["http", "header_timeout"], raw.header_timeout),
            body_timeout: self.positive(&["http", "body_timeout"], raw.body_timeout),
            idle_timeout: self.positive(&["http", "idle_timeout"], raw.idle_timeout),
            max_connections: raw.max_connections.get(),
            max_batch: raw.max_batch.get(),
            deadline: raw.deadline.0,
        }
    }

    fn authzen(&mut self, raw: RawAuthzen) -> AuthzenSettings {
        let base_url = raw.base_url.map(|url| {
            if let Err(message) = check_url(&url) {
                self.report(&["authzen", "base_url"], message);
            }
            url.trim_end_matches('/').to_owned()
        });
        if let Some(namespace) = raw.namespace.as_deref().filter(|name| !is_type_name(name)) {
            self.report(
                &["authzen", "namespace"],
                format!("`{namespace}` is not a Cedar namespace: write names joined by `::`, such as `Fleet`"),
            );
        }
        for (from, to) in &raw.types {
            if !is_type_name(to) {
                self.report(
                    &["authzen", "types", from],
                    format!("`{to}` is not a Cedar type: write a name such as `User` or `Fleet::User`"),
                );
            }
        }
        let mut words = raw.overlay;
        // a mapping that names some types need not repeat the default
        let default = words.remove(OVERLAY_DEFAULT).unwrap_or(OverlayRule::Deny);
        let overlay = OverlaySettings { default, types: BTreeMap::new() };
        let mut settings = AuthzenSettings { base_url, namespace: raw.namespace, types: raw.types, overlay };
        // a caller may use any word for a type, so the rule must be the type's and not the word's
        let mut first: BTreeMap<String, (String, OverlayRule)> = BTreeMap::new();
        for (word, rule) in words {
            let cedar_type = settings.cedar_type(&word).into_owned();
            if let Some((other, _)) = first.get(&cedar_type).filter(|(_, other)| *other != rule) {
                self.report(
                    &["authzen", "overlay", &word],
                    format!("`{word}` and `{other}` both mean `{cedar_type}`; give them the same rule, or remove one"),
                );
            }
            settings.overlay.types.insert(cedar_type.clone(), rule);
            first.entry(cedar_type).or_insert((word, rule));
        }
        settings
    }

    /// A limit that stacks are made for.
    fn bounded(&mut self, name: &str, value: NonZeroUsize, most: usize) -> usize {
        if value.get() > most {
            self.report(&["limits", name], format!("must be at most {most}: the stacks have room for no more"));
        }
        value.get().min(most)
    }

    fn decision_log(&mut self, raw: RawDecisionLog) -> DecisionLogSettings {
        let sink = match raw.sink.as_str() {
            "off" => LogSink::Off,
            "stdout" => LogSink::Stdout,
            path if path.contains('/') && !path.ends_with('/') && !path.contains('\0') => {
                LogSink::File(PathBuf::from(path))
            }
            other => {
                let hint = match closest(other, ["off", "stdout"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("for a file in the working directory write `./{}`", other.trim_end_matches('/')),
                };
                self.report(
                    &["decision_log", "sink"],
                    format!("`{other}` is neither `off` nor `stdout` nor the path of a file; {hint}"),
                );
                LogSink::Off
            }
        };
        let mut mask = Vec::new();
        for (i, text) in raw.mask.into_iter().enumerate() {
            let key = ["decision_log", "mask", &i.to_string()].map(str::to_owned);
            let parsed = match text {
                Some(text) => MaskPath::parse(&text),
                // an item of the wrong type was reported and blanked
                None if self.is_known_bad(&shown(&key)) => continue,
                None => Err("must be text, not null".to_owned()),
            };
            match parsed {
                Ok(path) => mask.push(path),
                Err(message) => self.report(&key.each_ref().map(String::as_str), message),
            }
        }
        let queue_bytes = usize::try_from(raw.queue_bytes.0).unwrap_or(usize::MAX);
        if queue_bytes < LEAST_LOG_QUEUE {
            self.report(&["decision_log", "queue_bytes"], "must be at least 64KiB: larger records would never fit");
        }
        let (overflow, explain) = (raw.overflow, raw.explain);
        DecisionLogSettings { sink, queue: raw.queue.get(), queue_bytes, overflow, mask, explain }
    }

    fn level(&mut self, level: &str) {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
        // the filter takes a bare word for a module and then logs nothing else, so `inf` would be silence
        let stray = level.split(',').find(|part| !part.contains(['=', '[']) && !is_level(part));
        if level.contains(char::is_whitespace) {
            // the filter's own parser counts it into the names
            self.report(
                &["log", "level"],
                format!("`{level}` has white space: write such as `info,palisade::source=debug`"),
            );
        } else if let Some(part) = stray {
            let hint = match closest(part, LEVELS) {
                Some(near) => format!("did you mean `{near}`?"),
                None if part.is_empty() => "write `info`".to_owned(),
                None => format!("for a module write `info,{part}=debug`"),
            };
            self.report(&["log", "level"], format!("`{part}` is not one of {}; {hint}", LEVELS.join(", ")));
        } else if let Some((module, near)) = level.split(',').find_map(unknown_module) {
            let known = MODULES.map(|known| format!("`{known}`")).join(", ");
            let meant = near.map(|near| format!("did you mean `palisade::{near}`? ")).unwrap_or_default();
            self.report(&["log", "level"], format!("`palisade::{module}` is no module: {meant}there are {known}"));
        } else if let Err(error) = EnvFilter::builder().parse(level) {
            self.report(
                &["log", "level"],
                format!("`{level}` is not a filter: {error}; write such as `info,palisade::source=debug`"),
            );
        }
    }
}

/// The preset, and what is said of each rule.
fn decision(raw: &RawDecision) -> DecisionSettings {
    let denies = |said: Option<Effect>| match said {
        Some(said) => said == Effect::Deny,
        None => raw.semantics == Semantics::Strict,
    };
    DecisionSettings {
        forbid_errors_deny: denies(raw.forbid_errors),
        unknown_entities_deny: denies(raw.unknown_entities),
    }
}

/// The modules that log lines come from.
const MODULES: [&str; 9] = ["app", "cli", "config", "decide", "identity", "source", "state", "telemetry", "transport"];

/// The module of a part of a filter, if there is none of that name, and what may be meant: the filter would match nothing.
fn unknown_module(part: &str) -> Option<(&str, Option<&'static str>)> {
    let target = part.split(['=', '[']).next().unwrap_or_default();
    let module = target.strip_prefix("palisade::")?.split("::").next().unwrap_or_default();
    // the filter goes by beginnings
    let is_known = MODULES.iter().any(|known| known.starts_with(module)) && !module.is_empty();
    (!is_known).then(|| (module, closest(module, MODULES)))
}

fn check_url(url: &str) -> Result<(), String> {
    // up to `@` it may hold a password
    let shown = url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("***@{rest}"));
    let wrong = |what: &str| Err(format!("`{shown}` {what}: write such as `https://pdp.example.com`"));
    let Ok(uri) = url.parse::<http::Uri>() else {
        return wrong("is not a URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("does not start with `http://` or `https://`");
    }
    // the parser drops a fragment without a word
    if uri.query().is_some() || url.contains('#') {
        return wrong("has a query or a fragment, which AuthZEN forbids");
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            wrong("holds a user name, which the discovery document would publish")
        }
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => wrong("names no host"),
    }
}
