//! `palisade serve`: flags as a part of the configuration, then the sidecar.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::cli::exit::{Exit, Stop};
use crate::config::{self, Settings};
use crate::{app, telemetry};

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file [default: $PALISADE_CONFIG, or ./palisade.yaml if it exists]
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration, such as `--set cache.enabled=false`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub set: Vec<String>,
}

/// Flags of `palisade serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Directory of the policies and the schema [key: policies]
    #[arg(short, long, value_name = "PATH")]
    pub policies: Option<PathBuf>,
    /// Directory of the entities [key: entities]
    #[arg(long, value_name = "PATH")]
    pub entities: Option<PathBuf>,
    /// File or directory of the gateway's routes [key: routes]
    #[arg(long, value_name = "PATH")]
    pub routes: Option<PathBuf>,
    /// Address for decisions: `ip:port` or `unix:/path` [key: listen.decisions]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address of the admin API, or `off` [key: listen.admin]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// What becomes of policies that do not validate [key: validation]
    #[arg(long, value_enum)]
    pub validation: Option<ValidationArg>,
    /// How the log is written [key: log.format]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormatArg>,
    /// What is logged, such as `info` or `palisade=debug` [key: log.level]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What becomes of policies that do not validate.
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
pub fn run(args: &ServeArgs) -> Result<Exit, Stop> {
    let settings = args.config.load(args.tree()?)?;
    start(settings)
}

/// Serves until the process is told to end.
fn start(settings: Settings) -> Result<Exit, Stop> {
    let _log = telemetry::logging::init(&settings.log).map_err(|error| Stop::usage(error.to_string()))?;
    app::serve(settings, super::progress::observers()).map_err(|error| Stop::failure(error.to_string()))?;
    Ok(Exit::Success)
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The part of the configuration that the flags set.
    ///
    /// # Errors
    /// If a `--set` has no key.
    pub fn tree(&self) -> Result<Value, Stop> {
        let mut tree = self.config.tree()?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::from(path.to_string_lossy()));
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        // flags of their own win over `--set`
        for (key, value) in [
            (&["policies"][..], path(&self.policies)),
            (&["entities"], path(&self.entities)),
            (&["routes"], path(&self.routes)),
            (&["listen", "decisions"], text(&self.listen)),
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

// === impl ConfigArgs ===

impl ConfigArgs {
    /// The part of the configuration that `--set` sets.
    ///
    /// # Errors
    /// If one has no key.
    pub fn tree(&self) -> Result<Value, Stop> {
        let mut tree = Value::Object(Map::new());
        for item in &self.set {
            let wrong = || Stop::usage(format!("`--set {item}`: write `key=value`, such as `cache.enabled=false`"));
            let (key, value) = item.split_once('=').ok_or_else(wrong)?;
            let path: Vec<&str> = key.trim().split('.').collect();
            if path.iter().any(|part| part.is_empty()) {
                return Err(wrong());
            }
            set(&mut tree, &path, value_of(value));
        }
        Ok(tree)
    }

    /// Reads and checks the configuration, with `flags` over file and environment.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn load(&self, flags: Value) -> Result<Settings, Stop> {
        config::load(self.config.as_deref(), config::environment(), flags)
            .map_err(|errors| Stop::usage(errors.to_string()))
    }
}

/// Puts `value` at `path`, making the levels that are missing.
pub(super) fn set(tree: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    if let Some(members) = tree.as_object_mut() {
        set(members.entry(*first).or_insert(Value::Null), rest, value);
    }
}

/// A YAML value, or the text as it is where it is none: `[::1]:8180` needs no quotes.
fn value_of(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, crate::config::yaml::options()).unwrap_or_else(|_| Value::from(text))
}

fn word(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map_or(Value::Null, |value| Value::from(value.get_name()))
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
            ("--policies p --entities e", json!({"policies": "p", "entities": "e"})),
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
        args.config.set = vec!["authzen.types={user: User}".to_owned()];
        assert_eq!(args.tree().unwrap(), json!({"authzen": {"types": {"user": "User"}}}));
        for wrong in ["cache", "=1", "a..b=1", ".a=1"] {
            args.config.set = vec![wrong.to_owned()];
            assert_eq!(args.tree().unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
