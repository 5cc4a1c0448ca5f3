//! Who is calling: JSON Web Tokens, API tokens, and client certificates that the gateway verified.
//!
//! The transport hands over header values and the time, and gets a [`Caller`] or a refusal. A check never
//! does I/O and never waits: keys and tokens are in memory, put there by threads of this module. Where a
//! key is not known yet, [`Identity::authenticate_patiently`] waits for it, within the caller's patience.
//!
//! Never decides what a caller may do, and never logs or returns a credential or anything out of one.

mod api_tokens;
mod cache;
mod caller;
mod credential;
mod edwards;
mod error;
mod fetch;
mod files;
mod jwk;
mod jwt;
mod keys;
mod peer;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::{CredentialKind, IdentitySettings, IssuerSettings, KeySource, PeerSettings};
use crate::telemetry::{AuthResult, IdentitySource, Metrics, ReloadResult, Work, events, start_thread, supervised};
use api_tokens::ApiTokens;
use cache::TokenCache;
use fetch::Fetcher;
#[cfg(test)]
pub(crate) use files::QUIET;
pub(crate) use files::{LOOK, Watched};
use jwt::{Expectations, Unverified};
use keys::{KeyStore, Renewal, Schedule};
use palisade_engine::model::Diagnostic;

pub use caller::{Caller, Now};
pub use credential::{Accept, Credential, Rule};
pub use error::{AuthCode, AuthError};
pub use peer::Peer;

/// A token that lasts longer is verified again all the same.
const LONGEST_IN_CACHE: Duration = Duration::from_secs(24 * 60 * 60);

/// Knows callers. Its threads end when it is dropped.
pub struct Identity {
    inner: Arc<Inner>,
    files: Option<JoinHandle<()>>,
}

struct Inner {
    issuers: Vec<Issuer>,
    api_tokens: ArcSwap<ApiTokens>,
    /// Their file, for people.
    api_tokens_from: String,
    api_tokens_problem: std::sync::Mutex<Option<String>>,
    /// Why files as they are now do not count yet.
    held: std::sync::Mutex<Vec<String>>,
    peer: PeerSettings,
    peer_method: Arc<str>,
    cache: Option<TokenCache>,
    max_token_bytes: usize,
    metrics: Arc<Metrics>,
    stopped: AtomicBool,
}

struct Issuer {
    expectations: Expectations,
    keys: KeyStore,
    /// Where its keys are, for people.
    place: String,
}

/// How an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer.
    pub issuer: String,
    /// Where its keys are.
    pub keys_from: String,
    /// How many keys are in use.
    pub keys: usize,
    /// How long ago they were last known to be current; `None` if there never were any.
    pub age: Option<Duration>,
    /// What keeps them from being renewed.
    pub problem: Option<String>,
}

// === impl Identity ===

