//! Reports for people: what failed, why it should not have, and what was different.

use std::io::{self, Write};

use crate::cli::terminal::{Tone, toned};
use crate::cli::test::report::{Got, Report, TestResult, denied_by, policy_error};
use crate::cli::test::{mutate, notation};
use crate::cli::why;

pub(super) fn write(report: &Report, quiet: bool, color: bool, to: &mut dyn Write) -> io::Result<()> {
    for failure in report.failures() {
        write_failure(failure, color, to)?;
    }
    if !quiet {
        let mut rest = report.results.as_slice();
        while let Some(first) = rest.first() {
            let (file, others) = rest.split_at(rest.iter().take_while(|result| result.path == first.path).count());
            let failed = file.iter().filter(|result| !result.passed()).count();
            let (word, tone) = if failed == 0 { ("ok  ", Tone::Good) } else { ("FAIL", Tone::Bad) };
            write!(to, "{} {}: {} passed", toned(word, tone, color), first.path, file.len() - failed)?;
            if failed > 0 {
                write!(to, ", {failed} failed")?;
            }
            writeln!(to)?;
            rest = others;
        }
    }
    let tone = if report.failed() == 0 { Tone::Good } else { Tone::Bad };
    writeln!(to, "{}", toned(report, tone, color))?;
    report.mutation.as_ref().map_or(Ok(()), |mutation| mutate::human(mutation, quiet, color, to))
}

pub(super) fn write_failure(result: &TestResult, color: bool, to: &mut dyn Write) -> io::Result<()> {
    let bad = |text: &str| toned(text.to_owned(), Tone::Bad, color);
    writeln!(to, "{} {}", bad("FAIL"), toned(&result.name, Tone::Strong, color))?;
    writeln!(to, "  at {}", result.place())?;
    if let Some(why) = &result.why {
        writeln!(to, "  why {why}")?;
    }
    for fault in &result.faults {
        writeln!(to, "  {}", bad(fault))?;
    }
    if let Some(check) = &result.check {
        let request = &check.request;
        writeln!(to, "  request")?;
        writeln!(to, "    principal {}", request.principal)?;
        writeln!(to, "    action    {}", request.action)?;
        writeln!(to, "    resource  {}", request.resource)?;
        writeln!(to, "    context   {}", notation::value(&request.context))?;
        writeln!(to, "  expected {}", check.expect)?;
        writeln!(to, "  got      {}", result.got.word())?;
    }
    match &result.got {
        Got::Decision(decision) => {
            match result.reason_diff() {
                Some(diff) => {
                    writeln!(to, "  determining policies (- expected, + got)")?;
                    let mut lines: Vec<(&str, &str)> = Vec::new();
                    lines.extend(diff.common.iter().map(|id| (*id, " ")));
                    lines.extend(diff.missing.iter().map(|id| (*id, "-")));
                    lines.extend(diff.extra.iter().map(|id| (*id, "+")));
                    lines.sort_unstable();
                    for (id, sign) in &lines {
                        let tone = match *sign {
                            "-" => Some(Tone::Bad),
                            "+" => Some(Tone::Good),
                            _ => None,
                        };
                        let line = format!("{sign} {id}");
                        writeln!(to, "    {}", toned(line, tone.unwrap_or(Tone::Faint), color && tone.is_some()))?;
                    }
                    if lines.is_empty() {
                        writeln!(to, "      (none)")?;
                    }
                }
                None if decision.reasons.is_empty() => writeln!(to, "  determining policies: none")?,
                None => {
                    let ids: Vec<&str> = decision.reasons.iter().map(|id| &**id).collect();
                    writeln!(to, "  determining policies: {}", ids.join(", "))?;
                }
            }
            if let Some(denied) = &decision.denied_by {
                writeln!(to, "  denied because {}", denied_by(denied))?;
            }
            for error in &decision.errors {
                writeln!(to, "  policy error {}", policy_error(error))?;
            }
        }
        Got::Refused(error) if !result.faults.iter().any(|fault| fault.contains(&error.message)) => {
            writeln!(to, "  refused because {}", error.message)?;
        }
        Got::Refused(_) | Got::Broken(_) => {}
    }
    if let Some(explanation) = &result.explanation {
        why::write_nearest(explanation, color, to)?;
    }
    writeln!(to)
}
