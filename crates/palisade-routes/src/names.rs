//! When two names are one to a reader of the request.
//!
//! Servers fold names before a service sees them, each in its own way. What one of them takes for the same, we take for
//! the same: two such names in one request are two readings of it.

use std::borrow::Cow;

/// Whether some server makes one name of `header` and `name`, which is in lower case.
///
/// CGI and what took after it (PHP, WSGI, Perl, Apache's own modules) know a header as `HTTP_X_NAME`: whatever is no
/// letter and no digit becomes `_`.
#[must_use]
#[inline]
pub fn same_name(header: &str, name: &str) -> bool {
    // most names are of another length, or the same
    header.len() == name.len() && (header == name || folds_to(header, name))
}

/// The same of names of one length.
fn folds_to(header: &str, name: &str) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    header.bytes().zip(name.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// Whether `header` is another name than `name`, and the same to some servers.
#[must_use]
#[inline]
pub fn is_twin(header: &str, name: &str) -> bool {
    // most names are of another length, or the same
    header.len() == name.len() && header != name && folds_to(header, name) && !header.eq_ignore_ascii_case(name)
}

/// Whether some reader finds the field `name` of a query, a form or a JSON object where it is called `field`.
///
/// PHP makes `_` of blanks, dots and an open bracket, Rack and qs read `[id]` as `id`, C ends a name at NUL, many readers
/// ignore case or the blanks around, JSON of protocol buffers may say `deviceId` for `device_id`, and `id[]`, `id[0]` and
/// `id.x` are parts of `id`. Spring takes `!id` and `_id` for `id` where there is none. What fills an object in reads
/// `device[id]` of Rails and `filter.id` of ASP.NET as its `id`, so that the last part is a name too.
pub(super) fn same_field(field: &str, name: &str) -> bool {
    if field == name {
        return true;
    }
    // most names begin with another letter, and have one part; what begins with none of ASCII may fold to anything
    let first = |text: &str| text.bytes().next().filter(u8::is_ascii_alphabetic).map(|byte| byte.to_ascii_lowercase());
    let in_parts = |byte: u8| !byte.is_ascii() || matches!(byte, b'.' | b'[');
    if let (Some(a), Some(b)) = (first(field), first(name))
        && a != b
        && !field.bytes().any(in_parts)
    {
        return false;
    }
    let name = bare(name);
    begins_as(field, &name) || last_part(field).is_some_and(|part| begins_as(part, &name))
}

/// A name that is asked for, folded and without separators: what [`read_stems`] gives of each field that is the same.
pub(super) fn bare(name: &str) -> String {
    fold(name).replace(['_', '[', ']'], "")
}

/// The last part of `a.b`, `a[b]` and `a[b][]`; `None` if there is one part alone. Indices are no names.
pub(super) fn last_part(field: &str) -> Option<&str> {
    let field = until_nul(field);
    let is_index = |part: &str| {
        let part = part.trim_matches(|c: char| c == ']' || is_blank(c));
        part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut rest = field;
    while let Some(at) = rest.rfind(['.', '[']) {
        let part = &rest[at + 1..];
        if !is_index(part) {
            return Some(part);
        }
        rest = &rest[..at];
    }
    None
}

/// Whether `field`, or what stands before an index or a member in it, is `name`, which is [`bare`].
fn begins_as(field: &str, name: &str) -> bool {
    let mut one = One { rest: name.chars(), found: false };
    read_stems(field, &mut one);
    one.found
}

/// Takes what a field is folded to.
pub(super) trait Stems {
    /// Takes a character. `false` if no stem matters that goes on so.
    fn take(&mut self, c: char) -> bool;

    /// A stem ends here. `true` if no longer one matters.
    fn end(&mut self) -> bool;
}

/// Looks for one name.
struct One<'n> {
    rest: std::str::Chars<'n>,
    found: bool,
}

impl Stems for One<'_> {
    fn take(&mut self, c: char) -> bool {
        self.rest.next() == Some(c)
    }

    fn end(&mut self) -> bool {
        self.found = self.rest.as_str().is_empty();
        self.found
    }
}