impl Identity {
    /// Reads the files, and begins to fetch from the URLs. Tokens of an issuer whose keys are still to
    /// come are refused.
    ///
    /// # Errors
    /// Every file that cannot be used, and every thread that cannot be had.
    pub fn start(settings: &IdentitySettings, metrics: Arc<Metrics>) -> Result<Self, Vec<Diagnostic>> {
        let now = Instant::now();
        let mut problems = Vec::new();
        let mut watched: Vec<(Target, Watched)> = Vec::new();
        let mut fetchers: Vec<(usize, Fetcher)> = Vec::new();
        let mut issuers = Vec::new();
        for (i, issuer) in settings.issuers.iter().enumerate() {
            match &issuer.keys {
                KeySource::File(path) => {
                    watched.push((Target::Keys(i), Watched::new(path.clone(), jwk::MAX_KEY_SET_BYTES)));
                }
                KeySource::Url(url) => match Fetcher::new(url) {
                    Ok(fetcher) => fetchers.push((i, fetcher)),
                    Err(error) => {
                        problems
                            .push(Diagnostic::error(format!("`identity.issuers[{i}].jwks.url`: {}", url.url), error));
                    }
                },
            }
            issuers.push(Issuer::new(issuer, now));
        }
        if let Some(path) = &settings.api_tokens {
            watched.push((Target::ApiTokens, Watched::new(path.clone(), api_tokens::MAX_FILE_BYTES)));
        }
        let inner = Arc::new(Inner {
            issuers,
            api_tokens: ArcSwap::default(),
            api_tokens_from: settings.api_tokens.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            api_tokens_problem: std::sync::Mutex::default(),
            held: std::sync::Mutex::default(),
            peer: settings.peer.clone(),
            peer_method: settings.peer.method.as_str().into(),
            cache: TokenCache::new(settings.cache_bytes),
            max_token_bytes: settings.max_token_bytes,
            metrics,
            stopped: AtomicBool::new(false),
        });
        for (target, file) in &mut watched {
            let loaded = file.load_first().and_then(|bytes| inner.take(*target, &bytes, now));
            if let Err(error) = loaded {
                let key = match target {
                    Target::Keys(i) => format!("identity.issuers[{i}].jwks.file"),
                    Target::ApiTokens => "identity.api_tokens.file".to_owned(),
                };
                problems.push(Diagnostic::error(format!("`{key}`: {}", file.path().display()), error));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let weak = Arc::downgrade(&inner);
        inner.metrics.at_scrape(move |metrics| {
            if let Some(cache) = weak.upgrade().as_ref().and_then(|inner| inner.cache.as_ref()) {
                metrics.identity_cache_bytes.set(i64::try_from(cache.bytes()).unwrap_or(i64::MAX));
                metrics.identity_cache_entries.set(i64::try_from(cache.len()).unwrap_or(i64::MAX));
            }
        });

        // dropped on a failure below, it stops what was started
        let mut identity = Self { inner, files: None };
        let no_thread = |error: std::io::Error| vec![Diagnostic::error("identity", error.to_string())];
        for (i, fetcher) in fetchers {
            let inner = Arc::clone(&identity.inner);
            // not waited for at the end: it may be in the midst of a fetch
            let work = supervised("palisade-jwks", inner.metrics.clone(), move || inner.fetch_keys(i, &fetcher));
            start_thread("palisade-jwks", None, work).map_err(no_thread)?;
        }
        if !watched.is_empty() {
            let inner = Arc::clone(&identity.inner);
            let metrics = inner.metrics.clone();
            let work = supervised("palisade-identity", metrics, move || inner.watch_files(&mut watched));
            identity.files = Some(start_thread("palisade-identity", None, work).map_err(no_thread)?);
        }
        Ok(identity)
    }

    /// Who sent this request, as far as `rule` wants to know; `None` only where it wants to know nothing.
    ///
    /// Never waits. A refusal that [`AuthError::is_pending`] may be another one, or none, when keys that are
    /// being fetched have come.
    ///
    /// # Errors
    /// If the caller is not known: deny.
    pub fn authenticate(
        &self,
        rule: &Rule,
        credential: Credential<'_>,
        peer: Peer<'_>,
        now: Now,
    ) -> Result<Option<Arc<Caller>>, AuthError> {
        let result = self.inner.authenticate(rule, credential, peer, now, true);
        self.inner.count(&result);
        Ok(result?.map(|(caller, _)| caller))
    }

    /// As [`Identity::authenticate`], but waits for keys that are being fetched, at most until `deadline`.
    ///
    /// # Errors
    /// If the caller is not known: deny.
    pub async fn authenticate_patiently(
        &self,
        rule: &Rule,
        credential: Credential<'_>,
        peer: Peer<'_>,
        now: Now,
        deadline: Instant,
    ) -> Result<Option<Arc<Caller>>, AuthError> {
        let mut result = self.inner.authenticate(rule, credential, peer, now, true);
        let pending = result.as_mut().err().and_then(|error| error.pending.take());
        if let Some(mut fetched) = pending.and_then(Arc::into_inner) {
            let longest = deadline.min(Instant::now() + fetch::LONGEST);
            // elapsed or not, what is there now is what counts
            let _ = tokio::time::timeout_at(longest.into(), fetched.changed()).await;
            drop(fetched);
            // one request asks once
            result = self.inner.authenticate(rule, credential, peer, Now::read(), false);
        }
        self.inner.count(&result);
        Ok(result?.map(|(caller, _)| caller))
    }

    /// Verifies a JSON Web Token again, whatever the cache holds, and leaves the cache as it is: what a
    /// verification costs, for the benches.
    ///
    /// # Errors
    /// If the token is refused.
    pub fn verify_uncached(&self, rule: &Rule, credential: Credential<'_>, now: Now) -> Result<Arc<Caller>, AuthError> {
        let (_, token) = credential::read(rule, credential, self.inner.max_token_bytes)?;
        Ok(self.inner.verify(rule, token, now, false)?.verified.caller.into())
    }

    /// The name in the client's certificate, as the gateway vouches for it; `None` if it names none, or more than one.
    #[must_use]
    pub fn certificate_uri<'p>(&self, peer: Peer<'p>) -> Option<Cow<'p, str>> {
        peer::uri(&self.inner.peer, peer).ok()
    }

