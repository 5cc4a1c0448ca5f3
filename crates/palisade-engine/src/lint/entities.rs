//! References of stored entities to what is not stored, and groups that nothing uses.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::near::Near;
use super::{MAX_WARNINGS, Subject, listed, uid};
use crate::derived::Declared;
use crate::ids::{EntityId, NameId, TypeId};
use crate::model::Diagnostic;
use crate::policies::named::MAX_NAMES;
use crate::policies::named::Named;
use crate::schema::{Members, Type};
use crate::store::{Entity, Store};

/// How many names one warning lists.
const MAX_TOGETHER: usize = 10;

/// How an entity refers to another.
#[derive(Debug, Clone, Copy)]
enum Role {
    Parent,
    Attribute(NameId),
    Tag,
}

/// What refers to one that is not stored.
#[derive(Debug)]
struct Dangling {
    from: EntityId,
    role: Role,
    more: usize,
}

/// Parents, attributes and tags that name what is not stored, each name once.
pub(super) fn dangling(subject: &Subject<'_>, near: &mut Near<'_>) -> Vec<Diagnostic> {
    let store = subject.store;
    let mut found: HashMap<EntityId, Dangling> = HashMap::new();
    let mut unkept = 0;
    for from in store.ids() {
        let Some(entity) = store.entity(from).filter(|entity| !entity.is_schema_action()) else { continue };
        references(entity, &mut |to, role| {
            if !near.lacks(store.type_of(to), to) {
                return;
            }
            let is_full = found.len() >= MAX_NAMES;
            match found.get_mut(&to) {
                Some(dangling) => dangling.more += 1,
                None if is_full => unkept += 1,
                None => drop(found.insert(to, Dangling { from, role, more: 0 })),
            }
        });
    }
    let mut found: Vec<(EntityId, Dangling)> = found.into_iter().collect();
    found.sort_by_key(|(to, dangling)| (dangling.from, *to));
    let total = found.len() + unkept;
    found.truncate(MAX_WARNINGS);
    let warn = |(to, Dangling { from, role, more }): &(EntityId, Dangling)| {
        let (from_name, to) = (near.name(*from), near.name(*to));
        let what = match role {
            Role::Parent => format!("the parent `{to}` of `{from_name}`"),
            Role::Attribute(name) => {
                let name = store.symbols().attribute_name(*name).map_or("", |name| name);
                format!("`{to}`, which the attribute `{name}` of `{from_name}` names,")
            }
            Role::Tag => format!("`{to}`, which a tag of `{from_name}` names,"),
        };
        let others = match more {
            0 => String::new(),
            1 => " (one more reference is to it)".to_owned(),
            n => format!(" ({n} more references are to it)"),
        };
        (*from, format!("{what} is not stored{others}{}", near.hint(&to)))
    };
    let told = found.iter().map(warn).collect();
    let told = subject.places.warnings(told, subject.documents);
    let more = total - told.len().min(total);
    listed(told, more, "dangling-name")
}

fn references(entity: Entity<'_>, found: &mut dyn FnMut(EntityId, Role)) {
    for parent in entity.parents() {
        found(parent, Role::Parent);
    }
    let attributes = entity.attributes();
    for i in 0..attributes.len() {
        let (name, value) = attributes.get(i);
        value.entities(&mut |to| found(to, Role::Attribute(name)));
    }
    for i in 0..entity.tag_count() {
        entity.tag_at(i).1.entities(&mut |to| found(to, Role::Tag));
    }
}

/// Stored groups that no policy and no link names, nor a group that they are in. Only of types that can be used in no
/// other way: not as principal or resource, nor as an attribute.
pub(super) fn unused_groups(named: &Named, subject: &Subject<'_>, near: &Near<'_>) -> Vec<Diagnostic> {
    // with templates that are not linked, or names that were not kept, nothing can be said
    if named.more > 0 || !subject.policies.unlinked(&Declared::default()).is_empty() {
        return Vec::new();
    }
    let store = subject.store;
    let types = group_types(subject);
    let uses = named.entities.keys().filter_map(|name| near.find(&uid(name))).collect();
    let mut used = Used { store, types: &types, known: HashMap::new(), uses };
    let mut unused: BTreeMap<TypeId, (Vec<EntityId>, usize)> = BTreeMap::new();
    for id in store.ids().filter(|id| types.contains(&store.type_of(*id))) {
        if store.entity(id).is_some() && !used.is(id) {
            let (first, count) = unused.entry(store.type_of(id)).or_default();
            if first.len() < MAX_TOGETHER {
                first.push(id);
            }
            *count += 1;
        }
    }
    let warn = |(_, (first, count)): (&TypeId, &(Vec<EntityId>, usize))| {
        let names: Vec<String> = first.iter().map(|id| format!("`{}`", near.name(*id))).collect();
        let more = match count - first.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let are = if *count == 1 { "is a group" } else { "are groups" };
        let message = format!("{}{more} {are} that no policy names, so being in it changes nothing", names.join(", "));
        Some((*first.first()?, message))
    };
    let told = unused.iter().filter_map(warn).collect();
    listed(subject.places.warnings(told, subject.documents), 0, "unused-group")
}

/// Types that others can be in, and that are nothing else.
fn group_types(subject: &Subject<'_>) -> HashSet<TypeId> {
    let Some((schema, _)) = subject.schema else { return HashSet::new() };
    let core = schema.core();
    let mut names: HashSet<String> =
        core.entity_types().filter(|ty| !ty.descendants.is_empty()).map(|ty| ty.name().to_string()).collect();
    for action in core.action_ids() {
        for ty in action.applies_to_principals().chain(action.applies_to_resources()) {
            names.remove(&ty.to_string());
        }
    }
    schema.all_members(&mut |members| mentioned(members, &mut names));
    schema.all_tags(&mut |ty| mentioned_in(ty, &mut names));
    names.iter().filter_map(|name| subject.store.symbols().type_id(name)).collect()
}

fn mentioned(members: &Members, names: &mut HashSet<String>) {
    members.values().for_each(|member| mentioned_in(&member.ty, names));
}

/// Recurses with the nesting of the type, which is bounded.
fn mentioned_in(ty: &Type, names: &mut HashSet<String>) {
    match ty {
        Type::Entity(name) => drop(names.remove(&**name)),
        Type::Set(element) => mentioned_in(element, names),
        Type::Record(members) => mentioned(members, names),
        _ => {}
    }
}

/// Which groups something uses.
struct Used<'s> {
    store: &'s Store,
    types: &'s HashSet<TypeId>,
    known: HashMap<EntityId, bool>,
    uses: HashSet<EntityId>,
}

impl Used<'_> {
    /// Recurses with the levels of the hierarchy, which are bounded and in which there is no cycle.
    fn is(&mut self, id: EntityId) -> bool {
        // others may be used in ways that are not looked at
        if self.uses.contains(&id) || !self.types.contains(&self.store.type_of(id)) {
            return true;
        }
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let parents: Vec<EntityId> = self.store.entity(id).into_iter().flat_map(Entity::parents).collect();
        let used = parents.into_iter().any(|parent| self.is(parent));
        self.known.insert(id, used);
        used
    }
}
