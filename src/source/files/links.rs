//! A file of links: which templates apply to whom, one mapping a link.
//!
//! ```yaml
//! - template: reader            # the policy id of a template
//!   id: reader-for-ann          # else `<path>.<n>`, counted from 0 in each file
//!   principal: User::"ann"      # what `?principal` stands for
//!   resource: {type: Folder, id: handbook}
//! ```
//!
//! A mapping with `each` declares links that the data make:
//!
//! ```yaml
//! - each: Grant                 # one for every stored entity of this type
//!   template: role.permissions  # and every template that it names
//!   principal: group
//!   resource: self
//! ```
//!
//! A file that Cedar's command line wrote (`template_id`, `link_id`, `args`) is read as well, and so are links as a policy
//! set has them (`templateId`, `newId`, `values`).
//!
//! Whether the template exists and has these slots is for the engine to judge; it knows the line of each link.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use palisade_engine::model::near::closest;
use palisade_engine::model::request::uid_member;
use palisade_engine::model::{Diagnostic, Link, LinkDeclaration, LinkNames, MemberLines, RequestError, Written};
use palisade_text::{Lines, yaml};

/// The members of a link.
const MEMBERS: [&str; 4] = ["template", "id", "principal", "resource"];

/// Members of links from data alone.
const FROM_DATA: [&str; 3] = ["each", "when", "missing"];

/// What a file of links has.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its links. Where there are problems, also those with a wrong member, if all entities in them can be read: the engine
    /// then finds what else is wrong with them.
    pub links: Vec<Link>,
    /// Its declarations of links that data make.
    pub declared: Vec<LinkDeclaration>,
    /// Every problem with its shape.
    pub problems: Vec<Diagnostic>,
}

impl From<Diagnostic> for Read {
    fn from(problem: Diagnostic) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// Reads the text of a file. `stem` is what its links without an id are called after.
pub(super) fn read(origin: &str, text: &str, stem: &str) -> Read {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(error) => return unread(origin, error).into(),
    };
    let Value::Array(items) = &document.value else {
        if document.value.as_object().is_some_and(serde_json::Map::is_empty) {
            let problem = Diagnostic::error(origin, "there is no link in this file");
            return problem.help("write `[]` for no links, or remove the file").into();
        }
        let problem = Diagnostic::error(origin, format!("a file of links is a list, not {}", kind(&document.value)));
        return problem.help("write one item a link: `- {template: reader, principal: 'User::\"ann\"'}`").into();
    };
    let (origin, read) = (origin.into(), Read::default());
    let mut file = Reading { origin, stem, lines: &document.lines, lines_of_ids: HashMap::new(), read };
    for (n, item) in items.iter().enumerate() {
        file.link(n, item);
    }
    file.read
}

/// What is wrong with a file that cannot be read at all, by what its name says that it is.
pub(super) fn unread(origin: &str, error: yaml::YamlError) -> Diagnostic {
    let message = if origin.ends_with(".json") { error.message.replace("YAML", "JSON") } else { error.message };
    Diagnostic { line: error.line, ..Diagnostic::error(origin, message) }
}

/// The line of an item of a list, or of its member.
pub(super) fn line(lines: &Lines, n: usize, member: Option<&str>) -> Option<usize> {
    let path: Vec<String> = [Some(n.to_string()), member.map(str::to_owned)].into_iter().flatten().collect();
    Some(lines.nearest(&path)).filter(|line| *line > 0)
}

/// Where an item of a list stands, and its members.
pub(super) fn written(origin: &Arc<str>, lines: &Lines, n: usize, item: &Value) -> Written {
    let mut written = Written::new(Arc::clone(origin), line(lines, n, None));
    let first = written.line.unwrap_or(0);
    let mut note = |member: &str, way: &[&str]| {
        if way.iter().try_fold(item, |at, step| at.get(step)).is_some() {
            let path: Vec<String> = [n.to_string()].into_iter().chain(way.iter().map(ToString::to_string)).collect();
            written.members.note(member, lines.nearest(&path).saturating_sub(first));
        }
    };
    MemberLines::NAMES.into_iter().for_each(|member| note(member, &[member]));
    // as tools of Cedar name them
    for names in [LinkNames::OF_FILES, LinkNames::OF_SETS] {
        let [template, id, values] = names.all();
        note("template", &[template]);
        note("id", &[id]);
        note("principal", &[values, "?principal"]);
        note("resource", &[values, "?resource"]);
    }
    written
}

struct Reading<'a> {
    origin: Arc<str>,
    stem: &'a str,
    lines: &'a Lines,
    /// Where the links above stand, by id.
    lines_of_ids: HashMap<String, Option<usize>>,
    read: Read,
}

