//! The grants of a state, filed under what fills their slots, and what their roles name.
//!
//! ```text
//! (kind, entity) ------> grants whose slot it fills     (list.rs)
//! (declaration, role) -> templates, and how many grants have them
//! ```
//!
//! A role of twenty permissions with fifty grants is twenty numbers and a hundred entries, and not a thousand links. A
//! change of the role changes the twenty numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::broken::broken;
use crate::derived::Grant;
use crate::derived::list::{Edit, Filed, List};
use crate::derived::pending::{Pending, Tallied};
use crate::derived::shards::Shards;
use crate::ids::{DeclarationIx, EntityId, TemplateIx};

/// How a grant is filed: one that fills both slots twice, under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Both slots are filled; under that of the principal.
    BothByPrincipal,
    /// Both slots are filled; under that of the resource.
    BothByResource,
    /// The principal's slot alone.
    Principal,
    /// The resource's slot alone.
    Resource,
}

/// What a role names, for the grants of one declaration.
#[derive(Debug, Clone)]
struct Templates {
    /// Numbers of templates, sorted.
    known: Arc<[TemplateIx]>,
    /// Names that are no templates'.
    unknown: Arc<[Arc<str>]>,
    /// How many grants have them.
    grants: usize,
}

/// The grants. Cloning them copies some pointers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    filed: Shards<List>,
    sets: Shards<Templates>,
    /// How many grants are of each kind.
    counts: [usize; 4],
    /// How many links there are for each declaration and template.
    uses: Arc<BTreeMap<(DeclarationIx, TemplateIx), usize>>,
    /// The sets that name what is no template.
    unknown: Arc<BTreeSet<u64>>,
    links: usize,
    /// Shared by those that are the same.
    stamp: Arc<()>,
}

/// Says which template has a name.
pub(crate) type Numbers<'n> = &'n dyn Fn(&str) -> Option<TemplateIx>;

/// The declaration and the holder of such a key.
pub(super) fn of_set_key(key: u64) -> (DeclarationIx, EntityId) {
    (DeclarationIx::from_raw((key >> 32) as u32), EntityId::from_raw(key as u32))
}

/// The key of what `holder` names for a declaration.
pub(super) fn set_key(declaration: DeclarationIx, holder: EntityId) -> u64 {
    u64::from(declaration.raw()) << 32 | u64::from(holder.raw())
}

fn list_key(kind: Kind, entity: EntityId) -> u64 {
    (kind as u64) << 32 | u64::from(entity.raw())
}

/// Where a grant is filed, and as what.
fn places(grant: &Grant) -> impl Iterator<Item = (Kind, u64, Filed)> {
    let Grant { declaration, entity, slots: [principal, resource], holder } = *grant;
    let place = move |kind: Kind, under: EntityId, other: EntityId| {
        (kind, list_key(kind, under), Filed { entity, declaration, other, holder })
    };
    let places = match (principal, resource) {
        // no template has no slot
        (EntityId::NONE, EntityId::NONE) => [None, None],
        (principal, EntityId::NONE) => [Some(place(Kind::Principal, principal, EntityId::NONE)), None],
        (EntityId::NONE, resource) => [Some(place(Kind::Resource, resource, EntityId::NONE)), None],
        (principal, resource) => [
            Some(place(Kind::BothByPrincipal, principal, resource)),
            Some(place(Kind::BothByResource, resource, principal)),
        ],
    };
    places.into_iter().flatten()
}

/// The grant that is filed so; nothing where it is filed a second time.
fn granted(key: u64, filed: &Filed) -> Option<Grant> {
    let Filed { entity, declaration, other, holder } = *filed;
    let (kind, under) = (key >> 32, EntityId::from_raw(key as u32));
    let slots = match kind {
        kind if kind == Kind::BothByPrincipal as u64 => [under, other],
        kind if kind == Kind::Principal as u64 => [under, EntityId::NONE],
        kind if kind == Kind::Resource as u64 => [EntityId::NONE, under],
        _ => return None,
    };
    Some(Grant { declaration, entity, slots, holder })
}

impl Templates {
    fn of(names: &[Arc<str>], grants: usize, numbers: Numbers<'_>) -> Self {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for name in names {
            match numbers(name) {
                Some(number) => known.push(number),
                None => unknown.push(name.clone()),
            }
        }
        known.sort_unstable();
        Self { known: known.into(), unknown: unknown.into(), grants }
    }
}

/// How many of `numbers` are not among `others`. Both are sorted.
fn beyond(numbers: &[TemplateIx], others: &[TemplateIx]) -> usize {
    numbers.iter().filter(|number| others.binary_search(number).is_err()).count()
}