    /// Whether every issuer's keys are there and not too old.
    #[must_use]
    pub fn is_ready(&self, now: Now) -> bool {
        self.inner.issuers.iter().all(|issuer| issuer.keys.current(now.instant).is_some())
    }

    /// How the issuers' keys are, in the order of the configuration.
    #[must_use]
    pub fn status(&self, now: Now) -> Vec<IssuerStatus> {
        let status = |issuer: &Issuer| {
            let summary = issuer.keys.summary();
            IssuerStatus {
                issuer: issuer.expectations.issuer.to_string(),
                keys_from: issuer.place.clone(),
                keys: summary.map_or(0, |(keys, _)| keys),
                age: summary.map(|(_, confirmed)| now.instant.saturating_duration_since(confirmed)),
                problem: issuer.keys.problem(),
            }
        };
        self.inner.issuers.iter().map(status).collect()
    }

    /// What keeps files and issuers from being read: what was read before stays active.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let issuers = self.inner.issuers.iter().filter_map(|issuer| {
            Some(format!("the keys of `{}` cannot be reloaded: {}", issuer.expectations.issuer, issuer.keys.problem()?))
        });
        let tokens = self.inner.lock_problem().clone();
        let tokens = tokens.map(|problem| format!("`identity.api_tokens`: {}: {problem}", self.inner.api_tokens_from));
        issuers.chain(tokens).chain(self.inner.lock_held().clone()).collect()
    }

    /// How many API tokens are known, and what keeps their file from being read again.
    #[must_use]
    pub fn api_tokens(&self) -> (usize, Option<String>) {
        (self.inner.api_tokens.load().len(), self.inner.lock_problem().clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::Release);
        for schedule in self.inner.issuers.iter().filter_map(|issuer| issuer.keys.schedule.as_ref()) {
            schedule.stop();
        }
        if let Some(files) = self.files.take() {
            files.thread().unpark();
            // its panic was reported when it happened
            let _ = files.join();
        }
    }
}

// === impl Issuer ===

impl Issuer {
    fn new(settings: &IssuerSettings, now: Instant) -> Self {
        let (max_age, schedule, place) = match &settings.keys {
            KeySource::File(path) => (None, None, path.display().to_string()),
            KeySource::Url(url) => {
                (Some(url.max_age), Some(Schedule::new(url.refresh, url.min_refresh, now)), url.url.clone())
            }
        };
        let methods = settings.claims.methods.iter().map(|(value, method)| (value.clone(), method.as_str().into()));
        Self {
            expectations: Expectations {
                issuer: settings.issuer.as_str().into(),
                audiences: settings.audiences.clone(),
                types: settings.types.clone(),
                leeway: i64::try_from(settings.leeway.as_secs()).unwrap_or(0),
                methods: methods.collect(),
                default_method: settings.claims.default_method.as_str().into(),
                claims: settings.claims.clone(),
            },
            keys: KeyStore::new(settings.algorithms.clone(), max_age, schedule),
            place,
        }
    }

    fn verify(&self, token: Unverified<'_>, now: Now) -> Result<(jwt::Verified, u64), AuthCode> {
        let guard = self.keys.current(now.instant);
        let keys = guard.as_deref().and_then(Option::as_ref).ok_or(AuthCode::KeysUnavailable)?;
        Ok((token.verify(&keys.set, &self.expectations, now.unix())?, keys.generation))
    }
}

/// A verified token.
struct Checked {
    /// Which of the issuers.
    issuer: usize,
    verified: jwt::Verified,
    /// Of the keys.
    generation: u64,
}

/// Whether other keys could make a difference.
fn needs_keys(code: AuthCode) -> bool {
    matches!(code, AuthCode::UnknownKey | AuthCode::KeysUnavailable)
}

/// What a file is read for.
#[derive(Debug, Clone, Copy)]
enum Target {
    Keys(usize),
    ApiTokens,
}

// === impl Inner ===

