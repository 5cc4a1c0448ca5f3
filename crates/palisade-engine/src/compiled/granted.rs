//! Templates as the grants of the data use them: compiled once, with their slots left open, and run with what a grant fills
//! them with.
//!
//! A check looks at the grants that are filed under its entities and those above them, and at those templates of a grant
//! whose action holds. Of grants that fill both slots it takes the side that has fewer.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::candidates::Lineage;
use super::env::Env;
use super::index::{Actions, Scopes};
use super::misses::{Distance, Lineages};
use super::{CompiledSet, Condition};
use crate::broken::broken;
use crate::derived::{Filed, Grants, Kind, List, MadeLink};
use crate::ids::{EntityId, NameId, TemplateIx};
use crate::model::PolicyId;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::value::Record;

/// A template.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// With [`EntityId::NONE`] where there is a slot.
    pub scopes: Scopes,
    pub condition: Condition,
    /// A member of the context without which the condition is false.
    pub needs: Option<NameId>,
    pub forbids: bool,
    pub id: PolicyId,
}

/// All templates by number. A number is another's only once there is no template of the name, and so no link.
#[derive(Debug, Clone, Default)]
pub(super) struct Forms {
    numbers: HashMap<PolicyId, TemplateIx>,
    list: Vec<Option<Form>>,
    /// Numbers that no name has.
    free: Vec<TemplateIx>,
    /// Those whose action holds, for the actions that the schema declares; sorted.
    of_action: HashMap<EntityId, Box<[TemplateIx]>, RandomState>,
}

impl Forms {
    /// Takes out templates. Their names keep their numbers until [`Forms::settle`].
    pub(super) fn without<'r>(&mut self, removed: impl Iterator<Item = &'r PolicyId>) {
        self.of_action.clear();
        for id in removed {
            let Some(number) = self.numbers.get(id) else { continue };
            match self.list.get_mut(number.index()) {
                Some(place) => *place = None,
                None => broken("a template that has a number and is not there"),
            }
        }
    }

    /// The same with all of them.
    pub(super) fn names_alone(&self) -> Self {
        let (numbers, free) = (self.numbers.clone(), self.free.clone());
        Self { numbers, list: vec![None; self.list.len()], free, of_action: HashMap::default() }
    }

    /// Whether it has a template of the name.
    pub(super) fn has(&self, id: &str) -> bool {
        self.numbers.contains_key(id)
    }

    /// Adds a template.
    pub(super) fn put(&mut self, form: Form) {
        let number = match self.numbers.get(&form.id) {
            Some(number) => *number,
            None => {
                let number = self.free.pop().unwrap_or(TemplateIx::from_raw(self.list.len() as u32));
                self.numbers.insert(form.id.clone(), number);
                if number.index() == self.list.len() {
                    self.list.push(None);
                }
                number
            }
        };
        self.list[number.index()] = Some(form);
        self.of_action.clear();
    }

    /// Forgets the names that have no template any more.
    pub(super) fn settle(&mut self) {
        let Self { numbers, list, free, .. } = self;
        numbers.retain(|_, number| list.get(number.index()).is_some_and(Option::is_some));
        *free =
            (0..list.len() as u32).map(TemplateIx::from_raw).filter(|number| list[number.index()].is_none()).collect();
    }

    /// Notes which templates apply to each of the `declared` actions.
    pub(super) fn plan(&mut self, declared: &[EntityId], store: &Store) {
        for action in declared {
            let env = Env::new(store, [*action; 3], Record::Built(&[]));
            let found: Box<[TemplateIx]> = self.that_hold(&env).into_iter().collect();
            self.of_action.insert(*action, found);
        }
    }

    /// Whether that was noted.
    pub(super) fn is_planned(&self) -> bool {
        !self.of_action.is_empty()
    }

    fn that_hold(&self, env: &Env<'_>) -> SmallVec<[TemplateIx; 16]> {
        let all = self.list.iter().enumerate();
        let holds = |(number, form): (usize, &Option<Form>)| {
            form.as_ref()
                .is_some_and(|form| form.scopes.hold_for_action(env))
                .then_some(TemplateIx::from_raw(number as u32))
        };
        all.filter_map(holds).collect()
    }
}

