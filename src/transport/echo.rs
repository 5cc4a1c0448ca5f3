//! What answers repeat of a request, cut to what a person needs to find it there.

use std::borrow::Cow;

use crate::domain::PolicyError;

/// The longest text that explains an error, in bytes.
pub(super) const TEXT: usize = 2 << 10;

/// The longest place within a request, in bytes.
pub(super) const PLACE: usize = 512;

/// The text, with its middle left out where it is longer than `most`: what is wrong may stand at either end.
pub(super) fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let (head, tail) = (text.floor_char_boundary(most * 3 / 4), text.ceil_char_boundary(text.len() - most / 4));
    format!("{}… ({} bytes left out) …{}", &text[..head], tail - head, &text[tail..])
}

/// The errors of a decision, with their messages cut: each may quote a value of the request, and every policy may fail.
pub(super) fn errors(errors: &[PolicyError]) -> Cow<'_, [PolicyError]> {
    if errors.iter().all(|error| error.message.len() <= TEXT) {
        return Cow::Borrowed(errors);
    }
    let short = |error: &PolicyError| PolicyError {
        policy_id: error.policy_id.clone(),
        message: cut(error.message.to_string(), TEXT).into(),
    };
    errors.iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_both_ends() {
        for (text, most, expected) in [
            ("", 8, "".to_owned()),
            ("12345678", 8, "12345678".to_owned()),
            ("123456789", 8, "123456… (1 bytes left out) …89".to_owned()),
            ("ääääääää", 8, "äää… (8 bytes left out) …ä".to_owned()),
        ] {
            assert_eq!(cut(text.to_owned(), most), expected);
        }
        assert!(cut("x".repeat(1 << 20), TEXT).len() < TEXT + 64);
    }
}
