//! Fixtures that files of tests share: `include` names files with `entities`, `without` and `defaults.context`.

use super::{File, Open, unknown_key};
use crate::cli::test::model::{EntityChange, Fault, Read, all};
use crate::cli::test::node::{self, Member, Node};

const KEYS: &str = "`namespace`, `defaults`, `entities`, `without`, and `x-…` for anchors";

/// Puts what a file that is included has before what the including file has. Names are read in the namespace that it gives,
/// or else in that of the including file.
pub(super) fn add(file: &mut File<'_>, name: &Node, open: Open<'_>) -> Read<()> {
    let path = name.text("a file in `include`")?;
    let failed = |message: String| Fault::at(name.line, format!("`include`: `{path}`: {message}"));
    let text = open(path).map_err(failed)?;
    let within = |fault: Fault| {
        let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        failed(format!("{line}{}", fault.message))
    };
    let root = node::parse(&text).map_err(within)?;
    let mut shared = File { namespace: file.namespace.clone(), ..File::default() };
    read(&mut shared, &root).map_err(|faults| faults.into_iter().map(within).collect::<Vec<_>>())?;
    file.context.extend(shared.context);
    for mut change in shared.changes {
        // the line of the file whose test fails
        match &mut change {
            EntityChange::Put { line, .. } | EntityChange::Remove { line, .. } => *line = name.line,
        }
        file.changes.push(change);
    }
    Ok(())
}

fn read(shared: &mut File<'_>, root: &Node) -> Read<()> {
    let members = root.map("the file")?;
    shared.read_namespace(members)?;
    all(members.iter().map(|Member { key, line, value }| -> Read<()> {
        match key.as_str() {
            "namespace" => Ok(()),
            "defaults" => all(value.map("`defaults`")?.iter().map(|Member { key, line, value }| -> Read<()> {
                if key != "context" {
                    let message = format!("`defaults.{key}` is not shared, `defaults.context` alone");
                    return Err(Fault::at(*line, message).into());
                }
                shared.context = shared.context(value, serde_json::Map::new())?;
                Ok(())
            })),
            "entities" => shared.put(value),
            "without" => shared.remove(value),
            "tests" | "include" => Err(Fault::at(*line, format!("a file that is included has no `{key}`")).into()),
            key if key.starts_with("x-") => Ok(()),
            key => Err(Fault::at(*line, unknown_key(key, "a file that is included", KEYS)).into()),
        }
    }))
}
