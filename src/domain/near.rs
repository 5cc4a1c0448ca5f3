//! The word that somebody probably meant.

/// The longest word that is compared: a request may bring any word, and comparing costs the product of the lengths.
const LONGEST: usize = 100;

/// The candidate that `word` was probably meant to be, if one is near.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let length = word.chars().count();
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
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
}
