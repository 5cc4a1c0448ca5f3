//! The extension types `decimal`, `ipaddr`, `datetime` and `duration`: reading and calculating.
//!
//! Only whether a text is read and to which value matters here; why one is not is for the reference to say.

use std::net::IpAddr;

/// An address or a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ip {
    v6: bool,
    prefix: u8,
    address: [u8; 16],
}

/// Bytes of a packed [`Ip`].
pub(crate) const IP_BYTES: usize = 18;

impl Ip {
    /// Reads `10.0.0.1`, `10.0.0.0/8`, `::1` and the like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const LONGEST: usize = 43;
        let mixed = |c| text.matches(c).nth(1).is_some();
        if text.len() > LONGEST || (mixed(':') && mixed('.')) {
            return None;
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        Self::from_parts(address, prefix)
    }

    /// Reads an address as Cedar writes it, which for a mapped IPv4 address is a form that it does not read.
    pub(crate) fn parse_written(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        Self::from_parts(address, prefix)
    }

    fn from_parts(address: &str, prefix: Option<&str>) -> Option<Self> {
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => {
                let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
                digits.parse::<u8>().ok().filter(|n| plain && *n <= longest)?
            }
        };
        Some(Self::of(address, prefix))
    }

    /// A range of addresses.
    pub(crate) fn of(address: IpAddr, prefix: u8) -> Self {
        let mut bytes = [0; 16];
        match address {
            IpAddr::V4(v4) => bytes[12..].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => bytes = v6.octets(),
        }
        Self { v6: address.is_ipv6(), prefix, address: bytes }
    }

    /// The packed form.
    pub(crate) fn to_bytes(self) -> [u8; IP_BYTES] {
        let mut bytes = [0; IP_BYTES];
        bytes[0] = u8::from(self.v6);
        bytes[1] = self.prefix;
        bytes[2..].copy_from_slice(&self.address);
        bytes
    }

    /// Reads the packed form.
    ///
    /// # Panics
    /// If there is none: the caller's data are broken, and no address may be made up.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut address = [0; 16];
        address.copy_from_slice(&bytes[2..IP_BYTES]);
        Self { v6: bytes[0] == 1, prefix: bytes[1], address }
    }

    /// `isIpv4`
    pub(crate) fn is_v4(self) -> bool {
        !self.v6
    }

    /// `isIpv6`
    pub(crate) fn is_v6(self) -> bool {
        self.v6
    }

    fn address(self) -> IpAddr {
        let number = u128::from_be_bytes(self.address);
        if self.v6 { IpAddr::V6(number.into()) } else { IpAddr::V4((number as u32).into()) }
    }

    /// `isLoopback`
    pub(crate) fn is_loopback(self) -> bool {
        self.address().is_loopback() && self.prefix >= if self.v6 { 128 } else { 8 }
    }

    /// `isMulticast`
    pub(crate) fn is_multicast(self) -> bool {
        self.address().is_multicast() && self.prefix >= if self.v6 { 8 } else { 4 }
    }

    /// First and last address of the range.
    fn bounds(self) -> (u128, u128) {
        let width = if self.v6 { 128 } else { 32 };
        let all = if self.v6 { u128::MAX } else { u128::from(u32::MAX) };
        let host = all.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        debug_assert!(u32::from(self.prefix) <= width);
        let number = u128::from_be_bytes(self.address);
        (number & (all & !host), number | host)
    }

    /// `isInRange`
    pub(crate) fn is_in_range(self, range: Self) -> bool {
        let ((first, last), (low, high)) = (self.bounds(), range.bounds());
        self.v6 == range.v6 && low <= first && last <= high
    }

    /// The text that reads back to it, here and in Cedar.
    ///
    /// The groups of an IPv6 address are written out: the usual short form of a mapped IPv4 address
    /// (`::ffff:10.0.0.1`) mixes colons and dots, which Cedar refuses to read.
    pub(crate) fn text(self) -> String {
        match self.address() {
            IpAddr::V4(address) => format!("{address}/{}", self.prefix),
            IpAddr::V6(address) => {
                let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:x}")).collect();
                format!("{}/{}", groups.join(":"), self.prefix)
            }
        }
    }
}

