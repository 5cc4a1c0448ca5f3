//! One policy or template in Cedar's JSON form.
//!
//! Cedar's reader takes the last of two equal members and leaves out some that it does not know. So the text is
//! read strictly first, and what Cedar made of it must have every member of the text: what it did not
//! read could have been a condition.

mod words;

use cedar_policy::{Policy, Template};
use cedar_policy_core::ast;
use serde_json::json;

use crate::diagnose;
use crate::misfit::{Misfit, Misfits};
use crate::model::{Diagnostic, Value};
use crate::settings::Limits;

/// Whether a text is in the JSON form: no policy in Cedar's own syntax starts with a brace.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Reads one policy or template.
///
/// # Errors
/// All that is wrong with it, up to a bound.
pub(super) fn read(origin: &str, text: &str, limits: &Limits) -> Result<ast::Template, Vec<Diagnostic>> {
    let value = Value::parse(text.as_bytes()).map_err(|error| vec![diagnose::json(origin, text, &error)])?;
    bound(origin, &value, limits).map_err(|problem| vec![problem])?;
    let json = value.to_json();
    let unfit = |error: &dyn std::error::Error| {
        let mut found = Misfits::none();
        words::look(&value, &mut found);
        if found.is_empty() {
            let member = culprit(&json).map(|member| format!("`{member}`: ")).unwrap_or_default();
            let message = diagnose::message(error).replace("error deserializing a policy/template from JSON: ", "");
            found.push(format!("{member}{message}").into());
        }
        let problem = |misfit: Misfit| {
            let message = format!("this is not a policy in Cedar's JSON form: {}", misfit.message);
            Diagnostic::error(origin, message).help("compare it with what `cedar translate-policy` writes")
        };
        found.into_iter().map(problem).collect::<Vec<_>>()
    };
    let (template, read): (ast::Template, _) = if has_slots(&json) {
        let template = Template::from_json(None, json.clone()).map_err(|error| unfit(&error))?;
        let read = template.to_json().map_err(|error| unfit(&error))?;
        (AsRef::<ast::Template>::as_ref(&template).clone(), read)
    } else {
        let policy = Policy::from_json(None, json.clone()).map_err(|error| unfit(&error))?;
        let read = policy.to_json().map_err(|error| unfit(&error))?;
        (AsRef::<ast::Policy>::as_ref(&policy).template().clone(), read)
    };
    match lost(&json, &read, "") {
        None => Ok(template),
        Some(place) => {
            let problem = Diagnostic::error(origin, format!("`{place}` has no meaning there, and would not be read"));
            Err(vec![problem.help("remove it, or see how `cedar translate-policy` writes what you mean")])
        }
    }
}

/// Refuses what the parser could choke on, and what is no policy at all.
fn bound(origin: &str, value: &Value<'_>, limits: &Limits) -> Result<(), Diagnostic> {
    let fail = |message: String| Diagnostic::error(origin, message);
    if depth(value) > limits.max_nesting {
        return Err(fail(format!("nested deeper than {} levels", limits.max_nesting))
            .help("flatten the expression, or raise `limits.max_nesting`"));
    }
    // Cedar joins conditions as by `&&`, one level each
    let conditions = value.get("conditions").and_then(Value::as_array).map_or(0, <[_]>::len);
    if depth(value) + 2 * conditions > limits.max_expression_depth {
        return Err(fail(format!("{conditions} conditions make more than {} levels", limits.max_expression_depth))
            .help("join them in fewer conditions, or raise `limits.max_expression_depth`"));
    }
    if value.get("effect").is_none() {
        let help = "write one object of `effect`, `principal`, `action`, `resource` and `conditions`, as `cedar \
             translate-policy` does";
        return Err(fail("a policy in the JSON form needs `effect`".to_owned()).help(help));
    }
    Ok(())
}

/// The member for which Cedar refuses a policy: the first that it refuses in one that is fine but for it.
fn culprit(json: &serde_json::Value) -> Option<String> {
    let refused = |member: &str, value: serde_json::Value| {
        let all = || json!({"op": "All"});
        let mut policy =
            json!({"effect": "permit", "principal": all(), "action": all(), "resource": all(), "conditions": []});
        policy[member] = value;
        let read = if has_slots(&policy) {
            Template::from_json(None, policy).map(|_| ())
        } else {
            Policy::from_json(None, policy).map(|_| ())
        };
        read.is_err()
    };
    let members = json.as_object()?;
    let lacking = ["principal", "action", "resource"].into_iter().find(|member| !members.contains_key(*member));
    if let Some(member) = lacking {
        return Some(member.to_owned());
    }
    members.iter().find_map(|(member, value)| match (member.as_str(), value) {
        ("conditions", serde_json::Value::Array(conditions)) => {
            let wrong = conditions.iter().position(|condition| refused(member, json!([condition])))?;
            Some(format!("conditions[{wrong}]"))
        }
        _ => refused(member, value.clone()).then(|| member.clone()),
    })
}

/// Whether the scope has a slot, which makes a template of it.
fn has_slots(policy: &serde_json::Value) -> bool {
    ["principal", "resource"]
        .into_iter()
        .filter_map(|part| policy.get(part))
        .any(|scope| scope.get("slot").is_some() || scope.get("in").is_some_and(|within| within.get("slot").is_some()))
}

/// The first member or element of `written` that `read` lacks, by its path.
fn lost(written: &serde_json::Value, read: &serde_json::Value, path: &str) -> Option<String> {
    use serde_json::Value::{Array, Object};
    match (written, read) {
        (Object(written), Object(read)) => written.iter().find_map(|(key, member)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match read.get(key) {
                Some(read) => lost(member, read, &path),
                // left out where they are empty
                None if key == "annotations" && member.as_object().is_some_and(serde_json::Map::is_empty) => None,
                None => Some(path),
            }
        }),
        (Array(written), Array(read)) if written.len() == read.len() => {
            written.iter().zip(read).enumerate().find_map(|(i, (w, r))| lost(w, r, &format!("{path}[{i}]")))
        }
        (Object(_) | Array(_), _) => Some(path.to_owned()),
        _ => None,
    }
}

/// How many levels of objects and arrays there are. The strict reader bounds them.
fn depth(value: &Value<'_>) -> usize {
    match value {
        Value::Object(members) => 1 + members.iter().map(|(_, member)| depth(member)).max().unwrap_or(0),
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
