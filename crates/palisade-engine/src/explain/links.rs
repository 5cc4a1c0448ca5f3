//! Single changes of data that make or unmake a link: a flag that `when` reads, a name more or less in a role, a new
//! entity that grants, or one that grants elsewhere.
//!
//! What could turn a policy is found in its clauses. A link that is not there has none, so here links are made up: of each
//! declaration and template with what is above the principal and the resource in the slots. Those that would hold show
//! which data are wanted.

use std::collections::HashMap;

use cedar_policy_core::ast::{EntityUID, Expr, Policy, PolicyID, SlotEnv, SlotId, Template, Var};
use serde_json::{Map, Value as Json, json};

use super::edits::{Change, Target};
use super::goals::{entity_json, sample};
use super::scene::{Gave, plain, shown};
use super::search::Asked;
use crate::derived::{Checked, Filed, Kind, MadeLink, NONE};
use crate::export;
use crate::model::PolicyId;
use crate::model::explanation::Truth;
use crate::policies::{self, Kind as Sort};
use crate::schema::{Members, Type};

/// Templates that are looked at.
const MOST_TEMPLATES: usize = 256;

/// Entities above principal and resource, with them, that a slot is filled with.
const MOST_ABOVE: usize = 16;

/// Links that are made up.
const MOST_LINKS: usize = 2_000;

/// Made up links that would hold, of which it is worked out what would make them.
const MOST_FITTING: usize = 12;

/// Grants, and roles, that are looked at for one link.
const MOST_OF_A_LINK: usize = 4;

/// Roles among which one that names a template is looked for.
const MOST_ROLES: usize = 10_000;

/// Looks for the changes.
pub(super) struct Links<'l> {
    asked: &'l Asked<'l>,
    found: Vec<(Change, PolicyId)>,
    bounded: bool,
}

/// A link that would hold, and is not there.
struct Fitting<'f> {
    declaration: &'f Checked,
    template: &'f PolicyId,
    slots: [Option<EntityUID>; 2],
}

/// The changes, each with the policy that it makes or unmakes, and whether some were left out. `judged` are policies with
/// what they gave, and whether they forbid.
pub(super) fn changes<'j>(
    asked: &Asked<'_>,
    judged: impl Iterator<Item = (&'j PolicyId, Truth, bool)>,
) -> (Vec<(Change, PolicyId)>, bool) {
    let core = &asked.snapshot.core;
    // what a request brings makes no links
    if core.declared.is_empty() || asked.request.entities.is_some() {
        return (Vec::new(), false);
    }
    let is_allow = asked.decision.outcome.is_allow();
    let mut links = Links { asked, found: Vec::new(), bounded: false };
    let mut forbidden = false;
    for (id, result, is_forbid) in judged {
        forbidden |= is_forbid && result != Truth::False;
        if result != Truth::False
            && is_forbid != is_allow
            && let Some(made) = asked.snapshot.made(id)
        {
            links.unmake(&made, id);
        }
    }
    // where a forbid holds, no grant helps
    if is_allow || !forbidden {
        links.make(is_allow);
    }
    (links.found, links.bounded)
}

