//! Says in words what of a policy is not in Cedar's JSON form: which member, what was expected, and what the right form is.
//!
//! Cedar's own messages name types of its program. This is asked only about what Cedar has refused; where it finds nothing,
//! Cedar's words stand.

use cedar_policy_core::ast::{AnyId, Name as CedarName};
use cedar_policy_core::extensions::Extensions;

use crate::conform::Name;
use crate::misfit::shape::{improper, listed, of_uid};
use crate::misfit::{self, Misfits, misfit, shown};
use crate::model::{Value, hint};

/// The members of a policy.
const MEMBERS: [&str; 5] = ["effect", "principal", "action", "resource", "conditions"];

/// Operators of one side.
const UNARY: [&str; 3] = ["!", "neg", "isEmpty"];

/// Operators of two sides.
const BINARY: [&str; 16] = [
    "==",
    "!=",
    "in",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "+",
    "-",
    "*",
    "contains",
    "containsAll",
    "containsAny",
    "getTag",
];

/// The other expressions, each with its members.
const OTHERS: [(&str, &[&str]); 5] = [
    ("hasTag", &["left", "right"]),
    (".", &["left", "attr"]),
    ("has", &["left", "attr"]),
    ("like", &["left", "pattern"]),
    ("is", &["left", "entity_type"]),
];

const VARS: [&str; 4] = ["principal", "action", "resource", "context"];

