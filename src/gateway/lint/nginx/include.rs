//! Puts the files that `include` names in its place.

use crate::gateway::lint::directive::Directive;
use crate::gateway::lint::nginx::tree::parse;
use crate::gateway::lint::report::{At, Report};

/// How many directives includes may come to.
const MOST: usize = 50_000;

/// Reads a file and what it includes; what is wrong with it is told.
pub(super) fn read(source: usize, report: &mut Report<'_>) -> Option<Vec<Directive>> {
    read_file(source, &[source], &mut 0, report)
}

fn read_file(source: usize, around: &[usize], made: &mut usize, report: &mut Report<'_>) -> Option<Vec<Directive>> {
    match parse(source, &report.text(source)) {
        Ok(tree) => Some(expand(tree, around, made, report)),
        Err(broken) => {
            report
                .broken(At { source, line: broken.line }, &format!("not a configuration of nginx: {}", broken.message));
            None
        }
    }
}

fn expand(tree: Vec<Directive>, around: &[usize], made: &mut usize, report: &mut Report<'_>) -> Vec<Directive> {
    let mut expanded = Vec::with_capacity(tree.len());
    for mut directive in tree {
        *made += 1;
        if *made > MOST {
            report.not_checked(
                directive.at,
                "what follows is not looked at: there are too many directives",
                "name the parts",
            );
            break;
        }
        directive.block = directive.block.map(|block| expand(block, around, made, report));
        if directive.name() != "include" || directive.block.is_some() {
            expanded.push(directive);
        } else if !is_data(directive.argument(1)) || report.readable(directive.argument(1)) {
            for source in report.include(directive.at, directive.argument(1), around) {
                let around = [around, &[source]].concat();
                expanded.extend(read_file(source, &around, made, report).unwrap_or_default());
            }
        }
    }
    expanded
}

/// Whether a file holds a table that says nothing of requests: types of media, or sets of characters.
fn is_data(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("mime.types" | "koi-utf" | "koi-win" | "win-utf"))
}
