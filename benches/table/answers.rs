//! What stock Cedar answers to questions about a bundle: what servers are compared with.

use std::path::Path;

use palisade::source::{FileSettings, FileSource, Source};

use crate::support;
use crate::support::stock::Stock;

/// Prints `true` or `false` a line for each body, one a line, in the file of questions.
///
/// `files` are the directory of policies, that of entities, and the file.
pub(crate) fn print(files: &[String]) {
    let [policies, entities, questions] = files else { panic!("answers POLICIES ENTITIES QUESTIONS") };
    let source = FileSource::new(Path::new(policies).into(), Some(Path::new(entities).into()), FileSettings::default());
    let stock = Stock::build(&source.load().unwrap().bundle);
    for body in std::fs::read_to_string(questions).unwrap().lines() {
        let response = stock.decide(&stock.request(&support::request(body)));
        println!("{}", response.decision() == cedar_policy::Decision::Allow);
    }
}
