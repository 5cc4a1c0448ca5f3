//! JUnit XML: a suite a file. Times are in seconds.

use std::io::{self, Write};
use std::time::Duration;

use crate::cli::test::format::human;
use crate::cli::test::mutate::{self, Mutation};
use crate::cli::test::report::{Got, Report, TestResult};

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let (killed, mutants) = report.mutation.as_ref().map_or((0, 0), Mutation::score);
    let alive = mutants - killed;
    writeln!(to, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        to,
        r#"<testsuites name="palisade" tests="{}" failures="{}" errors="{}" time="{}">"#,
        report.results.len() + mutants,
        failures(&report.results) + alive,
        errors(&report.results),
        seconds(&report.results)
    )?;
    let mut rest = report.results.as_slice();
    while let Some(first) = rest.first() {
        let (file, others) = rest.split_at(rest.iter().take_while(|result| result.path == first.path).count());
        writeln!(
            to,
            r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" time="{}">"#,
            escape(&first.path),
            file.len(),
            failures(file),
            errors(file),
            seconds(file)
        )?;
        for result in file {
            let line = result.line.map_or_else(String::new, |line| format!(r#" line="{line}""#));
            write!(
                to,
                r#"    <testcase classname="{}" name="{}" file="{}"{line} time="{}""#,
                escape(&result.file),
                escape(&result.name),
                escape(&result.path),
                seconds(std::slice::from_ref(result))
            )?;
            if result.passed() {
                writeln!(to, "/>")?;
                continue;
            }
            let element = if matches!(result.got, Got::Broken(_)) { "error" } else { "failure" };
            let mut detail = Vec::new();
            human::write_failure(result, false, &mut detail)?;
            let detail = String::from_utf8_lossy(&detail);
            writeln!(to, ">")?;
            writeln!(
                to,
                r#"      <{element} message="{}">{}</{element}>"#,
                escape(&result.faults.join("; ")),
                escape(detail.trim_end())
            )?;
            writeln!(to, "    </testcase>")?;
        }
        writeln!(to, "  </testsuite>")?;
        rest = others;
    }
    if let Some(mutation) = &report.mutation {
        mutate::junit(mutation, escape, to)?;
    }
    writeln!(to, "</testsuites>")
}

/// What they took together, on however many threads.
fn seconds(results: &[TestResult]) -> String {
    let took: Duration = results.iter().map(|result| result.took).sum();
    format!("{:.6}", took.as_secs_f64())
}

fn errors(results: &[TestResult]) -> usize {
    results.iter().filter(|result| matches!(result.got, Got::Broken(_))).count()
}

fn failures(results: &[TestResult]) -> usize {
    results.iter().filter(|result| !result.passed() && !matches!(result.got, Got::Broken(_))).count()
}

/// Text for XML 1.0, which has no place for most control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (reference(c), c) {
            (Some(reference), _) => out.push_str(reference),
            (None, '\n' | '\t') => out.push(c),
            (None, c) if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            (None, c) => out.push(c),
        }
    }
    out
}

/// How a character that means something in XML and HTML, and within their quoted attributes, is written as text.
pub(in crate::cli::test) fn reference(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        _ => None,
    }
}
