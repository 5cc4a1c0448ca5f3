//! The members of a schema in the JSON form that mean nothing. Cedar's reader reports the first of them alone.

use serde_json::{Map, Value};

use crate::model::Step;
use crate::model::{Diagnostic, MAX_LISTED, closest};
use crate::schema::references::offset;

const NAMESPACE: &[&str] = &["commonTypes", "entityTypes", "actions", "annotations"];
const ENTITY: &[&str] = &["memberOfTypes", "shape", "tags", "enum", "annotations"];
const ACTION: &[&str] = &["memberOf", "appliesTo", "attributes", "annotations"];
const APPLIES_TO: &[&str] = &["principalTypes", "resourceTypes", "context"];
const PARENT: &[&str] = &["id", "type"];
const TYPE: &[&str] = &["type", "element", "attributes", "name", "additionalAttributes", "annotations"];
const ATTRIBUTE: &[&str] =
    &["type", "required", "element", "attributes", "name", "additionalAttributes", "annotations"];

/// Takes the members out of `schema` that mean nothing, and gives what is wrong with each at its place in `text`.
pub(super) fn unknown(origin: &str, text: &str, schema: &mut Value) -> Vec<Diagnostic> {
    let mut walk = Walk { found: Vec::new(), path: Vec::new() };
    each(schema, &mut walk, |walk, namespace| {
        walk.keep(namespace, "a namespace", NAMESPACE);
        walk.all(namespace, "commonTypes", |walk, ty| walk.ty(ty, TYPE));
        walk.all(namespace, "entityTypes", |walk, entity| {
            walk.keep(entity, "an entity type", ENTITY);
            walk.one(entity, "shape", |walk, ty| walk.ty(ty, TYPE));
            walk.one(entity, "tags", |walk, ty| walk.ty(ty, TYPE));
        });
        walk.all(namespace, "actions", |walk, action| {
            walk.keep(action, "an action", ACTION);
            walk.all(action, "memberOf", |walk, parent| walk.keep(parent, "an action's group", PARENT));
            walk.one(action, "appliesTo", |walk, applies| {
                walk.keep(applies, "`appliesTo`", APPLIES_TO);
                walk.one(applies, "context", |walk, ty| walk.ty(ty, TYPE));
            });
        });
    });
    let at_place = |(place, message, help): (Vec<Step>, String, Option<String>)| {
        let found = Diagnostic { help, ..Diagnostic::error(origin, message) };
        match offset(text, &place) {
            Some(at) => found.at(text, at),
            None => found,
        }
    };
    walk.found.into_iter().take(MAX_LISTED).map(at_place).collect()
}

struct Walk {
    found: Vec<(Vec<Step>, String, Option<String>)>,
    path: Vec<Step>,
}

/// Goes to every member of an object, or element of an array.
fn each(value: &mut Value, walk: &mut Walk, mut go: impl FnMut(&mut Walk, &mut Value)) {
    let mut step = |walk: &mut Walk, step: Step, value: &mut Value| {
        walk.path.push(step);
        go(walk, value);
        walk.path.pop();
    };
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, value)| step(walk, Step::Member(name.clone()), value));
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(i, value)| step(walk, Step::Element(i), value));
        }
        _ => {}
    }
}

impl Walk {
    fn one(&mut self, value: &mut Value, member: &str, go: impl FnOnce(&mut Self, &mut Value)) {
        let Some(value) = value.get_mut(member) else { return };
        self.path.push(Step::Member(member.to_owned()));
        go(self, value);
        self.path.pop();
    }

    fn all(&mut self, value: &mut Value, member: &str, go: impl FnMut(&mut Self, &mut Value)) {
        self.one(value, member, |walk, value| each(value, walk, go));
    }

    /// A type, and those within it. Recurses with the nesting of the schema, which is bounded.
    fn ty(&mut self, value: &mut Value, known: &'static [&'static str]) {
        self.keep(value, if known == ATTRIBUTE { "an attribute" } else { "a type" }, known);
        self.one(value, "element", |walk, ty| walk.ty(ty, TYPE));
        self.all(value, "attributes", |walk, ty| walk.ty(ty, ATTRIBUTE));
    }

    /// Takes out every member that is not `known`.
    fn keep(&mut self, value: &mut Value, what: &str, known: &'static [&'static str]) {
        let Value::Object(members) = value else { return };
        let unknown: Vec<String> = members.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            // it is at its place what it was meant to be: what is wrong with that is found, too
            let near = closest(&name, known.iter().copied().filter(|near| !members.contains_key(*near)));
            let taken = members.remove(&name);
            put_back(members, near, taken);
            let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("unknown member `{name}`; {what} has {}", listed.join(", "));
            let mut place = self.path.clone();
            place.push(Step::Member(name));
            self.found.push((place, message, near.map(|near| format!("did you mean `{near}`?"))));
        }
    }
}

fn put_back(members: &mut Map<String, Value>, near: Option<&str>, value: Option<Value>) {
    if let (Some(near), Some(value)) = (near, value) {
        members.insert(near.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_that_means_nothing_is_found() {
        let text = r#"{"N": {"entityTypez": {}, "entityTypes": {"U": {"memberOfTypez": [],
            "shape": {"type": "Record", "attributes": {"a": {"type": "Long", "requird": false}, "b": {"typ": "Long"}}}}},
            "actions": {"see": {"apliesTo": {"principalTyps": ["U"]}, "memberOf": [{"idd": "x"}]}}}}"#;
        let mut schema = serde_json::from_str(text).unwrap();
        let found = unknown("s", text, &mut schema);
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
                (3, "idd", "did you mean `id`?"),
                (3, "principalTyps", "did you mean `principalTypes`?"),
            ],
            "{found:#?}"
        );
        assert_eq!(schema["N"]["actions"]["see"]["appliesTo"]["principalTypes"][0], "U");
    }
}