impl Links<'_> {
    fn push(&mut self, change: Change, policy: &PolicyId) {
        if !self.found.iter().any(|(known, _)| *known == change) {
            self.found.push((change, policy.clone()));
        }
    }

    /// What would take a link away.
    fn unmake(&mut self, made: &MadeLink, id: &PolicyId) {
        let snapshot = self.asked.snapshot;
        let Some(declaration) = snapshot.core.declared.get(made.grant.declaration) else { return };
        let template = snapshot.core.compiled.name(made.template).clone();
        let Some(maker) = self.uid(made.grant.entity) else { return };
        self.flag(declaration, &maker, false, id);
        if declaration.naming_path().is_some() {
            self.name(declaration, made.grant.holder, &template, false, id);
        }
        // it could grant elsewhere, or what is above it could be taken away
        self.bounded = true;
    }

    /// What would make links that hold.
    fn make(&mut self, forbids: bool) {
        let snapshot = self.asked.snapshot;
        let mut fitting = Vec::new();
        let above = [Var::Principal, Var::Resource].map(|variable| self.above(variable));
        let templates = self.templates(forbids);
        let mut made = 0;
        'all: for declaration in snapshot.core.declared.list() {
            let types = declaration.slot_types();
            let filled = types.each_ref().map(Option::is_some);
            let choices: [Vec<Option<EntityUID>>; 2] = [0, 1].map(|slot| match &types[slot] {
                None => vec![None],
                Some(ty) => {
                    let fits = above[slot].iter().filter(|uid| uid.entity_type().to_string() == **ty);
                    fits.cloned().map(Some).collect()
                }
            });
            for (id, template) in &templates {
                let has = |slot: SlotId| template.slots().any(|known| known.id == slot);
                let named = declaration.fixed().is_none_or(|name| name == &**id);
                if !named || [has(SlotId::principal()), has(SlotId::resource())] != filled {
                    continue;
                }
                for principal in &choices[0] {
                    for resource in &choices[1] {
                        made += 1;
                        if made > MOST_LINKS || fitting.len() >= MOST_FITTING {
                            self.bounded = true;
                            break 'all;
                        }
                        let slots = [principal.clone(), resource.clone()];
                        if self.holds(id, template, &slots) {
                            fitting.push(Fitting { declaration, template: id, slots });
                        }
                    }
                }
            }
        }
        for fit in &fitting {
            self.towards(fit);
        }
    }

    /// Templates of the effect that is wanted, which may be about the request.
    fn templates(&mut self, forbids: bool) -> Vec<(PolicyId, std::sync::Arc<Template>)> {
        let snapshot = self.asked.snapshot;
        let sites = snapshot.core.policies.sites.iter();
        let mut parsing = snapshot.parsing();
        let (mut found, mut looked_at) = (Vec::new(), 0);
        for (id, site) in sites.filter(|(_, site)| site.kind == Sort::Template && site.forbids == forbids) {
            looked_at += 1;
            let Some(template) = (looked_at <= MOST_TEMPLATES).then(|| parsing.template(id, site).ok()).flatten()
            else {
                self.bounded = true;
                break;
            };
            let action = template.action_constraint().as_expr();
            if matches!(self.asked.scene.gives(&action, &SlotEnv::new()), Gave::Bool(true)) {
                found.push((id.clone(), template));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    fn holds(&self, id: &PolicyId, template: &std::sync::Arc<Template>, slots: &[Option<EntityUID>; 2]) -> bool {
        let ids = [SlotId::principal(), SlotId::resource()];
        let values: HashMap<SlotId, EntityUID> =
            ids.into_iter().zip(slots).filter_map(|(slot, uid)| Some((slot, uid.clone()?))).collect();
        let linked: Option<Policy> = Template::link(template.clone(), PolicyID::from_string(&**id), values).ok();
        let gives = |policy: &Policy| self.asked.scene.gives(&policy.condition(), policy.env());
        linked.is_some_and(|policy| matches!(gives(&policy), Gave::Bool(true)))
    }

    /// The changes that would make one link.
    fn towards(&mut self, fit: &Fitting<'_>) {
        let Fitting { declaration, template, slots } = fit;
        let owns = declaration.slot_texts().iter().zip(slots).find_map(|(text, uid)| match text {
            Some("self") => uid.clone(),
            _ => None,
        });
        if let Some(maker) = owns {
            self.flag(declaration, &maker, true, template);
            if let (Some(id), Some(path)) = (self.id(&maker), declaration.naming_path()) {
                match path.contains('.') {
                    false => self.name(declaration, id, template, true, template),
                    true => self.of_role(declaration, &maker, path, template),
                }
            }
            return;
        }
        self.of_grants(fit);
        self.grant(fit);
        // an entity that grants could be another one's in some other way
        self.bounded = true;
    }

    /// Grants that are there: their roles could name the template, or they could be of another place or group.
    fn of_grants(&mut self, fit: &Fitting<'_>) {
        let Fitting { declaration, template, slots } = fit;
        let snapshot = self.asked.snapshot;
        let ids = slots.each_ref().map(|uid| uid.as_ref().and_then(|uid| self.id(uid)).unwrap_or(NONE));
        let kinds = match ids {
            [NONE, resource] => vec![(Kind::Resource, resource, 0)],
            [principal, NONE] => vec![(Kind::Principal, principal, 1)],
            [principal, resource] => vec![(Kind::BothByPrincipal, principal, 1), (Kind::BothByResource, resource, 0)],
        };
        let number = snapshot.core.compiled.number(template);
        for (kind, under, other_slot) in kinds {
            let of = |filed: &&Filed| filed.declaration == declaration.number as u32;
            let filed = snapshot.grants.filed(kind, under).into_iter().flat_map(|list| list.iter());
            for filed in filed.filter(of).take(MOST_OF_A_LINK) {
                let names = snapshot.grants.templates(filed.declaration, filed.holder);
                let has = number.is_some_and(|number| names.binary_search(&number).is_ok());
                if filed.other == ids[other_slot] && !has && filed.holder != NONE {
                    self.name(declaration, filed.holder, template, true, template);
                }
                let path = declaration.slot_texts()[other_slot].filter(|path| !path.contains('.'));
                if filed.other != ids[other_slot]
                    && has
                    && let (Some(path), Some(uid), Some(maker)) = (path, &slots[other_slot], self.uid(filed.entity))
                {
                    let target = Target::Attribute(maker, vec![path.to_owned()]);
                    self.push(Change::Set(target, Some(entity_json(uid))), template);
                }
            }
        }
    }

    /// A new entity that makes the link.
    fn grant(&mut self, fit: &Fitting<'_>) {
        let Fitting { declaration, template, slots } = fit;
        let snapshot = self.asked.snapshot;
        let each = declaration.each();
        let Some(declared) = snapshot.core.schema.as_deref().and_then(|schema| schema.entity_type(each)) else {
            return;
        };
        let mut attrs = Map::new();
        for (text, uid) in declaration.slot_texts().into_iter().zip(slots) {
            let (Some(path), Some(uid)) = (text, uid) else { continue };
            if path.contains('.') {
                return;
            }
            attrs.insert(path.to_owned(), entity_json(uid));
        }
        match declaration.when_text() {
            Some(path) if path.contains('.') => return,
            Some(path) => drop(attrs.insert(path.to_owned(), true.into())),
            None => {}
        }
        match declaration.naming_path().map(|path| path.split('.').collect::<Vec<_>>()).as_deref() {
            None => {}
            Some([own]) => {
                let is_set = declared.attributes.get(*own).is_some_and(|member| matches!(member.ty, Type::Set(_)));
                let name = Json::from(&***template);
                attrs.insert((*own).to_owned(), if is_set { json!([name]) } else { name });
            }
            Some([role, _]) => {
                let number = snapshot.core.compiled.number(template);
                let naming = |number| snapshot.grants.naming(declaration.number as u32, number, MOST_ROLES);
                let Some(holder) = number.and_then(naming).and_then(|holder| self.uid(holder)) else { return };
                attrs.insert((*role).to_owned(), entity_json(&holder));
            }
            Some(_) => return,
        }
        if !fill(&declared.attributes, &mut attrs) {
            return;
        }
        let Some(uid) = self.unused(each) else { return };
        self.push(Change::AddEntity(uid, Json::Object(attrs)), template);
    }

    /// A name of an entity that is not stored.
    fn unused(&self, each: &str) -> Option<EntityUID> {
        let names = std::iter::once("new".to_owned()).chain((2..MOST_ABOVE).map(|n| format!("new-{n}")));
        let uids = names.filter_map(|id| {
            let uid = crate::model::Uid::new(each.to_owned(), id).ok()?;
            policies::entity_uid(&uid).ok().map(EntityUID::from)
        });
        uids.into_iter().find(|uid| !self.asked.scene.knows(uid))
    }

    /// The flag that `when` reads.
    fn flag(&mut self, declaration: &Checked, maker: &EntityUID, wanted: bool, policy: &PolicyId) {
        let Some(path) = declaration.when_text() else { return };
        let mut names: Vec<&str> = path.split('.').collect();
        let Some(last) = names.pop() else { return };
        let Some(holder) = self.follow(maker, &names) else { return };
        let flag = Expr::get_attr(Expr::val(holder.clone()), last.into());
        let is = self.asked.scene.gives(&flag, &SlotEnv::new()).truth();
        if (is == Truth::True) != wanted && self.asked.scene.knows(&holder) {
            self.push(Change::Set(Target::Attribute(holder, vec![last.to_owned()]), Some(wanted.into())), policy);
        }
    }

    /// A name more or less in what names templates.
    fn name(&mut self, declaration: &Checked, holder: u32, template: &PolicyId, added: bool, policy: &PolicyId) {
        let store = &self.asked.snapshot.store;
        let last = declaration.naming_path().and_then(|path| path.rsplit('.').next());
        let (Some(last), Some(uid)) = (last, self.uid(holder)) else { return };
        let names = declaration.names(store, holder);
        let target = Target::Attribute(uid, vec![last.to_owned()]);
        let name = Json::from(&**template);
        if !declaration.names_many() {
            return self.push(Change::Set(target, added.then_some(name)), policy);
        }
        let known = names.iter().map(|known| Json::from(&**known)).filter(|known| *known != name);
        let mut value: Vec<Json> = known.collect();
        if added {
            value.push(name.clone());
        }
        self.push(Change::Elements { target, value: value.into(), elements: vec![name], added }, policy);
    }

    /// A role of the maker itself: it could name the template.
    fn of_role(&mut self, declaration: &Checked, maker: &EntityUID, path: &str, template: &PolicyId) {
        let mut names: Vec<&str> = path.split('.').collect();
        names.pop();
        if let Some(holder) = self.follow(maker, &names).and_then(|uid| self.id(&uid)) {
            self.name(declaration, holder, template, true, template);
        }
        self.bounded = true;
    }

    /// The entity that attributes lead to, read one after the other.
    fn follow(&self, from: &EntityUID, names: &[&str]) -> Option<EntityUID> {
        let read = names.iter().fold(Expr::val(from.clone()), |of, name| Expr::get_attr(of, (*name).into()));
        self.asked.scene.entity(&read, &SlotEnv::new())
    }

    /// An entity of the request with those nearest above it.
    fn above(&mut self, variable: Var) -> Vec<EntityUID> {
        let mut found: Vec<EntityUID> = self.asked.scene.of(variable).cloned().into_iter().collect();
        let mut next = 0;
        while let Some(entity) = found.get(next).cloned() {
            for parent in self.asked.scene.parents(&entity) {
                if found.contains(&parent) {
                    continue;
                }
                if found.len() == MOST_ABOVE {
                    self.bounded = true;
                    return found;
                }
                found.push(parent);
            }
            next += 1;
        }
        found
    }

    fn uid(&self, id: u32) -> Option<EntityUID> {
        let store = &self.asked.snapshot.store;
        store.record(id)?;
        policies::entity_uid(&export::uid_of(store, id)).ok().map(EntityUID::from)
    }

    fn id(&self, uid: &EntityUID) -> Option<u32> {
        let (store, uid) = (&self.asked.snapshot.store, plain(uid));
        store.find(store.symbols().type_id(&uid.type_name)?, uid.id.as_bytes())
    }
}

/// Gives what is required some value; says whether that can be done.
fn fill(declared: &Members, attrs: &mut Map<String, Json>) -> bool {
    let missing = declared.iter().filter(|(name, member)| member.required && !attrs.contains_key(*name));
    let missing: Vec<(String, Option<Json>)> =
        missing.map(|(name, member)| (name.clone(), of_type(&member.ty))).collect();
    missing.into_iter().all(|(name, value)| value.is_some_and(|value| attrs.insert(name, value).is_none()))
}

/// Some value of a type, where that means nothing.
fn of_type(ty: &Type) -> Option<Json> {
    Some(match ty {
        Type::Bool => json!(false),
        Type::Long => json!(0),
        Type::String => json!(""),
        Type::Set(_) => json!([]),
        Type::Record(members) => {
            let mut record = Map::new();
            return fill(members, &mut record).then_some(Json::Object(record));
        }
        Type::Extension(name) => return sample(name),
        Type::Entity(_) | Type::Unknown => return None,
    })
}

/// The attributes of a new entity in words.
pub(super) fn in_words(uid: &EntityUID, attrs: &Json, value: impl Fn(&Json) -> String) -> String {
    let members: Vec<String> =
        attrs.as_object().into_iter().flatten().map(|(name, of)| format!("`{name}` {}", value(of))).collect();
    match members.as_slice() {
        [] => format!("add `{}`", shown(uid)),
        members => format!("add `{}` with {}", shown(uid), members.join(", ")),
    }
}
