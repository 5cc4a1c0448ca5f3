//! Wires the parts together: settings in, a running sidecar out.

mod advice;
mod descriptors;
mod feed;
mod notify;
mod ops;
mod pictures;
mod signals;

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::config::{self, LimitSettings, ListenAddr, LogSink, NowMode, Settings};
use crate::decide::{Coverage, DecisionCache, DecisionLog, LogSettings, Pdp, Sampler, Sink};
use crate::identity::Identity;
use crate::source::{FileSettings, FileSource, Layout};
use crate::state::{self, LoadRules, State};
use crate::telemetry::threads::notice_panics;
use crate::telemetry::traces::{TraceSettings, Tracer};
use crate::telemetry::{Listener, Metrics, events, room_for_threads};
use crate::transport::{
    self, AdminTokens, Aside, BoundListener, Budget, Door, Gateway, Idempotency, Pins, Places, Services, Trees,
};
use feed::{FEED_PATIENCE, Feed, First};
use notify::Notifier;
use ops::OpsRuntime;
use palisade_engine::model::{Diagnostic, Severity, count};
use palisade_engine::{EngineKind, EngineSettings, KeptTrees, Limits, NowPolicy, Observers, Semantics, Validation};
use signals::Signals;

pub use signals::outlive_signals;

/// Why the sidecar could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener's address cannot be had.
    #[error("`listen.{name}`: cannot listen on {addr}: {error}{}", advice::of_listener(.name, .addr, .error))]
    Bind {
        /// The listener.
        name: &'static str,
        /// Its address.
        addr: ListenAddr,
        /// Why.
        error: io::Error,
    },
    /// The file of admin tokens cannot be read, or what is in it is no token.
    #[error("`admin.token_file`: {0}")]
    Token(String),
    /// The decision log cannot be opened.
    #[error("`decision_log.sink`: cannot open {}: {error}", path.display())]
    DecisionLog {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store cannot be opened.
    #[error("`store.path`: {0}")]
    Store(#[from] palisade_journal::OpenError),
    /// Keys or API tokens cannot be read.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Identity(Vec<Diagnostic>),
    /// The first bundle cannot be loaded, and `load.require` is set.
    #[error("`load.require` is set, and the first bundle cannot be loaded: {}", first_of(.0))]
    FirstLoad(Vec<Diagnostic>),
    /// The metrics cannot be registered.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread, the runtime or a signal handler cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl AppError {
    /// The same in one line, for a log that has said the rest.
    #[must_use]
    pub fn line(&self) -> String {
        let Self::FirstLoad(problems) = self else { return self.to_string() };
        let (count, first) = (errors(problems).count(), errors(problems).next());
        let first = first.map(|first| format!("{}: {}", first.origin, first.message)).unwrap_or_default();
        let what =
            if count == 1 { first } else { format!("{count} problems are in the log, the first of them {first}") };
        format!("`load.require` is set, and the first bundle cannot be loaded: {what}")
    }
}

fn errors(problems: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    problems.iter().filter(|problem| problem.severity == Severity::Error)
}

/// A sidecar that holds its addresses and loads its bundle.
#[derive(Debug)]
pub struct App {
    services: Arc<Services>,
    listeners: Vec<BoundListener>,
    feed: Feed,
    ops: OpsRuntime,
    settings: Settings,
}

/// Threads that serve admin and ops.
const OPS_THREADS: usize = 1;

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// If it cannot start.
pub fn serve(settings: Settings, observers: Observers) -> Result<(), AppError> {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // before anything is opened: a library that finds no descriptor may panic
    descriptors::raise();
    descriptors::enough()?;
    // where one of them cannot be started, building the runtime panics or never returns
    room_for_threads(workers + OPS_THREADS)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(workers).enable_all().thread_name("palisade-http").build()?;
    // first: a process that reads in the log that we listen may signal us
    let mut signals = Some(Signals::install()?);
    let served = runtime.block_on(async {
        let require = settings.load.require;
        let mut app = App::start_observed(settings, observers).await?;
        let Some(signals) = signals.take() else { return Ok(()) };
        let notifier = Notifier::from_environment();
        let stop = signals.obey(&app, notifier.clone());
        if let Some(notifier) = notifier {
            tokio::spawn(notifier.keep(app.services.clone(), stop.clone()));
        }
        let first = app.feed.first().filter(|_| require);
        tokio::select! {
            () = app.run(stop) => Ok(()),
            problems = broken(first) => Err(AppError::FirstLoad(problems)),
        }
    });
    // a validation that is under way must not hold up the end
    runtime.shutdown_background();
    served
}

impl App {
    /// Binds the listeners and starts loading. Must be called within a runtime.
    ///
    /// # Errors
    /// If an address, a file or a thread cannot be had.
    pub async fn start(settings: Settings) -> Result<Self, AppError> {
        Self::start_observed(settings, Observers::default()).await
    }

    /// The same, and reports loads to `observers`.
    ///
    /// # Errors
    /// If an address, a file or a thread cannot be had.
    pub async fn start_observed(settings: Settings, observers: Observers) -> Result<Self, AppError> {
        notice_panics();
        let metrics = Arc::new(Metrics::new()?);
        let admin_tokens = AdminTokens::start(&settings.admin, &metrics).map_err(AppError::Token)?;
        let log = decision_log(&settings, &metrics)?;
        // addresses first: a second sidecar by mistake must not load a million entities before it fails
        let mut listeners = Vec::new();
        let ops = OpsRuntime::start()?;
        let listen = &settings.listen;
        let wanted = [
            (Listener::Decisions, Some(&listen.decisions)),
            (Listener::Admin, listen.admin.as_ref()),
            (Listener::Ops, listen.ops.as_ref()),
            (Listener::Grpc, listen.grpc.as_ref()),
        ];
        for (kind, addr) in wanted {
            let Some(addr) = addr else { continue };
            let name = kind.as_str();
            let bound = match kind {
                Listener::Decisions | Listener::Grpc => transport::bind(kind, addr, &listen.sockets).await,
                // where it is bound, it is served
                Listener::Admin | Listener::Ops => {
                    let (addr, sockets) = (addr.clone(), listen.sockets.clone());
                    let bind = async move { transport::bind(kind, &addr, &sockets).await };
                    ops.spawn(bind).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
                }
            };
            let listener = match bound {
                Ok(listener) => listener,
                // gRPC is only the default here, and another sidecar on this machine may have the address
                Err(error) if kind == Listener::Grpc && listen.grpc_by_default => {
                    tracing::warn!(
                        "`listen.grpc`: not listening on {addr}: {error}{}",
                        advice::of_listener(name, addr, &error)
                    );
                    continue;
                }
                Err(error) => return Err(AppError::Bind { name, addr: addr.clone(), error }),
            };
            events::ListenerBound { name: kind, addr: listener.addr() }.emit(&metrics);
            listeners.push(listener);
        }
        let identity = Identity::start(&settings.identity, metrics.clone()).map_err(AppError::Identity)?;
        let engine = engine_settings(&settings);
        let (limits, semantics) = (engine.limits.clone(), engine.semantics);
        let mut opened =
            store_settings(&settings).map(|store| state::open_store(&store, state::fresh_incarnation())).transpose()?;
        let answers = opened.as_mut().map(|opened| std::mem::take(&mut opened.answers)).unwrap_or_default();
        let state = State::start_stored(engine, load_rules(&settings), observers, metrics.clone(), opened)?;
        let cache = settings.cache.enabled.then(|| DecisionCache::new(settings.cache.max_bytes));
        let sampler = settings.engine.verify_sample.map(|every| Sampler::start(every, metrics.clone())).transpose()?;
        let coverage = settings.coverage_sample.map(|every| Coverage::start(every, metrics.clone())).transpose()?;
        let limit = descriptors::raise();
        let descriptors = limit.and_then(|limit| descriptors(limit, settings.http.max_connections));
        let services = Arc::new(Services {
            pdp: Pdp::new(state.clone(), metrics.clone())?
                .with_cache(cache)
                .with_log(log)
                .with_sampler(sampler)
                .with_coverage(coverage),
            verify_unready: settings.engine.verify_unready,
            gateway: Gateway::new(&settings, identity),
            tracer: tracer(&metrics),
            metrics,
            http: settings.http,
            admin_body_bytes: settings.admin.max_body_bytes,
            authzen: settings.authzen.clone(),
            limits,
            semantics,
            explain: settings.explain.decisions,
            masks: settings.decision_log.mask.iter().map(config::MaskPath::names).collect(),
            admin_tokens,
            door: Door::new(&settings.admin, listen),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            decision_bytes: Budget::new(settings.http.max_inflight_bytes),
            admin_bytes: Budget::new(settings.admin.max_inflight_bytes),
            decision_streams: Budget::new(settings.http.max_inflight_bytes),
            admin_streams: Budget::new(transport::ADMIN_STREAM_BYTES),
            trees: Trees::default(),
            aside: Aside::default(),
            descriptors,
            aside_connections: descriptors::aside(limit),
            places: Places::default(),
            idempotency: Idempotency::new(settings.store.idempotency_ttl, settings.store.idempotency_max)
                .knowing(answers),
            pins: Pins::default(),
            watchers: Arc::new(Semaphore::new(transport::WATCHERS)),
        });
        let layout = Layout::of(&settings);
        let (policies, entities) = (&*layout.policies, &*layout.entities);
        events::FirstLoad { policies, entities, watched: settings.reload.watch }.emit(&services.metrics);
        let feed = Feed::start(file_source(&settings), state, settings.reload.watch, services.metrics.clone())?;
        Ok(Self { services, listeners, feed, ops, settings })
    }

    /// The addresses that it holds, by listener.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Listener, ListenAddr)> {
        self.listeners.iter().map(|listener| (listener.kind(), listener.addr())).collect()
    }

    /// What the endpoints use.
    #[must_use]
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Serves until `stop` turns true, then: unready, a pause for balancers to notice, no new connections,
    /// answers for what is in flight.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { services, listeners, feed, ops, settings } = self;
        let shutdown = settings.shutdown;
        let (close, closing) = watch::channel(None);
        let (close_ops, closing_ops) = watch::channel(None);
        let (mut serving, mut operating) = (JoinSet::new(), JoinSet::new());
        for listener in listeners {
            // health and metrics stay reachable until the last decision is answered
            let services = services.clone();
            let (set, served) = match listener.kind() {
                Listener::Decisions | Listener::Grpc => {
                    (&mut serving, tokio::spawn(transport::serve(listener, services.clone(), closing.clone())))
                }
                Listener::Admin | Listener::Ops => {
                    (&mut operating, ops.spawn(transport::serve(listener, services.clone(), closing_ops.clone())))
                }
            };
            set.spawn(async move {
                // a listener that ends by a panic must not end in silence
                if served.await.is_err() {
                    services.metrics.threads.ended("a listener");
                    tracing::error!("a listener ended by a fault of the sidecar, which is unready from now on");
                }
            });
        }
        // a closed channel means that nothing can ask it to stop: then it serves on
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        let started = Instant::now();
        services.draining.store(true, Ordering::Release);
        events::DrainStarted { delay: shutdown.delay, grace: shutdown.grace }.emit(&services.metrics);
        tokio::time::sleep(shutdown.delay).await;
        let over = started + shutdown.delay + shutdown.grace;
        // requests get all of it but a last moment, for what else must end within the grace period
        let last_call = over - (shutdown.grace / 8).min(LAST_MOMENT);
        close.send_replace(Some(last_call));
        ended(serving, last_call).await;
        close_ops.send_replace(Some(last_call));
        ended(operating, last_call).await;
        let (unanswered, cut) = (services.unanswered(), services.open_connections());
        let left = || over.saturating_duration_since(Instant::now());
        services.pdp.state().stop();
        feed.stop(left().min(FEED_PATIENCE));
        services.pdp.state().close(left());
        if let Some(log) = services.pdp.log() {
            log.close(LOG_PATIENCE, over);
        }
        if let Some(tracer) = &services.tracer {
            tracer.close(LOG_PATIENCE, over);
        }
        events::DrainFinished { took: started.elapsed(), cut, unanswered }.emit(&services.metrics);
    }
}

