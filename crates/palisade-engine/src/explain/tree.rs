//! The parts of one policy, each evaluated alone by Cedar's evaluator.
//!
//! Cedar joins the conditions of a policy by `&&` and takes `unless { a }` for `!a`. Here they are taken apart again:
//! by the places that Cedar notes for every expression. What people would not read as parts stays whole.

use std::ops::Range;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Policy, SlotEnv, UnaryOp, Var};

use super::scene::{Gave, Scene, as_entities};
use super::source::Source;
use super::values::{self, Masks};
use crate::model::explanation::{Clause, ClauseKind, HierarchyPath, Join, Place, Truth};

/// What a `&&` or `||` joins, if it is to be shown part by part.
const MOST_PARTS: usize = 12;

/// Conditions of a policy that are shown one by one.
const MOST_CONDITIONS: usize = 64;

/// Levels of parts below a condition.
const MOST_LEVELS: usize = 4;

/// Ways up the hierarchy that one clause shows.
const MOST_WAYS: usize = 4;

/// Nodes of an expression in which an `in` is looked for.
const MOST_NODES: usize = 500;

/// What stands in for what Cedar says of an error where something is masked: it may quote values.
pub(super) const WITHHELD: &str = "not shown, since something is masked";

/// A policy that can be evaluated part by part.
pub(super) struct Tree<'t> {
    policy: &'t Policy,
    source: Source<'t>,
    /// What is to be added to Cedar's offsets for those in the policy's text.
    shift: Option<isize>,
    masks: &'t Masks,
}

/// The scope's part on one variable.
#[derive(Debug, Clone)]
pub(super) struct ScopePart {
    pub variable: Var,
    pub condition: Expr,
}

/// One of the conditions that must all hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'t> {
    pub expression: &'t Expr,
    pub is_unless: bool,
}

/// A condition taken apart as it is shown, with nothing evaluated.
#[derive(Debug)]
pub(super) struct Outline {
    pub expression: Expr,
    /// How the parts make it.
    pub join: Option<Join>,
    pub parts: Vec<Outline>,
    /// The number of what consists of nothing else, and is not written out as true or false.
    pub leaf: Option<usize>,
}

impl<'t> Tree<'t> {
    pub(super) fn new(policy: &'t Policy, source: Source<'t>, masks: &'t Masks) -> Self {
        let start = policy.template().loc().map(|loc| loc.span.offset());
        let shift = start.and_then(|start| isize::try_from(start).ok()).map(|start| -start);
        Self { policy, source, shift, masks }
    }