impl Form {
    /// The scope of a link.
    fn bound(&self, slots: [EntityId; 2]) -> Scopes {
        // the action's part does not depend on them, and was looked at
        let Scopes { principal, resource, .. } = self.scopes;
        Scopes { principal: principal.filled(slots[0]), action: Actions::Any, resource: resource.filled(slots[1]) }
    }
}

impl CompiledSet {
    /// The number of a template.
    pub(crate) fn number(&self, name: &str) -> Option<TemplateIx> {
        self.forms.numbers.get(name).copied()
    }

    /// The name of a template that has a link.
    pub(crate) fn name(&self, template: TemplateIx) -> &PolicyId {
        &self.form(template).id
    }

    pub(super) fn form(&self, template: TemplateIx) -> &Form {
        match self.forms.list.get(template.index()) {
            Some(Some(form)) => form,
            _ => broken("a link of a template that is gone"),
        }
    }

    /// Calls `visit` with each link of `grants` whose scope holds.
    pub(super) fn of_grants(&self, grants: &Grants, env: &Env<'_>, mut visit: impl FnMut(MadeLink, &Form)) {
        let computed;
        let applying: &[TemplateIx] = match self.forms.of_action.get(&env.action).filter(|_| env.layer.is_none()) {
            Some(known) => known,
            None => {
                computed = self.forms.that_hold(env);
                &computed
            }
        };
        if applying.is_empty() {
            return;
        }
        let mut look = |filed: &Filed, slots: [EntityId; 2]| {
            let mut try_one = |template: TemplateIx| {
                let form = self.form(template);
                if form.bound(slots).hold_for_entities(env) {
                    visit(MadeLink::filed(filed, slots, template), form);
                }
            };
            let named = grants.templates(filed.declaration, filed.holder);
            if named.len() < applying.len() {
                let apply = named.iter().filter(|template| applying.binary_search(template).is_ok());
                apply.for_each(|template| try_one(*template));
            } else {
                let are_named = applying.iter().filter(|template| named.binary_search(template).is_ok());
                are_named.for_each(|template| try_one(*template));
            }
        };
        if !grants.has_none(Kind::Principal) {
            for key in std::iter::once(&env.principal).chain(env.above_principal().ids()) {
                let filed = grants.filed(Kind::Principal, *key).into_iter().flat_map(List::iter);
                filed.for_each(|filed| look(filed, [*key, EntityId::NONE]));
            }
        }
        if !grants.has_none(Kind::Resource) {
            for key in std::iter::once(&env.resource).chain(env.above_resource().ids()) {
                let filed = grants.filed(Kind::Resource, *key).into_iter().flat_map(List::iter);
                filed.for_each(|filed| look(filed, [EntityId::NONE, *key]));
            }
        }
        if grants.has_none(Kind::BothByPrincipal) {
            return;
        }
        let lists = |kind: Kind, own: EntityId, above: &[EntityId]| {
            let keys = std::iter::once(&own).chain(above);
            let found: SmallVec<[(EntityId, &List); 8]> =
                keys.filter_map(|key| Some((*key, grants.filed(kind, *key)?))).collect();
            let count: usize = found.iter().map(|(_, list)| list.len()).sum();
            (found, count)
        };
        let (of_principal, count) = lists(Kind::BothByPrincipal, env.principal, env.above_principal().ids());
        if count == 0 {
            return;
        }
        let is_above = |own: EntityId, above: &super::env::Ancestors, id: EntityId| own == id || above.contains(id);
        if count > FEW {
            let (of_resource, others) = lists(Kind::BothByResource, env.resource, env.above_resource().ids());
            if others < count {
                for (resource, list) in of_resource {
                    for filed in list.iter().filter(|it| is_above(env.principal, env.above_principal(), it.other)) {
                        look(filed, [filed.other, resource]);
                    }
                }
                return;
            }
        }
        for (principal, list) in of_principal {
            for filed in list.iter().filter(|it| is_above(env.resource, env.above_resource(), it.other)) {
                look(filed, [principal, filed.other]);
            }
        }
    }
}

/// So many grants are looked at without asking whether the other side has fewer.
const FEW: usize = 16;

