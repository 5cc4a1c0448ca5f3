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
    /// The way a decision was asked for.
    Transport {
        /// `POST /v1/is_authorized`.
        Native = "native",
        /// `POST /v1/is_authorized/batch`.
        Batch = "batch",
        /// The AuthZEN endpoints.
        Authzen = "authzen",
        /// The gateway endpoints over HTTP.
        Gateway = "gateway",
        /// Envoy's gRPC ext_authz.
        Grpc = "grpc",
    }
}

labels! {
    /// What a decision came to.
    DecisionKind {
        /// Allowed.
        Allow = "allow",
        /// Denied.
        Deny = "deny",
        /// Not decided: the request was malformed, or the sidecar could not decide.
        Error = "error",
    }
}

labels! {
    /// Where new policies or entities came from.
    ReloadSource {
        /// The watched files.
        Files = "files",
        /// `PUT /v1/bundle`.
        Bundle = "bundle",
        /// `PATCH /v1/entities`.
        Patch = "patch",
        /// A change feed.
        Feed = "feed",
    }
}

labels! {
    /// What became of new policies or entities.
    ReloadResult {
        /// They are in force.
        Good = "good",
        /// They were refused; the state before stays in force.
        Bad = "bad",
        /// They are what was in force already.
        Unchanged = "unchanged",
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
    /// What became of the question who is calling.
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
    /// What callers are known by.
    IdentitySource {
        /// The key set of an issuer.
        Jwks = "jwks",
        /// The file of API tokens.
        ApiTokens = "api_tokens",
    }
}
