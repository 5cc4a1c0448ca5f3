//! The configuration as the rest of the program sees it: typed, complete, and free of contradictions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{
    Durability, EngineKind, ExplainMode, IdentitySettings, ListenAddr, LogFormat, MaskPath, NowMode, Overflow,
    OverlayRule, Secret, Validation,
};

pub(super) mod identity;

/// The whole configuration. Paths are relative to the working directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Policies: a directory, a file, or a bundle directory.
    pub policies: PathBuf,
    /// The schema, file or directory, if it is named.
    pub schema: Option<PathBuf>,
    /// The entities, file or directory, if they are named.
    pub entities: Option<PathBuf>,
    /// The gateway's route table, file or directory, if it is named.
    pub routes: Option<PathBuf>,
    /// What happens to policies that do not validate.
    pub validation: Validation,
    /// How decisions are made.
    pub decision: DecisionSettings,
    /// What the sidecar adds to the context.
    pub context: ContextSettings,
    /// Who is shown why a decision is what it is.
    pub explain: ExplainSettings,
    /// One of this many decisions is counted part by part; `None` is never.
    pub coverage_sample: Option<NonZeroU32>,
    /// The decision cache.
    pub cache: CacheSettings,
    /// What evaluates the policies.
    pub engine: EngineSettings,
    /// How AuthZEN requests map to Cedar.
    pub authzen: AuthzenSettings,
    /// Who is calling.
    pub identity: IdentitySettings,
    /// The gateway endpoints.
    pub gateway: GatewaySettings,
    /// Where the sidecar listens.
    pub listen: ListenSettings,
    /// The admin API.
    pub admin: AdminSettings,
    /// Limits and timeouts of the HTTP listeners.
    pub http: HttpSettings,
    /// Limits on policies and entities.
    pub limits: LimitSettings,
    /// How changed files are noticed.
    pub reload: ReloadSettings,
    /// How changes of the API are kept.
    pub store: StoreSettings,
    /// Which loads are accepted, and when.
    pub load: LoadSettings,
    /// The record of every decision.
    pub decision_log: DecisionLogSettings,
    /// The sidecar's own log.
    pub log: LogSettings,
    /// How the sidecar shuts down.
    pub shutdown: ShutdownSettings,
}

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionSettings {
    /// Whether a `forbid` that fails to evaluate denies.
    pub forbid_errors_deny: bool,
    /// Whether an entity that is not stored denies.
    pub unknown_entities_deny: bool,
}

/// Who is shown why a decision is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainSettings {
    /// What a check on the decision listener is answered that asks for an explanation.
    pub decisions: ExplainMode,
}

/// What the sidecar adds to the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextSettings {
    /// When it sets `now`.
    pub now: NowMode,
}

/// The decision cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Its memory in bytes; not 0 if there is one.
    pub max_bytes: u64,
}

/// What evaluates the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// The engine.
    pub kind: EngineKind,
    /// One of this many decisions is re-evaluated with Cedar's own authorizer; `None` is never.
    pub verify_sample: Option<NonZeroU32>,
    /// Whether a mismatch makes the sidecar unready.
    pub verify_unready: bool,
}

/// How AuthZEN requests map to Cedar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthzenSettings {
    /// The URL under which clients reach the decision listener, without a slash at its end.
    pub base_url: Option<String>,
    /// The Cedar namespace of types and actions that name none: a valid Cedar name.
    pub namespace: Option<String>,
    /// AuthZEN type to Cedar type; the latter are valid Cedar names, with or without namespace.
    pub types: BTreeMap<String, String>,
    /// What happens to the properties of a request.
    pub overlay: OverlaySettings,
}

/// What happens to the properties of an AuthZEN request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlaySettings {
    /// The rule for types that are not listed.
    pub default: OverlayRule,
    /// The rules by Cedar type.
    pub types: BTreeMap<String, OverlayRule>,
}

impl AuthzenSettings {
    /// The Cedar type that an AuthZEN type stands for: as mapped, else as written, in the namespace if it names none.
    #[must_use]
    pub fn cedar_type<'t>(&'t self, authzen_type: &'t str) -> Cow<'t, str> {
        let name = self.types.get(authzen_type).map_or(authzen_type, String::as_str);
        match &self.namespace {
            Some(namespace) if !name.contains("::") => Cow::Owned(format!("{namespace}::{name}")),
            _ => Cow::Borrowed(name),
        }
    }
}

impl OverlaySettings {
    /// The rule for a Cedar type.
    #[must_use]
    pub fn rule(&self, cedar_type: &str) -> OverlayRule {
        self.types.get(cedar_type).copied().unwrap_or(self.default)
    }
}

/// Where the sidecar listens. No two of the addresses collide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// Decisions and gateway endpoints.
    pub decisions: ListenAddr,
    /// The admin API, health and metrics.
    pub admin: Option<ListenAddr>,
    /// Health and metrics alone.
    pub ops: Option<ListenAddr>,
    /// Envoy's gRPC ext_authz.
    pub grpc: Option<ListenAddr>,
    /// Whether gRPC is only the default: then the sidecar serves without it where its address is taken.
    pub grpc_by_default: bool,
    /// Who reaches those that are Unix sockets.
    pub sockets: SocketSettings,
}

