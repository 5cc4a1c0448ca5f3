//! What happens when the engine's own data contradict themselves.

/// Stops the work at hand: a fault of the sidecar must become an error, never a value that policies would take for an answer.
///
/// The caller of the engine catches the panic: a decision becomes an internal error, a change is refused.
///
/// # Panics
/// Always.
#[cold]
#[inline(never)]
#[track_caller]
#[expect(clippy::panic, reason = "the one place where a broken invariant ends the work that met it")]
pub(crate) fn broken(what: &str) -> ! {
    panic!("broken invariant of the engine: {what}")
}
