//! Mutants of links: of those that are written out, and of declarations by which entities make them.
//!
//! - A link or a declaration goes, or the `when` of a declaration does.
//! - It is of the next template with the same slots.
//! - A slot is filled with something else of the same type: the entity above, another one, another path.
//!
//! What such a mutant is depends on the entities, so it is worked out for each state: the links that go, and those that come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy_core::ast::{PolicyID, SlotId, Template};

use super::stage::Deciding;
use super::{Made, Mutant, MutantSort, Mutants, Standing};
use crate::derived::Declared;
use crate::export;
use crate::ids::{DeclarationIx, EntityId, LinkIx};
use crate::model::explanation::{Effect, Place};
use crate::model::{Link, LinkDeclaration, PolicyId, Uid, Written};
use crate::policies::{self, Parsing};
use crate::schema::{SchemaModel, Type};
use crate::site::Kind;
use crate::snapshot::Snapshot;
use crate::store::Draft;
use crate::validating::Validating;

/// Entities that are looked at to find another one of a type.
const MOST_LOOKED_AT: usize = 64;

/// Other paths that a slot is filled by.
const MOST_PATHS: usize = 2;

/// A link or declaration in place of another, or nothing.
#[derive(Debug)]
pub(super) enum Exchange {
    /// A link that is written out: its number, and what it is instead.
    Link(LinkIx, Option<Link>),
    /// A declaration: its number, and what it is instead.
    Declaration(DeclarationIx, Option<Box<LinkDeclaration>>),
}

/// What a mutant is in one state.
#[derive(Debug, Default)]
pub(super) struct Swap {
    /// What no longer decides: positions in the stage's list.
    pub gone: Vec<usize>,
    pub come: Vec<Arc<Deciding>>,
}

impl Mutants {
    /// Adds the mutants of all links that are written out, and of all declarations.
    pub(super) fn add_links(&mut self, snapshot: &Snapshot) {
        let policies = &snapshot.core.policies;
        let templates = Templates::of(snapshot);
        for (number, linked) in policies.links.iter().enumerate() {
            let link = &linked.link;
            let (id, number) = (PolicyId::from(link.link_id.as_str()), LinkIx::from_raw(number as u32));
            let mut others: Vec<(MutantSort, String, Option<Link>)> =
                vec![(MutantSort::Removed, "the link removed".to_owned(), None)];
            if let Some(template) = templates.next(&link.template_id) {
                let name = format!("`{}` → `{template}`", link.template_id);
                let other = Link { template_id: template.to_string(), ..link.clone() };
                others.push((MutantSort::Weakened, name, Some(other)));
            }
            for (at, (slot, entity)) in link.args.iter().enumerate() {
                for other in others_of(snapshot, entity) {
                    let name = format!("`{slot}`: `{entity}` → `{other}`");
                    let mut args = link.args.clone();
                    args[at].1 = other;
                    others.push((MutantSort::Weakened, name, Some(Link { args, ..link.clone() })));
                }
            }
            let effect = templates.effect(&link.template_id);
            for (sort, name, other) in others {
                let made = Exchange::Link(number, other);
                self.push(snapshot, &id, effect, link.written.as_ref(), (sort, name), made);
            }
        }
        let declarations = &snapshot.texts.for_each.links;
        for (number, declaration) in declarations.iter().enumerate() {
            let id = declaration.id.as_ref().map(|id| format!("@{id}")).unwrap_or_default();
            let policy = PolicyId::from(format!("each {}: {}{id}", declaration.each, declaration.template).as_str());
            let effect = templates.effect(&declaration.template);
            for (sort, name, other) in others(declaration, &templates, snapshot.core.schema.as_deref()) {
                let made = Exchange::Declaration(DeclarationIx::from_raw(number as u32), other.map(Box::new));
                self.push(snapshot, &policy, effect, declaration.written.as_ref(), (sort, name), made);
            }
        }
    }

    fn push(
        &mut self,
        snapshot: &Snapshot,
        policy: &PolicyId,
        effect: Effect,
        written: Option<&Written>,
        (sort, name): (MutantSort, String),
        made: Exchange,
    ) {
        if self.list.len() == super::MOST_MUTANTS {
            self.bounded = true;
            return;
        }
        let standing = made.standing(snapshot);
        let line = written.and_then(|written| written.line);
        self.list.push(Mutant {
            policy: policy.clone(),
            effect,
            file: written.map_or_else(|| "links".to_owned(), |written| written.origin.to_string()),
            place: line.map(|line| Place { line, column: 1, end_line: line, end_column: 1, excerpt: None }),
            name,
            sort,
            standing,
        });
        self.made.push(Made::Link(made));
    }
}

