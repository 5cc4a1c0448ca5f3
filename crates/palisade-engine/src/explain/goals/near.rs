//! Values near one that a condition compares: at its bound, beside it, and others of its type.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Name, UnaryOp, Value, ValueKind};
use serde_json::{Value as Json, json};

use super::super::made_up::sample;
use super::{Goals, Type, entity_json, json_of};

/// Sums and products that are solved for one value.
const MOST_SOLVED: usize = 8;

/// Steps of a decimal in one.
const DECIMAL: i64 = 10_000;

impl Goals<'_> {
    /// A few values of the same type that are not this one.
    pub(super) fn others(&self, value: &Value) -> Vec<Json> {
        match value.value_kind() {
            ValueKind::Lit(Literal::Bool(b)) => vec![json!(!b)],
            ValueKind::Lit(Literal::Long(n)) => vec![json!(n.wrapping_add(1))],
            ValueKind::Lit(Literal::String(text)) => vec![json!(format!("not {text}"))],
            ValueKind::Lit(Literal::EntityUID(uid)) => {
                let name = uid.entity_type().to_string();
                let mut found = self.of_type(&name);
                found.extend(self.scene.parents(uid));
                found.extend(self.scene.stored_of_type(&name, 3));
                found.retain(|other| other != &**uid && other.entity_type() == uid.entity_type());
                found.iter().take(2).map(entity_json).collect()
            }
            ValueKind::Set(set) if !set.is_empty() => vec![json!([])],
            ValueKind::ExtensionValue(_) => self.around(value),
            _ => Vec::new(),
        }
    }

    /// A value, the next smaller and the next larger one.
    pub(super) fn around(&self, value: &Value) -> Vec<Json> {
        if let ValueKind::Lit(Literal::Long(n)) = value.value_kind() {
            return [Some(*n), n.checked_sub(1), n.checked_add(1)].into_iter().flatten().map(Json::from).collect();
        }
        if let Some(json) = json_of(value).filter(|json| json["__extn"]["fn"] == "decimal") {
            let beside = beside_decimal(&json);
            return [json].into_iter().chain(beside).collect();
        }
        if let Some(milliseconds) = self.milliseconds(value) {
            let all = [Some(milliseconds), milliseconds.checked_sub(1), milliseconds.checked_add(1)];
            let written = |n: i64| json!({"__extn": {"fn": "duration", "arg": format!("{n}ms")}});
            return all.into_iter().flatten().map(written).collect();
        }
        let moved = |by: &str| {
            let name = |name: &str| name.parse::<Name>().ok();
            let step = Expr::call_extension_fn(name("duration")?, vec![Expr::val(by)]);
            let sum = Expr::call_extension_fn(name("offset")?, vec![Expr::from(value.clone()), step]);
            json_of(&self.scene.value(&sum, self.slots).ok()?)
        };
        [json_of(value), moved("-1ms"), moved("1ms")].into_iter().flatten().collect()
    }

    /// Sets the place in an expression so that this becomes `value`: itself, or by the other side of a sum, a difference or a
    /// product with a number.
    pub(super) fn solve(&mut self, expression: &Expr, value: &Json) {
        let mut left = vec![(expression, value.clone())];
        for _ in 0..MOST_SOLVED {
            let Some((at, value)) = left.pop() else { return };
            if self.target(at).is_some() {
                self.set(at, value);
                continue;
            }
            let Some(wanted) = value.as_i64() else { continue };
            let number = |of: &Expr| match self.scene.value(of, self.slots).ok()?.value_kind() {
                ValueKind::Lit(Literal::Long(n)) => Some(*n),
                _ => None,
            };
            match at.expr_kind() {
                ExprKind::UnaryApp { op: UnaryOp::Neg, arg } => {
                    left.extend(wanted.checked_neg().map(|n| (&**arg, n.into())))
                }
                ExprKind::BinaryApp { op: op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul), arg1, arg2 } => {
                    let (a, b) = (number(arg1), number(arg2));
                    let ways: [(&Expr, Option<i64>); 2] = match op {
                        BinaryOp::Add => [
                            (arg1, b.and_then(|b| wanted.checked_sub(b))),
                            (arg2, a.and_then(|a| wanted.checked_sub(a))),
                        ],
                        BinaryOp::Sub => [
                            (arg1, b.and_then(|b| wanted.checked_add(b))),
                            (arg2, a.and_then(|a| a.checked_sub(wanted))),
                        ],
                        _ => [
                            (arg1, b.and_then(|b| wanted.checked_div(b))),
                            (arg2, a.and_then(|a| wanted.checked_div(a))),
                        ],
                    };
                    // a quotient may be rounded to the wrong side
                    let beside: &[i64] = if op == &BinaryOp::Mul { &[1, -1, 0] } else { &[0] };
                    for (at, n) in ways {
                        let all = beside.iter().filter_map(|step| n?.checked_add(*step));
                        left.extend(all.map(|n| (at, n.into())));
                    }
                }
                _ => {}
            }
        }
        self.bounded |= !left.is_empty();
    }

    /// An element that could be in the set that stands at `place`.
    pub(super) fn element_of(&self, place: &Expr) -> Option<Json> {
        let target = self.target(place)?;
        match self.type_of(&target) {
            Some(Type::Set(of)) => self.samples(of).into_iter().next(),
            Some(_) => None,
            None => Some(json!("")),
        }
    }

    /// The milliseconds of a duration.
    fn milliseconds(&self, value: &Value) -> Option<i64> {
        let call = Expr::call_extension_fn("toMilliseconds".parse::<Name>().ok()?, vec![Expr::from(value.clone())]);
        match self.scene.value(&call, self.slots).ok()?.value_kind() {
            ValueKind::Lit(Literal::Long(n)) => Some(*n),
            _ => None,
        }
    }

    /// An element that could be in the set that stands at `place`, beside those `taken`.
    pub(super) fn fresh(&self, place: &Expr, taken: &[Json]) -> Option<Json> {
        let target = self.target(place)?;
        let of = match self.type_of(&target) {
            Some(Type::Set(of)) => Some(&**of),
            Some(_) => return None,
            None => None,
        };
        let texts = || ["other", "another", "one more"].map(Json::from).to_vec();
        let numbers = || vec![beyond(taken).unwrap_or(json!(0))];
        let choices = match of {
            Some(Type::Long) => numbers(),
            Some(Type::String) => texts(),
            Some(of) => self.samples(of),
            None if taken.iter().any(Json::is_i64) => numbers(),
            None => texts(),
        };
        choices.into_iter().find(|choice| !taken.contains(choice))
    }

    /// A few values of a type.
    pub(super) fn samples(&self, ty: &Type) -> Vec<Json> {
        match ty {
            Type::Bool => vec![json!(true), json!(false)],
            Type::Long => vec![json!(0)],
            Type::String => vec![json!("")],
            Type::Set(_) => vec![json!([])],
            Type::Record(_) => vec![json!({})],
            Type::Entity(name) => self.some_of_type(name).iter().map(entity_json).collect(),
            Type::Extension(name) => sample(name).into_iter().collect(),
            Type::Unknown => Vec::new(),
        }
    }
}

