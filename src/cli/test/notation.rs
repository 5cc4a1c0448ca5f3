//! Requests in Cedar's notation, as people read them.

use palisade_engine::model::{Uid, Value};

/// A value of a context as Cedar writes it: `{auth: {mfa: false}, now: datetime("2026-11-21T12:00:00Z")}`.
#[must_use]
pub(super) fn value(value: &Value<'_>) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Long(n) => out.push_str(&n.to_string()),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(text) => string(text, out),
        Value::Array(elements) => list(out, ('[', ']'), elements, |element, out| write(element, out)),
        Value::Object(members) => {
            if let Some(text) = escaped(value) {
                return out.push_str(&text);
            }
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            list(out, ('{', '}'), &sorted, |(key, value), out| {
                if palisade_engine::model::uid::is_type_name(key) && !key.contains(':') {
                    out.push_str(key);
                } else {
                    string(key, out);
                }
                out.push_str(": ");
                write(value, out);
            });
        }
    }
}

fn list<T>(out: &mut String, brackets: (char, char), items: &[T], each: impl Fn(&T, &mut String)) {
    out.push(brackets.0);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        each(item, out);
    }
    out.push(brackets.1);
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    out.extend(text.escape_debug());
    out.push('"');
}

/// `{"__entity": …}` as a uid, `{"__extn": …}` as a call.
fn escaped(value: &Value<'_>) -> Option<String> {
    let [(key, inner)] = value.as_object()? else { return None };
    let text = |member: &str| inner.get(member).and_then(Value::as_str);
    match key.as_ref() {
        "__entity" => Some(Uid::new(text("type")?, text("id")?).ok()?.to_string()),
        "__extn" => {
            let mut out = format!("{}(", text("fn")?);
            match (inner.get("arg"), inner.get("args").and_then(Value::as_array)) {
                (Some(arg), _) => write(arg, &mut out),
                (None, Some(args)) => {
                    for (i, arg) in args.iter().enumerate() {
                        out.push_str(if i > 0 { ", " } else { "" });
                        write(arg, &mut out);
                    }
                }
                (None, None) => return None,
            }
            out.push(')');
            Some(out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_in_policies() {
        for (json, cedar) in [
            ("{}", "{}"),
            (r#"{"b":1,"a":[true,"x\"y"]}"#, r#"{a: [true, "x\"y"], b: 1}"#),
            (r#"{"two words":{}}"#, r#"{"two words": {}}"#),
            (r#"{"t":{"__entity":{"type":"A::B","id":"c"}}}"#, r#"{t: A::B::"c"}"#),
            (r#"{"now":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#, r#"{now: datetime("2026-01-01")}"#),
            (r#"{"__extn":"x"}"#, r#"{__extn: "x"}"#),
            ("null", "null"),
        ] {
            assert_eq!(value(&Value::parse(json.as_bytes()).unwrap()), cedar, "{json}");
        }
    }
}
