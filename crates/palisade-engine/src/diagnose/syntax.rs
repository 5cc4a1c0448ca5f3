//! What helps against faults of syntax, where Cedar's parser says no more than which word it did not expect.

use crate::guard::Grammar;
use crate::model::{Diagnostic, closest};

/// A fault in the statement that begins at `start` and was parsed alone, with what helps against it.
pub(crate) fn told(grammar: Grammar, text: &str, start: usize, at: Option<usize>, found: Diagnostic) -> Diagnostic {
    let message = found.message.strip_prefix("error parsing schema: ").unwrap_or(&found.message).to_owned();
    let help = help(grammar, text, start, at, &message).or(found.help.clone());
    let message =
        if message.contains("number too large to fit") { "this number is too large".to_owned() } else { message };
    Diagnostic { message, help, ..found }
}

/// Where a new statement begins, if one does where Cedar stopped: then the one before it has no `;`.
pub(crate) fn next_statement(grammar: Grammar, text: &str, start: usize, at: usize) -> Option<usize> {
    let here = Here { text, at };
    let begin = match grammar {
        Grammar::Policies if here.rest().starts_with('@') => at,
        // what stands behind a scope may be a condition of any name, so Cedar stops at what is behind its name
        Grammar::Policies if here.rest().starts_with('(') => {
            let word = here.word_before();
            closest(word, EFFECTS)?;
            here.before().len() - word.len()
        }
        Grammar::Policies => {
            closest(here.word(), EFFECTS)?;
            at
        }
        Grammar::Schema if here.rest().starts_with('@') => at,
        Grammar::Schema => {
            closest(here.word(), DECLARATIONS)?;
            at
        }
    };
    (begin > start && depth(text.get(start..begin)?) == 0).then_some(begin)
}

/// The words that statements begin with.
const EFFECTS: [&str; 2] = ["permit", "forbid"];
const DECLARATIONS: [&str; 5] = ["entity", "action", "type", "namespace", "external"];
/// The words that stand in a declaration.
const WORDS: [&str; 8] = ["appliesTo", "in", "principal", "resource", "context", "attributes", "tags", "enum"];
const VARIABLES: [&str; 4] = ["principal", "action", "resource", "context"];
const FUNCTIONS: [&str; 4] = ["ip", "decimal", "datetime", "duration"];
const METHODS: [&str; 24] = [
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "hasTag",
    "getTag",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
];

/// A place in a text.
struct Here<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Here<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What stands before it, without the space between.
    fn before(&self) -> &'t str {
        self.text.get(..self.at).unwrap_or_default().trim_end()
    }

    fn word(&self) -> &'t str {
        let rest = self.rest();
        rest.get(..rest.find(|c| !is_part(c)).unwrap_or(rest.len())).unwrap_or_default()
    }

    fn word_before(&self) -> &'t str {
        let before = self.before();
        before.get(before.rfind(|c| !is_part(c)).map_or(0, |at| at + last_len(before, at))..).unwrap_or_default()
    }
}

fn last_len(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a declaration of a schema seems to begin at a place.
pub(crate) fn begins_declaration(text: &str, at: usize) -> bool {
    let here = Here { text, at };
    here.rest().starts_with('@') || closest(here.word(), DECLARATIONS).is_some()
}

/// Whether a word is one that a declaration of a schema begins with, or was probably meant to be one.
pub(crate) fn is_like_declaration(word: &str) -> bool {
    closest(word, DECLARATIONS).is_some()
}

/// How many brackets are open at the end of a text, strings and comments aside.
pub(crate) fn depth(text: &str) -> i64 {
    let mut depth = 0;
    brackets(text, |bracket| depth += if matches!(bracket, '(' | '{' | '[') { 1 } else { -1 });
    depth
}

/// The bracket that was opened last and is open at the end of a text.
fn innermost(text: &str) -> Option<char> {
    let mut open = Vec::new();
    brackets(text, |bracket| {
        if matches!(bracket, '(' | '{' | '[') {
            open.push(bracket);
        } else {
            open.pop();
        }
    });
    open.last().copied()
}

/// Shows each bracket of a text, strings and comments aside.
fn brackets(text: &str, mut show: impl FnMut(char)) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' | '{' | '[' | ')' | '}' | ']' => show(c),
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn help(grammar: Grammar, text: &str, start: usize, at: Option<usize>, message: &str) -> Option<String> {
    let in_words = || of_message(message);
    let unexpected = message.starts_with("unexpected") || message.starts_with("invalid token");
    let Some(at) = at.filter(|_| unexpected) else { return in_words() };
    let here = Here { text, at };
    if let Some(help) = match grammar {
        Grammar::Policies => of_policy(&here, start),
        Grammar::Schema => of_schema(&here, start),
    } {
        return Some(help);
    }
    let open = depth(text.get(start..at)?);
    let inner = innermost(text.get(start..at)?);
    match (here.rest().chars().next(), inner) {
        (Some('}'), Some('(' | '['))
        | (Some(')'), Some('{' | '['))
        | (Some(']'), Some('{' | '('))
        | (Some(';'), Some(_)) => {
            return inner.map(|inner| format!("a `{inner}` before this is not closed"));
        }
        _ => {}
    }
    let what = if grammar == Grammar::Policies { "policy" } else { "declaration" };
    if !message.starts_with("unexpected end") {
        return None;
    }
    Some(match open {
        0 => format!("a {what} ends with `;`: is one missing here?"),
        _ => "a bracket is open: is a `}`, `)` or `]` missing here?".to_owned(),
    })
}

