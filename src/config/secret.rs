//! Text that is not to be shown: it is read, and it is written as `***` wherever it goes.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A secret of the configuration.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub struct Secret(String);

/// The most characters of a token.
const MOST: usize = 512;

impl Secret {
    /// The fewest characters of a token.
    pub(super) const LEAST: usize = 16;

    /// A bearer token.
    ///
    /// # Errors
    /// If the text is no token. What is said does not quote it.
    pub fn token(text: &str) -> Result<Self, String> {
        if text.len() < Self::LEAST || text.len() > MOST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("a token has {} to {MOST} visible ASCII characters and no space", Self::LEAST));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, to be compared or sent; never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;
        impl SecretVisitor {
            // not the reader's own message, which would quote the value
            fn wrong<E: Error>(self) -> Result<Secret, E> {
                Err(E::custom("must be text, in quotes"))
            }
        }
        impl Visitor<'_> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
                Ok(Secret(value.to_owned()))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                self.wrong()
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                self.wrong()
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                self.wrong()
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                self.wrong()
            }
        }
        deserializer.deserialize_any(SecretVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = serde_json::from_str("\"correct-horse-battery\"").unwrap();
        assert_eq!(secret.expose(), "correct-horse-battery");
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
        for wrong in ["1234567890123456", "-1234567890123456", "1234567890.123456", "true"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(error.contains("in quotes") && !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn tokens() {
        let long = "x".repeat(512);
        for good in ["0123456789abcdef", "!~-._+/=0123456789", &long] {
            assert_eq!(Secret::token(good).unwrap().expose(), good);
        }
        let longer = "x".repeat(513);
        for wrong in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", "0123456789abcdé", &longer] {
            let error = Secret::token(wrong).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
