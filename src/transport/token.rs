//! The admin API's bearer tokens: several at once, so that one can be replaced while both are good.
//!
//! They come from the configuration, which never changes, and from a file, one a line, which is read again when it
//! changes. A file that is empty, gone, or looks half-written keeps the tokens that were good, and says so. A last line
//! without a newline may be half a token: it counts once the file was quiet, and so does a file that lost a token.
//! Here they are known by their SHA-256; comparing takes the same time for every wrong token.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Instant;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::config::{AdminSettings, Secret};
use crate::identity::{LOOK, Watched};
use crate::telemetry::{IdentitySource, Metrics, ReloadResult, Work, events, start_thread, supervised};

/// The largest file that is read.
const MAX_FILE_BYTES: usize = 64 << 10;

/// The permission of every user to read a file.
const READ_BY_ALL: u32 = 0o004;

type Hash = [u8; 32];

/// What the admin API asks for.
#[derive(Debug)]
pub struct AdminTokens {
    fixed: Vec<Hash>,
    from_file: ArcSwap<Vec<Hash>>,
    /// Why the file is not what counts.
    problem: Mutex<Option<String>>,
    /// Why the file as it is now does not count yet.
    held: Mutex<Option<String>>,
    /// The file is to be read now.
    wanted: AtomicBool,
    looker: OnceLock<Thread>,
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

impl AdminTokens {
    /// The tokens of the configuration and of its file, which is looked at until this is dropped. `None` where
    /// there are none, so that nothing is asked for.
    ///
    /// # Errors
    /// If the file cannot be used, or the thread that looks at it not started.
    pub fn start(settings: &AdminSettings, metrics: &Arc<Metrics>) -> Result<Option<Arc<Self>>, String> {
        if settings.token_file.is_none() && settings.tokens.is_empty() {
            return Ok(None);
        }
        let tokens = Arc::new(Self {
            fixed: settings.tokens.iter().map(|token| hash(token.expose())).collect(),
            from_file: ArcSwap::default(),
            problem: Mutex::default(),
            held: Mutex::default(),
            wanted: AtomicBool::new(false),
            looker: OnceLock::new(),
        });
        if let Some(path) = &settings.token_file {
            let mut file = TokenFile::new(path, metrics.clone());
            let loaded = file.watched.load_first().and_then(|bytes| file.read(&bytes));
            let good = loaded.map_err(|problem| format!("{}: {problem}", path.display()))?;
            file.put(&tokens, good);
            let weak = Arc::downgrade(&tokens);
            let work = supervised("palisade-admin-tokens", metrics.clone(), move || file.run(&weak));
            let looker = start_thread("palisade-admin-tokens", None, work)
                .map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
            let _ = tokens.looker.set(looker.thread().clone());
        }
        Ok(Some(tokens))
    }

    /// Whether `offered` is one of the tokens. All are compared, whole, whichever it is.
    pub(super) fn matches(&self, offered: &str) -> bool {
        let offered = hash(offered);
        let from_file = self.from_file.load();
        let found = self.fixed.iter().chain(from_file.iter()).fold(0, |found, known| {
            let difference = known.iter().zip(&offered).fold(0, |difference, (a, b)| difference | (a ^ b));
            found | u8::from(std::hint::black_box(difference) == 0)
        });
        std::hint::black_box(found) != 0
    }

    /// Reads the file now, as after SIGHUP.
    pub fn reload(&self) {
        self.wanted.store(true, Ordering::Release);
        if let Some(looker) = self.looker.get() {
            looker.unpark();
        }
    }

    /// Why tokens in the file do not count, if so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.lock_problem().clone().or_else(|| self.lock_held().clone())
    }