/// Reads a decimal such as `-1.25` to ten-thousandths.
pub(crate) fn parse_decimal(text: &str) -> Option<i64> {
    const DIGITS: u32 = 4;
    let (whole, fraction) = text.split_once('.')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) || fraction.len() > DIGITS as usize {
        return None;
    }
    let scaled = whole.parse::<i64>().ok()?.checked_mul(10_i64.pow(DIGITS))?;
    let part = fraction.parse::<i64>().ok()? * 10_i64.pow(DIGITS - fraction.len() as u32);
    if whole.starts_with('-') { scaled.checked_sub(part) } else { scaled.checked_add(part) }
}

/// The text of a decimal.
pub(crate) fn decimal_text(value: i64) -> String {
    let magnitude = value.unsigned_abs();
    format!("{}{}.{:04}", if value < 0 { "-" } else { "" }, magnitude / 10_000, magnitude % 10_000)
}

/// Reads a duration such as `-1d2h3m4s5ms` to milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    // sums go from the smallest unit to the largest, so that overflow is met where Cedar meets it
    let mut parts = [0_i64; 5];
    let mut unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let (found, length) = match after.as_bytes() {
            [b'm', b's', ..] => (4, 2),
            [b'd', ..] => (0, 1),
            [b'h', ..] => (1, 1),
            [b'm', ..] => (2, 1),
            [b's', ..] => (3, 1),
            _ => return None,
        };
        if digits == 0 || found < unit {
            return None;
        }
        let number: u64 = number.parse().ok()?;
        parts[found] = if found == 4 && negative {
            i64::try_from(-i128::from(number)).ok()?
        } else {
            i64::try_from(number).ok()?
        };
        unit = found + 1;
        rest = after.get(length..)?;
    }
    let mut sum = parts[4];
    for (part, scale) in [(parts[3], 1_000), (parts[2], 60_000), (parts[1], 3_600_000), (parts[0], DAY)] {
        let scaled = part.checked_mul(scale)?;
        sum = if negative { sum.checked_sub(scaled)? } else { sum.checked_add(scaled)? };
    }
    Some(sum)
}

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Reads a date or a date with time and offset to milliseconds since 1970.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !is(4, b'-') || !is(7, b'-') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * DAY;
    if bytes.len() == 10 {
        return Some(midnight);
    }
    if !is(10, b'T') || !is(13, b':') || !is(16, b':') {
        return None;
    }
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let (milliseconds, zone) = if is(19, b'.') { (number(20, 23)?, 23) } else { (0, 19) };
    let offset = match bytes.get(zone..)? {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), _, _, _, _] => {
            let (hours, minutes) = (number(zone + 1, zone + 3)?, number(zone + 3, zone + 5)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 60_000 } else { -60_000 }
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(midnight + ((hour * 60 + minute) * 60 + second) * 1_000 + milliseconds - offset)
}

