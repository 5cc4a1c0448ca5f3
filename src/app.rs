//! Wires the parts together: settings in, a running sidecar out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{self, ListenAddr, LogSink, NowMode, Settings};
use crate::decide::{DecisionCache, DecisionLog, LogSettings, Pdp, Sampler, Sink};
use crate::domain::{Change, Diagnostic};
use crate::engine::{
    EVALUATION_STACK_BYTES, EngineKind, EngineSettings, Limits, NowPolicy, Observers, Semantics, Validation,
};
use crate::identity::Identity;
use crate::source::{FileSettings, FileSource, Loaded, Source};
use crate::state::{Origin, State};
use crate::telemetry::threads::notice_panics;
use crate::telemetry::{Metrics, events, supervised};
use crate::transport::{self, AdminTokens, BoundListener, Door, Gateway, Services, Surface};

/// Why the sidecar could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener's address cannot be had.
    #[error("cannot listen on {addr} for {name}: {error}")]
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
    /// Keys or API tokens cannot be read.
    #[error("`identity`: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Identity(Vec<Diagnostic>),
    /// The metrics cannot be registered.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread, the runtime or a signal handler cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A sidecar that holds its addresses and loads its bundle.
#[derive(Debug)]
pub struct App {
    services: Arc<Services>,
    listeners: Vec<BoundListener>,
    feed: Feed,
    settings: Settings,
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// If it cannot start.
pub fn serve(settings: Settings, observers: Observers) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // the reference evaluator recurses with the policies' depth
        .thread_stack_size(EVALUATION_STACK_BYTES)
        .thread_name("palisade-http")
        .build()?;
    let served = runtime.block_on(async {
        // first: whoever reads in the log that we listen may signal us
        let signals = Signals::install()?;
        let app = App::start_observed(settings, observers).await?;
        let stop = signals.obey(&app);
        app.run(stop).await;
        Ok(())
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

    /// The same, with others told of loads.
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
        let listen = &settings.listen;
        let wanted = [
            (Surface::Decisions, Some(&listen.decisions)),
            (Surface::Admin, listen.admin.as_ref()),
            (Surface::Ops, listen.ops.as_ref()),
            (Surface::Grpc, listen.grpc.as_ref()),
        ];
        for (surface, addr) in wanted {
            let Some(addr) = addr else { continue };
            let name = surface.listener().as_str();
            let listener = match transport::bind(surface, addr, &listen.sockets).await {
                Ok(listener) => listener,
                // nobody asked for it, and another sidecar on this machine may have it
                Err(error) if surface == Surface::Grpc && listen.grpc_by_default => {
                    tracing::warn!(
                        "not listening on {addr} for gRPC: {error}; set `listen.grpc` to `off` or another address"
                    );
                    continue;
                }
                Err(error) => return Err(AppError::Bind { name, addr: addr.clone(), error }),
            };
            events::ListenerBound { name: surface.listener(), addr: listener.addr() }.emit(&metrics);
            listeners.push(listener);
        }
        let identity = Identity::start(&settings.identity, metrics.clone()).map_err(AppError::Identity)?;
        let engine = engine_settings(&settings);
        let limits = engine.limits.clone();
        let state = State::start_observed(engine, observers, metrics.clone())?;
        let cache = settings.cache.enabled.then(|| DecisionCache::new(settings.cache.max_bytes));
        let sampler = settings.engine.verify_sample.map(|every| Sampler::start(every, metrics.clone())).transpose()?;
        let services = Arc::new(Services {
            pdp: Pdp::new(state.clone(), metrics.clone()).with_cache(cache).with_log(log).with_sampler(sampler),
            verify_unready: settings.engine.verify_unready,
            gateway: Gateway::new(&settings, identity),
            metrics,
            http: settings.http,
            admin_body_bytes: settings.admin.max_body_bytes,
            authzen: settings.authzen.clone(),
            limits,
            admin_tokens,
            door: Door::new(&settings.admin, listen),
            draining: AtomicBool::new(false),
        });
        let feed = Feed::start(file_source(&settings), state, settings.reload.watch, &services.metrics)?;
        Ok(Self { services, listeners, feed, settings })
    }

    /// The addresses that it holds, by listener.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Surface, ListenAddr)> {
        self.listeners.iter().map(|listener| (listener.surface(), listener.addr())).collect()
    }

