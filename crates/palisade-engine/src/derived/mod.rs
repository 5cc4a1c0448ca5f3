//! Links that the data make: one for every stored entity of a type and every template that it names.
//!
//! The policy set is exactly the one in which these links were written by hand. What an entity makes by a declaration is a
//! grant: what fills the slots, and who names the templates. It is a function of the declarations and of the entities on
//! their paths, so what a change unmakes is found by asking what the entity made before it. Grants are filed under what
//! fills their slots, and the templates that a role names are kept once for all grants of it (`grants.rs`); the text of a
//! link is made where it is shown (`ask.rs`, `made.rs`).
//!
//! Never knows policies: whether a name is a template's is for the set to say.

mod ask;
mod brought;
mod check;
mod grants;
mod list;
mod look;
mod path;
mod pending;
mod shards;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::broken::broken;
use crate::cedar::utf8;
use crate::export;
use crate::ids::{DeclarationIx, EntityId, TypeId};
use crate::model::{Diagnostic, Link, Missing, Uid, Written};
use crate::schema::Type;
use crate::store::{Draft, Entity, Records, Store, Symbols};
use crate::value::Val;

pub(crate) use ask::{Finding, MadeLink};
pub(crate) use brought::check_brought;
pub(crate) use grants::{Grants, Kind};
pub(crate) use list::{Filed, List};
use path::{NotStored, Path};
pub(crate) use pending::{All, Pending, Tallied};

/// The declarations of a bundle, against its schema.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    list: Vec<Checked>,
    /// The positions of the declarations for each type.
    of_type: HashMap<TypeId, Vec<usize>>,
}

/// A declaration that the schema allows.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Its position among those of the bundle.
    pub number: usize,
    each: TypeId,
    each_name: Box<str>,
    id: Option<Box<str>>,
    when: Option<Path>,
    template: Named,
    /// Why what begins like a path leads nowhere.
    no_path: Option<String>,
    slots: [Option<Slot>; 2],
    /// What happens where a name is no template's.
    pub missing: Missing,
    /// Where it is written.
    pub written: Option<Written>,
    /// Where its links are said to come from; shared by all of them.
    place: Written,
}

#[derive(Debug)]
enum Named {
    Fixed(Arc<str>),
    Path(Path),
}

#[derive(Debug)]
enum Slot {
    /// The entity that makes the link.
    Own,
    Path(Path),
}

/// What made a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Maker {
    /// The declaration's position.
    pub declaration: DeclarationIx,
    /// The entity.
    pub entity: EntityId,
}

/// What an entity makes by a declaration: a link of every template that `holder` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The declaration's position.
    pub declaration: DeclarationIx,
    /// The entity that makes it.
    pub entity: EntityId,
    /// The entities of `?principal` and `?resource`, or [`EntityId::NONE`].
    pub slots: [EntityId; 2],
    /// The entity whose attribute names the templates, or [`EntityId::NONE`] where the declaration does.
    pub holder: EntityId,
}

/// An entity on a path is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenPath {
    declaration: DeclarationIx,
    /// The entity that the path begins at.
    pub from: EntityId,
    /// The one that is not stored.
    gone: EntityId,
}

/// A store as it was before a draft of it: ids that the draft gave out are of nothing in it.
pub(crate) struct Before<'s>(pub &'s Store);

impl Records for Before<'_> {
    fn record_of(&self, id: EntityId) -> Option<Entity<'_>> {
        self.0.earlier(id)
    }

    fn type_of_id(&self, id: EntityId) -> TypeId {
        self.0.type_of(id)
    }

    fn names(&self) -> &Symbols {
        self.0.symbols()
    }
}

impl Checked {
    /// What grants know it by.
    pub(crate) fn ix(&self) -> DeclarationIx {
        DeclarationIx::from_raw(self.number as u32)
    }

    /// A finding about the declaration, or what it made.
    pub(crate) fn finding(&self, message: String) -> Diagnostic {
        self.finding_at("", message)
    }

    /// The same about a member of it.
    pub(crate) fn finding_at(&self, member: &str, message: String) -> Diagnostic {
        check::at(self.written.as_ref(), self.number, member, message)
    }

    /// The path by which data name templates, as it is written.
    pub(crate) fn naming_path(&self) -> Option<&str> {
        match &self.template {
            Named::Fixed(_) => None,
            Named::Path(path) => Some(&path.text),
        }
    }

