//! The mutants of one policy as texts: what stands at a span is replaced, the rest stays as its author wrote it.
//!
//! - The policy goes; permit and forbid change places.
//! - A part of the scope goes, is negated, or asks for less: one action less, the type alone, the group alone, the entity
//!   itself instead of what is in it.
//! - A condition goes (it becomes what changes nothing where it stands: `true` in a `&&`, `false` in a `||`), is negated, or
//!   gets another operator: `<` and `<=`, `&&` and `||`, `==` and `in`, `containsAll` and `containsAny`; a list loses
//!   one element.

use std::borrow::Cow;
use std::ops::Range;

use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, Expr, ExprKind, Literal, Policy, PolicyID, PrincipalOrResourceConstraint, Template,
    UnaryOp,
};
use cedar_policy_core::parser::parse_policy_or_template;

use super::super::source::{self, Source};
use super::super::tree::{Tree, conjuncts, disjuncts};
use super::MutantSort;
use crate::model::PolicyId;

/// The longest part of a name that repeats a text, in bytes.
const LONGEST_NAME: usize = 160;

/// A mutant to be.
#[derive(Debug)]
pub(super) struct Draft {
    pub sort: MutantSort,
    pub name: String,
    /// What is changed.
    pub span: Range<usize>,
    /// The whole mutant; nothing where the policy is gone.
    pub text: Option<String>,
    /// The part of the scope that is changed.
    pub part: Option<usize>,
    pub flips: bool,
}

/// A policy with the text that it was parsed from.
pub(super) struct Written<'w> {
    policy: Policy,
    text: Cow<'w, str>,
    /// Whether that is the text of the bundle: a policy in the JSON form is written in Cedar's.
    pub is_as_given: bool,
}

/// The text of a template in Cedar's form, and the tree of that.
pub(super) fn written<'w>(policy: &Policy, text: &'w str) -> Written<'w> {
    if !text.trim_start().starts_with('{') {
        return Written { policy: policy.clone(), text: Cow::Borrowed(text), is_as_given: true };
    }
    let text = policy.template().to_string();
    let again = parse_policy_or_template(Some(policy.template().id().clone()), &text).ok();
    let again = again.and_then(|template| Template::try_as_policy(template.into()).ok());
    Written { policy: again.unwrap_or_else(|| policy.clone()), text: Cow::Owned(text), is_as_given: false }
}

/// The tree of a mutant.
pub(super) fn parsed(id: &PolicyId, text: &str) -> Option<Template> {
    parse_policy_or_template(Some(PolicyID::from_string(&**id)), text).ok()
}

/// All mutants of a policy, in the order of its text.
pub(super) fn all(written: &Written<'_>) -> Vec<Draft> {
    let masks = Vec::new();
    let source = Source::of(&written.text);
    let tree = Tree::new(&written.policy, Source::of(&written.text), &masks);
    let mut drafts = Drafts { text: &written.text, tree: &tree, found: Vec::new() };
    drafts.policy(&source);
    if let Some(spans) = source.scope() {
        for (part, span) in spans.iter().enumerate() {
            drafts.scope(written.policy.template(), part, span, &source);
        }
    }
    let conditions = tree.conditions();
    for pair in conditions.windows(2) {
        // between two clauses stands no `&&`
        drafts.join(pair[0].expression, pair[1].expression, true);
    }
    for condition in conditions {
        match condition.expression.expr_kind() {
            // the `unless` itself has no text that could stand elsewhere
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } if condition.is_unless => drafts.condition(arg, false),
            _ => drafts.condition(condition.expression, true),
        }
    }
    drafts.found
}

struct Drafts<'d> {
    text: &'d str,
    tree: &'d Tree<'d>,
    found: Vec<Draft>,
}