impl Inner {
    fn authenticate(
        &self,
        rule: &Rule,
        credential: Credential<'_>,
        peer: Peer<'_>,
        now: Now,
        may_ask: bool,
    ) -> Result<Option<(Arc<Caller>, AuthResult)>, AuthError> {
        let by_peer = || {
            let caller = peer::caller(&self.peer, &self.peer_method, peer)?;
            Ok(Some((Arc::new(caller), AuthResult::Verified)))
        };
        match rule.accept() {
            Accept::Nothing => return Ok(None),
            Accept::Peer => return by_peer(),
            Accept::Either if credential == Credential::Absent && peer != Peer::Absent => return by_peer(),
            Accept::Either | Accept::Credential => {}
        }
        // a token that was verified is well formed: one that equals it need not be looked through again
        if let Some((kind, token)) = credential::glance(rule, credential)
            && kind != CredentialKind::Opaque
            && let Some(caller) = self.cached(rule, token, now)?
        {
            return Ok(Some((caller, AuthResult::Cached)));
        }
        let (kind, token) = credential::read(rule, credential, self.max_token_bytes)?;
        if kind != CredentialKind::Jwt
            && let Some(caller) = self.api_tokens.load().find(token)
        {
            return Ok(Some((Arc::clone(caller), AuthResult::Verified)));
        }
        if kind == CredentialKind::Opaque || (kind == CredentialKind::Any && !jwt::looks_like_one(token)) {
            return Err(AuthCode::UnknownToken.into());
        }
        let Checked { issuer, verified, generation } = self.verify(rule, token, now, may_ask)?;
        let caller = Arc::new(verified.caller);
        if let Some(cache) = &self.cache {
            let left = Duration::from_secs(u64::try_from(verified.until.saturating_sub(now.unix())).unwrap_or(0));
            let (from, until, lasts) = (verified.from, verified.until, left.min(LONGEST_IN_CACHE));
            cache.insert(token, cache::Entry { caller: Arc::clone(&caller), issuer, generation, from, until, lasts });
        }
        Ok(Some((caller, AuthResult::Verified)))
    }

    /// The caller, if the token was verified with the active keys, and its time is not over.
    fn cached(&self, rule: &Rule, token: &[u8], now: Now) -> Result<Option<Arc<Caller>>, AuthError> {
        let Some(entry) = self.cache.as_ref().and_then(|cache| cache.get(token)) else { return Ok(None) };
        let Some(issuer) = self.issuers.get(entry.issuer) else { return Ok(None) };
        let keys = issuer.keys.current(now.instant);
        let current = keys.as_deref().and_then(Option::as_ref).is_some_and(|keys| keys.generation == entry.generation);
        if !current || now.unix() < entry.from || now.unix() >= entry.until {
            return Ok(None);
        }
        if !rule.accepts_issuer(&issuer.expectations.issuer) {
            return Err(AuthCode::UnknownIssuer.into());
        }
        Ok(Some(entry.caller))
    }

    /// Verifies a token; also says whose it is, and the generation of the keys. Asks for keys that are not there
    /// if `may_ask`.
    fn verify(&self, rule: &Rule, token: &str, now: Now, may_ask: bool) -> Result<Checked, AuthError> {
        let unverified = Unverified::read(token)?;
        let name = unverified.issuer()?;
        let found = self.issuers.iter().enumerate().find(|(_, issuer)| *issuer.expectations.issuer == *name);
        let (i, issuer) = found
            .filter(|(_, issuer)| rule.accepts_issuer(&issuer.expectations.issuer))
            .ok_or(AuthCode::UnknownIssuer)?;
        let before = issuer.keys.generation();
        let mut outcome = issuer.verify(unverified, now);
        if outcome.as_ref().is_err_and(|code| needs_keys(*code)) && issuer.keys.generation() != before {
            // they came meanwhile
            outcome = issuer.verify(Unverified::read(token)?, now);
        }
        let (verified, generation) = outcome.map_err(|code| {
            let pending = (may_ask && needs_keys(code)).then(|| issuer.keys.ask(now.instant)).flatten();
            AuthError { code, pending: pending.map(Arc::new) }
        })?;
        Ok(Checked { issuer: i, verified, generation })
    }

    fn count(&self, result: &Result<Option<(Arc<Caller>, AuthResult)>, AuthError>) {
        let result = match result {
            // a public route asks for no caller
            Ok(None) => return,
            Ok(Some((_, result))) => *result,
            Err(error) => {
                tracing::debug!(code = %error.code, "caller not known");
                match error.code {
                    AuthCode::MissingCredential | AuthCode::MissingPeer => AuthResult::Missing,
                    code if code.is_unavailable() => AuthResult::Unavailable,
                    _ => AuthResult::Refused,
                }
            }
        };
        self.metrics.authentications(result).inc();
    }

