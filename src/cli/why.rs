//! Explanations for people: the policies that decided, those that came nearest with an excerpt of what does not hold, and
//! what would turn the decision. Wherever a decision is shown, it is shown so.

pub(super) mod svg;

use std::io::{self, Write};

use palisade_engine::ExplainOptions;
use palisade_engine::model::explanation::{
    Clause, ClauseKind, Effect, ExplainedPolicy, ExplanationKind, HierarchyPath, Join, ReadValue, Truth,
};
use palisade_engine::model::{Explanation, Outcome};

use crate::cli::terminal::{Tone, toned};
use crate::cli::test::{count, denied_by, policy_error};

/// Policies that decided nothing and are shown without `--all`: of a denial, and of an allow.
const NEAREST: [usize; 2] = [3, 1];

/// Policies that are shown with `--all`.
const MOST_SHOWN: usize = 100;

/// The longest text of a clause in a line, in characters.
const LONGEST: usize = 110;

/// What is asked of the engine. Nothing is masked: the context is the one that was typed.
pub(super) fn options(all: bool) -> ExplainOptions {
    ExplainOptions { all, ..ExplainOptions::default() }
}

/// An explanation as JSON. There is no sidecar here whose revision it could be at.
pub(super) fn json(explanation: &Explanation) -> serde_json::Value {
    let mut shown = serde_json::json!(explanation);
    if let Some(members) = shown.as_object_mut() {
        members.remove("revision");
    }
    shown
}

/// Writes an explanation, with every part of every policy if `all`.
pub(super) fn write(explanation: &Explanation, all: bool, color: bool, to: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { to, color, indent: 2 };
    let (word, tone) = match explanation.decision {
        Outcome::Allow => ("ALLOW", Tone::Good),
        Outcome::Deny => ("DENY", Tone::Bad),
    };
    let kind = kind_in_words(explanation.kind);
    writeln!(page.to, "{}  {kind}", toned(word, tone, color))?;
    if let Some(denied) = &explanation.diagnostics.denied_by {
        writeln!(page.to, "denied because {}", denied_by(denied))?;
    }
    for error in &explanation.diagnostics.errors {
        writeln!(page.to, "policy error {}", policy_error(error))?;
    }
    let Shown { failed, decided, others, rest } = shown(explanation, all);
    if !failed.is_empty() {
        page.heading("forbids that could not be evaluated")?;
        failed.iter().try_for_each(|policy| page.policy(policy, true))?;
    }
    if !decided.is_empty() {
        page.heading(match explanation.kind {
            ExplanationKind::Allowed => "permitted by",
            ExplanationKind::DeniedByRule => "would be permitted by",
            _ => "forbidden by",
        })?;
        decided.iter().try_for_each(|policy| page.policy(policy, true))?;
    }
    if !others.is_empty() {
        page.heading(others_in_words(&others))?;
        others.iter().try_for_each(|policy| page.policy(policy, all))?;
    } else if decided.is_empty() && failed.is_empty() {
        writeln!(page.to, "\n{}", none_in_words(explanation))?;
    }
    if let Some(rest) = rest {
        writeln!(page.to, "  {}", toned(rest, Tone::Faint, color))?;
    }
    write_changes(explanation, &mut page)
}

/// Which of the ways to a decision it was.
fn kind_in_words(kind: ExplanationKind) -> &'static str {
    match kind {
        ExplanationKind::Allowed => "a permit holds, and no forbid",
        ExplanationKind::Forbidden => "a forbid holds",
        ExplanationKind::NotPermitted => "no policy permits it",
        ExplanationKind::Errored => "no policy permits it, and some could not be evaluated",
        ExplanationKind::DeniedByRule => "a rule of the strict semantics denies it",
    }
}

/// The policies that are shown.
struct Shown<'e> {
    /// Forbids that fail: what the strict semantics denies by.
    failed: Vec<&'e ExplainedPolicy>,
    decided: Vec<&'e ExplainedPolicy>,
    /// Those that came nearest.
    others: Vec<&'e ExplainedPolicy>,
    /// How many are not shown, in words.
    rest: Option<String>,
}

/// Where no policy is shown.
fn none_in_words(explanation: &Explanation) -> &'static str {
    if explanation.policies_farther == 0 { "there is no permit" } else { "no permit comes near" }
}

/// What stands above the policies that did not decide.
fn others_in_words(others: &[&ExplainedPolicy]) -> &'static str {
    if others.iter().any(|policy| policy.is_near()) {
        "what else could apply, the nearest first"
    } else {
        "no permit comes near; the nearest of all"
    }
}

