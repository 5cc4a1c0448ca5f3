//! Tests in the form that is pleasant to write by hand. `docs/testing.md` defines it.

mod cells;
mod include;
mod rows;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, json};

use crate::cli::names;
use crate::cli::test::model::{Case, Check, EntityChange, Expect, Fault, Reasons, Store, Unknown};
use crate::cli::test::node::{self, Kind, Member, Node};
use palisade_engine::model::{AccessRequest, Uid, Value, hint_of_text, request, uid};

const FILE_KEYS: &str = "`namespace`, `include`, `defaults`, `entities`, `without`, `tests`, and `x-…` for anchors";
const TEST_KEYS: &str = "`name`, `why`, `principal`, `action`, `resource`, `context`, `expect`, `allow`, `reason`, `errors`, `unknown`, `each`, `entities` and `without`";
const DEFAULT_KEYS: &str = "`principal`, `action`, `resource`, `context` and `expect`";
const ENTITY_KEYS: &str = "`uid`, `like`, `attrs`, `unset`, `parents` and `tags`";

/// Cedar's extension functions of one text argument, as keys: `{datetime: "2026-11-21T12:00:00Z"}`.
pub(super) const FUNCTIONS: &[&str] = &["datetime", "duration", "decimal", "ip"];

/// Whether a mapping of this one key is a value and no record.
pub(in crate::cli) fn is_short_form(key: &str) -> bool {
    key == "entity" || FUNCTIONS.contains(&key)
}

/// Most requests that one test may stand for.
const MAX_MATRIX: usize = 100_000;

/// What is said of a key that `what` does not have.
fn unknown_key(key: &str, what: &str, keys: &str) -> String {
    format!("unknown key `{key}`; {what} has {keys}{}", hint_of_text(key, keys))
}

/// Reads another file that this one names.
pub(super) type Open<'o> = &'o dyn Fn(&str) -> Result<String, String>;

/// Reads a file. `open` reads another file that it includes.
pub(super) fn parse(text: &str, open: Open<'_>) -> Result<Vec<Case>, Fault> {
    let root = node::parse(text)?;
    let mut file = File::default();
    let mut tests = None;
    let members = root.map("the file")?;
    // names are read in the namespace, wherever it stands
    file.read_namespace(members)?;
    // what is included comes before what stands here
    if let Some(member) = members.iter().find(|member| member.key == "include") {
        member.value.flat().into_iter().try_for_each(|name| include::add(&mut file, name, open))?;
    }
    for Member { key, line, value } in members {
        match key.as_str() {
            "namespace" | "include" => {}
            "defaults" => file.defaults(value)?,
            "entities" => file.put(value)?,
            "without" => file.remove(value)?,
            "tests" => tests = Some(value.list("`tests`")?),
            key if key.starts_with("x-") => {}
            key => return Err(Fault::at(*line, unknown_key(key, "a file of tests", FILE_KEYS))),
        }
    }
    let Some(tests) = tests else {
        return Err(Fault::at(1, format!("there is no `tests` here; a file of tests has {FILE_KEYS}")));
    };
    let shared = store(&file.changes);
    // one test, or one for each of its rows
    let expanded: Vec<_> = tests.iter().map(|test| (test, rows::expand(test))).collect();
    let mut names = HashSet::new();
    let mut cases = Vec::new();
    for (test, expanded) in &expanded {
        let each: &[Node] = match expanded {
            Ok(Some(each)) => each,
            Ok(None) => std::slice::from_ref(*test),
            Err(fault) => {
                let (name, check) = (format!("(test at line {})", test.line), Err(fault.clone()));
                cases.push(Case { name, line: Some(test.line), why: None, check });
                continue;
            }
        };
        for test in each {
            match file.test(test, &shared, &mut names) {
                Ok(found) => cases.extend(found),
                Err((name, fault)) => cases.push(Case { name, line: Some(test.line), why: None, check: Err(fault) }),
            }
        }
    }
    Ok(cases)
}

/// What all tests of a file share.
#[derive(Debug, Default)]
struct File<'n> {
    namespace: Option<String>,
    context: Map<String, serde_json::Value>,
    principal: Option<&'n Node>,
    action: Option<&'n Node>,
    resource: Option<&'n Node>,
    expect: Option<Expect>,
    changes: Vec<EntityChange>,
}

