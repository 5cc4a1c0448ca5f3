//! What Cedar's validator says of mutants: which a bundle could not have, and which say the same of every request.

use cedar_policy_core::ast::{BinaryOp, EntityType, Expr, ExprKind, Literal, Template, UnaryOp};
use cedar_policy_core::validator::typecheck::{PolicyCheck, Typechecker};
use cedar_policy_core::validator::types::{BoolType, EntityKind, RequestEnv, Type};
use cedar_policy_core::validator::{ValidationMode, ValidatorSchema};

use super::Standing;
use crate::schema::SchemaModel;

/// The type checker over one schema. Without a schema it knows nothing.
pub(super) struct Validator<'s> {
    checker: Option<(&'s ValidatorSchema, Typechecker<'s>)>,
}

/// A policy that its mutants are measured by.
pub(super) struct Measure<'m> {
    original: &'m Template,
    checker: Option<(&'m ValidatorSchema, &'m Typechecker<'m>)>,
    /// What the type checker says of it, by the types of a request.
    checks: Vec<Check<'m>>,
}

struct Check<'m> {
    types: RequestEnv<'m>,
    said: PolicyCheck,
    /// Whether its scope lets requests of these types through.
    in_scope: bool,
}

impl<'s> Validator<'s> {
    pub(super) fn new(schema: Option<&'s SchemaModel>) -> Self {
        let checker = schema.map(|schema| {
            let schema: &ValidatorSchema = schema.core();
            (schema, Typechecker::new(schema, ValidationMode::Strict))
        });
        Self { checker }
    }

    /// Takes the policy that the next mutants are of; `scope` is that without conditions.
    pub(super) fn measure<'m>(&'m self, original: &'m Template, scope: &Template) -> Measure<'m> {
        let Some((schema, checker)) = &self.checker else {
            return Measure { original, checker: None, checks: Vec::new() };
        };
        let checks = checker.typecheck_by_request_env(original).map(|(types, said)| {
            let of_scope = checker.typecheck_by_single_request_env(scope, &types);
            Check { types, said, in_scope: !matches!(of_scope, PolicyCheck::Irrelevant(..)) }
        });
        Measure { original, checks: checks.collect(), checker: Some((schema, checker)) }
    }
}

impl Measure<'_> {
    /// What can be said of a mutant; `keeps_scope` is whether its scope is the policy's.
    pub(super) fn standing(&self, mutant: &Template, keeps_scope: bool) -> Standing {
        let effect_stays = self.original.effect() == mutant.effect();
        if effect_stays && self.original.condition().eq_shape(&mutant.condition()) {
            return Standing::Same;
        }
        let Some((schema, checker)) = self.checker else { return Standing::Open };
        // what does not validate itself is no measure for its mutants
        let was_well = !self.checks.iter().any(|check| errors_of(&check.said).is_some());
        let mut all_same = was_well && effect_stays && !self.checks.is_empty();
        // where the scope lets nothing through, no condition is looked at
        for Check { types, said, .. } in self.checks.iter().filter(|check| check.in_scope || !keeps_scope) {
            let check = checker.typecheck_by_single_request_env(mutant, types);
            if was_well && let Some(error) = errors_of(&check) {
                return Standing::Refused(error);
            }
            // for these types neither can hold, or both say the same
            all_same &= match (said, &check) {
                (PolicyCheck::Irrelevant(..), PolicyCheck::Irrelevant(..)) => true,
                (PolicyCheck::Success(was), PolicyCheck::Success(is)) => {
                    is_same(&Folded::of(was), &Folded::of(is), schema)
                }
                _ => false,
            };
        }
        if all_same { Standing::Constant } else { Standing::Open }
    }
}

/// The first error, in the validator's words.
fn errors_of(check: &PolicyCheck) -> Option<String> {
    match check {
        PolicyCheck::Success(_) => None,
        PolicyCheck::Irrelevant(errors, _) => errors.first().map(ToString::to_string),
        PolicyCheck::Fail(errors) => {
            Some(errors.first().map_or_else(|| "it is too deep to be validated".to_owned(), ToString::to_string))
        }
    }
}

