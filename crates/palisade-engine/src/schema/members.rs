//! What is wrong with the shape of a schema in the JSON form. Cedar's reader reports the first fault alone, and of some
//! no place.

use std::collections::HashMap;

use cedar_policy_core::FromNormalizedStr;
use cedar_policy_core::ast::{Name, UnreservedId};
use cedar_policy_core::validator::RawName;
use cedar_policy_core::validator::json_schema::CommonTypeId;
use serde_json::{Map, Value, json};

use crate::model::Step;
use crate::model::{Diagnostic, MAX_LISTED, closest};
use crate::schema::references::offset;

const NAMESPACE: &[&str] = &["commonTypes", "entityTypes", "actions", "annotations"];
const ENTITY: &[&str] = &["memberOfTypes", "shape", "tags", "enum", "external", "annotations"];
const ACTION: &[&str] = &["memberOf", "appliesTo", "attributes", "external", "annotations"];
const APPLIES_TO: &[&str] = &["principalTypes", "resourceTypes", "context"];
const PARENT: &[&str] = &["id", "type"];
const TYPE: &[&str] = &["type", "element", "attributes", "name", "additionalAttributes"];
const COMMON: &[&str] = &["type", "element", "attributes", "name", "additionalAttributes", "annotations"];
const ATTRIBUTE: &[&str] =
    &["type", "required", "element", "attributes", "name", "additionalAttributes", "annotations"];

/// What every schema knows as a name of an entity type: it stands where a name cannot be read.
const KNOWN: &str = "Action";

/// What was wrong with a schema, which has the form of one now.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// Each fault at its place.
    pub(super) problems: Vec<Diagnostic>,
    /// Names in what was taken out: it may declare what others name.
    pub(super) lost: Vec<String>,
    /// The whole schema stands where a namespace should, so that ways to its parts are others.
    pub(super) is_bare: bool,
}

/// Puts what is wrong in `schema` right, or takes it out, and reports it at its place in `text`.
pub(super) fn mend(origin: &str, text: &str, schema: &mut Value) -> Mended {
    let mut walk = Walk::default();
    let is_bare = ["entityTypes", "actions", "commonTypes"].iter().any(|name| schema.get(name).is_some());
    if is_bare {
        let help = "put all of it into a namespace, which may be the empty one: `{\"\": {\"entityTypes\": ..., \"actions\": ...}}`";
        walk.fault("the schema names no namespace", Some(help.to_owned()));
        walk.namespace(schema);
    } else if let Some(members) = walk.object(schema, "a schema") {
        walk.names_of(members, "a namespace", |name| name.is_empty() || Name::from_normalized_str(name).is_ok());
        for (name, namespace) in members {
            walk.at(Step::Member(name.clone()), |walk| {
                walk.namespace(namespace);
                if name.is_empty() && namespace.get("annotations").is_some() {
                    walk.fault("the empty namespace has no annotations", None);
                    namespace.as_object_mut().map(|members| members.remove("annotations"));
                }
            });
        }
    }
    let at_place = |Fault { place, message, help }: Fault| {
        let found = Diagnostic { help, ..Diagnostic::error(origin, message) };
        let last = place.last().cloned();
        match offset(text, &place) {
            Some(at) => found.at(text, of_name(text, at, last.as_ref()).unwrap_or(at)),
            None => found,
        }
    };
    let mut problems: Vec<Diagnostic> = walk.found.into_iter().take(MAX_LISTED).map(at_place).collect();
    problems.sort_by_key(|found| (found.line, found.column));
    Mended { problems, lost: walk.lost, is_bare }
}

/// Where the name of a member begins whose value is at a byte.
fn of_name(text: &str, at: usize, member: Option<&Step>) -> Option<usize> {
    let Some(Step::Member(name)) = member else { return None };
    let before = text.get(..at)?.trim_end().strip_suffix(':')?.trim_end();
    before.strip_suffix(&format!("\"{name}\"")).map(str::len)
}

struct Fault {
    place: Vec<Step>,
    message: String,
    help: Option<String>,
}

#[derive(Default)]
struct Walk {
    found: Vec<Fault>,
    path: Vec<Step>,
    /// What is written where a member stands now that it was meant to be.
    written: HashMap<Vec<Step>, String>,
    lost: Vec<String>,
}

