//! How many files and connections the process may have open.
//!
//! Without descriptors nothing can be asked: not even why. So the limit is raised as far as the system lets us, and
//! some descriptors are kept from the connections of decisions.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are kept for files that are read and written.
const RESERVE: usize = 32;

/// Connections that the admin and the ops listener may have, each.
const ASIDE: usize = 32;

/// Raises the soft limit to the hard one; gives what counts then, `None` where there is no limit.
pub(super) fn raise() -> Option<usize> {
    let limits = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if limits.current != limits.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// Open files that are needed besides those that are open at the start: listeners, notifications, a few connections.
const NEEDED: usize = 24;

/// Whether there is room for the files that are opened at the start, and for some connections.
///
/// # Errors
/// If there is not.
pub(super) fn enough() -> io::Result<()> {
    // each has two ends
    let pipes: io::Result<Vec<_>> = (0..NEEDED / 2).map(|_| io::pipe()).collect();
    pipes.map(drop).map_err(|error| {
        let help = "raise the limit of open files (`ulimit -n`, `LimitNOFILE=`)";
        io::Error::new(
            error.kind(),
            format!("{NEEDED} more open files are needed than there is room for: {error}; {help}"),
        )
    })
}

/// How many connections for decisions `limit` leaves room for, besides what is open already.
pub(super) fn room(limit: usize) -> usize {
    let open = fs::read_dir("/proc/self/fd").map_or(RESERVE, Iterator::count);
    beside(limit, open)
}

/// How many connections admin and ops may have, each: a number of their own, so that they never take from decisions.
pub(super) fn aside(limit: Option<usize>) -> usize {
    limit.map_or(ASIDE, |limit| ASIDE.min(limit / 16)).max(2)
}

fn beside(limit: usize, open: usize) -> usize {
    let free = limit.saturating_sub(open);
    let kept = RESERVE + 2 * aside(Some(limit));
    (free - kept.min(free * 3 / 5)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept() {
        for (limit, open, expected) in [(1_024, 24, 904), (48, 20, 12), (20, 20, 1), (10, 20, 1), (200, 24, 120)] {
            assert_eq!(beside(limit, open), expected, "{limit} {open}");
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert!(limit.is_none_or(|limit| room(limit) < limit));
    }
}