    pub(super) fn source(&self) -> &Source<'t> {
        &self.source
    }

    pub(super) fn slots(&self) -> &'t SlotEnv {
        self.policy.env()
    }

    /// The three parts of the scope as conditions.
    pub(super) fn scope(&self) -> [ScopePart; 3] {
        let template = self.policy.template();
        let part = |variable, condition| ScopePart { variable, condition };
        [
            part(Var::Principal, template.principal_constraint().as_expr()),
            part(Var::Action, template.action_constraint().as_expr()),
            part(Var::Resource, template.resource_constraint().as_expr()),
        ]
    }

    /// The conditions that must all hold, in the order in which they are evaluated.
    pub(super) fn conditions(&self) -> Vec<Condition<'t>> {
        let template = self.policy.template();
        let Some(whole) = template.non_scope_constraints() else { return Vec::new() };
        // Cedar gives the `&&` between two clauses the place of the policy
        let own = template.loc();
        let mut clauses = Vec::new();
        let mut rest = whole;
        while let ExprKind::And { left, right } = rest.expr_kind() {
            if own.is_none() || rest.source_loc() != own {
                break;
            }
            clauses.push(&**left);
            rest = right;
        }
        clauses.push(rest);
        let mut found = Vec::new();
        for clause in clauses {
            if self.is_unless(clause) {
                found.push(Condition { expression: clause, is_unless: true });
            } else {
                let parts = conjuncts(clause).into_iter().map(|expression| Condition { expression, is_unless: false });
                found.extend(parts);
            }
        }
        if found.len() > MOST_CONDITIONS {
            return vec![Condition { expression: whole, is_unless: false }];
        }
        found
    }

    fn is_unless(&self, expression: &Expr) -> bool {
        matches!(expression.expr_kind(), ExprKind::UnaryApp { op: UnaryOp::Not, .. })
            && expression.source_loc().and_then(|loc| loc.snippet()).is_some_and(|text| text.starts_with("unless"))
    }

    pub(super) fn span(&self, expression: &Expr) -> Option<Range<usize>> {
        let (loc, shift) = (expression.source_loc()?, self.shift?);
        Some(loc.start().checked_add_signed(shift)?..loc.end().checked_add_signed(shift)?)
    }

    /// The scope as clauses. Cedar's own order of evaluation does not matter here: none of them can fail.
    pub(super) fn explain_scope(&self, scene: &Scene<'_>) -> Vec<Clause> {
        let spans = self.source.scope();
        let explained = self.scope().into_iter().enumerate().map(|(i, part)| {
            let span = spans.as_ref().and_then(|spans| spans.get(i));
            let text = span.and_then(|span| self.source.excerpt(span));
            let kind = match part.variable {
                Var::Principal => ClauseKind::Principal,
                Var::Action => ClauseKind::Action,
                _ => ClauseKind::Resource,
            };
            Clause {
                kind,
                text: text.unwrap_or_else(|| super::source::short(&part.condition.to_string(), 600)),
                place: span.and_then(|span| self.source.place(span)),
                result: scene.gives(&part.condition, self.slots()).truth(),
                alone: None,
                error: None,
                values: Vec::new(),
                hierarchy: self.ways(scene, &part.condition),
                join: None,
                parts: Vec::new(),
            }
        });
        explained.collect()
    }

    /// The conditions as clauses; `reached` is whether the scope holds.
    pub(super) fn explain_conditions(&self, scene: &Scene<'_>, mut reached: bool) -> Vec<Clause> {
        let mut explained = Vec::new();
        for Condition { expression, is_unless } in self.conditions() {
            let kind = if is_unless { ClauseKind::Unless } else { ClauseKind::When };
            let clause = self.clause(scene, expression, kind, reached, MOST_LEVELS);
            reached &= clause.result == Truth::True;
            explained.push(clause);
        }
        explained
    }

    fn clause(&self, scene: &Scene<'_>, expression: &Expr, kind: ClauseKind, reached: bool, levels: usize) -> Clause {
        let gave = scene.gives(expression, self.slots());
        let truth = gave.truth();
        let (join, parts) = self.parts(scene, expression, kind, reached, levels);
        let span = self.span(expression);
        let text = self.text_of(expression, span.as_ref());
        let error = match gave {
            Gave::Error(_) if !self.masks.is_empty() => Some(WITHHELD.to_owned()),
            Gave::Error(message) => Some(message),
            Gave::Bool(_) => None,
        };
        let is_leaf = parts.is_empty();
        Clause {
            kind,
            text,
            place: span.and_then(|span| self.source.place(&span)),
            result: if reached { truth } else { Truth::NotReached },
            alone: (!reached).then_some(truth),
            error,
            values: if is_leaf { values::reads(scene, expression, self.slots(), self.masks) } else { Vec::new() },
            hierarchy: if is_leaf { self.ways(scene, expression) } else { Vec::new() },
            join,
            parts,
        }
    }

    /// The conditions taken apart; `number` gives each leaf its number, in their order.
    pub(super) fn outlines(&self, number: &mut dyn FnMut(String, Option<Place>) -> usize) -> Vec<Outline> {
        let outline = |condition: Condition<'_>, number: &mut dyn FnMut(String, Option<Place>) -> usize| {
            let kind = if condition.is_unless { ClauseKind::Unless } else { ClauseKind::When };
            self.outline(condition.expression, kind, MOST_LEVELS, number)
        };
        self.conditions().into_iter().map(|condition| outline(condition, number)).collect()
    }

    fn outline(
        &self,
        expression: &Expr,
        kind: ClauseKind,
        levels: usize,
        number: &mut dyn FnMut(String, Option<Place>) -> usize,
    ) -> Outline {
        let joined = if levels == 0 { None } else { joined(expression, kind) };
        let Some((join, parts)) = joined else {
            let span = self.span(expression);
            let text = self.text_of(expression, span.as_ref());
            // what is written out never changes, so there is nothing to see
            let is_constant = matches!(text.as_str(), "true" | "false");
            let leaf = (!is_constant).then(|| number(text, span.and_then(|span| self.source.place(&span))));
            return Outline { expression: expression.clone(), join: None, parts: Vec::new(), leaf };
        };
        let parts = parts.into_iter().map(|part| self.outline(part, ClauseKind::Part, levels - 1, number)).collect();
        Outline { expression: expression.clone(), join: Some(join), parts, leaf: None }
    }

    /// An expression as its author wrote it, cut where it is long.
    fn text_of(&self, expression: &Expr, span: Option<&Range<usize>>) -> String {
        let text = span.and_then(|span| self.source.excerpt(span));
        text.unwrap_or_else(|| super::source::short(&expression.to_string(), 600))
    }

    fn parts(
        &self,
        scene: &Scene<'_>,
        expression: &Expr,
        kind: ClauseKind,
        reached: bool,
        levels: usize,
    ) -> (Option<Join>, Vec<Clause>) {
        let joined = if levels == 0 { None } else { joined(expression, kind) };
        let Some((join, joined)) = joined else { return (None, Vec::new()) };
        let part = |expression: &Expr, reached| self.clause(scene, expression, ClauseKind::Part, reached, levels - 1);
        if let (Join::If, [test, then, other]) = (join, joined.as_slice()) {
            let test = part(test, reached);
            let (holds, fails) = (test.result == Truth::True, test.result == Truth::False);
            return (Some(join), vec![test, part(then, holds), part(other, fails)]);
        }
        // each is reached if all before it let evaluation go on
        let goes_on = if join == Join::Any { Truth::False } else { Truth::True };
        let mut reached = reached;
        let parts = joined.into_iter().map(|expression| {
            let clause = part(expression, reached);
            reached &= clause.result == goes_on;
            clause
        });
        (Some(join), parts.collect())
    }

    /// For each `in` of an expression the way through the hierarchy, but for what the mask hides.
    fn ways(&self, scene: &Scene<'_>, expression: &Expr) -> Vec<HierarchyPath> {
        let mut found = Vec::new();
        for expression in expression.subexpressions().take(MOST_NODES) {
            if let ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } = expression.expr_kind()
                && let Some(from) = scene.entity(arg1, self.slots())
                && let Ok(to) = scene.value(arg2, self.slots())
                && found.len() < MOST_WAYS
                && !values::hides(expression, self.masks)
            {
                let way = scene.way(&from, &as_entities(&to));
                if !found.contains(&way) {
                    found.push(way);
                }
            }
        }
        found
    }
}

