//! Whether a text of policies holds none, which an emptied or cut file does.

use palisade_engine::model::json::without_byte_order_mark;

/// What a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing but white space.
    Nothing,
    /// Comments alone.
    Comments,
    /// Something that should be a policy.
    Something,
}

/// What a text in Cedar's syntax holds: besides policies it knows white space and comments to the line's end.
pub(super) fn content(text: &str) -> Content {
    let mut comments = false;
    for line in without_byte_order_mark(text).lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !line.starts_with("//") {
            return Content::Something;
        }
        comments = true;
    }
    if comments { Content::Comments } else { Content::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_contents() {
        for (text, expected) in [
            ("", Content::Nothing),
            (" \n\t\r\n", Content::Nothing),
            ("\u{feff}", Content::Nothing),
            ("\u{feff}// a", Content::Comments),
            ("// a", Content::Comments),
            ("\n  // a\n//b", Content::Comments),
            ("// a\npermit", Content::Something),
            ("/ a", Content::Something),
            ("\0", Content::Something),
        ] {
            assert_eq!(content(text), expected, "{text:?}");
        }
    }
}
