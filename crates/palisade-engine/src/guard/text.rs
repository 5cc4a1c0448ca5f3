//! An upper bound of the height of the tree that Cedar's parser would make of a text.
//!
//! Everything that Cedar does with a tree recurses with its height: it parses, validates, evaluates, writes out and
//! frees. So the height is bounded before there is a tree. The scan below takes tokens as Cedar's lexers do and
//! follows its grammar for expressions just far enough to say which operators stack up:
//!
//! ```text
//! Expr   := Or | 'if' Expr 'then' Expr 'else' Expr        Add    := Mult  { ('+'|'-') Mult }
//! Or     := And { '||' And }                              Mult   := Unary { ('*'|'/'|'%') Unary }
//! And    := Relation { '&&' Relation }                    Unary  := { '!'|'-' } Member
//! Rel    := Add { '<'|'<='|…|'in'|'has'|'like'|'is' Add } Member := Primary { '.' name | '(' … ')' | '[' … ']' }
//! ```
//!
//! A chain of n operators of one rank becomes a tree of height n over the highest of its operands. So for each open
//! bracket and each rank the scan keeps how many operators there were, and how high their operands were. A bracket
//! that closes is an operand, as high as what is in it. Where the text is no Cedar the bound only has to hold for as
//! much as the parser would build, and the scan errs on the high side: a word that it does not expect ends nothing.

use crate::model::Diagnostic;
use crate::settings::Limits;

/// Which of Cedar's two grammars a text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Policies: `<` compares.
    Policies,
    /// A schema: `<` opens a bracket, as in `Set<String>`.
    Schema,
}

/// Refuses a Cedar text (policies or schema) whose tree would be higher than the stacks have room for.
///
/// # Errors
/// A diagnostic at the place where a bound is passed.
pub(crate) fn check_text(origin: &str, text: &str, grammar: Grammar, limits: &Limits) -> Result<(), Diagnostic> {
    let mut scan = Scan { levels: vec![Level::default()], grammar };
    for token in Tokens::new(text) {
        let height = scan.take(token.kind);
        if scan.levels.len() > limits.max_nesting {
            let message = format!("nested deeper than {} brackets", limits.max_nesting);
            return Err(Diagnostic::error(origin, message)
                .at(text, token.at)
                .help("flatten the expression, or raise `limits.max_nesting`"));
        }
        if height > limits.max_expression_depth {
            let message = format!("an expression of more than {} levels", limits.max_expression_depth);
            return Err(Diagnostic::error(origin, message)
                .at(text, token.at)
                .help("use a set with `contains` or `in` instead of a chain, or raise `limits.max_expression_depth`"));
        }
    }
    Ok(())
}

/// The upper bound of the height of any statement in `text`, for tests that compare it with the tree.
#[cfg(test)]
pub(super) fn height(text: &str, grammar: Grammar) -> usize {
    let mut scan = Scan { levels: vec![Level::default()], grammar };
    Tokens::new(text).map(|token| scan.take(token.kind)).max().unwrap_or(0)
}

/// Ranks of operators, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    If,
    Or,
    And,
    Relation,
    Add,
    Multiply,
    /// `!`, `-` with one operand, `.name`, calls and indexes.
    Member,
}

const RANKS: usize = Rank::Member as usize + 1;

/// The levels that one operator of each rank makes at most: `!=` is a negated `==`, and `is … in` is joined by `&&`.
const LEVELS: [usize; RANKS] = [1, 1, 1, 2, 1, 1, 1];

/// One open bracket; the first level is the statement itself.
#[derive(Debug, Default)]
struct Level {
    /// Operators of each rank since the last looser one.
    count: [usize; RANKS],
    /// The highest operand of each rank since the last looser one.
    operand: [usize; RANKS],
    /// The highest element before the last separator.
    elements: usize,
    /// Whether an operand has just ended, so that a word is an operator and a bracket a call.
    after_operand: bool,
    /// What came before was `.`, so that whatever word follows is a name.
    after_dot: bool,
    /// `if`s whose `then` is still to come, and `then`s whose `else` is.
    open_ifs: usize,
    open_thens: usize,
}

