//! Matrices: `allow` lists the cells that are allowed, and every other request of the test must be denied.

use std::collections::BTreeSet;

use palisade_engine::model::Uid;

use super::{File, Named, reasons, unknown_key};
use crate::cli::test::model::{Fault, Read, Reasons, all};
use crate::cli::test::node::{Member, Node};

const CELL_KEYS: &str = "`principal`, `action`, `resource` and `reason`";

/// A part of the matrix that is allowed.
#[derive(Debug)]
pub(super) struct Cell {
    line: usize,
    /// Principals, actions and resources; nothing is all of the matrix.
    names: [Option<Vec<Uid<'static>>>; 3],
    /// The policies that allow it, if that matters.
    pub reasons: Option<Reasons>,
}

/// Reads the list. Each cell names what the matrix has.
pub(super) fn read(file: &File<'_>, node: &Node, matrix: [&[Named<'_>]; 3]) -> Read<Vec<Cell>> {
    all(node.list("`allow`")?.iter().map(|node| cell(file, node, matrix)))
}

fn cell(file: &File<'_>, node: &Node, matrix: [&[Named<'_>]; 3]) -> Read<Cell> {
    let mut cell = Cell { line: node.line, names: [None, None, None], reasons: None };
    all::<(), Vec<Fault>, ()>(node.map("a cell of `allow`")?.iter().map(|Member { key, line, value }| {
        let part = match key.as_str() {
            "principal" => 0,
            "action" => 1,
            "resource" => 2,
            "reason" => {
                cell.reasons = Some(reasons(value)?);
                return Ok(());
            }
            _ => return Err(Fault::at(*line, unknown_key(key, "a cell of `allow`", CELL_KEYS)).into()),
        };
        let named = file.named(value, &format!("`{key}`"), part == 1)?;
        let known: BTreeSet<&Uid<'_>> = matrix[part].iter().map(|named| &named.uid).collect();
        let others = named.iter().filter(|named| !known.contains(&named.uid)).map(|other| {
            let message =
                format!("`{}` is not among the test's `{key}`: add it there, or correct it here", other.written);
            Fault::at(*line, message)
        });
        let others: Vec<Fault> = others.collect();
        if !others.is_empty() {
            return Err(others);
        }
        cell.names[part] = Some(named.into_iter().map(|named| named.uid).collect());
        Ok(())
    }))?;
    Ok(cell)
}

/// The cell that a request of the matrix is in, if it is to be allowed.
pub(super) fn of<'c>(cells: &'c [Cell], request: [&Uid<'_>; 3]) -> Result<Option<&'c Cell>, Fault> {
    let holds = |cell: &&Cell| {
        cell.names.iter().zip(request).all(|(names, uid)| names.as_ref().is_none_or(|names| names.contains(uid)))
    };
    let mut found = cells.iter().filter(holds);
    let first = found.next();
    match (first, found.next()) {
        (Some(first), Some(second)) => {
            let [principal, action, resource] = request;
            let message =
                format!("`{principal}`, `{action}`, `{resource}` is in the cell at line {} already", first.line);
            Err(Fault::at(second.line, message))
        }
        _ => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::test::yaml;

    #[test]
    fn what_is_not_listed_must_be_denied() {
        let read = |allow: &str| -> Vec<String> {
            let text = format!(
                "defaults: {{expect: allow}}\ntests:\n  - name: t\n    principal: [U::a, U::b]\n    action: [x, y]\n    resource: R::c\n    reason: [no]\n    {allow}\n"
            );
            let cases = yaml::parse(&text, &|_| Err(String::new())).unwrap();
            let shown = cases.iter().map(|case| match &case.check {
                Ok(check) => {
                    let request = &check.request;
                    let ids = check.reasons.as_ref().map(|reasons| reasons.ids.iter().cloned().collect::<Vec<_>>());
                    format!(
                        "{} {} {} {:?}",
                        request.principal.id,
                        request.action.id,
                        check.expect,
                        ids.unwrap_or_default()
                    )
                }
                Err(fault) => format!("{:?} {}", fault.line, fault.message),
            });
            shown.collect()
        };
        let denied = ["a x deny [\"no\"]", "a y deny [\"no\"]", "b x deny [\"no\"]", "b y deny [\"no\"]"];
        assert_eq!(read("allow: []"), denied);
        let found = read("allow: [{principal: U::a, action: [x], reason: yes1}, {action: y}]");
        assert_eq!(found, ["a x allow [\"yes1\"]", "a y allow []", denied[2], "b y allow []"]);
        for (allow, said) in [
            (
                "allow: [{principal: U::a}, {action: x}]",
                "`U::\"a\"`, `Action::\"x\"`, `R::\"c\"` is in the cell at line 8 already",
            ),
            ("allow: [{principal: U::z}]", "`U::z` is not among the test's `principal`"),
            ("allow: [{who: U::a}]", "unknown key `who`; a cell of `allow` has"),
            ("allow: [U::a]", "a cell of `allow` must be a mapping"),
            ("allow: []\n    expect: deny", "a test has `expect` or `allow`, not both"),
        ] {
            let found = read(allow);
            assert!(found.len() == 1 && found[0].contains(said), "{allow}: {found:?}");
        }
    }
}
