//! The time, for requests that leave `now` out.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Milliseconds since 1970.
#[must_use]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a time such as `2026-11-21T12:00:00Z`, for clap.
///
/// # Errors
/// If the text is not a time.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| "write a time with its zone, such as 2026-11-21T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_zones() {
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T01:00:00.250+01:00", Some(250)),
            ("2026-11-21", None),
            ("2026-11-21T12:00:00", None),
            ("now", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }
}