/// What helps where the place does not matter.
fn of_message(message: &str) -> Option<String> {
    let after = |prefix: &str| message.strip_prefix(prefix);
    let meant = |word: &str, known: &[&'static str]| {
        closest(word, known.iter().copied()).map(|near| format!("did you mean `{near}`? "))
    };
    let in_ticks = message.strip_prefix('`').and_then(|rest| rest.split('`').next());
    if let (Some(name), true) = (in_ticks, message.ends_with("is not a valid method")) {
        return Some(match name {
            "startsWith" | "endsWith" | "includes" | "matches" | "match" | "indexOf" => {
                "to look into a string, write `text like \"begin*\"` or `text like \"*end\"`".to_owned()
            }
            "toLowerCase" | "toUpperCase" | "lower" | "upper" | "trim" => {
                "Cedar changes no strings: store the form that is compared".to_owned()
            }
            "size" | "length" | "count" => "Cedar counts nothing: `isEmpty()` says whether a set is empty".to_owned(),
            _ => meant(name, &METHODS).map_or_else(
                || {
                    "sets have `contains`, `containsAll`, `containsAny` and `isEmpty`, entities `hasTag` and `getTag`"
                        .to_owned()
                },
                |meant| meant.trim_end().to_owned(),
            ),
        });
    }
    if let (Some(name), true) = (in_ticks, message.ends_with("is not a valid function")) {
        let meant = meant(name, &FUNCTIONS).unwrap_or_default();
        return Some(format!("{meant}functions are `ip`, `decimal`, `datetime` and `duration`"));
    }
    if let Some(access) = after("invalid member access `").or_else(|| after("invalid indexing expression `")) {
        let name = access.split(['.', '[', '`']).next().unwrap_or_default();
        let meant = meant(name, &VARIABLES).unwrap_or_default();
        return Some(format!("{meant}variables are `principal`, `action`, `resource` and `context`"));
    }
    let found = after("expected an entity uid or matching template slot, found name `")
        .or_else(|| after("expected an entity uid, found name `"));
    if let Some((type_name, id)) = found.and_then(|name| name.trim_end_matches('`').rsplit_once("::")) {
        return Some(format!("write the id in quotes: `{type_name}::\"{id}\"`; to test for the type, use `is`"));
    }
    if let Some(name) = after("found an invalid variable in the policy scope: ") {
        let meant = meant(name, &VARIABLES).unwrap_or_default();
        return Some(format!("{meant}a scope is `(principal, action, resource)`, in that order"));
    }
    if let Some(name) = after("invalid variable: ") {
        let meant = meant(name, &VARIABLES);
        return match name {
            "null" | "nil" | "undefined" | "None" => {
                Some("Cedar has no null: test whether an attribute is there, with `has`".to_owned())
            }
            _ if name.contains("::") => {
                Some(format!("an entity is written `{name}::\"id\"`; to test for the type, write `is {name}`"))
            }
            _ => meant.map(|meant| format!("{meant}a string stands in quotes: `\"{name}\"`")),
        };
    }
    if let Some(effect) = after("invalid policy effect: ") {
        let meant = match effect.to_ascii_lowercase().as_str() {
            "allow" | "grant" => Some("permit"),
            "deny" | "reject" => Some("forbid"),
            other => closest(other, EFFECTS),
        };
        let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        return Some(format!("{meant}a policy begins with `permit` or `forbid`"));
    }
    if let Some(condition) = after("invalid policy condition: ") {
        let meant = match condition {
            "where" | "if" | "and" => Some("when".to_owned()),
            other => closest(other, ["when", "unless"]).map(str::to_owned),
        };
        let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        return Some(format!("{meant}a condition is `when {{ ... }}` or `unless {{ ... }}`"));
    }
    if let Some(quoted) = after("right hand side of an `is` expression must be an entity type name, but got `\"") {
        let ty = quoted.trim_end_matches(['`', '"']);
        return Some(format!("the name of a type stands without quotes: `is {ty}`"));
    }
    if let Some(name) = after("invalid string literal: ") {
        return Some(format!("write `[\"{name}\"]`: the name of a member is a string"));
    }
    if let Some(name) = after("this identifier is reserved and cannot be used: ") {
        return Some(format!("a member of this name is written `[\"{name}\"]`"));
    }
    let helps = [
        ("number too large to fit", "a number is at most 9223372036854775807 (64 bits)"),
        (
            "is not a valid escape",
            "in strings there are `\\n`, `\\r`, `\\t`, `\\0`, `\\\\`, `\\\"`, `\\'`, `\\x41` and `\\u{e9}`; in patterns also `\\*`",
        ),
        (
            "instead of ?",
            "`?principal` stands in the part of the principal alone, and `?resource` in that of the resource",
        ),
        (
            "found set of entity uids",
            "name one entity here; for several, write `when { resource in [...] }`, or a policy for each",
        ),
        ("division is not supported", "write the product instead: `a > b * 2` for `a / 2 > b`"),
        ("right hand side of a `like`", "a pattern is a string: `text like \"begin*\"`"),
    ];
    helps.into_iter().find(|(part, _)| message.contains(part)).map(|(_, help)| help.to_owned())
}

