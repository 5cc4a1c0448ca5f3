//! Reads a listed tree into a bundle, as it was at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::source::files::blank::{self, Content};
use crate::source::files::names::{self, Role};
use crate::source::files::scan::{Found, Scan};
use crate::source::files::stamp::{self, Stamp};
use crate::source::files::stream::{self, Opened, Places};
use crate::source::files::{FileSettings, Tree, links, policy_json, rules};
use crate::source::{Held, Loaded};
use palisade_engine::model::json::without_byte_order_mark;
use palisade_engine::model::place::locate;
use palisade_engine::model::{Bundle, Diagnostic, Document, Missing, PolicyNaming, PolicyText, SchemaText};

/// How long to wait before each new attempt at a tree that changed while it was read.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(90), Duration::from_millis(270)];

/// Why one file could not be read.
enum Failure {
    /// It is not what was listed any more.
    Changed,
    /// It cannot be used as it is.
    Unusable(Box<Diagnostic>),
}

/// Reads everything, and gives also what was there when it did.
pub(super) fn load(tree: &Tree) -> (Scan, Result<Loaded, Vec<Diagnostic>>) {
    load_with(|| Scan::of(tree), |scan| read(scan, &tree.settings))
}

type Attempt = (Result<Loaded, Vec<Diagnostic>>, Vec<String>);

/// Lists, reads and lists again until both lists are the same; `read` also names files that changed under its hands.
fn load_with(list: impl Fn() -> Scan, read: impl Fn(&Scan) -> Attempt) -> (Scan, Result<Loaded, Vec<Diagnostic>>) {
    let mut before = list();
    let mut pauses = PAUSES.iter();
    loop {
        let (result, mut unsteady) = read(&before);
        let after = list();
        if before.is_same(&after) && unsteady.is_empty() {
            return (after, result);
        }
        let Some(pause) = pauses.next() else {
            unsteady.extend(differences(&before, &after));
            unsteady.sort();
            unsteady.dedup();
            let mut problems = result.err().unwrap_or_default();
            problems.extend(unsteady.into_iter().map(unsteady_file));
            return (after, Err(problems));
        };
        thread::sleep(*pause);
        // not `after`: what it saw may be half of a change that takes a moment
        before = list();
    }
}

/// What there is to say of a file that changes again and again, be it written in place or replaced.
pub(super) fn unsteady_file(origin: String) -> Diagnostic {
    let message = "this keeps changing: it was different each time that the files were read, and nothing is loaded until it has been unchanged for a second";
    Diagnostic::error(origin, message)
        .help("replace it less often than once a second, or move it out of the directory")
        .passing()
}

/// The origins of files that are in one scan only, or not the same in both.
pub(super) fn differences(before: &Scan, after: &Scan) -> Vec<String> {
    let only = |here: &Scan, there: &Scan| -> Vec<String> {
        here.files.iter().filter(|file| !there.files.contains(file)).map(|file| file.origin.clone()).collect()
    };
    let mut origins = only(before, after);
    origins.extend(only(after, before));
    if origins.is_empty() {
        origins.extend(before.problems.iter().chain(&after.problems).map(|problem| problem.origin.clone()));
    }
    origins
}

/// What of the tree can be used, where not all of it can: to report what is wrong with the rest. It has links by hand only where
/// all policies could be read, since a link may be of a template that could not, and a schema only where all of it could.
pub(super) fn rest(tree: &Tree) -> Bundle {
    let scan = Scan::of(tree);
    let Gathered { mut bundle, schema_is_whole, policies_are_whole, .. } = gather(&scan, &tree.settings);
    if !policies_are_whole {
        bundle.links.clear();
        bundle.for_each.links.iter_mut().for_each(|declared| declared.missing = Missing::Warn);
    }
    bundle.schema = bundle.schema.filter(|_| schema_is_whole);
    bundle
}