/// What a declaration could be instead.
fn others(
    declaration: &LinkDeclaration,
    templates: &Templates<'_>,
    schema: Option<&SchemaModel>,
) -> Vec<(MutantSort, String, Option<LinkDeclaration>)> {
    let mut found = vec![(MutantSort::Removed, "the declaration removed".to_owned(), None)];
    if let Some(when) = &declaration.when {
        let other = LinkDeclaration { when: None, ..declaration.clone() };
        found.push((MutantSort::Removed, format!("`when: {when}` removed"), Some(other)));
    }
    if let Some(template) = templates.next(&declaration.template) {
        let name = format!("`template: {}` → `{template}`", declaration.template);
        let other = LinkDeclaration { template: template.to_string(), ..declaration.clone() };
        found.push((MutantSort::Weakened, name, Some(other)));
    }
    let declared = schema.and_then(|schema| schema.entity_type(&declaration.each));
    let type_of = |path: &str| match declared?.attributes.get(path).map(|member| &member.ty) {
        Some(Type::Entity(name)) => Some(name.to_string()),
        _ => (path == "self").then(|| declaration.each.clone()),
    };
    for (slot, now) in [("principal", &declaration.principal), ("resource", &declaration.resource)] {
        let Some((now, ty)) = now.as_ref().and_then(|now| Some((now, type_of(now)?))) else { continue };
        let paths = declared.into_iter().flat_map(|declared| declared.attributes.keys().map(String::as_str));
        let others =
            std::iter::once("self").chain(paths).filter(|other| other != now && type_of(other) == Some(ty.clone()));
        for other in others.take(MOST_PATHS) {
            let mut changed = declaration.clone();
            let place = if slot == "principal" { &mut changed.principal } else { &mut changed.resource };
            *place = Some(other.to_owned());
            found.push((MutantSort::Weakened, format!("`{slot}: {now}` → `{other}`"), Some(changed)));
        }
    }
    found
}

/// Other entities of the same type: the first right above an entity, and the next of all.
fn others_of(snapshot: &Snapshot, entity: &str) -> Vec<String> {
    let store = &snapshot.store;
    let Ok(uid) = Uid::parse(entity) else { return Vec::new() };
    let Some(ty) = store.symbols().type_id(&uid.type_name) else { return Vec::new() };
    let mut found = BTreeSet::new();
    let own = store.find(ty, uid.id.as_bytes());
    let above = own.and_then(|own| store.entity(own)).into_iter().flat_map(|stored| stored.parents());
    found.extend(above.filter(|id| store.type_of(*id) == ty).take(1));
    let stored = store.ids().filter(|id| store.type_of(*id) == ty && store.entity(*id).is_some());
    let all: Vec<EntityId> = stored.take(MOST_LOOKED_AT).collect();
    let at = all.iter().position(|id| Some(*id) == own).map_or(0, |at| at + 1);
    let next = all.iter().cycle().skip(at).take(all.len()).find(|id| Some(**id) != own && !found.contains(id));
    found.extend(next.copied());
    found.into_iter().map(|id| export::uid_of(store, id).to_string()).collect()
}

/// The templates of a bundle by their slots.
struct Templates<'t> {
    snapshot: &'t Snapshot,
    /// The slots of each.
    slots: BTreeMap<PolicyId, [bool; 2]>,
}

impl<'t> Templates<'t> {
    fn of(snapshot: &'t Snapshot) -> Self {
        let mut parsing = snapshot.parsing();
        let sites = snapshot.core.policies.sites.iter().filter(|(_, site)| site.kind == Kind::Template);
        let slots = sites.filter_map(|(id, site)| {
            let template = parsing.template(id, site).ok()?;
            Some((id.clone(), [SlotId::principal(), SlotId::resource()].map(|slot| has(&template, slot))))
        });
        Self { snapshot, slots: slots.collect() }
    }

    /// The next with the same slots.
    fn next(&self, id: &str) -> Option<&PolicyId> {
        let slots = self.slots.get(id)?;
        let same = || self.slots.iter().filter(|(other, has)| *has == slots && &***other != id).map(|(other, _)| other);
        same().find(|other| &***other > id).or_else(|| same().next())
    }

    fn effect(&self, id: &str) -> Effect {
        if self.snapshot.core.policies.forbids(id) { Effect::Forbid } else { Effect::Permit }
    }
}

fn has(template: &Template, wanted: SlotId) -> bool {
    template.slots().any(|slot| slot.id == wanted)
}