impl Level {
    /// The height of what has been seen of the current element, its operators of `rank` and tighter.
    fn height_from(&self, rank: Rank) -> usize {
        let mut height = 0;
        for i in (rank as usize..RANKS).rev() {
            height = self.count[i] * LEVELS[i] + self.operand[i].max(height);
        }
        height
    }

    /// The height of all that has been seen.
    fn height(&self) -> usize {
        self.elements.max(self.height_from(Rank::If)) + 1
    }

    /// Ends the operands that are tighter than `rank`.
    fn fold(&mut self, rank: Rank) {
        let tighter = rank as usize + 1;
        let mut height = 0;
        for i in (tighter..RANKS).rev() {
            height = self.count[i] * LEVELS[i] + self.operand[i].max(height);
            (self.count[i], self.operand[i]) = (0, 0);
        }
        let operand = &mut self.operand[rank as usize];
        *operand = height.max(*operand);
    }

    fn operator(&mut self, rank: Rank) {
        self.fold(rank);
        self.count[rank as usize] += 1;
        self.after_operand = false;
    }

    fn separator(&mut self) {
        self.elements = self.elements.max(self.height_from(Rank::If));
        (self.count, self.operand) = ([0; RANKS], [0; RANKS]);
        (self.open_ifs, self.open_thens) = (0, 0);
        self.after_operand = false;
    }
}

struct Scan {
    /// Never empty.
    levels: Vec<Level>,
    grammar: Grammar,
}

impl Scan {
    /// Takes one token; returns the height of the innermost open bracket's content.
    fn take(&mut self, kind: Kind<'_>) -> usize {
        let outermost = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else { return 0 };
        let after_dot = std::mem::take(&mut level.after_dot);
        match kind {
            Kind::Open(byte) if byte != b'<' || self.grammar == Grammar::Schema => {
                // a call, an index, or the condition of a policy: one more level over what is before it
                level.count[Rank::Member as usize] += 1;
                self.levels.push(Level::default());
                return 0;
            }
            Kind::Close(byte) if byte != b'>' || self.grammar == Grammar::Schema => {
                level.separator();
                let height = level.height();
                if !outermost {
                    self.levels.pop();
                    if let Some(level) = self.levels.last_mut() {
                        let operand = &mut level.operand[Rank::Member as usize];
                        *operand = height.max(*operand);
                        level.after_operand = true;
                        return level.height();
                    }
                }
                return height;
            }
            Kind::Semicolon if outermost => {
                let height = level.height();
                *level = Level::default();
                return height;
            }
            Kind::Comma | Kind::Colon => level.separator(),
            Kind::Semicolon | Kind::PathSeparator | Kind::Open(_) | Kind::Other => {}
            Kind::Dot => {
                level.count[Rank::Member as usize] += 1;
                level.after_dot = true;
            }
            Kind::Or => level.operator(Rank::Or),
            Kind::And => level.operator(Rank::And),
            Kind::Compare | Kind::Close(_) => level.operator(Rank::Relation),
            Kind::Minus if level.after_operand => level.operator(Rank::Add),
            Kind::Not | Kind::Minus => level.count[Rank::Member as usize] += 1,
            Kind::Plus => level.operator(Rank::Add),
            Kind::Times => level.operator(Rank::Multiply),
            Kind::Literal => level.after_operand = true,
            Kind::Word { .. } if after_dot => level.after_operand = true,
            Kind::Word { text, names_follow } => level.word(text, names_follow, outermost),
        }
        level.height()
    }
}

impl Level {
    /// A word that is not the name after a dot.
    fn word(&mut self, text: &str, names_follow: bool, outermost: bool) {
        if !self.after_operand {
            // an operand begins: a name, unless it is an `if`, which cannot be a name on its own
            if text == "if" && !names_follow {
                self.count[Rank::If as usize] += 1;
                self.open_ifs += 1;
            } else {
                self.after_operand = true;
            }
            return;
        }
        match text {
            "in" | "has" | "like" | "is" => self.operator(Rank::Relation),
            "then" if self.open_ifs > 0 => {
                self.open_ifs -= 1;
                self.open_thens += 1;
                self.fold(Rank::If);
                self.after_operand = false;
            }
            "else" if self.open_thens > 0 => {
                self.open_thens -= 1;
                self.fold(Rank::If);
                self.after_operand = false;
            }
            // `permit (…) when {…} unless {…}`: conditions are joined as by `&&`, one of the two is negated
            _ if outermost => {
                self.operator(Rank::And);
                self.count[Rank::And as usize] += 1;
                self.after_operand = true;
            }
            _ => {}
        }
    }
}