/// What was read, and what could not be.
struct Gathered {
    bundle: Bundle,
    schema_is_whole: bool,
    policies_are_whole: bool,
    problems: Vec<Diagnostic>,
    unsteady: Vec<String>,
    blank: Vec<(String, Content)>,
    files: BTreeMap<String, Held>,
}

fn gather(scan: &Scan, settings: &FileSettings) -> Gathered {
    let max_total_bytes = settings.max_total_bytes;
    let mut bundle = Bundle::default();
    let mut fragments = Vec::new();
    let mut problems = scan.problems.clone();
    let mut schema_is_whole = true;
    let mut policies_are_whole = problems.is_empty();
    let mut unsteady = Vec::new();
    let mut blank = Vec::new();
    let mut files = BTreeMap::new();
    let mut left = max_total_bytes;
    let mut places = Places::default();
    for file in &scan.files {
        if file.stamp.len > left {
            // the scan says that the total is too large
            break;
        }
        let origin = file.origin.clone();
        let text = || text(file).map(|text| (Sha256::digest(&text).into(), text));
        let taken = match file.role {
            Role::Entities => entities(file, &mut places).map(|document| {
                let held = document.sha256();
                bundle.entities.push(document);
                held
            }),
            Role::Policies => text().map(|(held, text)| {
                let before = problems.len();
                policies(file, text, &mut bundle, &mut problems, &mut blank);
                policies_are_whole &= problems.len() == before;
                held
            }),
            Role::Links => text().map(|(held, text)| {
                let read = links(file, &text);
                bundle.links.extend(read.links);
                bundle.for_each.links.extend(read.declared);
                problems.extend(read.problems);
                held
            }),
            Role::Rules => text().map(|(held, text)| {
                let read = rules(file, &text);
                bundle.for_each.rules.extend(read.rules);
                problems.extend(read.problems);
                held
            }),
            Role::Schema => text().map(|(held, text)| {
                if blank::content(&text) == Content::Nothing {
                    problems.push(emptied_schema(&origin));
                    schema_is_whole = false;
                }
                fragments.push((origin, text));
                held
            }),
            Role::Routes => text().map(|(held, text)| {
                bundle.routes.push((origin, text));
                held
            }),
            Role::Other => continue,
        };
        match taken {
            Ok(held) => {
                left -= file.stamp.len;
                files.insert(file.origin.clone(), Held::with_stamp(held, file.stamp));
            }
            Err(failure) => {
                schema_is_whole &= file.role != Role::Schema;
                policies_are_whole &= file.role != Role::Policies;
                match failure {
                    Failure::Changed => unsteady.push(file.origin.clone()),
                    Failure::Unusable(problem) => problems.push(*problem),
                }
            }
        }
    }
    let is_json = |(_, text): &&(String, String)| without_byte_order_mark(text).trim_start().starts_with('{');
    if let (Some((json, _)), Some((cedar, _))) =
        (fragments.iter().find(is_json), fragments.iter().find(|fragment| !is_json(fragment)))
    {
        // most often one was made from the other
        let message = format!("there is a schema in the JSON form here, and one in Cedar's form in `{cedar}`");
        problems.push(Diagnostic::error(json, message).help("keep one of the two, or name one with `--schema`"));
        schema_is_whole = false;
    }
    if !fragments.is_empty() {
        bundle.schema = Some(SchemaText { fragments });
    }
    Gathered { bundle, schema_is_whole, policies_are_whole, problems, unsteady, blank, files }
}

