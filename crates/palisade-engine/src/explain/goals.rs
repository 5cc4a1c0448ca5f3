//! Which single changes could make a condition hold, or not hold: found in what it says, verified elsewhere.

mod near;

use cedar_policy_core::ast::{
    BinaryOp, EntityUID, Expr, ExprKind, Literal, Name, PatternElem, SlotEnv, UnaryOp, Value, ValueKind, Var,
};
use serde_json::{Value as Json, json};

use super::edits::{Change, Target, json_of};
use super::groups;
use super::scene::{Gave, Scene, as_entities, as_entity};
use super::tree::{conjuncts, disjuncts};
use super::values::{self, Masks};
use crate::schema::{SchemaModel, Type};
use crate::snapshot::Snapshot;

/// Changes of one clause.
const MOST_OF_A_CLAUSE: usize = 24;

/// Changes of all clauses of one policy, where each is turned.
const MOST_OF_A_POLICY: usize = 1_024;

/// Steps of a way that could be cut, and elements of a set that something could be put into.
const MOST_PLACES: usize = 8;

/// Conditions within conditions.
const MOST_LEVELS: usize = 64;

/// What could turn conditions of one policy.
pub(super) struct Goals<'g> {
    pub snapshot: &'g Snapshot,
    pub scene: &'g Scene<'g>,
    pub slots: &'g SlotEnv,
    pub schema: Option<&'g SchemaModel>,
    pub masks: &'g Masks,
    /// The changes, in the order in which they were found.
    pub found: Vec<Change>,
    /// Whether some were left out.
    pub bounded: bool,
}

impl<'g> Goals<'g> {
    pub(super) fn new(snapshot: &'g Snapshot, scene: &'g Scene<'g>, slots: &'g SlotEnv, masks: &'g Masks) -> Self {
        let schema = snapshot.core.schema.as_deref();
        Self { snapshot, scene, slots, schema, masks, found: Vec::new(), bounded: false }
    }

    /// Changes that could make `expression` hold, or with `want` false not hold.
    pub(super) fn make(&mut self, expression: &Expr, want: bool) {
        self.within(expression, want, MOST_LEVELS);
    }

    /// Changes that could make any part of `expression` hold, and others that could make it not hold, whatever the rest gives.
    /// Parts that `of` is false for are left out.
    pub(super) fn turn_each(&mut self, expression: &Expr, of: &dyn Fn(&Expr) -> bool) {
        let mut left = vec![expression];
        while let Some(part) = left.pop() {
            if self.found.len() >= MOST_OF_A_POLICY {
                self.bounded = true;
                return;
            }
            match part.expr_kind() {
                ExprKind::And { left: a, right: b } | ExprKind::Or { left: a, right: b } => {
                    left.extend([&**b, &**a]);
                }
                ExprKind::UnaryApp { op: UnaryOp::Not, arg } => left.push(arg),
                ExprKind::If { test_expr, then_expr, else_expr } => {
                    left.extend([&**else_expr, &**then_expr, &**test_expr]);
                }
                _ if !of(part) || values::hides(part, self.masks) => {}
                _ => {
                    self.leaf(part, true);
                    self.leaf(part, false);
                }
            }
        }
    }

    fn within(&mut self, expression: &Expr, want: bool, levels: usize) {
        let Some(levels) = levels.checked_sub(1) else {
            self.bounded = true;
            return;
        };
        let is = |part: &Expr| self.scene.gives(part, self.slots).truth() == crate::model::explanation::Truth::True;
        match expression.expr_kind() {
            ExprKind::And { .. } => {
                let parts = conjuncts(expression);
                // what Cedar writes as two for one operator is looked into as well
                let parts = if parts.len() == 1 { pair(expression) } else { parts };
                let parts: Vec<&Expr> = parts.into_iter().filter(|part| is(part) != want).collect();
                parts.into_iter().for_each(|part| self.within(part, want, levels));
            }
            ExprKind::Or { .. } => {
                let parts: Vec<&Expr> = disjuncts(expression).into_iter().filter(|part| is(part) != want).collect();
                parts.into_iter().for_each(|part| self.within(part, want, levels));
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => self.within(arg, !want, levels),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                match self.scene.gives(test_expr, self.slots) {
                    Gave::Bool(true) => {
                        self.within(then_expr, want, levels);
                        self.within(test_expr, false, levels);
                    }
                    Gave::Bool(false) => {
                        self.within(else_expr, want, levels);
                        self.within(test_expr, true, levels);
                    }
                    Gave::Error(_) => {
                        self.within(test_expr, true, levels);
                        self.within(test_expr, false, levels);
                    }
                };
            }
            _ if values::hides(expression, self.masks) => {}
            _ => self.leaf(expression, want),
        }
    }

