//! SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 reopens the decision log.
//!
//! Signals are obeyed on a thread of their own: whatever keeps the serving threads busy, the process can be told to end,
//! and ends in time.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::app::feed::Wish;
use crate::config::ShutdownSettings;
use crate::telemetry::{events, logging};
use crate::transport::Services;

/// How long past its time the end may be before the process is ended whatever it does.
const OVERDUE: Duration = Duration::from_millis(250);

/// The signals that the process obeys, caught from when this exists.
pub(super) struct Signals {
    runtime: Runtime,
    caught: Caught,
}

struct Caught {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
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
        };
        drop(within);
        Ok(Self { runtime, caught })
    }

    /// Does what the signals say from now on. What it returns turns true when the process is to stop.
    pub(super) fn obey(self, app: &App) -> io::Result<watch::Receiver<bool>> {
        let Self { runtime, caught } = self;
        let (stop, stopped) = watch::channel(false);
        let (services, wake, shutdown) = (app.services.clone(), app.feed.wishes(), app.settings.shutdown);
        thread::Builder::new().name("palisade-signals".to_owned()).spawn(move || {
            runtime.block_on(caught.obey(&services, &wake, &stop, shutdown));
        })?;
        Ok(stopped)
    }
}

impl Caught {
    /// Until the process ends.
    async fn obey(
        mut self,
        services: &Arc<Services>,
        wake: &mpsc::Sender<Wish>,
        stop: &watch::Sender<bool>,
        shutdown: ShutdownSettings,
    ) {
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
        let overdue = shutdown.delay + shutdown.grace + OVERDUE;
        tokio::select! {
            // a second signal means now
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
            () = tokio::time::sleep(overdue) => {
                let (unanswered, cut) = (services.unanswered(), services.open_connections());
                events::DrainOverdue { unanswered, cut }.emit(&services.metrics);
            }
        }
        logging::flush();
        std::process::exit(1);
    }
}
