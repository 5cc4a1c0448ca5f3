//! Who is calling, as decisions need it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use http::HeaderValue;

use palisade_engine::model::{Uid, Value};

/// The time, read by the caller: nothing that verifies has a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// A time that cannot be set back, for how old keys are.
    pub instant: Instant,
}

impl Now {
    /// What the clocks say.
    #[must_use]
    pub fn read() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX), instant: Instant::now() }
    }

    /// Seconds since 1970, which tokens count in.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.unix_ms.div_euclid(1_000)
    }
}

/// A caller whose evidence was verified.
#[derive(Clone, PartialEq)]
pub struct Caller {
    /// The principal of the decision.
    pub principal: Uid<'static>,
    /// How the caller was known: `context.auth.method`.
    pub method: Arc<str>,
    /// Whether with a second factor: `context.auth.mfa`.
    pub mfa: bool,
    /// The token's entity: `context.token`.
    pub token: Option<Uid<'static>>,
    /// Who issued the token; `None` if it is not a JSON Web Token.
    pub issuer: Option<Arc<str>>,
    /// The claims of a JSON Web Token, for routes that take more from it; else an empty object.
    pub claims: Value<'static>,
    /// When the evidence ends, in seconds since 1970.
    pub expires: Option<i64>,
    /// How it is written for the service behind the gateway.
    pub written: Written,
}

/// The headers that name a caller. They are kept here once they are written, since the next request of the same caller
/// has the same.
#[derive(Clone, Default)]
pub struct Written(OnceLock<[Option<HeaderValue>; 3]>);

impl Written {
    /// What was written, or now is.
    pub fn get_or_write(&self, write: impl FnOnce() -> [Option<HeaderValue>; 3]) -> &[Option<HeaderValue>; 3] {
        self.0.get_or_init(write)
    }
}

/// It follows from the caller, and makes no difference between two.
impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Caller {
    /// The claim that a dotted path leads to.
    #[must_use]
    pub fn claim(&self, path: &str) -> Option<&Value<'static>> {
        claim(&self.claims, path)
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let uids = [Some(&self.principal), self.token.as_ref()];
        let texts: usize = uids.into_iter().flatten().map(|uid| uid.type_name.len() + uid.id.len()).sum();
        // once as it is, once as it is written, where each byte may take three
        size_of::<Self>() + 4 * texts + heap(&self.claims)
    }
}

// claims are personal, and some are as good as a token
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &format_args!("{}", self.principal))
            .field("method", &self.method)
            .field("mfa", &self.mfa)
            .finish_non_exhaustive()
    }
}

/// The claim that a dotted path leads to. A claim whose name is the whole path comes first, as in `https://example.com/role`.
pub(super) fn claim<'v, 'a>(claims: &'v Value<'a>, path: &str) -> Option<&'v Value<'a>> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, key| value.get(key)))
}

fn heap(value: &Value<'_>) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(|element| size_of::<Value<'_>>() + heap(element)).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| size_of::<(Cow<'_, str>, Value<'_>)>() + key.len() + heap(value)).sum()
        }
        _ => 0,
    }
}
