//! Paths of context attributes that the decision log hides.

use std::fmt;

/// A path below `context`, such as `auth.method` or `auth.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskPath(Vec<MaskStep>);

/// One level of a [`MaskPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskStep {
    /// Every attribute of the level.
    Any,
    /// The attribute with this name.
    Key(String),
}

impl MaskPath {
    /// Its levels from the outside in; at least one.
    #[must_use]
    pub fn steps(&self) -> &[MaskStep] {
        &self.0
    }

    /// Its levels as names, `None` for every attribute of a level.
    #[must_use]
    pub fn names(&self) -> Vec<Option<String>> {
        let name = |step: &MaskStep| match step {
            MaskStep::Any => None,
            MaskStep::Key(name) => Some(name.clone()),
        };
        self.0.iter().map(name).collect()
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "context" || text.starts_with("context.") {
            // taken literally it would hide nothing, without any error
            let rest = text.strip_prefix("context.").filter(|rest| !rest.is_empty()).unwrap_or("*");
            return Err(format!("`{text}` repeats `context`: paths start below it, so write `{rest}`"));
        }
        let steps = text.split('.').map(|step| match step {
            "" => Err(format!("`{text}` has an empty level: write dotted names, such as `auth.method`")),
            "*" => Ok(MaskStep::Any),
            step if step.contains('*') => {
                Err(format!("`{step}` in `{text}`: a `*` stands for a whole level, not for part of a name"))
            }
            step if step.contains(char::is_whitespace) || step.contains(['[', ']']) => {
                Err(format!("`{step}` in `{text}` is not a name: write dotted names, such as `auth.method`"))
            }
            step => Ok(MaskStep::Key(step.to_owned())),
        });
        steps.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for MaskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            let dot = if i > 0 { "." } else { "" };
            match step {
                MaskStep::Any => write!(f, "{dot}*")?,
                MaskStep::Key(key) => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for text in ["ip", "auth.method", "auth.*", "*", "*.token"] {
            assert_eq!(MaskPath::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "auth.", "auth..x", "tok*", "a b", "list[0]", "context", "context.auth"] {
            assert!(MaskPath::parse(text).is_err(), "{text:?}");
        }
    }
}
