//! Validation of policies against the schema by Cedar's strict type checker, one policy at a time.
//!
//! The checker goes through every pair of a principal and a resource type that an action applies to, for each policy.
//! So short texts can stand for hours: what a policy costs is counted before it is checked (see [`super::steps`]), no
//! more is done than the bound allows, and between policies, and within long ones, the work can be given up.
//! What is found is what Cedar's own validator finds for the whole set, in its words.

mod words;

pub(crate) use words::IMPOSSIBLE_ACTION;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{Annotations, EntityType, EntityUID, Policy, PolicyID, PolicySet, SlotId, Template};
use cedar_policy_core::validator::typecheck::{PolicyCheck, Typechecker};
use cedar_policy_core::validator::{
    ValidationError, ValidationMode, ValidationWarning, Validator, ValidatorSchema, confusable_string_checks,
};

use crate::model::{Diagnostic, Findings, MAX_LISTED, PolicyId, Written, hint};
use crate::schema::SchemaModel;
use crate::settings::Limits;
use crate::site::Site;
use crate::steps::{Cost, Steps};

/// After how many pairs of types it is looked whether the result is still wanted.
const STRIDE: usize = 1 << 10;

/// The policy that costs most.
#[derive(Debug)]
struct Largest {
    cost: Cost,
    id: String,
    origin: Arc<str>,
}

/// The kinds of links that are well: a template, and the types of what fills its slots.
pub(crate) type Sound = Arc<HashSet<(PolicyID, Option<EntityType>, Option<EntityType>)>>;

/// What validation found.
#[derive(Debug, Default)]
pub(crate) struct Validated {
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    pub sound: Sound,
}

/// Validates the policies of one bundle.
pub(crate) struct Validating<'s> {
    model: &'s SchemaModel,
    schema: &'s ValidatorSchema,
    checker: Typechecker<'s>,
    /// Cedar's whole validator, made when the first fault is found: it has a schema of its own.
    validator: Option<Validator>,
    steps: Steps,
    most: u64,
    spent: u64,
    largest: Option<Largest>,
    errors: Findings,
    warnings: Findings,
    /// Links that are well: only their template and the types of their values matter.
    sound: Sound,
    /// Policies that were counted and not validated yet, and their words and signs.
    pending: Vec<(Arc<Template>, Site)>,
    pending_tokens: usize,
}

/// How many words and signs of policies are counted before the first of them is validated. A short text that costs too
/// much, as an attacker may send, is refused at once.
const COUNTED_AHEAD: usize = 50_000;

/// What was found, in the order of the texts.
fn in_order(found: Findings) -> Vec<Diagnostic> {
    let (mut listed, more) = found.into_parts();
    listed.sort_by_key(|d| (d.origin.clone(), d.line, d.column, d.message.clone()));
    if more > 0 {
        // those that were looked for: the work has a bound
        let message = format!("and at least {more} more findings of this kind");
        listed.push(Diagnostic::error("policies", message));
    }
    listed
}

impl<'s> Validating<'s> {
    /// Of policies against `schema`.
    #[must_use]
    pub(crate) fn new(schema: &'s SchemaModel, limits: &Limits) -> Self {
        let model = schema;
        let schema: &ValidatorSchema = schema.cedar.as_ref();
        Self {
            model,
            schema,
            checker: Typechecker::new(schema, ValidationMode::Strict),
            validator: None,
            steps: Steps::new(schema),
            most: limits.max_validation_steps,
            spent: 0,
            largest: None,
            errors: Findings::default(),
            warnings: Findings::default(),
            sound: Sound::default(),
            pending: Vec::new(),
            pending_tokens: 0,
        }
    }

    /// Counts one policy or template, and validates those that were counted when they are many. Gives the steps that it
    /// counts.
    pub(crate) fn policy(&mut self, template: &Arc<Template>, site: &Site, stop: &dyn Fn() -> bool) -> u64 {
        let cost = self.steps.policy(template);
        if !self.may(cost, template.id(), site) {
            self.pending.clear();
            return cost.steps;
        }
        self.pending.push((template.clone(), site.clone()));
        self.pending_tokens += site.tokens as usize;
        if self.pending_tokens > COUNTED_AHEAD {
            self.flush(stop);
        }
        cost.steps
    }

    fn flush(&mut self, stop: &dyn Fn() -> bool) {
        self.pending_tokens = 0;
        for (template, site) in std::mem::take(&mut self.pending) {
            if self.spent <= self.most && self.errors.are_all_listed() && !stop() {
                self.validate(&template, &site, stop);
            }
        }
    }

