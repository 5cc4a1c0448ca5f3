//! Puts the files that a configuration of nginx or Apache includes in the place of the directive that names them.

use crate::directive::{Broken, Directive};
use crate::report::{At, Report};

/// How many directives includes may come to.
const MOST: usize = 50_000;

/// What happens to a directive.
pub(super) enum Part {
    /// It stays.
    Kept,
    /// The files that its argument names stand in its place.
    Included,
    /// It goes.
    Dropped,
}

/// How a gateway writes its files.
pub(super) struct Syntax {
    /// The gateway's name.
    pub(super) gateway: &'static str,
    /// Reads one file.
    pub(super) parse: fn(usize, &str) -> Result<Vec<Directive>, Broken>,
    /// What happens to a directive, which may be reported.
    pub(super) part: fn(&Directive, &mut Report<'_>) -> Part,
}

/// Reads a file and what it includes. What is wrong with it is reported; nothing if it cannot be read.
pub(super) fn read(syntax: &Syntax, source: usize, report: &mut Report<'_>) -> Option<Vec<Directive>> {
    Reader { syntax, made: 0, report }.file(source, &[source])
}

struct Reader<'r, 'f> {
    syntax: &'r Syntax,
    /// Directives so far.
    made: usize,
    report: &'r mut Report<'f>,
}

// === impl Reader ===

impl Reader<'_, '_> {
    /// `around` are the files that it stands in, itself among them.
    fn file(&mut self, source: usize, around: &[usize]) -> Option<Vec<Directive>> {
        match (self.syntax.parse)(source, &self.report.text(source)) {
            Ok(tree) => Some(self.expand(tree, around)),
            Err(Broken { line, message }) => {
                let message = format!("not a configuration of {}: {message}", self.syntax.gateway);
                self.report.broken(At { source, line }, &message);
                None
            }
        }
    }

    fn expand(&mut self, tree: Vec<Directive>, around: &[usize]) -> Vec<Directive> {
        let mut expanded = Vec::with_capacity(tree.len());
        for mut directive in tree {
            self.made += 1;
            if self.made > MOST {
                self.report.not_checked(
                    directive.at,
                    "what follows is not looked at: there are too many directives",
                    "name the parts",
                );
                break;
            }
            directive.block = directive.block.map(|block| self.expand(block, around));
            match (self.syntax.part)(&directive, self.report) {
                Part::Kept => expanded.push(directive),
                Part::Included => {
                    for source in self.report.include(directive.at, directive.argument(1), around) {
                        let around = [around, &[source]].concat();
                        expanded.extend(self.file(source, &around).unwrap_or_default());
                    }
                }
                Part::Dropped => {}
            }
        }
        expanded
    }
}
