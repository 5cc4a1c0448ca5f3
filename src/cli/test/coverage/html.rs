//! Coverage as one page of HTML: the source with its conditions coloured, and a table of the files. It needs nothing else:
//! no script, no style and no font from elsewhere.

use std::collections::BTreeMap;
use std::io::{self, Write};

use palisade_engine::{Outcomes, SeenPart, SeenPolicy};

use super::Coverage;
use crate::cli::test::format::junit;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:110ch;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #8884}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
pre{font:13px/1.5 ui-monospace,monospace;overflow-x:auto;padding:.5rem 0;border:1px solid #8884;border-radius:6px}\
pre i{display:inline-block;width:5ch;padding-right:1ch;margin-right:1ch;text-align:right;font-style:normal;opacity:.5;\
border-right:3px solid transparent}\
pre i.in{border-color:#2a9d4e}pre i.out{border-color:#d64545}\
.full{background:#2a9d4e33}.half{background:#e0a10055}.none{background:#d6454555}\
summary{cursor:pointer;font-weight:600;margin-top:1.2rem}";

/// Writes the page. `sources` are the texts of the files.
pub(super) fn write(coverage: &Coverage, sources: &BTreeMap<&str, &str>, to: &mut dyn Write) -> io::Result<()> {
    let (seen, all) = coverage.outcomes();
    let percent = (coverage.percent() * 10.0).floor() / 10.0;
    writeln!(to, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(to, "<meta name=\"viewport\" content=\"width=device-width\"><title>Coverage {percent:.1} %</title>")?;
    writeln!(to, "<style>{STYLE}</style></head><body>")?;
    writeln!(to, "<h1>Coverage {percent:.1} %</h1>")?;
    writeln!(
        to,
        "<p>The tests have seen {seen} of {all} outcomes: that a policy is in scope, that a condition holds, that it does not."
    )?;
    writeln!(
        to,
        "<span class=\"full\">Both</span>, <span class=\"half\">one of the two</span>, <span class=\"none\">neither</span>; point \
         at a condition for the counts.</p>"
    )?;
    let mut files: BTreeMap<&str, Vec<(&str, &SeenPolicy)>> = BTreeMap::new();
    for (id, policy) in coverage.sorted() {
        files.entry(&policy.file).or_default().push((id, policy));
    }
    writeln!(
        to,
        "<table><tr><th>File<th class=\"n\">Policies<th class=\"n\">Seen<th class=\"n\">Outcomes<th class=\"n\">%</tr>"
    )?;
    for (n, (file, policies)) in files.iter().enumerate() {
        let (seen, all) = policies.iter().fold((0, 0), |(seen, all), (_, policy)| {
            let (more_seen, more) = policy.outcomes();
            (seen + more_seen, all + more)
        });
        let percent = if all == 0 { 100.0 } else { seen as f64 * 100.0 / all as f64 };
        writeln!(
            to,
            "<tr><td><a href=\"#f{n}\">{}</a><td class=\"n\">{}<td class=\"n\">{seen}<td class=\"n\">{all}<td class=\"n\">{:.1}</tr>",
            escape(shown(file)),
            policies.len(),
            (percent * 10.0).floor() / 10.0
        )?;
    }
    writeln!(to, "</table>")?;
    for (n, (file, policies)) in files.iter().enumerate() {
        let is_full = policies.iter().all(|(_, policy)| policy.outcomes().0 == policy.outcomes().1);
        // what is to be looked at lies open
        writeln!(
            to,
            "<details id=\"f{n}\"{}><summary>{}</summary>",
            if is_full { "" } else { " open" },
            escape(shown(file))
        )?;
        match sources.get(file) {
            Some(text) => write_source(text, policies, to)?,
            None => write_list(policies, to)?,
        }
        writeln!(to, "</details>")?;
    }
    writeln!(to, "</body></html>")
}

fn shown(file: &str) -> &str {
    file.trim_start_matches("./")
}

/// A file, line by line.
fn write_source(text: &str, policies: &[(&str, &SeenPolicy)], to: &mut dyn Write) -> io::Result<()> {
    // where spans begin and end, by line and column; of two that overlap the first counts
    let mut marks: BTreeMap<(usize, usize), (bool, &SeenPart)> = BTreeMap::new();
    let mut last = (0, 0);
    let mut parts = Vec::new();
    for part in policies.iter().flat_map(|(_, policy)| &policy.parts) {
        if let Some(place) = &part.place {
            parts.push((part, (place.line, place.column), (place.end_line, place.end_column)));
        }
    }
    parts.sort_by_key(|(_, start, _)| *start);
    for (part, start, end) in parts {
        if start >= last && end > start {
            // an end is put before the start of what follows at once
            marks.insert(start, (true, part));
            marks.entry(end).or_insert((false, part));
            last = end;
        }
    }
    let heads: BTreeMap<usize, &SeenPolicy> =
        policies.iter().filter_map(|(_, policy)| Some((policy.line?, *policy))).collect();
    write!(to, "<pre>")?;
    let mut open: Option<&SeenPart> = None;
    for (n, line) in text.lines().enumerate() {
        let n = n + 1;
        let class = heads.get(&n).map(|policy| if policy.in_scope > 0 { "in" } else { "out" });
        let hint = heads.get(&n).map(|policy| format!(" title=\"in scope {} times\"", policy.in_scope));
        write!(to, "<i class=\"{}\"{}>{n}</i>", class.unwrap_or_default(), hint.unwrap_or_default())?;
        // a span goes on from line to line, so that the numbers stay outside of it
        if let Some(part) = open {
            begin(part, to)?;
        }
        for (at, sign) in line.chars().enumerate() {
            if let Some((starts, part)) = marks.get(&(n, at + 1)) {
                if open.take().is_some() {
                    write!(to, "</span>")?;
                }
                if *starts {
                    begin(part, to)?;
                    open = Some(part);
                }
            }
            write!(to, "{}", escape(sign.encode_utf8(&mut [0; 4])))?;
        }
        if open.is_some() {
            write!(to, "</span>")?;
        }
        if marks.get(&(n, line.chars().count() + 1)).is_some_and(|(starts, _)| !starts) {
            open = None;
        }
        writeln!(to)?;
    }
    writeln!(to, "</pre>")
}

fn begin(part: &SeenPart, to: &mut dyn Write) -> io::Result<()> {
    let Outcomes { held, not, failed } = part.outcomes;
    let class = ["none", "half", "full"][part.outcomes.seen()];
    let failed = if failed > 0 { format!(", failed {failed} times") } else { String::new() };
    write!(to, "<span class=\"{class}\" title=\"true {held} times, false {not} times{failed}\">")
}

/// Policies whose file is not at hand.
fn write_list(policies: &[(&str, &SeenPolicy)], to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "<pre>")?;
    for (id, policy) in policies {
        writeln!(to, "{}: in scope {} times", escape(id), policy.in_scope)?;
        for part in &policy.parts {
            write!(to, "  ")?;
            begin(part, to)?;
            writeln!(to, "{}</span>", escape(&part.text))?;
        }
    }
    writeln!(to, "</pre>")
}

/// Text within HTML, and within its quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match junit::reference(c) {
            Some(reference) => out.push_str(reference),
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use palisade_engine::model::explanation::Place;

    use super::*;

    #[test]
    fn spans_are_coloured_over_lines_and_nothing_of_the_source_is_lost() {
        let text = "// <é>\npermit(principal, action, resource)\nwhen { a &&\n  b.c\n   < 1 };\n";
        let part = |(line, column): (usize, usize), (end_line, end_column): (usize, usize), held, not| SeenPart {
            text: String::new(),
            place: Some(Place { line, column, end_line, end_column, excerpt: None }),
            outcomes: Outcomes { held, not, failed: 0 },
        };
        let policy = SeenPolicy {
            file: "./p.cedar".to_owned(),
            line: Some(2),
            decisions: 3,
            in_scope: 3,
            parts: vec![part((3, 8), (3, 9), 2, 0), part((4, 3), (5, 7), 0, 0)],
        };
        let coverage = Coverage { policies: BTreeMap::from([("p".to_owned(), policy)]) };
        let mut page = Vec::new();
        write(&coverage, &BTreeMap::from([("./p.cedar", text)]), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let source = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
        let expected = "<i class=\"\">1</i>// &lt;é&gt;\n\
            <i class=\"in\" title=\"in scope 3 times\">2</i>permit(principal, action, resource)\n\
            <i class=\"\">3</i>when { <span class=\"half\" title=\"true 2 times, false 0 times\">a</span> &amp;&amp;\n\
            <i class=\"\">4</i>  <span class=\"none\" title=\"true 0 times, false 0 times\">b.c</span>\n\
            <i class=\"\">5</i><span class=\"none\" title=\"true 0 times, false 0 times\">   &lt; 1</span> };\n";
        assert_eq!(source, expected);
        assert!(page.contains("Coverage 40.0 %") && page.contains("<a href=\"#f0\">p.cedar</a>"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }
}