/// Who reaches Unix sockets: the permissions of each, and the group of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSettings {
    /// Of the decision listener.
    pub decisions: u32,
    /// Of the admin listener.
    pub admin: u32,
    /// Of the ops listener.
    pub ops: u32,
    /// Of the gRPC listener.
    pub grpc: u32,
    /// By name or number; `None` is the group that the process has.
    pub group: Option<String>,
}

impl Default for SocketSettings {
    /// The group may ask; only the owner may change what is answered.
    fn default() -> Self {
        Self { decisions: 0o660, admin: 0o600, ops: 0o660, grpc: 0o660, group: None }
    }
}

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// File of the bearer tokens. It or `tokens` is set whenever others reach the admin listener. Not read here.
    pub token_file: Option<PathBuf>,
    /// Bearer tokens besides those of the file.
    pub tokens: Vec<Secret>,
    /// Host names that it is called by, in lower case, besides those of loopback and IP addresses.
    pub hosts: Vec<String>,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// Bytes of bodies and answers that admin and ops listeners hold at a time. Not 0.
    pub max_inflight_bytes: usize,
}

/// The gateway endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewaySettings {
    /// How long an answer may take. Not 0.
    pub deadline: Duration,
}

/// Limits and timeouts of the HTTP listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpSettings {
    /// The largest request body on the decision listener, in bytes.
    pub max_body_bytes: usize,
    /// The largest request head, in bytes; at least 8192, the least that the HTTP library takes.
    pub max_header_bytes: usize,
    /// The largest answer to a batch, in bytes. Not 0.
    pub max_answer_bytes: usize,
    /// Bytes of bodies and answers that decision and gRPC listeners hold at a time. Not 0.
    pub max_inflight_bytes: usize,
    /// How long a client may take to send a head. Not 0.
    pub header_timeout: Duration,
    /// How long a client may take to send a body. Not 0.
    pub body_timeout: Duration,
    /// How long a connection may rest between requests. Not 0.
    pub idle_timeout: Duration,
    /// How many connections a listener keeps open at a time.
    pub max_connections: usize,
    /// How many requests a batch may hold.
    pub max_batch: usize,
    /// How long a request may wait for the revision that it asks for; 0 is not at all.
    pub deadline: Duration,
}

/// Limits on policies and entities. None is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Levels of parents of an entity.
    pub max_depth: usize,
    /// Direct parents of an entity.
    pub max_parents: usize,
    /// Nested brackets in policy and schema text.
    pub max_nesting: usize,
    /// Nested expressions in a policy.
    pub max_expression_depth: usize,
    /// Words and signs of one policy.
    pub max_policy_tokens: usize,
    /// Bytes of text of all policies.
    pub max_policies_bytes: usize,
    /// Policies, templates and links by hand.
    pub max_policies: usize,
    /// Links that data make.
    pub max_links_from_data: usize,
    /// Steps that validating all policies may take.
    pub max_validation_steps: u64,
    /// Changes of one transaction.
    pub max_changes: usize,
    /// Bytes of the text of one entity.
    pub max_entity_bytes: usize,
}

/// How changes of the API are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The file; without one they live in memory.
    pub path: Option<PathBuf>,
    /// When a change is on the disk.
    pub durability: Durability,
    /// For how long a change with an `Idempotency-Key` is answered as before.
    pub idempotency_ttl: Duration,
    /// How many such changes are known at a time.
    pub idempotency_max: usize,
}

/// How changed files are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadSettings {
    /// Whether files are watched.
    pub watch: bool,
    /// How long files must be quiet before they are read.
    pub quiet: Duration,
    /// How often files are looked at besides; `None` is never.
    pub poll: Option<Duration>,
}

/// Which loads of policies and entities are accepted, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSettings {
    /// Whether a bundle without any policy is loaded.
    pub allow_empty_policies: bool,
    /// Whether the entities may be missing, and whether the last of them may go.
    pub allow_empty_entities: bool,
    /// How long a file must be missing before the sidecar accepts that.
    pub vanish_quiet: Duration,
    /// Whether the sidecar exits when the first bundle cannot be loaded.
    pub require: bool,
}

/// The record of every decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionLogSettings {
    /// Where records go.
    pub sink: LogSink,
    /// How many records may wait. Not 0.
    pub queue: usize,
    /// How many bytes they may take.
    pub queue_bytes: usize,
    /// What happens where they take more.
    pub overflow: Overflow,
    /// Context attributes whose values are hidden.
    pub mask: Vec<MaskPath>,
    /// How much the lines of denials say of the reasons.
    pub explain: ExplainMode,
}

/// Where decision records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// The sidecar's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// What a line looks like.
    pub format: LogFormat,
    /// A filter directive, known to be valid.
    pub level: String,
}

/// How the sidecar shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// How long requests in flight may take.
    pub grace: Duration,
    /// How long it keeps serving, already unready.
    pub delay: Duration,
}
