//! `palisade serve`: flags as a part of the configuration, then the sidecar.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::app::{self, AppError};
use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::flags::{set, word};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `palisade serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Address for decisions: `ip:port` or `unix:/path` [key: listen.decisions]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address of the admin API, or `off` [key: listen.admin]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// What happens to policies that do not validate [key: validation]
    #[arg(long, value_enum)]
    pub validation: Option<ValidationArg>,
    /// Format of the log [key: log.format]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormatArg>,
    /// What is logged, such as `info` or `palisade=debug` [key: log.level]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What happens to policies that do not validate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ValidationArg {
    /// They are refused.
    Strict,
    /// They are loaded and reported.
    Warn,
    /// They are loaded without validation.
    Off,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    Human,
    /// A JSON object a line.
    Json,
}

/// Runs the verb until the sidecar ends.
///
/// # Errors
/// If the configuration is wrong, or the sidecar cannot start.
pub(super) fn run(args: &ServeArgs) -> Result<Exit, Stop> {
    let settings = args.bundle.config.load(args.tree()?)?;
    start(settings)
}

/// Serves until the process is asked to stop.
fn start(settings: Settings) -> Result<Exit, Stop> {
    let _log = telemetry::logging::init(&settings.log).map_err(|error| Stop::usage(error.to_string()))?;
    app::serve(settings, super::progress::observers()).map_err(|error| ended(&error))?;
    Ok(Exit::Success)
}

/// Why it ended. Where the log is for programs, that is a line of it like any other.
fn ended(error: &AppError) -> Stop {
    if !telemetry::logging::is_json() {
        return Stop::failure(error.to_string());
    }
    tracing::error!("{}", error.line());
    Stop::failure("")
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The part of the configuration that the flags set.
    ///
    /// # Errors
    /// If a `--set` has no key.
    pub fn tree(&self) -> Result<Value, Stop> {
        let mut tree = self.bundle.tree()?;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        // flags of their own win over `--set`
        for (key, value) in [
            (&["listen", "decisions"][..], text(&self.listen)),
            (&["listen", "admin"], text(&self.admin_listen)),
            (&["validation"], self.validation.as_ref().map(word)),
            (&["log", "format"], self.log_format.as_ref().map(word)),
            (&["log", "level"], text(&self.log_level)),
        ] {
            if let Some(value) = value {
                set(&mut tree, key, value);
            }
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn flags_are_a_part_of_the_configuration() {
        for (flags, expected) in [
            ("", json!({})),
            ("--policies p --entities e -s s", json!({"policies": "p", "schema": "s", "entities": "e"})),
            ("--routes r.yaml", json!({"routes": "r.yaml"})),
            (
                "--listen [::1]:8180 --admin-listen off --validation off --log-format json --log-level debug",
                json!({"listen": {"decisions": "[::1]:8180", "admin": "off"}, "validation": "off", "log": {"format": "json", "level": "debug"}}),
            ),
            (
                "--set cache.enabled=false --set cache.max_bytes=64MiB --set listen.decisions=[::1]:1 --set http.max_batch=7",
                json!({"cache": {"enabled": false, "max_bytes": "64MiB"}, "listen": {"decisions": "[::1]:1"}, "http": {"max_batch": 7}}),
            ),
            ("--set validation=off --set log.level=a=b", json!({"validation": "off", "log": {"level": "a=b"}})),
            ("--set validation=warn --validation strict", json!({"validation": "strict"})),
            ("--set a=1 --set a.b=2", json!({"a": {"b": 2}})),
        ] {
            let cli = Cli::try_parse_from(
                ["palisade", "serve"].into_iter().chain(flags.split(' ').filter(|f| !f.is_empty())),
            );
            let Command::Serve(args) = cli.unwrap().command else { panic!() };
            assert_eq!(args.tree().unwrap(), expected, "{flags}");
        }
        let mut args = ServeArgs::default();
        args.bundle.config.set = vec!["authzen.types={user: User}".to_owned()];
        assert_eq!(args.tree().unwrap(), json!({"authzen": {"types": {"user": "User"}}}));
        for wrong in ["cache", "=1", "a..b=1", ".a=1"] {
            args.bundle.config.set = vec![wrong.to_owned()];
            assert_eq!(args.tree().unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
