//! An explanation as a picture: each policy a box with its parts, below each part the way through the hierarchy, and at the
//! end what would turn the decision. One SVG that needs nothing else; its texts are texts, and no meaning is in a colour
//! alone.

use std::fmt::Write as _;
use std::io::{self, Write};

use palisade_engine::model::explanation::{Clause, ClauseKind, Effect, ExplainedPolicy, HierarchyPath, Truth};
use palisade_engine::model::{Explanation, Outcome};

use super::{Shown, kind_in_words, one_line, shown};

/// The width of the picture, in its own units.
const WIDTH: usize = 960;

/// The height of a line.
const LINE: usize = 20;

/// About the width of ten characters at the size of the texts.
const TEN_CHARACTERS: usize = 73;

/// Between the boxes of two entities: room for an arrow, and for an arrow with words.
const GAPS: [usize; 2] = [34, 70];

/// The longest name of an entity in its box, in characters.
const LONGEST_NAME: usize = 30;

/// Levels of parts that are moved to the right.
const MOST_LEVELS: usize = 6;

const STYLE: &str = "\
svg{color-scheme:light dark;font:12px ui-monospace,Menlo,Consolas,monospace}\
text{fill:#1c1c1c}.page{fill:#fff}.box{fill:#f6f7f9;stroke:#c4c9d1}.entity{fill:#fff;stroke:#7d8796}\
.target{fill:none;stroke:#7d8796;stroke-dasharray:4 3}.way{stroke:#7d8796;fill:none;marker-end:url(#to)}\
.gap{stroke:#b3261e;fill:none;stroke-dasharray:4 3}.tip{fill:#7d8796}\
.head{font-size:18px;font-weight:700}.strong{font-weight:700}.faint{fill:#5a6472}.good{fill:#1a7a3c}.bad{fill:#b3261e}\
@media (prefers-color-scheme:dark){text{fill:#e8eaed}.page{fill:#16181c}.box{fill:#1f2228;stroke:#444b57}\
.entity{fill:#16181c;stroke:#8b95a5}.target{stroke:#8b95a5}.way{stroke:#8b95a5}.tip{fill:#8b95a5}.gap{stroke:#ff8a80}\
.faint{fill:#a3adba}.good{fill:#6fd08c}.bad{fill:#ff8a80}}";

/// Writes the picture. `question` is the principal, the action and the resource.
pub(in crate::cli) fn write(
    explanation: &Explanation,
    question: &[String; 3],
    all: bool,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut picture = Picture { body: String::new(), y: 36 };
    let (word, class) = match explanation.decision {
        Outcome::Allow => ("ALLOW", "head good"),
        Outcome::Deny => ("DENY", "head bad"),
    };
    let kind = kind_in_words(explanation.kind);
    let [principal, action, resource] = question;
    picture.text(24, class, &format!("{word}: {kind}"));
    picture.y += LINE + 4;
    for (name, uid) in [("principal", principal), ("action", action), ("resource", resource)] {
        picture.text(24, "", &format!("{name:<10}{}", uid));
        picture.y += LINE;
    }
    let Shown { failed, decided, others, rest } = shown(explanation, all);
    for (title, policies) in [("could not be evaluated", failed), ("decided by", decided), ("nearest", others)] {
        if !policies.is_empty() {
            picture.heading(title);
            policies.into_iter().for_each(|policy| picture.policy(policy));
        }
    }
    if let Some(rest) = rest {
        picture.y += LINE;
        picture.text(24, "faint", &rest);
    }
    picture.changes(explanation);
    picture.y += LINE;
    let Picture { body, y: height } = picture;
    let label = format!("{word}: {kind}");
    let summary =
        format!("Why {principal} may {}do {action} on {resource}.", if word == "ALLOW" { "" } else { "not " });
    writeln!(
        to,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title summary">
<title id="title">{}</title>
<desc id="summary">{}</desc>
<style>{STYLE}</style>
<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>
<rect class="page" width="{WIDTH}" height="{height}"/>
{body}</svg>"##,
        escaped(&label),
        escaped(&summary)
    )
}

struct Picture {
    body: String,
    /// Where the next line stands.
    y: usize,
}

impl Picture {
    fn text(&mut self, x: usize, class: &str, text: &str) {
        let y = self.y;
        self.text_at((x, y), class, text);
    }