/// Whether the scope of a link that data make holds for the three.
fn fits(snapshot: &Snapshot, made: &MadeLink, principal: &Lineage, action: &Lineage, resource: &Lineage) -> bool {
    let form = snapshot.core.compiled.form(made.template);
    let bound = form.bound(made.slots());
    super::candidates::of_action(&form.scopes.action, action)
        && principal.fits(bound.principal)
        && resource.fits(bound.resource)
}

/// The links that data make whose scope holds: made of the entities again, each of them looked at.
pub(crate) fn made_candidates(
    snapshot: &Snapshot,
    principal: &Lineage,
    action: &Lineage,
    resource: &Lineage,
) -> Vec<PolicyId> {
    let made = snapshot.made_again().filter(|made| fits(snapshot, made, principal, action, resource));
    made.map(|made| snapshot.id_of(&made)).collect()
}

/// Calls `visit` with the links that are filed under one of these, and says whether there were more than `most` of one key.
fn filed_under(
    snapshot: &Snapshot,
    kind: Kind,
    keys: impl Iterator<Item = EntityId>,
    most: usize,
    mut visit: impl FnMut(MadeLink),
) -> bool {
    let grants = &snapshot.grants;
    let mut bounded = false;
    'keys: for key in keys {
        let mut room = most;
        for filed in grants.filed(kind, key).into_iter().flat_map(List::iter) {
            let slots = match kind {
                Kind::BothByPrincipal | Kind::Principal => [key, filed.other],
                Kind::BothByResource | Kind::Resource => [filed.other, key],
            };
            for template in grants.templates(filed.declaration, filed.holder) {
                let Some(less) = room.checked_sub(1) else {
                    bounded = true;
                    continue 'keys;
                };
                room = less;
                visit(MadeLink::filed(filed, slots, *template));
            }
        }
    }
    bounded
}

/// The same, found by what fills their slots.
pub(crate) fn made_near(
    snapshot: &Snapshot,
    principal: &Lineage,
    action: &Lineage,
    resource: &Lineage,
) -> Vec<PolicyId> {
    let mut found = Vec::new();
    for (kind, of) in [(Kind::BothByPrincipal, principal), (Kind::Principal, principal), (Kind::Resource, resource)] {
        filed_under(snapshot, kind, of.all.iter().copied(), usize::MAX, |made| {
            if fits(snapshot, &made, principal, action, resource) {
                found.push(snapshot.id_of(&made));
            }
        });
    }
    found
}

/// Links that data make, all those of whose scope at most one part does not hold among them, and whether there were more than
/// `most` of one key.
pub(super) fn made_near_misses(
    snapshot: &Snapshot,
    [principal, action, resource]: &[Lineage; 3],
    most: usize,
) -> (Vec<MadeLink>, bool) {
    let (grants, mut made, mut bounded) = (&snapshot.grants, Vec::new(), false);
    if grants.is_empty() {
        return (Vec::new(), false);
    }
    for (kind, of) in [
        (Kind::BothByPrincipal, principal),
        (Kind::Principal, principal),
        (Kind::BothByResource, resource),
        (Kind::Resource, resource),
    ] {
        bounded |= filed_under(snapshot, kind, of.all.iter().copied(), most, |link| made.push(link));
    }
    // where one slot alone is filled, what misses may be that
    if !grants.has_none(Kind::Principal) || !grants.has_none(Kind::Resource) {
        let of_action = |link: &MadeLink| {
            let [principal, resource] = link.slots();
            let form = snapshot.core.compiled.form(link.template);
            (principal == EntityId::NONE || resource == EntityId::NONE)
                && super::candidates::of_action(&form.scopes.action, action)
        };
        let mut all = snapshot.all_made();
        let mut others = all.by_ref().take(most.saturating_mul(4)).filter(of_action);
        made.extend(others.by_ref().take(most));
        bounded |= others.next().is_some();
        bounded |= all.next().is_some();
    }
    (made, bounded)
}

/// How far the scope of a link that data make is from the request, and whether it forbids.
pub(super) fn made_distance(snapshot: &Snapshot, link: &MadeLink, of: &Lineages) -> (Distance, bool) {
    let form = snapshot.core.compiled.form(link.template);
    let scopes = Scopes { action: form.scopes.action.clone(), ..form.bound(link.slots()) };
    (Distance::of(snapshot, &scopes, of), form.forbids)
}
