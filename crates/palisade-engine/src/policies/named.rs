//! What policies name, collected one tree at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, Effect, EntityReference, EntityUID, Expr, ExprKind, Literal,
    PrincipalOrResourceConstraint as Constraint, SlotId, Template,
};

use crate::model::{Diagnostic, Link, PolicyId};
use crate::site::Site;

/// How many names are kept of each kind. What comes after them is counted.
pub(crate) const MAX_NAMES: usize = 100_000;

/// How many policies that allow everything are kept. What comes after them is counted.
const MAX_KEPT: usize = 25;

/// Where a policy names something.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    origin: Arc<str>,
    text: Option<(Arc<str>, usize)>,
    line: Option<usize>,
    /// The policy or link.
    pub(crate) policy: String,
}

/// What is named at the first place, and by how many policies.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) spot: Spot,
    pub(crate) policies: usize,
    /// The last of them, so that one that names it twice is counted once.
    last: String,
}

/// What the policies of a bundle name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Every entity but actions.
    pub(crate) entities: HashMap<EntityUID, Mention>,
    /// Names that were not kept.
    pub(crate) more: usize,
    /// What policies can only be about: their scope says `==`.
    pub(crate) only: Vec<(EntityUID, Spot)>,
    /// Policies that allow everything: the first ones, and how many more there are.
    pub(crate) everything: (Vec<Spot>, usize),
    /// Actions that scopes name, and whether some scope is of any action.
    pub(crate) scoped: HashSet<EntityUID>,
    pub(crate) any: bool,
    /// Actions that policies name anywhere.
    pub(crate) actions: HashSet<EntityUID>,
}

impl Spot {
    fn of(template: &Template, site: &Site, at: Option<&EntityUID>, policy: &str) -> Self {
        // the tree counts from where it was parsed
        let start = template.loc().map(|loc| site.span.start.saturating_sub(loc.span.offset()));
        let offset = |uid: &EntityUID| Some(start? + uid.loc()?.span.offset());
        let at = at.and_then(offset).unwrap_or(site.span.start);
        // in the JSON form nothing has a place
        let text = start.map(|_| (site.source.clone(), at));
        Self { origin: site.origin.clone(), text, line: site.line, policy: policy.to_owned() }
    }

    fn of_link(link: &Link, origin: &str) -> Self {
        let (origin, line) = match &link.written {
            Some(place) => (&*place.origin, place.line),
            None => (origin, None),
        };
        Self { origin: origin.into(), text: None, line, policy: link.link_id.clone() }
    }

    /// What to sort by: the order of the texts.
    pub(crate) fn order(&self) -> (Arc<str>, usize, Option<usize>) {
        (self.origin.clone(), self.text.as_ref().map_or(0, |(_, at)| *at), self.line)
    }

    /// A finding there.
    pub(crate) fn finding(&self, message: impl Into<String>) -> Diagnostic {
        let found = Diagnostic::error(&*self.origin, message).policy(&self.policy);
        match &self.text {
            Some((text, at)) => found.at(text, *at),
            None => Diagnostic { line: self.line, ..found },
        }
    }
}

impl Named {
    /// Adds what a policy or template names.
    pub(crate) fn policy(&mut self, template: &Template, site: &Site, id: &PolicyId) {
        let spot = |at: Option<&EntityUID>| Spot::of(template, site, at, id);
        let scopes = [template.principal_constraint().as_inner(), template.resource_constraint().as_inner()];
        for scope in scopes {
            if let Some((EntityReference::EUID(uid), is_only)) = reference(scope) {
                self.name(uid, &spot);
                self.demand(is_only, uid, &spot);
            }
        }
        let of_action: &[Arc<EntityUID>] = match template.action_constraint() {
            ActionConstraint::Any => &[],
            ActionConstraint::In(uids) => uids,
            ActionConstraint::Eq(uid) => std::slice::from_ref(uid),
        };
        let is_permit = template.effect() == Effect::Permit;
        self.any |= matches!(template.action_constraint(), ActionConstraint::Any);
        for uid in of_action {
            self.name(uid, &spot);
            if self.scoped.len() < MAX_NAMES {
                self.scoped.insert(EntityUID::clone(uid));
            }
        }
        for expression in template.non_scope_constraints().into_iter().flat_map(Expr::subexpressions) {
            if let ExprKind::Lit(Literal::EntityUID(uid)) = expression.expr_kind() {
                self.name(uid, &spot);
            }
        }
        let is_bare = template.non_scope_constraints().is_none()
            && matches!(template.action_constraint(), ActionConstraint::Any)
            && scopes.iter().all(|scope| matches!(scope, Constraint::Any));
        if is_permit && is_bare {
            let (first, more) = &mut self.everything;
            if first.len() < MAX_KEPT { first.push(spot(None)) } else { *more += 1 }
        }
    }

    /// Adds what a link fills the slots of its template with.
    pub(crate) fn link(&mut self, scope: &Template, link: &Link, origin: &str, values: &HashMap<SlotId, EntityUID>) {
        let spot = |_: Option<&EntityUID>| Spot::of_link(link, origin);
        let scopes = [
            (scope.principal_constraint().as_inner(), SlotId::principal()),
            (scope.resource_constraint().as_inner(), SlotId::resource()),
        ];
        for (scope, slot) in scopes {
            if let (Some((EntityReference::Slot(_), is_only)), Some(uid)) = (reference(scope), values.get(&slot)) {
                self.name(uid, &spot);
                self.demand(is_only, uid, &spot);
            }
        }
    }

    fn name(&mut self, uid: &EntityUID, spot: &dyn Fn(Option<&EntityUID>) -> Spot) {
        if uid.entity_type().is_action() {
            if self.actions.len() < MAX_NAMES {
                self.actions.insert(uid.clone());
            }
            return;
        }
        if let Some(mention) = self.entities.get_mut(uid) {
            let policy = spot(None).policy;
            if mention.last != policy {
                (mention.policies, mention.last) = (mention.policies + 1, policy);
            }
        } else if self.entities.len() < MAX_NAMES {
            let spot = spot(Some(uid));
            let last = spot.policy.clone();
            self.entities.insert(uid.clone(), Mention { spot, policies: 1, last });
        } else {
            self.more += 1;
        }
    }

    fn demand(&mut self, is_only: bool, uid: &EntityUID, spot: &dyn Fn(Option<&EntityUID>) -> Spot) {
        if is_only && self.only.len() < MAX_NAMES {
            self.only.push((uid.clone(), spot(Some(uid))));
        }
    }
}

/// What a scope refers to, and whether it must be that very entity.
fn reference(scope: &Constraint) -> Option<(&EntityReference, bool)> {
    match scope {
        Constraint::Any | Constraint::Is(_) => None,
        Constraint::Eq(reference) => Some((reference, true)),
        Constraint::In(reference) | Constraint::IsIn(_, reference) => Some((reference, false)),
    }
}