    /// Activates what was read, and reports it.
    fn take(&self, target: Target, bytes: &[u8], now: Instant) -> Result<(), String> {
        match target {
            Target::Keys(i) => {
                let issuer = &self.issuers[i];
                let repaired = issuer.keys.problem().is_some();
                let renewal = issuer.keys.renew(bytes, now)?;
                self.renewed(IdentitySource::Jwks, &issuer.place, renewal, repaired);
                if renewal == Renewal::Changed {
                    let guard = issuer.keys.current(now);
                    let set = guard.as_deref().and_then(Option::as_ref).map(|keys| Arc::clone(&keys.set));
                    for reason in set.iter().flat_map(|set| &set.passed_over) {
                        tracing::warn!(from = %issuer.place, "key skipped: {reason}");
                    }
                }
            }
            Target::ApiTokens => {
                let tokens = ApiTokens::parse(bytes).map_err(|problems| problems.join("; "))?;
                self.api_tokens.store(Arc::new(tokens));
                let repaired = self.lock_problem().take().is_some();
                self.renewed(IdentitySource::ApiTokens, &self.api_tokens_from, Renewal::Changed, repaired);
            }
        }
        Ok(())
    }

    fn renewed(&self, source: IdentitySource, from: &str, renewal: Renewal, repaired: bool) {
        let result = match renewal {
            Renewal::Changed => ReloadResult::Good,
            Renewal::Unchanged => ReloadResult::Unchanged,
        };
        events::IdentityRenewed { source, from, result, repaired }.emit(&self.metrics);
    }

    /// Reports what is wrong: once as a warning, then only at a lower level.
    fn refused(&self, target: Target, from: &str, problem: &str) {
        let (source, news) = match target {
            Target::Keys(i) => (IdentitySource::Jwks, self.issuers[i].keys.note(Some(problem))),
            Target::ApiTokens => {
                let before = self.lock_problem().replace(problem.to_owned());
                (IdentitySource::ApiTokens, before.as_deref() != Some(problem))
            }
        };
        events::IdentityRefused { source, from, problem, news }.emit(&self.metrics);
    }

    /// Why a file may be half-written, though it can be read; `None` if it may not.
    fn loses(&self, target: Target, bytes: &[u8]) -> Option<String> {
        match target {
            // half of a key set is no key set
            Target::Keys(_) => None,
            Target::ApiTokens => {
                let lost = ApiTokens::parse(bytes).ok()?.lost(&self.api_tokens.load());
                (lost > 0).then(|| format!("{lost} active tokens are no longer in it"))
            }
        }
    }

    /// Looks at a file. What looks half-written waits until the file has been quiet.
    fn look(&self, target: Target, file: &mut Watched, now: Instant) {
        let Some(read) = file.look(now) else { return };
        let sure = file.is_quiet(now);
        let lost = read.as_ref().ok().filter(|_| !sure).and_then(|bytes| self.loses(target, bytes));
        let problem = match (read, lost) {
            (_, Some(lost)) => lost,
            (Ok(bytes), None) => match self.take(target, &bytes, now) {
                Ok(()) => return,
                Err(problem) => problem,
            },
            (Err(problem), None) => problem,
        };
        if sure {
            self.refused(target, &file.path().display().to_string(), &problem);
        } else {
            file.hold(format!("it may be half-written: {problem}; it is read when it has been the same for 2 s"));
        }
    }

    fn lock_held(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock_problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.api_tokens_problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fetch_keys(&self, i: usize, fetcher: &Fetcher) {
        let issuer = &self.issuers[i];
        let Some(schedule) = &issuer.keys.schedule else { return };
        while schedule.wait() {
            // keys are as old as the question: the answer may have waited
            let asked = Instant::now();
            let taken = fetcher.fetch().and_then(|bytes| self.take(Target::Keys(i), &bytes, asked));
            if let Err(problem) = &taken {
                self.refused(Target::Keys(i), &issuer.place, problem);
            }
            schedule.finished(taken.is_ok(), Instant::now());
        }
    }

    fn watch_files(&self, watched: &mut [(Target, Watched)]) {
        while !self.stopped.load(Ordering::Acquire) {
            thread::park_timeout(LOOK);
            let _under_way = self.metrics.works.begin(Work::Identity);
            for (target, file) in &mut *watched {
                self.look(*target, file, Instant::now());
            }
            let held = watched.iter().filter_map(|(_, file)| {
                Some(format!("{}: {}; what was read before stays active", file.path().display(), file.held()?))
            });
            *self.lock_held() = held.collect();
        }
    }
}
