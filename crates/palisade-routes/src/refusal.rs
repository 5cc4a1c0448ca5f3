//! Why a request gets no check: a denial that the route table itself pronounces.

use std::fmt;

/// What kind of answer a refusal is. Dialects make statuses of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// 400: no client that means well sends this.
    BadRequest,
    /// 401: the caller is not authenticated.
    Unauthorized,
    /// 403: known, and not allowed.
    Forbidden,
}

/// A refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of answer.
    pub status: StatusClass,
    /// A stable word for programs, such as `no_route`.
    pub code: &'static str,
    /// What is wrong, for the log and for `palisade routes explain`. Holds nothing that the client sent.
    pub message: String,
    /// The route that refuses, if one matched, as `file:line`.
    pub route: Option<String>,
}

impl Refusal {
    /// No client that means well sends this.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusClass::BadRequest, code, message: message.into(), route: None }
    }

    /// The caller is not known.
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusClass::Unauthorized, code, message: message.into(), route: None }
    }

    /// Not allowed.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusClass::Forbidden, code, message: message.into(), route: None }
    }

    /// The same refusal by the route at `place`.
    #[must_use]
    pub fn by(mut self, place: &str) -> Self {
        self.route.get_or_insert_with(|| place.to_owned());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
