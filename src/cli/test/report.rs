//! What came of a run of tests.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::cli::test::coverage::Coverage;
use crate::cli::test::model::{Check, Expect, Unknown};
use crate::cli::test::mutate::Mutation;
use palisade_engine::model::{Decision, DeniedBy, Diagnostic, Explanation, Outcome, PolicyError, RequestError, count};

/// What came of a run, in the order of the files and of the tests in them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// What came of each test that ran.
    pub results: Vec<TestResult>,
    /// How many tests were left out by a filter.
    pub unselected: usize,
    /// How many tests did not run because one before them failed.
    pub not_run: usize,
    /// What the tests have seen of the policies, where that was asked for.
    pub coverage: Option<Coverage>,
    /// What came of mutants of the policies, where that was asked for.
    pub mutation: Option<Mutation>,
}

/// What came of one test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The file as its author knows it.
    pub path: String,
    /// The file under the directory of tests.
    pub file: String,
    /// The line of the test.
    pub line: Option<usize>,
    /// The test's name.
    pub name: String,
    /// Why it must be so.
    pub why: Option<String>,
    /// What was asked and expected; nothing if the test could not be read.
    pub check: Option<Check>,
    /// What came of it.
    pub got: Got,
    /// What differs, in words; nothing if the test passed.
    pub faults: Vec<String>,
    /// Why it was decided as it is, where another decision was expected.
    pub explanation: Option<Box<Explanation>>,
    /// How long it took. The first test with entities of its own also builds them.
    pub took: Duration,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub enum Got {
    /// A decision.
    Decision(Decision),
    /// The request does not fit the schema.
    Refused(RequestError),
    /// The test could not ask: the test or its entities are not valid.
    Broken(String),
}

/// The difference between reasons expected and got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReasonDiff<'r> {
    /// Expected, but not among those that determined the decision.
    pub missing: Vec<&'r str>,
    /// Not expected.
    pub extra: Vec<&'r str>,
    /// As expected.
    pub common: Vec<&'r str>,
}

// === impl Report ===

impl Report {
    /// A report of no test, since the bundle cannot be used.
    #[must_use]
    pub fn of_no_bundle(place: &str, problems: &[Diagnostic]) -> Self {
        let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!("the bundle cannot be used, so no test ran: {}", messages.join("; "));
        let result = TestResult {
            path: place.to_owned(),
            file: place.to_owned(),
            line: None,
            name: "(bundle)".to_owned(),
            why: None,
            check: None,
            got: Got::Broken(message.clone()),
            faults: vec![message],
            explanation: None,
            took: Duration::ZERO,
        };
        Self { results: vec![result], ..Self::default() }
    }

    /// How many tests passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|result| result.passed()).count()
    }

    /// How many tests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.results.len() - self.passed()
    }

    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &TestResult> {
        self.results.iter().filter(|result| !result.passed())
    }
}

/// The summary: `113 passed, 0 failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed(), self.failed())?;
        if self.not_run > 0 {
            write!(f, ", {} not run", self.not_run)?;
        }
        if self.unselected > 0 {
            write!(f, ", {} not selected", self.unselected)?;
        }
        Ok(())
    }
}

// === impl TestResult ===

impl TestResult {
    /// Whether all was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    /// `file::name`, which filters select by.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}::{}", self.file, self.name)
    }

    /// `path:line`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.path),
            None => self.path.clone(),
        }
    }

    /// The policies that determined the decision beside those expected, if the test names any. Where the test asks for
    /// some of them alone, the others count as extra only if the decision or a policy is not the expected one.
    #[must_use]
    pub fn reason_diff(&self) -> Option<ReasonDiff<'_>> {
        let check = self.check.as_ref()?;
        let expected = check.reasons.as_ref()?;
        let Got::Decision(decision) = &self.got else { return None };
        let got: BTreeSet<&str> = decision.reasons.iter().map(|id| expected.calls(id)).collect();
        let (common, missing): (Vec<&str>, Vec<&str>) =
            expected.ids.iter().map(String::as_str).partition(|id| got.contains(id));
        let is_other = decision.outcome.is_allow() != (check.expect == Expect::Allow) || !missing.is_empty();
        let name_all = expected.all || is_other;
        let extra = got.into_iter().filter(|id| name_all && !expected.ids.contains(*id)).collect();
        Some(ReasonDiff { missing, extra, common })
    }
}

// === impl Got ===

impl Got {
    /// What came of it, in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Decision(decision) if decision.outcome == Outcome::Allow => "allow",
            Self::Decision(_) => "deny",
            Self::Refused(_) => "error",
            Self::Broken(_) => "broken",
        }
    }

    /// The decision, if there is one.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Decision(decision) => Some(decision),
            _ => None,
        }
    }
}

/// What differs between what `check` expects and what came of it, in words.
pub(super) fn compare(check: &Check, got: &Got) -> Vec<String> {
    let mut faults = Vec::new();
    match (check.expect, got) {
        (_, Got::Broken(message)) => faults.push(message.clone()),
        (Expect::Error, Got::Refused(_)) => {}
        (Expect::Error, Got::Decision(_)) => faults.push(format!("expected an error, got {}", got.word())),
        (expect, Got::Refused(error)) => {
            faults.push(format!("expected {expect}, but the request is refused: {}", error.message));
        }
        (expect, Got::Decision(decision)) => {
            if decision.outcome.is_allow() != (expect == Expect::Allow) {
                faults.push(format!("expected {expect}, got {}", got.word()));
            }
            let mut is_unknown = false;
            if let Some(DeniedBy::UnknownEntity { entity }) =
                decision.denied_by.as_ref().filter(|_| check.unknown == Unknown::Unsaid)
            {
                is_unknown = true;
                faults.push(format!(
                    "`{entity}` is not in the store: correct the name, or write `unknown: true` if that is the point"
                ));
            }
            if let Some(expected) = &check.reasons {
                let got: BTreeSet<&str> = decision.reasons.iter().map(|id| expected.calls(id)).collect();
                let lacks = expected.ids.iter().any(|id| !got.contains(id.as_str()));
                if lacks || (expected.all && got.len() > expected.ids.len()) {
                    faults.push("the determining policies differ".to_owned());
                }
            }
            if let Some(expected) = check.errors
                && expected != decision.errors.len()
                // policies fail because there is no such entity
                && !is_unknown
            {
                faults.push(format!("expected {}, got {}", count(expected, "policy error"), decision.errors.len()));
            }
        }
    }
    faults
}

/// Why the `strict` semantics denied, in words.
#[must_use]
pub(crate) fn denied_by(denied: &DeniedBy) -> String {
    match denied {
        DeniedBy::UnknownEntity { entity } => {
            format!("`{entity}` is not in the store, and the request does not carry it")
        }
        DeniedBy::ForbidError { policy_id } => format!("the forbid `{policy_id}` cannot be evaluated"),
    }
}

/// A policy's error, in one line.
#[must_use]
pub(crate) fn policy_error(error: &PolicyError) -> String {
    format!("`{}`: {}", error.policy_id, error.message)
}