/// Reads a field, and each of its stems: what stands before an index or a member.
///
/// The field is read once, whatever is in it: it may be a megabyte of dots.
pub(super) fn read_stems(field: &str, stems: &mut impl Stems) {
    // blanks at the end of what is compared do not count
    let mut blanks = String::new();
    let mut folded = String::new();
    // Spring's mark of a value where there is no other
    let mut begun = false;
    for c in until_nul(field).chars() {
        match c {
            c if !begun && (c == '!' || is_blank(c)) => continue,
            '[' | '.' => {
                if stems.end() {
                    return;
                }
            }
            ' ' => continue,
            c if is_blank(c) => {
                blanks.push(c);
                continue;
            }
            ']' | '-' | '_' => {}
            c => fold_case(c, &mut folded),
        }
        begun |= !matches!(c, '[' | ']' | '.' | '-' | '_');
        if !blanks.drain(..).chain(folded.drain(..)).all(|c| stems.take(c)) {
            return;
        }
    }
    stems.end();
}

/// A name in the one form that stands for all that are read as it: small letters, `_` for what becomes one, nothing
/// from a NUL on. An open bracket stays.
pub(super) fn fold(name: &str) -> String {
    let name = until_nul(name).trim_end_matches(is_blank);
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            ' ' | '.' | '-' | '_' => out.push('_'),
            c => fold_case(c, &mut out),
        }
    }
    out
}

/// Whether some reader takes the character off the ends of a name: Java's `trim` all controls, JavaScript's the mark of
/// the byte order, and others every kind of space.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c == '\u{feff}'
}

/// The name without the blanks before it, up to a NUL, where readers in C end it. One before it is a blank to Java.
fn until_nul(name: &str) -> &str {
    name.trim_start_matches(is_blank).split('\0').next().unwrap_or_default()
}

/// The text in small letters, as the most generous reader makes them: `ı` and `İ` are an `i`, `ſ` is an `s`.
pub(super) fn folded_case(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| fold_case(c, &mut out));
    Cow::Owned(out)
}

