//! Entity identifiers as they travel: a type name and an id, borrowed where possible.

use std::borrow::Cow;
use std::fmt;

/// An entity uid: `Fleet::User::"alice"` is the type `Fleet::User` and the id `alice`.
///
/// The type is a syntactically valid Cedar name; whether it exists is for the schema to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid<'a> {
    /// The qualified type name, without white space.
    pub type_name: Cow<'a, str>,
    /// The id, unescaped. Any text is legal, the empty one and NUL included.
    pub id: Cow<'a, str>,
}

/// Why a text is not an entity uid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an entity uid: {reason}; write it as `Type::\"id\"`, or as an object with `type` and `id`")]
pub struct ParseUidError {
    text: String,
    reason: &'static str,
}

/// Words that Cedar's grammar keeps for itself, so that they cannot name a type.
const RESERVED: &[&str] = &["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// The bytes that names are made of, looked up: uids come with every request.
const IN_WORDS: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    allowed
};

/// Whether `text` is a Cedar name such as `Fleet::User`.
#[must_use]
pub fn is_type_name(text: &str) -> bool {
    let mut rest = text;
    loop {
        let end = rest.bytes().position(|byte| !IN_WORDS[usize::from(byte)]).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if !is_word(word) {
            return false;
        }
        match after.strip_prefix("::") {
            Some(next) => rest = next,
            None => return after.is_empty(),
        }
    }
}

/// Whether letters, digits and underscores may name something.
fn is_word(text: &str) -> bool {
    const LONGEST: usize = "__cedar".len();
    text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && !(text.len() <= LONGEST && RESERVED.contains(&text))
}

impl<'a> Uid<'a> {
    /// A uid from its two parts.
    ///
    /// # Errors
    /// If `type_name` is not a Cedar name.
    pub fn new(type_name: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Result<Self, ParseUidError> {
        let type_name = type_name.into();
        if is_type_name(&type_name) {
            Ok(Self { type_name, id: id.into() })
        } else {
            Err(ParseUidError { text: type_name.into_owned(), reason: "its type is not a name such as `Fleet::User`" })
        }
    }

    /// Reads `Type::"id"`, with Cedar's string escapes in the id.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse(text: &'a str) -> Result<Self, ParseUidError> {
        let parts = split(text).map_err(|reason| ParseUidError { text: text.to_owned(), reason })?;
        Ok(Self { type_name: Cow::Borrowed(parts.type_name), id: parts.id })
    }

    /// The same of a text that is not to be kept.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse_owned(mut text: String) -> Result<Uid<'static>, ParseUidError> {
        match split(&text) {
            Ok(Parts { type_name, id }) => {
                let (end, id) = (type_name.len(), id.into_owned());
                // the text becomes the type's name
                text.truncate(end);
                Ok(Uid { type_name: Cow::Owned(text), id: Cow::Owned(id) })
            }
            Err(reason) => Err(ParseUidError { text, reason }),
        }
    }

    /// The same uid, owning its text.
    #[must_use]
    pub fn into_owned(self) -> Uid<'static> {
        Uid { type_name: Cow::Owned(self.type_name.into_owned()), id: Cow::Owned(self.id.into_owned()) }
    }
}

impl fmt::Display for Uid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // most ids need no escapes
        if self.id.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && !b"\"'\\".contains(&byte)) {
            return write!(f, "{}::\"{}\"", self.type_name, self.id);
        }
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}

/// What a uid's text consists of.
struct Parts<'t> {
    type_name: &'t str,
    id: Cow<'t, str>,
}

/// Takes the text of a uid apart, or says why it is not one.
fn split(text: &str) -> Result<Parts<'_>, &'static str> {
    const NO_QUOTE: &str = "it lacks `::\"`";
    // a name has no quotation mark, so the first one begins the id
    let quote = memchr::memchr(b'"', text.as_bytes()).ok_or(NO_QUOTE)?;
    let (type_name, rest) = text.split_at(quote);
    let type_name = type_name.strip_suffix("::").ok_or(NO_QUOTE)?;
    let quoted = rest[1..].strip_suffix('"').ok_or("its id does not end with `\"`")?;
    if !is_type_name(type_name) {
        return Err("its type is not a name such as `Fleet::User`");
    }
    let id = unescape(quoted).ok_or("its id has a bare `\"` or an unknown escape")?;
    Ok(Parts { type_name, id })
}

/// Undoes Cedar's string escapes (`\n \r \t \\ \0 \' \" \xNN \u{…}`); `None` where the text has others.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'\\', b'"', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '\\' => '\\',
                '0' => '\0',
                '\'' => '\'',
                '"' => '"',
                'x' => {
                    let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
                    char::from_u32(high * 16 + low).filter(char::is_ascii)?
                }
                'u' => {
                    if chars.next()? != '{' {
                        return None;
                    }
                    let (digits, rest) = chars.as_str().split_once('}')?;
                    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return None;
                    }
                    chars = rest.chars();
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cedar_writes() {
        for (text, type_name, id) in [
            (r#"User::"alice""#, "User", "alice"),
            (r#"Fleet::User::"""#, "Fleet::User", ""),
            (r#"A::B::"x::\"y\"""#, "A::B", "x::\"y\""),
            (r#"A::"\u{1F600}\x41\0\n\\""#, "A", "\u{1F600}A\0\n\\"),
        ] {
            let uid = Uid::parse(text).unwrap();
            assert_eq!((&*uid.type_name, &*uid.id), (type_name, id));
            assert_eq!(Uid::parse(&uid.to_string()).unwrap(), uid);
        }
    }

    #[test]
    fn refuses_what_is_no_uid() {
        for text in [
            "",
            "alice",
            "User::alice",
            r#"User::"a"#,
            r#"User::"a"b""#,
            r#"::"a""#,
            r#"1A::"a""#,
            r#"User ::"a""#,
            r#"in::"a""#,
            r#"A::"\q""#,
            r#"A::"\""#,
            r#"A::"\u{110000}""#,
            r#"A::"\xff""#,
        ] {
            assert!(Uid::parse(text).is_err(), "{text:?}");
        }
    }
}