    fn text_at(&mut self, (x, y): (usize, usize), class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let text = &cut(text, WIDTH.saturating_sub(x + 32) * 10 / TEN_CHARACTERS);
        // whatever fonts there are, it is as wide as it was reckoned
        let wide = if class.contains("head") { String::new() } else { format!(" textLength=\"{}\"", wide(text)) };
        // a text takes all that is written
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}"{class}{wide} lengthAdjust="spacingAndGlyphs" xml:space="preserve">{}</text>"#,
            escaped(text)
        );
    }

    fn heading(&mut self, text: &str) {
        self.y += LINE;
        self.text(24, "strong", text);
        self.y += 10;
    }

    fn policy(&mut self, policy: &ExplainedPolicy) {
        let top = self.y;
        let begun = self.body.len();
        self.y += LINE + 2;
        let effect = if policy.effect == Effect::Permit { "permit" } else { "forbid" };
        self.text(40, "strong", &format!("{effect} {}", policy.id));
        self.y += LINE;
        let line = policy.line.map(|line| format!(":{line}")).unwrap_or_default();
        let made = policy.link.as_ref().and_then(|link| link.made_by.as_ref());
        let made = made.map(|entity| format!("  made by {entity}")).unwrap_or_default();
        self.text(40, "faint", &format!("{}{line}{made}", policy.file));
        if let Some(why) = policy.annotations.get("why") {
            self.y += LINE;
            self.text(40, "faint", &in_a_line(why));
        }
        for clause in policy.scope.iter().chain(&policy.clauses) {
            self.clause(clause, 0);
        }
        self.y += 14;
        let outline = format!(
            "<rect class=\"box\" x=\"24\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
            WIDTH - 48,
            self.y - top
        );
        self.body.insert_str(begun, &outline);
        self.y += 12;
    }

    fn clause(&mut self, clause: &Clause, level: usize) {
        self.y += LINE + 2;
        let x = 40 + 24 * level.min(MOST_LEVELS);
        let (mark, word, class) = match (clause.result, clause.alone) {
            (Truth::True, _) => ("✓", "holds", "good"),
            (Truth::False, _) => ("✗", "does not hold", "bad"),
            (Truth::Error, _) => ("!", "fails", "bad"),
            (Truth::NotReached, Some(Truth::True)) => ("–", "not reached, would hold", "faint"),
            (Truth::NotReached, Some(Truth::False)) => ("–", "not reached, would not hold", "bad"),
            (Truth::NotReached, _) => ("–", "not reached", "faint"),
        };
        let keyword = if clause.kind == ClauseKind::When { "when " } else { "" };
        self.text(x, class, mark);
        let room = (WIDTH - 48 - x) * 10 / TEN_CHARACTERS - word.len() - 8;
        let text = cut(&format!("{keyword}{}", one_line(&clause.text)), room);
        self.text(x + 20, "", &text);
        let end = x + 20 + wide(&text) + 14;
        self.text(end, class, word);
        if let Some(error) = clause.error.as_ref().filter(|_| clause.parts.is_empty()) {
            self.y += LINE;
            self.text(x + 20, "bad", &one_line(error));
        }
        for value in &clause.values {
            self.y += LINE;
            self.text(x + 20, "faint", &super::read(value));
        }
        for way in &clause.hierarchy {
            self.way(way, x + 20);
        }
        clause.parts.iter().for_each(|part| self.clause(part, level + 1));
    }

    /// The entities on a way, each in a box, with arrows to the one above; what was not reached is dashed.
    fn way(&mut self, way: &HierarchyPath, left: usize) {
        self.y += 10;
        let mut x = left;
        let mut steps: Vec<(&str, bool)> = way.path.iter().map(|entity| (entity.as_str(), true)).collect();
        let targets = match way.to.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} or {} more", rest.len()),
        };
        if !way.holds {
            steps.push((&targets, false));
        }
        for (n, (name, is_reached)) in steps.iter().enumerate() {
            let label = short_name(name);
            let width = wide(&label) + 18;
            let gap = if n == 0 { 0 } else { GAPS[usize::from(!is_reached)] };
            if x + gap + width > WIDTH - 40 && n > 0 {
                // the way goes on below
                self.y += 34;
                x = left + 12;
            }
            let middle = self.y + 13;
            if n > 0 {
                let (class, end) = (if *is_reached { "way" } else { "gap" }, x + gap - 4);
                let _ = writeln!(self.body, r#"<path class="{class}" d="M{x} {middle}H{end}"/>"#);
                if !is_reached {
                    let above = self.y + 9;
                    self.text_at((x + 11, above), "bad", "not in");
                }
                x += gap;
            }
            let class = if *is_reached { "entity" } else { "target" };
            let _ = writeln!(
                self.body,
                r#"<g><title>{}</title><rect class="{class}" x="{x}" y="{}" width="{width}" height="26" rx="6"/>"#,
                escaped(name),
                self.y
            );
            let base = self.y + 17;
            self.text_at((x + 9, base), "", &label);
            self.body.push_str("</g>\n");
            x += width;
        }
        self.y += 32;
        for unknown in &way.unknown {
            self.y += 4;
            self.text(left, "bad", &format!("{unknown} is not stored"));
            self.y += 10;
        }
        self.y -= 8;
    }

    fn changes(&mut self, explanation: &Explanation) {
        let turned = if explanation.decision.is_allow() { "denied" } else { "allowed" };
        self.y += 6;
        if explanation.changes.is_empty() {
            self.heading(&format!("no single change of those tried would have it {turned}"));
            return;
        }
        self.heading(&format!("it would be {turned} if you"));
        for change in &explanation.changes {
            self.y += LINE;
            self.text(40, "", &format!("• {}", in_a_line(&change.words)));
        }
    }
}

/// About the width of a text.
fn wide(text: &str) -> usize {
    (text.chars().count() * TEN_CHARACTERS).div_ceil(10)
}

/// The name of an entity without its namespace, without its middle where it is long.
fn short_name(name: &str) -> String {
    let quote = name.find('"').unwrap_or(name.len());
    let ty = name[..quote].trim_end_matches("::");
    let bare = ty.rfind("::").map_or(0, |at| at + 2);
    let text = &name[bare..];
    let length = text.chars().count();
    if length <= LONGEST_NAME {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST_NAME / 2).collect();
    let tail: String = text.chars().skip(length - LONGEST_NAME / 2).collect();
    format!("{head}…{tail}")
}

/// A text without its line breaks.
fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text, cut where it is longer than so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// As XML has it: its signs as names, and what it cannot hold as a sign of that.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_and_are_escaped() {
        for (name, short) in [
            ("User::\"ann\"", "User::\"ann\""),
            ("A::B::User::\"ann\"", "User::\"ann\""),
            ("A::User::\"a::b\"", "User::\"a::b\""),
            ("A::User::\"0123456789012345678901234567\"", "User::\"01234567…45678901234567\""),
        ] {
            assert_eq!(short_name(name), short);
        }
        assert_eq!(
            escaped("<a href='x'>&\u{1}\u{ffff}\n\"é"),
            "&lt;a href=&#39;x&#39;&gt;&amp;\u{fffd}\u{fffd} &quot;é"
        );
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }
}