fn read(scan: &Scan, settings: &FileSettings) -> Attempt {
    let Gathered { bundle, mut problems, unsteady, blank, files, .. } = gather(scan, settings);
    // a refusal may come of a file that is not read for its name, so that is reported with it
    let refuse = |problems: Vec<Diagnostic>| {
        let all = problems.into_iter().chain(scan.warnings.iter().cloned()).collect();
        Err(Diagnostic::about("file", all))
    };
    // where nothing is left, nothing is hidden: no policy at all denies everything
    let all_blank = bundle.policies.iter().all(|text| blank::content(&text.text) != Content::Something);
    let (empty, comments): (Vec<_>, Vec<_>) = blank.into_iter().partition(|(_, content)| *content == Content::Nothing);
    let allowed = settings.allow_empty_policies && all_blank && problems.is_empty();
    if !allowed {
        problems.extend(empty.iter().map(|(origin, _)| emptied(origin.clone())));
    }
    if !problems.is_empty() {
        return (refuse(problems), unsteady);
    }
    let mut loaded = Loaded { files, ..Loaded::new(bundle) };
    loaded.warnings.clone_from(&scan.warnings);
    loaded.warnings.extend(comments.into_iter().chain(empty).map(|(origin, _)| {
        Diagnostic::error(origin, "there is no policy in this file").warning().help("remove it if it is not needed")
    }));
    loaded.warnings = Diagnostic::about("file", loaded.warnings);
    (Ok(loaded), unsteady)
}

/// Adds the policies of a file, or says what is wrong with it; notes it in `blank` if it has none.
fn policies(
    file: &Found,
    text: String,
    bundle: &mut Bundle,
    problems: &mut Vec<Diagnostic>,
    blank: &mut Vec<(String, Content)>,
) {
    let origin = file.origin.clone();
    let content = blank::content(&text);
    if content != Content::Something {
        blank.push((origin.clone(), content));
    }
    if names::is_json(&file.inner) && content != Content::Nothing {
        let split = policy_json::split(&origin, &text, file.stem());
        bundle.policies.extend(split.policies);
        bundle.links.extend(split.links);
        problems.extend(split.problems);
        return;
    }
    let naming = PolicyNaming::Stem(file.stem().to_owned());
    bundle.policies.push(PolicyText { origin, text, naming });
}

/// The links of a file. One that was emptied may have held a link of a forbid.
fn links(file: &Found, text: &str) -> links::Read {
    if blank::content(text) == Content::Nothing {
        let problem = Diagnostic::error(&file.origin, "this file is empty: no link is in it");
        return problem.help("restore it; to do without its links remove the file, or write `[]`").into();
    }
    links::read(&file.origin, text, file.stem())
}

/// The rules of a file. One that was emptied may have held one.
fn rules(file: &Found, text: &str) -> rules::Read {
    if blank::content(text) == Content::Nothing {
        let problem = Diagnostic::error(&file.origin, "this file is empty: no rule is in it");
        return problem.help("restore it; to do without its rules remove the file, or write `[]`").into();
    }
    rules::read(&file.origin, text)
}

/// An emptied file says nothing of what was in it: it is no way to take policies out.
fn emptied(origin: String) -> Diagnostic {
    Diagnostic::error(origin, "this file is empty: no policy is in it")
        .help("restore it; to do without its policies remove the file, or leave a comment in it")
}

/// The same of a schema: every policy and entity would be refused for what it does not declare any more.
fn emptied_schema(origin: &str) -> Diagnostic {
    Diagnostic::error(origin, "this file is empty: nothing is declared in it")
        .help("restore it; to do without its declarations remove the file, or leave a comment in it")
}

/// What `read` takes from the very file that was listed, and from no other that took its name. It also gives
/// how many bytes there were.
fn listed<T>(file: &Found, read: impl FnOnce(&mut File) -> io::Result<(T, u64)>) -> Result<(T, File), Failure> {
    let mut opened = stamp::open(&file.real).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::Changed,
        _ => unreadable(file, &error),
    })?;
    let stamp_now = |opened: &File| -> Result<Stamp, Failure> {
        let metadata = opened.metadata().map_err(|error| unreadable(file, &error))?;
        if metadata.is_file() { Ok(Stamp::of(&metadata)) } else { Err(Failure::Changed) }
    };
    if stamp_now(&opened)? != file.stamp {
        return Err(Failure::Changed);
    }
    let (read, len) = read(&mut opened).map_err(|error| unreadable(file, &error))?;
    if len != file.stamp.len || stamp_now(&opened)? != file.stamp {
        return Err(Failure::Changed);
    }
    Ok((read, opened))
}

