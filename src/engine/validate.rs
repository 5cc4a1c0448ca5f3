//! What `POST /v1/validate` and `palisade validate` answer: is this bundle any good?

use std::sync::Arc;

use serde::Serialize;

use crate::domain::{Bundle, Diagnostic};
use crate::engine::policies::Policies;
use crate::engine::schema::SchemaModel;
use crate::engine::settings::Limits;
use crate::engine::snapshot::{self, Observers};

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

/// Checks `bundle` whatever the operator's `validation` setting says.
///
/// Recurses with the nesting of the texts: call it through [`super::on_big_stack`].
#[must_use]
pub fn check(bundle: &Arc<Bundle>, limits: &Limits) -> Verdict {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let schema = match &bundle.schema {
        None => {
            errors.push(Diagnostic::error("schema", "there is no schema to validate against"));
            None
        }
        Some(text) => SchemaModel::build(text, limits).map_err(|found| errors.extend(found)).ok(),
    };
    let policies = Policies::build(bundle, limits).map_err(|found| errors.extend(found)).ok();
    if let Some(schema) = &schema {
        if let Some(policies) = &policies {
            let (found, noted) = snapshot::validate(policies, schema);
            errors.extend(found);
            warnings.extend(noted);
        }
        if let Err(found) = snapshot::load_bundle(bundle, Some(schema), limits, &Observers::default()) {
            errors.extend(found);
        }
    }
    Verdict { valid: errors.is_empty(), errors, warnings }
}
