//! `grpc.health.v1.Health`: readiness as gRPC clients ask for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Interval, interval};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::transport::Services;
use crate::transport::gateway::grpc::AUTHORIZATION;

/// How often a watch looks.
const LOOK: Duration = Duration::from_millis(250);

/// Reports whether the sidecar is ready.
pub(super) struct Readiness(pub(super) Arc<Services>);

fn status(services: &Services) -> ServingStatus {
    if services.unready().is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn known(service: &str) -> bool {
    service.is_empty() || service == AUTHORIZATION
}

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Watch;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service"));
        }
        Ok(Response::new(HealthCheckResponse { status: status(&self.0).into() }))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let known = known(&request.get_ref().service);
        Ok(Response::new(Watch { services: self.0.clone(), known, told: None, tick: interval(LOOK) }))
    }
}

/// The status, and then every change of it. Ends with the sidecar, so that it does not hold it up.
pub(super) struct Watch {
    services: Arc<Services>,
    known: bool,
    told: Option<ServingStatus>,
    tick: Interval,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.tick.poll_tick(cx));
            let now = if self.known { status(&self.services) } else { ServingStatus::ServiceUnknown };
            if self.told != Some(now) {
                self.told = Some(now);
                return Poll::Ready(Some(Ok(HealthCheckResponse { status: now.into() })));
            }
            if self.services.draining.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
        }
    }
}
