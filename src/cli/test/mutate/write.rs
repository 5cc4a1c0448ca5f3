//! What came of mutants, in the forms of reports.

use std::io::{self, Write};

use palisade_engine::model::{Decision, count, explanation::Effect};
use palisade_engine::{Mutant, MutantSort, Standing};
use serde_json::{Value as Json, json};

use crate::cli::terminal::{Tone, toned};
use crate::cli::test::draft::{self, Draft};
use crate::cli::test::mutate::{Fate, Mutation, Shown, place};

/// Writes each mutant that lives with the request that would kill it, and the score.
pub(in crate::cli::test) fn human(mutation: &Mutation, quiet: bool, color: bool, to: &mut dyn Write) -> io::Result<()> {
    for (mutant, fate) in &mutation.mutants {
        match fate {
            Fate::Survived(shown) => {
                headline(mutant, "LIVES", Tone::Bad, color, to)?;
                writeln!(to, "  this test would kill it; with the mutant it is {}", outcome(&shown.mutated))?;
                draft::write(&drafted(shown, &name(mutant)), "    ", to)?;
            }
            Fate::Unseen(0) => {
                headline(mutant, "LIVES", Tone::Bad, color, to)?;
                writeln!(
                    to,
                    "  no request could be asked: of the stored entities none is in its scope, write a test that has some"
                )?;
            }
            Fate::Unseen(asked) => {
                headline(mutant, "LIVES", Tone::Bad, color, to)?;
                writeln!(to, "  not distinguished by {}, and there are more: see `--mutate-budget`", count_of(*asked))?;
            }
            Fate::NotToldApart(asked) if !quiet => {
                headline(mutant, "same ", Tone::Faint, color, to)?;
                writeln!(to, "  not distinguished by {}, all that entities and contexts make", count_of(*asked))?;
            }
            _ => {}
        }
    }
    let (killed, all) = mutation.score();
    let tone = if killed == all { Tone::Good } else { Tone::Bad };
    let percent = format!("{:.1} %", (mutation.percent() * 10.0).floor() / 10.0);
    write!(to, "mutation score {}: {killed} of {} killed", toned(percent, tone, color), count(all, "mutant"))?;
    for (words, is) in OTHERS {
        let some = mutation.with(is).count();
        if some > 0 {
            write!(to, ", {some} {words}")?;
        }
    }
    writeln!(to, "{}", if mutation.bounded { "; there are more than are made" } else { "" })
}

/// Whether a fate is one of a kind.
type Is = fn(&Fate) -> bool;

/// Those that no test could kill, in words.
const OTHERS: [(&str, Is); 5] = [
    ("accepted", |fate| matches!(fate, Fate::Accepted(_))),
    ("not distinguished by any request", |fate| matches!(fate, Fate::NotToldApart(_))),
    ("always the same by the schema", |fate| matches!(fate, Fate::Set(Standing::Constant))),
    ("the same policy", |fate| matches!(fate, Fate::Set(Standing::Same))),
    ("refused by the validator", |fate| matches!(fate, Fate::Set(Standing::Refused(_)))),
];

fn headline(mutant: &Mutant, word: &str, tone: Tone, color: bool, to: &mut dyn Write) -> io::Result<()> {
    let policy = toned(&mutant.policy, Tone::Strong, color);
    writeln!(to, "{} {}: {policy}: {}", toned(word, tone, color), place(mutant), mutant.name)
}

fn count_of(asked: u64) -> String {
    count(usize::try_from(asked).unwrap_or(usize::MAX), "request")
}

fn outcome(decision: &Decision) -> String {
    let ids: Vec<&str> = decision.reasons.iter().map(|id| &**id).collect();
    let word = if decision.outcome.is_allow() { "allowed" } else { "denied" };
    match (ids.as_slice(), decision.errors.len()) {
        ([], 0) => word.to_owned(),
        ([], failed) => format!("{word}, and {} not evaluated", count(failed, "policy")),
        (ids, _) => format!("{word} by {}", ids.join(", ")),
    }
}

fn name(mutant: &Mutant) -> String {
    format!("{}: {}", mutant.policy, mutant.name)
}

fn drafted<'d>(shown: &'d Shown, name: &'d str) -> Draft<'d> {
    let beside = shown.file.as_deref();
    Draft { name, why: None, request: &shown.request, store: &shown.store, beside, decision: &shown.decision }
}

/// Writes a file of tests that would kill those that live, and says how many tests are in it.
pub(in crate::cli::test) fn tests(mutation: &Mutation, to: &mut dyn Write) -> io::Result<usize> {
    writeln!(
        to,
        "# Each test holds what is decided today. Review each before you keep it: is it the intended decision?"
    )?;
    writeln!(to, "tests:")?;
    let mut count = 0;
    for (mutant, fate) in &mutation.mutants {
        if let Fate::Survived(shown) = fate {
            // the file stands on its own
            draft::write(&Draft { beside: None, ..drafted(shown, &name(mutant)) }, "  ", to)?;
            count += 1;
        }
    }
    Ok(count)
}

