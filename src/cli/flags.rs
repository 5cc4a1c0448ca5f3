//! The configuration that a verb works with: the flags that name it and set its keys.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::cli::SemanticsArg;
use crate::cli::exit::Stop;
use crate::config::{self, Settings};

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

    /// What sets a key, besides the flags of a verb: the configuration file with the line, a variable, or `--set`. Nothing
    /// where it has its default.
    pub fn origin(&self, key: &[&str]) -> Option<String> {
        let tree = self.tree().ok()?;
        config::origin(self.config.as_deref(), config::environment(), &tree, key).map(|origin| origin.to_string())
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

/// A YAML value, or the text as it is where it is not YAML: `[::1]:8180` needs no quotes.
fn value_of(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, palisade_text::yaml::options()).unwrap_or_else(|_| Value::from(text))
}

/// Sets how decisions are made, if a flag says so.
pub(super) fn set_semantics(tree: &mut Value, semantics: Option<SemanticsArg>) {
    if let Some(semantics) = semantics {
        set(tree, &["decision", "semantics"], word(&semantics));
        // it is about both rules, whatever the file says of one
        let meant = match semantics {
            SemanticsArg::Strict => "deny",
            SemanticsArg::Cedar => "cedar",
        };
        for rule in ["forbid_errors", "unknown_entities"] {
            set(tree, &["decision", rule], Value::from(meant));
        }
    }
}

/// The word of the configuration for a choice of the command line.
pub(super) fn word(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map_or(Value::Null, |value| Value::from(value.get_name()))
}
