//! The condition of a rule: `if` or `unless`, and which tests it joins.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::is_everybody;

/// What a client does not choose.
const FIXED: &[&str] = &[
    "dst",
    "dst_is_local",
    "dst_port",
    "fc_dst",
    "fc_dst_port",
    "fc_rcvd_proxy",
    "fc_src",
    "fc_src_is_local",
    "fe_id",
    "fe_name",
    "so_id",
    "so_name",
    "src",
    "src_is_local",
    "ssl_fc_has_crt",
];

/// Lists of tests by their names, joined by "or".
pub(super) type Acls = BTreeMap<String, Rc<Vec<String>>>;

/// A test, or the name of a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) negated: bool,
    /// What it comes to: several are joined by "or".
    pub(super) tests: Rc<Vec<String>>,
}

/// When a rule runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// One of these lists of terms holds whole.
    If(Vec<Vec<Term>>),
    Unless(Vec<Vec<Term>>),
}

// === impl Condition ===

impl Condition {
    /// Reads the end of a line.
    pub(super) fn read(words: &[String], acls: &Acls) -> Self {
        let Some(at) = words.iter().position(|word| matches!(word.as_str(), "if" | "unless")) else {
            return Self::Always;
        };
        // tests that HAProxy defines itself
        match (words[at].as_str(), words.get(at + 1).map(String::as_str), words.len() - at) {
            ("if", Some("TRUE"), 2) | ("unless", Some("FALSE"), 2) => return Self::Always,
            _ => {}
        }
        let terms = terms(&words[at + 1..], acls);
        if words[at] == "if" { Self::If(terms) } else { Self::Unless(terms) }
    }

    pub(super) fn terms(&self) -> &[Vec<Term>] {
        match self {
            Self::Always => &[],
            Self::If(terms) | Self::Unless(terms) => terms,
        }
    }

    /// Whether it holds only where something is so that a client does not choose: by which address or certificate it comes,
    /// or at which address of this side.
    pub(super) fn is_narrow(&self) -> bool {
        matches!(self, Self::If(any) if any.iter().all(|all| all.iter().any(Term::is_narrow)))
    }

    /// Whether a rule with this condition runs for every request that `yes` does not hold for.
    pub(super) fn holds_without(&self, yes: &dyn Fn(&Term) -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::If(any) => any.iter().any(|all| all.len() == 1 && all[0].negated && yes(&all[0])),
            Self::Unless(any) => any.iter().all(|all| all.iter().any(|term| !term.negated && yes(term))),
        }
    }
}

// === impl Term ===

impl Term {
    /// Whether it holds for some clients alone, which cannot make it hold by themselves.
    fn is_narrow(&self) -> bool {
        !self.negated
            && self.tests.iter().all(|test| {
                let mut words = test.split_whitespace();
                let fetch = words.next().unwrap_or_default().split([',', '(']).next().unwrap_or_default();
                // the last one is a test of HAProxy's own: `src 127.0.0.1/8`
                let named = fetch.starts_with("ssl_c_") || FIXED.contains(&fetch) || test == "LOCALHOST";
                // `found` holds for every address
                named && !words.any(|word| is_everybody(word) || word == "found")
            })
    }

    pub(super) fn mentions(&self, what: &str) -> bool {
        self.tests.iter().any(|test| test.to_ascii_lowercase().contains(what))
    }
}

fn terms(words: &[String], acls: &Acls) -> Vec<Vec<Term>> {
    let mut any = vec![Vec::new()];
    let (mut negated, mut inside): (bool, Option<Vec<String>>) = (false, None);
    for word in words {
        let mut word = word.as_str();
        if let Some(test) = &mut inside {
            if word == "}" {
                let term = Term { negated, tests: Rc::new(vec![test.join(" ")]) };
                any.last_mut().into_iter().for_each(|all| all.push(term.clone()));
                (negated, inside) = (false, None);
            } else {
                test.push(word.to_owned());
            }
            continue;
        }
        while let Some(rest) = word.strip_prefix('!') {
            negated = !negated;
            word = rest;
        }
        match word {
            "" => {}
            "||" | "or" | "OR" => any.push(Vec::new()),
            "{" => inside = Some(Vec::new()),
            name => {
                let tests = acls.get(name).cloned().unwrap_or_else(|| Rc::new(vec![name.to_owned()]));
                any.last_mut().into_iter().for_each(|all| all.push(Term { negated, tests: tests.clone() }));
                negated = false;
            }
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_without_a_yes_is_distinguished_from_one_with_a_loophole() {
        let yes = |term: &Term| term.tests.iter().all(|test| test.starts_with("var("));
        let list = |tests: &[&str]| Rc::new(tests.iter().map(|test| (*test).to_owned()).collect());
        let acls = Acls::from([
            ("ok".to_owned(), list(&["var(txn.ok) -m bool"])),
            ("ok2".to_owned(), list(&["var(txn.ok)", "src 10.0.0.1"])),
        ]);
        for (line, expected) in [
            ("deny", true),
            ("deny if TRUE", true),
            ("deny if FALSE", false),
            ("deny if !{ var(txn.ok) -m bool }", true),
            ("deny if ! { var(txn.ok) -m bool }", true),
            ("deny unless { var(txn.ok) -m bool }", true),
            ("deny unless ok", true),
            ("deny if !ok", true),
            ("deny if !ok || { src 10.0.0.1 }", true),
            ("deny if { src 10.0.0.1 } or !ok", true),
            ("deny unless ok { src 10.0.0.1 }", true),
            ("deny if !ok { src 10.0.0.1 }", false),
            ("deny if ok", false),
            ("deny unless !ok", false),
            ("deny unless ok || { path /health }", false),
            ("deny unless ok2", false),
            ("deny if { path /x }", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Condition::read(&words, &acls).holds_without(&yes), expected, "{line}");
        }
    }
}
