//! Fixtures that files of tests share: `include` names files with `entities`, `without` and `defaults.context`.

use super::{File, Open, unknown_key};
use crate::cli::test::model::{EntityChange, Fault};
use crate::cli::test::node::{self, Member, Node};

const KEYS: &str = "`namespace`, `defaults`, `entities`, `without`, and `x-…` for anchors";

/// Puts what a file that is included has before what the including file has. Names are read in the namespace that it gives,
/// or else in that of the including file.
pub(super) fn add(file: &mut File<'_>, name: &Node, open: Open<'_>) -> Result<(), Fault> {
    let path = name.text("a file in `include`")?;
    let failed = |message: String| Fault::at(name.line, format!("`include`: `{path}`: {message}"));
    let text = open(path).map_err(failed)?;
    let within = |fault: Fault| {
        let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        failed(format!("{line}{}", fault.message))
    };
    let root = node::parse(&text).map_err(within)?;
    let mut shared = File { namespace: file.namespace.clone(), ..File::default() };
    read(&mut shared, &root).map_err(within)?;
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

fn read(shared: &mut File<'_>, root: &Node) -> Result<(), Fault> {
    let members = root.map("the file")?;
    shared.read_namespace(members)?;
    for Member { key, line, value } in members {
        match key.as_str() {
            "namespace" => {}
            "defaults" => {
                for Member { key, line, value } in value.map("`defaults`")? {
                    if key != "context" {
                        return Err(Fault::at(
                            *line,
                            format!("`defaults.{key}` is not shared, `defaults.context` alone"),
                        ));
                    }
                    shared.context = shared.context(value, serde_json::Map::new())?;
                }
            }
            "entities" => shared.put(value)?,
            "without" => shared.remove(value)?,
            "tests" | "include" => return Err(Fault::at(*line, format!("a file that is included has no `{key}`"))),
            key if key.starts_with("x-") => {}
            key => return Err(Fault::at(*line, unknown_key(key, "a file that is included", KEYS))),
        }
    }
    Ok(())
}