    fn validate(&mut self, template: &Arc<Template>, site: &Site, stop: &dyn Fn() -> bool) {
        let (mut found, mut all_false, mut unsaid) = (HashSet::new(), true, false);
        for (n, (_, check)) in self.checker.typecheck_by_request_env(template).enumerate() {
            if n.is_multiple_of(STRIDE) && stop() {
                return;
            }
            match check {
                PolicyCheck::Success(_) => all_false = false,
                PolicyCheck::Irrelevant(errors, _) => found.extend(errors),
                PolicyCheck::Fail(errors) => {
                    all_false = false;
                    // short of stack it reports no error, so the policy would pass for valid
                    unsaid |= errors.is_empty();
                    // for each, Cedar looked for a name that may be meant, and so shall we
                    let searched = 2 * self.steps.search().saturating_mul(errors.len() as u64);
                    self.spent = self.spent.saturating_add(searched);
                    found.extend(errors);
                }
            }
            if found.len() > MAX_LISTED || self.spent > self.most {
                break;
            }
        }
        if !found.is_empty() {
            // in all of Cedar's words it is validated a second time
            self.spent = self.spent.saturating_add(self.steps.policy(template).steps);
        }
        if found.len() > MAX_LISTED || self.spent > self.most {
            found.iter().for_each(|error| self.error(template, site, error));
            return;
        }
        let mut literals = Validator::validate_entity_types_and_literals(self.schema, template);
        if found.is_empty() && !all_false && literals.next().is_none() {
            if unsaid && site.is_deep() {
                let id: &str = template.id().as_ref();
                let message = format!("`{id}` is too deep to be validated");
                let found = site.on_line(Diagnostic::error(&*site.origin, message));
                self.errors.push(found.policy(id));
            }
            for warning in confusable_string_checks(std::iter::once(&**template)) {
                self.warn(template, site, &warning);
            }
            return;
        }
        drop(literals);
        // in all of Cedar's words
        let mut set = PolicySet::new();
        let added = match Template::try_as_policy(template.clone()) {
            Ok(policy) => set.add(policy).is_ok(),
            Err(_) => set.add_template(Template::clone(template)).is_ok(),
        };
        debug_assert!(added, "an empty set takes any policy");
        let result = self.validator().validate(&set, ValidationMode::Strict);
        result.validation_errors().for_each(|error| self.error(template, site, error));
        // that it fits no action says that it never applies, too
        let unfit = |warning: &ValidationWarning| matches!(warning, ValidationWarning::InvalidActionApplication(_));
        let fits_none = result.validation_warnings().any(unfit);
        let is_said =
            |warning: &&ValidationWarning| fits_none && matches!(warning, ValidationWarning::ImpossiblePolicy(_));
        result.validation_warnings().filter(|it| !is_said(it)).for_each(|warning| self.warn(template, site, warning));
    }

    /// What is wrong with the type of an entity that a link names, if the schema does not declare it.
    pub(crate) fn undeclared(&mut self, entity: &EntityUID) -> Option<String> {
        let ty = entity.entity_type().to_string();
        if self.model.entity_type(&ty).is_some() || entity.entity_type().is_action() {
            return None;
        }
        self.spent = self.spent.saturating_add(self.steps.search());
        Some(format!("the schema declares no entity type `{ty}`{}", hint(&ty, self.model.entity_type_names())))
    }

    /// Validates what a link fills the slots of its template with. Of the template nothing but its scope is looked at.
    /// What is found is reported at the `place` of the link. Gives the steps that it counts.
    pub(crate) fn link(
        &mut self,
        scope: &Template,
        id: &PolicyId,
        values: &HashMap<SlotId, EntityUID>,
        site: &Site,
        place: &Written,
    ) -> u64 {
        let ty = |slot: SlotId| values.get(&slot).map(|uid| uid.entity_type().clone());
        let kind = (scope.id().clone(), ty(SlotId::principal()), ty(SlotId::resource()));
        let id = PolicyID::from_string(id);
        if self.sound.contains(&kind) {
            self.spent = self.spent.saturating_add(1);
            return 1;
        }
        let mut set = PolicySet::new();
        let linked =
            set.add_template(scope.clone()).is_ok() && set.link(scope.id().clone(), id.clone(), values.clone()).is_ok();
        debug_assert!(linked, "values that were checked");
        // as a policy of its own: Cedar would go through the template again, with every type that its slots may have
        let Some(filled) = set.get(&id).map(filled) else { return 1 };
        let cost = self.steps.policy(&filled);
        if !self.may(cost, &id, site) {
            return cost.steps;
        }
        let mut set = PolicySet::new();
        let added = Template::try_as_policy(Arc::new(filled)).is_ok_and(|policy| set.add(policy).is_ok());
        debug_assert!(added, "a policy without slots");
        let result = self.validator().validate(&set, ValidationMode::Strict);
        let at_link = |found: Diagnostic| {
            let found = found.origin(&*place.origin);
            Diagnostic { line: place.line, column: None, excerpt: None, ..found }
        };
        let mut sound = true;
        // Cedar's outer types say which policy a finding is of
        // what else is wrong with the scope is its template's
        let of_values = |error: &&ValidationError| {
            matches!(error, ValidationError::UnrecognizedEntityType(_) | ValidationError::InvalidEnumEntity(_))
        };
        for error in result.validation_errors().filter(of_values) {
            let outer = cedar_policy::ValidationError::from(error.clone());
            if AsRef::<PolicyID>::as_ref(outer.policy_id()) == &id {
                sound = false;
                self.errors.push(at_link(words::of_error(self.model, scope, site, &id, error)));
            }
        }
        for warning in result.validation_warnings() {
            let outer = cedar_policy::ValidationWarning::from(warning.clone());
            let unfit = matches!(warning, ValidationWarning::InvalidActionApplication(_));
            // that it never applies then follows, and Cedar says it of policies alone
            if unfit && AsRef::<PolicyID>::as_ref(outer.policy_id()) == &id {
                sound = false;
                let found = words::of_warning(self.model, scope, site, &id, warning, values);
                self.warning(at_link(found), unfit);
            }
        }
        if sound {
            Arc::make_mut(&mut self.sound).insert(kind);
        }
        cost.steps
    }

