//! SIGTERM, SIGINT and SIGXCPU stop, SIGHUP reloads, SIGUSR1 reopens the decision log.
//!
//! Signals are obeyed on a thread of their own: whatever keeps the serving threads busy, the process can be stopped,
//! and ends in time. Signals that say nothing to us are ignored from the first moment: by default most of them end the
//! process, and a limit, a terminal or a timer of another program may send them.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::app::App;
use crate::app::feed::Wish;
use crate::app::notify::Notifier;
use crate::config::ShutdownSettings;
use crate::telemetry::{events, logging, start_thread, supervised_early};
use crate::transport::Services;

/// How long past its time the end may be before the process is ended whatever it does.
const OVERDUE: Duration = Duration::from_millis(250);

/// How long a start that is asked to stop may still take.
const STARTING: Duration = Duration::from_secs(2);

/// Signals that end or stop a process by default and that no command needs. A write over the limit of a file's size
/// (`SIGXFSZ`) is an error like any other; a pipe that is closed is ignored by the standard library already.
const NEVER: &[libc::c_int] = &[libc::SIGXFSZ];

/// The same for a sidecar. Those that it obeys are among them: what comes before it can obey must not end it.
const NEVER_SERVING: &[libc::c_int] = &[
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGXCPU,
    // timers that the parent process set live on
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    // a terminal stops those that write to it from the background
    libc::SIGTTIN,
    libc::SIGTTOU,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    libc::SIGPWR,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    libc::SIGSTKFLT,
];

/// Ignores the signals that must not end this process; more of them where it is to serve. Call it first of all.
pub fn outlive_signals(serving: bool) {
    for signal in NEVER.iter().chain(NEVER_SERVING.iter().filter(|_| serving)) {
        ignore(*signal);
    }
}

#[expect(unsafe_code, reason = "neither the standard library nor `rustix` ignores signals")]
fn ignore(signal: libc::c_int) {
    // SAFETY: no handler is installed, so none of our code runs within a signal. It fails for numbers that are no
    // signals alone, and then nothing has changed.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// The signals that the process obeys, caught from when this exists. Until there is an app they only end it.
pub(super) struct Signals {
    apps: oneshot::Sender<Started>,
}

/// What there is to obey with.
struct Started {
    services: Arc<Services>,
    wake: mpsc::Sender<Wish>,
    stop: watch::Sender<bool>,
    shutdown: ShutdownSettings,
    notifier: Option<Arc<Notifier>>,
}

struct Caught {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    /// The soft limit of processor time is reached; at the hard one the system ends the process.
    used_up: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let caught = Caught {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            used_up: signal(SignalKind::from_raw(libc::SIGXCPU))?,
        };
        drop(within);
        let (apps, mut app) = oneshot::channel();
        let (mut caught, mut started) = (caught, None);
        let work = move || runtime.block_on(caught.run(&mut app, &mut started));
        start_thread("palisade-signals", None, supervised_early("palisade-signals", work))?;
        Ok(Self { apps })
    }

    /// Does what the signals say from now on. What it returns turns true when the process is to stop.
    pub(super) fn obey(self, app: &App, notifier: Option<Arc<Notifier>>) -> watch::Receiver<bool> {
        let (stop, stopped) = watch::channel(false);
        let (services, wake, shutdown) = (app.services.clone(), app.feed.wishes(), app.settings.shutdown);
        // the thread lasts as long as the process does
        let _ = self.apps.send(Started { services, wake, stop, shutdown, notifier });
        stopped
    }
}

impl Caught {
    /// Until the process ends. A start that waits for something, such as a file system, ends when it is asked to.
    /// Begins again where it was if it fails.
    async fn run(&mut self, app: &mut oneshot::Receiver<Started>, known: &mut Option<Started>) {
        if let Some(started) = known {
            let told = *started.stop.borrow();
            return self.obey(started, told).await;
        }
        let (started, told) = tokio::select! {
            biased;
            started = &mut *app => (started, false),
            () = self.ending() => (timeout(STARTING, app).await.unwrap_or_else(|_| {
                tracing::warn!("stopped by a signal before it was ready");
                logging::flush();
                std::process::exit(1);
            }), true),
        };
        match started {
            Ok(started) => self.obey(known.insert(started), told).await,
            // it could not start: it reports why, for a moment at most, and ends
            Err(_) => {
                self.ending().await;
                std::process::exit(1);
            }
        }
    }

    /// Until SIGTERM or SIGINT.
    async fn ending(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }

    /// Until SIGTERM or SIGINT, doing what the other signals say.
    async fn reload_until_told(&mut self, started: &Started) {
        let Started { services, wake, notifier, .. } = started;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.used_up.recv() => {
                    tracing::warn!("the limit of processor time (`ulimit -t`) is reached: shutting down");
                    return;
                }
                _ = self.hangup.recv() => {
                    // the feed is gone only when the process stops
                    let _ = wake.send(Wish::Load(Instant::now()));
                    if let Some(notifier) = notifier {
                        let (over, done) = oneshot::channel();
                        let _ = wake.send(Wish::Tell(over));
                        notifier.reloading(done);
                    }
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
    }

    async fn obey(&mut self, app: &Started, told: bool) {
        let Started { services, stop, shutdown, .. } = app;
        if !told {
            self.reload_until_told(app).await;
        }
        stop.send_replace(true);
        let overdue = shutdown.delay + shutdown.grace + OVERDUE;
        tokio::select! {
            // a second signal means now
            () = self.ending() => (),
            () = tokio::time::sleep(overdue) => {
                let (unanswered, cut) = (services.unanswered(), services.open_connections());
                events::DrainOverdue { unanswered, cut }.emit(&services.metrics);
            }
        }
        logging::flush();
        std::process::exit(1);
    }
}