impl Walk {
    fn fault(&mut self, message: impl Into<String>, help: Option<String>) {
        let mut place = self.path.clone();
        for (i, step) in place.iter_mut().enumerate() {
            if let Some(written) = self.path.get(..=i).and_then(|path| self.written.get(path)) {
                *step = Step::Member(written.clone());
            }
        }
        self.found.push(Fault { place, message: message.into(), help });
    }

    fn at<T>(&mut self, step: Step, go: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let made = go(self);
        self.path.pop();
        made
    }

    /// A member that is there.
    fn one(&mut self, members: &mut Map<String, Value>, name: &str, go: impl FnOnce(&mut Self, &mut Value)) {
        if let Some(value) = members.get_mut(name) {
            self.at(Step::Member(name.to_owned()), |walk| go(walk, value));
        }
    }

    /// The members of a member that is there.
    fn each(&mut self, members: &mut Map<String, Value>, name: &str, go: impl Fn(&mut Self, &mut Value)) {
        self.one(members, name, |walk, value| {
            let Some(members) = walk.object(value, &format!("`{name}`")) else { return };
            for (name, value) in members {
                walk.at(Step::Member(name.clone()), |walk| go(walk, value));
            }
        });
    }

    /// The members of an object; anything else is an empty one from now on.
    fn object<'v>(&mut self, value: &'v mut Value, what: &str) -> Option<&'v mut Map<String, Value>> {
        if !value.is_object() {
            self.fault(format!("{what} must be an object, not {}", kind(value)), None);
            *value = json!({});
        }
        value.as_object_mut()
    }

    /// The elements of an array; anything else is an empty one from now on.
    fn array<'v>(&mut self, value: &'v mut Value, what: &str, example: &str) -> Option<&'v mut Vec<Value>> {
        if !value.is_array() {
            let help = Some(format!("write `{example}`"));
            self.fault(format!("{what} must be an array, not {}", kind(value)), help);
            *value = json!([]);
        }
        value.as_array_mut()
    }

    /// A value of one kind; another is `instead` from now on.
    fn plain(&mut self, value: &mut Value, what: &str, is: fn(&Value) -> bool, expected: &str, instead: Value) {
        if !is(value) {
            self.fault(format!("{what} must be {expected}, not {}", kind(value)), None);
            *value = instead;
        }
    }

    fn flag(&mut self, members: &mut Map<String, Value>, name: &str) {
        let what = format!("`{name}`");
        self.one(members, name, |walk, value| {
            walk.plain(value, &what, Value::is_boolean, "`true` or `false`", json!(false));
        });
    }

    fn annotations(&mut self, members: &mut Map<String, Value>) {
        self.each(members, "annotations", |walk, value| {
            walk.plain(value, "an annotation", |value| value.is_string() || value.is_null(), "a text", json!(""));
        });
    }

    /// Takes out members whose names are not valid.
    fn names_of(&mut self, members: &mut Map<String, Value>, what: &str, is_name: impl Fn(&str) -> bool) {
        let wrong: Vec<String> = members.keys().filter(|name| !is_name(name)).cloned().collect();
        for name in wrong {
            let message = format!("`{name}` cannot be the name of {what}");
            let help =
                "a name is made of letters, digits and `_`, does not begin with a digit, and is no word of Cedar";
            self.at(Step::Member(name.clone()), |walk| walk.fault(message, Some(help.to_owned())));
            let taken = members.remove(&name);
            self.lost.push(name);
            taken.iter().for_each(|value| self.lose(value));
        }
    }

    /// Notes the names in what is taken out.
    fn lose(&mut self, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            self.lost.push(name.clone());
            self.lose(value);
        }
    }

    /// Puts a member there that lacks.
    fn needed(&mut self, members: &mut Map<String, Value>, what: &str, name: &str, help: &str, instead: Value) {
        if !members.contains_key(name) {
            self.fault(format!("{what} lacks `{name}`"), Some(help.to_owned()));
            members.insert(name.to_owned(), instead);
        }
    }

    fn namespace(&mut self, namespace: &mut Value) {
        let Some(members) = self.object(namespace, "a namespace") else { return };
        self.keep(members, "a namespace", NAMESPACE);
        for name in ["entityTypes", "actions"] {
            let help = format!("write `\"{name}\": {{}}` where there are none");
            self.needed(members, "the namespace", name, &help, json!({}));
        }
        let is_id = |name: &str| UnreservedId::from_normalized_str(name).is_ok();
        let is_common =
            |name: &str| UnreservedId::from_normalized_str(name).is_ok_and(|id| CommonTypeId::new(id).is_ok());
        for (list, what) in [("commonTypes", "a common type"), ("entityTypes", "an entity type")] {
            self.one(members, list, |walk, types| {
                let Value::Object(types) = types else { return };
                walk.names_of(types, what, |name| if list == "commonTypes" { is_common(name) } else { is_id(name) });
            });
        }
        self.each(members, "commonTypes", |walk, ty| walk.ty(ty, COMMON));
        self.each(members, "entityTypes", Self::entity);
        self.each(members, "actions", Self::action);
        self.annotations(members);
    }

    fn entity(&mut self, entity: &mut Value) {
        let Some(members) = self.object(entity, "an entity type") else { return };
        self.keep(members, "an entity type", ENTITY);
        self.types(members, "memberOfTypes");
        self.one(members, "shape", |walk, ty| walk.ty(ty, TYPE));
        self.one(members, "tags", |walk, ty| walk.ty(ty, TYPE));
        self.flag(members, "external");
        self.one(members, "enum", |walk, ids| {
            let Some(ids) = walk.array(ids, "`enum`", "[\"one\", \"two\"]") else { return };
            if ids.is_empty() {
                walk.fault("`enum` lists no id", Some("list every id that exists: `[\"one\", \"two\"]`".to_owned()));
                ids.push(json!(""));
            }
            for (i, id) in ids.iter_mut().enumerate() {
                walk.at(Step::Element(i), |walk| walk.plain(id, "an id", Value::is_string, "a text", json!("")));
            }
        });
        self.annotations(members);
        let (word, others) = match members.get("external") {
            Some(Value::Bool(true)) => ("external", ["shape", "tags", "enum"]),
            _ if members.contains_key("enum") => ("enum", ["memberOfTypes", "shape", "tags"]),
            _ => return,
        };
        self.beside(members, word, &others);
    }

    /// Takes out what cannot stand beside `word`.
    fn beside(&mut self, members: &mut Map<String, Value>, word: &str, others: &[&str]) {
        for other in others {
            if members.remove(*other).is_some() {
                let message = format!("`{other}` cannot stand beside `{word}`");
                self.at(Step::Member((*other).to_owned()), |walk| walk.fault(message, None));
            }
        }
    }

    fn action(&mut self, action: &mut Value) {
        let Some(members) = self.object(action, "an action") else { return };
        self.keep(members, "an action", ACTION);
        members
            .retain(|name, value| !(value.is_null() && ["memberOf", "appliesTo", "external"].contains(&name.as_str())));
        self.flag(members, "external");
        self.one(members, "memberOf", |walk, parents| {
            let Some(parents) = walk.array(parents, "`memberOf`", "[{\"id\": \"read\"}]") else { return };
            for (i, parent) in parents.iter_mut().enumerate() {
                walk.at(Step::Element(i), |walk| walk.parent(parent));
            }
        });
        self.one(members, "appliesTo", |walk, applies| {
            let Some(members) = walk.object(applies, "`appliesTo`") else { return };
            walk.keep(members, "`appliesTo`", APPLIES_TO);
            for name in ["principalTypes", "resourceTypes"] {
                let help = format!("write the types, `\"{name}\": [\"User\"]`");
                walk.needed(members, "`appliesTo`", name, &help, json!([]));
                walk.types(members, name);
            }
            walk.one(members, "context", |walk, ty| walk.ty(ty, TYPE));
        });
        self.annotations(members);
        if members.get("external") == Some(&json!(true)) {
            self.beside(members, "external", &["attributes", "appliesTo"]);
        }
    }

    fn parent(&mut self, parent: &mut Value) {
        if let Value::String(id) = parent {
            let help = format!("write `{}`", json!({"id": id}));
            self.fault("an action's group must be an object, not a text", Some(help));
            *parent = json!({"id": id});
        }
        let Some(members) = self.object(parent, "an action's group") else { return };
        self.keep(members, "an action's group", PARENT);
        members.retain(|name, value| !(value.is_null() && name == "type"));
        // whatever is put here is reported as an action that is not declared, so it is no parent from now on
        let is_named = members.get("id").is_some_and(Value::is_string);
        self.needed(members, "an action's group", "id", "write the id of the action: `{\"id\": \"read\"}`", json!(""));
        self.one(members, "id", |walk, id| walk.plain(id, "`id`", Value::is_string, "a text", json!("")));
        self.one(members, "type", |walk, name| walk.name(name, "`type`"));
        if !is_named {
            *parent = json!({"id": UNNAMED});
        }
    }

    /// The names of types in a list that is there.
    fn types(&mut self, members: &mut Map<String, Value>, list: &str) {
        self.one(members, list, |walk, types| {
            let Some(types) = walk.array(types, &format!("`{list}`"), "[\"User\"]") else { return };
            for (i, name) in types.iter_mut().enumerate() {
                walk.at(Step::Element(i), |walk| walk.name(name, "the name of a type"));
            }
        });
    }

    /// The name of a type.
    fn name(&mut self, name: &mut Value, what: &str) {
        match name.as_str() {
            Some(text) if RawName::from_normalized_str(text).is_ok() => return,
            Some(text) => {
                let help = "write `Name` or `Namespace::Name`, without spaces, quotes and brackets";
                self.fault(format!("`{text}` is not the name of a type"), Some(help.to_owned()));
            }
            None => self.fault(format!("{what} must be a text, not {}", kind(name)), None),
        }
        *name = json!(KNOWN);
    }

    /// A type, and those within it. Recurses with the nesting of the schema, which is bounded.
    fn ty(&mut self, ty: &mut Value, known: &'static [&'static str]) {
        let Value::Object(members) = ty else {
            let help = match &*ty {
                Value::String(name) => format!("write `{}`", json!({"type": name})),
                _ => "write `{\"type\": \"String\"}`, or the name of another type".to_owned(),
            };
            self.fault(format!("a type must be an object, not {}", kind(ty)), Some(help));
            *ty = json!({"type": "Long"});
            return;
        };
        self.keep(members, if known == ATTRIBUTE { "an attribute" } else { "a type" }, known);
        let guess = match () {
            () if members.contains_key("attributes") => "Record",
            () if members.contains_key("element") => "Set",
            () if members.contains_key("name") => "EntityOrCommon",
            () => "Long",
        };
        let help = "a type is written `{\"type\": \"String\"}`";
        self.needed(members, "the type", "type", help, json!(guess));
        self.one(members, "type", |walk, name| {
            walk.plain(name, "`type`", Value::is_string, "a text such as `String`", json!(guess));
        });
        let word = members.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (own, needed): (&[&str], _) = match word.as_str() {
            "Set" => (
                &["element"],
                Some(("element", json!({"type": "Long"}), "{\"type\": \"Set\", \"element\": {\"type\": \"String\"}}")),
            ),
            "Record" => (
                &["attributes", "additionalAttributes"],
                Some((
                    "attributes",
                    json!({}),
                    "{\"type\": \"Record\", \"attributes\": {\"name\": {\"type\": \"String\"}}}",
                )),
            ),
            "Entity" => (&["name"], Some(("name", json!(KNOWN), "{\"type\": \"Entity\", \"name\": \"User\"}"))),
            "Extension" => {
                (&["name"], Some(("name", json!("ipaddr"), "{\"type\": \"Extension\", \"name\": \"ipaddr\"}")))
            }
            "EntityOrCommon" => {
                (&["name"], Some(("name", json!(KNOWN), "{\"type\": \"EntityOrCommon\", \"name\": \"User\"}")))
            }
            _ => (&[], None),
        };
        for other in ["element", "attributes", "additionalAttributes", "name"] {
            if !own.contains(&other) && members.remove(other).is_some() {
                let message = format!("the type `{word}` has no `{other}`");
                self.at(Step::Member(other.to_owned()), |walk| walk.fault(message, None));
            }
        }
        if let Some((name, instead, example)) = needed {
            self.needed(members, &format!("the type `{word}`"), name, &format!("write `{example}`"), instead);
        } else {
            self.one(members, "type", |walk, name| walk.name(name, "`type`"));
        }
        self.one(members, "element", |walk, ty| walk.ty(ty, TYPE));
        self.each(members, "attributes", |walk, ty| walk.ty(ty, ATTRIBUTE));
        self.one(members, "name", |walk, name| walk.name(name, "`name`"));
        self.flag(members, "additionalAttributes");
        self.flag(members, "required");
        self.annotations(members);
    }

    /// Takes out every member that is not `known`.
    fn keep(&mut self, members: &mut Map<String, Value>, what: &str, known: &'static [&'static str]) {
        let unknown: Vec<String> = members.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            // it is at its place what it was meant to be: what is wrong with that is found, too
            let near = closest(&name, known.iter().copied().filter(|near| !members.contains_key(*near)));
            let taken = members.remove(&name);
            let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("unknown member `{name}`; {what} has {}", listed.join(", "));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.at(Step::Member(name.clone()), |walk| walk.fault(message, help));
            match (near, taken) {
                (Some(near), Some(value)) => {
                    members.insert(near.to_owned(), value);
                    let path = self.at(Step::Member(near.to_owned()), |walk| walk.path.clone());
                    self.written.insert(path, name);
                }
                (_, taken) => taken.iter().for_each(|value| self.lose(value)),
            }
        }
    }
}