    /// The template that it names, where that does not depend on data.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &self.template {
            Named::Fixed(name) => Some(name),
            Named::Path(_) => None,
        }
    }

    /// The path of what must be true, as it is written.
    pub(crate) fn when_text(&self) -> Option<&str> {
        self.when.as_ref().map(|path| path.text.as_str())
    }

    /// What fills each slot, as it is written: `self`, or a path.
    pub(crate) fn slot_texts(&self) -> [Option<&str>; 2] {
        self.slots.each_ref().map(|slot| match slot {
            None => None,
            Some(Slot::Own) => Some("self"),
            Some(Slot::Path(path)) => Some(path.text.as_str()),
        })
    }

    /// Whether its data name several templates at a time.
    pub(crate) fn names_many(&self) -> bool {
        matches!(&self.template, Named::Path(path) if matches!(path.end, Type::Set(_)))
    }

    /// Why the template that it names is no path, where it begins like one.
    pub(crate) fn no_path(&self) -> Option<&str> {
        self.no_path.as_deref()
    }

    /// The type of what each slot is filled with, where it is filled.
    pub(crate) fn slot_types(&self) -> [Option<String>; 2] {
        self.slots.each_ref().map(|slot| match slot {
            None => None,
            Some(Slot::Own) => Some(self.each_name.to_string()),
            Some(Slot::Path(path)) => match &path.end {
                Type::Entity(name) => Some(name.to_string()),
                _ => broken("a slot that is filled with no entity"),
            },
        })
    }

    /// The type whose entities make its links.
    pub(crate) fn each(&self) -> &str {
        &self.each_name
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let slots = self.slots.iter().filter_map(|slot| match slot {
            Some(Slot::Path(path)) => Some(path),
            _ => None,
        });
        let named = match &self.template {
            Named::Path(path) => Some(path),
            Named::Fixed(_) => None,
        };
        self.when.iter().chain(named).chain(slots)
    }

    /// What an entity of its type makes.
    fn grant(&self, records: &impl Records, entity: EntityId) -> Result<Option<Grant>, NotStored> {
        if let Some(when) = &self.when
            && !matches!(when.walk(records, entity)?, Some(Val::Bool(true)))
        {
            return Ok(None);
        }
        let mut slots = [EntityId::NONE; 2];
        let mut absent = false;
        for (filled, slot) in slots.iter_mut().zip(&self.slots) {
            match slot {
                None => {}
                Some(Slot::Own) => *filled = entity,
                Some(Slot::Path(path)) => match path.walk(records, entity)? {
                    Some(Val::Entity(id)) => *filled = id,
                    Some(_) => broken("a value that the schema does not declare"),
                    None => absent = true,
                },
            }
        }
        // it is read also where a slot is not filled, so that whether a path is broken does not depend on the others
        let holder = match &self.template {
            Named::Fixed(_) => Some(EntityId::NONE),
            Named::Path(path) => path.holder(records, entity)?,
        };
        let declaration = self.ix();
        Ok(holder.filter(|_| !absent).map(|holder| Grant { declaration, entity, slots, holder }))
    }

    /// The templates that a holder names, each once.
    pub(crate) fn names(&self, records: &impl Records, holder: EntityId) -> Vec<Arc<str>> {
        let text = |name: &[u8]| -> Arc<str> { utf8(name).into() };
        match &self.template {
            Named::Fixed(name) => vec![name.clone()],
            Named::Path(path) => match path.read(records, holder) {
                None => Vec::new(),
                Some(Val::Text(name)) => vec![text(name)],
                Some(Val::Set(names)) => (0..names.len())
                    .map(|i| match names.get(i) {
                        Val::Text(name) => text(name),
                        _ => broken("a value that the schema does not declare"),
                    })
                    .collect(),
                Some(_) => broken("a value that the schema does not declare"),
            },
        }
    }

    /// Whether entities of the type have the attribute that names templates.
    pub(crate) fn names_by(&self, ty: TypeId) -> bool {
        match &self.template {
            Named::Fixed(_) => false,
            Named::Path(path) => path.steps.last().is_some_and(|step| step.holder == ty),
        }
    }
}

impl Declared {
    /// Whether there are no declarations.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The declarations, in the order of the bundle.
    pub(crate) fn list(&self) -> &[Checked] {
        &self.list
    }

    /// The declaration at a position.
    pub(crate) fn at(&self, declaration: DeclarationIx) -> &Checked {
        match self.list.get(declaration.index()) {
            Some(declaration) => declaration,
            None => broken("a declaration that is gone"),
        }
    }

