//! What it costs to validate a policy, computed from its tree and the schema before anything is validated.
//!
//! A step is what Cedar's type checker takes for a small expression, some 0.25 µs. For each pair of a principal and a
//! resource type of each action it looks at the scope, and where that may hold at the conditions. There the
//! findings of `has` are carried through `&&` and `||` (see [`carried`]), and types as large as records are compared
//! member by member. For a name that the schema lacks it looks for the most similar one.

mod carried;

use std::collections::HashMap;

use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, EntityReference, EntityType, EntityUID, Expr, ExprKind, Literal,
    PrincipalOrResourceConstraint as Constraint, Template, Var,
};
use cedar_policy_core::validator::types::{Attributes, Type};
use cedar_policy_core::validator::{ValidatorActionId, ValidatorSchema};

/// Steps that the scope takes for a pair of types.
const SCOPE: u64 = 5;

/// What validating one policy costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// In all.
    pub steps: u64,
    /// Pairs of types for which the conditions are looked at.
    pub pairs: u64,
    /// Steps that the conditions take for each.
    pub size: u64,
}

/// What a schema makes policies cost.
#[derive(Debug)]
pub(crate) struct Steps {
    all: Reach,
    /// What each action reaches, alone and with those in it.
    of_action: HashMap<EntityUID, (Reach, Reach)>,
    types: u64,
    /// In how many types each type can be, those that can be in none left out; and the most of them.
    above: HashMap<String, u64>,
    most_above: u64,
    /// How large the values of attributes are that have this name, at most.
    members: HashMap<String, u64>,
    /// The same of any context as a whole, and of any tag.
    context: u64,
    tags: u64,
    known: std::collections::HashSet<String>,
    /// How long it takes to look for a name that is like another: among all types and actions, and among the attributes
    /// of the type that has most of them. See [`likeness`].
    names: u64,
    attributes: u64,
}

/// Pairs of types of some actions.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    actions: u64,
    principals: u64,
    resources: u64,
    pairs: u64,
    /// Pairs of types, each once for each type that a slot of its principal may have, of its resource, and of both.
    of_principal: u64,
    of_resource: u64,
    of_both: u64,
}

impl Reach {
    fn add(&mut self, other: Self) {
        self.actions += other.actions;
        self.principals += other.principals;
        self.resources += other.resources;
        self.pairs += other.pairs;
        self.of_principal += other.of_principal;
        self.of_resource += other.of_resource;
        self.of_both += other.of_both;
    }
}

/// What the conditions of a policy consist of.
#[derive(Debug, Default)]
struct Parts {
    nodes: u64,
    /// Expressions that join or compare the types of others.
    joins: u64,
    record_members: u64,
    /// The largest type of a value that is read.
    largest: u64,
    /// Names of types and actions that the schema does not have, and names of members: Cedar looks for similar ones.
    unknown: u64,
    accesses: u64,
}

/// What a name adds where it is compared with others that may be meant. Two names take the product of both, in
/// sixteenths of a step.
fn likeness(name: &str) -> u64 {
    8 + name.len() as u64
}