impl Exchange {
    /// What can be said of it in the state of the bundle.
    fn standing(&self, snapshot: &Snapshot) -> Standing {
        let links = match self.links(snapshot) {
            Ok(links) => links,
            Err(message) => return Standing::Refused(message),
        };
        let Some(schema) = snapshot.core.schema.as_deref() else { return Standing::Open };
        let mut validating = Validating::new(schema, &snapshot.core.settings.limits);
        let (policies, mut parsing) = (&snapshot.core.policies, snapshot.parsing());
        for link in links.values() {
            let Some(site) = policies.sites.get(link.template_id.as_str()) else { continue };
            let (Ok(template), Ok(values)) = (parsing.template(&link.template_id, site), policies::values(link)) else {
                continue;
            };
            let place = Written::new(site.origin.clone(), None);
            validating.link(&policies::scope_of(&template), &link.link_id.as_str().into(), &values, site, &place);
        }
        let found = validating.finish(&|| false);
        match found.errors.into_iter().next() {
            Some(error) => Standing::Refused(error.message),
            None => Standing::Open,
        }
    }

    /// The links that are there instead, by their ids.
    ///
    /// # Errors
    /// Why a bundle with them would be refused.
    fn links(&self, snapshot: &Snapshot) -> Result<BTreeMap<PolicyId, Link>, String> {
        let mut found = BTreeMap::new();
        match self {
            Self::Link(_, None) | Self::Declaration(_, None) => {}
            Self::Link(_, Some(link)) => {
                found.insert(link.link_id.as_str().into(), link.clone());
            }
            Self::Declaration(number, Some(declaration)) => {
                let (store, schema) = (&snapshot.store, snapshot.core.schema.as_deref());
                let mut draft = Draft::new(store);
                let (declared, problems) = Declared::check(std::slice::from_ref(&**declaration), schema, &mut draft);
                if let Some(problem) = problems.into_iter().next() {
                    return Err(problem.message);
                }
                let [checked] = declared.list() else { return Ok(found) };
                let ty = draft.type_id(&declaration.each);
                for id in store.ids().filter(|id| store.type_of(*id) == ty) {
                    let grants = declared.grants(store, ty, id).map_err(|fault| declared.explain(fault, store))?;
                    for grant in grants {
                        for name in checked.names(store, grant.holder) {
                            let link = declared.link(&grant, &name, store);
                            if snapshot.core.policies.sites.contains_key(link.link_id.as_str()) {
                                return Err(format!("there is a policy `{}`", link.link_id));
                            }
                            if let Some(other) = snapshot.made(&link.link_id)
                                && other.grant.declaration != *number
                            {
                                return Err(format!("another declaration makes `{}` too", link.link_id));
                            }
                            found.insert(link.link_id.as_str().into(), link);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// What it is in a state, where `deciding` decides.
    pub(super) fn swap(&self, snapshot: &Snapshot, deciding: &[Arc<Deciding>]) -> Swap {
        let policies = &snapshot.core.policies;
        let was: BTreeSet<PolicyId> = match self {
            Self::Link(number, _) => {
                let linked = policies.links.get(number.index());
                linked.map(|linked| linked.link.link_id.as_str().into()).into_iter().collect()
            }
            Self::Declaration(number, _) => {
                let made = snapshot.all_made().filter(|made| made.grant.declaration == *number);
                made.map(|made| snapshot.id_of(&made)).collect()
            }
        };
        // a state in which it would be refused says nothing of it
        let Ok(is) = self.links(snapshot) else { return Swap::default() };
        let at: HashMap<&PolicyId, usize> = deciding.iter().enumerate().map(|(at, it)| (&it.id, at)).collect();
        let mut parsing = snapshot.parsing();
        let mut swap = Swap::default();
        let mut same = BTreeSet::new();
        for (id, link) in &is {
            let Some(policy) = linked(snapshot, link, &mut parsing) else { continue };
            let known = at.get(id).filter(|_| was.contains(id)).and_then(|at| deciding.get(*at));
            if known.is_some_and(|known| {
                known.policy.env() == policy.env() && known.policy.template().id() == policy.template().id()
            }) {
                same.insert(id);
                continue;
            }
            let forbids = policies.forbids(&link.template_id);
            swap.come.push(Arc::new(Deciding::new(id.clone(), policy, forbids)));
        }
        swap.gone = was.iter().filter(|id| !same.contains(id)).filter_map(|id| at.get(id).copied()).collect();
        swap
    }
}

/// A link as a policy.
fn linked(snapshot: &Snapshot, link: &Link, parsing: &mut Parsing<'_>) -> Option<cedar_policy_core::ast::Policy> {
    let site = snapshot.core.policies.sites.get(link.template_id.as_str())?;
    let template = parsing.template(&link.template_id, site).ok()?;
    Template::link(template, PolicyID::from_string(&*link.link_id), policies::values(link).ok()?).ok()
}