/// How much of the grace period is kept for what ends after the listeners, at most.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// How long the end waits for a decision log, or for a collector of traces, that takes nothing.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Waits for the listeners, but not for one that is stuck: they stop by themselves at `deadline`.
async fn ended(mut listeners: JoinSet<()>, deadline: Instant) {
    let patience = deadline + Duration::from_millis(50);
    while let Ok(Some(_)) = timeout_at(patience.into(), listeners.join_next()).await {}
    // what is left goes down with the process
    listeners.detach_all();
}

/// Ends with the problems of the first load, if it has any and is required; else never.
async fn broken(first: Option<First>) -> Vec<Diagnostic> {
    if let Some(first) = first
        && let Ok(Err(problems)) = first.await
    {
        return problems;
    }
    std::future::pending().await
}

/// The first problem in words, and how many more there are.
fn first_of(problems: &[Diagnostic]) -> String {
    let first = errors(problems).next().map(ToString::to_string).unwrap_or_default();
    match errors(problems).count() {
        0 | 1 => first,
        n => format!("{first}\n({} in the log)", count(n - 1, "more problem")),
    }
}

/// What of the settings says where changes are kept.
fn store_settings(settings: &Settings) -> Option<state::StoreSettings> {
    let durability = match settings.store.durability {
        config::Durability::Fsync => palisade_journal::Durability::Fsync,
        config::Durability::Interval => palisade_journal::Durability::Interval,
        config::Durability::None => palisade_journal::Durability::None,
    };
    settings.store.path.clone().map(|path| state::StoreSettings {
        path,
        durability,
        max_answers: settings.store.idempotency_max,
    })
}