fn fold_case(c: char, out: &mut String) {
    /// What stays of `İ` in small letters.
    const DOT_ABOVE: char = '\u{307}';
    if c.is_ascii() {
        return out.push(c.to_ascii_lowercase());
    }
    // by way of the capital: some small letters have the same one
    out.extend(c.to_uppercase().flat_map(char::to_lowercase).filter(|c| *c != DOT_ABOVE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_servers_confuse() {
        for (header, twin) in [
            ("x-palisade-principal", false),
            ("X-Palisade-PRINCIPAL", false),
            ("x_palisade_principal", true),
            ("X.Palisade.Principal", true),
            ("x-palisade.principal", true),
        ] {
            assert!(same_name(header, "x-palisade-principal"), "{header}");
            assert_eq!(is_twin(header, "x-palisade-principal"), twin, "{header}");
        }
        // every character that a name of a header may have and that is neither letter nor digit
        for byte in b"!#$%&'*+-.^_`|~" {
            assert!(same_name(&format!("x{}tenant", char::from(*byte)), "x-tenant"));
        }
        for header in ["xtenant", "x-tenan", "x-tenant-", "y-tenant", "x--tenant"] {
            assert!(!same_name(header, "x-tenant"), "{header}");
        }
    }

    #[test]
    fn a_long_field_is_read_once() {
        for filler in [".", "[", "_", " ", "]", "!", "[0]", "\u{131}.", "\t."] {
            let long = filler.repeat(500_000);
            assert!(!same_field(&format!("i{long}"), "id"), "{filler:?}");
            assert!(same_field(&format!("id[{long}"), "id"), "{filler:?}");
            assert!(!same_field(&format!("x[{long}"), "id"), "{filler:?}");
            assert!(same_field(&format!("x[{long}[id"), "id"), "{filler:?}");
        }
    }

    /// By the rule as it is said: each stem is folded and compared.
    fn same_by_stems(field: &str, name: &str) -> bool {
        let bare = |text: &str| {
            let text = until_nul(text).trim_start_matches(|c: char| is_blank(c) || "_[].-!".contains(c));
            fold(text).replace(['_', '[', ']'], "")
        };
        let stems = field.match_indices(['[', '.']).map(|(end, _)| &field[..end]);
        stems.chain([field]).any(|stem| bare(stem) == bare(name))
    }

    proptest::proptest! {
        #[test]
        fn a_field_is_compared_as_each_of_its_stems_would_be(
            field in "[aIdı\u{130}ſß_.!\\[\\] \t\u{1f}\u{feff}\u{3000}\0-]{0,8}", name in "(id|a|i_d|ss|i\t?d)",
        ) {
            proptest::prop_assert_eq!(begins_as(&field, &bare(&name)), same_by_stems(&field, &name));
        }
    }

    #[test]
    fn fields_that_readers_confuse() {
        for (field, name) in [
            ("device_id", "device_id"),
            ("device.id", "device_id"),
            ("device id", "device_id"),
            ("device-id", "device_id"),
            ("device[id", "device_id"),
            ("device_id\0x", "device_id"),
            (" device_id", "device_id"),
            ("device_id ", "device_id"),
            ("\tdevice_id", "device_id"),
            ("\u{feff}device_id", "device_id"),
            ("device_id\u{feff}", "device_id"),
            ("\u{1f}device_id", "device_id"),
            ("device_id\u{1}", "device_id"),
            ("\0device_id", "device_id"),
            ("\0 \u{7f}device_id\u{85}\0x", "device_id"),
            ("x[\u{1f}device_id]", "device_id"),
            ("x.\u{feff}device_id", "device_id"),
            ("DEVICE_ID", "device_id"),
            ("deviceId", "device_id"),
            ("device_id", "deviceId"),
            ("dev\u{131}ce_id", "device_id"),
            ("device_\u{130}d", "device_id"),
            ("cu\u{17f}tomer", "customer"),
            ("\u{212a}ey", "key"),
            ("device_id[]", "device_id"),
            ("[device_id]", "device_id"),
            ("[[device_id", "device_id"),
            ("device_id[0][x]", "device_id"),
            ("device.id[]", "device_id"),
            ("STRASSE", "stra\u{df}e"),
            ("!device_id", "device_id"),
            ("_device_id", "device_id"),
            ("!deviceId", "device_id"),
            (" !_device_id[]", "device_id"),
            ("[!device_id]", "device_id"),
            ("f.device_id", "device_id"),
            ("f.g.deviceId", "device_id"),
            ("x[device_id]", "device_id"),
            ("x[y][Device_ID]", "device_id"),
            ("x[device_id][]", "device_id"),
            ("x[device_id][0]", "device_id"),
            ("x[0].device_id", "device_id"),
            ("x[!device_id]", "device_id"),
            ("x.device_id\0y", "device_id"),
            ("doc[id]", "id"),
        ] {
            assert!(same_field(field, name), "{field:?} {name:?}");
        }
        for (field, name) in [
            ("device", "device_id"),
            ("device_ids", "device_id"),
            ("kez", "key"),
            ("", "id"),
            ("x", "id"),
            ("note", "n"),
            ("idx", "id"),
            ("i", "id"),
            ("x[device_ids]", "device_id"),
            ("id!x", "id"),
            ("x.id!", "id"),
            ("device.name", "id"),
            ("x[id].name", "id"),
            ("x[0]", "id"),
        ] {
            assert!(!same_field(field, name), "{field:?} {name:?}");
        }
    }
}