/// Adds what of a policy has not the form that it should have.
pub(super) fn look(policy: &Value<'_>, to: &mut Misfits) {
    for key in MEMBERS {
        let place = Name::Root(key);
        let Some(found) = policy.get(key) else {
            let words = format!("`{key}` is missing: a policy has {}", listed(&MEMBERS.map(str::to_owned)));
            to.push(words.into());
            continue;
        };
        match key {
            "effect" => one_of(found, &["permit", "forbid"], &place, to),
            "conditions" => match found.as_array() {
                Some(conditions) => {
                    conditions.iter().enumerate().for_each(|(i, found)| condition(found, &Name::Element(&place, i), to))
                }
                None => unlike(found, r#"a list such as [{"kind": "when", "body": {"Value": true}}]"#, &place, to),
            },
            _ => scope(key, found, &place, to),
        }
    }
    let place = Name::Root("annotations");
    match policy.get("annotations") {
        None => {}
        Some(Value::Object(annotations)) => {
            for (key, found) in annotations {
                let place = Name::Member(&place, key);
                if key.parse::<AnyId>().is_err() {
                    to.push(misfit(&place, "the name of an annotation is a word such as `id`"));
                }
                if !matches!(found, Value::String(_) | Value::Null) {
                    unlike(found, "a string", &place, to);
                }
            }
        }
        Some(found) => unlike(found, r#"an object such as {"id": "owner"}"#, &place, to),
    }
}

fn unlike(found: &Value<'_>, expected: &str, place: &Name<'_>, to: &mut Misfits) {
    to.push(misfit(place, &format!("expected {expected}, not {}", shown(found))));
}

fn one_of(found: &Value<'_>, words: &[&str], place: &Name<'_>, to: &mut Misfits) {
    let word = found.as_str().unwrap_or_default();
    if !words.contains(&word) {
        let (last, others) = words.split_last().unwrap_or((&"", &[]));
        let others: Vec<String> = others.iter().map(|word| format!("{word:?}")).collect();
        let near = hint(word, words.iter().copied());
        to.push(misfit(place, &format!("expected {} or {last:?}, not {}{near}", others.join(", "), shown(found))));
    }
}

/// The part of a scope that is about the principal, the action or the resource.
fn scope(key: &str, found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    let is_action = key == "action";
    let example = if is_action {
        r#"{"op": "==", "entity": {"type": "Action", "id": "view"}}"#
    } else {
        r#"{"op": "==", "entity": {"type": "User", "id": "ann"}}"#
    };
    let expected = || format!(r#"an object such as {example}, or {{"op": "All"}}"#);
    if found.as_object().is_none() {
        return unlike(found, &expected(), place, to);
    }
    let Some(op) = found.get("op") else {
        return to.push(misfit(place, &format!("`op` is missing: write {}", expected())));
    };
    let ops: &[&str] = if is_action { &["All", "==", "in"] } else { &["All", "==", "in", "is"] };
    match op.as_str() {
        Some("All" | "all") => {}
        Some("is") if !is_action => {
            entity_type(found, place, to);
            if let Some(within) = found.get("in") {
                within_scope(key, within, &Name::Member(place, "in"), to);
            }
        }
        Some("in") if is_action && found.get("entities").is_some() => {
            let place = Name::Member(place, "entities");
            match found.get("entities").and_then(Value::as_array) {
                Some(entities) => {
                    for (i, found) in entities.iter().enumerate() {
                        uid(key, found, &Name::Element(&place, i), to);
                    }
                }
                None => unlike(op, "a list of actions", &place, to),
            }
        }
        Some("==" | "in") => within_scope(key, found, place, to),
        _ => one_of(op, ops, &Name::Member(place, "op"), to),
    }
}

/// The entity or the slot that a scope compares with.
fn within_scope(key: &str, found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    match (found.get("entity"), found.get("slot")) {
        (Some(entity), None) => uid(key, entity, &Name::Member(place, "entity"), to),
        (None, Some(slot)) if key != "action" => {
            let own = format!("?{key}");
            if slot.as_str() != Some(&own) {
                unlike(slot, &format!("{own:?}"), &Name::Member(place, "slot"), to);
            }
        }
        _ => {
            let entity = r#"`entity`, such as {"type": "User", "id": "ann"}"#;
            let slot = if key == "action" { String::new() } else { format!(", or \"slot\": \"?{key}\"") };
            to.push(misfit(place, &format!("expected {entity}{slot}")));
        }
    }
}

fn uid(key: &str, found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    if let Some(misfit) = of_uid(found, place) {
        return to.push(misfit);
    }
    let ty = found.get("__entity").unwrap_or(found).get("type").and_then(Value::as_str).unwrap_or_default();
    if key == "action" && !crate::layout::is_action_type(ty) {
        to.push(misfit(
            place,
            &format!("expected an action, whose type ends with `Action`, not one of the type `{ty}`"),
        ));
    }
}

fn entity_type(found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    let within = Name::Member(place, "entity_type");
    match found.get("entity_type") {
        Some(Value::String(ty)) => {
            if let Some(problem) = improper(ty) {
                to.push(misfit(&within, &problem));
            }
        }
        Some(other) => unlike(other, "the name of an entity type, such as \"User\"", &within, to),
        None => to.push(misfit(place, "`entity_type` is missing, such as \"User\"")),
    }
}

fn condition(found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    if found.as_object().is_none() {
        return unlike(found, r#"an object such as {"kind": "when", "body": {"Value": true}}"#, place, to);
    }
    match found.get("kind") {
        Some(kind) => one_of(kind, &["when", "unless"], &Name::Member(place, "kind"), to),
        None => to.push(misfit(place, "`kind` is missing: \"when\" or \"unless\"")),
    }
    part(found, "body", place, to);
}

/// The member of an expression that is an expression itself.
fn part(found: &Value<'_>, key: &str, place: &Name<'_>, to: &mut Misfits) {
    match found.get(key) {
        Some(inner) => expression(inner, &Name::Member(place, key), to),
        None => to.push(misfit(place, &format!("`{key}` is missing"))),
    }
}

/// Recurses with the nesting of the JSON, which is bounded.
fn expression(found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    if to.is_full() {
        return;
    }
    let Some([(op, inner)]) = found.as_object() else {
        let what = match found.as_object().map(<[_]>::len) {
            Some(n) => format!("one of {n} members"),
            None => shown(found),
        };
        let example = r#"such as {"Var": "principal"} or {"Value": true}"#;
        return to.push(misfit(place, &format!("an expression is an object of one member, {example}, not {what}")));
    };
    let (op, place) = (&**op, &Name::Member(place, op));
    let other = OTHERS.into_iter().find(|(name, _)| *name == op).map(|(_, members)| members);
    match (op, inner) {
        ("Value", inner) => misfit::untyped(inner, place, to),
        ("Var", inner) => one_of(inner, &VARS, place, to),
        ("Slot", _) => to.push(misfit(place, "a slot stands in the scope alone, not in a condition")),
        ("Set", Value::Array(elements)) => {
            for (i, found) in elements.iter().enumerate() {
                expression(found, &Name::Element(place, i), to);
            }
        }
        ("Record", Value::Object(members)) => {
            for (key, found) in members {
                expression(found, &Name::Member(place, key), to);
            }
        }
        ("Set", inner) => unlike(inner, "a list of expressions", place, to),
        ("Record", inner) => unlike(inner, "an object of name and expression", place, to),
        (_, inner) if UNARY.contains(&op) => of_members(inner, &["arg"], place, to),
        (_, inner) if BINARY.contains(&op) => of_members(inner, &["left", "right"], place, to),
        ("if-then-else", inner) => of_members(inner, &["if", "then", "else"], place, to),
        (_, inner) if other.is_some() => of_members(inner, other.unwrap_or_default(), place, to),
        (_, inner) => {
            let is_function = op.parse::<CedarName>().is_ok_and(|name| Extensions::all_available().func(&name).is_ok());
            match inner {
                Value::Array(args) if is_function => {
                    for (i, found) in args.iter().enumerate() {
                        expression(found, &Name::Element(place, i), to);
                    }
                }
                inner if is_function => unlike(inner, "the list of its arguments, each an expression", place, to),
                _ => {
                    let known =
                        UNARY.iter().chain(&BINARY).chain(["Value", "Var", "Set", "Record", "if-then-else"].iter());
                    let near = hint(op, known.copied().chain(OTHERS.iter().map(|(name, _)| *name)));
                    let shown = shown(&Value::String(op.into()));
                    to.push(misfit(place, &format!("there is no operator or function {shown}{near}")));
                }
            }
        }
    }
}

fn of_members(found: &Value<'_>, members: &[&str], place: &Name<'_>, to: &mut Misfits) {
    if found.as_object().is_none() {
        return unlike(
            found,
            &format!("an object of {}", listed(&Vec::from_iter(members.iter().map(ToString::to_string)))),
            place,
            to,
        );
    }
    for key in members {
        match (*key, found.get(key)) {
            ("attr", Some(Value::String(_))) => {}
            // `a has b.c`
            ("attr", Some(Value::Array(names)))
                if matches!(place, Name::Member(_, "has")) && names.iter().all(|name| name.as_str().is_some()) => {}
            ("attr", Some(other)) => {
                unlike(other, "the name of an attribute, a string", &Name::Member(place, "attr"), to)
            }
            ("entity_type", _) => {
                entity_type(found, place, to);
                if let Some(within) = found.get("in") {
                    expression(within, &Name::Member(place, "in"), to);
                }
            }
            ("pattern", Some(found)) => pattern(found, &Name::Member(place, "pattern"), to),
            (key, _) => part(found, key, place, to),
        }
    }
}

fn pattern(found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    let expected = r#"a list such as [{"Literal": "a"}, "Wildcard"]"#;
    let Some(elements) = found.as_array() else { return unlike(found, expected, place, to) };
    for (i, element) in elements.iter().enumerate() {
        let is_literal = matches!(element.as_object(), Some([(key, Value::String(_))]) if key == "Literal");
        if !is_literal && element.as_str() != Some("Wildcard") {
            unlike(element, r#"{"Literal": "..."} or "Wildcard""#, &Name::Element(place, i), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::json::read;
    use crate::settings::Limits;

    /// Each is refused by Cedar, which names types of its program or no member.
    #[test]
    fn what_is_no_policy_is_told_in_words() {
        let all = r#"{"op": "All"}"#;
        let scope = |key: &str, found: &str| {
            let part = |name: &str| if name == key { found.to_owned() } else { all.to_owned() };
            let [principal, action, resource] = ["principal", "action", "resource"].map(part);
            format!(
                r#"{{"effect": "permit", "principal": {principal}, "action": {action}, "resource": {resource}, "conditions": []}}"#
            )
        };
        let whole = |member: &str| {
            format!(
                r#"{{"effect": "permit", "principal": {all}, "action": {all}, "resource": {all}, "conditions": [], {member}}}"#
            )
        };
        let body = |body: &str| scope("", "").replace("[]", &format!(r#"[{{"kind": "when", "body": {body}}}]"#));
        let conditions = |conditions: &str| scope("", "").replace("[]", conditions);
        for (text, expected) in [
            (scope("", "").replace("permit", "permitt"), r#"`effect`: expected "permit" or "forbid", not the string"#),
            (scope("", "").replace(r#""permit""#, "1"), r#"`effect`: expected "permit" or "forbid", not 1"#),
            (scope("", "").replace(r#", "conditions": []"#, ""), "`conditions` is missing: a policy has `effect`"),
            (scope("principal", r#""User::\"a\"""#), r#"`principal`: expected an object such as {"op": "=="#),
            (scope("principal", "{}"), "`principal`: `op` is missing: write"),
            (scope("principal", r#"{"op": "al"}"#), "`principal.op`: expected \"All\", \"==\", \"in\" or \"is\", not"),
            (scope("principal", r#"{"op": "=="}"#), "`principal`: expected `entity`, such as"),
            (
                scope("principal", r#"{"op": "==", "entity": "User::\"a\""}"#),
                "`principal.entity`: expected an entity such as",
            ),
            (
                scope("resource", r#"{"op": "in", "entity": {"type": "a b", "id": "c"}}"#),
                "`resource.entity`: the type of an",
            ),
            (
                scope("resource", r#"{"op": "is", "entity_type": "a b"}"#),
                "`resource.entity_type`: the type of an entity is a",
            ),
            (scope("resource", r#"{"op": "is"}"#), "`resource`: `entity_type` is missing"),
            (scope("resource", r#"{"op": "is", "entity_type": "A", "in": {}}"#), "`resource.in`: expected `entity`"),
            (
                scope("principal", r#"{"op": "==", "slot": "?resource"}"#),
                "`principal.slot`: expected \"?principal\", not",
            ),
            (
                scope("action", r#"{"op": "is", "entity_type": "Action"}"#),
                "`action.op`: expected \"All\", \"==\" or \"in\"",
            ),
            (
                scope("action", r#"{"op": "in", "entities": [{"type": "X", "id": "a"}]}"#),
                "`action.entities[0]`: expected an action",
            ),
            (
                scope("action", r#"{"op": "in", "entities": [{"type": "Action"}]}"#),
                "`action.entities[0]`: expected an entity",
            ),
            (conditions("{}"), "`conditions`: expected a list such as [{\"kind\""),
            (conditions("[1]"), "`conditions[0]`: expected an object such as {\"kind\""),
            (
                conditions(r#"[{"kind": "whenn", "body": {"Value": true}}]"#),
                "`conditions[0].kind`: expected \"when\" or \"unless\"",
            ),
            (conditions(r#"[{"kind": "when"}]"#), "`conditions[0]`: `body` is missing"),
            (conditions(r#"[{"body": {"Value": true}}]"#), "`conditions[0]`: `kind` is missing"),
            (body("true"), "`conditions[0].body`: an expression is an object of one member"),
            (body("{}"), "not one of 0 members"),
            (
                body(r#"{"Valu": true}"#),
                "`conditions[0].body.Valu`: there is no operator or function the string \"Valu\"; did you mean `Value`?",
            ),
            (body(r#"{"Value": null}"#), "`conditions[0].body.Value`: Cedar has no null"),
            (body(r#"{"Value": 1.5}"#), "`conditions[0].body.Value`: Cedar's numbers are whole"),
            (body(r#"{"Value": {"__entity": {"type": "U ser", "id": "a"}}}"#), "the type of an entity is a name"),
            (
                body(r#"{"Var": "principle"}"#),
                "`conditions[0].body.Var`: expected \"principal\", \"action\", \"resource\" or \"context\", not the string \"principle\"; did you mean `principal`?",
            ),
            (body(r#"{"==": {"left": {"Var": "principal"}}}"#), "`conditions[0].body.==`: `right` is missing"),
            (
                body(r#"{"==": [{"Var": "principal"}]}"#),
                "`conditions[0].body.==`: expected an object of `left`, `right`, not an array",
            ),
            (
                body(r#"{"&&": {"left": {"Value": true}, "right": {"!": {"arg": 1}}}}"#),
                "`conditions[0].body.&&.right.!.arg`: an expression",
            ),
            (body(r#"{"Slot": "?principal"}"#), "a slot stands in the scope alone"),
            (body(r#"{"ipp": [{"Value": "x"}]}"#), "there is no operator or function the string \"ipp\""),
            (body(r#"{"ip": "x"}"#), "`conditions[0].body.ip`: expected the list of its arguments"),
            (
                body(r#"{".": {"left": {"Var": "principal"}, "attr": 1}}"#),
                "`conditions[0].body...attr`: expected the name of an attribute",
            ),
            (body(r#"{"if-then-else": {"if": {"Value": true}}}"#), "`then` is missing"),
            (body(r#"{"like": {"left": {"Value": "a"}, "pattern": "a*"}}"#), "expected a list such as [{\"Literal\""),
            (
                body(r#"{"like": {"left": {"Value": "a"}, "pattern": ["a"]}}"#),
                "expected {\"Literal\": \"...\"} or \"Wildcard\"",
            ),
            (body(r#"{"is": {"left": {"Var": "principal"}}}"#), "`entity_type` is missing"),
            (body(r#"{"Set": 1}"#), "expected a list of expressions"),
            (body(r#"{"Record": []}"#), "expected an object of name and expression"),
            (whole(r#""annotations": {"a b": "x"}"#), "`annotations.a b`: the name of an annotation is a word"),
            (whole(r#""annotations": {"a": 1}"#), "`annotations.a`: expected a string, not 1"),
            (whole(r#""annotations": "x""#), "`annotations`: expected an object"),
        ] {
            let problems = read("f", &text, &Limits::default()).unwrap_err();
            assert!(problems.iter().any(|found| found.message.contains(expected)), "{text}: {problems:#?}");
            for leak in ["enum", "variant", "deserializ", "sequence", "struct", "<unknown", "invalid type"] {
                assert!(problems.iter().all(|found| !found.message.contains(leak)), "{text}: {problems:#?}");
            }
        }
    }

    /// What Cedar reads has nothing wrong with it, whatever Cedar writes.
    #[test]
    fn what_cedar_writes_is_fine() {
        for text in [
            "permit (principal, action, resource);",
            "@id(\"a\") @b forbid (principal is A in A::\"x\", action in [Action::\"a\", B::Action::\"b\"], resource == ?resource) \
             when { principal.a has b.c && resource like \"a*b\" } unless { ip(\"::1\").isInRange(ip(\"::\")) };",
            "permit (principal in ?principal, action == Action::\"a\", resource is A) when { if context.a then !true else \
             -1 + 2 * 3 - 4 < 5 || [1, \"x\", A::\"b\"].containsAny([]) && {\"a b\": 1, c: {}}.c == {} && principal is A::B in \
             resource && [].isEmpty() && principal.hasTag(\"t\") && principal.getTag(\"t\").contains(1) };",
        ] {
            let json = match cedar_policy::Policy::parse(None, text) {
                Ok(policy) => policy.to_json().unwrap(),
                Err(_) => cedar_policy::Template::parse(None, text).unwrap().to_json().unwrap(),
            };
            let json = json.to_string();
            let mut found = Misfits::none();
            look(&Value::parse(json.as_bytes()).unwrap(), &mut found);
            assert!(found.is_empty(), "{json}: {found:#?}");
        }
    }
}
