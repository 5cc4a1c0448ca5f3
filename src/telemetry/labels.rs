//! The values that labels take: closed sets, so that every series can be resolved at start.

use std::fmt;

/// A closed set of label values.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// How metrics and log lines write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

labels! {
    /// Work that may hang or take long.
    Work {
        /// The bundle's files are read.
        Load = "load",
        /// The bundle's files are looked at for changes.
        Look = "look",
        /// A change is built.
        Build = "build",
        /// The files of keys and API tokens are read.
        Identity = "identity",
        /// The file of admin tokens is read.
        AdminTokens = "admin_tokens",
    }
}

labels! {
    /// The way a decision was asked for.
    Transport {
        /// `POST /v1/is_authorized`.
        Native = "native",
        /// `POST /v1/is_authorized/batch`.
        Batch = "batch",
        /// The AuthZEN endpoints.
        Authzen = "authzen",
        /// nginx' `auth_request`.
        Nginx = "nginx",
        /// Forward authentication: Caddy, Traefik and their like.
        Forward = "forward",
        /// Envoy's ext_authz over HTTP.
        Envoy = "envoy",
        /// Envoy's gRPC ext_authz.
        Grpc = "grpc",
    }
}

impl Transport {
    /// The gateways' dialects.
    pub const GATEWAYS: [Self; 4] = [Self::Nginx, Self::Forward, Self::Envoy, Self::Grpc];
}

labels! {
    /// Why a gateway's request was refused before any policy was asked.
    RefusalReason {
        /// The path, or the method there, is not mapped.
        NoRoute = "no_route",
        /// No condition of the routes there holds.
        NoCase = "no_case",
        /// A route denies.
        DeniedByRoute = "denied_by_route",
        /// The body has a member, or the query a parameter, that the route does not list.
        UnknownField = "unknown_field",
        /// The path can be read in two ways.
        AmbiguousPath = "ambiguous_path",
        /// A value can be read in two ways.
        AmbiguousValue = "ambiguous_value",
        /// The host is missing or not valid.
        BadHost = "bad_host",
        /// A header, the query or the body asks for another method.
        MethodOverride = "method_override",
        /// A header asks for another path.
        PathOverride = "path_override",
        /// A header, the query or a form asks for a function of another page.
        ActionOverride = "action_override",
        /// A header names another host.
        HostOverride = "host_override",
        /// The client asks for an upgrade that the route does not allow.
        BadUpgrade = "bad_upgrade",
        /// A value is empty or of the wrong kind.
        BadValue = "bad_value",
        /// A value is not there.
        MissingValue = "missing_value",
        /// The body cannot be read.
        BadBody = "bad_body",
        /// Not all of the body was passed on.
        PartialBody = "partial_body",
        /// The gateway passes no bodies on.
        BodyNotForwarded = "body_not_forwarded",
        /// The body is too large, or was cut off.
        BodyUnread = "body_unread",
        /// The route is for other types of principal.
        PrincipalType = "principal_type",
        /// No rule of the route asks anything.
        NoCheck = "no_check",
        /// The check does not fit the schema.
        InvalidCheck = "invalid_check",
        /// What the gateway must say of a request is missing, or there twice.
        BadDescription = "bad_description",
        /// A header looks like one of those that name the caller.
        SpoofedHeader = "spoofed_header",
        /// The caller is not known.
        Unauthenticated = "unauthenticated",
        /// The issuer's keys are not there.
        KeysUnavailable = "keys_unavailable",
        /// No bundle is loaded.
        NotReady = "not_ready",
        /// The revision that was asked for is not there.
        RevisionNotReached = "revision_not_reached",
        /// It took too long.
        Deadline = "deadline",
        /// Others take all the room that there is.
        TooBusy = "too_busy",
        /// The decision log cannot take the record, and none may be lost.
        NotRecorded = "not_recorded",
        /// The sidecar is at fault.
        Internal = "internal",
    }
}