    /// What the endpoints use.
    #[must_use]
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Serves until `stop` turns true, then: unready, a pause for balancers to notice, no new connections,
    /// answers for what is in flight.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { services, listeners, feed, settings } = self;
        let shutdown = settings.shutdown;
        let (close, closing) = watch::channel(false);
        let (close_ops, closing_ops) = watch::channel(false);
        let (mut serving, mut operating) = (JoinSet::new(), JoinSet::new());
        for listener in listeners {
            // health and metrics stay reachable until the last decision is answered
            let (set, closing) = match listener.surface() {
                Surface::Decisions | Surface::Grpc => (&mut serving, closing.clone()),
                Surface::Admin | Surface::Ops => (&mut operating, closing_ops.clone()),
            };
            let (for_serving, services) = (services.clone(), services.clone());
            set.spawn(async move {
                let serving = tokio::spawn(transport::serve(listener, for_serving, closing, shutdown.grace));
                // a listener that ends by a panic must not end in silence
                serving.await.unwrap_or_else(|_| {
                    services.metrics.threads.ended("a listener");
                    tracing::error!("a listener ended by a fault of the sidecar, which is unready from now on");
                    0
                })
            });
        }
        // a closed channel means that nobody can ask it to stop: then it serves on
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        let started = Instant::now();
        services.draining.store(true, Ordering::Release);
        events::DrainStarted { delay: shutdown.delay, grace: shutdown.grace }.emit(&services.metrics);
        tokio::time::sleep(shutdown.delay).await;
        close.send_replace(true);
        let mut cut: usize = serving.join_all().await.into_iter().sum();
        close_ops.send_replace(true);
        cut += operating.join_all().await.into_iter().sum::<usize>();
        drop(feed);
        if let Some(log) = services.pdp.log() {
            log.close();
        }
        events::DrainFinished { took: started.elapsed(), cut }.emit(&services.metrics);
    }
}

/// SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 reopens the decision log.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Does what the signals say from now on. What it returns turns true when the process is to stop.
    fn obey(mut self, app: &App) -> watch::Receiver<bool> {
        let (stop, stopped) = watch::channel(false);
        let (services, wake) = (app.services.clone(), app.feed.wake.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => break,
                    _ = self.interrupt.recv() => break,
                    _ = self.hangup.recv() => {
                        // the feed is gone only when the process stops
                        let _ = wake.send(Wish::Load);
                        if let Some(tokens) = &services.admin_tokens {
                            tokens.reload();
                        }
                    }
                    _ = self.reopen.recv() => {
                        if let Some(log) = services.pdp.log() {
                            log.reopen();
                        }
                    }
                }
            }
            stop.send_replace(true);
            // a second signal means now
            tokio::select! {
                _ = self.terminate.recv() => (),
                _ = self.interrupt.recv() => (),
            }
            std::process::exit(1);
        });
        stopped
    }
}

