//! Members of a schema's records that are declared twice: Cedar's reader keeps the last one and says nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::text::{Kind, Tokens};

/// A member that is declared a second time in one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SecondMember<'t> {
    /// Its name, as it is written.
    pub name: &'t str,
    /// The byte at which the first begins.
    pub first: usize,
    /// The byte at which this one begins.
    pub second: usize,
}

/// All such members of a schema in Cedar's form. What stands before a `:` is a name of the braces around it; a `?` may be
/// between the two.
pub(crate) fn second_members(text: &str) -> Vec<SecondMember<'_>> {
    let (mut found, mut records) = (Vec::new(), Vec::<HashMap<&str, usize>>::new());
    let (mut before, mut tokens) = (None, Tokens::new(text));
    while let Some(token) = tokens.next() {
        let written = text.get(token.at..tokens.at()).unwrap_or_default();
        match token.kind {
            Kind::Open(b'{') => records.push(HashMap::new()),
            Kind::Close(b'}') => drop(records.pop()),
            Kind::Colon => {
                if let (Some((name, second)), Some(record)) = (before, records.last_mut()) {
                    match record.entry(name) {
                        Entry::Occupied(first) => found.push(SecondMember { name, first: *first.get(), second }),
                        Entry::Vacant(free) => drop(free.insert(second)),
                    }
                }
            }
            _ => {}
        }
        before = match token.kind {
            Kind::Word { text, .. } => Some((text, token.at)),
            Kind::Literal if written == "?" => before,
            Kind::Literal => written.strip_prefix('"').and_then(|name| name.strip_suffix('"')).map(|it| (it, token.at)),
            _ => None,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_member_is_one_of_the_same_record() {
        for (text, expected) in [
            ("entity Q { a: String, a: Bool };", &["a"][..]),
            ("entity Q = { a: String, a?: Bool, \"b\": Long, b: Long };", &["a", "b"]),
            ("entity Q { a: { a: String }, b: Set<{ a: Long, a: Long }> };", &["a"]),
            ("type A = { \"x:y\": Long, \"x:y\" ?: Long };", &["x:y"]),
            ("action x appliesTo { principal: A::B, resource: A::B, context: { b: A::B, b: A::B } };", &["b"]),
            ("namespace A { entity B { a: A::C }; entity C { a: A::B }; }", &[]),
            ("entity Q { a: String /* a */, b: Long }; // a: Long\nentity R { a: Long };", &[]),
            ("entity E enum [\"a\", \"a\"];", &[]),
        ] {
            let found = second_members(text);
            let names: Vec<&str> = found.iter().map(|one| one.name).collect();
            assert_eq!(names, expected, "{text}");
            assert!(found.iter().all(|one| one.first < one.second && text[one.second..].contains(one.name)), "{text}");
        }
    }
}
