//! Memory that was freed goes back to the system.
//!
//! A build frees as much as the state it makes: what entities were read into, and the state that is replaced. The
//! allocator keeps the pages in between of what is still used, for the next allocation on a thread like it, so that a
//! sidecar would hold twice what it needs from its first reload on.

/// Gives all whole pages that are free back to the system. Takes some 50 ms after a million entities, next to nothing
/// after few; call it where that holds up nothing that is urgent. Does nothing where the C library is not glibc.
pub fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the standard library has no word for it")]
fn trim() {
    // SAFETY: it takes the allocator's own locks, and touches nothing that is allocated.
    unsafe { libc::malloc_trim(0) };
}
