//! The headers that name the caller to the service behind the gateway.
//!
//! They are set or emptied on every answer, so that a gateway that copies them never leaves what a client
//! sent. A value is visible ASCII: everything else, `%` and `,` among it, is percent-encoded.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use crate::identity::Caller;

/// The principal, as `Type::"id"`; how the caller was known, `context.auth.method`; and the token's entity, as `Type::"id"`.
pub(super) const TEXTS: [&str; 3] = ["x-palisade-principal", "x-palisade-auth-method", "x-palisade-token"];

/// All of them.
pub(super) const NAMES: [HeaderName; 3] =
    [HeaderName::from_static(TEXTS[0]), HeaderName::from_static(TEXTS[1]), HeaderName::from_static(TEXTS[2])];

/// Their values for a caller, in the order of [`NAMES`].
pub(super) fn values(caller: Option<&Caller>) -> &[Option<HeaderValue>; 3] {
    static NOBODY: [Option<HeaderValue>; 3] = [None, None, None];
    let Some(caller) = caller else { return &NOBODY };
    caller.written.get_or_write(|| {
        [
            Some(safe(&caller.principal.to_string())),
            Some(safe(&caller.method)),
            caller.token.as_ref().map(|token| safe(&token.to_string())),
        ]
    })
}

/// The text with everything encoded that a header or a list of headers could be broken with.
fn safe(text: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b',';
    let mut encoded = Cow::Borrowed(text);
    if !text.bytes().all(plain) {
        let mut out = String::with_capacity(text.len() + 16);
        for byte in text.bytes() {
            if plain(byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded = Cow::Owned(out);
    }
    // the text is a valid header value by now; if it were not, the header would name no caller
    HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_visible_ascii() {
        for (text, expected) in [
            ("Fleet::User::\"u-1\"", "Fleet::User::\"u-1\""),
            ("User::\"a b\"", "User::\"a%20b\""),
            ("User::\"é\r\nx: y\"", "User::\"%C3%A9%0D%0Ax:%20y\""),
            ("User::\"a,b%20\"", "User::\"a%2Cb%2520\""),
            ("", ""),
        ] {
            assert_eq!(safe(text), expected, "{text:?}");
        }
    }
}
