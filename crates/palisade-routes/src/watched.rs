//! Which of the headers that are looked for a head has.
//!
//! Some seventy names may make a service take a request for another one, and most heads have none of them. So each name of
//! a head is classified once, by its length and its ends, and what is looked for is asked of one number.

use crate::actions;
use crate::forwarded::{PORTS, PREFIXES, SCHEMES, WORDS};
use crate::methods;
use crate::names::same_name;
use crate::overrides::{HOSTS, PATHS, SERVER, TARGETS};

/// Headers that are looked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Group {
    /// They ask for another method.
    Methods,
    /// They ask for another path.
    Paths,
    /// They say what the target was.
    Targets,
    /// They ask for a function of another page.
    Actions,
    /// They name a host.
    Hosts,
    /// It names a host, or the machine of a proxy.
    Server,
    /// RFC 7239.
    Forwarded,
    /// They name a scheme.
    Schemes,
    /// They name a port.
    Ports,
    /// They say whether the client speaks TLS.
    Words,
    /// They name what stood before the path.
    Prefixes,
    /// They show an upgrade of the connection.
    Upgrades,
    /// They say what the body is.
    Media,
}

/// What a service takes from a header in the place of what the request line and `Host` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asks {
    /// Another method.
    Method,
    /// Another path.
    Path,
    /// The target, in the place of the request's own: a gateway may name the same.
    Target,
    /// A function of another page.
    Function,
    /// Another host.
    Host,
    /// Another host, though a gateway may name its own machine there.
    Server,
    /// A part of the URL: its scheme, its port, what stands before the path.
    Url,
}

/// By group: what its headers ask for, if a service takes another request by them, and their names.
const GROUPS: [(Option<Asks>, &[&str]); 13] = [
    (Some(Asks::Method), &methods::HEADERS),
    (Some(Asks::Path), &PATHS),
    (Some(Asks::Target), &TARGETS),
    (Some(Asks::Function), &actions::HEADERS),
    (Some(Asks::Host), &HOSTS),
    (Some(Asks::Server), &[SERVER]),
    (Some(Asks::Host), &["forwarded"]),
    (Some(Asks::Url), &SCHEMES),
    (Some(Asks::Url), &PORTS),
    (Some(Asks::Url), &WORDS),
    (Some(Asks::Url), &PREFIXES),
    (None, &["http2-settings", "upgrade", "connection"]),
    (None, &["content-encoding", "content-type"]),
];

/// Every header by which some service takes another request than its line and its `Host` say, and what it asks for. The
/// sidecar refuses by this list, and the lint, the pages and the tests of the gateways go by it too.
pub fn headers() -> impl Iterator<Item = (&'static str, Asks)> {
    GROUPS
        .into_iter()
        .filter_map(|(asks, names)| Some((asks?, names)))
        .flat_map(|(asks, names)| names.iter().map(move |name| (*name, asks)))
}

/// What some service takes from a header, by whatever name servers take for that of the list.
#[must_use]
pub fn asks(header: &str) -> Option<Asks> {
    headers().find(|(name, _)| same_name(header, name)).map(|(_, asks)| asks)
}

/// How many names there are.
const COUNT: usize = first_of(GROUPS.len());

/// All of them, each with the bit of its place.
const NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut of = 0;
        while of < GROUPS[group].1.len() {
            names[at] = GROUPS[group].1[of];
            (at, of) = (at + 1, of + 1);
        }
        group += 1;
    }
    names
};

/// Longer than any name.
const LENGTHS: usize = 32;

/// What the last eight bytes of a name are, as far as every writing of it has them: its letters and digits.
#[derive(Clone, Copy)]
struct Ending {
    /// Which bytes count.
    mask: u64,
    /// What they are, in small letters.
    bytes: u64,
}

/// A bit that makes small letters of capitals, in each byte. It makes no letter of anything else.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// By the place of the name. Shorter names have none: all of them are compared.
static ENDINGS: [Ending; COUNT] = {
    let mut endings = [Ending { mask: 0, bytes: 0 }; COUNT];
    let mut at = 0;
    while at < COUNT {
        let name = NAMES[at].as_bytes();
        let mut of = 0;
        while name.len() >= 8 && of < 8 {
            let byte = name[name.len() - 8 + of];
            if byte.is_ascii_alphanumeric() {
                endings[at].mask |= 0xff << (8 * of);
                endings[at].bytes |= ((byte | 0x20) as u64) << (8 * of);
            }
            of += 1;
        }
        at += 1;
    }
    endings
};

/// The names of one length.
#[derive(Clone, Copy)]
struct Row {
    /// Which letters they begin with, a bit for each.
    firsts: u32,
    /// Which they end with.
    lasts: u32,
    /// Their own bits.
    names: u128,
}

