//! What it costs the type checker to carry along what `has` and `hasTag` found out.
//!
//! It keeps these findings as sorted sets, and makes a new set at each `&&`, `||` and `if`, and for each member of a long
//! `has`: `a has b.c.d` is three findings. Each finding that is put into a set is compared with others, and that takes
//! longer the larger the expression is that it is about. So a chain of n members costs n³. Here the sizes of the
//! sets are followed as the checker follows the sets; no set is made. The sizes are upper bounds: equal findings are
//! counted twice, and what the checker skips is counted too.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal};

/// Parts of a step that are counted here: comparing two expressions of one word each takes one part, about.
const PARTS: u64 = 8;

/// What each finding in a new set costs besides comparing it, in parts.
const COPY: u64 = 6;

/// Bytes of a text that are compared in the time of one word.
const WORD: usize = 64;

/// How many findings a set has, and how large their expressions are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    count: u64,
    words: u64,
}

impl Held {
    fn one(words: u64) -> Self {
        Self { count: 1, words }
    }

    /// At least as much as either.
    fn most(self, other: Self) -> Self {
        Self { count: self.count.max(other.count), words: self.words.max(other.words) }
    }
}

/// Steps for the findings of `condition`.
///
/// Recurses with the depth of the expression, as the checker does.
pub(super) fn steps(condition: &Expr) -> u64 {
    let mut carrying = Carrying::default();
    carrying.visit(condition, Held::default());
    carrying.parts / PARTS
}

#[derive(Debug, Default)]
struct Carrying {
    parts: u64,
}

impl Carrying {
    /// Each finding of `held` is put into a new set.
    fn copy(&mut self, held: Held) {
        let parts = held.count.saturating_mul(COPY).saturating_add(held.words);
        self.parts = self.parts.saturating_add(parts);
    }

    fn join(&mut self, one: Held, other: Held) -> Held {
        self.copy(one);
        self.copy(other);
        Held { count: one.count + other.count, words: one.words.saturating_add(other.words) }
    }

    /// A finding about an expression of this many words is looked up.
    fn look(&mut self, held: Held, words: u64) {
        let compared = held.count.min(4 * u64::from(u64::BITS - held.count.leading_zeros()));
        self.parts = self.parts.saturating_add(compared.saturating_mul(words));
    }

    /// Words of the expression, and what it finds out where it holds.
    fn visit(&mut self, expr: &Expr, prior: Held) -> (u64, Held) {
        let nothing = Held::default();
        match expr.expr_kind() {
            ExprKind::And { left, right } => {
                let (first, found) = self.visit(left, prior);
                let before = self.join(prior, found);
                let (second, more) = self.visit(right, before);
                // where the left side is always true, the right side's findings are joined with themselves
                self.copy(more);
                (first + second + 1, self.join(found, more))
            }
            ExprKind::Or { left, right } => {
                let ((first, one), (second, other)) = (self.visit(left, prior), self.visit(right, prior));
                self.copy(one);
                self.copy(other);
                (first + second + 1, one.most(other))
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let (test, found) = self.visit(test_expr, prior);
                let before = self.join(prior, found);
                let (first, more) = self.visit(then_expr, before);
                let then = self.join(more, found);
                let (second, other) = self.visit(else_expr, prior);
                self.copy(then);
                self.copy(other);
                (test + first + second + 1, then.most(other))
            }
            ExprKind::HasAttr { expr, attr } => {
                let words = self.visit(expr, prior).0 + of_text(attr);
                self.look(prior, words);
                (words, Held::one(words))
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                let whole = self.visit(expr, prior).0;
                self.copy(prior);
                let (mut words, mut held) = (whole, prior);
                let mut findings = Vec::with_capacity(attrs.len());
                for attr in attrs {
                    words += of_text(attr);
                    // for `has`, and for the access to the next member
                    self.look(held, words.saturating_mul(2));
                    held = self.join(held, Held::one(words));
                    findings.push(words);
                }
                let together = |found, words: &u64| self.join(Held::one(*words), found);
                (words, findings.iter().rev().fold(nothing, together))
            }
            ExprKind::GetAttr { expr, attr } => {
                let words = self.visit(expr, prior).0 + of_text(attr);
                self.look(prior, words);
                (words, nothing)
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let words = self.visit(arg1, prior).0 + self.visit(arg2, prior).0 + 1;
                match op {
                    BinaryOp::HasTag => {
                        self.look(prior, words);
                        (words, Held::one(words))
                    }
                    BinaryOp::GetTag => {
                        self.look(prior, words);
                        (words, nothing)
                    }
                    _ => (words, nothing),
                }
            }
            ExprKind::UnaryApp { arg, .. } => (self.visit(arg, prior).0 + 1, nothing),
            ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => (self.visit(expr, prior).0 + 1, nothing),
            ExprKind::ExtensionFunctionApp { args, .. } => (self.all(args.iter(), prior), nothing),
            ExprKind::Set(elements) => (self.all(elements.iter(), prior), nothing),
            ExprKind::Record(members) => {
                let names: u64 = members.keys().map(|name| of_text(name)).sum();
                (names + self.all(members.values(), prior), nothing)
            }
            ExprKind::Lit(Literal::String(text)) => (of_text(text), nothing),
            ExprKind::Lit(Literal::EntityUID(uid)) => (1 + of_text(AsRef::<str>::as_ref(uid.eid())), nothing),
            _ => (1, nothing),
        }
    }

    fn all<'e>(&mut self, parts: impl Iterator<Item = &'e Expr>, prior: Held) -> u64 {
        parts.fold(1, |words, part| words + self.visit(part, prior).0)
    }
}

fn of_text(text: &str) -> u64 {
    1 + (text.len() / WORD) as u64
}