/// What of the settings says what may be empty.
#[must_use]
pub fn load_rules(settings: &Settings) -> LoadRules {
    LoadRules {
        allow_empty_policies: settings.load.allow_empty_policies,
        allow_empty_entities: settings.load.allow_empty_entities,
    }
}

/// What decisions may have of the descriptors, where those are fewer than the connections of both their listeners.
fn descriptors(limit: usize, max_connections: usize) -> Option<Arc<Semaphore>> {
    let room = descriptors::room(limit);
    if room < max_connections {
        tracing::warn!(
            "`http.max_connections` is {max_connections}, and the limit of {limit} open files leaves room for {room}: \
             raise the limit (`ulimit -n`, `LimitNOFILE=`) or lower the key"
        );
    }
    (room < max_connections.saturating_mul(2)).then(|| Arc::new(Semaphore::new(room)))
}

/// What of the settings says how files are read and watched.
#[must_use]
pub fn file_settings(settings: &Settings) -> FileSettings {
    FileSettings {
        quiet: settings.reload.quiet,
        poll: settings.reload.poll.unwrap_or(Duration::MAX),
        vanish_quiet: settings.load.vanish_quiet,
        allow_empty_policies: settings.load.allow_empty_policies,
        // a directory that is not there may be a mount that is not there
        entities_required: !settings.load.allow_empty_entities,
        ..FileSettings::default()
    }
}