/// The policies that are not shown.
fn rest_in_words(near: usize, farther: usize, all: bool) -> Option<String> {
    let rest = match (near, farther) {
        (0, 0) => return None,
        (near, 0) => format!("and {} besides", count(near, "policy")),
        (0, farther) => format!("and {} farther off", count(farther, "policy")),
        (near, farther) => format!("and {} besides, and {farther} farther off", count(near, "policy")),
    };
    let shows = if near + farther > MOST_SHOWN { "more" } else { "them" };
    Some(if all { rest } else { format!("{rest}; `--all` shows {shows}") })
}

/// Whether a policy that did not decide says something of the decision: a forbid that does not hold is no reason for a
/// denial, nor a permit that does not for an allow.
fn matters(explanation: &Explanation, policy: &ExplainedPolicy) -> bool {
    let turns = (policy.effect == Effect::Forbid) == explanation.decision.is_allow();
    turns || policy.result != Truth::False
}

fn shown(explanation: &Explanation, all: bool) -> Shown<'_> {
    let reasons = &explanation.diagnostics.reason;
    let (decided, others): (Vec<_>, Vec<_>) =
        explanation.policies.iter().partition(|policy| reasons.contains(&policy.id));
    // a forbid that fails is what the strict semantics denies by
    let by_rule = explanation.kind == ExplanationKind::DeniedByRule;
    let (failed, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|policy| by_rule && policy.effect == Effect::Forbid && policy.result == Truth::Error);
    let total = others.len() + explanation.policies_left_out;
    let most = if all { usize::MAX } else { NEAREST[usize::from(explanation.decision.is_allow())] };
    let others = others.into_iter().filter(|policy| all || matters(explanation, policy));
    // one of another action or type says nothing beside one that is about these
    let shows_another = all || others.clone().all(ExplainedPolicy::is_of_another);
    let others: Vec<_> = others.filter(|policy| shows_another || !policy.is_of_another()).take(most).collect();
    // what is farther off says something where nothing decided
    let farther = if decided.is_empty() && failed.is_empty() { explanation.policies_farther } else { 0 };
    let rest = rest_in_words(total - others.len(), farther, all);
    Shown { failed, decided, others, rest }
}

/// What a change that turns the decision makes of the request.
fn turned(explanation: &Explanation) -> &'static str {
    if explanation.decision.is_allow() { "denied" } else { "allowed" }
}

fn write_changes(explanation: &Explanation, page: &mut Page<'_>) -> io::Result<()> {
    let turned = turned(explanation);
    if explanation.changes.is_empty() {
        let all = if explanation.search.bounded { " among those tried" } else { "" };
        return writeln!(page.to, "\nno single change of one entity or of the context{all} would have it {turned}");
    }
    page.heading(&format!("it would be {turned} if you"))?;
    for change in &explanation.changes {
        let of = toned(format!("({})", change.policy), Tone::Faint, page.color);
        writeln!(page.to, "  - {}  {of}", change.words)?;
    }
    Ok(())
}

/// Writes the nearest policy with what of it does not hold: what failed tests show.
pub(super) fn write_nearest(explanation: &Explanation, color: bool, to: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { to, color, indent: 4 };
    let decides = |policy: &&ExplainedPolicy| explanation.diagnostics.reason.contains(&policy.id);
    let policies = &explanation.policies;
    let nearest = policies.iter().find(decides).or_else(|| policies.iter().find(|policy| matters(explanation, policy)));
    let Some(nearest) = nearest else {
        return writeln!(page.to, "  {}", none_in_words(explanation));
    };
    let decided = decides(&nearest);
    let by = if explanation.kind == ExplanationKind::Allowed { "permitted by" } else { "decided by" };
    writeln!(page.to, "  {}", if decided { by } else { "the nearest policy" })?;
    page.policy(nearest, decided)
}

/// The same with the first of the changes that would turn the decision.
pub(super) fn write_nearest_and_change(explanation: &Explanation, color: bool, to: &mut dyn Write) -> io::Result<()> {
    write_nearest(explanation, color, to)?;
    let Some(change) = explanation.changes.first() else { return Ok(()) };
    let turned = turned(explanation);
    writeln!(to, "  it would be {turned} if you {}", change.words)
}

/// Where an explanation is written.
struct Page<'p> {
    to: &'p mut dyn Write,
    color: bool,
    indent: usize,
}

