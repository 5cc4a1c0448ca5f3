//! What `POST /v1/validate` and `palisade validate` answer: is this bundle any good?

use std::sync::Arc;

use serde::Serialize;

use crate::domain::{Bundle, Diagnostic};
use crate::engine::policies::{Policies, Work};
use crate::engine::schema::SchemaModel;
use crate::engine::settings::Limits;
use crate::engine::snapshot::{self, Observers};
use crate::engine::validating::Validating;

/// The verdict on a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether everything parses and the policies pass Cedar's strict validation.
    pub valid: bool,
    /// What makes it invalid.
    pub errors: Vec<Diagnostic>,
    /// What its author should look at.
    pub warnings: Vec<Diagnostic>,
}

/// Checks `bundle` whatever the operator's `validation` setting says, until `stop` says that nobody waits any more.
///
/// Recurses with the nesting of the texts: call it through [`super::on_big_stack`].
#[must_use]
pub fn check(bundle: &Arc<Bundle>, limits: &Limits, stop: &dyn Fn() -> bool) -> Verdict {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let schema = match &bundle.schema {
        None => {
            errors.push(Diagnostic::error("schema", "there is no schema to validate against"));
            None
        }
        Some(text) => SchemaModel::build(text, limits).map_err(|found| errors.extend(found)).ok(),
    };
    let validating = schema.as_ref().map(|schema| Validating::new(schema, limits));
    let mut work = Work { validating, compiling: None, keep: 0, stop };
    match Policies::build(bundle, limits, &mut work) {
        Ok(policies) => {
            let (found, noted) = work.validating.map(|validating| validating.finish(stop)).unwrap_or_default();
            errors.extend(found);
            warnings.extend(noted);
            warnings.extend(policies.unlinked());
        }
        Err(found) => errors.extend(found),
    }
    if let Some(schema) = &schema
        && !stop()
        && let Err(found) = snapshot::load_bundle(bundle, Some(schema), limits, &Observers::default(), stop)
    {
        errors.extend(found);
    }
    Verdict { valid: errors.is_empty(), errors, warnings }
}