/// The text of a datetime, for years that four digits write.
pub(crate) fn datetime_text(datetime: i64) -> Option<String> {
    let (days, time) = (datetime.div_euclid(DAY), datetime.rem_euclid(DAY));
    // eras of 400 years that start in March, so that the leap day comes last
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (seconds, milliseconds) = (time / 1_000, time % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    (0..=9_999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, for years from 0.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // years that start in March put the leap day last
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `toDate`: the midnight before.
pub(crate) fn to_date(datetime: i64) -> Option<i64> {
    datetime.checked_sub(datetime.rem_euclid(DAY))
}

/// `toTime`: what has passed since the midnight before.
pub(crate) fn to_time(datetime: i64) -> i64 {
    datetime.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Context, RestrictedExpression};

    fn cedar(text: &str, make: fn(&str) -> RestrictedExpression) -> bool {
        Context::from_pairs([("x".to_owned(), make(text))]).is_ok()
    }

    #[test]
    fn reads_exactly_what_cedar_reads() {
        let numbers = ["0", "00", "1", "01", "9", "24", "31", "32", "33", "128", "129", "256", "9999", ""];
        let mut texts: Vec<String> = ["", "-", ".", "/", ":", "::", "::1", "T", "Z"].map(str::to_owned).to_vec();
        for a in numbers {
            for b in numbers {
                texts.extend([
                    format!("{a}.{b}"),
                    format!("-{a}.{b}"),
                    format!("{a}.{b}\n"),
                    format!("{a}d{b}h"),
                    format!("-{a}m{b}ms"),
                    format!("{a}ms{b}m"),
                    format!("{a}h{b}m{a}s{b}ms"),
                    format!("10.0.{a}.1/{b}"),
                    format!("::{a}/{b}"),
                    format!("2024-{a}-{b}"),
                    format!("2024-02-28T{a}:{b}:00Z"),
                    format!("2024-02-29T10:11:12.{a}Z"),
                    format!("2024-02-29T10:11:12+{a}{b}"),
                    format!("2024-02-29T10:11:12.123-{a}{b}"),
                ]);
            }
        }
        for extra in [
            "922337203685477.5807",
            "922337203685477.5808",
            "-922337203685477.5808",
            "-922337203685477.5809",
            "1.12345",
            "+1.0",
            "1.",
            ".1",
            "\u{0661}.1",
            "9223372036854775807ms",
            "9223372036854775808ms",
            "-9223372036854775808ms",
            "-9223372036854775809ms",
            "106751991167d",
            "106751991168d",
            "-106751991167d7h12m55s808ms",
            "-0.5",
            "106751991167d7h12m55s807ms",
            "106751991167d7h12m55s808ms",
            "1s1s",
            "1x",
            "ms",
            "0000-01-01",
            "9999-12-31",
            "10000-01-01",
            "2023-02-29",
            "2000-02-29",
            "1900-02-29",
            "2024-1-1",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01T23:59:60Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.1Z",
            "2024-01-01T00:00:00.1234Z",
            "2024-01-01T00:00:00+2400",
            "2024-01-01T00:00:00+0060",
            "2024-01-01T00:00:00z",
            "::ffff:127.0.0.1",
            "1:2:3:4:5:6:7:8",
            "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128",
            "127.0.0.1/",
            "127.0.0.1/032",
            "127.1",
            "0127.0.0.1",
            "fe80::1%1",
        ] {
            texts.push(extra.to_owned());
        }
        for text in &texts {
            assert_eq!(Ip::parse(text).is_some(), cedar(text, |t| RestrictedExpression::new_ip(t)), "ip {text:?}");
            assert_eq!(
                parse_decimal(text).is_some(),
                cedar(text, |t| RestrictedExpression::new_decimal(t)),
                "decimal {text:?}"
            );
            assert_eq!(
                parse_datetime(text).is_some(),
                cedar(text, |t| RestrictedExpression::new_datetime(t)),
                "datetime {text:?}"
            );
            assert_eq!(
                parse_duration(text).is_some(),
                cedar(text, |t| RestrictedExpression::new_duration(t)),
                "duration {text:?}"
            );
        }
    }

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(parse_datetime("1970-01-01"), Some(0));
        assert_eq!(parse_datetime("2024-10-15T11:38:02.101+1134"), parse_datetime("2024-10-15T00:04:02.101Z"));
        let mut day = parse_datetime("0000-01-01").unwrap();
        for year in 0..=9999 {
            for month in 1..=12 {
                for date in 1..=31 {
                    if let Some(found) = parse_datetime(&format!("{year:04}-{month:02}-{date:02}")) {
                        let text = datetime_text(found + 1_234).unwrap();
                        assert_eq!(text, format!("{year:04}-{month:02}-{date:02}T00:00:01.234Z"));
                        assert_eq!(found, day, "{year}-{month}-{date}");
                        day += DAY;
                    }
                }
            }
        }
    }
}