impl Steps {
    /// Reads the schema.
    pub(crate) fn new(schema: &ValidatorSchema) -> Self {
        let mut above: HashMap<String, u64> = HashMap::new();
        for ty in schema.entity_types() {
            ty.descendants.iter().for_each(|below| *above.entry(below.to_string()).or_default() += 1);
        }
        let slotted = |ty: &EntityType| above.get(&ty.to_string()).copied().unwrap_or_default() + 1;
        let own = |action: &ValidatorActionId| {
            let principals = action.applies_to_principals().count() as u64;
            let resources = action.applies_to_resources().count() as u64;
            let of_principals: u64 = action.applies_to_principals().map(slotted).sum();
            let of_resources: u64 = action.applies_to_resources().map(slotted).sum();
            Reach {
                actions: 1,
                principals,
                resources,
                pairs: principals * resources,
                of_principal: of_principals * resources,
                of_resource: principals * of_resources,
                of_both: of_principals * of_resources,
            }
        };
        let single: HashMap<&EntityUID, Reach> =
            schema.action_ids().map(|action| (action.name(), own(action))).collect();
        let mut steps = Self {
            all: Reach::default(),
            of_action: HashMap::new(),
            types: 0,
            above: HashMap::new(),
            most_above: 0,
            members: HashMap::new(),
            context: 1,
            tags: 1,
            known: std::collections::HashSet::new(),
            names: 0,
            attributes: 0,
        };
        for action in schema.action_ids() {
            let alone = own(action);
            let mut reach = alone;
            steps.all.add(alone);
            action.descendants().filter_map(|below| single.get(below)).for_each(|below| reach.add(*below));
            steps.of_action.insert(action.name().clone(), (alone, reach));
            steps.names += likeness(AsRef::<str>::as_ref(action.name().eid()));
            if let Some(Type::Record { attrs, .. }) = action.context() {
                steps.context = steps.context.max(steps.record(attrs));
            }
        }
        for ty in schema.entity_types() {
            steps.types += 1;
            let name = ty.name().to_string();
            steps.names += likeness(&name);
            steps.known.insert(name);
            steps.record(ty.attributes());
            if let Some(tags) = ty.tag_type() {
                steps.tags = steps.tags.max(steps.size(tags));
            }
        }
        steps.most_above = above.values().copied().max().unwrap_or(0);
        steps.above = above;
        steps
    }

    /// The size of a record's type. Notes those of its members.
    ///
    /// Recurses with the nesting of types, which is bounded.
    fn record(&mut self, attributes: &Attributes) -> u64 {
        let mut size = 1;
        let names = attributes.iter().map(|(name, _)| likeness(name)).sum();
        self.attributes = self.attributes.max(names);
        for (name, attribute) in attributes.iter() {
            let member = self.size(&attribute.attr_type);
            size += member;
            if member > 1 {
                let known = self.members.entry(name.to_string()).or_insert(1);
                *known = member.max(*known);
            }
        }
        size
    }

    fn size(&mut self, ty: &Type) -> u64 {
        match ty {
            Type::Record { attrs, .. } => self.record(attrs),
            Type::Set { element_type: Some(element) } => 1 + self.size(element),
            _ => 1,
        }
    }

    /// What a policy or template costs.
    pub(crate) fn policy(&self, template: &Template) -> Cost {
        let condition = template.condition();
        let parts = self.parts(&condition);
        let (principal, resource) =
            (template.principal_constraint().as_inner(), template.resource_constraint().as_inner());
        let mut listed = 0;
        let reach = match template.action_constraint() {
            ActionConstraint::Any => self.all,
            ActionConstraint::Eq(action) => self.of_action.get(&**action).map_or_else(Reach::default, |of| of.0),
            ActionConstraint::In(actions) => {
                listed = actions.len() as u64;
                let mut reach = Reach::default();
                actions.iter().filter_map(|action| self.of_action.get(&**action)).for_each(|of| reach.add(of.1));
                reach
            }
        };
        let slots = self.slots(principal).saturating_mul(self.slots(resource));
        let pairs = match (is_single(principal), is_single(resource)) {
            (false, false) => reach.pairs,
            (true, false) => reach.resources,
            (false, true) => reach.principals,
            (true, true) => reach.actions,
        };
        let pairs = pairs.min(self.all.pairs).saturating_mul(slots);
        let largest = parts.largest.max(parts.record_members);
        let size =
            parts.nodes.saturating_add(parts.joins.saturating_mul(largest)).saturating_add(carried::steps(&condition));
        let scoped = match (is_slot(principal), is_slot(resource)) {
            (false, false) => self.all.pairs,
            (true, false) => self.all.of_principal,
            (false, true) => self.all.of_resource,
            (true, true) => self.all.of_both,
        };
        let scopes = scoped.saturating_mul(SCOPE + listed);
        // for the types that each slot may have, all types are looked at, some eight a step
        let looks = if slots > 1 { self.all.pairs.saturating_mul(self.types / 8) } else { 0 };
        let fit = (self.types + reach.principals + reach.resources) / 4;
        // for one pair: where more of them fail, each is counted then
        let alike =
            parts.unknown.saturating_mul(self.names).saturating_add(parts.accesses.saturating_mul(self.attributes));
        let alike = alike / 16;
        let steps = [scopes, looks, fit, alike, pairs.saturating_mul(size), 1];
        Cost { steps: steps.into_iter().fold(0, u64::saturating_add), pairs, size }
    }

