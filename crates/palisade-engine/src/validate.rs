//! What `POST /v1/validate` and `palisade validate` answer: is this bundle any good?

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::data_rules::Rules;
use crate::ids::TemplateIx;
use crate::lint;
use crate::model::{Bundle, Diagnostic};
use crate::policies::named::Named;
use crate::policies::{FromData, Policies, Work};
use crate::schema::SchemaModel;
use crate::settings::{Limits, Semantics};
use crate::site::Kind;
use crate::snapshot::{self, Loaded, Observers};
use crate::validating::{IMPOSSIBLE_ACTION, Validated, Validating};

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

/// What is said where a bundle has no schema.
pub const NO_SCHEMA: &str = "there is no schema to validate against";

impl Verdict {
    /// The same as Cedar's strict validator judges: since 4.14 it only warns of a policy that fits no action, which strict
    /// loading refuses all the same.
    #[must_use]
    pub fn as_cedar_judges(self) -> Self {
        let Self { errors, mut warnings, .. } = self;
        let is_warning = |found: &Diagnostic| found.rule == Some(IMPOSSIBLE_ACTION);
        let (only_warned, errors): (Vec<_>, Vec<_>) = errors.into_iter().partition(is_warning);
        warnings.splice(0..0, only_warned.into_iter().map(Diagnostic::warning));
        Self { valid: errors.is_empty(), errors, warnings }
    }
}

/// What is wrong with a schema, and that it hides what only a schema shows.
fn hiding(mut found: Vec<Diagnostic>, bundle: &Bundle) -> Vec<Diagnostic> {
    let is_alone = bundle.policies.is_empty() && bundle.for_each.is_empty() && bundle.routes.is_empty();
    if let Some(last) = found.last_mut().filter(|_| !is_alone) {
        let note = "policies, links, rules and routes are checked against the schema once the schema can be read";
        last.help = Some(last.help.take().map_or_else(|| note.to_owned(), |help| format!("{help}; {note}")));
    }
    found
}

/// What to do about it where the bundle was sent.
const SEND_SCHEMA: &str = "send the text of one as `schema`, in Cedar's form or as JSON";

/// Checks `bundle` whatever the operator's `validation` setting says, until `stop` says that no caller waits any more.
/// How decisions are made counts for the warnings.
///
/// Recurses with the nesting of the texts: call it through [`super::on_big_stack`].
#[must_use]
pub fn check(bundle: &Arc<Bundle>, limits: &Limits, semantics: Semantics, stop: &dyn Fn() -> bool) -> Verdict {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let schema = match &bundle.schema {
        None => {
            errors.push(Diagnostic::error("schema", NO_SCHEMA).help(SEND_SCHEMA));
            None
        }
        Some(text) => {
            let read = SchemaModel::build(text, limits);
            read.map_err(|found| errors.extend(hiding(found, bundle))).ok()
        }
    };
    // also where the schema is broken: what is wrong with the entities by themselves is found without it
    let loaded = snapshot::load_bundle(bundle, schema.as_ref(), limits, &Observers::default(), stop);
    let mut of_entities = Vec::new();
    let mut loaded = loaded.map_err(|found| of_entities = found).ok();
    let from_data = if schema.is_none() && bundle.schema.is_some() {
        FromData::default()
    } else {
        FromData::of(bundle, schema.as_ref(), &mut loaded, true, stop, &mut errors)
    };
    let rules = if schema.is_none() && bundle.schema.is_some() {
        None
    } else {
        let made = Rules::of(bundle, schema.as_ref(), &mut loaded, limits, stop);
        made.unwrap_or_else(|found| {
            errors.extend(found);
            None
        })
    };
    let declared = from_data.declared.clone();
    let validating = schema.as_ref().map(|schema| Validating::new(schema, limits));
    let naming = Some(Named::default());
    let mut work = Work { validating, compiling: None, naming, keep: 0, warnings: Vec::new(), stop };
    let policies = Policies::build(bundle, &from_data, limits, &mut work).map_err(|found| errors.extend(found)).ok();
    let Work { validating, naming, warnings: of_data, .. } = work;
    let Validated { errors: found, warnings: noted, .. } =
        validating.map(|validating| validating.finish(stop)).unwrap_or_default();
    errors.extend(found);
    warnings.extend(noted);
    warnings.extend(of_data);
    // what a declaration links that is wrong itself, only its author knows
    let all_declared = declared.list().len() == bundle.for_each.links.len();
    warnings.extend(policies.iter().filter(|_| all_declared).flat_map(|policies| policies.unlinked(&declared)));
    errors.extend(of_entities);
    if let (Some(policies), Some(Loaded { draft, .. }), true) = (&policies, &loaded, errors.is_empty()) {
        let names = policies.sites.iter().filter(|(_, site)| site.kind == Kind::Template).map(|(id, _)| &**id);
        let numbers: HashMap<&str, TemplateIx> = names.zip((0..).map(TemplateIx::from_raw)).collect();
        let grants = from_data.grants(policies, draft, &|name| numbers.get(name).copied(), limits);
        errors.extend(grants.err().into_iter().flatten());
    }
    if let Some(Loaded { draft, places, .. }) = loaded {
        let (is_fine, store) = (errors.is_empty(), &draft.commit());
        match rules.map(|rules| rules.judge(store, &places, &bundle.entities, stop)) {
            Some(Ok(found)) => warnings.extend(found),
            Some(Err(found)) => errors.extend(found),
            None => {}
        }
        // what is wrong comes first
        if let (Some(policies), Some(named), true) = (&policies, naming, is_fine) {
            let (schema, documents) = (schema.as_ref().zip(bundle.schema.as_ref()), &*bundle.entities);
            let subject = lint::Subject { policies, schema, store, places: &places, documents, semantics };
            warnings.extend(lint::warnings(&named, subject));
        }
    }
    let errors = Diagnostic::by_place(errors);
    Verdict { valid: errors.is_empty(), errors, warnings }
}