    fn leaf(&mut self, expression: &Expr, want: bool) {
        let before = self.found.len();
        let reads = values::places(expression);
        // what is read of an entity that another names: the name is not changed
        self.bounded |= reads.iter().any(|place| self.is_of_another(place));
        match expression.expr_kind() {
            ExprKind::BinaryApp { op, arg1, arg2 } => self.operator(*op, arg1, arg2, want),
            ExprKind::GetAttr { .. } => self.set(expression, want.into()),
            ExprKind::HasAttr { expr, attr } => {
                let member = Expr::get_attr(Expr::clone(expr), attr.clone());
                if want { self.give(&member) } else { self.take_away(&member) }
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                let member = attrs.iter().fold(Expr::clone(expr), |base, attr| Expr::get_attr(base, attr.clone()));
                if want { self.give(&member) } else { self.take_away(&member) }
            }
            ExprKind::Like { expr, pattern } => {
                // the shortest text that fits; and one that is hardly meant, where it should not
                let text: String = pattern
                    .iter()
                    .filter_map(|elem| match elem {
                        PatternElem::Char(c) => Some(*c),
                        PatternElem::Wildcard => None,
                    })
                    .collect();
                let others = [String::new(), "other".to_owned()];
                let other = others.into_iter().find(|text| !pattern.wildcard_match(text));
                if let Some(text) = if want { Some(text) } else { other } {
                    self.set(expr, text.into());
                }
            }
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, arg } if want => self.set(arg, json!([])),
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, arg } => {
                let element = self.element_of(arg);
                self.elements(arg, self.scene.value(arg, self.slots).ok().as_ref(), element.as_slice(), true);
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                // of the values that would do, few are tried
                self.bounded = true;
                self.call(fn_name, args, want);
            }
            _ => {}
        }
        if self.found.len() == before {
            // what this form needs is not worked out: flags that it reads are tried, and nothing else
            self.bounded |= !reads.is_empty();
            for place in reads {
                if let Gave::Bool(flag) = self.scene.gives(place, self.slots) {
                    self.set(place, json!(!flag));
                }
            }
        }
        if self.found.len() - before > MOST_OF_A_CLAUSE {
            self.found.truncate(before + MOST_OF_A_CLAUSE);
            self.bounded = true;
        }
    }

    fn operator(&mut self, op: BinaryOp, a: &Expr, b: &Expr, want: bool) {
        let value = |of: &Expr| self.scene.value(of, self.slots).ok();
        let (of_a, of_b) = (value(a), value(b));
        match op {
            BinaryOp::In => self.membership(a, b, of_a.as_ref(), of_b.as_ref(), want),
            BinaryOp::Eq if want => {
                for (place, value) in [(a, &of_b), (b, &of_a)] {
                    if let Some(json) = value.as_ref().and_then(json_of) {
                        self.solve(place, &json);
                    }
                }
            }
            BinaryOp::Eq => {
                // of all the sets and records that are others
                self.bounded |= [&of_a, &of_b]
                    .into_iter()
                    .flatten()
                    .any(|value| json_of(value).is_none_or(|json| !is_plain(&json)));
                for (place, value) in [(a, &of_b), (b, &of_a)] {
                    for other in value.as_ref().map(|value| self.others(value)).unwrap_or_default() {
                        self.solve(place, &other);
                    }
                    self.take_away(place);
                }
            }
            BinaryOp::Less | BinaryOp::LessEq => {
                // at the bound, and one step to either side of it
                for (place, bound) in [(a, &of_b), (b, &of_a)] {
                    for value in bound.as_ref().map(|bound| self.around(bound)).unwrap_or_default() {
                        self.solve(place, &value);
                    }
                }
            }
            BinaryOp::Contains => {
                let element = of_b.as_ref().and_then(json_of);
                self.elements(a, of_a.as_ref(), element.as_slice(), want);
                if want {
                    for inside in elements_of(of_a.as_ref()).iter().take(MOST_PLACES) {
                        self.set(b, inside.clone());
                    }
                } else if let Some(value) = &of_b {
                    let inside = elements_of(of_a.as_ref());
                    let beyond = near::beyond(&inside);
                    for other in self.others(value).into_iter().chain(beyond).filter(|other| !inside.contains(other)) {
                        self.set(b, other);
                    }
                }
            }
            BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                let (large, small) = (elements_of(of_a.as_ref()), elements_of(of_b.as_ref()));
                let missing: Vec<Json> = small.iter().filter(|element| !large.contains(element)).cloned().collect();
                let common: Vec<Json> = small.iter().filter(|element| large.contains(element)).cloned().collect();
                let (inside, outside) =
                    if op == BinaryOp::ContainsAll { (&missing, &common) } else { (&small, &common) };
                if want && op == BinaryOp::ContainsAll {
                    self.elements(a, of_a.as_ref(), inside, true);
                    self.set_of(b, common.clone());
                } else if want {
                    for element in inside.iter().take(MOST_PLACES) {
                        self.elements(a, of_a.as_ref(), std::slice::from_ref(element), true);
                    }
                    for element in large.iter().take(MOST_PLACES) {
                        self.elements(b, of_b.as_ref(), std::slice::from_ref(element), true);
                    }
                } else {
                    let more =
                        if op == BinaryOp::ContainsAll { self.fresh(b, &[&*large, &*small].concat()) } else { None };
                    self.elements(b, of_b.as_ref(), more.as_slice(), true);
                    for element in outside.iter().take(MOST_PLACES) {
                        self.elements(a, of_a.as_ref(), std::slice::from_ref(element), false);
                        self.elements(b, of_b.as_ref(), std::slice::from_ref(element), false);
                    }
                }
            }
            BinaryOp::HasTag => {
                let tag = Expr::get_tag(a.clone(), b.clone());
                if want { self.give(&tag) } else { self.take_away(&tag) }
            }
            BinaryOp::GetTag => self.set(&Expr::get_tag(a.clone(), b.clone()), want.into()),
            _ => {}
        }
    }

    /// `a in b`: the hierarchy changes, or what is compared.
    fn membership(&mut self, a: &Expr, b: &Expr, of_a: Option<&Value>, of_b: Option<&Value>, want: bool) {
        let Some(from) = of_a.and_then(as_entity) else {
            // what should be in it is missing: it may be the entity itself
            if let Some(target) = of_b.map(as_entities).unwrap_or_default().first().filter(|_| want) {
                self.set(a, entity_json(target));
            }
            return;
        };
        let targets = of_b.map(as_entities).unwrap_or_default();
        if want {
            for target in targets.iter().take(MOST_PLACES) {
                if !self.may_be_above(&from, target) {
                    continue;
                }
                for group in groups::leading_to(self.snapshot, self.scene, &from, target) {
                    self.push(Change::Join { entity: from.clone(), group, wanted: target.clone() });
                }
                self.push(Change::AddParent(from.clone(), target.clone()));
            }
            self.bounded |= targets.len() > MOST_PLACES;
            let above = self.scene.way(&from, &[]).path.len();
            if above > 0 {
                let is_set = of_b.is_some_and(|value| matches!(value.value_kind(), ValueKind::Set(_)));
                if is_set || of_b.is_none() && self.is_set(b) {
                    for entity in self.scene.above(&from, MOST_PLACES).0 {
                        self.elements(b, of_b, &[entity_json(&entity)], true);
                    }
                } else {
                    for entity in self.scene.above(&from, MOST_PLACES).0 {
                        self.set(b, entity_json(&entity));
                    }
                }
            }
            for target in targets.iter().take(MOST_PLACES) {
                self.set(a, entity_json(target));
            }
            return;
        }
        for target in targets.iter().take(MOST_PLACES) {
            for (below, parent) in self.edges(&from, target) {
                self.push(Change::RemoveParent(below, parent));
            }
            if self.scene.way(&from, std::slice::from_ref(target)).holds {
                self.elements(b, of_b, &[entity_json(target)], false);
                for other in self.others(&Value::from(target.clone())) {
                    self.set(b, other);
                }
            }
        }
        self.take_away(a);
        self.take_away(b);
        for other in of_a.map(|value| self.others(value)).unwrap_or_default() {
            self.set(a, other);
        }
    }

    /// Whether the schema allows it.
    fn may_be_above(&self, from: &EntityUID, target: &EntityUID) -> bool {
        self.schema.is_none_or(|schema| groups::may_be_above(schema, from, target))
    }

    /// The steps of the shortest way to a target.
    fn edges(&self, from: &EntityUID, target: &EntityUID) -> Vec<(EntityUID, EntityUID)> {
        let mut found = Vec::new();
        let mut at = from.clone();
        while at != *target && found.len() < MOST_PLACES {
            let parents = self.scene.parents(&at);
            let next = parents
                .into_iter()
                .find(|parent| parent == target || self.scene.way(parent, std::slice::from_ref(target)).holds);
            let Some(next) = next else { break };
            found.push((at, next.clone()));
            at = next;
        }
        found
    }

    /// A method of an extension type.
    fn call(&mut self, function: &Name, args: &[Expr], want: bool) {
        let [a, b] = args else {
            for address in args.first().and(near::addresses(&function.to_string(), want)).unwrap_or_default() {
                self.set(&args[0], json!({"__extn": {"fn": "ip", "arg": address}}));
            }
            return;
        };
        let (of_a, of_b) = (self.scene.value(a, self.slots).ok(), self.scene.value(b, self.slots).ok());
        match function.to_string().as_str() {
            "isInRange" if want => {
                if let Some(json) = of_b.as_ref().and_then(json_of) {
                    self.set(a, json);
                }
                if let Some(json) = of_a.as_ref().and_then(json_of) {
                    self.set(b, json);
                }
            }
            "isInRange" => {
                for address in ["192.0.2.1", "2001:db8::1"] {
                    self.set(a, json!({"__extn": {"fn": "ip", "arg": address}}));
                }
            }
            "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => {
                for (place, bound) in [(a, &of_b), (b, &of_a)] {
                    for value in bound.as_ref().map(|bound| self.around(bound)).unwrap_or_default() {
                        self.set(place, value);
                    }
                }
            }
            _ => {}
        }
    }

    /// Sets what stands at `place`, if it is a place.
    fn set(&mut self, place: &Expr, value: Json) {
        if let Some(target) = self.target(place) {
            self.push(Change::Set(target, Some(value)));
        }
    }

    fn set_of(&mut self, place: &Expr, elements: Vec<Json>) {
        self.set(place, Json::Array(elements));
    }

    fn take_away(&mut self, place: &Expr) {
        if self.scene.value(place, self.slots).is_ok()
            && let Some(target) = self.target(place)
        {
            self.push(Change::Set(target, None));
        }
    }

    /// Puts something where nothing is: what the schema allows there.
    fn give(&mut self, place: &Expr) {
        let Some(target) = self.target(place) else { return };
        let samples = self.type_of(&target).map_or_else(|| vec![json!(true)], |ty| self.samples(ty));
        for sample in samples {
            self.push(Change::Set(target.clone(), Some(sample)));
        }
    }

    /// Entities of a type: those of the request, or else some that are stored.
    fn some_of_type(&self, name: &str) -> Vec<EntityUID> {
        let found = self.of_type(name);
        if found.is_empty() { self.scene.stored_of_type(name, 2) } else { found }
    }

    /// Entities of the request that are of a type.
    fn of_type(&self, name: &str) -> Vec<EntityUID> {
        let all = [Var::Principal, Var::Resource].into_iter().filter_map(|variable| self.scene.of(variable));
        all.filter(|uid| uid.entity_type().to_string() == name).cloned().collect()
    }

    fn type_of(&self, target: &Target) -> Option<&Type> {
        let schema = self.schema?;
        let (members, path) = match target {
            Target::Attribute(entity, path) => {
                (&schema.entity_type(&entity.entity_type().to_string())?.attributes, path.as_slice())
            }
            Target::Tag(entity, _) => return schema.entity_type(&entity.entity_type().to_string())?.tags.as_ref(),
            Target::Context(path) => {
                (schema.context(&super::scene::plain(self.scene.of(Var::Action)?))?, path.as_slice())
            }
        };
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(&members.get(first)?.ty, |ty, name| match ty {
            Type::Record(members) => Some(&members.get(name)?.ty),
            _ => None,
        })
    }

    /// Whether a place is of an entity that the request does not name itself: an attribute names it.
    fn is_of_another(&self, place: &Expr) -> bool {
        let mut at = place;
        while let ExprKind::GetAttr { expr, .. } = at.expr_kind() {
            if self.target(expr).is_some() && self.scene.entity(expr, self.slots).is_some() {
                return true;
            }
            at = expr;
        }
        false
    }

    fn is_set(&self, place: &Expr) -> bool {
        self.target(place).is_some_and(|target| matches!(self.type_of(&target), Some(Type::Set(_))))
    }

    /// Adds elements to a set, or takes some out of it.
    fn elements(&mut self, place: &Expr, now: Option<&Value>, elements: &[Json], added: bool) {
        let Some(target) = self.target(place) else { return };
        let mut value = elements_of(now);
        if added {
            value.extend(elements.iter().filter(|element| !value.contains(element)).cloned().collect::<Vec<_>>());
        } else {
            value.retain(|known| !elements.contains(known));
        }
        self.push(Change::Elements { target, value: Json::Array(value), elements: elements.to_vec(), added });
    }

    /// Where the value of an expression stands, if it stands somewhere.
    pub(super) fn target(&self, place: &Expr) -> Option<Target> {
        match place.expr_kind() {
            ExprKind::GetAttr { expr, attr } => {
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                    return Some(Target::Context(vec![attr.to_string()]));
                }
                if let Some(entity) = self.scene.entity(expr, self.slots) {
                    return Some(Target::Attribute(entity, vec![attr.to_string()]));
                }
                match self.target(expr)? {
                    Target::Context(path) => Some(Target::Context(with(path, attr))),
                    Target::Attribute(entity, path) => Some(Target::Attribute(entity, with(path, attr))),
                    Target::Tag(..) => None,
                }
            }
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => {
                let entity = self.scene.entity(arg1, self.slots)?;
                match self.scene.value(arg2, self.slots).ok()?.value_kind() {
                    ValueKind::Lit(Literal::String(key)) => Some(Target::Tag(entity, key.to_string())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn push(&mut self, change: Change) {
        if !self.found.contains(&change) {
            self.found.push(change);
        }
    }
}

/// Whether it is no set and no record, of which there are many others.
fn is_plain(value: &Json) -> bool {
    !value.is_array() && (!value.is_object() || value.get("__entity").is_some())
}

/// The two sides of a `&&` that Cedar made of one operator.
fn pair(expression: &Expr) -> Vec<&Expr> {
    match expression.expr_kind() {
        ExprKind::And { left, right } => vec![left, right],
        _ => Vec::new(),
    }
}

fn with(mut path: Vec<String>, name: &str) -> Vec<String> {
    path.push(name.to_owned());
    path
}

/// A reference to an entity in Cedar's JSON form.
pub(super) fn entity_json(uid: &EntityUID) -> Json {
    let uid = super::scene::plain(uid);
    json!({"__entity": {"type": uid.type_name, "id": uid.id}})
}

fn elements_of(value: Option<&Value>) -> Vec<Json> {
    match value.map(Value::value_kind) {
        Some(ValueKind::Set(set)) => set.iter().filter_map(json_of).collect(),
        _ => Vec::new(),
    }
}
