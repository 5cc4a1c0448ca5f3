//! What was acknowledged, on disk: changes, revisions, and the answers of requests that carried a key.
//!
//! One file, the **store**, holds a log of commits behind a head. Keys and values are bytes here: entities, policies and
//! links have no meaning in this package, which has no HTTP, no async, no clock and no randomness either. The caller
//! draws incarnations, says what time it is, and decides when to flush where a commit does not.
//!
//! - [`Journal::open`] takes the store for this process and gives back what it holds, or refuses: a damaged store is
//!   never read in part, and an empty one is never made of it.
//! - [`Journal::append`] writes several commits as one transaction, with one flush. Either all are there or none.
//! - An image of the base, of any size, goes in piece by piece ([`Journal::begin_image`]), between commits; so do the
//!   records of a large commit, ahead of it ([`Journal::begin_ahead`]).
//! - [`Journal::compaction`] copies what still counts, on any thread, while commits go on.
//! - [`check`], [`backup`] and [`restore`] work on files; `check` and `backup` also on one that is open elsewhere.
//!
//! **What is promised.** With [`Durability::Fsync`] an acknowledged commit is there after a power cut. With the other
//! two it is there after `kill -9`, and after a power cut what is there is a prefix of what was acknowledged. Every byte
//! that is read back stands under a sum, and each frame's sum includes that of the frame before it. Two marks say how
//! far the log was acknowledged, so that a flipped bit in the newest commit is damage and not the end of the log.
//!
//! **Counters and incarnations.** Counters only grow, and none is given twice for different states: an unclean end of a
//! run that did not flush each commit, a restored backup, and a copy of the file all begin a new incarnation.

mod commit;
mod compact;
mod copy;
mod error;
mod files;
mod format;
mod image;
mod index;
mod journal;
mod open;
mod saved;
mod scan;

pub use commit::{Ahead, Base, Commit, Kind, Origin};
pub use compact::Compaction;
pub use copy::{Checked, backup, check, look, restore};
pub use error::{AppendError, OpenError};
pub use image::{AheadId, Image, ImageId};
pub use journal::{Counts, Durability, Journal, Settings};
pub use open::{Fresh, Recovered};
pub use saved::{Entry, Saved, Word};

#[cfg(test)]
mod tests;