/// A word for what came of a mutant, and more of it.
fn word(fate: &Fate) -> (&'static str, Option<(&'static str, Json)>) {
    match fate {
        Fate::Killed => ("killed", None),
        Fate::Survived(shown) => ("survived", Some(("test", of(shown)))),
        Fate::Unseen(asked) => ("survived", Some(("requests", (*asked).into()))),
        Fate::NotToldApart(asked) => ("not_distinguished", Some(("requests", (*asked).into()))),
        Fate::Accepted(why) => ("accepted", Some(("why", why.as_str().into()))),
        Fate::Set(Standing::Same) => ("same_policy", None),
        Fate::Set(Standing::Constant) => ("same_by_schema", None),
        Fate::Set(Standing::Refused(message)) => ("refused", Some(("message", message.as_str().into()))),
        // what the tests are asked about is killed, or lives
        Fate::Set(Standing::Open) => ("survived", None),
    }
}

fn of(shown: &Shown) -> Json {
    let request = &shown.request;
    let decided = |decision: &Decision| {
        let ids: Vec<&str> = decision.reasons.iter().map(|id| &**id).collect();
        json!({"decision": decision.outcome, "reason": ids})
    };
    json!({
        "principal": request.principal.to_string(),
        "action": request.action.to_string(),
        "resource": request.resource.to_string(),
        "context": request.context.to_json(),
        "decided": decided(&shown.decision),
        "mutated": decided(&shown.mutated),
    })
}

/// One member of the report for programs.
pub(in crate::cli::test) fn json(mutation: &Mutation) -> Json {
    let (killed, all) = mutation.score();
    let list = mutation.mutants.iter().map(|(mutant, fate)| {
        let (word, more) = word(fate);
        let mut shown = json!({
            "policy": &*mutant.policy,
            "effect": if mutant.effect == Effect::Permit { "permit" } else { "forbid" },
            "file": mutant.file,
            "mutant": mutant.name,
            "sort": match mutant.sort {
                MutantSort::Removed => "removed",
                MutantSort::Negated => "negated",
                MutantSort::Weakened => "weakened",
            },
            "fate": word,
        });
        if let Some(place) = &mutant.place {
            shown["line"] = place.line.into();
            shown["column"] = place.column.into();
        }
        if let Some((key, value)) = more {
            shown[key] = value;
        }
        shown
    });
    json!({
        "score": mutation.percent(),
        "killed": killed,
        "survived": all - killed,
        "bounded": mutation.bounded,
        "stale": mutation.stale,
        "mutants": list.collect::<Vec<_>>(),
    })
}

/// A suite of its own: each mutant that a test could kill is a case, which fails if it lives.
pub(in crate::cli::test) fn junit(
    mutation: &Mutation,
    escape: fn(&str) -> String,
    to: &mut dyn Write,
) -> io::Result<()> {
    let (killed, all) = mutation.score();
    let failures = all - killed;
    writeln!(to, r#"  <testsuite name="mutants" tests="{all}" failures="{failures}" errors="0" time="0">"#)?;
    for (mutant, fate) in counted(mutation) {
        let line = mutant.place.as_ref().map(|place| format!(r#" line="{}""#, place.line)).unwrap_or_default();
        let (file, name) = (escape(&mutant.file), escape(&name(mutant)));
        write!(to, r#"    <testcase classname="mutants" name="{name}" file="{file}"{line} time="0""#)?;
        let Some(message) = lives(mutant, fate)? else {
            writeln!(to, "/>")?;
            continue;
        };
        writeln!(to, ">")?;
        writeln!(to, r#"      <failure message="no test kills it">{}</failure>"#, escape(message.trim_end()))?;
        writeln!(to, "    </testcase>")?;
    }
    writeln!(to, "  </testsuite>")
}

/// Lines of the Test Anything Protocol, numbered from `first` on.
pub(in crate::cli::test) fn tap(
    mutation: &Mutation,
    first: usize,
    escape: fn(&str) -> String,
    to: &mut dyn Write,
) -> io::Result<()> {
    for (n, (mutant, fate)) in counted(mutation).enumerate() {
        let word = if matches!(fate, Fate::Killed) { "ok" } else { "not ok" };
        writeln!(to, "{word} {} - mutant {}", first + n, escape(&name(mutant)))?;
    }
    Ok(())
}

fn counted(mutation: &Mutation) -> impl Iterator<Item = &(Mutant, Fate)> {
    mutation.with(|fate| matches!(fate, Fate::Killed | Fate::Survived(_) | Fate::Unseen(_)))
}

/// What is to be said of a mutant that lives.
fn lives(mutant: &Mutant, fate: &Fate) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    match fate {
        Fate::Survived(shown) => draft::write(&drafted(shown, &name(mutant)), "", &mut text)?,
        Fate::Unseen(asked) => writeln!(text, "not distinguished by {}", count_of(*asked))?,
        _ => return Ok(None),
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
