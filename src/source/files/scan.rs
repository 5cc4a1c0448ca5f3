//! Lists what is there: every file to read with its stamp, and every reason not to read it.
//!
//! Two scans that are the same mean that nothing changed in between, which is what both loading and
//! watching build on. Opens no file.

mod below;
mod strays;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::{self, Path, PathBuf};

use crate::config::near_path;
use crate::source::files::FileSettings;
use crate::source::files::Tree;
use crate::source::files::names::{self, Role};
use crate::source::files::resolve::{Resolved, resolve};
use crate::source::files::stamp::Stamp;
use crate::source::files::unread;
use below::{Looked, names_below};
use palisade_engine::model::Diagnostic;

/// How many files that are not read are named.
const MAX_UNREAD: usize = 100;

/// How many names are looked at in a directory that is skipped.
const MAX_SKIPPED: usize = 10_000;

/// How deep directories may be nested.
const MAX_DEPTH: usize = 32;

/// Which part of the bundle a root holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Policies, and at the top the schema.
    Policies,
    /// Entities.
    Entities,
    /// The directory that the policies are in: a schema may lie beside them. Nothing else counts there.
    Beside,
    /// A bundle directory: like `Beside`, and what its author may think is read of it is reported.
    Bundle,
    /// The directory that a single file of policies is in: its schema, of one file or several. Nothing else there is
    /// looked at.
    Around,
    /// A schema from elsewhere.
    Schema,
    /// Routes for the gateway endpoints.
    Routes,
    /// Files that are no part of a bundle, such as tests: they are watched, whatever their names, and not loaded.
    Other,
}

/// A directory or file that the source's configuration names.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) part: Part,
    pub(super) path: PathBuf,
    /// Whether it is an error that it does not exist.
    pub(super) required: bool,
}

impl Part {
    /// Whether it is a directory in which a schema may lie among much else.
    fn is_around_policies(self) -> bool {
        matches!(self, Self::Beside | Self::Bundle | Self::Around)
    }
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) role: Role,
    /// Its path under the root, with forward slashes.
    pub(super) inner: String,
    /// Its path as its author knows it.
    pub(super) origin: String,
    /// Its path without links, to open it by.
    pub(super) real: PathBuf,
    pub(super) stamp: Stamp,
}

impl Found {
    /// What its policies are named after.
    pub(super) fn stem(&self) -> &str {
        names::stem(&self.inner)
    }
}

/// What was there.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// The files to read, by role and path: the order of directories has no part in it.
    pub(super) files: Vec<Found>,
    /// Why the bundle cannot be read whole.
    pub(super) problems: Vec<Diagnostic>,
    /// The directories and files that were named and do not exist, though they must. Each is among the problems.
    pub(super) missing: Vec<String>,
    /// What the author should see.
    pub(super) warnings: Vec<Diagnostic>,
    /// The directories, by paths without links, in which a new name may matter.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// How many files are not read. Only the first of them are among the warnings.
    unread: usize,
    /// Places outside those, or with names that say nothing, where a change matters.
    pub(super) turns: BTreeSet<PathBuf>,
}