    /// What it takes to find a member that may be meant, where one is missing.
    pub(crate) fn search(&self) -> u64 {
        self.attributes
    }

    /// For how many types of a slot each pair is looked at.
    fn slots(&self, constraint: &Constraint) -> u64 {
        match constraint {
            Constraint::In(EntityReference::Slot(_)) => self.most_above + 1,
            Constraint::IsIn(ty, EntityReference::Slot(_)) => {
                self.above.get(&ty.to_string()).copied().unwrap_or_default() + 1
            }
            _ => 1,
        }
    }

    fn parts(&self, condition: &Expr) -> Parts {
        let mut parts = Parts { largest: 1, ..Parts::default() };
        // a member access names the context once itself
        let mut whole_context = 0_i64;
        let on_context = |expr: &Expr| i64::from(matches!(expr.expr_kind(), ExprKind::Var(Var::Context)));
        for expression in condition.subexpressions() {
            parts.nodes += 1;
            match expression.expr_kind() {
                ExprKind::Lit(Literal::EntityUID(uid)) => {
                    let unknown = if uid.is_action() {
                        !self.of_action.contains_key(&**uid)
                    } else {
                        !self.known.contains(&uid.entity_type().to_string())
                    };
                    if unknown {
                        let name = if uid.is_action() { uid.to_string() } else { uid.entity_type().to_string() };
                        parts.unknown += likeness(&name);
                    }
                }
                ExprKind::Is { entity_type, .. } => {
                    let name = entity_type.to_string();
                    if !self.known.contains(&name) {
                        parts.unknown += likeness(&name);
                    }
                }
                ExprKind::Var(Var::Context) => whole_context += 1,
                ExprKind::GetAttr { expr, attr } => {
                    whole_context -= on_context(expr);
                    parts.accesses += likeness(attr);
                    parts.largest = parts.largest.max(self.members.get(attr.as_str()).copied().unwrap_or(1));
                }
                ExprKind::HasAttr { expr, .. } => whole_context -= on_context(expr),
                ExprKind::ExtHasAttr { expr, attrs } => {
                    whole_context -= on_context(expr);
                    parts.nodes += attrs.len() as u64;
                }
                ExprKind::BinaryApp { op, arg2, .. } => match op {
                    // the type of the tags is looked at each time
                    BinaryOp::HasTag => parts.nodes += self.tags / 4,
                    BinaryOp::GetTag => {
                        parts.nodes += self.tags / 4;
                        parts.largest = parts.largest.max(self.tags);
                    }
                    BinaryOp::In => {
                        parts.joins += 1;
                        parts.nodes += self.below(arg2) / 16;
                    }
                    BinaryOp::Eq | BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                        parts.joins += 1;
                    }
                    _ => {}
                },
                ExprKind::If { .. } => parts.joins += 1,
                ExprKind::Set(elements) => parts.joins += elements.len() as u64,
                ExprKind::Record(members) => parts.record_members += members.len() as u64,
                _ => {}
            }
        }
        if whole_context > 0 {
            parts.largest = parts.largest.max(self.context);
        }
        parts
    }
}

impl Steps {
    /// How many actions are in those that an expression names.
    fn below(&self, group: &Expr) -> u64 {
        match group.expr_kind() {
            ExprKind::Lit(Literal::EntityUID(uid)) => self.of_action.get(&**uid).map_or(0, |of| of.1.actions),
            ExprKind::Set(elements) => elements.iter().map(|element| self.below(element)).sum(),
            _ => 0,
        }
    }
}

/// Whether a scope has a slot that may be of any type that the principal or the resource can be in.
fn is_slot(constraint: &Constraint) -> bool {
    matches!(constraint, Constraint::In(EntityReference::Slot(_)) | Constraint::IsIn(_, EntityReference::Slot(_)))
}

/// Whether a scope can hold for one type alone.
fn is_single(constraint: &Constraint) -> bool {
    matches!(constraint, Constraint::Eq(EntityReference::EUID(_)) | Constraint::Is(_) | Constraint::IsIn(..))
}