impl Reading<'_> {
    fn fail(&mut self, n: usize, member: Option<&str>, message: String, help: Option<String>) {
        let problem = Diagnostic { line: line(self.lines, n, member), ..Diagnostic::error(&*self.origin, message) };
        self.read.problems.push(Diagnostic { help, ..problem });
    }

    fn link(&mut self, n: usize, item: &Value) {
        let Value::Object(members) = item else {
            let message = format!("a link is a mapping of {}, not {}", MEMBERS.join(", "), kind(item));
            return self.fail(n, None, message, None);
        };
        if members.contains_key("each") {
            return self.declaration(n, item);
        }
        if let Some(names) = of_tools(members) {
            return self.link_of_tools(n, item, names);
        }
        let (mut template, mut id, mut args) = (None, None, Vec::new());
        let (mut from_data, mut whole) = (false, true);
        for (name, value) in members {
            let known = MEMBERS.iter().find(|member| *member == name).copied();
            // what was probably meant is looked at too
            let meant = known.or_else(|| closest(name, MEMBERS));
            if known.is_none() {
                from_data |= FROM_DATA.contains(&name.as_str());
                let help = match meant {
                    _ if from_data => Some(ONE_EACH.to_owned()),
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None => None,
                };
                self.fail(n, Some(name), format!("unknown member `{name}`; a link has {}", MEMBERS.join(", ")), help);
            }
            match (meant, value) {
                (Some("template"), Value::String(text)) if !text.is_empty() => template = Some(text.clone()),
                (Some("id"), Value::String(text)) if !text.is_empty() => id = Some(text.clone()),
                (Some("template" | "id"), other) => {
                    let message = format!("`{name}` must be a policy id, not {}", kind(other));
                    self.fail(n, Some(name), message, None);
                }
                (Some(slot), value) => match uid(value) {
                    Ok(uid) => args.push((format!("?{slot}"), uid)),
                    Err(message) => {
                        whole = false;
                        self.fail(n, Some(name), format!("`{name}`: {message}"), None);
                    }
                },
                (None, _) => {}
            }
        }
        let lacks_template = !members.keys().any(|name| closest(name, MEMBERS) == Some("template"));
        if lacks_template && !from_data {
            self.fail(n, None, "the link lacks `template`".to_owned(), None);
        }
        if let Some(template_id) = template.filter(|_| whole && !from_data) {
            let link_id = id.unwrap_or_else(|| format!("{}.{n}", self.stem));
            self.push(n, item, "id", Link { template_id, link_id, args, written: None });
        }
    }

    /// Takes a link, unless one above has its id: which of the two is meant, only their author knows.
    fn push(&mut self, n: usize, item: &Value, id: &str, link: Link) {
        if let Some(line) = self.lines_of_ids.get(&link.link_id) {
            let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            let message = format!("a link above{line} has the id `{}` too", link.link_id);
            return self.fail(n, Some(id), message, Some("give one of them another id, or remove it".to_owned()));
        }
        let written = written(&self.origin, self.lines, n, item);
        self.lines_of_ids.insert(link.link_id.clone(), written.line);
        self.read.links.push(Link { written: Some(written), ..link });
    }

    /// A declaration of links that data make.
    fn declaration(&mut self, n: usize, item: &Value) {
        let (declared, problems) = from_json(item, |value| LinkDeclaration::read(value, ""));
        for (member, message) in problems {
            self.fail(n, (!member.is_empty()).then_some(member.as_str()), message, None);
        }
        if let Some(declared) = declared {
            let written = Some(written(&self.origin, self.lines, n, item));
            self.read.declared.push(LinkDeclaration { written, ..declared });
        }
    }

    /// A link as tools of Cedar write it.
    fn link_of_tools(&mut self, n: usize, item: &Value, names: LinkNames) {
        let json = item.to_string();
        let read = match palisade_engine::model::Value::parse(json.as_bytes()) {
            Ok(value) => Link::read(value, names, ""),
            Err(error) => return self.fail(n, None, error.to_string(), None),
        };
        let (link, problems) = read;
        for error in problems {
            let member = error.pointer.split('/').nth(1).unwrap_or_default().to_owned();
            // who filled a slot wrongly knows the members
            let (message, help) = match error.pointer.strip_prefix("/args/").or(error.pointer.strip_prefix("/values/"))
            {
                Some(slot) => (format!("`{member}`: `{slot}`: {}", error.message), None),
                None => {
                    let help = format!("a link has {}, or {}", names.all().join(", "), MEMBERS.join(", "));
                    (error.message, Some(help))
                }
            };
            self.fail(n, Some(&member), message, help);
        }
        if let Some(link) = link {
            let [_, id, ..] = names.all();
            self.push(n, item, id, link);
        }
    }
}

/// What to do about a member of links from data in another link.
const ONE_EACH: &str =
    "that is a member of links from data, which have `each`: the type of the entities that make them";

/// The names of members that tools of Cedar use, if this link has some of them and none that stand in `MEMBERS`.
fn of_tools(members: &serde_json::Map<String, Value>) -> Option<LinkNames> {
    let has = |names: &LinkNames| names.all().iter().any(|name| members.contains_key(*name));
    let ours = MEMBERS.iter().any(|name| members.contains_key(*name));
    [LinkNames::OF_FILES, LinkNames::OF_SETS].into_iter().find(|names| !ours && has(names))
}

