//! Whether what leaves HTTP/1 and HTTP/2 is seen: upgrades to anything but a WebSocket, and HTTP/3.

use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::sections::{Config, Section};

/// Whether a denial holds for each upgrade to anything but a WebSocket.
pub(super) fn refuses_others(when: &Condition) -> bool {
    let concerns = |term: &&Term| term.mentions("hdr(upgrade") || term.mentions("hdr_cnt(upgrade");
    match when {
        Condition::Always => false,
        Condition::If(any) => any.iter().any(|all| {
            let right = |term: &Term| if term.negated { is_websocket(term) } else { is_any(term) };
            let mut terms = all.iter().filter(concerns).peekable();
            terms.peek().is_some() && terms.all(right)
        }),
        Condition::Unless(any) => any.iter().all(|all| {
            all.iter().filter(concerns).any(|term| if term.negated { is_any(term) } else { is_websocket(term) })
        }),
    }
}

/// Whether a term holds for each value of `Upgrade`.
fn is_any(term: &Term) -> bool {
    term.tests.iter().any(|test| {
        let words: Vec<&str> = test.split_whitespace().collect();
        words.windows(2).any(|pair| pair == ["-m", "found"]) || test.contains("hdr_cnt(") || words.len() == 1
    })
}

/// Whether a term holds for `websocket` alone, and not for what has that word in it.
fn is_websocket(term: &Term) -> bool {
    term.tests.iter().all(|test| {
        let (mut words, mut values) = (test.split_whitespace().skip(1), 0);
        while let Some(word) = words.next() {
            match word {
                "-i" | "--" | "str" => {}
                "-m" => match words.next() {
                    Some("str") => {}
                    Some("reg") => return words.filter(|word| !word.starts_with('-')).all(is_anchored),
                    _ => return false,
                },
                word if word.eq_ignore_ascii_case("websocket") => values += 1,
                _ => return false,
            }
        }
        values > 0
    })
}

fn is_anchored(pattern: &str) -> bool {
    let bare = pattern.trim_start_matches("(?i)").to_ascii_lowercase();
    bare == "^websocket$"
}

/// Whether a section takes requests over HTTP/3.
pub(super) fn has_http3(config: &Config, section: &Section) -> bool {
    let mut lines = config.chain(section).into_iter().flat_map(|section| &section.lines);
    let quic = |word: &String| word.starts_with("quic4@") || word.starts_with("quic6@");
    lines.any(|line| {
        line.begins(&["bind"]) && line.words.iter().flat_map(|word| word.split(',')).any(|w| quic(&w.to_owned()))
    })
}

/// Whether a term about the version of HTTP holds for HTTP/3 too.
pub(super) fn names_http3(term: &Term) -> bool {
    term.tests.iter().any(|test| test.split_whitespace().skip(1).any(|word| word.starts_with('3')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::condition::Acls;

    #[test]
    fn denials_of_other_upgrades_are_known() {
        for (line, expected) in [
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m str -i websocket }", true),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -i websocket }", true),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -i -m reg ^websocket$ }", true),
            ("deny if { req.hdr(upgrade) -m found }", true),
            ("deny if { req.hdr_cnt(upgrade) gt 0 }", true),
            ("deny if { path /x } || { req.hdr(upgrade) -m found }", true),
            ("deny unless { req.fhdr(upgrade) -i websocket } || !{ req.hdr(upgrade) -m found }", true),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m sub -i websocket }", false),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m beg -i websocket }", false),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m reg -i websocket }", false),
            ("deny if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -i websocket h2c }", false),
            ("deny if { req.hdr(upgrade) -i h2c }", false),
            ("deny if { req.fhdr(upgrade) -m str h2c }", false),
            ("deny unless { req.fhdr(upgrade) -m sub websocket } || !{ req.hdr(upgrade) -m found }", false),
            ("deny if { path /x }", false),
            ("deny", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(refuses_others(&Condition::read(&words, &Acls::new())), expected, "{line}");
        }
    }
}
