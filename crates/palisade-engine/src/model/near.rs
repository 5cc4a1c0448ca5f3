//! The known word that was probably meant.

/// The longest word that is compared: a request may bring any word, and comparing costs the product of the lengths.
const LONGEST: usize = 100;

/// The candidate that `word` was probably meant to be, if one is near: the same but for case, separators or namespace; a few
/// letters away, at most about a third of them; or begun by the word. The nearest of several, and of those that are as
/// near the first in the order of their texts: the answer does not depend on the order in which they come.
///
/// Every suggestion is made here. One that is not near does harm: an author takes it, and opens what was to be closed.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let written = Name::new(word);
    let near = |candidate: &'a str| Some((written.steps_to(&Name::new(candidate))?, candidate));
    candidates.into_iter().filter_map(near).min().map(|(_, candidate)| candidate)
}

/// Whether `candidate` is near enough to `word` to be suggested.
#[must_use]
pub fn is_near(word: &str, candidate: &str) -> bool {
    closest(word, [candidate]).is_some()
}

/// A name, ready to be compared.
struct Name<'n> {
    text: &'n str,
    /// In small letters, its namespace included.
    small: Vec<char>,
    /// Where the last part begins in it.
    last: usize,
}

/// The shortest word of which the rest may be guessed.
const BEGINNING: usize = 3;

impl<'n> Name<'n> {
    fn new(text: &'n str) -> Self {
        let (space, last) = text.rsplit_once("::").map_or((None, text), |(space, last)| (Some(space), last));
        let small = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
        let mut whole = space.map(small).unwrap_or_default();
        whole.extend(space.iter().flat_map(|_| [':', ':']));
        let start = whole.len();
        whole.extend(small(last));
        Self { text, small: whole, last: start }
    }

    fn last_part(&self) -> &[char] {
        &self.small[self.last..]
    }

    /// How far away the other is, where it is near.
    fn steps_to(&self, other: &Self) -> Option<usize> {
        let (word, name) = (self.last_part(), other.last_part());
        if word.is_empty() || name.is_empty() || self.text.is_empty() {
            return None;
        }
        if self.small == other.small {
            return Some(0);
        }
        let plain = |c: &&char| c.is_alphanumeric();
        let same = |a: &[char], b: &[char]| a.iter().filter(plain).eq(b.iter().filter(plain));
        if word.iter().any(|c| c.is_alphanumeric()) && (same(word, name) || same(&self.small, &other.small)) {
            // in another namespace, or with other separators
            return Some(1);
        }
        // a namespace that both have, or that was left out, says nothing about whether the names are alike
        let bare = self.last == 0 || self.small[..self.last] == other.small[..other.last];
        let (word, name) = if bare { (word, name) } else { (&self.small[..], &other.small[..]) };
        let begins = word.len() >= BEGINNING && name.starts_with(word) && name.len() <= 3 * word.len();
        let allowed = (word.len() / 3).max(1);
        let plausible = name.len().abs_diff(word.len()) <= allowed;
        let steps = if plausible { distance(word, name) } else { usize::MAX };
        // of two letters one that is another leaves too little
        let alike = word.len() > 2 || word.len() != name.len() || word.iter().all(|c| name.contains(c));
        let by_letters = steps <= allowed && steps < word.len() && alike;
        // behind what is a letter away: a word is mistyped more often than it is left unfinished
        let by_beginning = begins.then(|| name.len() - word.len());
        by_letters.then_some(steps).into_iter().chain(by_beginning).min().map(|steps| steps + 1)
    }
}

/// The end of a message about a `word` that is not known: the one of the `known` that was probably meant, if one is near.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The same, where what is known stands in backticks in a text that people read.
#[must_use]
pub fn hint_of_text(word: &str, known: &str) -> String {
    hint(word, known.split('`').skip(1).step_by(2))
}

/// The end of a message of a reader about a name that it does not know: ``unknown field `a`, expected one of `b`, `c` ``.
#[must_use]
pub fn hint_of_reader(message: &str) -> String {
    let parts = ["unknown field `", "unknown variant `"].into_iter().find_map(|begin| message.split_once(begin));
    let unknown = parts.and_then(|(_, rest)| rest.split_once('`'));
    unknown.map(|(unknown, known)| hint_of_text(unknown, known)).unwrap_or_default()
}

/// How many insertions, deletions, replacements and swaps of neighbours lead from `a` to `b` (optimal string alignment: a
/// Levenshtein distance in which a swap is one step).
fn distance(a: &[char], b: &[char]) -> usize {
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
            ("Policies", Some("policies")),
            ("poli-cies", Some("policies")),
            ("pol", Some("policies")),
            ("po", None),
            ("publish", None),
            ("policiesAndMore", None),
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
    fn what_is_not_near_is_never_suggested() {
        for (word, known, expected) in [
            ("public", &["owner", "attending", "kind"][..], None),
            ("attending", &["kind", "owner"], None),
            ("dischrage", &["read", "discharge", "write"], Some("discharge")),
            ("on_call", &["onCall", "name"], Some("onCall")),
            ("ONCALL", &["onCall", "name"], Some("onCall")),
            ("Staff", &["Hosp::Staff", "Hosp::Ward"], Some("Hosp::Staff")),
            ("Hosp Ward", &["Hosp::Staff", "Hosp::Ward"], Some("Hosp::Ward")),
            ("Staf", &["Hosp::Staff", "Hosp::Ward"], Some("Hosp::Staff")),
            ("Hops::Staff", &["Hosp::Staff", "Hosp::Ward"], Some("Hosp::Staff")),
            ("Hosp::Patent", &["Hosp::Patient", "Hosp::Ward"], Some("Hosp::Patient")),
            ("attend", &["attending", "attendances"], Some("attending")),
            ("x", &["n"], None),
            ("id", &["ip"], None),
            ("nn", &["n"], Some("n")),
            ("ipp", &["ip"], Some("ip")),
            ("allow", &["disallow", "deny"], None),
            ("string", &["String", "Set"], Some("String")),
            ("--", &["__"], None),
            ("é", &["è"], None),
        ] {
            assert_eq!(closest(word, known.iter().copied()), expected, "{word}");
            assert_eq!(closest(word, known.iter().rev().copied()), expected, "{word}");
        }
    }

    #[test]
    fn what_a_reader_lists_is_suggested() {
        for (message, expected) in [
            ("unknown field `expct`, expected one of `request`, `expect`", "; did you mean `expect`?"),
            ("unknown variant `alow`, expected `allow` or `deny`", "; did you mean `allow`?"),
            ("unknown field `zzz`, expected `a`", ""),
            ("missing field `a`", ""),
        ] {
            assert_eq!(hint_of_reader(message), expected, "{message}");
        }
    }

    #[test]
    fn does_not_depend_on_the_order_of_the_candidates() {
        assert_eq!(closest("bat", ["cat", "bar", "hat"]), Some("bar"));
        assert_eq!(closest("bat", ["hat", "cat", "bar"]), Some("bar"));
    }
}
