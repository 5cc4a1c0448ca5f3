//! Bounds on a hierarchy of entities, checked at a cost of its edges alone.

use std::collections::HashMap;
use std::hash::Hash;

use crate::settings::Limits;

/// Why a hierarchy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HierarchyFault<K> {
    /// Entities that are their own ancestors, in order, the first repeated at the end.
    Cycle(Vec<K>),
    /// The entity with too many levels of parents.
    TooDeep(K),
    /// The entity with too many direct parents, and how many.
    TooManyParents(K, usize),
}

/// Checks that `parents` has no cycle and keeps the limits. Its cost grows with the number of edges alone.
///
/// # Errors
/// The first fault, in an order that depends on `keys` alone.
pub(crate) fn check_hierarchy<K: Eq + Hash + Clone>(
    keys: &[K],
    parents: &HashMap<K, Vec<K>>,
    limits: &Limits,
) -> Result<(), HierarchyFault<K>> {
    // levels above each finished entity
    let mut height: HashMap<&K, usize> = HashMap::with_capacity(parents.len());
    for root in keys {
        if height.contains_key(root) {
            continue;
        }
        // entities on the path from `root`, each with the next parent to look at and its height so far
        let mut path: Vec<(&K, usize, usize)> = vec![(root, 0, 0)];
        let mut on_path: HashMap<&K, usize> = HashMap::from([(root, 0)]);
        while let Some(top) = path.last_mut() {
            let (entity, next, above) = *top;
            let own = parents.get(entity).map_or(&[][..], Vec::as_slice);
            if own.len() > limits.max_parents {
                return Err(HierarchyFault::TooManyParents(entity.clone(), own.len()));
            }
            match own.get(next) {
                Some(parent) => {
                    top.1 += 1;
                    if let Some(known) = height.get(parent) {
                        top.2 = above.max(known + 1);
                    } else if let Some(&start) = on_path.get(parent) {
                        let mut cycle: Vec<K> = path[start..].iter().map(|(k, _, _)| (*k).clone()).collect();
                        cycle.push(parent.clone());
                        return Err(HierarchyFault::Cycle(cycle));
                    } else {
                        on_path.insert(parent, path.len());
                        path.push((parent, 0, 0));
                    }
                }
                None => {
                    if above > limits.max_depth {
                        return Err(HierarchyFault::TooDeep(entity.clone()));
                    }
                    height.insert(entity, above);
                    on_path.remove(entity);
                    path.pop();
                    if let Some(below) = path.last_mut() {
                        below.2 = below.2.max(above + 1);
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(edges: &[(u32, u32)], limits: &Limits) -> Result<(), HierarchyFault<u32>> {
        let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
        for (child, parent) in edges {
            parents.entry(*child).or_default().push(*parent);
        }
        let mut keys: Vec<u32> = parents.keys().copied().collect();
        keys.sort_unstable();
        check_hierarchy(&keys, &parents, limits)
    }

    #[test]
    fn hierarchies_are_bounded_and_acyclic() {
        let limits = Limits { max_depth: 4, max_parents: 3, ..Limits::default() };
        let chain = |n: u32| (0..n).map(|i| (i, i + 1)).collect::<Vec<_>>();
        assert_eq!(hierarchy(&chain(4), &limits), Ok(()));
        assert_eq!(hierarchy(&chain(5), &limits), Err(HierarchyFault::TooDeep(0)));
        assert_eq!(hierarchy(&[(1, 2), (2, 3), (3, 1)], &limits), Err(HierarchyFault::Cycle(vec![1, 2, 3, 1])));
        assert_eq!(hierarchy(&[(1, 1)], &limits), Err(HierarchyFault::Cycle(vec![1, 1])));
        assert_eq!(hierarchy(&[(1, 2), (1, 3), (2, 4), (3, 4)], &limits), Ok(()));
        assert_eq!(hierarchy(&[(1, 2), (1, 3), (1, 4), (1, 5)], &limits), Err(HierarchyFault::TooManyParents(1, 4)));
    }

    #[test]
    fn a_long_chain_and_a_ladder_cost_no_more_than_their_edges() {
        let limits = Limits { max_depth: usize::MAX, max_parents: 3, ..Limits::default() };
        assert_eq!(hierarchy(&(0..200_000).map(|i| (i, i + 1)).collect::<Vec<_>>(), &limits), Ok(()));
        let ladder: Vec<(u32, u32)> = (0..50_000)
            .flat_map(|i| [(2 * i, 2 * i + 2), (2 * i, 2 * i + 3), (2 * i + 1, 2 * i + 2), (2 * i + 1, 2 * i + 3)])
            .collect();
        assert_eq!(hierarchy(&ladder, &limits), Ok(()));
    }
}
