//! The configuration as it can be written. The comments here are the published schema's descriptions.
//!
//! Only shape is decided here; what the values must mean is for `check`. A key that is absent has its
//! default from the `Default` of its section, so that the schema shows it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{ByteSize, Span};
use palisade_engine::model::OverlayMode;

/// The engine that decides unless the configuration says otherwise.
const DEFAULT_ENGINE: EngineKind = EngineKind::Compiled;

/// A section: a struct that refuses unknown keys and takes absent ones from its `Default`.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        $(#[$meta])*
        pub(in crate::config) struct $name {
            $($(#[$field_meta])* pub(in crate::config) $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

/// A closed set of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }
    };
}

pub(super) mod identity;
pub(super) mod listen;

pub use identity::CredentialKind;
use identity::RawIdentity;
use listen::{RawAdmin, RawListen};

section! {
    /// Configuration of the Palisade authorization sidecar.
    #[schemars(title = "palisade.yaml")]
    RawConfig {
        /// Directory of the policies (`**/*.cedar` and `**/*.cedar.json`) and the schema (`*.cedarschema`), a single file of policies, or a bundle directory: one that holds a directory `policies`, beside which there must be no policies. Relative to the working directory.
        policies: String = super::DEFAULT_POLICIES.to_owned(),
        /// File or directory of the schema, instead of the schema beside the policies. Relative to the working directory.
        schema: Option<String> = None,
        /// Directory of the entities (`**/*.json` and `**/*.ndjson`), or a single file. Relative to the working directory. Where it is not set, `entities` in the bundle directory that `policies` names, else `./entities`.
        entities: Option<String> = None,
        /// File or directory of the gateway's route table. Relative to the working directory. Where it is not set, `routes` or else `routes.yaml` in the bundle directory that `policies` names, or in the working directory if `policies` is not set either. Without routes the gateway endpoints refuse every request.
        routes: Option<String> = None,
        /// What happens to policies that do not validate against the schema.
        validation: Validation = Validation::Strict,
        /// How decisions are made.
        decision: RawDecision = RawDecision::default(),
        /// What the sidecar adds to the context of a request.
        context: RawContext = RawContext::default(),
        /// Who is shown why a decision is what it is.
        explain: RawExplain = RawExplain::default(),
        /// What live traffic sees of the policies.
        coverage: RawCoverage = RawCoverage::default(),
        /// The decision cache.
        cache: RawCache = RawCache::default(),
        /// What evaluates the policies.
        engine: RawEngine = RawEngine::default(),
        /// How AuthZEN requests map to Cedar.
        authzen: RawAuthzen = RawAuthzen::default(),
        /// How callers of the gateway endpoints are authenticated.
        identity: RawIdentity = RawIdentity::default(),
        /// The gateway endpoints.
        gateway: RawGateway = RawGateway::default(),
        /// Where the sidecar listens: `ip:port`, `localhost:port` or `unix:/path`.
        listen: RawListen = RawListen::default(),
        /// The admin API.
        admin: RawAdmin = RawAdmin::default(),
        /// Limits and timeouts of the HTTP listeners.
        http: RawHttp = RawHttp::default(),
        /// Limits on what policies and entities may look like.
        limits: RawLimits = RawLimits::default(),
        /// How changed files are noticed.
        reload: RawReload = RawReload::default(),
        /// Which loads of policies and entities are accepted, and when.
        load: RawLoad = RawLoad::default(),
        /// How changes of the API are kept.
        store: RawStore = RawStore::default(),
        /// The record of every decision.
        decision_log: RawDecisionLog = RawDecisionLog::default(),
        /// The sidecar's own log, on standard error.
        log: RawLog = RawLog::default(),
        /// How the sidecar shuts down.
        shutdown: RawShutdown = RawShutdown::default(),
    }
}

words! {
    /// What happens to policies that do not validate against the schema.
    Validation {
        /// They are refused, and so are policies without a schema; the previous state stays active.
        Strict,
        /// They are loaded and reported.
        Warn,
        /// They are loaded without validation.
        Off,
    }
}

words! {
    /// Which rules decide.
    Semantics {
        /// Cedar's, and in addition: a `forbid` that fails to evaluate denies, and so does an entity that is not stored. Only ever denies more.
        Strict,
        /// Cedar's exactly: a `forbid` that fails to evaluate is skipped.
        Cedar,
    }
}

words! {
    /// When the sidecar sets the context attribute `now`, where the schema declares it for the action.
    NowMode {
        /// When the request leaves it out.
        Fill,
        /// Always.
        Override,
        /// Never.
        Off,
    }
}

words! {
    /// What a check on the decision listener is answered that asks for an explanation.
    ExplainMode {
        /// The decision alone.
        Off,
        /// The kind of the decision, and the ids of the policies that came nearest. Nothing of entities.
        Ids,
        /// What `POST /v1/explain` answers: policies with their texts, and values of entities.
        Full,
    }
}

words! {
    /// What evaluates the policies.
    EngineKind {
        /// The compiled engine: indexed policies over interned entities.
        Compiled,
        /// Cedar's own authorizer.
        Reference,
    }
}

words! {
    /// What happens to the `properties` of an AuthZEN subject or resource.
    OverlayRule {
        /// They are ignored, and the answer says so.
        Deny,
        /// They add what the stored entity lacks.
        Fill,
        /// They win over what is stored.
        Override,
    }
}

impl OverlayRule {
    /// Which side wins; `None` where the request's side is ignored.
    #[must_use]
    pub fn mode(self) -> Option<OverlayMode> {
        match self {
            Self::Deny => None,
            Self::Fill => Some(OverlayMode::Fill),
            Self::Override => Some(OverlayMode::Override),
        }
    }
}

words! {
    /// When a change of the API is on the disk.
    Durability {
        /// Before it is answered.
        Fsync,
        /// Within a fifth of a second.
        Interval,
        /// When the system writes it.
        None,
    }
}

words! {
    /// What happens to a decision whose record finds the decision log's queue full.
    Overflow {
        /// It is answered; the record is dropped and counted.
        Drop,
        /// It waits for room as long as its request may, and is then answered as an error.
        Block,
        /// It is answered as an error.
        Deny,
    }
}

words! {
    /// What a log line looks like.
    LogFormat {
        /// For people; coloured on a terminal unless `NO_COLOR` is set.
        Human,
        /// One JSON object a line.
        Json,
    }
}

section! {
    /// How decisions are made.
    RawDecision {
        /// Which rules decide: a preset of the two keys below.
        semantics: Semantics = Semantics::Strict,
        /// What a `forbid` that fails to evaluate does: `deny`, or nothing, as in `cedar`. Where it is not set, as `semantics` says.
        forbid_errors: Option<Effect> = None,
        /// What an entity does that is not stored and does not come with the request: `deny`, or nothing, as in `cedar`. Where it is not set, as `semantics` says.
        unknown_entities: Option<Effect> = None,
    }
}

words! {
    /// What a rule beside Cedar's semantics does.
    Effect {
        /// It denies.
        Deny,
        /// Nothing, as in Cedar.
        Cedar,
    }
}

section! {
    /// What the sidecar adds to the context of a request.
    RawContext {
        /// When the sidecar sets `now`, where the schema declares it for the action.
        now: NowMode = NowMode::Fill,
    }
}

section! {
    /// Who is shown why a decision is what it is.
    RawExplain {
        /// What a check on the decision listener with `"explain": true` is answered. The admin API explains everything.
        decisions: ExplainMode = ExplainMode::Ids,
    }
}

section! {
    /// What live traffic sees of the policies.
    RawCoverage {
        /// Counts one of this many decisions part by part, off the request's path, for `GET /v1/coverage`. 0 is never.
        #[schemars(range(max = 4294967295u32))]
        sample: u32 = 0,
    }
}

section! {
    /// The decision cache.
    RawCache {
        /// Whether decisions are cached.
        enabled: bool = true,
        /// Memory for cached decisions. Bytes, or with a unit, such as `64MiB`.
        max_bytes: ByteSize = ByteSize::mib(64),
    }
}

section! {
    /// What evaluates the policies.
    RawEngine {
        /// The engine.
        kind: EngineKind = DEFAULT_ENGINE,
        /// Re-evaluates one of this many decisions with Cedar's own authorizer, off the request's path. 0 is never.
        #[schemars(range(max = 4294967295u32))]
        verify_sample: u32 = 0,
        /// Whether a decision that the two engines disagree on makes the sidecar unready.
        verify_unready: bool = false,
    }
}

section! {
    /// How AuthZEN requests map to Cedar.
    RawAuthzen {
        /// The URL under which clients reach the decision listener, for the discovery document. Without query and fragment.
        base_url: Option<String> = None,
        /// The Cedar namespace of types and actions that name none.
        namespace: Option<String> = None,
        /// AuthZEN types and the Cedar types that they stand for. A type that is not listed is a Cedar type as written.
        types: BTreeMap<String, String> = BTreeMap::new(),
        /// What happens to the `properties` of a request, by type; `default` is for types not listed. A rule is for the Cedar type that the word stands for, whichever word a request uses.
        overlay: BTreeMap<String, OverlayRule> = BTreeMap::from([("default".to_owned(), OverlayRule::Deny)]),
    }
}

section! {
    /// The gateway endpoints.
    RawGateway {
        /// How long a gateway waits for its answer: what takes longer is denied. Let it be less than the gateway's own timeout.
        deadline: Span = Span::millis(100),
    }
}

section! {
    /// Limits and timeouts of the HTTP listeners.
    RawHttp {
        /// The largest request body on the decision listener. Bytes, or with a unit.
        max_body_bytes: ByteSize = ByteSize::mib(1),
        /// The largest request head. Bytes, or with a unit; at least 8KiB.
        max_header_bytes: ByteSize = ByteSize::kib(16),
        /// The largest answer to a batch. A batch with a larger answer is refused as a whole. Bytes, or with a unit.
        max_answer_bytes: ByteSize = ByteSize::mib(4),
        /// How many bytes of bodies and answers the decision and gRPC listeners hold at a time, of all requests. Beyond that they answer 503. Streams of HTTP/2 may hold as much again; beyond that they are refused. Bytes, or with a unit.
        max_inflight_bytes: ByteSize = ByteSize::mib(64),
        /// How long a client may take to send a request head.
        header_timeout: Span = Span::seconds(10),
        /// How long a client may take to send a request body, and how long it may leave an answer untaken.
        body_timeout: Span = Span::seconds(10),
        /// How long a connection may be idle between requests, HTTP/1.1 and HTTP/2 alike.
        idle_timeout: Span = Span::seconds(120),
        /// How many connections a listener keeps open at a time.
        max_connections: NonZeroUsize = non_zero::<10_000>(),
        /// How many requests a batch may hold.
        max_batch: NonZeroUsize = non_zero::<1000>(),
        /// How long a request may wait for the revision that `Palisade-At-Least` names. 0s is not at all.
        deadline: Span = Span::seconds(1),
    }
}

section! {
    /// Limits on what policies and entities may look like. What exceeds them is refused at load.
    RawLimits {
        /// How many levels of parents an entity may have.
        max_depth: NonZeroUsize = non_zero::<64>(),
        /// How many direct parents an entity may have.
        max_parents: NonZeroUsize = non_zero::<1000>(),
        /// How deep brackets may nest in policy and schema text.
        #[schemars(range(max = 1000))]
        max_nesting: NonZeroUsize = non_zero::<400>(),
        /// How deep the expression of a policy may nest.
        #[schemars(range(max = 10000))]
        max_expression_depth: NonZeroUsize = non_zero::<5000>(),
        /// How many tokens one policy may have. Parsing takes up to 900 bytes for each.
        max_policy_tokens: NonZeroUsize = non_zero::<100_000>(),
        /// How many bytes of text all policies may have together. Bytes, or with a unit.
        max_policies_bytes: ByteSize = ByteSize::mib(32),
        /// How many policies, templates and links by hand there may be together.
        max_policies: NonZeroUsize = non_zero::<200_000>(),
        /// How many links the data may make.
        max_links_from_data: NonZeroUsize = non_zero::<10_000_000>(),
        /// How much work the validation of policies against the schema may take, in steps of about 0.25 µs. A policy costs its size times the pairs of principal and resource types that it may apply to.
        max_validation_steps: NonZeroUsize = non_zero::<8_000_000>(),
        /// How many changes one transaction may have, and how many entities it may touch in all.
        max_changes: NonZeroUsize = non_zero::<1_000_000>(),
        /// How long the text of one entity may be. Bytes, or with a unit.
        max_entity_bytes: ByteSize = ByteSize::mib(1),
    }
}

section! {
    /// How changed files are noticed.
    RawReload {
        /// Whether files are watched.
        watch: bool = true,
        /// How long files must be quiet after a change before they are read.
        quiet: Span = Span::millis(100),
        /// How often files are compared as well, for file systems that report no changes. 0s is never.
        poll: Span = Span::seconds(5),
    }
}

section! {
    /// Which loads of policies and entities are accepted, and when.
    RawLoad {
        /// Whether a bundle without any policy is loaded, from files or from the admin API. It denies every request.
        allow_empty_policies: bool = false,
        /// Whether a directory of entities may be missing, and whether its last entity may be removed. If not, the previous state stays active: a mount may have been lost.
        allow_empty_entities: bool = false,
        /// How long a file must be missing or empty, or a directory missing, before the sidecar accepts that. Until then the previous state stays active.
        vanish_quiet: Span = Span::seconds(2),
        /// Whether the sidecar exits at start when the first bundle cannot be loaded. If not, it waits and loads again, and is not ready meanwhile.
        require: bool = false,
    }
}

section! {
    /// How changes of the API are kept.
    RawStore {
        /// The file that keeps what the API brought, so that it is there again after a restart. Made if it is missing. Without it changes live in memory.
        path: Option<String> = None,
        /// When a change is on the disk: `fsync` before it is answered, `interval` within a fifth of a second, `none` when the system writes it.
        durability: Durability = Durability::Fsync,
        /// Changes that are sent with an `Idempotency-Key`.
        idempotency: RawIdempotency = RawIdempotency::default(),
    }
}

section! {
    /// Changes that are sent with an `Idempotency-Key`.
    RawIdempotency {
        /// For how long the same change is answered as before, and not made again.
        ttl: Span = Span::seconds(24 * 60 * 60),
        /// How many such changes are known at a time. Beyond that the oldest is forgotten.
        max: NonZeroUsize = non_zero::<100_000>(),
    }
}

section! {
    /// The record of every decision.
    RawDecisionLog {
        /// `off`, `stdout`, or the path of a file that JSON lines are appended to.
        sink: String = "off".to_owned(),
        /// How many records may wait to be written. Beyond that `overflow` says what happens.
        queue: NonZeroUsize = non_zero::<8192>(),
        /// How many bytes of memory the records that wait may take. Beyond that `overflow` says what happens.
        queue_bytes: ByteSize = ByteSize::mib(16),
        /// What happens to a decision whose record finds the queue full: `drop` answers it and counts the record as lost, `block` waits for room as long as the request may and then answers an error, `deny` answers an error.
        overflow: Overflow = Overflow::Drop,
        /// Context attributes whose values are hidden: dotted paths below `context`, `*` for any one level.
        #[schemars(with = "Vec<String>")]
        mask: Vec<Option<String>> = Vec::new(),
        /// What the line of a denial says of its reasons: `off` nothing more, `ids` the kind of the denial and the ids of the policies that came nearest, `full` what `POST /v1/explain` answers. The answer waits for it, some milliseconds at most.
        explain: ExplainMode = ExplainMode::Off,
    }
}

section! {
    /// The sidecar's own log, on standard error.
    RawLog {
        /// What a line looks like.
        format: LogFormat = LogFormat::Human,
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`, also by module: `info,palisade::source=debug`.
        level: String = "info".to_owned(),
    }
}

section! {
    /// How the sidecar shuts down.
    RawShutdown {
        /// How long requests in flight may take to finish.
        grace: Span = Span::seconds(20),
        /// How long the sidecar keeps serving, already unready, so that load balancers notice.
        delay: Span = Span::seconds(0),
    }
}

/// `N`, which is not 0: checked when the crate is built.
const fn non_zero<const N: usize>() -> NonZeroUsize {
    const {
        match NonZeroUsize::new(N) {
            Some(n) => n,
            None => panic!("a limit of 0"),
        }
    }
}