/// A typed condition without what its types decide: what is always true or false is gone.
enum Folded<'e> {
    Always(bool),
    All(Vec<Folded<'e>>),
    Any(Vec<Folded<'e>>),
    Not(Box<Folded<'e>>),
    If(Box<[Folded<'e>; 3]>),
    Other(&'e Typed),
}

type Typed = Expr<Option<Type>>;

impl<'e> Folded<'e> {
    fn of(typed: &'e Typed) -> Self {
        match typed.data() {
            Some(Type::Bool(BoolType::True)) => return Self::Always(true),
            Some(Type::Bool(BoolType::False)) => return Self::Always(false),
            _ => {}
        }
        match typed.expr_kind() {
            ExprKind::Lit(Literal::Bool(value)) => Self::Always(*value),
            ExprKind::And { left, right } => Self::joined(left, right, true),
            ExprKind::Or { left, right } => Self::joined(left, right, false),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match Self::of(arg) {
                Self::Always(value) => Self::Always(!value),
                Self::Not(inner) => *inner,
                other => Self::Not(Box::new(other)),
            },
            ExprKind::If { test_expr, then_expr, else_expr } => match Self::of(test_expr) {
                Self::Always(true) => Self::of(then_expr),
                Self::Always(false) => Self::of(else_expr),
                test => Self::If(Box::new([test, Self::of(then_expr), Self::of(else_expr)])),
            },
            _ => Self::Other(typed),
        }
    }

    /// What `&&` or `||` joins, without what changes nothing, and up to what decides.
    fn joined(left: &'e Typed, right: &'e Typed, is_and: bool) -> Self {
        let mut parts = Vec::new();
        for part in [Self::of(left), Self::of(right)] {
            match part {
                Self::Always(value) if value == is_and => {}
                Self::All(more) if is_and => parts.extend(more),
                Self::Any(more) if !is_and => parts.extend(more),
                other => parts.push(other),
            }
            if let Some(Self::Always(_)) = parts.last() {
                break;
            }
        }
        match (parts.len(), is_and) {
            (0, _) => Self::Always(is_and),
            (1, _) => parts.remove(0),
            (_, true) => Self::All(parts),
            (_, false) => Self::Any(parts),
        }
    }
}

/// Whether two conditions say the same.
fn is_same(one: &Folded<'_>, other: &Folded<'_>, schema: &ValidatorSchema) -> bool {
    let all =
        |a: &[Folded<'_>], b: &[Folded<'_>]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, schema));
    match (one, other) {
        (Folded::Always(a), Folded::Always(b)) => a == b,
        (Folded::All(a), Folded::All(b)) | (Folded::Any(a), Folded::Any(b)) => all(a, b),
        (Folded::Not(a), Folded::Not(b)) => is_same(a, b, schema),
        (Folded::If(a), Folded::If(b)) => all(&**a, &**b),
        (Folded::Other(a), Folded::Other(b)) => a.eq_shape(b) || is_same_relation(a, b, schema),
        _ => false,
    }
}

/// Whether one is `a == b` and the other `a in b`, and by the schema nothing else than b is in b.
fn is_same_relation(one: &Typed, other: &Typed, schema: &ValidatorSchema) -> bool {
    let (ExprKind::BinaryApp { op, arg1, arg2 }, ExprKind::BinaryApp { op: other, arg1: a, arg2: b }) =
        (one.expr_kind(), other.expr_kind())
    else {
        return false;
    };
    let are_those = matches!((op, other), (BinaryOp::Eq, BinaryOp::In) | (BinaryOp::In, BinaryOp::Eq));
    if !are_those || !arg1.eq_shape(a) || !arg2.eq_shape(b) {
        return false;
    }
    if let ExprKind::Lit(Literal::EntityUID(uid)) = arg2.expr_kind()
        && let Some(action) = schema.get_action_id(uid)
    {
        return !action.descendants().any(|below| below != &**uid);
    }
    match (entity_type(arg1), entity_type(arg2)) {
        (Some(below), Some(above)) => {
            schema.get_entity_type(above).is_some_and(|above| !above.has_descendant_entity_type(below))
        }
        _ => false,
    }
}

fn entity_type(typed: &Typed) -> Option<&EntityType> {
    match typed.data() {
        Some(Type::Entity(EntityKind::Entity(types))) => types.get_single_entity(),
        _ => None,
    }
}
