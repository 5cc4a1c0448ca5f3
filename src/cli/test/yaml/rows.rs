//! Tests with rows: `each` is a list of mappings, and the test stands for one test a row, in which `${name}` is what the row
//! says.

use std::collections::BTreeSet;

use crate::cli::test::model::Fault;
use crate::cli::test::node::{Kind, Member, Node};

/// The tests that one with rows stands for; nothing where it has none.
pub(super) fn expand(test: &Node) -> Result<Option<Vec<Node>>, Fault> {
    let Kind::Map(members) = &test.kind else { return Ok(None) };
    let Some(each) = members.iter().find(|member| member.key == "each") else { return Ok(None) };
    let rows = each.value.list("`each`")?;
    if rows.is_empty() {
        return Err(Fault::at(each.line, "the test asks nothing: `each` is an empty list"));
    }
    let mut used = BTreeSet::new();
    let mut tests = Vec::with_capacity(rows.len());
    for row in rows {
        let values = row.map("a row of `each`")?;
        let mut filled = Vec::with_capacity(members.len());
        for member in members.iter().filter(|member| member.key != "each") {
            let mut value = fill(&member.value, values, &mut used)?;
            if member.key == "name" && value == member.value {
                // else all of them had the same name
                let shown: Vec<String> =
                    values.iter().map(|member| format!("{}: {}", member.key, scalar(&member.value))).collect();
                if let Kind::Text(name) = &mut value.kind {
                    *name = format!("{name} {{{}}}", shown.join(", "));
                }
            }
            filled.push(Member { key: member.key.clone(), line: member.line, value });
        }
        tests.push(Node { line: row.line, kind: Kind::Map(filled) });
    }
    for row in rows {
        for member in row.map("a row of `each`")? {
            if !used.contains(member.key.as_str()) {
                let message = format!("`{}` is not used: write `${{{}}}` where it belongs", member.key, member.key);
                return Err(Fault::at(member.line, message));
            }
        }
    }
    Ok(Some(tests))
}

fn fill<'r>(node: &Node, row: &'r [Member], used: &mut BTreeSet<&'r str>) -> Result<Node, Fault> {
    let kind = match &node.kind {
        Kind::Text(text) => return filled(node, text, row, used),
        Kind::List(items) => {
            Kind::List(items.iter().map(|item| fill(item, row, used)).collect::<Result<Vec<_>, Fault>>()?)
        }
        Kind::Map(members) => Kind::Map(
            members
                .iter()
                .map(|member| {
                    let value = fill(&member.value, row, used)?;
                    Ok(Member { key: member.key.clone(), line: member.line, value })
                })
                .collect::<Result<Vec<_>, Fault>>()?,
        ),
        other => other.clone(),
    };
    Ok(Node { line: node.line, kind })
}

/// A text with what the row says in it. One that is a name alone becomes the row's value, whatever that is.
fn filled<'r>(node: &Node, text: &str, row: &'r [Member], used: &mut BTreeSet<&'r str>) -> Result<Node, Fault> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}').map(|end| at + end) else { break };
        let name = &rest[at + 2..end];
        let Some(member) = row.iter().find(|member| member.key == name) else {
            let known: Vec<String> = row.iter().map(|member| format!("`{}`", member.key)).collect();
            return Err(Fault::at(node.line, format!("there is no `{name}` in this row, only {}", known.join(", "))));
        };
        used.insert(&member.key);
        if at == 0 && end + 1 == text.len() {
            return Ok(Node { line: node.line, kind: member.value.kind.clone() });
        }
        out.push_str(&rest[..at]);
        match &member.value.kind {
            Kind::List(_) | Kind::Map(_) | Kind::Null => {
                let message = format!("`${{{name}}}` is {} and cannot stand within a text", member.value.kind());
                return Err(Fault::at(node.line, message));
            }
            _ => out.push_str(&scalar(&member.value)),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(Node { line: node.line, kind: Kind::Text(out) })
}

/// A value as a part of a text.
fn scalar(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Long(value) => value.to_string(),
        Kind::Float(value) => value.to_string(),
        Kind::Text(text) => text.clone(),
        Kind::List(items) => format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
        Kind::Map(members) => {
            let members: Vec<String> =
                members.iter().map(|member| format!("{}: {}", member.key, scalar(&member.value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::test::yaml;

    fn read(test: &str) -> Vec<String> {
        let text = format!("tests:\n  - name: t\n    action: b\n    resource: R::c\n{test}");
        let cases = yaml::parse(&text, &|_| Err(String::new())).unwrap();
        let shown = cases.iter().map(|case| match &case.check {
            Ok(check) => format!(
                "{:?} {}: {} {} {:?} {:?}",
                case.line,
                case.name,
                check.request.principal,
                check.expect,
                check.reasons,
                check.request.context.to_json()
            ),
            Err(fault) => format!("{:?} {}", fault.line, fault.message),
        });
        shown.collect()
    }

    #[test]
    fn a_test_stands_for_one_a_row() {
        let rows = "    principal: U::${who}\n    context: {n: \"${n}\", s: \"n is ${n}\"}\n    expect: ${e}\n    each:\n      - {who: a, n: 1, e: allow}\n      - {who: b, n: 2, e: deny}\n";
        let found = read(rows);
        assert!(found[0].starts_with("Some(9) t {who: a, n: 1, e: allow}: U::\"a\" allow"), "{found:?}");
        assert!(found[0].ends_with(r#"Object {"n": Number(1), "s": String("n is 1")}"#), "{found:?}");
        assert!(found[1].starts_with("Some(10) t {who: b, n: 2, e: deny}: U::\"b\" deny"), "{found:?}");
        for (rows, said) in [
            ("each: [{who: [a]}]", "`${who}` is a list and cannot stand within a text"),
            ("each: [{who: a, x: 1}]", "`x` is not used: write `${x}` where it belongs"),
            ("each: [{nam: a}]", "there is no `who` in this row, only `nam`"),
            ("each: []", "the test asks nothing: `each` is an empty list"),
            ("each: [a]", "a row of `each` must be a mapping"),
            ("each: a", "`each` must be a list"),
        ] {
            let found = read(&format!("    principal: U::${{who}}\n    expect: deny\n    {rows}\n"));
            assert!(found.len() == 1 && found[0].contains(said), "{rows}: {found:?}");
        }
    }
}
