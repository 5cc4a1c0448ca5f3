//! Bounds that are checked before Cedar sees a text, since it would abort the process or run for minutes.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::Diagnostic;
use crate::engine::settings::Limits;

/// Which of Cedar's two grammars a text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// Policies: `<` compares.
    Policies,
    /// A schema: `<` opens a bracket, as in `Set<String>`.
    Schema,
}

/// Refuses a Cedar text (policies or schema) that is nested too deeply to be parsed safely.
///
/// Counts without parsing: brackets, and in each bracket level the operators whose trees lean to one side
/// (`||`, `&&`, `+`, `if`, `.` and so on). Their sum along a path bounds the depth of the syntax tree.
///
/// # Errors
/// A diagnostic at the place where a bound is passed.
pub fn check_text(origin: &str, text: &str, grammar: Grammar, limits: &Limits) -> Result<(), Diagnostic> {
    let bytes = text.as_bytes();
    // operators seen at each open bracket level of the current statement
    let mut levels: Vec<usize> = vec![0];
    let mut depth = 0;
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let next = bytes.get(i + 1).copied();
        let mut operator = 0;
        match byte {
            b'"' => {
                i += 1;
                while let Some(&b) = bytes.get(i) {
                    match b {
                        b'\\' => i += 1,
                        b'"' => break,
                        _ => {}
                    }
                    i += 1;
                }
            }
            b'/' if next == Some(b'/') => {
                while bytes.get(i).is_some_and(|b| *b != b'\n') {
                    i += 1;
                }
            }
            b'(' | b'[' | b'{' | b'<' if byte != b'<' || grammar == Grammar::Schema => {
                levels.push(0);
                if levels.len() > limits.max_nesting {
                    return Err(Diagnostic::error(
                        origin,
                        format!("nested deeper than {} brackets", limits.max_nesting),
                    )
                    .at(text, i)
                    .help("flatten the expression, or raise `limits.max_nesting`"));
                }
            }
            b')' | b']' | b'}' | b'>' if levels.len() > 1 && (byte != b'>' || grammar == Grammar::Schema) => {
                depth -= levels.pop().unwrap_or(0);
            }
            b';' if levels.len() == 1 => {
                depth = 0;
                levels[0] = 0;
            }
            b',' => {
                if let Some(level) = levels.last_mut() {
                    depth -= std::mem::take(level);
                }
            }
            b'|' | b'&' if next == Some(byte) => {
                operator = 1;
                i += 1;
            }
            b'+' | b'-' | b'*' | b'.' | b'!' => operator = 1,
            b'i' | b'w' | b'u' if !i.checked_sub(1).is_some_and(|j| is_word(bytes[j])) => {
                let end = i + bytes[i..].iter().take_while(|b| is_word(**b)).count();
                operator = usize::from(matches!(&text[i..end], "if" | "when" | "unless"));
                i = end - 1;
            }
            _ => {}
        }
        if operator > 0 {
            depth += operator;
            if let Some(level) = levels.last_mut() {
                *level += operator;
            }
            if depth + levels.len() > limits.max_expression_depth {
                return Err(Diagnostic::error(
                    origin,
                    format!("an expression of more than {} operators in a row", limits.max_expression_depth),
                )
                .at(text, i)
                .help("use a set with `contains` or `in` instead of a chain, or raise `limits.max_expression_depth`"));
            }
        }
        i += 1;
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Why a hierarchy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HierarchyFault<K> {
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
pub fn check_hierarchy<K: Eq + Hash + Clone>(
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

    fn text(grammar: Grammar, text: &str) -> Result<(), String> {
        check_text("x", text, grammar, &Limits::default()).map_err(|d| d.message)
    }

    #[test]
    fn ordinary_texts_pass() {
        let set: Vec<String> = (0..20_000).map(|i| format!("ip(\"10.0.0.{}\").isIpv4()", i % 250)).collect();
        for policies in [
            "permit (principal, action, resource);".repeat(20_000),
            format!("permit (principal, action, resource) when {{ [{}].contains(true) }};", set.join(", ")),
            format!(
                "// {}\npermit (principal, action, resource) when {{ \"{}\" == \"\\\"((\" }};",
                "(".repeat(9_000),
                "(".repeat(9_000)
            ),
            "permit (principal, action, resource) when { 1 < 2 && 2 < 3 };".repeat(1_000),
        ] {
            assert_eq!(text(Grammar::Policies, &policies), Ok(()));
        }
        assert_eq!(text(Grammar::Schema, "entity A = { a: Set<Set<String>>, b: Set<Long> };"), Ok(()));
    }

    #[test]
    fn deep_texts_are_refused() {
        for depth in [401, 10_000, 100_000] {
            for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("{a: ", "}")] {
                let policy = format!(
                    "permit (principal, action, resource) when {{ {}true{} }};",
                    open.repeat(depth),
                    close.repeat(depth)
                );
                assert!(text(Grammar::Policies, &policy).is_err(), "{open} {depth}");
            }
            let schema = format!("entity A = {{ a: {}Long{} }};", "Set<".repeat(depth), ">".repeat(depth));
            assert!(text(Grammar::Schema, &schema).is_err(), "{depth}");
        }
        for chain in [" || true", " && true", " + 1", ".a", " when { true }"] {
            let policy = format!("permit (principal, action, resource) when {{ context {} }};", chain.repeat(6_000));
            assert!(text(Grammar::Policies, &policy).is_err(), "{chain}");
        }
        let ladder = format!(
            "permit (principal, action, resource) when {{ {} true }};",
            "if true then false else ".repeat(6_000)
        );
        assert!(text(Grammar::Policies, &ladder).is_err());
    }

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
