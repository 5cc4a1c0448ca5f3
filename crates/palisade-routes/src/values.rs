//! What a value may hold, wherever in a request it stands: two values must not be one to some reader.

use palisade_engine::model::Value;

/// The largest whole number that every reader of JSON distinguishes from its neighbours; its negative is the smallest.
///
/// JavaScript and whatever else counts with doubles takes 9007199254740993 for 9007199254740992.
pub(super) const LARGEST: i64 = (1 << 53) - 1;

/// Why some reader takes the text for another one.
pub(super) fn of_text(text: &str) -> Option<&'static str> {
    text.contains('\0').then_some("has a NUL, and some readers end a text there")
}

/// Why some reader takes the number for another one.
pub(super) fn of_number(number: i64) -> Option<&'static str> {
    (!(-LARGEST..=LARGEST).contains(&number)).then_some(
        "is a number beyond 9007199254740991 on either side of zero, which some readers round; send it as a text",
    )
}

/// Why some reader takes the value, or an element of it, for another one. The members of an object are read by name.
pub(super) fn of_json(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::String(text) => of_text(text),
        Value::Long(number) => of_number(*number),
        Value::Array(elements) => elements.iter().find_map(of_json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_confuse() {
        for (json, sound) in [
            (r#""a b\n""#, true),
            (r#""""#, true),
            (r#""a\u0000""#, false),
            (r#""\u0000""#, false),
            ("9007199254740991", true),
            ("-9007199254740991", true),
            ("9007199254740992", false),
            ("-9007199254740992", false),
            ("9223372036854775807", false),
            ("-9223372036854775808", false),
            (r#"["a", 7, true, null]"#, true),
            (r#"["a", ["b\u0000"]]"#, false),
            ("[9007199254740993]", false),
            (r#"{"a": "b\u0000"}"#, true),
        ] {
            let value = Value::parse(json.as_bytes()).unwrap();
            assert_eq!(of_json(&value).is_none(), sound, "{json}");
        }
    }
}
