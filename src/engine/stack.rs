//! Work whose recursion follows its input runs on a stack of its own.
//!
//! Cedar's parser, validator and the freeing of its trees recurse with the nesting of the text. On a
//! thread of 2 MiB some 140 parentheses abort the process, and a long `||` chain makes the evaluator give
//! up. Texts are bounded before they are parsed (see [`super::guard`]); this stack has room for the bound.

use std::thread;

/// Bytes of stack for building a snapshot. Reserved, not used: pages count once they are touched.
const BUILD_STACK_BYTES: usize = 512 << 20;

/// Bytes of stack that a thread must have which evaluates decisions with the reference.
///
/// It has room for `limits.max_expression_depth` levels, so the evaluator's own limit is never met.
pub const EVALUATION_STACK_BYTES: usize = 64 << 20;

/// Runs `work` on a thread with a large stack and waits for it. A panic in `work` goes on here.
///
/// # Errors
/// If the thread cannot be started.
pub fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("palisade-build".to_owned())
            .stack_size(BUILD_STACK_BYTES)
            .spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