impl Scan {
    /// Lists everything under the roots.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut scan = Self::default();
        let roots = tree.roots();
        let has_schema_root = roots.list().iter().any(|root| root.part == Part::Schema);
        let named: Vec<PathBuf> = roots.list().iter().filter_map(|root| fs::canonicalize(&root.path).ok()).collect();
        for root in roots.list() {
            let mut walk = Walk {
                settings: &tree.settings,
                root,
                schema_here: !has_schema_root,
                named: &named,
                top: PathBuf::new(),
                within: Vec::new(),
                seen: 0,
                scan: &mut scan,
            };
            walk.root();
        }
        scan.files.sort_by(|a, b| (a.role, &a.inner).cmp(&(b.role, &b.inner)));
        scan.limit_total(tree.settings.max_total_bytes);
        if let Some(more) = scan.unread.checked_sub(MAX_UNREAD).filter(|more| *more > 0) {
            let message = format!("{more} more files are not read");
            scan.warnings.push(Diagnostic::error("policies", message).warning().help("move them away"));
        }
        scan
    }

    /// Whether nothing changed between the two.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files && self.problems == other.problems
    }

    /// Whether it does not say if there is a file with this origin: what it would be below was not listed.
    pub(super) fn hides(&self, origin: &str) -> bool {
        // the others may have kept the look from going on anywhere
        self.problems.iter().any(|problem| !problem.passing || is_below(origin, &problem.origin))
    }

    /// Whether a file with this origin would be in a directory that does not exist, or be one itself.
    pub(super) fn is_below_missing(&self, origin: &str) -> bool {
        self.missing.iter().any(|root| is_below(origin, root))
    }

    fn limit_total(&mut self, max: u64) {
        let total: u64 = self.files.iter().map(|file| file.stamp.len).sum();
        if let (true, Some(largest)) = (total > max, self.files.iter().max_by_key(|file| file.stamp.len)) {
            let message =
                format!("the files together have {total} bytes, more than the {max} allowed; this is the largest");
            let help = "raise the limit of the total, or serve fewer entities";
            self.problems.push(Diagnostic::error(&largest.origin, message).help(help));
        }
    }
}

