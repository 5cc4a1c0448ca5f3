//! Answers of services that HAProxy keeps: one that is for one caller must not be given to another.

use crate::haproxy::condition::Condition;
use crate::haproxy::sections::{Config, Rule, Section};
use crate::report::Report;

/// A section whose requests are checked, and where they go. A cache in front of the check is looked at elsewhere.
pub(super) fn lint(config: &Config, section: &Section, is_check: &dyn Fn(&Rule<'_>) -> bool, report: &mut Report<'_>) {
    let mut checked = !config.rules(section).iter().any(is_check);
    for part in std::iter::once(section).chain(config.targets(section).into_iter().flatten()) {
        let acls = config.acls(part);
        let everything = |rule: &&Rule<'_>| rule.condition(&acls) == Condition::Always;
        let answers = config.answer_rules(part);
        let mut stores = answers.iter().filter(|rule| rule.action() == "cache-store").peekable();
        let limited = stores.peek().is_some() && !stores.any(|rule| everything(&rule));
        for rule in config.rules(part) {
            checked |= is_check(&rule);
            if checked && rule.action() == "cache-use" && everything(&&rule) && !limited {
                report.warn(
                    "haproxy-cache-shared",
                    rule.line.at,
                    "what one caller got with a cookie is given to others: HAProxy keeps answers by host and URL alone",
                    "name what is open to all in its condition: `if { path_beg /static/ }`, or leave out what has a cookie",
                );
            }
        }
        // the check of the section was in front
        checked = true;
    }
}