    fn lock_held(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file, as the thread that looks at it knows it.
struct TokenFile {
    watched: Watched,
    metrics: Arc<Metrics>,
    from: String,
    /// The tokens that count.
    good: HashSet<String>,
    /// What was read and may be half-written: it counts once the file was quiet.
    waiting: Option<HashSet<String>>,
    /// Its permissions, if they let every user read it and that was reported.
    exposed: Option<u32>,
}

impl TokenFile {
    fn new(path: &Path, metrics: Arc<Metrics>) -> Self {
        Self {
            watched: Watched::new(path.to_owned(), MAX_FILE_BYTES),
            metrics,
            from: path.display().to_string(),
            good: HashSet::new(),
            waiting: None,
            exposed: None,
        }
    }

    fn run(&mut self, tokens: &Weak<AdminTokens>) {
        while let Some(tokens) = tokens.upgrade() {
            let metrics = self.metrics.clone();
            let under_way = metrics.works.begin(Work::AdminTokens);
            self.obey(&tokens, Instant::now());
            drop(under_way);
            *tokens.lock_held() = self.held();
            drop(tokens);
            thread::park_timeout(LOOK);
        }
    }

    /// Looks as the signal asked for, if it did. While the file is written, the wish waits until it is closed.
    fn obey(&mut self, tokens: &AdminTokens, now: Instant) {
        let wanted = !self.watched.is_open_for_writing() && tokens.wanted.swap(false, Ordering::AcqRel);
        self.look(tokens, wanted, now);
    }

    /// One look. The file was written before the signal that asks for a look, so then a lost token counts at once; a
    /// last line without its end does not, even on a signal.
    fn look(&mut self, tokens: &AdminTokens, wanted: bool, now: Instant) {
        let read = if wanted { Some(self.watched.load(now)) } else { self.watched.look(now) };
        let Some(read) = read else {
            // what is waiting was read from the file as it still is, or else the file is not quiet
            if self.watched.is_quiet(now)
                && let Some(found) = self.waiting.take()
            {
                self.put(tokens, found);
            }
            return;
        };
        self.waiting = None;
        match read.and_then(|bytes| self.read(&bytes).map(|found| (found, bytes.ends_with(b"\n")))) {
            Err(problem) => self.refuse(tokens, &problem),
            Ok((found, whole)) => {
                let torn = !whole && found != self.good;
                let lost = !wanted && !self.good.is_subset(&found);
                if (torn || lost) && !self.watched.is_quiet(now) {
                    self.waiting = Some(found);
                } else {
                    self.put(tokens, found);
                }
            }
        }
    }

    fn held(&self) -> Option<String> {
        let waiting = "it may be half-written, and counts when it has been the same for 2 s";
        let why = self.watched.held().or_else(|| self.waiting.as_ref().map(|_| waiting))?;
        Some(format!("`admin.token_file` {}: {why}; the tokens that were read before stay active", self.from))
    }

    /// The tokens of a file, or what is wrong with it. Nothing of the file is quoted.
    fn read(&self, bytes: &[u8]) -> Result<HashSet<String>, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut found = HashSet::new();
        for (i, line) in text.lines().enumerate() {
            let (n, line) = (i + 1, line.trim());
            if line.is_empty() {
                continue;
            }
            Secret::token(line).map_err(|problem| format!("line {n}: {problem}; write one token a line"))?;
            if self.good.iter().any(|known| known.len() > line.len() && known.starts_with(line)) {
                return Err(format!("line {n} is the beginning of a token that counts: the file looks half-written"));
            }
            found.insert(line.to_owned());
        }
        if found.is_empty() { Err("it holds no token; write one token a line".to_owned()) } else { Ok(found) }
    }

    fn put(&mut self, tokens: &AdminTokens, found: HashSet<String>) {
        let result = if found == self.good { ReloadResult::Unchanged } else { ReloadResult::Good };
        tokens.from_file.store(Arc::new(found.iter().map(|token| hash(token)).collect()));
        self.good = found;
        self.tell_of_readers();
        let repaired = tokens.lock_problem().take().is_some();
        let (source, from) = (IdentitySource::AdminTokens, &*self.from);
        events::IdentityRenewed { source, from, result, repaired }.emit(&self.metrics);
    }

    /// Reports once a file that every user of the machine may read: a client with a token can change every policy.
    fn tell_of_readers(&mut self) {
        let mode = fs::metadata(self.watched.path()).map(|found| found.permissions().mode() & 0o7777).ok();
        let exposed = mode.filter(|mode| mode & READ_BY_ALL != 0);
        if let Some(mode) = exposed.filter(|_| exposed != self.exposed) {
            let from = &self.from;
            tracing::warn!(
                "`admin.token_file` {from} can be read by every user of this machine (mode {mode:04o}), and who has a token \
                 can change every policy: `chmod 600 {from}`, or 640 with a group of the sidecar's own"
            );
        }
        self.exposed = exposed;
    }

    fn refuse(&self, tokens: &AdminTokens, problem: &str) {
        let told = format!("`admin.token_file` {}: {problem}; the tokens that were read before stay active", self.from);
        let news = tokens.lock_problem().replace(told.clone()).as_deref() != Some(told.as_str());
        events::IdentityRefused { source: IdentitySource::AdminTokens, from: &self.from, problem, news }
            .emit(&self.metrics);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::identity::QUIET;
    use crate::telemetry::logging::capture;

    const OLD: &str = "correct-horse-battery-staple";
    const NEW: &str = "another-horse-another-battery";

    struct Fixture {
        dir: tempfile::TempDir,
        file: TokenFile,
        tokens: AdminTokens,
        now: Instant,
    }

    impl Fixture {
        fn new(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("tokens");
            fs::write(&path, text).unwrap();
            let mut file = TokenFile::new(&path, Arc::new(Metrics::new().unwrap()));
            let tokens = AdminTokens {
                fixed: vec![hash("always-the-same-token")],
                from_file: ArcSwap::default(),
                problem: Mutex::default(),
                held: Mutex::default(),
                wanted: AtomicBool::new(false),
                looker: OnceLock::new(),
            };
            let now = Instant::now();
            let good = file.watched.load(now).and_then(|bytes| file.read(&bytes)).unwrap();
            file.put(&tokens, good);
            Self { dir, file, tokens, now }
        }

        /// Writes the file, lets time pass, and says which of the two tokens count and whether it is degraded.
        fn after(&mut self, write: impl Fn(&Path), wait: Duration) -> (bool, bool, bool) {
            write(&self.dir.path().join("tokens"));
            let end = self.now + wait;
            while self.now < end {
                self.now += LOOK;
                self.file.look(&self.tokens, false, self.now);
            }
            self.counts()
        }

        fn counts(&self) -> (bool, bool, bool) {
            assert!(self.tokens.matches("always-the-same-token"));
            (self.tokens.matches(OLD), self.tokens.matches(NEW), self.tokens.problem().is_some())
        }
    }

    fn both() -> String {
        format!("{OLD}\n{NEW}\n")
    }

    #[test]
    fn a_file_that_everyone_can_read_is_told_once() {
        let mut fixture = Fixture::new(OLD);
        let path = fixture.dir.path().join("tokens");
        let mut log_with = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            capture("info", || fixture.file.tell_of_readers())
        };
        for (mode, told) in
            [(0o600, None), (0o640, None), (0o644, Some("mode 0644")), (0o644, None), (0o604, Some("mode 0604"))]
        {
            let log = log_with(mode);
            match told {
                Some(words) => assert!(log.contains("WARN") && log.contains(words), "{mode:o}: {log}"),
                None => assert_eq!(log, "", "{mode:o}"),
            }
        }
    }

    #[test]
    fn a_rotation() {
        let mut fixture = Fixture::new(OLD);
        assert_eq!(fixture.counts(), (true, false, false));
        let soon = LOOK * 2;
        assert_eq!(fixture.after(|path| fs::write(path, both()).unwrap(), soon), (true, true, false));
        // what is taken away may still be on its way
        assert_eq!(fixture.after(|path| fs::write(path, format!("\n{NEW}\r\n\n")).unwrap(), soon), (true, true, false));
        assert_eq!(fixture.after(|_| (), Duration::from_secs(5)), (false, true, false));
        for near in ["", &NEW[1..], &format!("{NEW}x"), &NEW.to_uppercase(), OLD] {
            assert!(!fixture.tokens.matches(near), "{near}");
        }
    }

    #[test]
    fn a_file_that_is_not_valid_keeps_the_last_good() {
        let mut fixture = Fixture::new(&both());
        let long = Duration::from_secs(5);
        let write = |text: &'static [u8]| move |path: &Path| fs::write(path, text).unwrap();
        let half = both().into_bytes()[..20].to_vec();
        let but_one = both().into_bytes()[..both().len() - 2].to_vec();
        let halves = [half, but_one].map(|bytes| &*Box::leak(bytes.into_boxed_slice()));
        let wrong: [&[u8]; 7] =
            [b"", b"\n\n", b"short", b"two words are no token", b"\xff\xfe\xfd", halves[0], halves[1]];
        for text in wrong {
            assert_eq!(fixture.after(write(text), long), (true, true, true), "{text:?}");
            let problem = fixture.tokens.problem().unwrap();
            assert!(problem.contains("admin.token_file") && !problem.contains("short") && !problem.contains("horse"));
        }
        assert_eq!(fixture.after(|path| fs::remove_file(path).unwrap(), long), (true, true, true));
        assert_eq!(fixture.after(|path| fs::create_dir(path).unwrap(), long), (true, true, true));
        let mended = |path: &Path| {
            fs::remove_dir(path).unwrap();
            fs::write(path, NEW).unwrap();
        };
        assert_eq!(fixture.after(mended, long), (false, true, false));
        // each at least once: what cannot be read is tried again
        assert!(fixture.file.metrics.identity_reloads(IdentitySource::AdminTokens, ReloadResult::Bad).get() >= 9);
    }

    #[test]
    fn a_signal_reads_at_once() {
        let mut fixture = Fixture::new(OLD);
        fs::write(fixture.dir.path().join("tokens"), format!("{NEW}\n")).unwrap();
        fixture.file.look(&fixture.tokens, true, fixture.now);
        assert_eq!(fixture.counts(), (false, true, false));
        fs::write(fixture.dir.path().join("tokens"), "").unwrap();
        fixture.file.look(&fixture.tokens, true, fixture.now);
        assert_eq!(fixture.counts(), (false, true, true));
    }

    /// A signal that comes while the file is written takes effect when it is closed, once and whole.
    #[test]
    fn a_signal_waits_for_the_writer() {
        let fixture = Fixture::new(&both());
        let (path, tokens, mut file) = (fixture.dir.path().join("tokens"), Arc::new(fixture.tokens), fixture.file);
        let mut writer = fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        let counts = || (tokens.matches(OLD), tokens.matches(NEW));
        tokens.reload();
        for line in [NEW, "a-third-token-that-is-long-enough"] {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
            file.obey(&tokens, Instant::now());
            if !file.watched.is_open_for_writing() {
                // a file system without leases
                return;
            }
            assert_eq!(counts(), (true, true), "{line}");
        }
        drop(writer);
        file.obey(&tokens, Instant::now());
        assert_eq!(counts(), (false, true));
    }

    /// A new token comes in two pieces, with and without a signal in between.
    #[test]
    fn half_of_a_new_token_is_not_good() {
        let half = &NEW[..18];
        for (signal, before, first, then) in [
            (false, format!("{OLD}\n"), format!("{OLD}\n{half}"), format!("{OLD}\n{NEW}\n")),
            (true, format!("{OLD}\n"), format!("{OLD}\n{half}"), format!("{OLD}\n{NEW}\n")),
            (false, OLD.to_owned(), half.to_owned(), format!("{NEW}\n{OLD}")),
            (true, OLD.to_owned(), half.to_owned(), format!("{NEW}\n{OLD}")),
        ] {
            let mut fixture = Fixture::new(&before);
            let path = fixture.dir.path().join("tokens");
            // appended where it can be, written again where not
            let write = |text: &str| match text.strip_prefix(&fs::read_to_string(&path).unwrap()) {
                Some(more) => {
                    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                    file.write_all(more.as_bytes()).unwrap();
                }
                None => fs::write(&path, text).unwrap(),
            };
            write(&first);
            if signal {
                fixture.file.look(&fixture.tokens, true, fixture.now);
            }
            assert_eq!(fixture.after(|_| (), QUIET - LOOK), (true, false, false), "{signal} {first:?}");
            assert!(!fixture.tokens.matches(half), "{signal} {first:?}");
            write(&then);
            assert!(fixture.after(|_| (), LOOK * 2).0, "{signal} {then:?}");
            assert_eq!(fixture.after(|_| (), QUIET + LOOK * 2), (true, true, false), "{signal} {then:?}");
            assert!(!fixture.tokens.matches(half), "{signal} {then:?}");
        }
    }

    #[test]
    fn a_removed_token_is_good_for_about_two_seconds() {
        for (text, signal) in
            [(format!("{NEW}\n"), false), (format!("{NEW}\n{NEW}{NEW}\n"), false), (NEW.to_owned(), true)]
        {
            let mut fixture = Fixture::new(&both());
            fs::write(fixture.dir.path().join("tokens"), &text).unwrap();
            if signal {
                fixture.file.look(&fixture.tokens, true, fixture.now);
            }
            assert_eq!(fixture.after(|_| (), QUIET - LOOK), (true, true, false), "{text:?}");
            assert_eq!(fixture.after(|_| (), LOOK * 2), (false, true, false), "{text:?}");
        }
    }
}
