//! The known word that was probably meant.

/// The longest word that is compared: a request may bring any word, and comparing costs the product of the lengths.
const LONGEST: usize = 100;

/// The candidate that `word` was probably meant to be, if one is near. Of several that are as near, the first in the
/// order of their texts: the answer does not depend on the order in which they come.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let near = |candidate: &'a str| {
        // a namespace that both have says nothing about whether the names are alike
        let shared = shared_namespace(word, candidate);
        let (word, name) = (&word[shared..], &candidate[shared..]);
        let length = word.chars().count();
        let allowed = (length / 3).max(1);
        let plausible = name.chars().count().abs_diff(length) <= allowed;
        let distance = plausible.then(|| distance(word, name))?;
        (distance <= allowed).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(near).min().map(|(_, candidate)| candidate)
}

/// How many bytes of namespaces (`App::Sub::`) two names begin with alike.
fn shared_namespace(a: &str, b: &str) -> usize {
    let alike = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    a.as_bytes()[..alike].windows(2).rposition(|pair| pair == b"::").map_or(0, |at| at + 2)
}

/// The end of a message about a `word` that is not known: the one of the `known` that was probably meant, if one is near.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// How many insertions, deletions, replacements and swaps of neighbours lead from `a` to `b` (optimal string alignment: a
/// Levenshtein distance in which a swap is one step).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=b.len()).collect()];
    for i in 0..a.len() {
        // the row before the last one is not needed any more
        rows.rotate_left(1);
        let [before, last, row] = &mut rows;
        row.clear();
        row.push(i + 1);
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
    }
    rows[2][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        for (word, expected) in [
            ("polices", Some("policies")),
            ("listne", Some("listen")),
            ("edti", Some("edit")),
            ("dei", None),
            ("", None),
            ("cache", Some("cache")),
            ("x", None),
            ("database", None),
        ] {
            assert_eq!(closest(word, ["policies", "listen", "cache", "edit"]), expected, "{word}");
        }
    }

    #[test]
    fn compares_names_without_the_namespace_that_they_share() {
        let types = ["App::Sub::Doc", "App::Sub::Device", "App::Group", "Folder"];
        for (word, expected) in [
            ("App::Sub::Action", None),
            ("App::Sub::Dco", Some("App::Sub::Doc")),
            ("App::Sub::Devise", Some("App::Sub::Device")),
            ("App::Grup", Some("App::Group")),
            ("Ap::Group", Some("App::Group")),
            ("Foldre", Some("Folder")),
            ("App::Sub::", None),
        ] {
            assert_eq!(closest(word, types), expected, "{word}");
        }
    }

    #[test]
    fn does_not_depend_on_the_order_of_the_candidates() {
        assert_eq!(closest("bat", ["cat", "bar", "hat"]), Some("bar"));
        assert_eq!(closest("bat", ["hat", "cat", "bar"]), Some("bar"));
    }
}
