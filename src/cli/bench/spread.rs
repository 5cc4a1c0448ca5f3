//! How long many answers took, in a fixed amount of memory.

use std::time::Duration;

/// Counts by time: each is kept to within a hundredth.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

/// Each power of two is counted in so many steps.
const STEPS: u64 = 128;

/// The place of a time in nanoseconds.
fn place(nanos: u64) -> usize {
    let shift = nanos.checked_ilog2().unwrap_or(0).saturating_sub(STEPS.ilog2());
    (u64::from(shift) * STEPS + (nanos >> shift)) as usize
}

/// The longest time of a place, in nanoseconds.
fn longest_at(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place / STEPS).saturating_sub(1);
    (((place - shift * STEPS + 1) as u128) << shift).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: vec![0; place(u64::MAX) + 1], total: 0, longest: 0 }
    }
}

impl Spread {
    /// Counts one more.
    pub(super) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(place(nanos)) {
            *count += 1;
        }
        self.total += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Counts all of another.
    pub(super) fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// How many there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time within which this share of all was answered; the longest for 1.
    pub(super) fn at(&self, share: f64) -> Duration {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut so_far = 0;
        let found = self.counts.iter().position(|count| {
            so_far += count;
            so_far >= wanted.max(1)
        });
        Duration::from_nanos(found.map_or(0, longest_at).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_sorted_times() {
        let mut next = 1_u64;
        let mut times: Vec<u64> = (0..20_000)
            .map(|_| {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (next >> 33) % 10_u64.pow(1 + (next >> 60) as u32 % 9)
            })
            .collect();
        let (mut one, mut other) = (Spread::default(), Spread::default());
        for (i, time) in times.iter().enumerate() {
            if i % 3 == 0 { &mut one } else { &mut other }.add(Duration::from_nanos(*time));
        }
        one.join(&other);
        times.sort_unstable();
        assert_eq!(one.total(), 20_000);
        for share in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = times[((20_000.0 * share) as usize).max(1) - 1];
            let found = one.at(share).as_nanos() as u64;
            assert!(found >= exact && found <= exact + exact / 100 + 1, "{share}: {found}, not {exact}");
        }
        assert_eq!(one.at(1.0).as_nanos() as u64, times[19_999]);
    }

    #[test]
    fn every_time_has_a_place() {
        assert_eq!(Spread::default().at(0.5), Duration::ZERO);
        let mut last = None;
        for nanos in (0..2_000).chain([1 << 20, (1 << 40) - 1, u64::MAX / 2, u64::MAX]) {
            let at = place(nanos);
            assert!(longest_at(at) >= nanos && longest_at(at) <= nanos.saturating_add(nanos / 100 + 1), "{nanos}");
            assert!(last.is_none_or(|last| last <= at));
            last = Some(at);
        }
    }
}
