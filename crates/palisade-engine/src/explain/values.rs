//! What clauses read, and values as texts.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, SlotEnv, Value, ValueKind, Var};

use super::scene::{Scene, shown};
use crate::model::explanation::ReadValue;
use crate::model::uid::is_type_name;

/// Reads of one clause that are shown.
const MOST_READS: usize = 8;

/// Elements of a set, and members of a record, that are shown.
const MOST_ELEMENTS: usize = 8;

/// The longest text of a value that is shown, in bytes.
const LONGEST_VALUE: usize = 400;

/// Levels of a value that are shown.
const MOST_LEVELS: usize = 4;

/// Nodes of an expression that are looked at.
const MOST_NODES: usize = 2_000;

/// Which members of the context are hidden: the steps of each path, `None` for any.
pub(super) type Masks = [Vec<Option<String>>];

/// The attributes and tags that `expression` reads, each once, with what they are.
pub(super) fn reads(scene: &Scene<'_>, expression: &Expr, slots: &SlotEnv, masks: &Masks) -> Vec<ReadValue> {
    let mut found: Vec<ReadValue> = Vec::new();
    walk(expression, &mut |read| {
        let Some(path) = Path::of(read) else { return };
        let text = path.to_string();
        if found.len() >= MOST_READS || found.iter().any(|known| known.path == text) {
            return;
        }
        let left = match path.root {
            Var::Context => masks.iter().map(Vec::as_slice).collect(),
            _ => Vec::new(),
        };
        let hidden = path.steps.iter().try_fold(left, |left, step| below(&left, step));
        // a tag may be named by what is masked
        let hidden = hidden.filter(|_| path.root == Var::Context || !hides(read, masks));
        let (value, masked) = match hidden {
            None => (None, true),
            Some(left) => (path.value(scene, read, slots).map(|value| text_of(&value, &left)), false),
        };
        found.push(ReadValue { path: text, value, masked });
    });
    found
}

/// Whether `expression` may read something of the context that is hidden, or that has something hidden in it: all of the
/// context that is no plain chain of names beside what is masked.
pub(super) fn hides(expression: &Expr, masks: &Masks) -> bool {
    let mut left = if masks.is_empty() { Vec::new() } else { vec![expression] };
    for _ in 0..MOST_NODES {
        let Some(next) = left.pop() else { return false };
        if let Some(names) = names_in_context(next) {
            let all = masks.iter().map(Vec::as_slice).collect();
            let touched = names.iter().try_fold(all, |left: Vec<_>, name| below(&left, name));
            if touched.is_none_or(|touched| !touched.is_empty()) {
                return true;
            }
        } else {
            left.extend(operands(next));
        }
    }
    // what was not looked at may be anything
    !left.is_empty()
}

/// The names of a chain of attributes from the context on, at least none: `context.a.b` or `context`.
fn names_in_context(expression: &Expr) -> Option<Vec<&str>> {
    let (base, last): (&Expr, Vec<&str>) = match expression.expr_kind() {
        ExprKind::Var(Var::Context) => return Some(Vec::new()),
        ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => (expr, vec![attr.as_str()]),
        ExprKind::ExtHasAttr { expr, attrs } => (expr, attrs.iter().map(|attr| attr.as_str()).collect()),
        _ => return None,
    };
    let mut names = names_in_context(base)?;
    names.extend(last);
    Some(names)
}

/// What is left of paths behind a step; `None` where one of them ends there.
fn below<'m>(masks: &[&'m [Option<String>]], step: &str) -> Option<Vec<&'m [Option<String>]>> {
    let mut left = Vec::new();
    for mask in masks {
        match mask.split_first() {
            Some((Some(name), _)) if name != step => {}
            Some((_, [])) => return None,
            Some((_, rest)) => left.push(rest),
            None => {}
        }
    }
    Some(left)
}

/// The attributes and tags that `expression` reads.
pub(super) fn places(expression: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    walk(expression, &mut |place| found.push(place));
    found.truncate(MOST_READS);
    found
}

/// Shows every longest chain of reads to `found`.
fn walk<'e>(expression: &'e Expr, found: &mut dyn FnMut(&'e Expr)) {
    let mut left = vec![expression];
    for _ in 0..MOST_NODES {
        let Some(next) = left.pop() else { return };
        if Path::of(next).is_some() {
            found(next);
            continue;
        }
        left.extend(operands(next));
    }
}

/// What an expression is made of, the last first.
fn operands(expression: &Expr) -> Vec<&Expr> {
    match expression.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => vec![&**else_expr, then_expr, test_expr],
        ExprKind::And { left: a, right: b }
        | ExprKind::Or { left: a, right: b }
        | ExprKind::BinaryApp { arg1: a, arg2: b, .. } => vec![&**b, a],
        ExprKind::UnaryApp { arg: a, .. }
        | ExprKind::GetAttr { expr: a, .. }
        | ExprKind::HasAttr { expr: a, .. }
        | ExprKind::ExtHasAttr { expr: a, .. }
        | ExprKind::Like { expr: a, .. }
        | ExprKind::Is { expr: a, .. } => vec![&**a],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().rev().collect(),
        ExprKind::Set(elements) => elements.iter().rev().collect(),
        ExprKind::Record(members) => members.values().rev().collect(),
        _ => Vec::new(),
    }
}

