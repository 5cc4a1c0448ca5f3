//! Tests with rows: `each` is a list of mappings, and the test stands for one test a row, in which `${name}` is what the row
//! says.

use std::collections::BTreeSet;

use crate::cli::test::model::{Fault, Read, all};
use crate::cli::test::node::{Kind, Member, Node};

/// The tests that one with rows stands for; nothing where it has none.
pub(super) fn expand(test: &Node) -> Read<Option<Vec<Node>>> {
    let Kind::Map(members) = &test.kind else { return Ok(None) };
    let Some(each) = members.iter().find(|member| member.key == "each") else { return Ok(None) };
    let rows = each.value.list("`each`")?;
    if rows.is_empty() {
        return Err(Fault::at(each.line, "the test asks nothing: `each` is an empty list").into());
    }
    let mut used = BTreeSet::new();
    let tests: Read<Vec<Node>> = all(rows.iter().map(|row| -> Read<Node> {
        let values = row.map("a row of `each`")?;
        let written = members.iter().filter(|member| member.key != "each");
        let filled = all(written.map(|member| -> Read<Member> {
            let mut value = fill(&member.value, values, &mut used)?;
            if member.key == "name" && value == member.value {
                // else all of them had the same name
                let shown: Vec<String> =
                    values.iter().map(|member| format!("{}: {}", member.key, scalar(&member.value))).collect();
                if let Kind::Text(name) = &mut value.kind {
                    *name = format!("{name} {{{}}}", shown.join(", "));
                }
            }
            Ok(Member { key: member.key.clone(), line: member.line, value })
        }))?;
        Ok(Node { line: row.line, kind: Kind::Map(filled) })
    }));
    // what a row lacks is the same fault in every row
    let mut faults: Vec<Fault> = Vec::new();
    for fault in tests.as_ref().err().into_iter().flatten() {
        if !faults.contains(fault) {
            faults.push(fault.clone());
        }
    }
    if faults.is_empty() {
        let members = rows.iter().filter_map(|row| row.map("a row of `each`").ok()).flatten();
        faults.extend(members.filter(|member| !used.contains(member.key.as_str())).map(|member| {
            let message = format!("`{}` is not used: write `${{{}}}` where it belongs", member.key, member.key);
            Fault::at(member.line, message)
        }));
    }
    if faults.is_empty() { tests.map(Some) } else { Err(faults) }
}

fn fill<'r>(node: &Node, row: &'r [Member], used: &mut BTreeSet<&'r str>) -> Read<Node> {
    let kind = match &node.kind {
        Kind::Text(text) => return Ok(filled(node, text, row, used)?),
        Kind::List(items) => Kind::List(all(items.iter().map(|item| fill(item, row, used)))?),
        Kind::Map(members) => Kind::Map(all(members.iter().map(|member| -> Read<Member> {
            let value = fill(&member.value, row, used)?;
            Ok(Member { key: member.key.clone(), line: member.line, value })
        }))?),
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
