//! A bound on what it costs to collect the ancestors of the entities that one request brings.

use std::collections::HashSet;
use std::hash::Hash;

/// Edges that may be followed from all entities of one request together. A thousand entities, each below two hundred
/// others, still pass.
const MAX_EDGES: usize = 200_000;

/// Whether the ancestors of all `entities` can be collected within the bound. `parents` adds the parents of one to the
/// list that it is given. The check itself costs no more than the bound, whatever the hierarchy.
pub(crate) fn check_closure<K: Eq + Hash + Copy>(
    entities: impl IntoIterator<Item = K>,
    mut parents: impl FnMut(K, &mut Vec<K>),
) -> Result<(), usize> {
    let mut edges = 0;
    let mut above = Vec::new();
    for entity in entities {
        let mut seen = HashSet::from([entity]);
        let mut open = vec![entity];
        while let Some(next) = open.pop() {
            above.clear();
            parents(next, &mut above);
            edges += above.len();
            if edges > MAX_EDGES {
                return Err(MAX_EDGES);
            }
            open.extend(above.iter().copied().filter(|parent| seen.insert(*parent)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(levels: u32, width: u32) -> Result<(), usize> {
        let above = |id: u32, found: &mut Vec<u32>| {
            let level = id / width;
            if level + 1 < levels {
                found.extend((0..width).map(|i| (level + 1) * width + i));
            }
        };
        check_closure(0..levels * width, above)
    }

    #[test]
    fn chains_and_fans_pass_and_ladders_do_not() {
        assert_eq!(check_closure(0..600, |id: u32, found| found.extend((id < 599).then_some(id + 1))), Ok(()));
        assert_eq!(check_closure(0..100_000, |id: u32, found| found.extend((id > 0).then_some(0))), Ok(()));
        assert_eq!(ladder(10, 5), Ok(()));
        assert!(ladder(60, 20).is_err());
        assert!(ladder(64, 1_000).is_err());
    }

    #[test]
    fn a_cycle_ends() {
        assert_eq!(check_closure([0, 1], |id: u32, found| found.push(1 - id)), Ok(()));
    }
}