impl Drafts<'_> {
    fn at(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn replaced(&self, span: &Range<usize>, with: &str) -> String {
        let mut text = self.text.to_owned();
        text.replace_range(span.clone(), with);
        text
    }

    fn push(&mut self, sort: MutantSort, name: String, span: Range<usize>, with: &str) {
        let text = Some(self.replaced(&span, with));
        self.found.push(Draft { sort, name, span, text, part: None, flips: false });
    }

    /// The policy as a whole.
    fn policy(&mut self, source: &Source<'_>) {
        let Some(span) = source.effect() else { return };
        let now = self.at(&span).to_owned();
        let other = if now == "permit" { "forbid" } else { "permit" };
        let gone = Draft {
            sort: MutantSort::Removed,
            name: "the policy removed".to_owned(),
            span: span.clone(),
            text: None,
            part: None,
            flips: false,
        };
        self.found.push(gone);
        self.push(MutantSort::Negated, format!("`{now}` → `{other}`"), span, other);
        if let Some(last) = self.found.last_mut() {
            last.flips = true;
        }
    }

    /// One part of the scope.
    fn scope(&mut self, template: &Template, part: usize, span: &Range<usize>, source: &Source<'_>) {
        let before = self.found.len();
        let text = self.at(span).to_owned();
        let variable = ["principal", "action", "resource"][part];
        // what a slot is filled with is the link's word
        if text == variable || text.contains('?') {
            return;
        }
        let shown = short(&text);
        self.push(MutantSort::Removed, format!("`{shown}` removed"), span.clone(), variable);
        if let Some(end) = source.scope_end() {
            let mut negated = self.text.to_owned();
            negated.insert_str(end, &format!(" when {{ !({text}) }}"));
            negated.replace_range(span.clone(), variable);
            self.push(MutantSort::Negated, format!("`{shown}` negated"), span.clone(), variable);
            if let Some(last) = self.found.last_mut() {
                last.text = Some(negated);
            }
        }
        match part {
            1 => self.actions(template.action_constraint(), span),
            part => {
                let constraint = match part {
                    0 => template.principal_constraint().as_inner(),
                    _ => template.resource_constraint().as_inner(),
                };
                let within = word(&text, "in").map(|at| (text[..at].trim_end(), text[at..].to_owned()));
                match (constraint, within) {
                    (PrincipalOrResourceConstraint::IsIn(..), Some((ty, group))) => {
                        let ty = ty.to_owned();
                        self.push(MutantSort::Weakened, format!("`{shown}` → `{ty}`"), span.clone(), &ty);
                        let group = format!("{variable} {group}");
                        self.push(
                            MutantSort::Weakened,
                            format!("`{shown}` → `{}`", short(&group)),
                            span.clone(),
                            &group,
                        );
                    }
                    (PrincipalOrResourceConstraint::In(_), Some((_, group))) => {
                        let itself = format!("{variable} == {}", group.trim_start_matches("in").trim_start());
                        self.push(
                            MutantSort::Weakened,
                            format!("`{shown}` → `{}`", short(&itself)),
                            span.clone(),
                            &itself,
                        );
                    }
                    (PrincipalOrResourceConstraint::Eq(_), _) => {
                        let below = text.replacen("==", "in", 1);
                        self.push(
                            MutantSort::Weakened,
                            format!("`{shown}` → `{}`", short(&below)),
                            span.clone(),
                            &below,
                        );
                    }
                    _ => {}
                }
            }
        }
        for draft in self.found.iter_mut().skip(before) {
            draft.part = Some(part);
        }
    }

    /// A list of actions with each of them left out.
    fn actions(&mut self, constraint: &ActionConstraint, span: &Range<usize>) {
        if !matches!(constraint, ActionConstraint::In(actions) if actions.len() > 1) {
            return;
        }
        let elements = source::elements(self.text, span.clone());
        let (Some(first), Some(last)) = (elements.first(), elements.last()) else { return };
        let whole = first.start..last.end;
        for (i, element) in elements.iter().enumerate() {
            let left: Vec<&str> =
                elements.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, span)| self.at(span)).collect();
            let text = self.replaced(&whole, &left.join(", "));
            let name = format!("`action in […]` without `{}`", short(self.at(element)));
            self.push(MutantSort::Weakened, name, element.clone(), "");
            if let Some(last) = self.found.last_mut() {
                last.text = Some(text);
            }
        }
    }

    /// A condition that stands where `neutral` would change nothing.
    fn condition(&mut self, expression: &Expr, neutral: bool) {
        let and = conjuncts(expression);
        let or = disjuncts(expression);
        let (joined, is_and) = if and.len() > 1 { (and, true) } else { (or, false) };
        if joined.len() > 1 {
            self.constant(expression, neutral);
            for pair in joined.windows(2) {
                self.join(pair[0], pair[1], is_and);
            }
            joined.into_iter().for_each(|part| self.condition(part, is_and));
            return;
        }
        match expression.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg }
                if arg.source_loc() != expression.source_loc() && is_compound(arg) =>
            {
                self.condition(arg, !neutral);
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                self.constant(expression, neutral);
                self.constant(test_expr, true);
                self.constant(test_expr, false);
                self.condition(then_expr, neutral);
                self.condition(else_expr, neutral);
            }
            _ => self.leaf(expression, neutral),
        }
    }

    fn leaf(&mut self, expression: &Expr, neutral: bool) {
        let Some(span) = self.tree.span(expression) else { return };
        let text = self.at(&span).to_owned();
        // what is written out as true or false says nothing that could go
        if text != "true" && text != "false" {
            self.constant(expression, neutral);
        }
        self.push(MutantSort::Negated, format!("`{}` negated", short(&text)), span.clone(), &format!("!({text})"));
        self.weaken(expression, &span, &text);
    }

    fn constant(&mut self, expression: &Expr, value: bool) {
        let Some(span) = self.tree.span(expression) else { return };
        let (name, with) = (format!("`{}` → `{value}`", short(self.at(&span))), if value { "true" } else { "false" });
        self.push(MutantSort::Removed, name, span, with);
    }

    /// The other of `&&` and `||` between two parts.
    fn join(&mut self, left: &Expr, right: &Expr, is_and: bool) {
        let (Some(a), Some(b)) = (self.tree.span(left), self.tree.span(right)) else { return };
        let (now, other) = if is_and { ("&&", "||") } else { ("||", "&&") };
        let Some(at) = source::find(self.text, a.end..b.start, now) else { return };
        let name = format!("`{now}` → `{other}` before `{}`", short(self.at(&b)));
        self.push(MutantSort::Weakened, name, at..at + 2, other);
    }

    /// Another operator, or an element less.
    fn weaken(&mut self, expression: &Expr, span: &Range<usize>, text: &str) {
        // `a > b` is `!(a <= b)` at the same place
        let inner = match expression.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } if arg.source_loc() == expression.source_loc() => arg,
            _ => expression,
        };
        match inner.expr_kind() {
            ExprKind::And { left, right } => {
                // `a is T in b`
                let (ExprKind::Is { .. }, ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 }) =
                    (left.expr_kind(), right.expr_kind())
                else {
                    return;
                };
                let (Some(entity), Some(group)) = (self.tree.span(arg1), self.tree.span(arg2)) else { return };
                let Some(at) = word(&self.text[..group.start], "in").filter(|at| *at > entity.end) else { return };
                let alone = self.text[span.start..at].trim_end().to_owned();
                let within = format!("{} {}", self.at(&entity), &self.text[at..span.end]);
                for other in [alone, within] {
                    let name = format!("`{}` → `{}`", short(text), short(&other));
                    self.push(MutantSort::Weakened, name, span.clone(), &other);
                }
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let (Some(a), Some(b)) = (self.tree.span(arg1), self.tree.span(arg2)) else { return };
                let swaps: &[(&str, &str)] = match op {
                    BinaryOp::Less | BinaryOp::LessEq => &[("<=", "<"), (">=", ">"), ("<", "<="), (">", ">=")],
                    BinaryOp::Eq if may_be_entity(arg1) && may_be_entity(arg2) => &[("==", "in")],
                    BinaryOp::In if !matches!(arg2.expr_kind(), ExprKind::Set(_)) => &[("in", "==")],
                    BinaryOp::ContainsAll => &[("containsAll", "containsAny")],
                    BinaryOp::ContainsAny => &[("containsAny", "containsAll")],
                    _ => &[],
                };
                self.swap(text, a.end..b.start, swaps);
                for list in [arg1, arg2] {
                    self.shorten(list);
                }
            }
            ExprKind::ExtensionFunctionApp { args, .. } => {
                if let [a, b] = args.as_slice()
                    && let (Some(a), Some(b)) = (self.tree.span(a), self.tree.span(b))
                {
                    let swaps = [
                        ("lessThanOrEqual", "lessThan"),
                        ("greaterThanOrEqual", "greaterThan"),
                        ("lessThan", "lessThanOrEqual"),
                        ("greaterThan", "greaterThanOrEqual"),
                    ];
                    self.swap(text, a.end..b.start, &swaps);
                }
            }
            _ => {}
        }
    }

    /// Replaces the first of the signs that stands in a span.
    fn swap(&mut self, text: &str, within: Range<usize>, swaps: &[(&str, &str)]) {
        let found =
            swaps.iter().find_map(|(now, other)| Some((source::find(self.text, within.clone(), now)?, *now, *other)));
        if let Some((at, now, other)) = found {
            let name = format!("`{}`: `{now}` → `{other}`", short(text));
            self.push(MutantSort::Weakened, name, at..at + now.len(), other);
        }
    }

    /// A list that is written out, with each element left out.
    fn shorten(&mut self, list: &Expr) {
        let ExprKind::Set(elements) = list.expr_kind() else { return };
        let Some(whole) = self.tree.span(list).filter(|_| elements.len() > 1) else { return };
        let Some(spans) = elements.iter().map(|element| self.tree.span(element)).collect::<Option<Vec<_>>>() else {
            return;
        };
        for (i, left_out) in spans.iter().enumerate() {
            let left: Vec<&str> =
                spans.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, span)| self.at(span)).collect();
            let text = self.replaced(&whole, &format!("[{}]", left.join(", ")));
            let name = format!("`{}` without `{}`", short(self.at(&whole)), short(self.at(left_out)));
            self.push(MutantSort::Weakened, name, left_out.clone(), "");
            if let Some(last) = self.found.last_mut() {
                last.text = Some(text);
            }
        }
    }
}

fn is_compound(expression: &Expr) -> bool {
    matches!(expression.expr_kind(), ExprKind::And { .. } | ExprKind::Or { .. } | ExprKind::If { .. })
        && (conjuncts(expression).len() > 1
            || disjuncts(expression).len() > 1
            || matches!(expression.expr_kind(), ExprKind::If { .. }))
}

/// Whether an expression may be an entity, as far as it shows.
fn may_be_entity(expression: &Expr) -> bool {
    match expression.expr_kind() {
        ExprKind::Lit(literal) => matches!(literal, Literal::EntityUID(_)),
        ExprKind::Set(_) | ExprKind::Record(_) | ExprKind::ExtensionFunctionApp { .. } => false,
        _ => true,
    }
}

/// Where a word stands last, outside of others.
fn word(text: &str, wanted: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '"';
    text.rmatch_indices(wanted)
        .map(|(at, _)| at)
        .find(|at| !text[..*at].ends_with(is_part) && !text[at + wanted.len()..].starts_with(is_part))
}

/// A text in one line, without its middle where it is long.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    source::short(&words.join(" "), LONGEST_NAME)
}