/// A uid and how the file wrote it.
struct Named<'n> {
    uid: Uid<'static>,
    written: &'n str,
}

impl<'n> File<'n> {
    fn read_namespace(&mut self, members: &[Member]) -> Result<(), Fault> {
        let Some(member) = members.iter().find(|member| member.key == "namespace") else { return Ok(()) };
        let name = member.value.text("`namespace`")?;
        if !uid::is_type_name(name) {
            return Err(Fault::at(member.line, format!("`{name}` is not a namespace")));
        }
        self.namespace = Some(name.to_owned());
        Ok(())
    }

    fn defaults(&mut self, node: &'n Node) -> Result<(), Fault> {
        for Member { key, line, value } in node.map("`defaults`")? {
            match key.as_str() {
                "principal" => self.principal = Some(value),
                "action" => self.action = Some(value),
                "resource" => self.resource = Some(value),
                "context" => self.context = self.context(value, self.context.clone())?,
                "expect" => self.expect = Some(expect(value)?),
                _ => return Err(Fault::at(*line, unknown_key(key, "`defaults`", DEFAULT_KEYS))),
            }
        }
        Ok(())
    }

    fn put(&mut self, node: &Node) -> Result<(), Fault> {
        let changes = self.entities(node)?;
        self.changes.extend(changes);
        Ok(())
    }

    fn remove(&mut self, node: &Node) -> Result<(), Fault> {
        let changes = self.without(node)?;
        self.changes.extend(changes);
        Ok(())
    }

    /// The cases of one test: one for each principal, action and resource.
    fn test(&self, node: &'n Node, shared: &Store, names: &mut HashSet<&'n str>) -> Result<Vec<Case>, (String, Fault)> {
        let unnamed = format!("(test at line {})", node.line);
        let members = node.map("a test").map_err(|fault| (unnamed.clone(), fault))?;
        let find = |key: &str| members.iter().find(|member| member.key == key).map(|member| &member.value);
        let name = match find("name").map(|value| value.text("`name`")) {
            Some(Ok(name)) => name,
            Some(Err(fault)) => return Err((unnamed, fault)),
            None => return Err((unnamed, Fault::at(node.line, "the test lacks `name`"))),
        };
        if !names.insert(name) {
            return Err((name.to_owned(), Fault::at(node.line, "a second test has this name")));
        }
        self.cases(node.line, name, members, shared).map_err(|fault| (name.to_owned(), fault))
    }

