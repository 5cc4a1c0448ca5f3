//! Everything a decision is made from, immutable, under one revision.

use std::sync::Arc;

use cedar_policy::{Entities, ValidationMode, ValidationWarning, Validator};

use crate::domain::{AccessRequest, Bundle, Decision, Diagnostic, RequestError, Revision, Uid, Value};
use crate::engine::conform;
use crate::engine::diagnose;
use crate::engine::entities;
use crate::engine::policies::Policies;
use crate::engine::reference;
use crate::engine::schema::SchemaModel;
use crate::engine::settings::{EngineSettings, Validation};

/// One state of schema, policies and entities. They are built together and never change apart.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) revision: Revision,
    pub(super) settings: EngineSettings,
    pub(super) schema: Option<SchemaModel>,
    pub(super) policies: Policies,
    pub(super) entities: Entities,
    bundle: Arc<Bundle>,
}

impl Snapshot {
    /// Builds the state that `bundle` describes. Returns it with the warnings that its author should see.
    ///
    /// Recurses with the nesting of the texts: call it through [`super::on_big_stack`].
    ///
    /// # Errors
    /// Every problem found. Nothing of a faulty bundle is ever used.
    pub fn build(
        bundle: Arc<Bundle>,
        settings: &EngineSettings,
        revision: Revision,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let limits = &settings.limits;
        let mut problems = Vec::new();
        let schema = match bundle.schema.as_ref().map(|text| SchemaModel::build(text, limits)).transpose() {
            Ok(schema) => schema,
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        let schema_failed = !problems.is_empty();
        let policies = Policies::build(&bundle, limits).map_err(|found| problems.extend(found)).ok();
        // checked against no schema, every attribute would be reported
        let entities = if schema_failed {
            None
        } else {
            entities::build(&bundle.entities, schema.as_ref(), limits).map_err(|found| problems.extend(found)).ok()
        };
        let mut warnings = Vec::new();
        match (&policies, &schema, settings.validation) {
            (_, _, Validation::Off) => {}
            (_, None, Validation::Strict) if !schema_failed => problems.push(
                Diagnostic::error("schema", "there is no schema, so the policies cannot be validated")
                    .help("add one to the bundle, or set `validation` to `warn` or `off`"),
            ),
            (Some(policies), Some(schema), validation) => {
                let (errors, found) = validate(policies, schema);
                warnings.extend(found);
                match validation {
                    Validation::Strict => problems.extend(errors),
                    _ => warnings.extend(errors.into_iter().map(Diagnostic::warning)),
                }
            }
            _ => {}
        }
        match (policies, entities) {
            (Some(policies), Some(entities)) if problems.is_empty() => {
                Ok((Self { revision, settings: settings.clone(), schema, policies, entities, bundle }, warnings))
            }
            _ => Err(problems),
        }
    }

    /// Decides one request. `now` is the sidecar's clock in milliseconds since 1970.
    ///
    /// # Errors
    /// If the request does not fit the schema, or its values are no Cedar values.
    pub fn decide(&self, request: &AccessRequest<'_>, now: i64) -> Result<Decision, RequestError> {
        reference::decide(self, request, now)
    }

    /// Which state this is.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The texts it was built from.
    #[must_use]
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// How many policies can decide.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policies.count()
    }

    /// How many entities are stored, actions of the schema not counted.
    #[must_use]
    pub fn entity_count(&self) -> usize {
        let actions = self.schema.as_ref().map_or(0, |schema| schema.action_count());
        self.entities.len().saturating_sub(actions)
    }

    /// The texts of policies and templates by id, as `PUT /v1/bundle` takes them, sorted by id.
    #[must_use]
    pub fn policy_texts(&self) -> Vec<(&str, &str)> {
        let links: std::collections::HashSet<&str> =
            self.bundle.links.iter().map(|link| link.link_id.as_str()).collect();
        let mut texts: Vec<(&str, &str)> = self
            .policies
            .sites
            .iter()
            .filter(|(id, _)| !links.contains(&***id))
            .map(|(id, site)| (&**id, site.text()))
            .collect();
        texts.sort_unstable();
        texts
    }

    /// Keeps what the schema declares in the context of `action`; names what it dropped in `dropped`.
    #[must_use]
    pub fn conform_context<'a>(&self, action: &Uid<'_>, context: Value<'a>, dropped: &mut Vec<String>) -> Value<'a> {
        match &self.schema {
            Some(schema) => match schema.context(action) {
                Some(declared) => conform::members(context, Some(declared), "context", dropped),
                None => context,
            },
            None => conform::members(context, None, "context", dropped),
        }
    }

    /// Keeps what the schema declares as attributes of `type_name`; names what it dropped in `dropped`.
    #[must_use]
    pub fn conform_attributes<'a>(
        &self,
        type_name: &str,
        attributes: Value<'a>,
        prefix: &str,
        dropped: &mut Vec<String>,
    ) -> Value<'a> {
        let none = std::collections::BTreeMap::new();
        let declared = self
            .schema
            .as_ref()
            .map(|schema| schema.entity_type(type_name).map_or(&none, |declared| &declared.attributes));
        conform::members(attributes, declared, prefix, dropped)
    }
}

/// Errors and warnings of Cedar's strict validation.
///
/// A policy whose scope no action fits is an error here, as it was in Cedar until it became a warning and
/// as the public corpus still has it: it can never apply, so what its author wanted is not enforced.
pub(super) fn validate(policies: &Policies, schema: &SchemaModel) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let result = Validator::new(schema.cedar.clone()).validate(&policies.set, ValidationMode::Strict);
    let locate = |id: &str, error: &dyn miette::Diagnostic| match policies.sites.get(id) {
        Some(site) => diagnose::one(&site.origin, &site.source, error).policy(id),
        None => diagnose::one("policies", "", error).policy(id),
    };
    let mut errors: Vec<Diagnostic> =
        result.validation_errors().map(|error| locate(error.policy_id().as_ref(), error)).collect();
    let mut warnings = Vec::new();
    for warning in result.validation_warnings() {
        let found = locate(warning.policy_id().as_ref(), warning);
        match warning {
            ValidationWarning::InvalidActionApplication(_) => errors.push(found),
            _ => warnings.push(found.warning()),
        }
    }
    let key = |d: &Diagnostic| (d.origin.clone(), d.line, d.column, d.message.clone());
    errors.sort_by_key(key);
    warnings.sort_by_key(key);
    (errors, warnings)
}
