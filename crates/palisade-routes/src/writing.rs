//! Whether an id has one writing. Where a record is looked for and may not be there, another writing of the same id would
//! find nothing, and the service behind, which trims it or reads it as a UUID, would find the record.

use crate::pattern::Form;

/// Characters that are not seen: of format, and those that fonts and comparisons leave out. In pairs of first and last.
const UNSEEN: [(char, char); 26] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Why some service may read `id` as another one; `None` if it has one writing.
pub(super) fn doubt(id: &str) -> Option<&'static str> {
    if id.trim() != id {
        return Some("begins or ends with a blank, which some services take off");
    }
    let is_unseen = |c: char| c.is_control() || UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c));
    // most ids are plain ASCII
    if id.contains(|c: char| (!c.is_ascii() || c.is_control()) && is_unseen(c)) {
        return Some("has a control character or one that is not seen, which some services take off");
    }
    if is_uuid(id) && !Form::Uuid.takes(id) {
        return Some(
            "is a UUID in another writing than small letters with dashes, which some services read as the same",
        );
    }
    None
}

/// Whether some reader takes it for a UUID: with a prefix, in braces, without dashes or with dashes elsewhere.
fn is_uuid(id: &str) -> bool {
    // the longest writing with a prefix, braces and dashes
    if !(32..=64).contains(&id.len()) {
        return false;
    }
    let lower = id.to_ascii_lowercase();
    let bare = lower.trim_start_matches("urn:").trim_start_matches("uuid:");
    let bare = bare.trim_matches(|c| matches!(c, '{' | '}' | '(' | ')' | '"' | '\''));
    let digits = bare.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_writing() {
        for id in [
            "7",
            "d-riv",
            "a b",
            "\u{e9}",
            "AA:BB:CC:DD:EE:FF",
            "0123abcd-0123-4567-89ab-0123456789ab",
            // not as many digits as a UUID has
            "0123ABCD0123456789AB0123456789A",
            "0123ABCD0123456789AB0123456789ABC",
            "0123ABCD-0123-4567-89AB-0123456789XX",
        ] {
            assert_eq!(doubt(id), None, "{id:?}");
        }
        for (id, why) in [
            (" d", "blank"),
            ("d ", "blank"),
            ("d\t", "blank"),
            ("d\n", "blank"),
            ("\u{a0}d", "blank"),
            ("d\u{3000}", "blank"),
            ("d\0", "control"),
            ("a\u{7f}b", "control"),
            ("a\tb", "control"),
            ("\u{feff}d", "not seen"),
            ("d\u{200b}", "not seen"),
            ("a\u{ad}b", "not seen"),
            ("a\u{202e}b", "not seen"),
            ("a\u{2060}b", "not seen"),
            ("a\u{e0041}b", "not seen"),
            ("0123ABCD-0123-4567-89AB-0123456789AB", "UUID"),
            ("0123abcd-0123-4567-89ab-0123456789aB", "UUID"),
            ("0123abcd01234567ab89ab0123456789", "UUID"),
            ("{0123abcd-0123-4567-89ab-0123456789ab}", "UUID"),
            ("(0123abcd-0123-4567-89ab-0123456789ab)", "UUID"),
            ("urn:uuid:0123abcd-0123-4567-89ab-0123456789ab", "UUID"),
            ("URN:UUID:0123abcd-0123-4567-89ab-0123456789ab", "UUID"),
            ("0123abcd-01234567-89ab-0123456789-ab", "UUID"),
        ] {
            assert!(doubt(id).is_some_and(|doubt| doubt.contains(why)), "{id:?}: {:?}", doubt(id));
        }
    }
}
