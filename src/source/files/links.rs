//! A file of links: which templates apply to whom, one mapping a link.
//!
//! ```yaml
//! - template: reader            # the policy id of a template
//!   id: reader-for-ann          # else `<path>.<n>`, counted from 0 in each file
//!   principal: User::"ann"      # what `?principal` stands for
//!   resource: {type: Folder, id: handbook}
//! ```
//!
//! A file that Cedar's command line wrote (`template_id`, `link_id`, `args`) is read as well, and so are links as a policy
//! set has them (`templateId`, `newId`, `values`).
//!
//! Whether the template exists and has these slots is for the engine to judge; it knows the line of each link.

use std::sync::Arc;

use serde_json::Value;

use palisade_engine::model::near::closest;
use palisade_engine::model::request::uid_member;
use palisade_engine::model::{Diagnostic, Link, LinkNames, Written};
use palisade_text::{Lines, yaml};

/// The members of a link.
const MEMBERS: [&str; 4] = ["template", "id", "principal", "resource"];

/// Members of links from data, which make a link for each entity of a type.
const FROM_DATA: [&str; 3] = ["each", "when", "missing"];

/// Reads the text of a file. `stem` is what its links without an id are called after.
///
/// # Errors
/// Every problem with its shape.
pub(super) fn read(origin: &str, text: &str, stem: &str) -> Result<Vec<Link>, Vec<Diagnostic>> {
    let document = yaml::parse(text).map_err(|error| {
        let problem = Diagnostic::error(origin, error.message);
        vec![Diagnostic { line: error.line, ..problem }]
    })?;
    let Value::Array(items) = &document.value else {
        if document.value.as_object().is_some_and(serde_json::Map::is_empty) {
            let problem = Diagnostic::error(origin, "there is no link in this file");
            return Err(vec![problem.help("write `[]` for no links, or remove the file")]);
        }
        let problem = Diagnostic::error(origin, format!("a file of links is a list, not {}", kind(&document.value)));
        return Err(vec![problem.help("write one item a link: `- {template: reader, principal: 'User::\"ann\"'}`")]);
    };
    let file = Reading { origin: origin.into(), stem, lines: &document.lines };
    let (mut links, mut problems) = (Vec::with_capacity(items.len()), Vec::new());
    for (n, item) in items.iter().enumerate() {
        match file.link(n, item) {
            Ok(link) => links.push(link),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(links) } else { Err(problems) }
}

struct Reading<'a> {
    origin: Arc<str>,
    stem: &'a str,
    lines: &'a Lines,
}

impl Reading<'_> {
    fn link(&self, n: usize, item: &Value) -> Result<Link, Diagnostic> {
        let at = |member: Option<&str>| {
            let path: Vec<String> = [Some(n.to_string()), member.map(str::to_owned)].into_iter().flatten().collect();
            Some(self.lines.nearest(&path)).filter(|line| *line > 0)
        };
        let fail = |member: Option<&str>, message: String| Diagnostic {
            line: at(member),
            ..Diagnostic::error(&*self.origin, message)
        };
        let Value::Object(members) = item else {
            let message = format!("a link is a mapping of {}, not {}", MEMBERS.join(", "), kind(item));
            return Err(fail(None, message));
        };
        if let Some(names) = of_tools(members) {
            let json = item.to_string();
            let read = palisade_engine::model::Value::parse(json.as_bytes())
                .map_err(|error| fail(None, error.to_string()))
                .map(|value| Link::from_value(value, names, ""))?;
            let written = Some(Written { origin: Arc::clone(&self.origin), line: at(None) });
            return read.map(|link| Link { written, ..link }).map_err(|error| {
                let member = error.pointer.split('/').nth(1).unwrap_or_default();
                let message = match error.pointer.strip_prefix("/args/").or(error.pointer.strip_prefix("/values/")) {
                    Some(slot) => format!("`{member}`: `{slot}`: {}", error.message),
                    None => error.message,
                };
                fail(Some(member), message).help(format!(
                    "a link has {}, or {}",
                    names.all().join(", "),
                    MEMBERS.join(", ")
                ))
            });
        }
        if let Some((name, _)) = members.iter().find(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            let problem = fail(Some(name), format!("unknown member `{name}`; a link has {}", MEMBERS.join(", ")));
            return Err(if FROM_DATA.contains(&name.as_str()) {
                problem.help("links from data are not supported by this version: write one link for each entity")
            } else {
                match closest(name, MEMBERS) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem,
                }
            });
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(other) => Err(fail(Some(name), format!("`{name}` must be a policy id, not {}", kind(other)))),
        };
        let template_id = text("template")?.ok_or_else(|| fail(None, "the link lacks `template`".to_owned()))?;
        let link_id = text("id")?.unwrap_or_else(|| format!("{}.{n}", self.stem));
        let mut args = Vec::new();
        for name in ["principal", "resource"] {
            if let Some(value) = members.get(name) {
                let uid = uid(value).map_err(|message| fail(Some(name), format!("`{name}`: {message}")))?;
                args.push((format!("?{name}"), uid));
            }
        }
        let written = Some(Written { origin: Arc::clone(&self.origin), line: at(None) });
        Ok(Link { template_id, link_id, args, written })
    }
}