fn file_source(settings: &Settings) -> FileSource {
    let layout = Layout::of(settings);
    if let Some(unused) = layout.unused_routes() {
        tracing::warn!("`{unused}` is not used, since `policies` is set and `routes` is not: set `routes` too");
    }
    let (files, settings) = (file_settings(settings), settings.clone());
    let required = files.entities_required;
    FileSource::found_by(move || Layout::of(&settings).roots(required), files)
}

/// What exports traces, if the environment asks for it. What is wrong there is reported, and does not keep the sidecar
/// from deciding.
fn tracer(metrics: &Arc<Metrics>) -> Option<Tracer> {
    let mut problems = Vec::new();
    let settings = TraceSettings::read(|name| std::env::var(name).ok(), &mut problems);
    let tracer = settings.and_then(|settings| {
        let failed = |error| problems.push(format!("no traces are exported: {error}"));
        Tracer::start(&settings, metrics.clone()).map_err(failed).ok()
    });
    for problem in problems {
        tracing::warn!("{problem}");
    }
    tracer
}

fn decision_log(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<DecisionLog>, AppError> {
    let sink = match &settings.decision_log.sink {
        LogSink::Off => return Ok(None),
        LogSink::Stdout => Sink::Stdout,
        LogSink::File(path) => Sink::File(path.clone()),
    };
    let config::DecisionLogSettings { queue, queue_bytes, overflow, ref mask, explain, .. } = settings.decision_log;
    let log = LogSettings { sink, queue, queue_bytes, overflow, mask: mask.clone(), explain };
    DecisionLog::open(log, metrics.clone()).map(Some).map_err(|error| {
        let path = match &settings.decision_log.sink {
            LogSink::File(path) => path.clone(),
            LogSink::Off | LogSink::Stdout => PathBuf::from("standard output"),
        };
        AppError::DecisionLog { path, error }
    })
}

/// What of the settings concerns the engine.
#[must_use]
pub fn engine_settings(settings: &Settings) -> EngineSettings {
    EngineSettings {
        kind: match settings.engine.kind {
            config::EngineKind::Compiled => EngineKind::Compiled,
            config::EngineKind::Reference => EngineKind::Reference,
        },
        validation: match settings.validation {
            config::Validation::Strict => Validation::Strict,
            config::Validation::Warn => Validation::Warn,
            config::Validation::Off => Validation::Off,
        },
        semantics: Semantics::of(settings.decision.forbid_errors_deny, settings.decision.unknown_entities_deny),
        now: match settings.context.now {
            NowMode::Fill => NowPolicy::Fill,
            NowMode::Override => NowPolicy::Override,
            NowMode::Off => NowPolicy::Off,
        },
        limits: limits(&settings.limits),
        lints: false,
        kept: KeptTrees::default(),
    }
}

fn limits(settings: &LimitSettings) -> Limits {
    Limits {
        max_depth: settings.max_depth,
        max_parents: settings.max_parents,
        max_nesting: settings.max_nesting,
        max_expression_depth: settings.max_expression_depth,
        max_policy_tokens: settings.max_policy_tokens,
        max_policies_bytes: settings.max_policies_bytes,
        max_policies: settings.max_policies,
        max_links_from_data: settings.max_links_from_data,
        max_validation_steps: settings.max_validation_steps,
        max_changes: settings.max_changes,
        max_entity_bytes: settings.max_entity_bytes,
    }
}