/// What an expression consists of, where that is worth looking at, and how.
fn joined(expression: &Expr, kind: ClauseKind) -> Option<(Join, Vec<&Expr>)> {
    let few = |join, parts: Vec<_>| (2..=MOST_PARTS).contains(&parts.len()).then_some((join, parts));
    match expression.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } if kind == ClauseKind::Unless || is_compound(arg) => {
            Some((Join::Not, vec![arg]))
        }
        ExprKind::And { .. } => few(Join::All, conjuncts(expression)),
        ExprKind::Or { .. } => few(Join::Any, disjuncts(expression)),
        ExprKind::If { test_expr, then_expr, else_expr } => Some((Join::If, vec![test_expr, then_expr, else_expr])),
        _ => None,
    }
}

fn is_compound(expression: &Expr) -> bool {
    matches!(expression.expr_kind(), ExprKind::And { .. } | ExprKind::Or { .. } | ExprKind::If { .. })
}

/// What an expression joins by `&&`, in order; itself if it joins nothing.
pub(super) fn conjuncts(expression: &Expr) -> Vec<&Expr> {
    chain(expression, |kind| match kind {
        ExprKind::And { left, right } => Some((left, right)),
        _ => None,
    })
}

/// What an expression joins by `||`, in order; itself if it joins nothing.
pub(super) fn disjuncts(expression: &Expr) -> Vec<&Expr> {
    chain(expression, |kind| match kind {
        ExprKind::Or { left, right } => Some((left, right)),
        _ => None,
    })
}

/// Cedar writes `a is T in b` and such as two joined expressions that stand at the same place: they stay one.
fn chain<'e>(expression: &'e Expr, split: impl Fn(&'e ExprKind) -> Option<(&'e Expr, &'e Expr)>) -> Vec<&'e Expr> {
    let is_sugar = |joined: &'e Expr, part: &'e Expr| {
        joined.source_loc().is_some() && joined.source_loc() == part.source_loc() && split(part.expr_kind()).is_none()
    };
    let (mut found, mut left) = (Vec::new(), vec![expression]);
    while let Some(next) = left.pop() {
        match split(next.expr_kind()) {
            Some((a, b)) if !is_sugar(next, a) && !is_sugar(next, b) => left.extend([b, a]),
            _ => found.push(next),
        }
    }
    found
}
