//! Test Anything Protocol, version 14, with a YAML block for what failed.

use std::io::{self, Write};

use crate::cli::test::report::Report;
use crate::cli::test::{mutate, notation};

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "TAP version 14")?;
    let mutants = report.mutation.as_ref().map_or(0, |mutation| mutation.score().1);
    writeln!(to, "1..{}", report.results.len() + mutants)?;
    for (i, result) in report.results.iter().enumerate() {
        let word = if result.passed() { "ok" } else { "not ok" };
        writeln!(to, "{word} {} - {}", i + 1, escape(&result.id()))?;
        if result.passed() {
            continue;
        }
        writeln!(to, "  ---")?;
        writeln!(to, "  message: {}", quote(&result.faults.join("; ")))?;
        writeln!(to, "  at: {}", quote(&result.place()))?;
        if let Some(why) = &result.why {
            writeln!(to, "  why: {}", quote(why))?;
        }
        if let Some(check) = &result.check {
            let request = &check.request;
            writeln!(to, "  principal: {}", quote(&request.principal.to_string()))?;
            writeln!(to, "  action: {}", quote(&request.action.to_string()))?;
            writeln!(to, "  resource: {}", quote(&request.resource.to_string()))?;
            writeln!(to, "  context: {}", quote(&notation::value(&request.context)))?;
            writeln!(to, "  expected: {}", check.expect)?;
            writeln!(to, "  got: {}", result.got.word())?;
        }
        if let Some(decision) = result.got.decision() {
            let ids: Vec<String> = decision.reasons.iter().map(|id| quote(id)).collect();
            writeln!(to, "  reason: [{}]", ids.join(", "))?;
        }
        writeln!(to, "  ...")?;
    }
    report.mutation.as_ref().map_or(Ok(()), |mutation| mutate::tap(mutation, report.results.len() + 1, escape, to))
}

/// A description may not look like a directive, nor break its line.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#").replace(['\n', '\r'], " ")
}

/// A JSON string, which is a YAML scalar too.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
