//! The file source against a real file system.

mod large;
mod layouts;
mod load;
mod picture;
mod refuse;
mod watch;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::source::conformance::{self, Fixture};
use crate::source::{FileSettings, FileSource, Roots, Source};
use palisade_engine::model::{Bundle, Diagnostic};

const POLICY: &str = "permit (principal, action, resource);";

/// A bundle directory with one policy.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("policies/base.cedar", POLICY);
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn remove_file(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn link(&self, target: impl AsRef<Path>, at: &str) {
        std::os::unix::fs::symlink(target, self.path(at)).unwrap();
    }

    fn files(&self, settings: FileSettings) -> FileSource {
        FileSource::new(self.path("policies"), Some(self.path("entities")), settings)
    }

    /// The same with more roots.
    fn files_with(&self, settings: FileSettings, more: impl FnOnce(Roots) -> Roots) -> FileSource {
        let entities = (self.path("entities"), settings.entities_required);
        let roots = Roots::of_policies(self.path("policies")).with_entities(entities.0, entities.1);
        FileSource::of(more(roots), settings)
    }

    fn load(&self) -> Result<Bundle, Vec<Diagnostic>> {
        self.files(settings()).load().map(|loaded| loaded.bundle)
    }
}

impl Fixture for Place {
    fn source(&self) -> Box<dyn Source> {
        Box::new(self.files(settings()))
    }

    fn put(&self, name: &str, text: &str) {
        self.write(&format!("policies/{name}.cedar"), text);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(&format!("policies/{name}.cedar"))).unwrap();
    }

    fn break_twice(&self) {
        self.write("policies/broken.cedar", b"// \xff");
        self.link("nowhere", "policies/dangling.cedar");
    }

    fn mend(&self) {
        self.remove("broken");
        self.remove("dangling");
    }
}

/// Quick to notice by notification, and never by looking, so that each is tested for itself.
fn settings() -> FileSettings {
    FileSettings {
        quiet: Duration::from_millis(20),
        poll: Duration::from_secs(3_600),
        entities_required: false,
        vanish_quiet: Duration::from_millis(40),
        ..FileSettings::default()
    }
}

/// Quick to notice by looking, and never by notification.
fn polling() -> FileSettings {
    FileSettings { poll: Duration::from_millis(20), notifications: false, ..settings() }
}

/// The same place, seen by looking only.
struct Polled(Place);

impl Fixture for Polled {
    fn source(&self) -> Box<dyn Source> {
        Box::new(self.0.files(polling()))
    }

    fn put(&self, name: &str, text: &str) {
        self.0.put(name, text);
    }

    fn remove(&self, name: &str) {
        self.0.remove(name);
    }

    fn break_twice(&self) {
        self.0.break_twice();
    }

    fn mend(&self) {
        self.0.mend();
    }
}

#[test]
fn conforms() {
    conformance::run(Place::new);
}

#[test]
fn conforms_without_notifications() {
    conformance::run(|| Polled(Place::new()));
}
