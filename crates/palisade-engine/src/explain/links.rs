//! Single changes of data that make or unmake a link: a flag that `when` reads, of an entity that grants or of what a link is
//! about, a name more or less in a role, a new entity that grants, or one that grants elsewhere.
//!
//! What could turn a policy is found in its clauses. A link that is not there has none, so here links are made up: of each
//! declaration and template with what is above the principal and the resource in the slots. Those that would hold show
//! which data are wanted.

use std::collections::HashMap;

use cedar_policy_core::ast::{EntityUID, Policy, PolicyID, SlotEnv, SlotId, Template, Var};
use serde_json::{Map, Value as Json, json};

use super::edits::{Change, Target};
use super::goals::entity_json;
use super::made_up::fill;
use super::scene::{Gave, shown};
use super::search::Asked;
use crate::cedar;
use crate::derived::{Checked, Filed, Grant, Kind, MadeLink};
use crate::export;
use crate::ids::EntityId;
use crate::layout::known;
use crate::model::PolicyId;
use crate::model::explanation::Truth;
use crate::schema::Type;
use crate::site::Kind as Sort;

/// Templates that are looked at.
const MOST_TEMPLATES: usize = 256;

/// Entities above principal and resource, with them, that a slot is filled with.
const MOST_ABOVE: usize = 16;

/// Links that are made up.
const MOST_LINKS: usize = 2_000;

/// Made up links that would hold, of which it is worked out what would make them.
const MOST_FITTING: usize = 12;

/// Changes of one kind that are tried for one link.
const MOST_OF_A_LINK: usize = 4;

/// Entities that are looked at since they refer to a group or a place.
const MOST_REFERRERS: usize = 64;

/// Grants among which some of a declaration are looked for, and one whose role names a template.
const MOST_GRANTS: usize = 4_096;

/// Roles among which the one that names a template and least besides is looked for.
const MOST_ROLES: usize = 256;

/// Looks for the changes.
pub(super) struct Links<'l> {
    asked: &'l Asked<'l>,
    /// Principal and resource, each with those nearest above it.
    above: [Vec<EntityUID>; 2],
    /// The roles of declarations that were looked at, with what each names.
    roles: Vec<(usize, Vec<(EntityId, Names)>)>,
    found: Vec<(Change, PolicyId)>,
    bounded: bool,
}

