//! Names, texts and numbers that the generator draws from: few, so that they meet; nasty, so that it matters.

use super::choices::Choices;

/// Names of entity types.
pub(crate) const TYPES: &[&str] = &["User", "Group", "Doc", "Folder", "Device", "Team", "T_1", "_x", "Colour", "Level"];

/// Namespaces.
pub(crate) const NAMESPACES: &[&str] = &["", "App", "App::Sub", "_n1"];

/// Names of attributes, and of members of records and contexts. Some can only be written in quotes.
pub(crate) const ATTRIBUTES: &[&str] = &[
    "a",
    "b",
    "owner",
    "level",
    "name",
    "peers",
    "nested",
    "ip",
    "when",
    "flag",
    "with space",
    "quo\"te",
    "\u{fc}n\u{ef}",
    "in",
    "type",
    "id",
];

/// Names of actions.
pub(crate) const ACTIONS: &[&str] = &["view", "edit", "all", "do it", "qu\"ote", "\u{e9}crire", "read only", "admin"];

/// Ids of entities, and texts.
pub(crate) const TEXTS: &[&str] = &[
    "a",
    "b",
    "alice",
    "A",
    "",
    "x\0y",
    "\u{1f600}",
    "\u{fc}n\u{ef}",
    "u\u{308}",
    "q\"uote",
    "back\\slash",
    "*",
    "a*b",
    "line\nbreak",
    "a::b",
    "0",
    "'",
    "\u{7f}",
    "aab",
    "name",
];

/// Keys of tags.
pub(crate) const KEYS: &[&str] = &["a", "b", "", "x\0y", "q\"uote", "\u{1f600}", "name"];

/// Whole numbers.
pub(crate) const LONGS: &[i64] = &[
    0,
    1,
    2,
    -1,
    3,
    10,
    100,
    -7,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    i64::MIN + 1,
    1 << 59,
    (1 << 59) - 1,
    -(1 << 59),
    -(1 << 59) - 1,
    1 << 62,
    3_037_000_500,
    86_400_000,
];

/// A number that fits a packed cell, and one that does not.
pub(crate) const FEW_LONGS: &[i64] = &[1, i64::MAX];

/// Arguments of `decimal`. Here and below the first two are one value.
pub(crate) const DECIMALS: &[&str] = &[
    "1.0",
    "1.00",
    "0.0",
    "01.0",
    "-1.5",
    "12.3456",
    "0.0001",
    "-0.0",
    "922337203685477.5807",
    "-922337203685477.5808",
    "100.5",
    "57646075230342.3488",
];

/// Arguments that `decimal` refuses.
pub(crate) const BAD_DECIMALS: &[&str] =
    &["", "1", "1.", ".1", "1.12345", "+1.0", "922337203685477.5808", "abc", "1.0 ", "\u{661}.0"];

/// Arguments of `ip`.
pub(crate) const IPS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1/32",
    "127.0.0.0/8",
    "127.0.0.0/7",
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3/24",
    "::1",
    "::1/128",
    "::1/127",
    "::ffff:a00:1",
    "::ffff:a00:0/104",
    "ff00::/8",
    "ff02::1",
    "224.0.0.1",
    "224.0.0.0/4",
    "192.168.0.0/16",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "2001:db8::1",
    "255.255.255.255",
    "0:0:0:0:0:0:0:1",
];

/// Arguments that `ip` refuses.
pub(crate) const BAD_IPS: &[&str] =
    &["", "127.0.0", "10.0.0.1/33", "::1/129", "10.0.0.1/08", "::ffff:10.0.0.1", "localhost", "10.0.0.1 ", "010.0.0.1"];

/// Arguments of `datetime`. Some lie at and around the clocks of the tests.
pub(crate) const DATETIMES: &[&str] = &[
    "1970-01-01",
    "1970-01-01T00:00:00Z",
    "2024-02-29",
    "2026-09-21T14:13:20.123Z",
    "2026-09-21T14:13:20.124Z",
    "2026-09-21",
    "2024-02-29T10:11:12.345+0530",
    "2024-02-29T23:59:59Z",
    "0000-01-01",
    "9999-12-31T23:59:59.999Z",
    "1969-12-31T23:59:59.999Z",
    "2030-01-01T00:00:00-0100",
];

/// Arguments that `datetime` refuses.
pub(crate) const BAD_DATETIMES: &[&str] = &[
    "",
    "2023-02-29",
    "2024-1-1",
    "2024-01-01T00:00:00",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:00:00.1Z",
    "10000-01-01",
    "2024-01-01T00:00:00+2400",
];

/// Arguments of `duration`.
pub(crate) const DURATIONS: &[&str] = &[
    "3600s",
    "1h",
    "0ms",
    "1ms",
    "1d",
    "-1d",
    "1d2h3m4s5ms",
    "90m",
    "9223372036854775807ms",
    "-9223372036854775808ms",
    "106751991167d",
    "-1ms",
];

/// Arguments that `duration` refuses.
pub(crate) const BAD_DURATIONS: &[&str] =
    &["", "-", "1", "1x", "d", "1h1d", "9223372036854775808ms", "106751991168d", "1s1s", "1.5h"];

/// One of a pool, or of its first two alone, so that sets of them are equal now and then.
pub(crate) fn some<'t, T>(c: &mut Choices, pool: &'t [T], few: bool) -> &'t T {
    c.pick(if few { &pool[..pool.len().min(2)] } else { pool })
}

/// One of a pool, often one of its first few, so that values meet.
pub(crate) fn near<'t, T>(c: &mut Choices, pool: &'t [T]) -> &'t T {
    if c.chance(55) { c.pick(&pool[..pool.len().min(3)]) } else { c.pick(pool) }
}

/// A text as a Cedar literal, its escapes written in one of several ways.
pub(crate) fn quoted(text: impl AsRef<str>, c: &mut Choices) -> String {
    let mut out = String::from("\"");
    for ch in text.as_ref().chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str(["\\0", "\\x00", "\\u{0}"][c.below(3)]),
            '\n' => out.push_str(["\\n", "\\x0A", "\\u{a}"][c.below(3)]),
            '\'' => out.push_str(["'", "\\'"][c.below(2)]),
            ch if ch.is_ascii_control() || c.chance(4) => out.push_str(&format!("\\u{{{:x}}}", u32::from(ch))),
            ch => out.push(ch),
        }
    }
    out.push('"');
    out
}

/// Whether a name can be written without quotes after a dot.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"].contains(&name)
}