    fn cases(&self, line: usize, name: &str, members: &'n [Member], shared: &Store) -> Result<Vec<Case>, Fault> {
        let (mut principal, mut action, mut resource) = (self.principal, self.action, self.resource);
        let (mut why, mut expected, mut reasons, mut errors) = (None, None, None, None);
        let mut allow = None;
        let mut context = self.context.clone();
        let (mut changes, mut unknown) = (Vec::new(), Unknown::Unsaid);
        for Member { key, line, value } in members {
            match key.as_str() {
                "name" => {}
                "why" => why = Some(value.text("`why`")?.to_owned()),
                "principal" => principal = Some(value),
                "action" => action = Some(value),
                "resource" => resource = Some(value),
                "context" => context = self.context(value, context)?,
                "expect" => expected = Some(expect(value)?),
                "allow" => allow = Some((*line, value)),
                "reason" => reasons = Some(self::reasons(value)?),
                "errors" => match value.kind {
                    Kind::Long(n) if n >= 0 => errors = usize::try_from(n).ok(),
                    _ => return Err(Fault::at(*line, format!("`errors` must be a count, not {}", value.kind()))),
                },
                "unknown" => match value.kind {
                    Kind::Bool(true) => unknown = Unknown::Said,
                    Kind::Bool(false) => unknown = Unknown::Unsaid,
                    _ => {
                        return Err(Fault::at(*line, format!("`unknown` must be true or false, not {}", value.kind())));
                    }
                },
                "entities" => changes.extend(self.entities(value)?),
                "without" => changes.extend(self.without(value)?),
                _ => return Err(Fault::at(*line, unknown_key(key, "a test", TEST_KEYS))),
            }
        }
        let store = if changes.is_empty() {
            shared.clone()
        } else {
            store(&self.changes.iter().cloned().chain(changes).collect::<Vec<_>>())
        };
        let lacks = |what: &str| Fault::at(line, format!("the test lacks `{what}`"));
        let principals = self.named(principal.ok_or_else(|| lacks("principal"))?, "`principal`", false)?;
        let actions = self.named(action.ok_or_else(|| lacks("action"))?, "`action`", true)?;
        let resources = self.named(resource.ok_or_else(|| lacks("resource"))?, "`resource`", false)?;
        let cells = match (allow, expected) {
            (Some((line, _)), Some(_)) => {
                return Err(Fault::at(line, "a test has `expect` or `allow`, not both: `allow` lists what is allowed"));
            }
            (Some((_, node)), None) => Some(cells::read(self, node, [&principals, &actions, &resources])?),
            (None, _) => None,
        };
        let expect = match (&cells, expected.or(self.expect)) {
            (Some(_), _) => Expect::Deny,
            (None, expect) => expect.ok_or_else(|| lacks("expect"))?,
        };
        if expect == Expect::Error && (reasons.is_some() || errors.is_some()) {
            return Err(Fault::at(line, "a request that is an error has neither `reason` nor `errors`"));
        }
        // a policy that fails to evaluate is a surprise, unless the test says otherwise
        let errors = if expect == Expect::Error { None } else { Some(errors.unwrap_or(0)) };
        let count = principals.len() * actions.len() * resources.len();
        match count {
            0 => {
                return Err(Fault::at(
                    line,
                    "the test asks nothing: `principal`, `action` or `resource` is an empty list",
                ));
            }
            1..=MAX_MATRIX => {}
            _ => return Err(Fault::at(line, format!("the test stands for {count} requests, more than {MAX_MATRIX}"))),
        }
        let context = from_json(serde_json::Value::Object(context));
        let mut cases = Vec::with_capacity(count);
        for p in &principals {
            for a in &actions {
                for r in &resources {
                    let mut request = AccessRequest::new(p.uid.clone(), a.uid.clone(), r.uid.clone());
                    request.context = context.clone();
                    let name = match count {
                        1 => name.to_owned(),
                        _ => format!("{name} [{} {} {}]", p.written, a.written, r.written),
                    };
                    let cell = cells::of(cells.as_deref().unwrap_or_default(), [&p.uid, &a.uid, &r.uid])?;
                    let (expect, reasons) = match cell {
                        Some(cell) => (Expect::Allow, cell.reasons.clone()),
                        None => (expect, reasons.clone()),
                    };
                    let store = store.clone();
                    let check = Check { request, store, expect, reasons, errors, unknown };
                    cases.push(Case { name, line: Some(line), why: why.clone(), check: Ok(check) });
                }
            }
        }
        Ok(cases)
    }

    fn named(&self, node: &'n Node, what: &str, action: bool) -> Result<Vec<Named<'n>>, Fault> {
        let names = node.flat().into_iter().map(|node| {
            let written = node.text(what)?;
            Ok(Named { uid: self.uid(node, written, action)?, written })
        });
        names.collect()
    }

    /// `Type::id` in the namespace, or a uid in full with its id in quotes; an action may be its id alone.
    fn uid(&self, node: &Node, written: &str, action: bool) -> Result<Uid<'static>, Fault> {
        names::read(written, self.namespace.as_deref(), action).map_err(|message| Fault::at(node.line, message))
    }