impl RefusalReason {
    /// The reason of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
    }

    /// Whether the sidecar is at fault, or the moment, and not the request.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::KeysUnavailable
                | Self::NotReady
                | Self::RevisionNotReached
                | Self::Deadline
                | Self::TooBusy
                | Self::NotRecorded
                | Self::Internal
        )
    }
}

labels! {
    /// What a decision came to.
    DecisionKind {
        /// Allowed.
        Allow = "allow",
        /// Denied.
        Deny = "deny",
        /// Refused before any policy was asked, for what was asked: it is malformed, does not fit the schema, or (of a
        /// gateway) has no route or no known caller.
        Invalid = "invalid",
        /// Not decided, for a reason of the sidecar's: no bundle, no time, no room, a fault.
        Error = "error",
        /// Not decided, since the revision that the caller asked for is not there: it has a precondition that is not met, and
        /// nothing is wrong with the sidecar.
        Unmet = "unmet",
    }
}

impl DecisionKind {
    /// What a question came to that was not decided, for the reason `code`. `fault` says whether the sidecar is at fault, or
    /// the moment, and not the request.
    #[must_use]
    pub fn of_failure(code: &str, fault: bool) -> Self {
        match (RefusalReason::named(code), fault) {
            (Some(RefusalReason::RevisionNotReached), _) => Self::Unmet,
            (_, true) => Self::Error,
            (_, false) => Self::Invalid,
        }
    }
}

labels! {
    /// Where new policies or entities came from.
    ReloadSource {
        /// The watched files.
        Files = "files",
        /// `PUT /v1/bundle`.
        Bundle = "bundle",
        /// Single changes of the API.
        Changes = "changes",
    }
}

labels! {
    /// The outcome of a load of new policies or entities.
    ReloadResult {
        /// They are active.
        Good = "good",
        /// They were rejected; the state before stays active.
        Bad = "bad",
        /// They were active already.
        Unchanged = "unchanged",
        /// They were changed before a change that the API has acknowledged since, and are skipped.
        Superseded = "superseded",
        /// Given up, since its sender left or the process ends.
        Abandoned = "abandoned",
    }
}

labels! {
    /// One of the listeners.
    Listener {
        /// Decisions and gateway endpoints.
        Decisions = "decisions",
        /// Admin API.
        Admin = "admin",
        /// Health and metrics alone.
        Ops = "ops",
        /// gRPC ext_authz.
        Grpc = "grpc",
    }
}

labels! {
    /// What a re-evaluation by the reference engine came to.
    VerifyResult {
        /// Both engines agree.
        Match = "match",
        /// They disagree.
        Mismatch = "mismatch",
        /// It was not re-evaluated: its budget was used up.
        Dropped = "dropped",
    }
}

labels! {
    /// What came of a decision that was to be counted for coverage.
    CoverageResult {
        /// It was counted.
        Counted = "counted",
        /// It was not: its budget was used up.
        Dropped = "dropped",
    }
}

labels! {
    /// The outcome of an authentication attempt.
    AuthResult {
        /// The caller is known: the evidence was verified or looked up.
        Verified = "verified",
        /// The caller is known: the token was verified before.
        Cached = "cached",
        /// There was no evidence.
        Missing = "missing",
        /// The evidence was refused.
        Refused = "refused",
        /// The keys to verify it with could not be had.
        Unavailable = "unavailable",
    }
}

labels! {
    /// What is reloaded to authenticate callers.
    IdentitySource {
        /// The key set of an issuer.
        Jwks = "jwks",
        /// The file of API tokens.
        ApiTokens = "api_tokens",
        /// The file of the admin API's tokens.
        AdminTokens = "admin_tokens",
    }
}

impl IdentitySource {
    /// What comes from it, for people.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Jwks => "issuer keys",
            Self::ApiTokens => "API tokens",
            Self::AdminTokens => "admin tokens",
        }
    }
}
