//! The `listen` and `admin` sections as they can be written.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;
use crate::config::units::ByteSize;

section! {
    /// Where the sidecar listens.
    RawListen {
        /// Decisions and gateway endpoints.
        decisions: Address = Address("127.0.0.1:8180".to_owned()),
        /// The admin API, health and metrics; `off` for none. An address that other machines reach needs `admin.token_file` or `admin.tokens`.
        admin: Address = Address("127.0.0.1:8181".to_owned()),
        /// Health and metrics alone, so that they can be opened without the admin API; absent or `off` for none.
        ops: Option<Address> = None,
        /// Envoy's gRPC ext_authz; `off` for none.
        grpc: Address = Address(crate::config::DEFAULT_GRPC.to_owned()),
        /// Permissions of Unix sockets, whatever the umask: octal, such as `0660`, for all of them, or by listener, such as `{decisions: 0666}`. By default `0660`, and `0600` for the admin API.
        socket_mode: Option<RawSocketMode> = None,
        /// Group of Unix sockets, by name or number. Absent: the group of the process.
        socket_group: Option<SocketGroup> = None,
    }
}

section! {
    /// The admin API.
    RawAdmin {
        /// File of the bearer tokens, one a line, of which admin requests must carry one. Relative to the working directory; read again when it changes and on SIGHUP.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_file: Option<String> = None,
        /// Bearer tokens in addition to those of the file; for the environment, since a file keeps them better.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<Vec<Secret>>", extend("writeOnly" = true))]
        tokens: Option<Vec<Option<Secret>>> = None,
        /// Host names that the admin API is called by, in addition to `localhost`, names that end with `.localhost`, and IP addresses. A request with another name is refused.
        #[schemars(with = "Vec<String>")]
        hosts: Vec<Option<String>> = Vec::new(),
        /// The largest body that the admin API takes. Bytes, or with a unit.
        max_body_bytes: ByteSize = ByteSize::mib(256),
        /// How many bytes of bodies and answers the admin and ops listeners hold at a time, of all requests. Beyond that they answer 503. A request that is alone is bounded by `max_body_bytes` only. Bytes, or with a unit.
        max_inflight_bytes: ByteSize = ByteSize::mib(256),
    }
}

/// The text of a listener's address. A bare port arrives as a number; what is wrong with it is said later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) struct Address(pub(in crate::config) String);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber("an address")).map(Self)
    }
}

/// A group's name, or its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) struct SocketGroup(pub(in crate::config) String);

impl<'de> Deserialize<'de> for SocketGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber("the name or number of a group")).map(Self)
    }
}

struct TextOrNumber(&'static str);

impl Visitor<'_> for TextOrNumber {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}

/// Permissions, for all sockets or by listener. Digits are read later, where their place is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::config) enum RawSocketMode {
    All(String),
    ByListener(BTreeMap<String, String>),
}

impl JsonSchema for RawSocketMode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SocketMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mode = serde_json::json!({ "type": "string", "pattern": "^0?[0-7]{3}$" });
        let names = ["decisions", "admin", "ops", "grpc"];
        let each: serde_json::Map<_, _> = names.into_iter().map(|name| (name.to_owned(), mode.clone())).collect();
        json_schema!({
            "anyOf": [mode, { "type": "object", "properties": each, "additionalProperties": false }]
        })
    }
}

/// The message about a number: YAML readers do not agree on what `660` or `0o660` is.
const NOT_A_MODE: &str =
    "must be octal digits with a leading zero, such as `0660`, or a mapping such as `{decisions: 0666}`";

impl<'de> Deserialize<'de> for RawSocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModeVisitor;
        impl<'de> Visitor<'de> for ModeVisitor {
            type Value = RawSocketMode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octal permissions")
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<RawSocketMode, E> {
                Err(E::custom(NOT_A_MODE))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawSocketMode, E> {
                Ok(RawSocketMode::All(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSocketMode, A::Error> {
                let modes = BTreeMap::<String, serde_json::Value>::deserialize(MapAccessDeserializer::new(map))?;
                let modes = modes.into_iter().map(|(name, mode)| match mode {
                    serde_json::Value::String(mode) => Ok((name, mode)),
                    _ => Err(A::Error::custom(NOT_A_MODE)),
                });
                modes.collect::<Result<_, _>>().map(RawSocketMode::ByListener)
            }
        }
        deserializer.deserialize_any(ModeVisitor)
    }
}
