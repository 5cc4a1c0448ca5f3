//! Tests in the form that is pleasant to write by hand. `docs/testing.md` defines it.

mod cells;
mod include;
mod rows;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, json};

use crate::cli::names;
use crate::cli::test::model::{Case, Check, EntityChange, Expect, Fault, Read, Reasons, Store, Unknown, all};
use crate::cli::test::node::{self, Kind, Member, Node};
use palisade_engine::model::{AccessRequest, Uid, Value, closest, hint_of_text, request, uid};

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
    let mut faults: Vec<Fault> = file.read_namespace(members).err().into_iter().collect();
    // what is included comes before what stands here
    let included = members.iter().filter(|member| member.key == "include").flat_map(|member| member.value.flat());
    for name in included {
        faults.extend(include::add(&mut file, name, open).err().into_iter().flatten());
    }
    for Member { key, line, value } in members {
        let read = match key.as_str() {
            "namespace" | "include" => Ok(()),
            "defaults" => file.defaults(value),
            "entities" => file.put(value),
            "without" => file.remove(value),
            "tests" => value.list("`tests`").map(|list| tests = Some(list)).map_err(Vec::from),
            key if key.starts_with("x-") => Ok(()),
            key => Err(Fault::at(*line, unknown_key(key, "a file of tests", FILE_KEYS)).into()),
        };
        faults.extend(read.err().into_iter().flatten());
    }
    if tests.is_none() && faults.is_empty() {
        return Err(Fault::at(1, format!("there is no `tests` here; a file of tests has {FILE_KEYS}")));
    }
    let tests = tests.unwrap_or_default();
    let shared = store(&file.changes);
    // one test, or one for each of its rows
    let expanded: Vec<_> = tests.iter().map(|test| (test, rows::expand(test))).collect();
    let mut names = HashSet::new();
    let mut cases = Vec::new();
    // what is wrong with the file does not hide what is wrong with its tests
    let broken = |name: &str, line: usize, fault: Fault| {
        let line = Some(fault.line.unwrap_or(line));
        Case { name: name.to_owned(), line, why: None, check: Err(fault) }
    };
    cases.extend(faults.into_iter().map(|fault| broken("(file)", 1, fault)));
    for (test, expanded) in &expanded {
        let each: &[Node] = match expanded {
            Ok(Some(each)) => each,
            Ok(None) => std::slice::from_ref(*test),
            Err(faults) => {
                let name = format!("(test at line {})", test.line);
                cases.extend(faults.iter().map(|fault| broken(&name, test.line, fault.clone())));
                continue;
            }
        };
        for test in each {
            match file.test(test, &shared, &mut names) {
                Ok(found) => cases.extend(found),
                Err((name, faults)) => {
                    cases.extend(faults.into_iter().map(|fault| Case {
                        name: name.clone(),
                        line: Some(test.line),
                        why: None,
                        check: Err(fault),
                    }));
                }
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

/// What a test says besides whom it asks about.
struct Asked<'n> {
    why: Option<String>,
    expected: Option<Expect>,
    allow: Option<(usize, &'n Node)>,
    reasons: Option<Reasons>,
    errors: Option<usize>,
    unknown: Unknown,
    context: Map<String, serde_json::Value>,
    store: Store,
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

    fn defaults(&mut self, node: &'n Node) -> Read<()> {
        all(node.map("`defaults`")?.iter().map(|Member { key, line, value }| -> Read<()> {
            match key.as_str() {
                "principal" => self.principal = Some(value),
                "action" => self.action = Some(value),
                "resource" => self.resource = Some(value),
                "context" => self.context = self.context(value, self.context.clone())?,
                "expect" => self.expect = Some(expect(value)?),
                _ => return Err(Fault::at(*line, unknown_key(key, "`defaults`", DEFAULT_KEYS)).into()),
            }
            Ok(())
        }))
    }

    fn put(&mut self, node: &Node) -> Read<()> {
        let changes = self.entities(node)?;
        self.changes.extend(changes);
        Ok(())
    }

    fn remove(&mut self, node: &Node) -> Read<()> {
        let changes = self.without(node)?;
        self.changes.extend(changes);
        Ok(())
    }

    /// The cases of one test: one for each principal, action and resource.
    ///
    /// # Errors
    /// Everything that is wrong with it, under its name.
    fn test(
        &self,
        node: &'n Node,
        shared: &Store,
        names: &mut HashSet<&'n str>,
    ) -> Result<Vec<Case>, (String, Vec<Fault>)> {
        let unnamed = format!("(test at line {})", node.line);
        let members = node.map("a test").map_err(|fault| (unnamed.clone(), vec![fault]))?;
        let find = |key: &str| members.iter().find(|member| member.key == key).map(|member| &member.value);
        let (name, fault) = match find("name").map(|value| value.text("`name`")) {
            Some(Ok(name)) if names.insert(name) => (name, None),
            Some(Ok(name)) => (name, Some(Fault::at(node.line, "a second test has this name"))),
            Some(Err(fault)) => (unnamed.as_str(), Some(fault)),
            None => (unnamed.as_str(), Some(Fault::at(node.line, "the test lacks `name`"))),
        };
        match (self.cases(node.line, name, members, shared), fault) {
            (Ok(cases), None) => Ok(cases),
            (read, fault) => {
                Err((name.to_owned(), fault.into_iter().chain(read.err().into_iter().flatten()).collect()))
            }
        }
    }

    fn cases(&self, line: usize, name: &str, members: &'n [Member], shared: &Store) -> Result<Vec<Case>, Vec<Fault>> {
        let (mut principal, mut action, mut resource) = (self.principal, self.action, self.resource);
        let (mut why, mut expected, mut reasons, mut errors) = (None, None, None, None);
        let mut allow = None;
        let mut context = self.context.clone();
        let (mut changes, mut unknown) = (Vec::new(), Unknown::Unsaid);
        let mut faults = Vec::new();
        for Member { key, line, value } in members {
            let mut read = || -> Read<()> {
                match key.as_str() {
                    "name" => {}
                    "why" => why = Some(value.text("`why`")?.to_owned()),
                    "principal" => principal = Some(value),
                    "action" => action = Some(value),
                    "resource" => resource = Some(value),
                    "context" => context = self.context(value, context.clone())?,
                    "expect" => expected = Some(expect(value)?),
                    "allow" => allow = Some((*line, value)),
                    "reason" => reasons = Some(self::reasons(value)?),
                    "errors" => match value.kind {
                        Kind::Long(n) if n >= 0 => errors = usize::try_from(n).ok(),
                        _ => {
                            let message = format!("`errors` must be a count, not {}", value.kind());
                            return Err(Fault::at(*line, message).into());
                        }
                    },
                    "unknown" => match value.kind {
                        Kind::Bool(said) => unknown = if said { Unknown::Said } else { Unknown::Unsaid },
                        _ => {
                            let message = format!("`unknown` must be true or false, not {}", value.kind());
                            return Err(Fault::at(*line, message).into());
                        }
                    },
                    "entities" => changes.extend(self.entities(value)?),
                    "without" => changes.extend(self.without(value)?),
                    _ => return Err(Fault::at(*line, unknown_key(key, "a test", TEST_KEYS)).into()),
                }
                Ok(())
            };
            faults.extend(read().err().into_iter().flatten());
        }
        let store = if changes.is_empty() {
            shared.clone()
        } else {
            store(&self.changes.iter().cloned().chain(changes).collect::<Vec<_>>())
        };
        // a key that is misspelt is not missing, too
        let meant = |what: &str| members.iter().any(|member| closest(&member.key, [what]).is_some());
        let lacks = |what: &str| Fault::at(line, format!("the test lacks `{what}`"));
        let mut named = |node: Option<&'n Node>, what: &str| match node {
            Some(node) => {
                let read = self.named(node, &format!("`{what}`"), what == "action");
                read.map_err(|wrong| faults.extend(wrong)).ok()
            }
            None => {
                faults.extend((!meant(what)).then(|| lacks(what)));
                None
            }
        };
        let asked = [(principal, "principal"), (action, "action"), (resource, "resource")];
        let [principals, actions, resources] = asked.map(|(node, what)| named(node, what));
        if allow.is_none() && expected.or(self.expect).is_none() && !meant("expect") {
            faults.push(lacks("expect"));
        }
        let (Some(principals), Some(actions), Some(resources), true) =
            (principals, actions, resources, faults.is_empty())
        else {
            return Err(faults);
        };
        self.matrix(
            line,
            name,
            [principals, actions, resources],
            Asked { why, expected, allow, reasons, errors, unknown, context, store },
        )
    }

    /// The cases of a test of which every member could be read.
    fn matrix(
        &self,
        line: usize,
        name: &str,
        [principals, actions, resources]: [Vec<Named<'n>>; 3],
        asked: Asked<'n>,
    ) -> Read<Vec<Case>> {
        let Asked { why, expected, allow, reasons, errors, unknown, context, store } = asked;
        let lacks = |what: &str| Fault::at(line, format!("the test lacks `{what}`"));
        let cells = match (allow, expected) {
            (Some((line, _)), Some(_)) => {
                let message = "a test has `expect` or `allow`, not both: `allow` lists what is allowed";
                return Err(Fault::at(line, message).into());
            }
            (Some((_, node)), None) => Some(cells::read(self, node, [&principals, &actions, &resources])?),
            (None, _) => None,
        };
        let expect = match (&cells, expected.or(self.expect)) {
            (Some(_), _) => Expect::Deny,
            (None, expect) => expect.ok_or_else(|| lacks("expect"))?,
        };
        if expect == Expect::Error && (reasons.is_some() || errors.is_some()) {
            return Err(Fault::at(line, "a request that is an error has neither `reason` nor `errors`").into());
        }
        // a policy that fails to evaluate is a surprise, unless the test says otherwise
        let errors = if expect == Expect::Error { None } else { Some(errors.unwrap_or(0)) };
        let count = principals.len() * actions.len() * resources.len();
        match count {
            0 => {
                let message = "the test asks nothing: `principal`, `action` or `resource` is an empty list";
                return Err(Fault::at(line, message).into());
            }
            1..=MAX_MATRIX => {}
            _ => {
                let message = format!("the test stands for {count} requests, more than {MAX_MATRIX}");
                return Err(Fault::at(line, message).into());
            }
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

    fn named(&self, node: &'n Node, what: &str, action: bool) -> Read<Vec<Named<'n>>> {
        all(node.flat().into_iter().map(|node| -> Result<_, Fault> {
            let written = node.text(what)?;
            Ok(Named { uid: self.uid(node, written, action)?, written })
        }))
    }

    /// `Type::id` in the namespace, or a uid in full with its id in quotes; an action may be its id alone.
    fn uid(&self, node: &Node, written: &str, action: bool) -> Result<Uid<'static>, Fault> {
        names::read(written, self.namespace.as_deref(), action).map_err(|message| Fault::at(node.line, message))
    }

    /// A name, or an object of `type` and `id` as in Cedar's JSON, which names its type in full.
    fn uid_of(&self, node: &Node, what: &str) -> Read<Uid<'static>> {
        match &node.kind {
            Kind::Map(members) => {
                let json = serde_json::Value::Object(self.members(members)?);
                let uid =
                    request::uid_member(from_json(json), "").map_err(|error| Fault::at(node.line, error.message))?;
                Ok(uid.into_owned())
            }
            _ => Ok(self.uid(node, node.text(what)?, false)?),
        }
    }

    /// `base` with the members of `node` over it; a member that is nothing takes one away.
    fn context(&self, node: &Node, mut base: Map<String, serde_json::Value>) -> Read<Map<String, serde_json::Value>> {
        all::<(), Vec<Fault>, ()>(node.map("`context`")?.iter().map(|Member { key, value, .. }| {
            match &value.kind {
                Kind::Null => base.remove(key),
                Kind::Text(text) if key == "now" => base.insert(key.clone(), call("datetime", text)),
                _ => base.insert(key.clone(), self.value(value)?),
            };
            Ok(())
        }))?;
        Ok(base)
    }

    /// A value in Cedar's JSON form.
    fn value(&self, node: &Node) -> Read<serde_json::Value> {
        Ok(match &node.kind {
            Kind::Null => return Err(Fault::at(node.line, "Cedar has no null: leave the member out").into()),
            Kind::Float(_) => {
                let message = "Cedar's numbers are whole; write `{decimal: \"1.5\"}`, or put a text in quotes";
                return Err(Fault::at(node.line, message).into());
            }
            Kind::Bool(b) => (*b).into(),
            Kind::Long(n) => (*n).into(),
            Kind::Text(text) => text.as_str().into(),
            Kind::List(items) => all(items.iter().map(|item| self.value(item)))?,
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

    fn members(&self, members: &[Member]) -> Read<Map<String, serde_json::Value>> {
        all(members.iter().map(|member| Ok::<_, Vec<Fault>>((member.key.clone(), self.value(&member.value)?))))
    }

    fn entities(&self, node: &Node) -> Read<Vec<EntityChange>> {
        all(node.list("`entities`")?.iter().map(|node| self.entity(node)))
    }

    fn entity(&self, node: &Node) -> Read<EntityChange> {
        let (mut uid, mut like, mut parents, mut tags) = (None, None, None, None);
        let (mut attributes, mut unset) = (Map::new(), Vec::new());
        let members = node.map("an entity")?;
        let read: Read<()> = all(members.iter().map(|Member { key, line, value }| -> Read<()> {
            match key.as_str() {
                "uid" => uid = Some(self.uid_of(value, "`uid`")?),
                "like" => like = Some(self.uid_of(value, "`like`")?),
                "attrs" => attributes = self.members(value.map("`attrs`")?)?,
                "unset" => {
                    let names = value.flat().into_iter().map(|name| name.text("a name in `unset`").map(str::to_owned));
                    unset = all(names)?;
                }
                "parents" => {
                    let uids = value.flat().into_iter().filter(|_| value.kind != Kind::Null);
                    parents = Some(all(uids.map(|parent| self.uid_of(parent, "a parent")))?);
                }
                "tags" => tags = Some(serde_json::Value::Object(self.members(value.map("`tags`")?)?).to_string()),
                _ => return Err(Fault::at(*line, unknown_key(key, "an entity", ENTITY_KEYS)).into()),
            }
            Ok(())
        }));
        let mut faults = read.err().unwrap_or_default();
        if !members.iter().any(|member| closest(&member.key, ["uid"]).is_some()) {
            faults.push(Fault::at(node.line, "the entity lacks `uid`"));
        }
        let Some(uid) = uid.filter(|_| faults.is_empty()) else { return Err(faults) };
        let attributes = serde_json::Value::Object(attributes).to_string();
        Ok(EntityChange::Put { line: node.line, uid, like, attributes, unset, parents, tags })
    }

    fn without(&self, node: &Node) -> Read<Vec<EntityChange>> {
        let removed = node.flat().into_iter().filter(|_| node.kind != Kind::Null);
        all(removed.map(|node| -> Read<EntityChange> {
            Ok(EntityChange::Remove { line: node.line, uid: self.uid_of(node, "an entity in `without`")? })
        }))
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
fn reasons(node: &Node) -> Read<Reasons> {
    let ids = node.flat().into_iter().map(|id| id.text("a policy id in `reason`").map(str::to_owned));
    Ok(Reasons { ids: self::all::<_, _, BTreeSet<String>>(ids)?, all: true })
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
mod tests;