static ROWS: [Row; LENGTHS] = {
    assert!(COUNT <= 128, "a bit for each");
    let mut rows = [Row { firsts: 0, lasts: 0, names: 0 }; LENGTHS];
    let mut at = 0;
    while at < COUNT {
        let name = NAMES[at].as_bytes();
        let (first, last) = (name[0], name[name.len() - 1]);
        // a letter is the same to no reader as anything but itself and its capital
        assert!(first.is_ascii_lowercase() && last.is_ascii_lowercase());
        let row = &mut rows[name.len()];
        row.firsts |= letter(first);
        row.lasts |= letter(last);
        row.names |= 1 << at;
        at += 1;
    }
    rows
};

/// The number of the first name of a group.
const fn first_of(group: usize) -> usize {
    let (mut first, mut at) = (0, 0);
    while at < group {
        first += GROUPS[at].1.len();
        at += 1;
    }
    first
}

/// The bit of a letter, whatever its case. Other bytes share them.
const fn letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// Which names a head has, or another that some server takes for one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched(u128);

impl Watched {
    /// Each may be there: no one has looked.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(u128::MAX)
    }

    /// Takes note of a name of the head.
    #[inline]
    pub fn note(&mut self, name: &str) {
        let bytes = name.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return };
        let Some(row) = ROWS.get(bytes.len()) else { return };
        if row.firsts & letter(*first) != 0 && row.lasts & letter(*last) != 0 {
            self.0 |= among(row.names, name);
        }
    }

    /// Whether a name of the group may be there.
    #[inline]
    pub(super) fn any(self, group: Group) -> bool {
        self.0 & bits(group) != 0
    }

    /// The names of the group that may be there.
    #[inline]
    pub(super) fn names(self, group: Group) -> impl Iterator<Item = &'static str> {
        each(self.0 & bits(group)).map(|at| NAMES[at])
    }
}

/// The bits of a group.
#[inline]
const fn bits(group: Group) -> u128 {
    ((1 << GROUPS[group as usize].1.len()) - 1) << first_of(group as usize)
}

/// The bits of those of `names` that are `name` to some server.
fn among(names: u128, name: &str) -> u128 {
    // many are of one length; few end alike
    let last = name.as_bytes().last_chunk().map_or(0, |last| u64::from_le_bytes(*last) | SMALL);
    let may_be = |at: usize| (last ^ ENDINGS[at].bytes) & ENDINGS[at].mask == 0;
    each(names).filter(|at| may_be(*at) && same_name(name, NAMES[*at])).fold(0, |found, at| found | 1 << at)
}

/// The places of the bits that are set.
#[inline]
fn each(mut bits: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        // the lowest goes
        bits &= bits.wrapping_sub(1);
        (at < COUNT).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as some client may write them: case, and what CGI takes for `-`.
    fn writings(name: &str) -> [String; 5] {
        [
            name.to_owned(),
            name.to_ascii_uppercase(),
            name.replace('-', "_"),
            name.replacen('-', ".", 1),
            name.replace('-', "~"),
        ]
    }

    #[test]
    fn every_writing_of_a_name_is_seen_and_no_other() {
        for (at, name) in NAMES.iter().enumerate() {
            for written in writings(name) {
                let mut seen = Watched::default();
                seen.note(&written);
                assert_eq!(seen, Watched(1 << at), "{written}");
            }
            for other in [format!("{name}s"), format!("a{name}"), name[1..].to_owned(), name.replace('e', "é")] {
                let mut seen = Watched::default();
                seen.note(&other);
                let same = NAMES.iter().any(|name| same_name(&other, name));
                assert_eq!(seen != Watched::default(), same, "{other}");
            }
        }
    }

    #[test]
    fn groups_have_their_names() {
        for (group, first) in [
            (Group::Methods, "x-http-method-override"),
            (Group::Server, SERVER),
            (Group::Forwarded, "forwarded"),
            (Group::Media, "content-encoding"),
        ] {
            let names: Vec<_> = Watched::unknown().names(group).collect();
            assert_eq!(names, GROUPS[group as usize].1);
            assert_eq!(names.first(), Some(&first));
            assert!(Watched::unknown().any(group) && !Watched::default().any(group));
        }
    }

    #[test]
    fn what_a_header_asks_for() {
        for (header, expected) in [
            ("X-HTTP-Method-Override", Some(Asks::Method)),
            ("ATG.REST.HTTP.Method", Some(Asks::Method)),
            ("x_original_url", Some(Asks::Path)),
            ("X-Forwarded-Uri", Some(Asks::Target)),
            ("Next-Action", Some(Asks::Function)),
            ("X-Original-Host", Some(Asks::Host)),
            ("Forwarded", Some(Asks::Host)),
            ("X-Forwarded-Server", Some(Asks::Server)),
            ("X-Forwarded-Proto", Some(Asks::Url)),
            ("Upgrade", None),
            ("Content-Type", None),
            ("Accept", None),
        ] {
            assert_eq!(asks(header), expected, "{header}");
        }
    }
}
