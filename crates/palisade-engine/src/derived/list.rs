//! The grants that are filed under one entity, in the order of those that make them. Copies share what neither changed,
//! so that one more costs about the same however many there are.

use std::collections::HashSet;
use std::sync::Arc;

use crate::ids::{DeclarationIx, EntityId};

/// Grants of a part, at most.
const PART: usize = 256;

/// A grant as it is filed under what fills one of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filed {
    /// The entity that makes it.
    pub entity: EntityId,
    /// The declaration by which it does.
    pub declaration: DeclarationIx,
    /// What fills its other slot, or [`EntityId::NONE`].
    pub other: EntityId,
    /// The entity that names its templates, or [`EntityId::NONE`] where the declaration does.
    pub holder: EntityId,
}

impl Filed {
    fn key(&self) -> (EntityId, DeclarationIx) {
        (self.entity, self.declaration)
    }
}

/// What happens to the grant that an entity makes by a declaration: it is this one, or it is gone.
pub(super) type Edit = ((EntityId, DeclarationIx), Option<Filed>);

/// A sorted list.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Few(Arc<[Filed]>),
    Many { parts: Arc<[Arc<[Filed]>]>, len: usize },
}

impl List {
    fn from_sorted(all: &[Filed]) -> Self {
        if all.len() <= PART {
            return Self::Few(all.into());
        }
        Self::Many { parts: all.chunks(PART / 2).map(Arc::from).collect(), len: all.len() }
    }

    /// How many grants.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(all) => all.len(),
            Self::Many { len, .. } => *len,
        }
    }

    /// All of them.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Filed> {
        let (few, many) = match self {
            Self::Few(all) => (&**all, [].as_slice()),
            Self::Many { parts, .. } => ([].as_slice(), &**parts),
        };
        few.iter().chain(many.iter().flat_map(|part| part.iter()))
    }

    /// Calls `visit` with those that another does not share with this one, and some that both have.
    pub(super) fn apart_from(&self, other: &Self, visit: &mut dyn FnMut(&Filed)) {
        match (self, other) {
            (Self::Many { parts, .. }, Self::Many { parts: others, .. }) => {
                let shared: HashSet<*const Filed> = others.iter().map(|part| part.as_ptr()).collect();
                let apart = parts.iter().filter(|part| !shared.contains(&part.as_ptr()));
                apart.flat_map(|part| part.iter()).for_each(visit);
            }
            (Self::Few(own), Self::Few(others)) if Arc::ptr_eq(own, others) => {}
            _ => self.iter().for_each(visit),
        }
    }

    /// The list after `edits`, which are sorted, each key once. Nothing where none is left.
    pub(super) fn with(known: Option<&Self>, edits: &[Edit]) -> Option<Self> {
        let whole = match known {
            None => return Some(Self::from_sorted(&merged(&[], edits))).filter(|list| list.len() > 0),
            Some(Self::Few(all)) => Self::from_sorted(&merged(all, edits)),
            Some(Self::Many { parts, .. }) => {
                let (mut new, mut rest) = (Vec::with_capacity(parts.len() + 1), edits);
                for (i, part) in parts.iter().enumerate() {
                    let next = parts.get(i + 1).and_then(|next| next.first());
                    let until = next.map_or(rest.len(), |next| rest.partition_point(|(key, _)| *key < next.key()));
                    let (here, after) = rest.split_at(until);
                    rest = after;
                    if here.is_empty() {
                        new.push(part.clone());
                        continue;
                    }
                    let all = merged(part, here);
                    let pieces = all.len().div_ceil(PART).max(1);
                    new.extend(all.chunks(all.len().div_ceil(pieces).max(1)).map(Arc::from));
                }
                let len = new.iter().map(|part| part.len()).sum();
                // few in many parts would cost as much as many
                if len <= PART || new.len() > 8 * len / PART + 8 {
                    Self::from_sorted(&new.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>())
                } else {
                    Self::Many { parts: new.into(), len }
                }
            }
        };
        (whole.len() > 0).then_some(whole)
    }
}

fn merged(known: &[Filed], edits: &[Edit]) -> Vec<Filed> {
    let mut all = Vec::with_capacity(known.len() + edits.len());
    let mut edits = edits.iter().peekable();
    for filed in known {
        while let Some((_, new)) = edits.next_if(|(key, _)| *key < filed.key()) {
            all.extend(*new);
        }
        match edits.next_if(|(key, _)| *key == filed.key()) {
            Some((_, new)) => all.extend(*new),
            None => all.push(*filed),
        }
    }
    all.extend(edits.filter_map(|(_, new)| *new));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tests::dice::Dice;

    #[test]
    fn is_what_a_plain_list_is_after_any_edits() {
        let (mut plain, mut list): (BTreeMap<(EntityId, DeclarationIx), Filed>, Option<List>) = (BTreeMap::new(), None);
        let mut dice = Dice(3);
        let mut roll = |n: u64| dice.draw(n);
        for round in 0..600 {
            let before = (plain.clone(), list.clone());
            let edits: BTreeMap<(EntityId, DeclarationIx), Option<Filed>> = (0..roll(40))
                .map(|_| {
                    let (entity, declaration) =
                        (EntityId::from_raw(roll(1_500) as u32), DeclarationIx::from_raw(roll(2) as u32));
                    let filed = Filed {
                        entity,
                        declaration,
                        other: EntityId::from_raw(roll(9) as u32),
                        holder: EntityId::NONE,
                    };
                    let kept = if round < 300 { roll(4) > 0 } else { roll(9) == 0 };
                    ((entity, declaration), kept.then_some(filed))
                })
                .collect();
            for (key, new) in &edits {
                match new {
                    Some(filed) => drop(plain.insert(*key, *filed)),
                    None => drop(plain.remove(key)),
                }
            }
            let edits: Vec<Edit> = edits.into_iter().collect();
            list = List::with(list.as_ref(), &edits);
            let all = |list: &Option<List>| list.iter().flat_map(List::iter).copied().collect::<Vec<_>>();
            assert_eq!(all(&list), plain.values().copied().collect::<Vec<_>>());
            assert_eq!(list.as_ref().map_or(0, List::len), plain.len());
            assert_eq!(all(&before.1), before.0.values().copied().collect::<Vec<_>>(), "an older copy");
        }
    }
}