/// What helps where the parser of policies stopped.
fn of_policy(here: &Here<'_>, start: usize) -> Option<String> {
    let (rest, before) = (here.rest(), here.before());
    let (word, last) = (here.word(), here.word_before());
    let owned = |help: &str| Some(help.to_owned());
    if next_statement(Grammar::Policies, here.text, start, here.at).is_some() {
        return owned("a policy ends with `;`: is one missing before this?");
    }
    match rest.chars().next().unwrap_or(' ') {
        '“' | '”' | '„' | '‘' | '’' | '«' => {
            return owned("a string stands in plain double quotes: `\"text\"`");
        }
        '#' => return owned("a comment begins with `//`"),
        '=' if before.ends_with('=') => return owned("equal is written `==`"),
        '&' => return owned("and is written `&&`"),
        '|' => return owned("or is written `||`"),
        '>' | '<' if before.ends_with(['<', '>']) => return owned("not equal is written `!=`"),
        ':' => return owned("an entity is written `Type::\"id\"`, with two colons"),
        '}' | ')' if before.ends_with(['&', '|', '=', '<', '>', '+', '-', '*', '!']) => {
            return owned("an expression is missing before this");
        }
        '}' | ';' if before.get(start..).is_some_and(|part| part.contains("then")) => {
            return owned("write `if a then b else c`: Cedar's `if` always has an `else`");
        }
        c if c.is_ascii_digit() && before.ends_with('.') => {
            return owned("numbers are whole; a fraction is written `decimal(\"1.5\")`");
        }
        _ => {}
    }
    match (word.to_ascii_lowercase().as_str(), last.to_ascii_lowercase().as_str()) {
        ("and", _) => owned("and is written `&&`"),
        ("or", _) => owned("or is written `||`"),
        (_, "not") => owned("not is written `!`"),
        (_, "when" | "unless") => Some(format!("a condition stands in braces: `{last} {{ ... }}`")),
        (_, "permit" | "forbid") => {
            Some(format!("the scope stands in parentheses: `{last} (principal, action, resource)`"))
        }
        _ if before.ends_with('(') && before.rsplit_once('@').is_some_and(|(_, name)| is_name(name)) => {
            owned("the value of an annotation is a string: `@id(\"my-policy\")`")
        }
        _ => None,
    }
}

/// Whether a text is a name before an open parenthesis.
fn is_name(text: &str) -> bool {
    text.strip_suffix('(').is_some_and(|name| name.chars().all(is_part))
}

