//! Keeps the hierarchy free of cycles and within its bounds, at load and at every change.
//!
//! Every record knows an upper bound of the levels below it. A change looks upwards from the entities that it
//! touches, so its cost does not depend on the size of the subtree that it moves; only where the bound says
//! that the limit might be passed is everything counted again.

use std::collections::{HashMap, HashSet};

use super::draft::Draft;
use crate::ids::EntityId;
use crate::settings::Limits;

/// Why a hierarchy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Entities that are their own ancestors, the first repeated at the end.
    Cycle(Vec<EntityId>),
    /// Too many levels of parents.
    TooDeep(EntityId),
    /// Too many direct parents, and how many.
    TooManyParents(EntityId, usize),
}

impl Fault {
    /// The entities that are at fault.
    pub(crate) fn entities(&self) -> &[EntityId] {
        match self {
            Self::Cycle(path) => path,
            Self::TooDeep(id) | Self::TooManyParents(id, _) => std::slice::from_ref(id),
        }
    }
}

/// So many changed entities are looked at one by one, however few there are in all.
const FEW: usize = 1_000;

const NEW: u32 = u32::MAX;
const ON_PATH: u32 = u32::MAX - 1;

impl Draft {
    /// Checks everything and counts the levels below each entity. Its cost grows with entities and edges.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn check_hierarchy(&mut self, limits: &Limits) -> Result<(), Fault> {
        let mut heights = vec![NEW; self.id_bound()];
        // parents before children
        let mut finished = Vec::new();
        for root in self.ids() {
            if heights[root.index()] != NEW {
                continue;
            }
            // most entities come after their parents: no walk, no path
            let entity = self.record(root);
            let mut height = 0;
            for parent in entity.parents() {
                height = match heights[parent.index()] {
                    above if above != NEW && height != NEW => height.max(above + 1),
                    _ => NEW,
                };
            }
            if height != NEW && height as usize <= limits.max_depth && entity.parent_count() <= limits.max_parents {
                heights[root.index()] = height;
                finished.push(root);
                continue;
            }
            self.climb(root, limits, &mut finished, |id| heights[id.index()], &mut Vec::new()).map(|found| {
                for (id, height) in found {
                    heights[id.index()] = height;
                }
            })?;
        }
        let mut below = vec![0_u32; self.id_bound()];
        for id in finished.iter().rev() {
            let next = below[id.index()] + 1;
            for parent in self.record(*id).parents() {
                let levels = &mut below[parent.index()];
                *levels = next.max(*levels);
            }
        }
        for (id, levels) in below.into_iter().enumerate() {
            if levels > 0 {
                self.set_levels_below(EntityId::from_raw(id as u32), levels);
            }
        }
        Ok(())
    }

    /// Checks what changes of `changed` can have broken.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn check_changed(&mut self, changed: &[EntityId], limits: &Limits) -> Result<(), Fault> {
        // an entity on its own costs many times what it costs among all
        if changed.len() > self.id_bound() / 8 && changed.len() > FEW {
            return self.check_hierarchy(limits);
        }
        let mut heights: HashMap<EntityId, u32> = HashMap::new();
        for id in changed {
            if !heights.contains_key(id) {
                let known = |id| heights.get(&id).copied().unwrap_or(NEW);
                let found = self.climb(*id, limits, &mut Vec::new(), known, &mut Vec::new())?;
                heights.extend(found);
            }
        }
        let mut raised: Vec<EntityId> = changed.to_vec();
        while let Some(id) = raised.pop() {
            let entity = self.record(id);
            let next = entity.levels_below() + 1;
            let parents: Vec<EntityId> =
                entity.parents().filter(|parent| self.record(*parent).levels_below() < next).collect();
            for parent in parents {
                self.set_levels_below(parent, next);
                raised.push(parent);
            }
        }
        let too_deep = changed.iter().any(|id| {
            let levels = heights[id] as usize + self.record(*id).levels_below() as usize;
            levels > limits.max_depth
        });
        // the levels below are an upper bound, so count before refusing
        if too_deep { self.check_hierarchy(limits) } else { Ok(()) }
    }

    /// Walks up from `root` in depth-first order. `known` gives the heights found before.
    /// Returns the heights of what it visited, and appends it to `finished`, parents first.
    fn climb(
        &self,
        root: EntityId,
        limits: &Limits,
        finished: &mut Vec<EntityId>,
        known: impl Fn(EntityId) -> u32,
        path: &mut Vec<(EntityId, Vec<EntityId>, u32)>,
    ) -> Result<Vec<(EntityId, u32)>, Fault> {
        let mut heights: HashMap<EntityId, u32> = HashMap::new();
        let enter = |id: EntityId, path: &mut Vec<(EntityId, Vec<EntityId>, u32)>| {
            let parents: Vec<EntityId> = self.record(id).parents().collect();
            if parents.len() > limits.max_parents {
                return Err(Fault::TooManyParents(id, parents.len()));
            }
            path.push((id, parents, 0));
            Ok(())
        };
        enter(root, path)?;
        heights.insert(root, ON_PATH);
        while let Some((id, parents, above)) = path.last_mut() {
            let id = *id;
            let Some(parent) = parents.pop() else {
                let height = *above;
                if height as usize > limits.max_depth {
                    return Err(Fault::TooDeep(id));
                }
                heights.insert(id, height);
                finished.push(id);
                path.pop();
                if let Some((_, _, above)) = path.last_mut() {
                    *above = (*above).max(height + 1);
                }
                continue;
            };
            let before = match heights.get(&parent) {
                Some(height) => *height,
                None => known(parent),
            };
            match before {
                NEW => {
                    heights.insert(parent, ON_PATH);
                    enter(parent, path)?;
                }
                ON_PATH => {
                    let cycle = path.iter().map(|(id, _, _)| *id).skip_while(|id| *id != parent);
                    return Err(Fault::Cycle(cycle.chain([parent]).collect()));
                }
                height => *above = (*above).max(height + 1),
            }
        }
        Ok(heights.into_iter().collect())
    }

    /// The stored entities that have one as a direct parent.
    pub(crate) fn children(&self, id: EntityId) -> impl Iterator<Item = EntityId> {
        self.referrers(id).into_iter().filter(move |child| self.record(*child).parents().any(|parent| parent == id))
    }

    /// Everything that has `root` above it, but no more than `most`. Within a transaction there may be cycles, which end
    /// with it at the latest.
    pub(crate) fn descendants(&self, root: EntityId, most: usize) -> Option<Vec<EntityId>> {
        let (mut seen, mut found, mut open) = (HashSet::from([root]), Vec::new(), vec![root]);
        while let Some(id) = open.pop() {
            for child in self.children(id) {
                if seen.insert(child) {
                    found.push(child);
                    open.push(child);
                }
            }
            if found.len() > most {
                return None;
            }
        }
        Some(found)
    }
}
