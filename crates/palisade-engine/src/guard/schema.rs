//! Bounds on what a schema expands to.
//!
//! Cedar writes every common type out at each place that names it, so `type T1 = {a: T0, b: T0}` and so on doubles with
//! each line: twenty lines take gigabytes. Likewise it collects all ancestors of types and actions, and all pairs of
//! principal and resource types of each action. All three are counted here first, each count ending at its bound.

use std::collections::HashMap;

use serde_json::Value;

use super::closure::check_closure;
use super::text::{Kind, Tokens};
use crate::model::Diagnostic;
use crate::settings::Limits;

/// Types, members and elements that a schema may have, once each common type stands where it is named. Cedar takes
/// about 2 KB for each.
const MAX_NODES: usize = 200_000;

/// Pairs of a principal and a resource type, over all actions. Each policy is validated for each.
const MAX_ENVIRONMENTS: usize = 100_000;

/// Words and signs of all fragments together: Cedar takes up to 2.2 KB for each while it reads them.
const MAX_TOKENS: usize = 100_000;

/// The squares of how many members each record has, together. Cedar's reader of its own syntax moves all members
/// of a record for each of them, which for 10,000 takes more than a second.
const MAX_SQUARES: usize = 100_000_000;

/// Refuses texts of a schema that are too large to be read.
///
/// # Errors
/// A diagnostic that says so.
pub(crate) fn check_schema_size(fragments: &[(String, String)]) -> Result<(), Diagnostic> {
    let (mut tokens, mut squares) = (0, 0_usize);
    for (origin, text) in fragments {
        // the JSON syntax has another reader; so have lists in other brackets
        let own_syntax = !text.trim_start().starts_with('{');
        let mut open: Vec<(bool, usize)> = Vec::new();
        for token in Tokens::new(text) {
            tokens += 1;
            match token.kind {
                Kind::Open(byte) => open.push((own_syntax && byte == b'{', 1)),
                Kind::Close(_) => {
                    if let Some((true, members)) = open.pop() {
                        squares = squares.saturating_add(members.saturating_mul(members));
                    }
                }
                Kind::Comma => open.iter_mut().last().into_iter().for_each(|(_, members)| *members += 1),
                // what was counted was a list of a declaration
                Kind::Semicolon => open.iter_mut().last().into_iter().for_each(|(_, members)| *members = 0),
                _ => {}
            }
            let flaw = |message: String| Diagnostic::error(origin, message).at(text, token.at);
            if tokens > MAX_TOKENS {
                return Err(flaw(format!("the schema has more than {MAX_TOKENS} words and signs"))
                    .help("declare common types once, and name them where they are used"));
            }
            let last =
                open.last().map_or(0, |(record, members)| usize::from(*record) * members.saturating_mul(*members));
            if squares.saturating_add(last) > MAX_SQUARES {
                return Err(flaw("there are too many members in one record".to_owned())
                    .help("spread them over several records: one may have some 10,000"));
            }
        }
    }
    Ok(())
}

/// Refuses fragments of a schema, in Cedar's JSON form, that expand to more than there is room for.
///
/// Recurses with the nesting of types, which is bounded by `limits.max_nesting`.
///
/// # Errors
/// A diagnostic that names what is too large.
pub(crate) fn check_expansion(fragments: &[Value], limits: &Limits) -> Result<(), Diagnostic> {
    let mut schema = Schema { common: HashMap::new(), known: HashMap::new(), max_depth: limits.max_nesting };
    for (namespace, body) in namespaces(fragments) {
        for (name, ty) in members(body, "commonTypes") {
            schema.common.entry(qualified(namespace, name)).or_default().push((namespace, ty));
        }
    }
    let mut nodes = 0_usize;
    for (namespace, body) in namespaces(fragments) {
        let mut add = |what: String, ty: Option<&Value>| -> Result<(), Diagnostic> {
            let Some(ty) = ty else { return Ok(()) };
            let size = schema.size(namespace, ty, 0).map_err(|depth| {
                Diagnostic::error("schema", format!("{what} is nested deeper than {depth} types"))
                    .help("flatten its common types, or raise `limits.max_nesting`")
            })?;
            nodes = nodes.saturating_add(size);
            if nodes > MAX_NODES {
                return Err(Diagnostic::error(
                    "schema",
                    format!("its types expand to more than {MAX_NODES} members; the bound is passed at {what}"),
                )
                .help("a common type is written out wherever it is named: name large ones in fewer places"));
            }
            Ok(())
        };
        for (name, ty) in members(body, "commonTypes") {
            add(format!("type `{}`", qualified(namespace, name)), Some(ty))?;
        }
        for (name, entity) in members(body, "entityTypes") {
            let what = format!("entity `{}`", qualified(namespace, name));
            add(what.clone(), entity.get("shape"))?;
            add(what, entity.get("tags"))?;
        }
        for (name, action) in members(body, "actions") {
            add(format!("action `{name}`"), action.get("appliesTo").and_then(|applies| applies.get("context")))?;
        }
    }
    check_environments(fragments)?;
    check_ancestors(fragments)
}