    /// A name, or an object of `type` and `id` as in Cedar's JSON, which names its type in full.
    fn uid_of(&self, node: &Node, what: &str) -> Result<Uid<'static>, Fault> {
        match &node.kind {
            Kind::Map(members) => {
                let json = serde_json::Value::Object(self.members(members)?);
                let uid =
                    request::uid_member(from_json(json), "").map_err(|error| Fault::at(node.line, error.message))?;
                Ok(uid.into_owned())
            }
            _ => self.uid(node, node.text(what)?, false),
        }
    }

    /// `base` with the members of `node` over it; a member that is nothing takes one away.
    fn context(
        &self,
        node: &Node,
        mut base: Map<String, serde_json::Value>,
    ) -> Result<Map<String, serde_json::Value>, Fault> {
        for Member { key, value, .. } in node.map("`context`")? {
            match &value.kind {
                Kind::Null => base.remove(key),
                Kind::Text(text) if key == "now" => base.insert(key.clone(), call("datetime", text)),
                _ => base.insert(key.clone(), self.value(value)?),
            };
        }
        Ok(base)
    }

    /// A value in Cedar's JSON form.
    fn value(&self, node: &Node) -> Result<serde_json::Value, Fault> {
        Ok(match &node.kind {
            Kind::Null => return Err(Fault::at(node.line, "Cedar has no null: leave the member out")),
            Kind::Float(_) => {
                return Err(Fault::at(
                    node.line,
                    "Cedar's numbers are whole; write `{decimal: \"1.5\"}`, or put a text in quotes",
                ));
            }
            Kind::Bool(b) => (*b).into(),
            Kind::Long(n) => (*n).into(),
            Kind::Text(text) => text.as_str().into(),
            Kind::List(items) => items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?,
            Kind::Map(members) => match members.as_slice() {
                [Member { key, value, .. }] if key == "entity" => {
                    let uid = self.uid_of(value, "`entity`")?;
                    json!({"__entity": {"type": uid.type_name, "id": uid.id}})
                }
                [Member { key, value, .. }] if FUNCTIONS.contains(&key.as_str()) => {
                    call(key, value.text(&format!("`{key}`"))?)
                }
                members => serde_json::Value::Object(self.members(members)?),
            },
        })
    }

    fn members(&self, members: &[Member]) -> Result<Map<String, serde_json::Value>, Fault> {
        members.iter().map(|member| Ok((member.key.clone(), self.value(&member.value)?))).collect()
    }

    fn entities(&self, node: &Node) -> Result<Vec<EntityChange>, Fault> {
        node.list("`entities`")?.iter().map(|node| self.entity(node)).collect()
    }

    fn entity(&self, node: &Node) -> Result<EntityChange, Fault> {
        let (mut uid, mut like, mut parents, mut tags) = (None, None, None, None);
        let (mut attributes, mut unset) = (Map::new(), Vec::new());
        for Member { key, line, value } in node.map("an entity")? {
            match key.as_str() {
                "uid" => uid = Some(self.uid_of(value, "`uid`")?),
                "like" => like = Some(self.uid_of(value, "`like`")?),
                "attrs" => attributes = self.members(value.map("`attrs`")?)?,
                "unset" => {
                    let names = value.flat().into_iter().map(|name| Ok(name.text("a name in `unset`")?.to_owned()));
                    unset = names.collect::<Result<_, Fault>>()?;
                }
                "parents" => {
                    let uids = value.flat().into_iter().filter(|_| value.kind != Kind::Null);
                    parents = Some(uids.map(|parent| self.uid_of(parent, "a parent")).collect::<Result<_, Fault>>()?);
                }
                "tags" => tags = Some(serde_json::Value::Object(self.members(value.map("`tags`")?)?).to_string()),
                _ => return Err(Fault::at(*line, unknown_key(key, "an entity", ENTITY_KEYS))),
            }
        }
        let uid = uid.ok_or_else(|| Fault::at(node.line, "the entity lacks `uid`"))?;
        let attributes = serde_json::Value::Object(attributes).to_string();
        Ok(EntityChange::Put { line: node.line, uid, like, attributes, unset, parents, tags })
    }

    fn without(&self, node: &Node) -> Result<Vec<EntityChange>, Fault> {
        let removed = node.flat().into_iter().filter(|_| node.kind != Kind::Null);
        removed
            .map(|node| Ok(EntityChange::Remove { line: node.line, uid: self.uid_of(node, "an entity in `without`")? }))
            .collect()
    }
}

/// The bundle's entities with `changes`: removed is last, however the file is ordered.
fn store(changes: &[EntityChange]) -> Store {
    if changes.is_empty() {
        return Store::Bundle;
    }
    let mut changes = changes.to_vec();
    changes.sort_by_key(|change| matches!(change, EntityChange::Remove { .. }));
    Store::Changed(Arc::from(changes))
}

/// The ids of the policies that determine a decision.
fn reasons(node: &Node) -> Result<Reasons, Fault> {
    let ids = node.flat().into_iter().map(|id| Ok(id.text("a policy id in `reason`")?.to_owned()));
    Ok(Reasons { ids: ids.collect::<Result<BTreeSet<String>, Fault>>()?, all: true })
}