    /// Whether entities of the type make links, or may lie on the path of one that does.
    pub(crate) fn concerns(&self, ty: TypeId) -> bool {
        let mut steps = self.list.iter().flat_map(Checked::paths).flat_map(|path| &path.steps);
        self.makes(ty) || steps.any(|step| step.holder == ty)
    }

    /// Whether entities of the type make links.
    pub(crate) fn makes(&self, ty: TypeId) -> bool {
        self.of_type.contains_key(&ty)
    }

    /// What an entity makes, in the order of declarations; nothing if it is not stored.
    ///
    /// # Errors
    /// If an entity on a path is not stored.
    pub(crate) fn grants(
        &self,
        records: &impl Records,
        ty: TypeId,
        entity: EntityId,
    ) -> Result<Vec<Grant>, BrokenPath> {
        let mut found = Vec::new();
        let Some(declarations) = self.of_type.get(&ty) else { return Ok(found) };
        if !records.record_of(entity).is_some_and(Entity::is_present) {
            return Ok(found);
        }
        for declaration in declarations.iter().filter_map(|n| self.list.get(*n)) {
            let grant = declaration.grant(records, entity);
            found.extend(grant.map_err(|NotStored(gone)| BrokenPath {
                declaration: declaration.ix(),
                from: entity,
                gone,
            })?);
        }
        Ok(found)
    }

    /// The link by hand that says what a grant says of a template.
    pub(crate) fn link(&self, grant: &Grant, template: &str, records: &impl Records) -> Link {
        let declaration = self.at(grant.declaration);
        let slots = ["?principal", "?resource"].into_iter().zip(grant.slots).filter(|(_, id)| *id != EntityId::NONE);
        let uid = |id: EntityId| export::uid_of(records, id).to_string();
        Link {
            template_id: template.to_owned(),
            link_id: self.link_id(grant, template, records),
            args: slots.map(|(slot, id)| (slot.to_owned(), uid(id))).collect(),
            written: Some(declaration.place.clone()),
        }
    }

    /// The id of the link that a grant makes of a template.
    pub(crate) fn link_id(&self, grant: &Grant, template: &str, records: &impl Records) -> String {
        let Some(record) = records.record_of(grant.entity) else { broken("a link of an entity that was never named") };
        let id = utf8(record.id());
        let type_name = records.names().type_name(records.type_of_id(grant.entity));
        let mut text = String::with_capacity(template.len() + type_name.len() + id.len() + 16);
        text.push_str(template);
        if let Some(label) = &self.at(grant.declaration).id {
            text.push('@');
            text.push_str(label);
        }
        let uid = Uid { type_name: Cow::Borrowed(type_name), id: Cow::Borrowed(id) };
        // a text takes all that is written
        let _ = write!(text, "@{uid}");
        text
    }