/// Reads a mapping of a file as the API reads its JSON. Each problem has the member that it is about, if it is of one, and
/// what is wrong.
pub(super) fn from_json<T>(
    item: &Value,
    read: impl FnOnce(palisade_engine::model::Value<'_>) -> (Option<T>, Vec<RequestError>),
) -> (Option<T>, Vec<(String, String)>) {
    let json = item.to_string();
    let value = match palisade_engine::model::Value::parse(json.as_bytes()) {
        Ok(value) => value,
        Err(error) => return (None, vec![(String::new(), error.to_string())]),
    };
    let (found, problems) = read(value);
    let of_member =
        |error: RequestError| (error.pointer.split('/').nth(1).unwrap_or_default().to_owned(), error.message);
    (found, problems.into_iter().map(of_member).collect())
}

/// An entity as `Type::"id"`, from either of its writings.
fn uid(value: &Value) -> Result<String, String> {
    let json = value.to_string();
    let value = palisade_engine::model::Value::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    uid_member(value, "").map(|uid| uid.to_string()).map_err(|error| error.message)
}

pub(super) fn kind(value: &Value) -> &'static str {
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
        let links = read("f", text, "a/b.links").links;
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
            let read = read("f", none, "s");
            assert_eq!((read.links, read.problems), (vec![], vec![]));
        }
    }

    #[test]
    fn declarations_are_read() {
        let text = "- {template: t, id: x}\n- each: Grant\n  template: role.permissions\n  principal: group\n  resource: self\n  when: active\n  missing: warn\n";
        let Read { links, declared, problems } = read("f", text, "s");
        assert_eq!((links.len(), declared.len(), problems), (1, 1, vec![]));
        let LinkDeclaration { each, template, principal, resource, when, written, .. } = &declared[0];
        assert_eq!((each.as_str(), template.as_str()), ("Grant", "role.permissions"));
        assert_eq!([principal, resource, when].map(Option::as_deref), [Some("group"), Some("self"), Some("active")]);
        assert_eq!(written.as_ref().and_then(|written| written.line), Some(2));
    }

    #[test]
    fn links_of_cedars_tools_are_read() {
        let file = "[{\"template_id\": \"t\",\n\"link_id\": \"l\", \"args\": {\"?principal\": \"U::\\\"v\\\"\"}}]";
        let set = "[{\"templateId\": \"t\",\n\"newId\": \"l\", \"values\": {\"?principal\": {\"type\": \"U\", \"id\": \"v\"}}}]";
        let ours = "[{\"template\": \"t\",\n\"id\": \"l\", \"principal\": \"U::\\\"v\\\"\"}]";
        let [file, set, ours] = [file, set, ours].map(|text| read("f", text, "s").links);
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
            let problems = read("f", text, "s").problems;
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
            ("- template: t\n  when: on", "f:2: unknown member `when`; a link has template"),
            ("- each: User\n  templte: t", "f:2: unknown member `templte`; a link from data has each, id"),
            ("- each: User", "f:1: a link from data lacks `template`"),
            ("- each: 3\n  template: t", "f:1: `each` must be a string, not a number"),
            ("- template: t\n  resource: alice", "f:2: `resource`: `alice` is not an entity uid"),
            ("- template: t\n  resource: {type: A}", "f:2: `resource`: the entity lacks `id`"),
            ("- template: t\n  template: u", "duplicate"),
            ("- {template: t, id: l}\n- template: u\n  id: l", "f:3: a link above (line 1) has the id `l` too"),
            (
                "- {template_id: t, link_id: l, args: {}}\n- {templateId: u, newId: l, values: {}}",
                "f:2: a link above (line 1) has the id `l` too",
            ),
            // one without an id is called after its place
            ("- {template: t, id: s.1}\n- {template: u}", "f:2: a link above (line 1) has the id `s.1` too"),
        ] {
            let problems = read("f", text, "s").problems;
            assert!(problems[0].to_string().contains(expected), "{text}: {}", problems[0]);
        }
    }

    #[test]
    fn every_problem_of_every_link_is_told() {
        let text = "- 1\n- template: t\n  princpal: ann\n  foo: 1\n  id: 3\n- template: u\n  princpal: U::\"a\"\n";
        let Read { links, problems, .. } = read("f", text, "s");
        let shown: Vec<String> = problems.iter().map(|problem| problem.to_string().replace('\n', " ")).collect();
        assert_eq!(shown.len(), 6, "{shown:#?}");
        for expected in
            ["f:1: a link", "f:3: unknown member `princpal`", "f:3: `princpal`:", "f:4: unknown", "f:5: `id`"]
        {
            assert!(shown.iter().any(|problem| problem.starts_with(expected)), "{expected}: {shown:#?}");
        }
        // the engine finds what else is wrong with them
        let ids: Vec<_> = links.iter().map(|link| (&*link.template_id, link.args.len())).collect();
        assert_eq!(ids, [("u", 1)]);
    }
}
