//! How a command ends: exit codes, and the errors that stop a verb.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit code of the process. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well, or the decision is allow.
    Success = 0,
    /// The command could not do its work.
    Failure = 1,
    /// The decision is deny.
    Deny = 2,
    /// The bundle does not validate.
    Invalid = 3,
    /// No decision is possible: the bundle or the request cannot be used.
    Undecided = 4,
    /// A test failed, or there was none to run.
    TestsFailed = 5,
    /// The configuration or the command line is wrong.
    Usage = 64,
}

/// Why a verb stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// The message, without a prefix; may have several lines, or none if all was reported already.
    pub message: String,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Stop ===

impl Stop {
    /// The command could not do its work.
    pub fn failure(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, message: message.into() }
    }

    /// The configuration or the command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// Everything was reported already.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self { exit, message: String::new() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::failure(error.to_string())
    }
}
