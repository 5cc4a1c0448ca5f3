//! What the sidecar reports about itself: metrics, log lines and traces, and events that are both.
//!
//! Handles are resolved at start, so that counting on a request's path is one atomic addition. Nothing
//! here decides anything, and nothing here holds what a request said.

pub mod events;
mod labels;
pub mod logging;
pub mod metrics;
pub mod outbound;
mod pipe;
pub mod threads;
pub mod traces;
mod works;

pub use labels::{
    AuthResult, CoverageResult, DecisionKind, IdentitySource, Listener, RefusalReason, ReloadResult, ReloadSource,
    Transport, VerifyResult, Work,
};
pub use metrics::Metrics;
pub use pipe::dropped_lines;
pub use threads::{fresh_id, room_for_threads, start_thread, supervised, supervised_early};
pub use works::{UnderWay, Works};
