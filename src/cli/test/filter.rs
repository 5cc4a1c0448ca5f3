//! Which tests to run, by words or patterns over the file, the name, or `file::name`.

/// Selects tests. Without a pattern it selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    patterns: Vec<String>,
}

impl Filter {
    /// A filter for tests that match one of `patterns`: a part of `file::name`, or with `*` and `?` the whole file, name,
    /// or `file::name`.
    #[must_use]
    pub fn new(patterns: Vec<String>) -> Self {
        Self { patterns }
    }

    /// Whether the test is to run.
    #[must_use]
    pub fn selects(&self, file: &str, name: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| matches(pattern, file, name))
    }

    /// The patterns that select none of these tests, each a file and a name.
    pub fn idle<'f>(&'f self, tests: &[(&str, &str)]) -> Vec<&'f str> {
        let finds = |pattern: &str| tests.iter().any(|(file, name)| matches(pattern, file, name));
        self.patterns.iter().map(String::as_str).filter(|pattern| !finds(pattern)).collect()
    }
}

fn matches(pattern: &str, file: &str, name: &str) -> bool {
    let id = format!("{file}::{name}");
    if !pattern.contains(['*', '?']) {
        return id.contains(pattern);
    }
    [&id, file, name].into_iter().any(|whole| glob(pattern, whole))
}

/// `*` stands for any text, `?` for one character.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // where to go on if the last `*` has to stand for one character more
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, at)) => {
                    retry = Some((star, at + 1));
                    p = star + 1;
                    t = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_patterns() {
        let (file, name) = ("autopi.yaml", "fleet section, own [User::a List]");
        for (pattern, expected) in [
            ("", true),
            ("autopi", true),
            ("own [User", true),
            ("ioto", false),
            ("*", true),
            ("autopi*", true),
            ("*own*", true),
            ("*own", false),
            ("fleet*", true),
            ("fleet section*List]", true),
            ("own*", false),
            ("*.yaml", true),
            ("*.yml", false),
            ("?utopi.yaml::*List]", true),
            ("autopi?yaml::*", true),
            ("autopi??yaml::*", false),
            ("*fleet*own*a L*]", true),
        ] {
            assert_eq!(matches(pattern, file, name), expected, "{pattern}");
        }
        let filter = Filter::new(vec!["a".to_owned(), "zz".to_owned()]);
        assert_eq!(filter.idle(&[("x", "a")]), ["zz"]);
    }
}
