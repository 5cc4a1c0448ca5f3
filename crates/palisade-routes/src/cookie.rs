//! One cookie of a request, if every reader finds the same one.

use crate::facts::Field;
use crate::names::same_field;

/// The value of the cookie `name` in a `Cookie` header. One that some reader takes for it is there as good as twice.
#[must_use]
pub fn cookie<'a>(header: &'a [u8], name: &str) -> Field<'a> {
    let mut found = Field::Absent;
    // some readers part cookies at a comma too
    for pair in header.split(|byte| matches!(byte, b';' | b',')) {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let Ok(other) = std::str::from_utf8(&pair[..end]) else { return Field::Repeated };
        let other = other.trim_matches([' ', '\t']);
        if !same_field(other, name) {
            continue;
        }
        if other != name || found != Field::Absent {
            return Field::Repeated;
        }
        found = Field::One(pair.get(end + 1..).unwrap_or_default());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_or_none_or_too_many() {
        for (header, expected) in [
            ("session=abc", Field::One(&b"abc"[..])),
            ("a=1; session=abc; b=2", Field::One(b"abc")),
            ("a=1;session=a=b==", Field::One(b"a=b==")),
            ("session", Field::One(b"")),
            ("", Field::Absent),
            ("sessions=abc; my_session=x", Field::Absent),
            ("session=abc; session=abc", Field::Repeated),
            ("session=abc; Session=x", Field::Repeated),
            ("session[]=abc", Field::Repeated),
            ("session=abc, session=x", Field::Repeated),
        ] {
            assert_eq!(cookie(header.as_bytes(), "session"), expected, "{header}");
        }
        assert_eq!(cookie(b"a_b=1; a.b=2", "a_b"), Field::Repeated, "PHP makes one of them");
        assert_eq!(cookie(b"\xff=1; session=2", "session"), Field::Repeated);
    }
}
