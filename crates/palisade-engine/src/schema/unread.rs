//! The names that a part of a schema may declare that cannot be read. That others name them is no fault of theirs.

use std::collections::HashSet;

use crate::diagnose::syntax;
use crate::guard::{Word, words};

/// Behind these a declaration names what others declare.
const ENDS: [&str; 5] = ["in", "enum", "tags", "appliesTo", "attributes"];

/// The names that declarations in Cedar's form may declare, whatever is wrong with them. What only stands among members, or
/// behind `in`, is left out: it is declared elsewhere, or nowhere.
pub(super) fn names(text: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    // where a bracket is missing it is not known what stands in it
    let is_whole = syntax::depth(text) == 0;
    let (mut depth, mut declares, mut listed) = (0_i64, true, false);
    for word in words(text) {
        match word {
            Word::Name(name) => {
                let begins = syntax::is_like_declaration(name);
                listed |= begins;
                if ENDS.contains(&name) {
                    (declares, listed) = (false, false);
                } else if listed || (declares && depth == 0) || !is_whole {
                    names.insert(name.to_owned());
                }
            }
            Word::Sign(sign) => {
                match sign {
                    '{' | '(' | '[' => depth += 1,
                    '}' | ')' | ']' => depth -= 1,
                    _ => {}
                }
                if sign != ',' {
                    listed = false;
                }
                // what stands behind a body may be the next declaration
                declares = matches!(sign, ';' | '}') || (declares && matches!(sign, ',' | '@' | '(' | ')'));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_declared_are_those_that_stand_where_declarations_do() {
        for (text, declared, others) in [
            ("entity A { b Long, c: D };", &["A"][..], &["b", "c", "D", "Long"][..]),
            ("entity A in [B, C] = { b D };", &["A"], &["B", "C", "D"]),
            ("entity A, B C, D;", &["A", "B", "C", "D"], &[]),
            ("entity A { b: C }\nentity D { e: F };", &["A", "D"], &["C", "F", "b", "e"]),
            ("entity A\nentity B in C;", &["A", "B"], &["C"]),
            ("acton \"read it\", see appliesTo { principal: U, resource: V };", &["read it", "see"], &["U", "V"]),
            ("class Foo { a: B };", &["Foo"], &["B"]),
            ("type T = { a B };", &["T"], &["B"]),
            ("@doc(\"x\")\nentity A = B;", &["A"], &["B"]),
            // a bracket is missing
            ("entity A { b: { c: D };\nclass E;", &["A", "D", "E"], &[]),
            ("entity A { b: C // entity D\n entity E;", &["A", "C", "E"], &["entity D"]),
        ] {
            let found = names(text);
            assert!(declared.iter().all(|name| found.contains(*name)), "{text}: {found:?}");
            assert!(others.iter().all(|name| !found.contains(*name)), "{text}: {found:?}");
        }
    }
}