fn call(function: &str, argument: &str) -> serde_json::Value {
    json!({"__extn": {"fn": function, "arg": argument}})
}

fn expect(node: &Node) -> Result<Expect, Fault> {
    match node.text("`expect`")?.to_ascii_lowercase().as_str() {
        "allow" => Ok(Expect::Allow),
        "deny" => Ok(Expect::Deny),
        "error" => Ok(Expect::Error),
        other => Err(Fault::at(node.line, format!("`expect` is `allow`, `deny` or `error`, not `{other}`"))),
    }
}

fn from_json(value: serde_json::Value) -> Value<'static> {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(n) => Value::Long(n),
            None => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::String(text.into()),
        serde_json::Value::Array(items) => Value::Array(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key.into(), from_json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::notation;

    fn parse(text: &str) -> Result<Vec<Case>, Fault> {
        super::parse(text, &|_| Err("there is no such file".to_owned()))
    }

    const ONE: &str = "principal: U::a\n    action: b\n    resource: R::c\n    expect: deny\n";

    fn requests(text: &str) -> Vec<String> {
        let cases = parse(text).unwrap();
        let shown = cases.iter().map(|case| match &case.check {
            Ok(check) => {
                let request = &check.request;
                format!(
                    "{}: {} {} {} {} {}",
                    case.name,
                    request.principal,
                    request.action,
                    request.resource,
                    notation::value(&request.context),
                    check.expect
                )
            }
            Err(fault) => format!("{}: {fault:?}", case.name),
        });
        shown.collect()
    }

    #[test]
    fn names_contexts_and_matrices() {
        for (text, expected) in [
            (
                "namespace: N\ndefaults:\n  context: {now: \"2026-01-01\", mfa: true}\ntests:\n  - name: t\n    principal: U::a\n    action: b\n    resource: 'R::\"c\"'\n    expect: Allow\n",
                vec![r#"t: N::U::"a" N::Action::"b" R::"c" {mfa: true, now: datetime("2026-01-01")} allow"#],
            ),
            (
                "x-all: &all [U::a, U::b]\ntests:\n  - name: t\n    principal: [*all, 'U::\"c d\"']\n    action: [x, Action::y]\n    resource: R::c\n    expect: error\n",
                vec![
                    r#"t [U::a x R::c]: U::"a" Action::"x" R::"c" {} error"#,
                    r#"t [U::a Action::y R::c]: U::"a" Action::"y" R::"c" {} error"#,
                    r#"t [U::b x R::c]: U::"b" Action::"x" R::"c" {} error"#,
                    r#"t [U::b Action::y R::c]: U::"b" Action::"y" R::"c" {} error"#,
                    r#"t [U::"c d" x R::c]: U::"c d" Action::"x" R::"c" {} error"#,
                    r#"t [U::"c d" Action::y R::c]: U::"c d" Action::"y" R::"c" {} error"#,
                ],
            ),
            (
                "namespace: N\ndefaults: {context: {a: 1, b: {c: 2, d: 3}}, principal: U::a, resource: R::c, expect: deny}\ntests:\n  - name: t\n    action: x\n    context: {a: null, b: {c: {entity: U::z}}, ip: {ip: 10.0.0.1}, l: [off, 7]}\n",
                vec![
                    r#"t: N::U::"a" N::Action::"x" N::R::"c" {b: {c: N::U::"z"}, ip: ip("10.0.0.1"), l: ["off", 7]} deny"#,
                ],
            ),
        ] {
            assert_eq!(requests(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for (text, line, message) in [
            ("tests:\n - {\n", 2, "not valid YAML"),
            ("testz: []\n", 1, "did you mean `tests`?"),
            ("namespace: N\n", 1, "there is no `tests` here"),
            ("namespace: 1\n", 1, "`namespace` must be a text, not a number"),
            ("namespace: a b\ntests: []\n", 1, "`a b` is not a namespace"),
            ("tests: {}\n", 1, "`tests` must be a list"),
            ("defaults:\n  contxt: {}\ntests: []\n", 2, "unknown key `contxt`; `defaults` has"),
            ("entities:\n  - uid: U::a\n    attr: {}\ntests: []\n", 3, "unknown key `attr`; an entity has"),
            ("entities:\n  - {like: U::a}\ntests: []\n", 2, "the entity lacks `uid`"),
            ("without: [nobody]\ntests: []\n", 1, "`nobody` is not an entity"),
            ("a: 1\na: 2\n", 2, "not valid YAML: duplicate mapping key: a (column"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(message), "{text}: {fault:?}");
            assert!(fault.line.is_some_and(|found| found.abs_diff(line) <= 1), "{text}: {fault:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_test_fails_that_test() {
        for (members, line, message) in [
            ("expect: deny", 2, "the test lacks `principal`"),
            ("principal: U::a\n    action: b\n    resource: R::c", 2, "the test lacks `expect`"),
            (
                "principal: U::a\n    action: b\n    resource: R::c\n    expect: maybe",
                6,
                "`expect` is `allow`, `deny` or `error`, not `maybe`",
            ),
            ("principal: alice\n    action: b\n    resource: R::c\n    expect: deny", 3, "`alice` is not an entity"),
            ("principal: 'N::U::'\n    action: b\n    resource: 'R::'\n    expect: deny", 5, "`R::` has an empty id"),
            ("principal: []\n    action: b\n    resource: R::c\n    expect: deny", 2, "asks nothing"),
            (
                "principal: 7\n    action: b\n    resource: R::c\n    expect: deny",
                3,
                "`principal` must be a text, not a number",
            ),
            ("principle: U::a", 3, "did you mean `principal`?"),
            ("zzz: U::a", 3, "unknown key `zzz`; a test has"),
            ("errors: many", 3, "`errors` must be a count"),
            ("context: {a: 1.5}", 3, "Cedar's numbers are whole"),
            ("context: {a: [null]}", 3, "leave the member out"),
            ("context: [a]", 3, "`context` must be a mapping"),
            ("context: {a: {datetime: 5}}", 3, "`datetime` must be a text"),
            ("reason: [1]", 3, "a policy id in `reason` must be a text"),
        ] {
            let text = format!("tests:\n  - name: t\n    {members}\n  - name: u\n    {ONE}");
            let cases = parse(&text).unwrap();
            let fault = cases[0].check.as_ref().unwrap_err();
            assert!(fault.message.contains(message), "{members}: {fault:?}");
            assert_eq!(fault.line, Some(line), "{members}: {fault:?}");
            assert!(cases[1].check.is_ok(), "{members}");
        }
        let cases = parse(&format!("tests:\n  - name: t\n    {ONE}  - name: t\n    {ONE}")).unwrap();
        assert!(cases[1].check.is_err(), "names are unique");
    }

    #[test]
    fn changes_of_entities() {
        let text = format!(
            "namespace: N\nentities:\n  - {{uid: U::a, like: U::z, attrs: {{k: {{entity: R::c}}}}, unset: l, parents: [[G::x], G::y], tags: {{}}}}\ntests:\n  - name: t\n    {ONE}  - name: u\n    without: R::c\n    {ONE}"
        );
        let cases = parse(&text).unwrap();
        let stores: Vec<_> = cases.iter().map(|case| &case.check.as_ref().unwrap().store).collect();
        let (Store::Changed(first), Store::Changed(second)) = (stores[0], stores[1]) else { panic!("{stores:?}") };
        let EntityChange::Put { uid, like, attributes, unset, parents, tags, line } = &first[0] else { panic!() };
        assert_eq!(
            (uid.to_string(), like.as_ref().map(ToString::to_string)),
            (r#"N::U::"a""#.into(), Some(r#"N::U::"z""#.into()))
        );
        let attributes: serde_json::Value = serde_json::from_str(attributes).unwrap();
        assert_eq!(attributes, json!({"k": {"__entity": {"id": "c", "type": "N::R"}}}));
        assert_eq!(
            (unset.as_slice(), parents.as_ref().map(Vec::len), tags.as_deref(), *line),
            (&["l".to_owned()][..], Some(2), Some("{}"), 3)
        );
        assert_eq!(second.len(), 2);
        assert!(matches!(&second[1], EntityChange::Remove { line: 11, .. }), "{second:?}");
    }
}