    /// Goes on behind policies that took so many steps, with the kinds of links that were sound; those of `replaced`
    /// templates are looked at again.
    #[must_use]
    pub(crate) fn resumed(self, spent: u64, mut sound: Sound, replaced: &HashSet<PolicyId>) -> Self {
        let is_replaced = |template: &PolicyID| replaced.contains(AsRef::<str>::as_ref(template));
        if sound.iter().any(|(template, ..)| is_replaced(template)) {
            Arc::make_mut(&mut sound).retain(|(template, ..)| !is_replaced(template));
        }
        Self { spent, sound, ..self }
    }

    /// What was found.
    #[must_use]
    pub(crate) fn finish(mut self, stop: &dyn Fn() -> bool) -> Validated {
        self.flush(stop);
        let mut errors = Vec::new();
        if self.spent > self.most
            && let Some(Largest { cost, id, origin }) = self.largest.take()
        {
            let message = format!(
                "validating the policies takes {} steps, more than {}, so not all were validated; the most, {}, takes \
                 `{id}`: {} pairs of principal and resource types for a policy of size {}",
                self.spent, self.most, cost.steps, cost.pairs, cost.size
            );
            let help = "let actions apply to fewer types, name the type or action in the scope of the policy, make it \
                        shorter, or raise `limits.max_validation_steps`";
            errors.push(Diagnostic::error(&*origin, message).policy(id).help(help));
        }
        errors.extend(in_order(self.errors));
        let warnings = in_order(self.warnings).into_iter().map(Diagnostic::warning).collect();
        Validated {
            errors: Diagnostic::about("validation", errors),
            warnings: Diagnostic::about("validation", warnings),
            sound: self.sound,
        }
    }

    /// Whether the bound allows what this costs. Once it does not, costs are only counted, to report the sum.
    fn may(&mut self, cost: Cost, id: &PolicyID, site: &Site) -> bool {
        self.spent = self.spent.saturating_add(cost.steps);
        if self.largest.as_ref().is_none_or(|largest| largest.cost.steps < cost.steps) {
            let id = AsRef::<str>::as_ref(id).to_owned();
            self.largest = Some(Largest { cost, id, origin: site.origin.clone() });
        }
        self.spent <= self.most && self.errors.are_all_listed()
    }

    fn validator(&mut self) -> &Validator {
        self.validator.get_or_insert_with(|| Validator::new(self.schema.clone()))
    }

    fn error(&mut self, template: &Template, site: &Site, error: &ValidationError) {
        self.errors.push(words::of_error(self.model, template, site, template.id(), error));
    }

    fn warn(&mut self, template: &Template, site: &Site, warning: &ValidationWarning) {
        let unfit = matches!(warning, ValidationWarning::InvalidActionApplication(_));
        self.warning(words::of_warning(self.model, template, site, template.id(), warning, &HashMap::new()), unfit);
    }

    /// A policy whose scope no action fits is an error here, as it was in Cedar until it became a warning and as the
    /// public corpus still has it: it can never apply, so what its author wanted is not enforced.
    fn warning(&mut self, found: Diagnostic, unfit: bool) {
        if unfit { self.errors.push(found) } else { self.warnings.push(found) }
    }
}

/// The scope of a link, as a policy that has its values in place of the slots.
fn filled(link: &Policy) -> Template {
    Template::new(
        link.id().clone(),
        link.loc().cloned(),
        Annotations::new(),
        link.effect(),
        link.principal_constraint(),
        link.action_constraint().clone(),
        link.resource_constraint(),
        None,
    )
}
