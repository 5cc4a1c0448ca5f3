//! A file of routes as it can be written. The comments here are the published schema's descriptions.
//!
//! Only shape is decided here; what the values must mean is for `compile`.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::path::PathClass;
use crate::service::Service;
use crate::upgrade::Upgrade;

/// The JSON Schema of a file of routes.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<RawFile>().to_value()
}

/// Routes of one service for the gateway endpoints of the Palisade authorization sidecar.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a file of routes")]
#[schemars(title = "routes.yaml")]
pub(super) struct RawFile {
    /// What types and actions without `::` belong to, such as `Fleet`.
    pub(super) namespace: Option<String>,
    /// The hosts whose requests these routes are for: `api.example.com`, or `*.example.com` for all below. Without it, or as `*` alone, all hosts.
    pub(super) hosts: Texts,
    /// What stands before the path of every route, such as `/api/v1`. Several mean that each route is there under each.
    pub(super) prefix: Texts,
    /// Where the credential of these requests is. Without it, where the configuration says.
    pub(super) credential: Option<RawCredential>,
    /// How the service behind these routes reads a request.
    pub(super) service: Service,
    /// What holds for every route that says nothing else.
    pub(super) defaults: RawDefaults,
    /// The routes.
    pub(super) routes: Vec<RawRoute>,
}

/// Where a credential is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a credential, such as `{header: authorization, scheme: Bearer}`")]
pub(super) struct RawCredential {
    /// The header. `cookie` needs `name`.
    pub(super) header: String,
    /// The name of the cookie that holds the credential, where the header is `cookie`.
    pub(super) name: Option<String>,
    /// The words that may stand before the credential, in any case. An empty one means that it stands there alone, as it does in a cookie. Without it, `Bearer`.
    pub(super) scheme: Option<Texts>,
}

impl Default for RawCredential {
    fn default() -> Self {
        Self { header: "authorization".to_owned(), name: None, scheme: None }
    }
}

/// What holds for every route of a file that says nothing else.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "an object of defaults")]
pub(super) struct RawDefaults {
    /// The types of principal that may ask.
    pub(super) principal: Texts,
    /// The ambiguities of a path that are allowed.
    pub(super) allow_paths: Vec<PathClass>,
    /// Further checks and refusals for every route of the file that checks something.
    pub(super) also: Vec<RawRule>,
}

/// One route: what it matches, and the check that it becomes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a route, an object with `action` or `public` or `deny`")]
pub(super) struct RawRoute {
    /// Methods and path, such as `GET /devices/{id}` or `PUT,PATCH /devices/{id}`; or a list of them.
    #[serde(rename = "match")]
    pub(super) matches: Texts,
    /// Conditions on the request that must all hold, such as `body.id present`, `body.id absent`, `body.id given`, `body.ids empty`, `body.ids not empty`, `query.kind is a or b`, `query.kind is not a`. Routes with the same match must exclude one another by them.
    pub(super) when: Texts,
    /// No authentication, no check.
    pub(super) public: bool,
    /// The request is refused, for this reason.
    pub(super) deny: Option<String>,
    /// The types of principal that may ask. Without it, all.
    pub(super) principal: Texts,
    /// A stored entity that the request names, such as `Location::{path.id}`. The entities that its attributes refer to are `record.ATTRIBUTE`.
    pub(super) record: Option<String>,
    /// A list in the request, such as `body.devices`: one check for each element, and all of them must allow.
    pub(super) each: Option<String>,
    /// The action, such as `ViewDevice`.
    pub(super) action: Option<String>,
    /// The resource: `Device::{path.id}`, `self` for the principal, `token` for the token that was shown.
    pub(super) resource: Option<String>,
    /// Members of the context. A name that ends with `?` is left out where the request has no value for it.
    pub(super) context: BTreeMap<String, RawValue>,
    /// Further checks for the same request. All of them must allow, as far as their conditions hold.
    pub(super) also: Vec<RawRule>,
    /// The members that the body may have besides those that the route reads. With it, a body with any other is refused; without it, the route does not look.
    pub(super) fields: Option<Texts>,
    /// The parameters that the query may have besides those that the route reads. With it, a query with any other is refused; without it, the route does not look.
    pub(super) parameters: Option<Texts>,
    /// The ambiguities of a path that this route's service is known to read as the sidecar does.
    pub(super) allow_paths: Vec<PathClass>,
    /// What the connection may become: `websocket`. Without it, a request that asks for any upgrade is refused.
    pub(super) upgrade: Option<Upgrade>,
    /// For people who read the file, and for `palisade routes list`.
    pub(super) comment: Option<String>,
}

/// A further check.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a check, an object with `action` or `deny`")]
pub(super) struct RawRule {
    /// Conditions that must all hold for the check to be made; also `body.owner differs from resource.owner`.
    pub(super) when: Texts,
    /// The request is refused, for this reason.
    pub(super) deny: Option<String>,
    /// One check for each element of this list.
    pub(super) each: Option<String>,
    /// The action.
    pub(super) action: Option<String>,
    /// The resource. Without it, the route's.
    pub(super) resource: Option<String>,
    /// Members of the context.
    pub(super) context: BTreeMap<String, RawValue>,
}

/// A value of the context: `Customer::{body.customer}`, `{query.mode}`, a text, a number or a truth value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text such as `Customer::{body.customer}`, a whole number, `true` or `false`")]
pub(super) enum RawValue {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text, or a template.
    Text(String),
}

/// One text, or a list of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Texts(pub(super) Vec<String>);

impl JsonSchema for Texts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}

impl serde::Serialize for Texts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}
