//! Work whose recursion follows its input runs on a stack of its own.
//!
//! Cedar's parser, validator, evaluator and the freeing of its trees recurse with the nesting of the text. On a
//! thread of 2 MiB some 140 parentheses abort the process, and a long `||` chain makes the evaluator give
//! up. Texts are bounded before they are parsed (see [`super::guard`]); these stacks have room for the bound.

use std::io;
use std::ops::Deref;
use std::thread;

// What is not optimised takes more stack: a level of an `if` in Cedar's evaluator more than 50 KiB, where it takes some 10
// in a release.

/// Bytes of stack for building a snapshot. Reserved, not used: pages count once they are touched.
const BUILD_STACK_BYTES: usize = if cfg!(debug_assertions) { 1 << 30 } else { 512 << 20 };

/// Bytes of stack that a thread must have which evaluates decisions with the reference.
///
/// It has room for [`crate::model::bounds::MAX_EXPRESSION_DEPTH`] levels, so the evaluator's own limit is never met.
pub const EVALUATION_STACK_BYTES: usize = if cfg!(debug_assertions) { 1 << 30 } else { 256 << 20 };

/// Runs `work` on a thread with a large stack and waits for it. A panic in `work` goes on here.
///
/// # Errors
/// If the thread cannot be started.
pub fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = builder().spawn_scoped(scope, work).map_err(|error| named(&error))?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Runs `work` on a thread with a large stack and does not wait for it.
///
/// # Errors
/// If the thread cannot be started.
pub fn begin_on_big_stack(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    builder().spawn(work).map(drop).map_err(|error| named(&error))
}

fn builder() -> thread::Builder {
    thread::Builder::new().name("palisade-build".to_owned()).stack_size(BUILD_STACK_BYTES)
}

/// Adds what was asked for: under a limit of address space the system's own message does not name it.
fn named(error: &io::Error) -> io::Error {
    let mebibytes = BUILD_STACK_BYTES >> 20;
    let message =
        format!("{error}; its stack needs {mebibytes} MiB of address space, of which pages count when touched");
    io::Error::new(error.kind(), message)
}

/// Something of Cedar's that may be deep. It is freed on a large stack, whichever thread drops it: the last one that
/// holds a replaced snapshot may well be one with a small stack that answered a request.
#[derive(Debug)]
pub(crate) struct Deep<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Deep<T> {
    /// Takes care of `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, to be changed.
    pub(crate) fn inner_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some(value) => value,
            None => super::broken::broken("a value that was freed is changed"),
        }
    }

    /// Makes another value of this one.
    pub(crate) fn map<U: Send + 'static>(mut self, make: impl FnOnce(T) -> U) -> Deep<U> {
        Deep(self.0.take().map(make))
    }
}

impl<T: Send + 'static> Deref for Deep<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => super::broken::broken("a value that was freed is used"),
        }
    }
}

impl<T: Send + 'static> Drop for Deep<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        // the box is leaked where no thread can be had: memory is lost, where freeing it here could abort the process
        let value = std::mem::ManuallyDrop::new(Box::new(value));
        let spawned =
            builder().spawn(move || drop(std::mem::ManuallyDrop::into_inner(value))).map_err(|error| named(&error));
        if let Err(error) = spawned {
            tracing::warn!("replaced policies stay in memory: no thread to free them on: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_started_is_reported_with_what_it_needs() {
        let error = named(&io::Error::from_raw_os_error(11));
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("MiB of address space"), "{error}");
    }
}