impl Grants {
    /// Whether there is no link.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.links == 0
    }

    /// Whether the two are known to be the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stamp, &other.stamp)
    }

    /// The grants whose links another may lack, of those that have a link of some `templates`; nothing if all of them may.
    pub(crate) fn apart_from(&self, other: &Self, templates: &[TemplateIx]) -> Option<Vec<Grant>> {
        let names = |set: &Templates| templates.iter().any(|template| set.known.binary_search(template).is_ok());
        let has = |grant: &Grant| names(self.set(set_key(grant.declaration, grant.holder)));
        let changed = |(key, set): &(u64, &Templates)| {
            let others = other.sets.get(*key).map(|set| &*set.known).unwrap_or_default();
            names(set) && beyond(&set.known, others) > 0
        };
        let sets: HashSet<u64> = self.sets.apart_from(&other.sets)?.filter(changed).map(|(key, _)| key).collect();
        let mut found: Vec<Grant> = Vec::new();
        for (key, list) in self.filed.apart_from(&other.filed)? {
            match other.filed.get(key) {
                Some(others) => list.apart_from(others, &mut |filed| found.extend(granted(key, filed))),
                None => found.extend(list.iter().filter_map(|filed| granted(key, filed))),
            }
        }
        if !sets.is_empty() {
            found.extend(self.all().filter(|grant| sets.contains(&set_key(grant.declaration, grant.holder))));
        }
        found.retain(has);
        Some(found)
    }

    /// How many links there are.
    pub(crate) fn len(&self) -> usize {
        self.links
    }

    /// Whether no grant is of a kind.
    #[inline]
    pub(crate) fn has_none(&self, kind: Kind) -> bool {
        self.counts[kind as usize] == 0
    }

    /// The grants of a kind that are filed under an entity.
    #[inline]
    pub(crate) fn filed(&self, kind: Kind, entity: EntityId) -> Option<&List> {
        self.filed.get(list_key(kind, entity))
    }

    /// The templates that the holder of a grant names for its declaration, sorted.
    #[inline]
    pub(crate) fn templates(&self, declaration: DeclarationIx, holder: EntityId) -> &[TemplateIx] {
        &self.set(set_key(declaration, holder)).known
    }

    /// INVARIANT: a set is there as long as a grant has it. Without one the links of the grant would silently be none, those
    /// that forbid among them.
    #[inline]
    fn set(&self, key: u64) -> &Templates {
        match self.sets.get(key) {
            Some(set) => set,
            None => broken("a grant whose templates are gone"),
        }
    }

    /// The same with the names that are no templates', where there is such a grant.
    pub(super) fn named(&self, declaration: DeclarationIx, holder: EntityId) -> Option<(&[TemplateIx], &[Arc<str>])> {
        self.sets.get(set_key(declaration, holder)).map(|set| (&*set.known, &*set.unknown))
    }

    /// The first name that a holder names, before it is known which are templates'.
    pub(crate) fn first_name(&self, declaration: DeclarationIx, holder: EntityId) -> Option<&str> {
        self.named(declaration, holder).and_then(|(_, names)| names.first().map(|name| &**name))
    }

    /// All grants, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Grant> {
        self.filed.iter().flat_map(|(key, list)| list.iter().filter_map(move |filed| granted(key, filed)))
    }

    /// How many links there are of each declaration and template that has one.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (DeclarationIx, TemplateIx, usize)> {
        self.uses.iter().map(|((declaration, template), links)| (*declaration, *template, *links))
    }

    /// Whether a declaration has links of a template.
    pub(crate) fn has(&self, declaration: DeclarationIx, template: TemplateIx) -> bool {
        self.uses.contains_key(&(declaration, template))
    }

    /// A grant that makes a link of a template, by a declaration if one is given.
    pub(crate) fn first(&self, template: TemplateIx, declaration: Option<DeclarationIx>) -> Option<Grant> {
        let names = |grant: &Grant| self.templates(grant.declaration, grant.holder).binary_search(&template).is_ok();
        let fits = |grant: &Grant| declaration.is_none_or(|declaration| declaration == grant.declaration);
        self.all().filter(|grant| fits(grant) && names(grant)).min_by_key(|grant| (grant.entity, grant.declaration))
    }

    /// One who names a template for grants of a declaration, among the first `most` roles.
    pub(crate) fn naming(&self, declaration: DeclarationIx, template: TemplateIx, most: usize) -> Option<EntityId> {
        let names = |set: &Templates| set.known.binary_search(&template).is_ok();
        let of = |key: u64| of_set_key(key).0 == declaration;
        self.sets.iter().take(most).find(|(key, set)| of(*key) && names(set)).map(|(key, _)| of_set_key(key).1)
    }

    /// The declarations and holders that name what is no template, with the names.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (DeclarationIx, EntityId, &[Arc<str>])> {
        self.unknown.iter().map(|key| {
            let (declaration, holder) = of_set_key(*key);
            (declaration, holder, &*self.set(*key).unknown)
        })
    }

    /// The grants after what is `pending`, and how many links that adds and removes.
    pub(crate) fn with(&self, pending: &Pending, numbers: Numbers<'_>) -> (Self, Tallied) {
        let (mut after, mut tallied) = (Self { stamp: Arc::default(), ..self.clone() }, Tallied::default());
        let mut moves: HashMap<u64, (usize, usize)> = pending.names.keys().map(|key| (*key, (0, 0))).collect();
        let key = |grant: &Grant| set_key(grant.declaration, grant.holder);
        for (old, new) in &pending.moved {
            if let Some(old) = old {
                moves.entry(key(old)).or_default().0 += 1;
            }
            if let Some(new) = new {
                moves.entry(key(new)).or_default().1 += 1;
            }
        }
        for (key, (left, came)) in moves {
            let known = self.sets.get(key);
            let Some(stay) = known.map_or(0, |known| known.grants).checked_sub(left) else {
                broken("more grants go than there were");
            };
            let count = stay + came;
            let set = (count > 0).then(|| match (pending.names.get(&key), known) {
                (Some(names), _) => Templates::of(names, count, numbers),
                (None, Some(known)) => Templates { grants: count, ..known.clone() },
                (None, None) => broken("a new grant whose templates were not read"),
            });
            if let (Some(known), Some(set)) = (known, &set) {
                tallied.added += stay * beyond(&set.known, &known.known);
                tallied.removed += stay * beyond(&known.known, &set.known);
            }
            after.put(key, set);
        }
        let none: &[TemplateIx] = &[];
        for (old, new) in &pending.moved {
            let had = old.as_ref().map_or(none, |old| self.templates(old.declaration, old.holder));
            let has = new.as_ref().map_or(none, |new| after.templates(new.declaration, new.holder));
            let same = old.zip(*new).is_some_and(|(old, new)| old.slots == new.slots);
            tallied.added += beyond(has, if same { had } else { none });
            tallied.removed += beyond(had, if same { has } else { none });
        }
        after.file(&pending.moved);
        (after, tallied)
    }

    /// The same once names that were no templates' are, and how many links that adds.
    pub(crate) fn resolved(mut self, numbers: Numbers<'_>) -> (Self, usize) {
        let before = self.links;
        self.stamp = Arc::default();
        for key in self.unknown.clone().iter() {
            let set = self.set(*key).clone();
            let Templates { known, unknown, .. } = Templates::of(&set.unknown, set.grants, numbers);
            if known.is_empty() {
                continue;
            }
            let mut all: Vec<TemplateIx> = set.known.iter().chain(known.iter()).copied().collect();
            all.sort_unstable();
            self.put(*key, Some(Templates { known: all.into(), unknown, ..set }));
        }
        let added = self.links - before;
        (self, added)
    }

    /// Puts what a holder names in place of what it named.
    fn put(&mut self, key: u64, set: Option<Templates>) {
        let (declaration, _) = of_set_key(key);
        let known = self.sets.get(key).cloned();
        let unchanged = |a: &Templates, b: &Templates| a.known == b.known && a.grants == b.grants;
        if !known.as_ref().zip(set.as_ref()).is_some_and(|(known, set)| unchanged(known, set)) {
            let uses = Arc::make_mut(&mut self.uses);
            if let Some(known) = &known {
                self.links -= known.grants * known.known.len();
                for template in &*known.known {
                    match uses.get_mut(&(declaration, *template)) {
                        Some(links) => *links -= known.grants,
                        None => broken("a template that is used and is not counted"),
                    }
                }
            }
            if let Some(set) = &set {
                self.links += set.grants * set.known.len();
                for template in &*set.known {
                    *uses.entry((declaration, *template)).or_default() += set.grants;
                }
            }
            for template in known.iter().flat_map(|known| known.known.iter()) {
                if uses.get(&(declaration, *template)) == Some(&0) {
                    uses.remove(&(declaration, *template));
                }
            }
        }
        if set.as_ref().is_some_and(|set| !set.unknown.is_empty()) {
            Arc::make_mut(&mut self.unknown).insert(key);
        } else if self.unknown.contains(&key) {
            Arc::make_mut(&mut self.unknown).remove(&key);
        }
        self.sets.edit(key, |_| set);
    }

    /// Files what comes and takes out what goes.
    fn file(&mut self, moved: &[(Option<Grant>, Option<Grant>)]) {
        let mut edits: Vec<(u64, Edit)> = Vec::new();
        for (old, new) in moved {
            for (kind, key, filed) in old.iter().flat_map(places) {
                self.counts[kind as usize] -= 1;
                edits.push((key, ((filed.entity, filed.declaration), None)));
            }
            for (kind, key, filed) in new.iter().flat_map(places) {
                self.counts[kind as usize] += 1;
                edits.push((key, ((filed.entity, filed.declaration), Some(filed))));
            }
        }
        // of two under one key what comes counts
        edits.sort_unstable_by_key(|(key, (id, new))| (*key, *id, new.is_none()));
        edits.dedup_by_key(|(key, (id, _))| (*key, *id));
        for of_list in edits.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((key, _)) = of_list.first() else { continue };
            let edits: Vec<Edit> = of_list.iter().map(|(_, edit)| *edit).collect();
            self.filed.edit(*key, |known| List::with(known, &edits));
        }
    }
}