/// The id of a group that cannot be read: that there is no such action is not reported.
pub(super) const UNNAMED: &str = "\u{0}";

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::SchemaFragment;

    use super::*;

    /// Line, message and help of each fault, and whether Cedar reads what is left.
    fn found(text: &str) -> Vec<String> {
        let mut schema = serde_json::from_str(text).unwrap();
        let mended = mend("s", text, &mut schema);
        if !mended.is_bare {
            let left = SchemaFragment::from_json_str(&schema.to_string());
            assert!(left.is_ok(), "{text}: {:?}", left.err());
        }
        let shown = |it: &Diagnostic| {
            format!("{}: {}; {}", it.line.unwrap_or(0), it.message, it.help.as_deref().unwrap_or("-"))
        };
        mended.problems.iter().map(shown).collect()
    }

    #[test]
    fn every_member_that_means_nothing_is_found() {
        let text = r#"{"N": {"entityTypez": {}, "entityTypes": {"U": {"memberOfTypez": [],
            "shape": {"type": "Record", "attributes": {"a": {"type": "Long", "requird": false}, "b": {"typ": "Long"}}}}},
            "actions": {"see": {"apliesTo": {"principalTyps": ["U"], "resourceTypes": ["U"]}, "memberOf": [{"idd": "x"}]}}}}"#;
        let mut schema = serde_json::from_str(text).unwrap();
        let found = mend("s", text, &mut schema).problems;
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.line.unwrap(), it.message.split('`').nth(1).unwrap(), it.help.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(
            shown,
            [
                (1, "entityTypez", ""),
                (1, "memberOfTypez", "did you mean `memberOfTypes`?"),
                (2, "requird", "did you mean `required`?"),
                (2, "typ", "did you mean `type`?"),
                (3, "apliesTo", "did you mean `appliesTo`?"),
                (3, "principalTyps", "did you mean `principalTypes`?"),
                (3, "idd", "did you mean `id`?"),
            ],
            "{found:#?}"
        );
        assert_eq!(schema["N"]["actions"]["see"]["appliesTo"]["principalTypes"][0], "U");
    }

    /// Each kind of fault, on a line of its own between others that are right; all at once, and each alone.
    #[test]
    fn every_fault_of_shape_is_found_at_its_place() {
        let mut wrong = Vec::new();
        let entity = |it: &str| format!("{{\"N\":{{\"actions\":{{}},\"entityTypes\":{{\"U\":{{}},\n{it}}}}}}}");
        let attribute =
            |it: &str| entity(&format!("\"V\":{{\"shape\":{{\"type\":\"Record\",\"attributes\":{{\n\"a\":{it}}}}}}}"));
        let action =
            |it: &str| format!("{{\"N\":{{\"entityTypes\":{{\"U\":{{}}}},\"actions\":{{\"b\":{{}},\n{it}}}}}}}");
        for (text, expected) in [
            (
                "{\"N\":\n7}".to_owned(),
                &[
                    "1: a namespace must be an object, not a number",
                    "1: the namespace lacks `entityTypes`; write",
                    "1: the namespace lacks `actions`",
                ][..],
            ),
            (
                "{\"entityTypes\":{\"U\":{\n\"shap\":{}}},\"actions\":{}}".to_owned(),
                &["1: the schema names no namespace; put all", "2: unknown member `shap`", "2: the type lacks `type`"],
            ),
            (
                "{\"a b\":\n{\"entityTypes\":{},\"actions\":{}}}".to_owned(),
                &["1: `a b` cannot be the name of a namespace; a name is"],
            ),
            (
                "{\"N\":{\n\"entityTypes\":[],\n\"actions\":\"x\"}}".to_owned(),
                &["2: `entityTypes` must be an object, not an array", "3: `actions` must be an object, not a text"],
            ),
            (
                "{\"\":{\"entityTypes\":{},\"actions\":{},\n\"annotations\":{\"a\":1}}}".to_owned(),
                &["1: the empty namespace has no annotations", "2: an annotation must be a text, not a number"],
            ),
            (
                entity("\"in\":{}, \"V\": 3"),
                &["2: `in` cannot be the name of an entity type", "2: an entity type must be an object"],
            ),
            (
                entity("\"V\":{\"memberOfTypes\":\"U\"}"),
                &["2: `memberOfTypes` must be an array, not a text; write `[\"User\"]`"],
            ),
            (
                entity("\"V\":{\"memberOfTypes\":[\"U\",\n3,\n\"a b\"]}"),
                &["3: the name of a type must be a text", "4: `a b` is not the name of a type; write"],
            ),
            (
                entity("\"V\":{\"enum\":[]},\n\"W\":{\"enum\":[\"a\",\n1]}"),
                &["2: `enum` lists no id; list", "4: an id must be a text, not a number"],
            ),
            (
                entity("\"V\":{\"enum\":[\"a\"],\n\"tags\":{\"type\":\"Long\"}}"),
                &["3: `tags` cannot stand beside `enum`"],
            ),
            (entity("\"V\":{\"external\":true,\n\"enum\":[\"a\"]}"), &["3: `enum` cannot stand beside `external`"]),
            (
                entity("\"V\":{\"external\":1,\"tags\":\n\"String\"}"),
                &[
                    "2: `external` must be `true` or `false`, not a number",
                    "2: a type must be an object, not a text; write `{\"type\":\"String\"}`",
                ],
            ),
            (attribute("3"), &["3: a type must be an object, not a number; write"]),
            (attribute("{}"), &["3: the type lacks `type`; a type is written"]),
            (attribute("{\"type\":true}"), &["3: `type` must be a text such as `String`, not a boolean"]),
            (attribute("{\"type\":\"Set\"}"), &["3: the type `Set` lacks `element`; write `{\"type\": \"Set\""]),
            (
                attribute("{\"type\":\"Record\",\"name\":\"U\"}"),
                &["3: the type `Record` lacks `attributes`", "3: the type `Record` has no `name`"],
            ),
            (attribute("{\"type\":\"Entity\"}"), &["3: the type `Entity` lacks `name`; write"]),
            (attribute("{\"type\":\"Entity\",\"name\":\"U V\"}"), &["3: `U V` is not the name of a type"]),
            (
                attribute("{\"type\":\"Long\",\"element\":\n{\"type\":\"Long\"},\"required\":\"yes\"}"),
                &["3: the type `Long` has no `element`", "4: `required` must be `true` or `false`, not a text"],
            ),
            (attribute("{\"type\":\"Set<Long>\"}"), &["3: `Set<Long>` is not the name of a type"]),
            (
                attribute(
                    "{\"type\":\"Set\",\"element\":{\"type\":\"Record\",\"attributes\":{\n\"b\":{\"type\":\"Set\"}}}}",
                ),
                &["4: the type `Set` lacks `element`"],
            ),
            (action("\"a\":[]"), &["2: an action must be an object, not an array"]),
            (
                action("\"a\":{\"memberOf\":[\"b\",\n{\"id\":3},\n{}]}"),
                &[
                    "2: an action's group must be an object, not a text; write `{\"id\":\"b\"}`",
                    "3: `id` must be a text",
                    "4: an action's group lacks `id`; write",
                ],
            ),
            (action("\"a\":{\"memberOf\":null,\"appliesTo\":null}"), &[]),
            (
                action("\"a\":{\"appliesTo\":{\"principalTypes\":\"U\"}}"),
                &["2: `appliesTo` lacks `resourceTypes`; write", "2: `principalTypes` must be an array, not a text"],
            ),
            (action("\"a\":{\"external\":true,\n\"appliesTo\":null}"), &[]),
        ] {
            let found = found(&text);
            let is_expected = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
            if !is_expected {
                wrong.push(format!("{text}: {found:#?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