/// What a role names.
type Names = Vec<std::sync::Arc<str>>;

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
    let mut links =
        Links { asked, above: [Vec::new(), Vec::new()], roles: Vec::new(), found: Vec::new(), bounded: false };
    links.above = [Var::Principal, Var::Resource].map(|variable| links.above(variable));
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
        let declaration = snapshot.core.declared.at(made.grant.declaration);
        let template = snapshot.core.compiled.name(made.template).clone();
        self.flag(declaration, made.grant.entity, false, id);
        if declaration.naming_path().is_some() {
            self.name(declaration, made.grant.holder, &template, false, id);
        }
        self.elsewhere(declaration, made, id);
        // it could grant elsewhere in more ways, or what is above it could be taken away
        self.bounded = true;
    }

    /// What would make links that hold.
    fn make(&mut self, forbids: bool) {
        let snapshot = self.asked.snapshot;
        let mut fitting = Vec::new();
        let above = self.above.clone();
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
                // the narrowest first: who asks alone before his groups, what is asked for before what it is in
                let mut pairs: Vec<(usize, usize)> =
                    (0..choices[0].len()).flat_map(|p| (0..choices[1].len()).map(move |r| (p, r))).collect();
                pairs.sort_by_key(|(p, r)| (p + r, *p));
                for (p, r) in pairs {
                    made += 1;
                    if made > MOST_LINKS || fitting.len() >= MOST_FITTING {
                        self.bounded = true;
                        break 'all;
                    }
                    let slots = [choices[0][p].clone(), choices[1][r].clone()];
                    if self.holds(id, template, &slots) {
                        fitting.push(((p + r, p), Fitting { declaration, template: id, slots }));
                    }
                }
            }
        }
        fitting.sort_by_key(|(width, _)| *width);
        for (_, fit) in &fitting {
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
            if let Some(maker) = self.id(&maker) {
                self.flag(declaration, maker, true, template);
                let store = &self.asked.snapshot.store;
                let holder = declaration.holder_of(store, maker).filter(|holder| *holder != EntityId::NONE);
                if let Some(holder) = holder.filter(|holder| !self.names(declaration, *holder, template)) {
                    self.name(declaration, holder, template, true, template);
                    self.bounded |= declaration.naming_path().is_some_and(|path| path.contains('.'));
                }
            }
            return;
        }
        self.of_grants(fit);
        self.grant(fit);
        // an entity that grants could be another one's in some other way
        self.bounded = true;
    }

    /// Grants that are there and lack one thing: the flag, the name of the template in their role, or the group or the place.
    fn of_grants(&mut self, fit: &Fitting<'_>) {
        let Fitting { declaration, template, slots } = fit;
        let store = &self.asked.snapshot.store;
        let Some(ids) = self.slot_ids(slots) else { return };
        let (mut off, mut unnamed, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        for maker in self.makers(declaration, ids) {
            let is_off = declaration.flag_of(store, maker).is_some_and(|(_, is)| !is);
            let holder = declaration.holder_of(store, maker);
            let has = holder.is_some_and(|holder| self.names(declaration, holder, template));
            let wrong = [0, 1].map(|slot| declaration.slot_of(store, maker, slot) != Some(ids[slot]));
            match (is_off, has, wrong, holder) {
                (true, true, [false, false], _) => off.push(maker),
                (false, false, [false, false], Some(holder)) => unnamed.push((maker, holder)),
                (false, true, [true, false], _) => elsewhere.push((maker, 0)),
                (false, true, [false, true], _) => elsewhere.push((maker, 1)),
                _ => {}
            }
        }
        self.bounded |= [off.len(), unnamed.len(), elsewhere.len()].iter().any(|found| *found > MOST_OF_A_LINK);
        for maker in off.into_iter().take(MOST_OF_A_LINK) {
            self.flag(declaration, maker, true, template);
        }
        let role = if unnamed.is_empty() { None } else { self.role(declaration, template) };
        for (maker, holder) in unnamed.into_iter().take(MOST_OF_A_LINK) {
            self.name(declaration, holder, template, true, template);
            if let (Some((attribute, _)), Some(role)) = (self.role_attribute(declaration), &role) {
                self.set(maker, &attribute, role, template);
            }
        }
        for (maker, slot) in elsewhere.into_iter().take(MOST_OF_A_LINK) {
            let path = declaration.slot_texts()[slot].filter(|path| !path.contains('.'));
            if let (Some(path), Some(uid)) = (path, &slots[slot]) {
                self.set(maker, path, uid, template);
            }
        }
    }

    /// Another entity in an attribute of a stored one.
    fn set(&mut self, maker: EntityId, attribute: &str, to: &EntityUID, policy: &PolicyId) {
        if let Some(maker) = self.uid(maker) {
            let target = Target::Attribute(maker, vec![attribute.to_owned()]);
            self.push(Change::Set(target, Some(entity_json(to))), policy);
        }
    }

    /// The attribute by which a grant names its role, where the role names the templates, and the type of roles.
    fn role_attribute(&self, declaration: &Checked) -> Option<(String, String)> {
        let (attribute, last) = declaration.naming_path()?.split_once('.')?;
        let schema = self.asked.snapshot.core.schema.as_deref()?;
        match &schema.entity_type(declaration.each())?.attributes.get(attribute)?.ty {
            Type::Entity(name) if !last.contains('.') => Some((attribute.to_owned(), name.to_string())),
            _ => None,
        }
    }

    /// The ids of what fills the slots, [`EntityId::NONE`] where there is none. `None` where one is not stored.
    fn slot_ids(&self, slots: &[Option<EntityUID>; 2]) -> Option<[EntityId; 2]> {
        let id = |uid: &Option<EntityUID>| uid.as_ref().map_or(Some(EntityId::NONE), |uid| self.id(uid));
        Some([id(&slots[0])?, id(&slots[1])?])
    }

    /// Whether a holder names a template; where the declaration does, the template fits it already.
    fn names(&self, declaration: &Checked, holder: EntityId, template: &PolicyId) -> bool {
        let names =
            |holder| declaration.names(&self.asked.snapshot.store, holder).iter().any(|name| **name == **template);
        holder == EntityId::NONE || names(holder)
    }

    /// Entities that may make links of a declaration, for one of the two: those that grant, and those that refer to it and do
    /// not. Sorted.
    fn makers(&mut self, declaration: &Checked, ids: [EntityId; 2]) -> Vec<EntityId> {
        let snapshot = self.asked.snapshot;
        let (store, number) = (&snapshot.store, declaration.ix());
        let each = store.symbols().type_id(declaration.each());
        let mut found = Vec::new();
        let mut bounded = false;
        for id in ids.into_iter().filter(|id| *id != EntityId::NONE) {
            let referring = store.referrers(id).filter(|from| Some(store.type_of(*from)) == each);
            let kinds = [Kind::Principal, Kind::Resource, Kind::BothByPrincipal, Kind::BothByResource];
            let filed =
                kinds.into_iter().filter_map(|kind| snapshot.grants.filed(kind, id)).flat_map(|list| list.iter());
            let filed = filed.filter(|filed: &&Filed| filed.declaration == number).map(|filed| filed.entity);
            let mut all = referring.take(MOST_REFERRERS + 1).chain(filed.take(MOST_REFERRERS + 1));
            found.extend(all.by_ref().take(2 * MOST_REFERRERS));
            bounded |= all.next().is_some();
        }
        if ids.contains(&EntityId::NONE) {
            // what fills the only slot may be wrong
            let mut all = snapshot.grants.all();
            let of = |grant: &Grant| grant.declaration == number;
            let some = all.by_ref().take(MOST_GRANTS).filter(of).take(MOST_REFERRERS);
            found.extend(some.map(|grant| grant.entity));
            bounded |= all.next().is_some();
        }
        self.bounded |= bounded;
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What would have a grant be of another group or place, or of none, or of another role.
    fn elsewhere(&mut self, declaration: &Checked, made: &MadeLink, id: &PolicyId) {
        let Some(maker) = self.uid(made.grant.entity) else { return };
        let schema = self.asked.snapshot.core.schema.as_deref();
        let Some(declared) = schema.and_then(|schema| schema.entity_type(declaration.each())) else { return };
        for (path, now) in declaration.slot_texts().into_iter().zip(made.slots()) {
            let member =
                path.filter(|path| !path.contains('.')).and_then(|path| declared.attributes.get_key_value(path));
            let (Some((path, member)), Some(now)) = (member, self.uid(now)) else { continue };
            let target = Target::Attribute(maker.clone(), vec![path.clone()]);
            if !member.required {
                self.push(Change::Set(target.clone(), None), id);
            }
            let others = self.asked.scene.stored_of_type(&now.entity_type().to_string(), 3);
            for other in others.iter().filter(|other| **other != now).take(2) {
                self.push(Change::Set(target.clone(), Some(entity_json(other))), id);
            }
        }
        if let Some((attribute, _)) = self.role_attribute(declaration) {
            let template = self.asked.snapshot.core.compiled.name(made.template).clone();
            let lacks = |(_, names): &&(EntityId, Names)| !names.iter().any(|name| **name == *template);
            let others = self.roles(declaration).iter().filter(lacks).map(|(role, _)| *role).take(2);
            for other in others.collect::<Vec<_>>() {
                if let Some(other) = self.uid(other) {
                    self.set(made.grant.entity, &attribute, &other, id);
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
                let Some(holder) = self.role(declaration, template) else { return };
                attrs.insert((*role).to_owned(), entity_json(&holder));
            }
            Some(_) => return,
        }
        let entity = |name: &str| self.some_of_type(name);
        if !fill(&declared.attributes, &mut attrs, &entity) {
            return;
        }
        let Some(uid) = self.unused(each) else { return };
        self.push(Change::AddEntity(uid, Json::Object(attrs)), template);
    }

    /// The roles of a declaration, some of them, with what each names.
    fn roles(&mut self, declaration: &Checked) -> &[(EntityId, Names)] {
        let known = self.roles.iter().position(|(number, _)| *number == declaration.number);
        let at = known.unwrap_or_else(|| {
            let store = &self.asked.snapshot.store;
            let ty = self.role_attribute(declaration).and_then(|(_, name)| store.symbols().type_id(&name));
            let ids = ty.into_iter().flat_map(|ty| store.ids_of_type(ty)).take(MOST_ROLES + 1);
            let roles = ids.map(|id| (id, declaration.names(store, id))).collect();
            self.roles.push((declaration.number, roles));
            self.roles.len() - 1
        });
        &self.roles[at].1
    }

    /// The role that names a template and least besides.
    fn role(&mut self, declaration: &Checked, template: &PolicyId) -> Option<EntityUID> {
        let roles = self.roles(declaration);
        let naming = |(_, names): &&(EntityId, Names)| names.iter().any(|name| **name == **template);
        let least = roles.iter().filter(naming).min_by_key(|(id, names)| (names.len(), *id)).map(|(id, _)| *id);
        if roles.len() <= MOST_ROLES {
            return self.uid(least?);
        }
        self.bounded = true;
        // one that names it for a grant that is there
        let snapshot = self.asked.snapshot;
        let number = snapshot.core.compiled.number(template);
        let naming = |number| snapshot.grants.naming(declaration.ix(), number, MOST_GRANTS);
        self.uid(least.or_else(|| naming(number?))?)
    }

    /// Some entity of a type that there is: of the request or above it, or stored.
    fn some_of_type(&self, name: &str) -> Option<EntityUID> {
        let near = self.above.iter().flatten().find(|uid| uid.entity_type().to_string() == name).cloned();
        near.or_else(|| self.asked.scene.stored_of_type(name, 1).pop())
    }

    /// A name of an entity that is not stored.
    fn unused(&self, each: &str) -> Option<EntityUID> {
        let names = std::iter::once("new".to_owned()).chain((2..MOST_ABOVE).map(|n| format!("new-{n}")));
        let uids = names.filter_map(|id| {
            let uid = crate::model::Uid::new(each.to_owned(), id).ok()?;
            cedar::entity_uid(&uid).ok().map(EntityUID::from)
        });
        uids.into_iter().find(|uid| !self.asked.scene.knows(uid))
    }

    /// The flag that `when` reads.
    fn flag(&mut self, declaration: &Checked, maker: EntityId, wanted: bool, policy: &PolicyId) {
        let flag = declaration.flag_of(&self.asked.snapshot.store, maker).filter(|(_, is)| *is != wanted);
        let last = declaration.when_text().and_then(|path| path.rsplit('.').next());
        if let (Some((holder, _)), Some(last)) = (flag, last)
            && let Some(holder) = self.uid(holder)
        {
            self.push(Change::Set(Target::Attribute(holder, vec![last.to_owned()]), Some(wanted.into())), policy);
        }
    }

    /// A name more or less in what names templates.
    fn name(&mut self, declaration: &Checked, holder: EntityId, template: &PolicyId, added: bool, policy: &PolicyId) {
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

    /// An entity of the request with those nearest above it.
    fn above(&mut self, variable: Var) -> Vec<EntityUID> {
        let Some(of) = self.asked.scene.of(variable) else { return Vec::new() };
        let (found, are_more) = self.asked.scene.above(of, MOST_ABOVE);
        self.bounded |= are_more;
        found
    }

    fn uid(&self, id: EntityId) -> Option<EntityUID> {
        let store = &self.asked.snapshot.store;
        store.record(id)?;
        cedar::entity_uid(&export::uid_of(store, id)).ok().map(EntityUID::from)
    }

    fn id(&self, uid: &EntityUID) -> Option<EntityId> {
        known(uid, &self.asked.snapshot.store)
    }
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