impl Page<'_> {
    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "\n{}", toned(text, Tone::Strong, self.color))
    }

    fn policy(&mut self, policy: &ExplainedPolicy, whole: bool) -> io::Result<()> {
        let effect = match policy.effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        let place = match policy.line {
            Some(line) => format!("{}:{line}", policy.file),
            None => policy.file.clone(),
        };
        let parts = policy.scope.len() + policy.clauses.len();
        let missing = match policy.missing {
            0 => String::new(),
            1 => format!("  1 of {parts} parts does not hold"),
            missing => format!("  {missing} of {parts} parts do not hold"),
        };
        let indent = " ".repeat(self.indent);
        writeln!(
            self.to,
            "{indent}{effect} {}  {}{missing}",
            toned(&policy.id, Tone::Strong, self.color),
            toned(place, Tone::Faint, self.color)
        )?;
        if let Some(link) = &policy.link {
            let args: Vec<String> = link.args.iter().map(|(slot, entity)| format!("{slot} = {entity}")).collect();
            writeln!(self.to, "{indent}  link of the template {}: {}", link.template, args.join(", "))?;
            if let Some(entity) = &link.made_by {
                writeln!(self.to, "{indent}  made by {entity}")?;
            }
        }
        for (name, text) in &policy.annotations {
            let text: Vec<&str> = text.split_whitespace().collect();
            writeln!(self.to, "{indent}  @{name}: {}", text.join(" "))?;
        }
        for clause in policy.scope.iter().chain(&policy.clauses) {
            let holds = clause.result == Truth::True || clause.alone == Some(Truth::True);
            if whole || !holds {
                self.clause(clause, self.indent + 2, &policy.file)?;
            }
        }
        Ok(())
    }

    fn clause(&mut self, clause: &Clause, indent: usize, file: &str) -> io::Result<()> {
        let (word, tone) = match (clause.result, clause.alone) {
            (Truth::True, _) => ("true", Tone::Good),
            (Truth::False, _) => ("false", Tone::Bad),
            (Truth::Error, _) => ("error", Tone::Bad),
            // what was not reached still counts: it would have to hold as well
            (Truth::NotReached, Some(Truth::False)) => ("not reached, false", Tone::Bad),
            (Truth::NotReached, Some(Truth::Error)) => ("not reached, error", Tone::Bad),
            (Truth::NotReached, _) => ("not reached", Tone::Faint),
        };
        let keyword = if clause.kind == ClauseKind::When { "when " } else { "" };
        let pad = " ".repeat(indent);
        let fails = tone == Tone::Bad;
        let carets = clause.place.as_ref().filter(|_| fails && clause.parts.is_empty());
        match carets.and_then(|place| Some((place, place.excerpt.as_deref()?))) {
            Some((place, excerpt)) => {
                let column = place.column - 1;
                let end = if place.end_line == place.line { place.end_column - 1 } else { excerpt.chars().count() };
                let blank: String = excerpt.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                let marks = "^".repeat(end.saturating_sub(column).max(1));
                let gutter = place.line.to_string();
                let edge = " ".repeat(gutter.len());
                writeln!(self.to, "{pad}{}  {file}:{}:{}", self.tone(word, tone), place.line, place.column)?;
                writeln!(self.to, "{pad}  {gutter} | {excerpt}")?;
                writeln!(self.to, "{pad}  {edge} | {blank}{}", self.tone(&marks, tone))?;
            }
            None => writeln!(self.to, "{pad}{}  {keyword}{}", self.tone(word, tone), one_line(&clause.text))?,
        }
        if let Some(error) = &clause.error
            && clause.parts.is_empty()
        {
            writeln!(self.to, "{pad}    {}", one_line(error))?;
        }
        clause.values.iter().try_for_each(|value| writeln!(self.to, "{pad}    {}", read(value)))?;
        for way in &clause.hierarchy {
            writeln!(self.to, "{pad}    {}", walked(way))?;
            for unknown in &way.unknown {
                writeln!(self.to, "{pad}    {unknown} is not stored")?;
            }
        }
        if let Some(Join::Any) = clause.join
            && clause.result != Truth::True
        {
            writeln!(self.to, "{pad}    one of:")?;
        }
        clause.parts.iter().try_for_each(|part| self.clause(part, indent + 4, file))
    }

    fn tone(&self, text: &str, tone: Tone) -> String {
        toned(text, tone, self.color).to_string()
    }
}

fn read(value: &ReadValue) -> String {
    match &value.value {
        _ if value.masked => format!("{} is masked", value.path),
        Some(text) => format!("{} = {text}", value.path),
        None => format!("{} is not there", value.path),
    }
}

fn walked(way: &HierarchyPath) -> String {
    let path = way.path.join(" in ");
    let to = match way.to.as_slice() {
        [] => "any of an empty set".to_owned(),
        [one] => one.clone(),
        several => format!("any of [{}]", several.join(", ")),
    };
    match (way.holds, way.path.len()) {
        (true, 1) => format!("{path} is it"),
        (true, _) => path,
        (false, 1) => format!("{path} has no parent, so it is not in {to}"),
        (false, _) => format!("{path}, and not in {to}"),
    }
}

/// A text in one line, cut where it is long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut}…")
}
