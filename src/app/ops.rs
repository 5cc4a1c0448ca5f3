//! A thread of its own for the admin and ops listeners.
//!
//! The threads that decide may all be busy for a second: with requests of a megabyte each, say. A probe that waits behind
//! them gets the process killed while it works, so health, metrics and changes are served apart. What takes long there
//! has [threads of its own](crate::transport::Aside) again.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime with one thread. It may be dropped within another runtime.
#[derive(Debug)]
pub(super) struct OpsRuntime {
    handle: Handle,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl OpsRuntime {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("palisade-ops").build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a task on it.
    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(task)
    }
}

impl Drop for OpsRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // to wait for its thread is not allowed within a runtime
            runtime.shutdown_background();
        }
    }
}
