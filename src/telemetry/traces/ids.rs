//! Ids of traces and spans: random, and without a call to the system for each.

use std::cell::Cell;

use crate::telemetry::fresh_id;

thread_local! {
    /// Two series, so that two threads that happen to share a part of one share no id.
    static SERIES: Cell<(u64, u64)> = Cell::new((seed(), seed()));
}

/// Random but for two bits, which the mixing spreads.
fn seed() -> u64 {
    fresh_id().as_u128() as u64
}

/// No two numbers become the same.
fn mixed(next: u64) -> u64 {
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// 128 random bits that are not zero.
pub(super) fn trace() -> u128 {
    let (first, second) = SERIES.get();
    let next = (first.wrapping_add(0x9e37_79b9_7f4a_7c15), second.wrapping_add(0xd1b5_4a32_d192_ed03));
    SERIES.set(next);
    (u128::from(mixed(next.0)) << 64 | u128::from(mixed(next.1))).max(1)
}

/// 64 random bits that are not zero.
pub(super) fn span() -> u64 {
    let random = trace();
    ((random >> 64) as u64 ^ (random as u64).rotate_left(32)).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn ids_differ_on_all_threads() {
        let ids = || (0..10_000).map(|_| (trace(), span())).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(ids)).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.iter().map(|(trace, _)| trace).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|(_, span)| span).collect::<HashSet<_>>().len(), all.len());
        // each bit is set about half the time
        for bit in 0..128 {
            let set = all.iter().filter(|(trace, _)| trace >> bit & 1 == 1).count();
            assert!((19_000..21_000).contains(&set), "bit {bit} is set in {set} of {}", all.len());
        }
    }
}
