//! Bounds that the configuration checks and the engine's stacks are made for.

/// The most that `limits.max_nesting` can be: parsing, validating and freeing have room for it.
pub const MAX_NESTING: usize = 1_000;

/// The most that `limits.max_expression_depth` can be, for the same reason.
pub const MAX_EXPRESSION_DEPTH: usize = 10_000;

/// The longest text that explains an error, in bytes. What quotes a policy or a value could be as long as that.
pub const MAX_EXPLANATION: usize = 2 << 10;

/// The text, with its middle left out where it is longer than `most`: what is wrong may stand at either end.
#[must_use]
pub fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let (head, tail) = (text.floor_char_boundary(most * 3 / 4), text.ceil_char_boundary(text.len() - most / 4));
    format!("{}… ({} bytes left out) …{}", &text[..head], tail - head, &text[tail..])
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
        assert!(cut("x".repeat(1 << 20), MAX_EXPLANATION).len() < MAX_EXPLANATION + 64);
    }
}