/// Takes what a source has to the state, at the start and whenever it changes.
#[derive(Debug)]
struct Feed {
    wake: mpsc::Sender<Wish>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Wish {
    Load,
    Stop,
}

/// How often the feed looks whether its watch still works.
const WATCH_CHECK: Duration = Duration::from_secs(5);

/// How long the end waits for a load that is under way.
const FEED_PATIENCE: Duration = Duration::from_secs(1);

impl Feed {
    fn start(source: FileSource, state: Arc<State>, watching: bool, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let (wake, wishes) = mpsc::channel();
        let signal = wake.clone();
        let (mut last, mut watch) = (None, None);
        let work = supervised("palisade-feed", metrics.clone(), move || {
            load(&source, &state, &mut last);
            if watching && watch.is_none() {
                let signal = signal.clone();
                watch = Some(source.watch(Box::new(move || {
                    let _ = signal.send(Wish::Load);
                })));
            }
            loop {
                match wishes.recv_timeout(WATCH_CHECK) {
                    Ok(Wish::Load) => {
                        // several wishes are one load
                        while let Ok(wish) = wishes.try_recv() {
                            if matches!(wish, Wish::Stop) {
                                return;
                            }
                        }
                        load(&source, &state, &mut last);
                    }
                    Ok(Wish::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
                let degraded = watch.as_ref().and_then(crate::source::Watch::degraded);
                state.note_degraded(degraded);
            }
        });
        let thread = thread::Builder::new().name("palisade-feed".to_owned()).spawn(work)?;
        Ok(Self { wake, thread: Some(thread) })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.wake.send(Wish::Stop);
        let Some(thread) = self.thread.take() else { return };
        // a load that takes longer goes down with the process: it must not hold up the end
        let patience = Instant::now() + FEED_PATIENCE;
        while !thread.is_finished() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Loads and applies, unless the files are what they were at the last load that took effect.
fn load(source: &FileSource, state: &State, last: &mut Option<crate::domain::Digest>) {
    let problems: Vec<Diagnostic> = match source.load() {
        Ok(Loaded { digest, .. }) if Some(&digest) == last.as_ref() => {
            state.note_unchanged(Origin::Files);
            return;
        }
        Ok(Loaded { bundle, digest, warnings }) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            if state.apply_blocking(Change::Replace(bundle), Origin::Files).is_ok() {
                *last = Some(digest);
            }
            return;
        }
        Err(problems) => problems,
    };
    state.note_unreadable(Origin::Files, problems);
}

fn file_source(settings: &Settings) -> FileSource {
    let files = FileSettings {
        quiet: settings.reload.quiet,
        poll: settings.reload.poll.unwrap_or(Duration::MAX),
        // the default place may be empty from the start; what was there must not vanish unnoticed
        entities_required: settings.entities != Path::new(config::DEFAULT_ENTITIES) || settings.entities.exists(),
        ..FileSettings::default()
    };
    let source = FileSource::new(settings.policies.clone(), Some(settings.entities.clone()), files);
    match &settings.routes {
        Some(path) => source.with_routes(path.clone()),
        // whoever serves other policies than those of this directory does not mean its routes
        None if settings.policies != Path::new(config::DEFAULT_POLICIES) => {
            if let Some(unused) = config::DEFAULT_ROUTES.iter().find(|path| Path::new(path).exists()) {
                tracing::warn!("`{unused}` is not used, since `policies` is set and `routes` is not: set `routes` too");
            }
            source
        }
        None => {
            let [directory, file] = config::DEFAULT_ROUTES.map(PathBuf::from);
            source.with_routes_if_any(if file.exists() && !directory.exists() { file } else { directory })
        }
    }
}

fn decision_log(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<DecisionLog>, AppError> {
    let sink = match &settings.decision_log.sink {
        LogSink::Off => return Ok(None),
        LogSink::Stdout => Sink::Stdout,
        LogSink::File(path) => Sink::File(path.clone()),
    };
    let log = LogSettings { sink, queue: settings.decision_log.queue, mask: settings.decision_log.mask.clone() };
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
        semantics: match settings.decision.semantics {
            config::Semantics::Strict => Semantics::Strict,
            config::Semantics::Cedar => Semantics::Cedar,
        },
        now: match settings.context.now {
            NowMode::Fill => NowPolicy::Fill,
            NowMode::Override => NowPolicy::Override,
            NowMode::Off => NowPolicy::Off,
        },
        limits: Limits {
            max_depth: settings.limits.max_depth,
            max_parents: settings.limits.max_parents,
            max_nesting: settings.limits.max_nesting,
            max_expression_depth: settings.limits.max_expression_depth,
        },
    }
}