/// A chain of reads from one of the request's four parts.
struct Path {
    root: Var,
    /// As a policy writes them behind the root.
    written: String,
    /// The names of attributes.
    steps: Vec<String>,
    /// Whether it only asks whether the last one is there.
    has: bool,
}

impl Path {
    fn of(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::HasAttr { expr, attr } => Self::base(expr)?.then(attr).asked(),
            ExprKind::ExtHasAttr { expr, attrs } => {
                attrs.iter().try_fold(Self::base(expr)?, |path, attr| Some(path.then(attr)))?.asked()
            }
            ExprKind::GetAttr { expr, attr } => Some(Self::base(expr)?.then(attr)),
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => Some(Self::base(arg1)?.tag(arg2)?),
            ExprKind::BinaryApp { op: BinaryOp::HasTag, arg1, arg2 } => Self::base(arg1)?.tag(arg2)?.asked(),
            _ => None,
        }
    }

    fn base(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::Var(root) => Some(Self { root: *root, written: String::new(), steps: Vec::new(), has: false }),
            ExprKind::GetAttr { .. } | ExprKind::BinaryApp { op: BinaryOp::GetTag, .. } => Self::of(expression),
            _ => None,
        }
    }

    fn asked(self) -> Option<Self> {
        Some(Self { has: true, ..self })
    }

    fn then(mut self, attribute: &str) -> Self {
        let plain = !attribute.contains(':') && is_type_name(attribute);
        self.written += &if plain { format!(".{attribute}") } else { format!("[{attribute:?}]") };
        self.steps.push(attribute.to_owned());
        self
    }

    fn tag(mut self, key: &Expr) -> Option<Self> {
        self.written += &match key.expr_kind() {
            ExprKind::Lit(Literal::String(key)) => format!(".getTag({key:?})"),
            _ => format!(".getTag({})", Self::of(key)?),
        };
        Some(self)
    }

    /// What stands there, if anything does.
    fn value(&self, scene: &Scene<'_>, expression: &Expr, slots: &SlotEnv) -> Option<Value> {
        if !self.has {
            return scene.value(expression, slots).ok();
        }
        let get = match expression.expr_kind() {
            ExprKind::HasAttr { expr, attr } => Expr::get_attr(Expr::clone(expr), attr.clone()),
            ExprKind::ExtHasAttr { expr, attrs } => {
                attrs.iter().fold(Expr::clone(expr), |base, attr| Expr::get_attr(base, attr.clone()))
            }
            ExprKind::BinaryApp { arg1, arg2, .. } => Expr::get_tag(Expr::clone(arg1), Expr::clone(arg2)),
            _ => return None,
        };
        scene.value(&get, slots).ok()
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.root, self.written)
    }
}

/// A value in Cedar's syntax, cut where it is long.
pub(super) fn text_of(value: &Value, masks: &[&[Option<String>]]) -> String {
    let mut out = String::new();
    write(value, masks, MOST_LEVELS, &mut out);
    super::source::short(&out, LONGEST_VALUE)
}

fn write(value: &Value, masks: &[&[Option<String>]], levels: usize, out: &mut String) {
    match value.value_kind() {
        _ if levels == 0 || out.len() > LONGEST_VALUE => out.push('…'),
        ValueKind::Lit(Literal::EntityUID(uid)) => *out += &shown(uid),
        ValueKind::Lit(Literal::String(text)) => {
            *out += &format!("\"{}\"", super::source::short(text, LONGEST_VALUE).escape_debug());
        }
        ValueKind::Set(set) => {
            out.push('[');
            for (i, element) in set.iter().enumerate() {
                if i > 0 {
                    *out += ", ";
                }
                if i == MOST_ELEMENTS {
                    *out += &format!("… {} more", set.len() - i);
                    break;
                }
                write(element, masks, levels - 1, out);
            }
            out.push(']');
        }
        ValueKind::Record(members) => {
            out.push('{');
            for (i, (name, member)) in members.iter().enumerate() {
                if i > 0 {
                    *out += ", ";
                }
                if i == MOST_ELEMENTS {
                    *out += &format!("… {} more", members.len() - i);
                    break;
                }
                *out += &format!("{name:?}: ");
                match below(masks, name) {
                    None => *out += "***",
                    Some(left) => write(member, &left, levels - 1, out),
                }
            }
            out.push('}');
        }
        _ => *out += &plainly(value.to_string()),
    }
}

/// The store knows a time as a number, of which Cedar makes a sum; here it is a date again.
fn plainly(text: String) -> String {
    let sum = text.strip_prefix("(datetime(\"1970-01-01\")).offset(duration(\"");
    let sum = sum.or_else(|| text.strip_prefix("datetime(\"1970-01-01\").offset(duration(\""));
    let milliseconds = sum.and_then(|rest| rest.strip_suffix("ms\"))")?.parse().ok());
    match milliseconds.and_then(crate::ext::datetime_text) {
        Some(date) => format!("datetime(\"{date}\")"),
        None => text,
    }
}