fn text(file: &Found) -> Result<String, Failure> {
    let (bytes, _) = listed(file, |opened| {
        // one byte more than there should be shows that it grows, and no more than that is read of it
        let most = file.stamp.len.saturating_add(1);
        let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
        let len = opened.take(most).read_to_end(&mut bytes)?;
        Ok((bytes, len as u64))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..offset]);
        not_utf8(file, offset as u64, |problem| problem.at(&valid, offset))
    })
}

/// A large document is looked at and left where it is.
fn entities(file: &Found, places: &mut Places) -> Result<Document, Failure> {
    if file.stamp.len < stream::LARGE {
        return text(file).map(|text| Document::held(&file.origin, text));
    }
    let (survey, opened) = listed(file, |opened| {
        let survey = stream::survey(&Opened(opened), file.stamp.len)?;
        let len = survey.len;
        Ok((survey, len))
    })?;
    if let Some(offset) = survey.not_utf8 {
        let spots = locate(&Opened(&opened), offset, &BTreeSet::from([offset])).unwrap_or_default();
        return Err(not_utf8(file, offset, |problem| match spots.get(&offset) {
            Some(spot) => problem.spot(spot),
            None => problem,
        }));
    }
    let place = places.make(opened, file.real.clone());
    Ok(Document::elsewhere(&file.origin, Arc::new(place), survey.len, survey.sha256))
}

fn not_utf8(file: &Found, offset: u64, place: impl FnOnce(Diagnostic) -> Diagnostic) -> Failure {
    let problem = Diagnostic::error(&file.origin, format!("this is not UTF-8 from byte {offset} on"));
    Failure::Unusable(Box::new(place(problem).help("save the file as UTF-8")))
}

fn unreadable(file: &Found, error: &io::Error) -> Failure {
    let problem = Diagnostic::error(&file.origin, format!("this cannot be read: {error}"));
    Failure::Unusable(Box::new(problem.help("see that the sidecar's user may read it").passing()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::source::files::FileSource;

    fn source(dir: &Path) -> FileSource {
        FileSource::new(dir.join("policies"), None, FileSettings::default())
    }

    fn one_policy() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("policies")).unwrap();
        fs::write(dir.path().join("policies/a.cedar"), "permit (principal, action, resource);").unwrap();
        dir
    }

    #[test]
    fn a_file_that_keeps_changing_is_an_error_that_names_it() {
        let dir = one_policy();
        let tree = source(dir.path()).tree;
        let (_, result) = load_with(
            || Scan::of(&tree),
            |scan| {
                let mut file = fs::OpenOptions::new().append(true).open(dir.path().join("policies/a.cedar")).unwrap();
                file.write_all(b"\n").unwrap();
                read(scan, &FileSettings::default())
            },
        );
        let problems = result.unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].origin.ends_with("policies/a.cedar"), "{problems:?}");
        assert!(problems[0].message.contains("keeps changing"), "{problems:?}");
    }

    #[test]
    fn a_change_during_a_load_is_never_mixed_with_what_was_before() {
        let dir = one_policy();
        let (first, second) = (dir.path().join("policies/a.cedar"), dir.path().join("policies/b.cedar"));
        fs::write(&second, "// old").unwrap();
        let tree = source(dir.path()).tree;
        let attempts = Cell::new(0);
        let (_, result) = load_with(
            || Scan::of(&tree),
            |scan| {
                let attempt = read(scan, &FileSettings::default());
                if attempts.replace(attempts.get() + 1) == 0 {
                    fs::write(&first, "// new, longer than before, so that no clock is asked").unwrap();
                    fs::write(&second, "// new").unwrap();
                    fs::write(&second, "// newer").unwrap();
                }
                attempt
            },
        );
        let texts: Vec<_> = result.unwrap().bundle.policies.into_iter().map(|policy| policy.text).collect();
        assert_eq!(texts, ["// new, longer than before, so that no clock is asked", "// newer"]);
    }
}