fn check_environments(fragments: &[Value]) -> Result<(), Diagnostic> {
    let mut pairs = 0_usize;
    for (_, body) in namespaces(fragments) {
        for (name, action) in members(body, "actions") {
            let types = |key: &str| {
                action.get("appliesTo").and_then(|applies| applies.get(key)?.as_array()).map_or(0, Vec::len)
            };
            pairs = pairs.saturating_add(types("principalTypes").saturating_mul(types("resourceTypes")));
            if pairs > MAX_ENVIRONMENTS {
                let message = format!(
                    "its actions apply to more than {MAX_ENVIRONMENTS} pairs of principal and resource types; the \
                     bound is passed at action `{name}`"
                );
                return Err(Diagnostic::error("schema", message).help("list fewer types in `appliesTo`"));
            }
        }
    }
    Ok(())
}

fn check_ancestors(fragments: &[Value]) -> Result<(), Diagnostic> {
    // types by name, actions by type and id; a name without a namespace may be the own one's or the outermost
    let mut types: HashMap<String, Vec<String>> = HashMap::new();
    let mut actions: HashMap<String, Vec<String>> = HashMap::new();
    for (namespace, body) in namespaces(fragments) {
        let readings = |name: &str| [qualified(namespace, name), name.to_owned()];
        let action = |ty: &str, id: &str| format!("{ty}::{id:?}");
        for (name, declared) in members(body, "entityTypes") {
            let parents = list(declared, "memberOfTypes").filter_map(Value::as_str);
            types.entry(qualified(namespace, name)).or_default().extend(parents.flat_map(readings));
        }
        for (name, declared) in members(body, "actions") {
            let parents = list(declared, "memberOf").filter_map(|parent| {
                let id = parent.get("id")?.as_str()?;
                Some(readings(parent.get("type").and_then(Value::as_str).unwrap_or("Action")).map(|ty| action(&ty, id)))
            });
            actions.entry(action(&qualified(namespace, "Action"), name)).or_default().extend(parents.flatten());
        }
    }
    for (above, what) in [(&types, "entity types"), (&actions, "actions")] {
        check_closure(above.keys().map(String::as_str), |name, found| {
            let parents = above.get(name).into_iter().flatten().map(String::as_str);
            found.extend(parents.filter(|parent| above.contains_key(*parent)));
        })
        .map_err(|most| {
            Diagnostic::error("schema", format!("the hierarchy of its {what} has more than {most} pairs"))
                .help("use fewer levels, or fewer parents")
        })?;
    }
    Ok(())
}

fn list<'v>(declared: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    declared.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn namespaces(fragments: &[Value]) -> impl Iterator<Item = (&str, &Value)> {
    fragments.iter().filter_map(Value::as_object).flatten().map(|(name, body)| (name.as_str(), body))
}

fn members<'v>(body: &'v Value, key: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    body.get(key).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

struct Schema<'v> {
    /// Common types by full name, each with the namespace that its own names are read in.
    common: HashMap<String, Vec<(&'v str, &'v Value)>>,
    /// Sizes of those that were counted; 0 while one is being counted, since Cedar refuses a cycle itself.
    known: HashMap<String, (usize, usize)>,
    max_depth: usize,
}

impl Schema<'_> {
    /// How many types a type expands to.
    ///
    /// # Errors
    /// If it is nested deeper than the bound, which is returned.
    fn size(&mut self, namespace: &str, ty: &Value, depth: usize) -> Result<usize, usize> {
        self.measure(namespace, ty, depth).map(|(size, _)| size)
    }

    /// Size and height of a type.
    fn measure(&mut self, namespace: &str, ty: &Value, depth: usize) -> Result<(usize, usize), usize> {
        if depth > self.max_depth {
            return Err(self.max_depth);
        }
        let mut whole = (1_usize, 1_usize);
        let add = |whole: &mut (usize, usize), (size, height): (usize, usize)| {
            *whole = (whole.0.saturating_add(size), whole.1.max(height + 1));
        };
        let kind = ty.get("type").and_then(Value::as_str).unwrap_or_default();
        if let Some(element) = ty.get("element") {
            add(&mut whole, self.measure(namespace, element, depth + 1)?);
        }
        for (_, member) in ty.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            add(&mut whole, self.measure(namespace, member, depth + 1)?);
        }
        let name = match kind {
            "Set" | "Record" | "String" | "Long" | "Boolean" | "Entity" | "Extension" => None,
            "EntityOrCommon" => ty.get("name").and_then(Value::as_str),
            other => Some(other),
        };
        if let Some(name) = name {
            // Cedar looks in the own namespace first
            let own = qualified(namespace, name);
            let full = if self.common.contains_key(&own) { own } else { name.to_owned() };
            add(&mut whole, self.common_type(&full, depth + 1)?);
        }
        if depth + whole.1 > self.max_depth {
            return Err(self.max_depth);
        }
        Ok(whole)
    }

    fn common_type(&mut self, name: &str, depth: usize) -> Result<(usize, usize), usize> {
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        let Some(bodies) = self.common.get(name).cloned() else { return Ok((0, 0)) };
        self.known.insert(name.to_owned(), (0, 0));
        let mut whole = (0_usize, 0);
        for (namespace, ty) in bodies {
            let (size, height) = self.measure(namespace, ty, depth)?;
            whole = (whole.0.saturating_add(size), whole.1.max(height));
        }
        self.known.insert(name.to_owned(), whole);
        Ok(whole)
    }
}