/// A token and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) at: usize,
    pub(super) kind: Kind<'t>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// A name or a word of the grammar, and whether it begins a longer name (`a::b`) or is a key (`a: …`).
    Word {
        text: &'t str,
        names_follow: bool,
    },
    /// A number, a string, or a slot.
    Literal,
    /// One of `( [ { <`.
    Open(u8),
    /// One of `) ] } >`.
    Close(u8),
    Comma,
    Colon,
    PathSeparator,
    Semicolon,
    Dot,
    Or,
    And,
    /// `== != <= >= =`
    Compare,
    Plus,
    Minus,
    /// `* / %`
    Times,
    Not,
    Other,
}

/// Takes a text apart as Cedar's lexers do: a comment ends with a line feed or a carriage return.
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte behind the last token.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = self.byte(0) {
            if byte.is_ascii_whitespace() {
                self.at += 1;
            } else if byte == b'\x0b' || !byte.is_ascii() {
                // what Unicode takes for white space
                let blank = self.text.get(self.at..).and_then(|rest| rest.chars().next()).filter(|c| c.is_whitespace());
                match blank {
                    Some(blank) => self.at += blank.len_utf8(),
                    None => break,
                }
            } else if byte == b'/' && self.byte(1) == Some(b'/') {
                let rest = bytes.get(self.at..).unwrap_or_default();
                self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            } else {
                break;
            }
        }
    }

    fn word(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
    }

    /// The length of a string with its quotes, or of all that follows where it does not end.
    fn string(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let mut i = 1;
        loop {
            match rest.get(i) {
                None => return rest.len(),
                Some(b'\\') => i += 2,
                Some(b'"') => return i + 1,
                Some(_) => i += 1,
            }
        }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        self.skip_blanks();
        let at = self.at;
        let (byte, next) = (self.byte(0)?, self.byte(1));
        let (kind, length) = match (byte, next) {
            (b'"', _) => (Kind::Literal, self.string()),
            (b'?', _) => {
                self.at += 1;
                let length = self.word();
                self.at = at;
                (Kind::Literal, 1 + length)
            }
            (b'0'..=b'9', _) => {
                let digits = self.text.as_bytes().get(at..).unwrap_or_default();
                (Kind::Literal, digits.iter().take_while(|byte| byte.is_ascii_digit()).count())
            }
            (b'a'..=b'z' | b'A'..=b'Z' | b'_', _) => {
                let length = self.word();
                let text = self.text.get(at..at + length).unwrap_or_default();
                self.at = at + length;
                self.skip_blanks();
                let names_follow = self.byte(0) == Some(b':');
                self.at = at;
                (Kind::Word { text, names_follow }, length)
            }
            (b'(' | b'[' | b'{', _) => (Kind::Open(byte), 1),
            (b')' | b']' | b'}', _) => (Kind::Close(byte), 1),
            (b'|', Some(b'|')) => (Kind::Or, 2),
            (b'&', Some(b'&')) => (Kind::And, 2),
            (b'=' | b'!' | b'<' | b'>', Some(b'=')) => (Kind::Compare, 2),
            (b':', Some(b':')) => (Kind::PathSeparator, 2),
            (b'<', _) => (Kind::Open(byte), 1),
            (b'>', _) => (Kind::Close(byte), 1),
            (b'=', _) => (Kind::Compare, 1),
            (b'!', _) => (Kind::Not, 1),
            (b'+', _) => (Kind::Plus, 1),
            (b'-', _) => (Kind::Minus, 1),
            (b'*' | b'/' | b'%', _) => (Kind::Times, 1),
            (b'.', _) => (Kind::Dot, 1),
            (b',', _) => (Kind::Comma, 1),
            (b':', _) => (Kind::Colon, 1),
            (b';', _) => (Kind::Semicolon, 1),
            // no token of Cedar's: its lexer stops here
            _ => (Kind::Other, self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)),
        };
        self.at = at + length;
        Some(Token { at, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(grammar: Grammar, text: &str) -> Result<(), String> {
        check_text("x", text, grammar, &Limits::default()).map_err(|d| d.message)
    }

    #[test]
    fn ordinary_texts_pass() {
        let set: Vec<String> = (0..20_000).map(|i| format!("ip(\"10.0.0.{}\").isIpv4()", i % 250)).collect();
        for policies in [
            "permit (principal, action, resource);".repeat(20_000),
            format!("permit (principal, action, resource) when {{ [{}].contains(true) }};", set.join(", ")),
            format!(
                "// {}\npermit (principal, action, resource) when {{ \"{}\" == \"\\\"((\" }};",
                "(".repeat(9_000),
                "(".repeat(9_000)
            ),
            "permit (principal, action, resource) when { 1 < 2 && 2 < 3 };".repeat(1_000),
        ] {
            assert_eq!(text(Grammar::Policies, &policies), Ok(()));
        }
        assert_eq!(text(Grammar::Schema, "entity A = { a: Set<Set<String>>, b: Set<Long> };"), Ok(()));
    }

    #[test]
    fn deep_texts_are_refused() {
        for depth in [401, 10_000, 100_000] {
            for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("{a: ", "}")] {
                let policy = format!(
                    "permit (principal, action, resource) when {{ {}true{} }};",
                    open.repeat(depth),
                    close.repeat(depth)
                );
                assert!(text(Grammar::Policies, &policy).is_err(), "{open} {depth}");
            }
            let schema = format!("entity A = {{ a: {}Long{} }};", "Set<".repeat(depth), ">".repeat(depth));
            assert!(text(Grammar::Schema, &schema).is_err(), "{depth}");
        }
        for chain in [" || true", " && true", " + 1", ".a", " when { true }"] {
            let policy = format!("permit (principal, action, resource) when {{ context {} }};", chain.repeat(6_000));
            assert!(text(Grammar::Policies, &policy).is_err(), "{chain}");
        }
        let ladder = format!(
            "permit (principal, action, resource) when {{ {} true }};",
            "if true then false else ".repeat(6_000)
        );
        assert!(text(Grammar::Policies, &ladder).is_err());
    }

    /// The height of a tree as it is, without recursion of this test's own kind: on the stack that builds have.
    fn tree_height(expression: &cedar_policy_core::ast::Expr) -> usize {
        use cedar_policy_core::ast::ExprKind;
        let below: usize = match expression.expr_kind() {
            ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => 0,
            ExprKind::If { test_expr, then_expr, else_expr } => {
                tree_height(test_expr).max(tree_height(then_expr)).max(tree_height(else_expr))
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => tree_height(left).max(tree_height(right)),
            ExprKind::UnaryApp { arg, .. } => tree_height(arg),
            ExprKind::BinaryApp { arg1, arg2, .. } => tree_height(arg1).max(tree_height(arg2)),
            ExprKind::ExtensionFunctionApp { args, .. } => args.iter().map(tree_height).max().unwrap_or(0),
            ExprKind::GetAttr { expr, .. }
            | ExprKind::HasAttr { expr, .. }
            | ExprKind::ExtHasAttr { expr, .. }
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. } => tree_height(expr),
            ExprKind::Set(elements) => elements.iter().map(tree_height).max().unwrap_or(0),
            ExprKind::Record(members) => members.values().map(tree_height).max().unwrap_or(0),
        };
        below + 1
    }

    /// Compares the bound with the tree that Cedar makes, if it makes one.
    #[track_caller]
    fn bounds(policies: &str) -> bool {
        let bound = height(policies, Grammar::Policies);
        let policies = policies.to_owned();
        crate::on_big_stack(move || {
            let Ok(set) = policies.parse::<cedar_policy::PolicySet>() else { return false };
            let core: &cedar_policy_core::ast::PolicySet = set.as_ref();
            for template in core.all_templates() {
                let tree = tree_height(&template.condition());
                // the scope is joined to the conditions
                assert!(tree <= bound + 4, "{tree} levels, bounded by {bound}: {policies}");
            }
            true
        })
        .unwrap()
    }

    /// A random expression: chains of all ranks, closed groups, names that look like words of the grammar.
    fn expression(seed: &mut u64, size: usize) -> String {
        let mut draw = |n: u64| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) % n
        };
        if size == 0 {
            let leaves = ["principal", "context.when", "permit::A::\"x\"", "\"a||b\\\"(\"", "1", "true", "ip(\"::\")"];
            return leaves[draw(leaves.len() as u64) as usize].to_owned();
        }
        let kind = draw(16);
        let length = 1 + draw(6) as usize;
        let mut part = |seed: &mut u64| expression(seed, size / 2);
        let chain = |seed: &mut u64, operator: &str, part: &mut dyn FnMut(&mut u64) -> String| {
            let parts: Vec<String> = (0..=length).map(|_| format!("({})", part(seed))).collect();
            parts.join(operator)
        };
        match kind {
            0 => chain(seed, " || ", &mut part),
            1 => chain(seed, "&&", &mut part),
            2 => chain(seed, " + ", &mut part),
            3 => chain(seed, "-", &mut part),
            4 => chain(seed, "*", &mut part),
            5 => format!("{} // a || b\r || {}", part(seed), part(seed)),
            6 => format!("({}) == ({})", part(seed), part(seed)),
            7 => format!("({}) has permit.when.unless", part(seed)),
            8 => format!("if {} then {} else {}", part(seed), part(seed), part(seed)),
            9 => format!("({}){}", part(seed), "[\"a\"]".repeat(length)),
            10 => format!("({}){}", part(seed), ".when.a.permit".repeat(length)),
            11 => format!("{}({})", "!".repeat(length.min(4)), part(seed)),
            12 => format!("({}){}", part(seed), ".contains(1)".repeat(length)),
            13 => format!("[{}, {}].containsAny([{}])", part(seed), part(seed), part(seed)),
            14 => format!("{{\"if\": {}, when: {}}}.unless", part(seed), part(seed)),
            _ => format!("({}) is A::B in ({}) || ({}) != 1", part(seed), part(seed), part(seed)),
        }
    }

    #[test]
    fn the_bound_holds_for_whatever_cedar_parses() {
        let mut seed = 7;
        let mut parsed = 0;
        for case in 0..3_000 {
            let conditions: Vec<String> =
                (0..1 + case % 3).map(|_| format!("when {{ {} }}", expression(&mut seed, 1 + case % 24))).collect();
            parsed += usize::from(bounds(&format!(
                "permit (principal, action, resource) {};",
                conditions.join(" unless { true } ")
            )));
        }
        assert!(parsed > 2_000, "{parsed}");
    }

    #[test]
    fn closed_groups_indexes_and_comments_count() {
        let group = |b: usize, k: usize| format!("{}1{} == 1", "(".repeat(b), format!("{})", "+1".repeat(k)).repeat(b));
        for condition in [
            group(100, 100),
            group(10, 2_000),
            format!("principal{}", "[\"a\"]".repeat(6_000)),
            format!("principal{}", "[\"a\"].b".repeat(3_000)),
            format!("// {}\r {} true", "x", "true || ".repeat(6_000)),
            format!("{} true", "principal has if && principal has then || ".repeat(3_000)),
            format!("{} true", "then::A::\"x\" == else::B::\"x\" || ".repeat(6_000)),
        ] {
            let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
            assert!(text(Grammar::Policies, &policy).is_err(), "{}", &condition[..60]);
        }
        // as wide as it likes, as long as it is not high
        let wide = format!("[{}].contains(1)", "((1 + 1) + 1) * 2, ".repeat(20_000));
        let policy = format!("permit (principal, action, resource) when {{ {wide} }};");
        assert_eq!(text(Grammar::Policies, &policy), Ok(()));
        let terms = "principal.org.owner.name == \"x\" || ".repeat(4_900);
        let policy = format!("permit (principal, action, resource) when {{ {terms} true }};");
        assert_eq!(text(Grammar::Policies, &policy), Ok(()));
    }
}