/// The number behind the largest of some values.
pub(super) fn beyond(values: &[Json]) -> Option<Json> {
    values.iter().filter_map(Json::as_i64).max()?.checked_add(1).map(Json::from)
}

/// The decimals beside one, as Cedar writes them.
fn beside_decimal(value: &Json) -> Vec<Json> {
    let call = value.get("__extn").filter(|call| call["fn"] == "decimal");
    let units = call.and_then(|call| {
        let (whole, rest) = call["arg"].as_str()?.split_once('.')?;
        let rest_units: i64 = format!("{rest:0<4}").parse().ok()?;
        let units = whole.parse::<i64>().ok()?.checked_mul(DECIMAL)?;
        if whole.starts_with('-') { units.checked_sub(rest_units) } else { units.checked_add(rest_units) }
    });
    let written = |units: i64| {
        let sign = if units < 0 { "-" } else { "" };
        let (whole, rest) =
            (units.unsigned_abs() / DECIMAL.unsigned_abs(), units.unsigned_abs() % DECIMAL.unsigned_abs());
        json!({"__extn": {"fn": "decimal", "arg": format!("{sign}{whole}.{rest:04}")}})
    };
    let beside = units.into_iter().flat_map(|units| [units.checked_sub(1), units.checked_add(1)]);
    beside.flatten().map(written).collect()
}

/// Addresses for which a function of addresses holds, or does not.
pub(super) fn addresses(function: &str, want: bool) -> Option<&'static [&'static str]> {
    let (yes, no): (&[&str], &[&str]) = match function {
        "isIpv4" => (&["192.0.2.1"], &["2001:db8::1"]),
        "isIpv6" => (&["2001:db8::1"], &["192.0.2.1"]),
        "isLoopback" => (&["127.0.0.1", "::1"], &["192.0.2.1"]),
        "isMulticast" => (&["224.0.0.1", "ff00::1"], &["192.0.2.1"]),
        _ => return None,
    };
    Some(if want { yes } else { no })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_moved_by_their_smallest_step() {
        let of = |text: &str| json!({"__extn": {"fn": "decimal", "arg": text}});
        for (text, below, above) in [
            ("1.5", "1.4999", "1.5001"),
            ("0.0", "-0.0001", "0.0001"),
            ("-0.0001", "-0.0002", "0.0000"),
            ("-3.0", "-3.0001", "-2.9999"),
            ("922337203685477.5806", "922337203685477.5805", "922337203685477.5807"),
        ] {
            assert_eq!(beside_decimal(&of(text)), [of(below), of(above)], "{text}");
        }
        assert_eq!(beside_decimal(&of("-922337203685477.5808")).len(), 1);
    }
}
