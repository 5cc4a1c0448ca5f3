//! How far from a request policies can read: which attributes they follow, how many in a row, and from where.
//!
//! Found in the syntax trees alone, so that the slices for the reference owe nothing to the compiled programs.

use std::collections::HashSet;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal};

use crate::ids::{EntityId, NameId};
use crate::layout::intern;
use crate::store::{Draft, Entity};
use crate::value::{TooLarge, Val};

/// Bounds on what the conditions of a policy set can read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// Attributes that some condition reads.
    pub names: HashSet<NameId>,
    /// Entities that conditions name.
    pub entities: HashSet<EntityId>,
    /// Whether some condition reads tags.
    pub tags: bool,
    /// The longest chain of reads.
    pub depth: usize,
}

impl Reach {
    /// Whether a condition may come from an entity to another that it holds.
    pub(crate) fn leads(&self, holder: Entity<'_>, held: EntityId) -> bool {
        let (record, mut found) = (holder.attributes(), false);
        let names = (0..record.len()).map(|i| record.get(i)).filter(|(name, _)| self.names.contains(name));
        names.for_each(|(_, value)| value.entities(&mut |id| found |= id == held));
        let tags = if self.tags { holder.tag_count() } else { 0 };
        (0..tags).for_each(|i| Val::entities(holder.tag_at(i).1, &mut |id| found |= id == held));
        found
    }

    /// Widens the bounds by one condition.
    ///
    /// # Errors
    /// If the store has no more room for names.
    pub(super) fn add(&mut self, condition: &Expr, draft: &mut Draft) -> Result<(), TooLarge> {
        let mut reads = 0;
        for expression in condition.subexpressions() {
            match expression.expr_kind() {
                ExprKind::Lit(Literal::EntityUID(uid)) => {
                    self.entities.insert(intern(uid, draft)?);
                }
                ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => {
                    reads += 1;
                    self.names.insert(draft.attribute_id(attr));
                }
                ExprKind::ExtHasAttr { attrs, .. } => {
                    reads += attrs.len();
                    for attr in attrs.iter() {
                        self.names.insert(draft.attribute_id(attr));
                    }
                }
                ExprKind::BinaryApp { op: BinaryOp::GetTag | BinaryOp::HasTag, .. } => {
                    reads += 1;
                    self.tags = true;
                }
                _ => {}
            }
        }
        // a chain has no more links than the condition has reads; chains are short, so look for the longest
        if reads > self.depth {
            self.depth = self.depth.max(longest(condition));
        }
        Ok(())
    }
}

/// The longest chain of reads in an expression. Recurses with its nesting: runs where snapshots are built.
fn longest(expression: &Expr) -> usize {
    match expression.expr_kind() {
        ExprKind::GetAttr { expr, .. } | ExprKind::HasAttr { expr, .. } => longest(expr) + 1,
        ExprKind::ExtHasAttr { expr, attrs } => longest(expr) + attrs.len(),
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let own = usize::from(matches!(op, BinaryOp::GetTag | BinaryOp::HasTag | BinaryOp::In));
            (longest(arg1) + own).max(longest(arg2))
        }
        ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => 0,
        ExprKind::If { test_expr, then_expr, else_expr } => {
            longest(test_expr).max(longest(then_expr)).max(longest(else_expr))
        }
        ExprKind::And { left, right } | ExprKind::Or { left, right } => longest(left).max(longest(right)),
        ExprKind::UnaryApp { arg, .. } => longest(arg),
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().map(longest).max().unwrap_or(0),
        ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => longest(expr),
        ExprKind::Set(elements) => elements.iter().map(longest).max().unwrap_or(0),
        ExprKind::Record(members) => members.values().map(longest).max().unwrap_or(0),
    }
}
