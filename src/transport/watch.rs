//! `GET /v1/watch`: what is published, as server-sent events.
//!
//! A reader takes events at its own pace from what is kept of the last ones, so what it holds does not grow. One that is
//! too slow for that gets an event that says so, and one that takes nothing is left.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;

use crate::state::Follows;
use crate::transport::Services;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::Exchange;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::streamed::Content;
use crate::transport::target;
use palisade_engine::model::Revision;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a reader that waits gets a comment, so that what is in between does not take it for dead,
/// and one that has left is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often it is looked whether the sidecar stops.
const LOOK: Duration = Duration::from_millis(250);

/// Readers at a time: the admin listener has other clients too, and no more than 32 connections.
pub(super) const MOST: usize = 16;

/// A body of events.
#[derive(Debug)]
pub(super) struct Events(mpsc::Receiver<Bytes>);

impl Events {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.0).poll_recv(cx)
    }
}

/// Where to go on from, if the request says so.
fn after(exchange: &Exchange) -> Result<Option<Revision>, Problem> {
    let mut given = None;
    for (name, value) in target::query(exchange.head.uri.query().unwrap_or_default())? {
        if name != "after" {
            return Err(elsewhere::parameter(Place::Watch, &name, &["after"]).into());
        }
        given = Some(value);
    }
    // a reader that was cut off knows better than the address that it began with
    if let Some(id) = exchange.headers().get(LAST_EVENT_ID) {
        given = Some(String::from_utf8_lossy(id.as_bytes()).into_owned());
    }
    let read = |text: String| {
        let wrong = |error| Problem::bad_request("invalid_revision", format!("`after`: {error}"));
        text.trim().parse::<Revision>().map_err(wrong)
    };
    given.map(read).transpose()
}

pub(super) fn watch(services: &Arc<Services>, exchange: &Exchange) -> Result<Answer, Problem> {
    let after = after(exchange)?;
    let serving = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?.revision();
    let Ok(turn) = services.watchers.clone().try_acquire_owned() else {
        let message = format!("{MOST} clients follow the changes at the moment; ask again");
        return Err(Problem::unavailable("too_busy", message));
    };
    let (send, events) = mpsc::channel(2);
    let services = services.clone();
    tokio::spawn(async move {
        follow(&services, after.unwrap_or(serving), &send).await;
        drop(turn);
    });
    let mut answer = respond::of_type(StatusCode::OK, "text/event-stream", Content::Events(Events(events)));
    answer.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(respond::at(serving, answer))
}

/// Sends what is published after a revision until the reader leaves, is too slow, or the sidecar stops.
async fn follow(services: &Services, mut after: Revision, send: &mpsc::Sender<Bytes>) {
    let state = services.pdp.state();
    let mut revisions = state.revisions();
    // a reader knows at once that it is heard
    let mut text = Some(": following\n\n".to_owned());
    let mut quiet = Duration::ZERO;
    loop {
        if let Some(text) = text.take() {
            let sent = tokio::time::timeout(services.http.body_timeout, send.send(text.into()));
            if !matches!(sent.await, Ok(Ok(()))) {
                return;
            }
            quiet = Duration::ZERO;
        }
        if services.draining.load(Ordering::Acquire) {
            return;
        }
        match state.after(after) {
            Follows::Next(event) => {
                after = event.revision;
                text = Some(match &event.changes {
                    Some(changes) => {
                        let prev = event.prev.map(|prev| prev.to_string()).unwrap_or_default();
                        let (revision, head) = (event.revision, "event: change\ndata: ");
                        format!(
                            "id: {revision}\n{head}{{\"revision\":\"{revision}\",\"prev\":\"{prev}\",\"changes\":{changes}}}\n\n"
                        )
                    }
                    None => {
                        let data = json!({ "revision": event.revision.to_string() });
                        format!("id: {}\nevent: reset\ndata: {data}\n\n", event.revision)
                    }
                });
            }
            Follows::Gone => {
                let serving = state.snapshot().map(|snapshot| snapshot.revision().to_string());
                let text = format!("event: gone\ndata: {}\n\n", json!({ "revision": serving }));
                let _ = tokio::time::timeout(services.http.body_timeout, send.send(text.into())).await;
                return;
            }
            Follows::Nothing => {
                tokio::select! {
                    changed = revisions.changed() => if changed.is_err() { return },
                    () = send.closed() => return,
                    () = tokio::time::sleep(LOOK) => quiet += LOOK,
                }
                if quiet >= HEARTBEAT {
                    text = Some(":\n\n".to_owned());
                }
            }
        }
    }
}