    /// What an id of a link may be made of: declarations, and the text of the entity each, where it begins with `template`.
    fn parts<'i>(&self, id: &'i str, template: &str) -> impl Iterator<Item = (&Checked, &'i str)> {
        let rest = id.strip_prefix(template).and_then(|rest| rest.strip_prefix('@'));
        self.list.iter().filter_map(move |declaration| match &declaration.id {
            None => Some((declaration, rest?)),
            Some(label) => Some((declaration, rest?.strip_prefix(&**label)?.strip_prefix('@')?)),
        })
    }

    /// The entity that made a link, as its id names it.
    pub(crate) fn maker_of<'l>(&self, declaration: &Checked, link: &'l Link) -> &'l str {
        let label = declaration.id.as_ref().map_or(0, |id| id.len() + 1);
        link.link_id.get(link.template_id.len() + 1 + label..).unwrap_or(&link.link_id)
    }

    /// What a broken path is, in words.
    pub(crate) fn explain(&self, fault: BrokenPath, records: &impl Records) -> String {
        let uid = |id: EntityId| export::uid_of(records, id);
        let place = &self.at(fault.declaration).place;
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!(
            "`{}` makes links by `{}`, which is not stored (links from data at {}{line})",
            uid(fault.from),
            uid(fault.gone),
            place.origin
        )
    }

    /// The entities whose grants may be others once these entities were written or removed: they themselves, and those
    /// whose paths lead through them by an attribute that is another. What an entity names as templates is no part of that.
    pub(crate) fn affected(
        &self,
        before: &Before<'_>,
        draft: &Draft,
        touched: impl Iterator<Item = EntityId>,
    ) -> BTreeSet<EntityId> {
        let mut found = BTreeSet::new();
        let mut seen = HashSet::new();
        for id in touched {
            let ty = draft.type_of(id);
            if self.makes(ty) {
                found.insert(id);
            }
            let reads_the_same = |path: &Path, level: usize, names: bool| {
                let old = before.record_of(id).filter(|record: &Entity<'_>| record.is_present());
                let new = Some(draft.record(id)).filter(|record| record.is_present());
                let (Some(old), Some(new)) = (old, new) else { return false };
                if names && level + 1 == path.steps.len() {
                    return true;
                }
                let attribute = path.steps[level].attribute;
                match (old.attributes().find(attribute), new.attributes().find(attribute)) {
                    (None, None) => true,
                    (Some(Val::Entity(old)), Some(Val::Entity(new))) => old == new,
                    (Some(Val::Bool(old)), Some(Val::Bool(new))) => old == new,
                    _ => false,
                }
            };
            self.climb(ty, id, &mut seen, &reads_the_same, &|id| draft.referrers(id), draft, &mut |id| {
                found.insert(id);
                true
            });
        }
        found
    }

    /// A grant for which an entity names templates by a declaration, as the draft has it. All paths are known to be whole.
    pub(crate) fn grant_of(&self, declaration: DeclarationIx, holder: EntityId, draft: &Draft) -> Option<Grant> {
        let mut found = None;
        let mut look = |id: EntityId| {
            let Ok(grants) = self.grants(draft, draft.type_of(id), id) else { broken("a broken path that was let in") };
            found = grants.into_iter().find(|grant| (grant.declaration, grant.holder) == (declaration, holder));
            found.is_none()
        };
        if look(holder) {
            let referrers = |id| draft.referrers(id);
            let never = |_: &Path, _, _| false;
            self.climb(draft.type_of(holder), holder, &mut HashSet::new(), &never, &referrers, draft, &mut look);
        }
        found
    }

    /// Whether a stored entity makes links, or lies on the path of one that may.
    pub(crate) fn reads(&self, store: &Store, id: EntityId) -> bool {
        let ty = store.type_of(id);
        let mut found = self.makes(ty);
        if !found {
            let referrers = |id| store.referrers(id).collect();
            self.climb(ty, id, &mut HashSet::new(), &|_, _, _| false, &referrers, store, &mut |_| {
                found = true;
                false
            });
        }
        found
    }

    /// Calls `visit` with the entities whose paths read an attribute of an entity, or may, until it says false. Attributes
    /// that name an entity lead back to those that hold it, step by step. `is_same` says of a path, a level of it, and
    /// whether the path names templates, that there is no need to.
    #[expect(clippy::too_many_arguments, reason = "what leads back is another for a store and a draft")]
    fn climb(
        &self,
        ty: TypeId,
        id: EntityId,
        seen: &mut HashSet<(usize, usize, usize, EntityId)>,
        is_same: &dyn Fn(&Path, usize, bool) -> bool,
        referrers: &dyn Fn(EntityId) -> Vec<EntityId>,
        records: &impl Records,
        visit: &mut dyn FnMut(EntityId) -> bool,
    ) {
        for (d, declaration) in self.list.iter().enumerate() {
            for (p, path) in declaration.paths().enumerate() {
                let names = matches!(&declaration.template, Named::Path(naming) if std::ptr::eq(naming, path));
                // what is read first is the entity's own
                for level in (1..path.steps.len()).filter(|level| path.steps[*level].holder == ty) {
                    if is_same(path, level, names) {
                        continue;
                    }
                    let mut open = vec![(level, id)];
                    while let Some((level, at)) = open.pop() {
                        if level == 0 {
                            if !visit(at) {
                                return;
                            }
                            continue;
                        }
                        if !seen.insert((d, p, level, at)) {
                            continue;
                        }
                        let step = path.steps[level - 1];
                        let holds = |holder: &EntityId| {
                            records.type_of_id(*holder) == step.holder
                                && records.record_of(*holder).is_some_and(|record| {
                                    matches!(record.attributes().find(step.attribute), Some(Val::Entity(held)) if held == at)
                                })
                        };
                        open.extend(referrers(at).into_iter().filter(holds).map(|holder| (level - 1, holder)));
                    }
                }
            }
        }
    }
}
