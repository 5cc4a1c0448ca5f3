//! Turns for bodies to be values.
//!
//! The budget of bytes in flight counts bodies as they came. As a tree of values a body takes up to some thirty times
//! that, and it stays one while the reference or the log is waited for. So of all bodies only some are trees at a time,
//! and the others wait as bytes. Middling ones have room of their own, so that large ones never hold them up, and what is
//! as small as most questions needs no turn.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::transport::respond::Problem;

/// Bytes of large bodies that are trees at a time: some 130 MiB of values at worst.
const MOST: u32 = 4 << 20;

/// Bytes of middling bodies that are trees at a time. They are many only where something is waited for, such as a
/// decision log that stands still.
const MOST_MIDDLING: u32 = 8 << 20;

/// A body that is no larger is middling.
const MIDDLING: usize = 16 << 10;

/// A body that is no larger needs no turn.
const SMALL: usize = 512;

/// A body with several requests that is no larger is read into values at once, which takes less time than reading it twice. Of
/// a larger one a request is a tree at a time.
pub(super) const AT_ONCE: usize = 512 << 10;

/// How long a body waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes of bodies are values at the moment.
#[derive(Debug)]
pub struct Trees {
    large: Semaphore,
    middling: Semaphore,
}

impl Default for Trees {
    fn default() -> Self {
        Self { large: Semaphore::new(MOST as usize), middling: Semaphore::new(MOST_MIDDLING as usize) }
    }
}

/// A turn, until it is dropped. Small bodies get one without any.
#[derive(Debug)]
pub(super) struct Room<'t> {
    _permit: Option<SemaphorePermit<'t>>,
}

impl Trees {
    /// Waits until so many bytes of text may be values. A caller that has a turn never asks for another, or two could
    /// wait for one another.
    ///
    /// # Errors
    /// If others do not make room in time.
    pub(super) async fn room_for(&self, bytes: usize) -> Result<Room<'_>, Problem> {
        let busy = || Problem::unavailable("too_busy", "too many bodies are being decided at the moment; ask again");
        if bytes <= SMALL {
            return Ok(Room { _permit: None });
        }
        Box::pin(self.room_within(bytes, PATIENCE)).await.ok_or_else(busy)
    }

    /// The same, within some time; `None` if that is over.
    pub(super) async fn room_within(&self, bytes: usize, time: Duration) -> Option<Room<'_>> {
        if bytes <= SMALL {
            return Some(Room { _permit: None });
        }
        let (room, most) = if bytes <= MIDDLING { (&self.middling, MOST_MIDDLING) } else { (&self.large, MOST) };
        // one that is larger than all of it gets all of it
        let bytes = u32::try_from(bytes).map_or(most, |bytes| bytes.min(most));
        let permit = tokio::time::timeout(time, room.acquire_many(bytes)).await.ok()?.ok()?;
        Some(Room { _permit: Some(permit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_take_turns_by_size_and_small_ones_need_none() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (trees, mib) = (Trees::default(), 1 << 20);
            let now = |bytes| trees.room_within(bytes, Duration::ZERO);
            let mut held = Vec::new();
            for _ in 0..4 {
                held.push(now(mib).await.unwrap());
            }
            assert!(now(mib).await.is_none() && now(MIDDLING + 1).await.is_none());
            // large ones do not hold up others
            let mut middling = Vec::new();
            for _ in 0..MOST_MIDDLING as usize / MIDDLING {
                middling.push(now(MIDDLING).await.unwrap());
            }
            assert!(now(MIDDLING).await.is_none() && now(SMALL + 1).await.is_none());
            assert!(now(SMALL).await.is_some());
            middling.pop();
            assert!(now(MIDDLING).await.is_some());
            drop(held.pop());
            assert!(now(mib).await.is_some());
            held.clear();
            let all = now(usize::MAX).await.unwrap();
            assert!(now(mib).await.is_none());
            drop(all);
            assert!(now(mib).await.is_some());
        });
    }
}
