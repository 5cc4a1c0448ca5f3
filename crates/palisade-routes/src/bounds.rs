//! What routes may cost: texts are short and multiply. Each match of a route stands under each prefix, for each host of
//! its file, with everything that the file says of all its routes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::read::{self, Entry, Findings, Head};
use palisade_engine::model::Diagnostic;

/// Bytes of all texts.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// Routes, each match under each prefix being one.
pub(super) const MAX_ROUTES: usize = 50_000;

/// Bytes of all routes as they are compiled, about.
const MAX_COMPILED_BYTES: usize = 128 << 20;

/// Hosts that routes are for.
const MAX_HOSTS: usize = 1_000;

/// Routes of all hosts together: one that is for two of them counts twice.
const MAX_PLACES: usize = 200_000;

/// Routes for one method and path, which `when` distinguishes.
pub(super) const MAX_SAME: usize = 256;

/// Conditions of one `when`.
pub(super) const MAX_CONDITIONS: usize = 64;

/// Paths that the words of one pattern stand for, such as four for `/{a:x|y}/{b:x|y}`.
pub(super) const MAX_WORDINGS: usize = 1_000;

/// Methods of one match.
pub(super) const MAX_METHODS: usize = 64;

/// Nodes of the trees in which paths are looked up, of all hosts together.
pub(super) const MAX_NODES: usize = 1_000_000;

/// Errors that are reported, and warnings: no one reads more, and the others are counted.
pub(super) const MAX_PROBLEMS: usize = 100;

/// Findings, up to a bound; the others are counted.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<Diagnostic>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Diagnostic) {
        if self.listed.len() < MAX_PROBLEMS {
            self.listed.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// How many there are, listed or not.
    pub(super) fn len(&self) -> usize {
        self.listed.len() + self.more
    }

    /// Takes out what came after the first `n`, as far as it is listed.
    pub(super) fn split_off(&mut self, n: usize) -> Vec<Diagnostic> {
        self.more = n.saturating_sub(self.listed.len());
        self.listed.split_off(n.min(self.listed.len()))
    }

    /// Adds those of another list, each as `place` has it.
    pub(super) fn absorb(&mut self, other: Self, place: impl FnMut(Diagnostic) -> Diagnostic) {
        self.extend(other.listed.into_iter().map(place));
        self.more += other.more;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// All of them, and how many more there are.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if let Some(last) = self.listed.last().filter(|_| self.more > 0) {
            let mut more = Diagnostic::error("routes", format!("and {} more findings of this kind", self.more));
            more.severity = last.severity;
            self.listed.push(more);
        }
        self.listed
    }
}

impl Extend<Diagnostic> for Problems {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, problems: T) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

/// Says that there are more routes than there may be.
pub(super) fn too_many_routes(origin: &str) -> Diagnostic {
    Diagnostic::error(origin, format!("there are more than {MAX_ROUTES} routes, up to here"))
        .help("each match under each prefix is one; let captures stand for what only differs in a segment")
}

/// Reads all files.
///
/// # Errors
/// If they are, or would become, larger than they may be.
pub(super) fn read_all(files: &[(String, String)], findings: &mut Findings) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut text, mut sizes) = (0_usize, Sizes::default());
    for (origin, content) in files {
        text = text.saturating_add(content.len());
        if text > MAX_TEXT_BYTES {
            let message = format!("all routes together have more than {MAX_TEXT_BYTES} bytes, up to here");
            return Err(vec![
                Diagnostic::error(origin, message).help("a file of routes needs no more than its routes"),
            ]);
        }
        let read = read::read(origin, content, findings);
        for entry in &read {
            sizes.add(entry).map_err(|problem| vec![problem])?;
        }
        entries.extend(read);
    }
    sizes.places(&entries).map_err(|problem| vec![problem])?;
    Ok(entries)
}

/// What has been read, counted.
#[derive(Default)]
struct Sizes {
    routes: usize,
    bytes: usize,
    /// The file of the last route, and the bytes of what it says of all its routes.
    head: Option<(Arc<Head>, usize)>,
}

impl Sizes {
    fn add(&mut self, entry: &Entry) -> Result<(), Diagnostic> {
        let routes = routes_of(entry);
        self.routes = self.routes.saturating_add(routes);
        if self.routes > MAX_ROUTES {
            return Err(too_many_routes(entry.place.origin()));
        }
        let of_head = match &self.head {
            Some((head, bytes)) if Arc::ptr_eq(head, &entry.file) => *bytes,
            _ => {
                let bytes = written(&entry.file.defaults);
                self.head = Some((entry.file.clone(), bytes));
                bytes
            }
        };
        let bytes = written(&entry.raw).saturating_add(of_head);
        self.bytes = self.bytes.saturating_add(bytes.saturating_mul(routes));
        if self.bytes > MAX_COMPILED_BYTES {
            let message = format!("the routes up to here would take more than {MAX_COMPILED_BYTES} bytes");
            let help = "a route counts for each of its matches under each prefix, with the `defaults` of its file";
            return Err(entry.place.error(message).help(help));
        }
        Ok(())
    }

    /// Counts the routes of every host.
    fn places(&self, entries: &[Entry]) -> Result<(), Diagnostic> {
        let mut hosts: BTreeSet<&str> = BTreeSet::new();
        for entry in entries {
            hosts.extend(entry.file.hosts.iter().map(String::as_str));
            if hosts.len() > MAX_HOSTS {
                let message = format!("there are more than {MAX_HOSTS} hosts, up to this file");
                return Err(Diagnostic::error(entry.place.origin(), message).help("`*.example.com` is one host"));
            }
        }
        let mut places = 0_usize;
        let mut last: Option<(&Arc<Head>, usize)> = None;
        for entry in entries {
            let of_file = match last {
                Some((head, of_file)) if Arc::ptr_eq(head, &entry.file) => of_file,
                _ if entry.file.hosts.is_empty() => hosts.len() + 1,
                _ => entry.file.hosts.iter().map(|host| covered(host, &hosts)).sum(),
            };
            last = Some((&entry.file, of_file));
            places = places.saturating_add(of_file.saturating_mul(routes_of(entry)));
            if places > MAX_PLACES {
                let message = format!("the routes of all hosts together are more than {MAX_PLACES}, up to this file");
                let help = "a route counts for each host that it is for; `*.example.com` is one host";
                return Err(Diagnostic::error(entry.place.origin(), message).help(help));
            }
        }
        Ok(())
    }
}

fn routes_of(entry: &Entry) -> usize {
    entry.raw.matches.0.len().saturating_mul(entry.file.prefixes.len())
}

/// Of how many hosts the table has routes for `host`.
fn covered(host: &str, hosts: &BTreeSet<&str>) -> usize {
    match host.strip_prefix('*') {
        Some(ending) => hosts.iter().filter(|other| other.trim_start_matches('*').ends_with(ending)).count(),
        None => 1,
    }
}

/// How many bytes something takes where it is written out.
fn written(value: &impl std::fmt::Debug) -> usize {
    struct Counter(usize);
    impl std::fmt::Write for Counter {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // it never fails
    let _ = write!(counter, "{value:?}");
    counter.0
}