/// What helps where the parser of schemas stopped.
fn of_schema(here: &Here<'_>, start: usize) -> Option<String> {
    let (rest, before, word) = (here.rest(), here.before(), here.word());
    let owned = |help: &str| Some(help.to_owned());
    if here.at == start && !word.is_empty() {
        let meant = closest(word, DECLARATIONS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Some(format!("{meant}a declaration begins with `entity`, `action`, `type` or `namespace`"));
    }
    if next_statement(Grammar::Schema, here.text, start, here.at).is_some() {
        return owned("a declaration ends with `;`: is one missing before this?");
    }
    let inner = depth(here.text.get(start..here.at)?) > 0;
    match rest.chars().next().unwrap_or(' ') {
        '?' => return owned("the `?` of an optional member stands behind its name: `name?: String`"),
        '<' => return owned("a set is written `Set<String>`, and no other type has a `<`"),
        '[' => return owned("a set is written `Set<String>`"),
        '"' if before.ends_with(':') => return owned("the name of a type stands without quotes: `name: String`"),
        ';' if inner => return owned("members are separated by `,`; only a declaration ends with `;`"),
        ',' if before.matches('<').count() > before.matches('>').count() => {
            return owned("`Set<` is not closed by `>`");
        }
        _ => {}
    }
    match word {
        "" => None,
        "memberOf" | "extends" | "memberOfTypes" => {
            owned("what an entity may be in is written `entity User in [Group]`")
        }
        _ if before.ends_with('?') => owned("a `:` stands between the name of a member and its type"),
        _ => closest(word, WORDS).filter(|near| *near != word).map(|near| format!("did you mean `{near}`?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helps(grammar: Grammar, text: &str, at: usize, message: &str) -> String {
        told(grammar, text, 0, Some(at), Diagnostic::error("x", message)).help.unwrap_or_default()
    }

    #[test]
    fn what_helps_is_said() {
        for (text, stop, expected) in [
            ("permit (a, b, c)\n@id(\"x\") permit", "@", "a policy ends with `;`: is one missing before this?"),
            ("permit (a, b, c)\n  forbid (a)", "(a)", "a policy ends with `;`"),
            ("permit (a) when { a and b };", "and", "`&&`"),
            ("permit (a) when { a or b };", "or", "`||`"),
            ("permit (a) when { not b };", "b }", "`!`"),
            ("permit (a) when { a === b };", "= b", "`==`"),
            ("permit (a) when { a > 1.5 };", "5", "decimal"),
            ("permit (a) when true;", "true", "`when { ... }`"),
            ("permit a;", "a;", "`permit (principal, action, resource)`"),
            ("@id(x) permit", "x", "`@id(\"my-policy\")`"),
            ("permit (a) when { a && };", "};", "an expression is missing"),
            ("permit (a) when { if a then b };", "};", "else"),
            ("permit (a) # why", "#", "`//`"),
            ("permit (a) when { (a };", "};", "a `(` before this is not closed"),
            ("permit (a) when { a ;", ";", "a `{` before this is not closed"),
            ("permit (a == B:\"c\");", ":", "two colons"),
        ] {
            let at = text.rfind(stop).unwrap();
            let help = helps(Grammar::Policies, text, at, "unexpected token `x`");
            assert!(help.contains(expected), "{text}: {help}");
        }
        for (text, stop, expected) in [
            ("entity A\nacton b", "acton", "a declaration ends with `;`: is one missing before this?"),
            ("acton b;", "acton", "did you mean `action`?"),
            ("namespce N {", "namespce", "did you mean `namespace`?"),
            ("entity A { a: B?, }", "?", "`name?: String`"),
            ("entity A { a: List<B> }", "<", "`Set<String>`"),
            ("entity A { a: [B] }", "[", "`Set<String>`"),
            ("entity A { a: \"B\" }", "\"B", "without quotes"),
            ("entity A { a: B; c", ";", "separated by `,`"),
            ("action a appliesto {", "appliesto", "did you mean `appliesTo`?"),
            ("action a appliesTo { principl: A", "principl", "did you mean `principal`?"),
            ("entity A memberOf [B];", "memberOf", "`entity User in [Group]`"),
        ] {
            let at = text.rfind(stop).unwrap();
            let help = helps(Grammar::Schema, text, at, "error parsing schema: unexpected token `x`");
            assert!(help.contains(expected), "{text}: {help}");
        }
        for (message, expected) in [
            ("`startsWith` is not a valid method", "like"),
            ("`contain` is not a valid method", "did you mean `contains`?"),
            ("`zzz` is not a valid method", "sets have"),
            ("`Ip` is not a valid function", "did you mean `ip`?"),
            ("`unknown` is not a valid function", "functions are"),
            (
                "invalid member access `principle.name`, `principle` has no fields or methods",
                "did you mean `principal`?",
            ),
            ("invalid variable: null", "no null"),
            ("invalid variable: A::B", "`is A::B`"),
            ("expected an entity uid or matching template slot, found name `A::Role::nurse`", "`A::Role::\"nurse\"`"),
            ("expected an entity uid, found name `Action::view`", "`Action::\"view\"`"),
            ("invalid policy effect: allow", "did you mean `permit`?"),
            ("integer parse error: number too large to fit in target type", "9223372036854775807"),
        ] {
            let told = told(Grammar::Policies, "", 0, None, Diagnostic::error("x", message));
            assert!(told.help.as_deref().unwrap_or_default().contains(expected), "{message}: {told}");
            assert!(!told.message.contains("target type"));
        }
    }
}
