//! What a file of routes says of the service behind it: what it ignores, and how its router takes a path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The service that the routes of a file are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Whether the service's router distinguishes `/Admin` from `/admin`. `ignored` if it does not, as Express does not by default: then literals of paths are compared without case.
    pub path_case: Option<PathCase>,
    /// Whether the service's router distinguishes `/users.json` from `/users`. `format` if it does not, as Rails does not by default: then a suffix at the end of a path is taken off before literals are compared, and no capture takes it. Without it, where a literal could be meant the request is refused.
    pub suffixes: Option<Suffixes>,
    /// What of a client's the service does not obey. A request that has it is refused otherwise.
    pub ignores: Vec<Ignored>,
}

/// Whether the case of a path counts for a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathCase {
    /// `/Admin` is another path than `/admin`.
    Exact,
    /// `/Admin` is `/admin`.
    Ignored,
}

/// Whether a suffix at the end of a path counts for a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suffixes {
    /// `/users.json` is another path than `/users`.
    Exact,
    /// `/users.json` is `/users`, in another format.
    Format,
}

/// What asks a service for another request than the one that its request line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// Another method: `X-HTTP-Method-Override` and its like, `_method` in the query, in a form or in JSON, and `method` there
    /// where it is another method.
    MethodOverride,
    /// Another path: `X-Original-URL`, `X-Rewrite-URL`, `X-Accel-Mapping` and their like.
    PathOverride,
    /// Another page's function: `Next-Action`, `X-QRL`, `_action` in the query.
    ActionOverride,
    /// Another host: `Forwarded`, `X-Forwarded-Host` and their like, where they name another than the request.
    HostOverride,
    /// Another value of a capture of the path: a parameter of the query, a field of a form or a member
    /// of the JSON body that is called like the capture.
    CaptureOverride,
    /// Another value for a parameter of the query: a field of that name in the body.
    BodyParameters,
}

impl Service {
    /// Whether literals of its paths are compared without case.
    #[must_use]
    pub fn folds(&self) -> bool {
        self.path_case == Some(PathCase::Ignored)
    }
}