/// Whether an origin is that of `place`, or of something in it.
fn is_below(origin: &str, place: &str) -> bool {
    let rest = origin.strip_prefix(place.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A walk through one root.
struct Walk<'a> {
    settings: &'a FileSettings,
    root: &'a Root,
    /// Whether the schema is the one beside the policies.
    schema_here: bool,
    /// All roots that are there, without links.
    named: &'a [PathBuf],
    /// The root without links.
    top: PathBuf,
    /// The directories that the walk is in, without links.
    within: Vec<PathBuf>,
    /// How many files and directories were met.
    seen: usize,
    scan: &'a mut Scan,
}

// === impl Walk ===

impl Walk<'_> {
    fn root(&mut self) {
        let given = &self.root.path;
        let absolute = match path::absolute(given) {
            Ok(absolute) => absolute,
            Err(error) => {
                return self.problem("", format!("this path cannot be used: {error}"), "name a directory or a file");
            }
        };
        match resolve(Path::new("/"), &absolute, &mut self.scan.turns) {
            Resolved::Found(real) => {
                // the root itself may be renamed away, and another put in its place
                self.scan.turns.insert(real.clone());
                self.top = real;
                self.found_root();
            }
            Resolved::Missing => self.missing_root(),
            Resolved::Loop => self.symlink_loop(""),
            Resolved::Unreadable(error) => self.unreadable("", &error),
        }
    }

    fn found_root(&mut self) {
        let top = self.top.clone();
        let metadata = match fs::metadata(&top) {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable("", &error),
        };
        if self.root.part.is_around_policies() {
            if metadata.is_dir() && self.schema_here {
                self.beside(&top);
            }
            if metadata.is_dir() && self.root.part == Part::Bundle {
                self.strays(&top);
            }
            return;
        }
        if metadata.is_dir() {
            let (files_before, problems_before) = (self.scan.files.len(), self.scan.problems.len());
            let warnings_before = self.scan.warnings.len();
            self.directory(&top, "");
            if self.scan.problems.len() > problems_before {
                // what is missing may be what could not be read
                return;
            }
            let found = &self.scan.files[files_before..];
            let instead = self.scan.warnings[warnings_before..].first().map(|unread| unread.origin.clone());
            let instead = instead.map(|name| format!(" (`{name}` is not read)")).unwrap_or_default();
            if self.root.part == Part::Policies
                && !self.settings.allow_empty_policies
                && !found.iter().any(|file| file.role == Role::Policies)
            {
                let message = format!(
                    "there is no policy here: no file is named `*.cedar` or `*.cedar.json`{instead}, and an empty policy set \
                     denies every request"
                );
                let help = "put at least one `.cedar` file here, name another directory with `--policies`, or set `load.allow_empty_policies: true`";
                self.problem("", message, help);
            } else if self.root.part == Part::Routes && found.is_empty() {
                let message =
                    format!("there is no route here: no file is named `*.yaml`, `*.yml` or `*.json`{instead}");
                self.problem("", message, "name the file or directory that holds the routes");
            } else if self.root.part == Part::Schema && found.is_empty() {
                let message = "there is no schema here: no file is named `*.cedarschema` or `*.cedarschema.json`";
                self.problem("", message.to_owned(), "name the file or directory that holds the schema");
            }
            return;
        }
        let role = match self.root.part {
            Part::Policies => Role::Policies,
            Part::Entities => Role::Entities,
            Part::Schema | Part::Beside | Part::Bundle | Part::Around => Role::Schema,
            Part::Routes => Role::Routes,
            Part::Other => Role::Other,
        };
        // a file that is named itself may have any name
        let name = self.root.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        self.file(role, &name, top, &metadata);
    }

    /// Looks for a schema in a directory that holds much else: it is not watched, but for the files themselves and for
    /// the usual names. Another name is noticed by the next look.
    fn beside(&mut self, top: &Path) {
        self.scan.turns.extend(names::SCHEMA_NAMES.map(|name| top.join(name)));
        // what cannot be listed holds nothing that could be read
        let mut names: Vec<_> = fs::read_dir(top).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
        names.sort_unstable();
        self.within.push(top.to_owned());
        for name in names {
            let shown = name.to_string_lossy();
            if names::role(&shown) != Some(Role::Schema) || fs::metadata(top.join(&name)).is_ok_and(|m| m.is_dir()) {
                continue;
            }
            self.scan.turns.insert(top.join(&name));
            let is_alone = self.root.part != Part::Around;
            if let Some(known) = self.scan.files.iter().find(|file| is_alone && file.role == Role::Schema) {
                let message = format!("this schema and `{}` are both there", known.origin);
                self.problem(&shown, message, "keep one of them, or name one with `--schema`");
                continue;
            }
            self.entry(top, "", &name);
        }
        self.within.pop();
    }

    fn missing_root(&mut self) {
        if !self.root.required {
            return;
        }
        let (what, help) = match self.root.part {
            Part::Policies => {
                ("policies", "create it with at least one `.cedar` file, or name another with `--policies`")
            }
            Part::Entities => (
                "entities",
                "create it or mount it, name another with `--entities`, or set `load.allow_empty_entities: true` if none exist",
            ),
            Part::Schema | Part::Beside | Part::Bundle | Part::Around => {
                ("the schema", "create it, or name another with `--schema`")
            }
            Part::Routes => ("the routes", "create it, or name another with `--routes`"),
            Part::Other => ("files", "create it"),
        };
        let message = format!("this should hold {what}, but it does not exist{}", near_path(&self.root.path));
        // it may be a mount that was lost, or comes late
        self.passing("", message, help);
        self.scan.missing.push(self.origin(""));
    }

    fn directory(&mut self, real: &Path, inner: &str) {
        if self.within.iter().any(|outer| outer == real) {
            return self.symlink_loop(inner);
        }
        if self.within.len() > MAX_DEPTH {
            let message = format!("directories are nested deeper than {MAX_DEPTH} here");
            return self.problem(inner, message, "move the files further up");
        }
        if !self.count(inner) {
            return;
        }
        self.scan.dirs.insert(real.to_owned());
        let listed: io::Result<Vec<_>> =
            fs::read_dir(real).and_then(|entries| entries.map(|e| Ok(e?.file_name())).collect());
        let mut names = match listed {
            Ok(names) => names,
            Err(error) => return self.unreadable(inner, &error),
        };
        // problems come in the same order every time
        names.sort_unstable();
        self.within.push(real.to_owned());
        for name in names {
            self.entry(real, inner, &name);
        }
        self.within.pop();
    }

    fn entry(&mut self, dir: &Path, inner: &str, name: &OsStr) {
        let shown = name.to_string_lossy();
        let at_top = inner.is_empty();
        if names::is_skipped(&shown) {
            return self.skipped(&dir.join(name), inner, &shown);
        }
        if at_top && matches!(self.root.part, Part::Policies | Part::Routes) && shown == "tests" {
            return self.tests(&dir.join(name), "tests");
        }
        let inner = if at_top { shown.clone().into_owned() } else { format!("{inner}/{shown}") };
        let role = self.role(&shown, at_top);
        let path = dir.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(&inner, &error),
        };
        let (real, metadata) = if metadata.is_symlink() {
            match self.follow(dir, name, &inner, role) {
                Some(followed) => followed,
                None => return,
            }
        } else {
            (path, metadata)
        };
        if (metadata.is_dir() || role.is_some()) && name.to_str().is_none() {
            let message = "the name is not UTF-8, so that no policy or message could name it";
            return self.problem(&inner, message.to_owned(), "rename it");
        }
        if metadata.is_dir() {
            self.directory(&real, &inner);
        } else if let Some(role) = role {
            self.file(role, &inner, real, &metadata);
        } else {
            self.unread(&shown, &inner);
        }
    }

    /// Reports a directory that is skipped for its name, if it has files that would be read. What is hidden by a
    /// dot is meant to be: volumes and version control keep whole trees there.
    fn skipped(&mut self, path: &Path, inner: &str, name: &str) {
        if names::is_hidden(name) || !fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            return;
        }
        let inner = if inner.is_empty() { name.to_owned() } else { format!("{inner}/{name}") };
        let (mut left, mut first) = (MAX_SKIPPED, None);
        let looked = names_below(path, "", &mut left, &mut |name, below| {
            first = self.role(name, false).map(|_| below.to_owned());
            first.is_none()
        });
        if let Looked::Stopped(below) = looked {
            let place = if below.is_empty() { inner } else { format!("{inner}/{below}") };
            return self.stopped(&place);
        }
        let Some(file) = first else { return };
        self.scan.unread += 1;
        if self.scan.unread <= MAX_UNREAD {
            let message = format!(
                "this directory is not read, since editors use such names for their own files; `{file}` is in it"
            );
            let help = "rename it, move it away, or put a dot before its name";
            self.scan.warnings.push(Diagnostic::error(self.origin(&inner), message).warning().help(help));
        }
    }

    /// Names the policies that lie among the tests: nothing there decides, and a `forbid` would be missed.
    fn tests(&mut self, dir: &Path, inner: &str) {
        if self.root.part != Part::Policies || inner.matches('/').count() > MAX_DEPTH {
            return;
        }
        // a directory that cannot be listed is reported by `palisade test`, which reads the tests
        let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let inner = format!("{inner}/{shown}");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.tests(&entry.path(), &inner);
            } else if matches!(names::role(&shown), Some(Role::Policies | Role::Links | Role::Rules | Role::Schema)) {
                self.unread(&shown, &inner);
            }
        }
    }

    /// Reports a file that is not read: its author may think that it counts.
    fn unread(&mut self, name: &str, inner: &str) {
        // whatever else is where the schema was named is no part of the bundle
        let elsewhere = self.root.part == Part::Schema || self.root.part.is_around_policies();
        if names::is_beside(name) || elsewhere || self.is_named(&self.top.join(inner)) {
            return;
        }
        let (message, help) = unread::why(self.root.part, name, inner, self.schema_here);
        self.warn_unread(inner, message, &help);
    }

    fn warn_unread(&mut self, inner: &str, message: &str, help: &str) {
        self.scan.unread += 1;
        if self.scan.unread <= MAX_UNREAD {
            self.scan.warnings.push(Diagnostic::error(self.origin(inner), message).warning().help(help));
        }
    }

    /// What a file of this name is for in this root.
    fn role(&self, name: &str, at_top: bool) -> Option<Role> {
        if self.root.part == Part::Other {
            return (!names::is_skipped(name)).then_some(Role::Other);
        }
        if self.root.part == Part::Routes {
            return names::is_routes(name).then_some(Role::Routes);
        }
        if self.root.part == Part::Entities {
            return names::role_among_entities(name).filter(|role| *role == Role::Entities);
        }
        let role = names::role(name)?;
        let read = match (self.root.part, role) {
            (Part::Policies, Role::Schema) => self.schema_here && at_top,
            (Part::Policies, Role::Policies | Role::Links | Role::Rules) => true,
            (Part::Schema | Part::Beside | Part::Bundle | Part::Around, Role::Schema) => at_top,
            _ => false,
        };
        read.then_some(role)
    }

    /// Where a link leads, if it may be followed.
    fn follow(&mut self, dir: &Path, name: &OsStr, inner: &str, role: Option<Role>) -> Option<(PathBuf, Metadata)> {
        let real = match resolve(dir, Path::new(name), &mut self.scan.turns) {
            Resolved::Found(real) => real,
            Resolved::Missing => {
                // a link of another name concerns none until it leads to a directory
                if role.is_some() {
                    self.problem(inner, "the link leads to nothing".to_owned(), "remove it, or restore what it led to");
                }
                return None;
            }
            Resolved::Loop => {
                self.symlink_loop(inner);
                return None;
            }
            Resolved::Unreadable(error) => {
                self.unreadable(inner, &error);
                return None;
            }
        };
        let metadata = match fs::metadata(&real) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.unreadable(inner, &error);
                return None;
            }
        };
        // what is not loaded may be anywhere
        if self.root.part != Part::Other && !real.starts_with(&self.top) {
            if role.is_some() || metadata.is_dir() {
                let message = format!("the link leads out of `{}`, to `{}`", self.root.path.display(), real.display());
                self.problem(inner, message, "copy what it leads to, or name that directory itself");
            } else {
                self.unread(&name.to_string_lossy(), inner);
            }
            return None;
        }
        // the target may have any name, so that its own name does not show that it matters
        self.scan.turns.insert(real.clone());
        Some((real, metadata))
    }

    fn file(&mut self, role: Role, inner: &str, real: PathBuf, metadata: &Metadata) {
        if !metadata.is_file() {
            let message = format!("this is {}, not a regular file", kind(metadata.file_type()));
            return self.problem(inner, message, "remove it, or rename it so that it is not read");
        }
        if !self.count(inner) {
            return;
        }
        let max = self.settings.max_file_bytes;
        if metadata.len() > max {
            let message = format!("the file has {} bytes, more than the {max} allowed", metadata.len());
            return self.problem(inner, message, "raise the limit, or split the file");
        }
        let origin = self.origin(inner);
        self.scan.files.push(Found { role, inner: inner.to_owned(), origin, real, stamp: Stamp::of(metadata) });
    }

    /// Counts a file or directory; false if there are too many, which is said once.
    fn count(&mut self, inner: &str) -> bool {
        let max = self.settings.max_files;
        self.seen += 1;
        if self.seen == max + 1 {
            let message = format!("there are more than {max} files and directories; those from here on are not read");
            self.problem(inner, message, "raise the limit, or put many entities into one NDJSON file");
        }
        self.seen <= max
    }

    fn symlink_loop(&mut self, inner: &str) {
        self.problem(inner, "the link leads back to where it is: a symlink loop".to_owned(), "remove the link");
    }

    fn unreadable(&mut self, inner: &str, error: &io::Error) {
        self.passing(
            inner,
            format!("this cannot be read: {error}"),
            "see that it exists and that the sidecar's user may read it",
        );
    }

    /// A problem that may pass without a change of the files: a disk, a mount.
    fn passing(&mut self, inner: &str, message: String, help: &str) {
        let problem = Diagnostic::error(self.origin(inner), message).help(help).passing();
        self.scan.problems.push(problem);
    }

    fn problem(&mut self, inner: &str, message: String, help: &str) {
        let problem = Diagnostic::error(self.origin(inner), message).help(help);
        self.scan.problems.push(problem);
    }

    fn origin(&self, inner: &str) -> String {
        let root = self.root.path.display().to_string();
        // a root that is a file is named by its whole path
        if inner.is_empty() || self.within.is_empty() {
            return root;
        }
        format!("{}/{inner}", root.trim_end_matches('/'))
    }
}

fn kind(file_type: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return "a pipe";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_block_device() || file_type.is_char_device() {
            return "a device";
        }
    }
    if file_type.is_dir() { "a directory" } else { "something else" }
}