/// The names of members that tools of Cedar use, if this link has some of them and none that stand in `MEMBERS`.
fn of_tools(members: &serde_json::Map<String, Value>) -> Option<LinkNames> {
    let has = |names: &LinkNames| names.all().iter().any(|name| members.contains_key(*name));
    let ours = MEMBERS.iter().any(|name| members.contains_key(*name));
    [LinkNames::OF_FILES, LinkNames::OF_SETS].into_iter().find(|names| !ours && has(names))
}

/// An entity as `Type::"id"`, from either of its writings.
fn uid(value: &Value) -> Result<String, String> {
    let json = value.to_string();
    let value = palisade_engine::model::Value::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    uid_member(value, "").map(|uid| uid.to_string()).map_err(|error| error.message)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let text = "# who reads what\n- template: reader\n  principal: User::\"ann\"\n\n- {template: t, id: x, principal: {type: A::U, id: 'b \"'}, resource: 'F::\"\"'}\n";
        let links = read("f", text, "a/b.links").unwrap();
        let shown: Vec<_> = links
            .iter()
            .map(|link| {
                let args: Vec<_> = link.args.iter().map(|(slot, uid)| format!("{slot}={uid}")).collect();
                let line = link.written.as_ref().and_then(|written| written.line);
                (&*link.link_id, &*link.template_id, args.join(" "), line)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("a/b.links.0", "reader", "?principal=User::\"ann\"".to_owned(), Some(2)),
                ("x", "t", "?principal=A::U::\"b \\\"\" ?resource=F::\"\"".to_owned(), Some(5)),
            ]
        );
        for none in ["[]", "[] # none yet"] {
            assert_eq!(read("f", none, "s").unwrap(), []);
        }
    }

    #[test]
    fn links_of_cedars_tools_are_read() {
        let file = "[{\"template_id\": \"t\",\n\"link_id\": \"l\", \"args\": {\"?principal\": \"U::\\\"v\\\"\"}}]";
        let set = "[{\"templateId\": \"t\",\n\"newId\": \"l\", \"values\": {\"?principal\": {\"type\": \"U\", \"id\": \"v\"}}}]";
        let ours = "[{\"template\": \"t\",\n\"id\": \"l\", \"principal\": \"U::\\\"v\\\"\"}]";
        let [file, set, ours] = [file, set, ours].map(|text| read("f", text, "s").unwrap());
        assert_eq!((&file, &set), (&ours, &ours));
        for (text, expected) in [
            ("- template_id: t", "f:1: the link lacks `link_id`"),
            (
                "- template_id: t\n  link_id: l\n  arg: {}",
                "f:3: unknown member `arg`; a link has template_id, link_id, args",
            ),
            (
                "- template_id: t\n  link_id: l\n  args:\n    ?principal: x",
                "f:3: `args`: `?principal`: `x` is not an entity",
            ),
            ("- templateId: t\n  newId: 7", "f:2: `newId` must be a string, not a number"),
            (
                "- template: t\n  link_id: l",
                "f:2: unknown member `link_id`; a link has template, id, principal, resource",
            ),
        ] {
            let problems = read("f", text, "s").unwrap_err();
            assert!(problems[0].to_string().contains(expected), "{text}: {}", problems[0]);
        }
    }

    #[test]
    fn what_is_no_link_is_refused_with_its_line() {
        for (text, expected) in [
            ("template: t", "f: a file of links is a list, not a mapping"),
            ("# none", "f: there is no link in this file"),
            ("x", "f: a file of links is a list, not a text"),
            ("- a: [", "f:"),
            ("- t", "f:1: a link is a mapping of template, id, principal, resource, not a text"),
            ("- principal: U::\"a\"", "f:1: the link lacks `template`"),
            ("- template: t\n- template: 1", "f:2: `template` must be a policy id, not a number"),
            ("- template: t\n  id: ''", "f:2: `id` must be a policy id, not an empty text"),
            ("- template: t\n  princpal: U::\"a\"", "f:2: unknown member `princpal`"),
            ("- template: t\n  each: User", "not supported by this version"),
            ("- template: t\n  resource: alice", "f:2: `resource`: `alice` is not an entity uid"),
            ("- template: t\n  resource: {type: A}", "f:2: `resource`: the entity lacks `id`"),
            ("- template: t\n  template: u", "duplicate"),
        ] {
            let problems = read("f", text, "s").unwrap_err();
            assert!(problems[0].to_string().contains(expected), "{text}: {}", problems[0]);
        }
        assert_eq!(read("f", "- 1\n- 2", "s").unwrap_err().len(), 2, "all at once");
    }
}
