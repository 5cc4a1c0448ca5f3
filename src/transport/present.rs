//! Which fields a head has, of those that the way in asks about: each name is looked at once, where to ask for each field
//! would hash its name for each request, and most requests have none of them.

use http::header::{CONTENT_ENCODING, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};

use crate::transport::door::FETCH_SITE;
use crate::transport::exchange::{AT_LEAST, REQUEST_ID};

/// The fields that are looked for.
const WANTED: [HeaderName; 6] = [CONTENT_ENCODING, ORIGIN, TRANSFER_ENCODING, AT_LEAST, REQUEST_ID, FETCH_SITE];

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    fields: u8,
    /// Some field is there more than once.
    pub(super) twice: bool,
}

impl Present {
    /// What a head has.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut fields = 0;
        for name in headers.keys() {
            if let Some(at) = WANTED.iter().position(|wanted| wanted == name) {
                fields |= 1 << at;
            }
        }
        Self { fields, twice: headers.keys_len() < headers.len() }
    }

    /// Whether a field is there that is one of those looked for. Of any other: yes.
    pub(super) fn has(self, name: &HeaderName) -> bool {
        WANTED.iter().position(|wanted| wanted == name).is_none_or(|at| self.fields & 1 << at != 0)
    }

    /// Whether a browser may have added a field.
    pub(super) fn may_be_browsers(self) -> bool {
        self.has(&ORIGIN) || self.has(&FETCH_SITE)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{ACCEPT, HOST};

    use super::*;

    #[test]
    fn what_is_there_is_found_and_nothing_else() {
        for (names, twice) in [
            (&[][..], false),
            (&[HOST, ACCEPT], false),
            (&[HOST, ORIGIN, HOST], true),
            (&[FETCH_SITE, AT_LEAST, AT_LEAST], true),
            (&WANTED, false),
        ] {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(name, HeaderValue::from_static("x"));
            }
            let present = Present::of(&headers);
            for name in &WANTED {
                assert_eq!(present.has(name), names.contains(name), "{name} of {names:?}");
            }
            assert_eq!(present.twice, twice, "{names:?}");
            assert!(present.has(&HOST), "what is not looked for may be there");
        }
    }
}
