//! Cedar's trees for the reference: kept where they are small, else made again from the texts that can apply.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{EntityUID, Policy, PolicyID, PolicySet, SlotId, Template};
use cedar_policy_core::parser::parse_policy_or_template;

use crate::broken::broken;
use crate::model::{PolicyId, RequestError};
use crate::policies::{Policies, json, link};
use crate::site::{Kind, Site};
use crate::snapshot::Snapshot;
use crate::stack::Deep;

/// Words and signs of policies that are parsed for one request at most: some seconds' worth.
const MOST_PARSED: usize = 2_000_000;

/// As many are in one set at a time, each with some 600 bytes of trees.
const SET: usize = 50_000;

/// Cedar's set of all policies, where it is kept.
#[derive(Debug)]
pub(crate) struct Trees(Option<Deep<cedar_policy::PolicySet>>);

impl Trees {
    /// The set, if it is kept.
    #[must_use]
    pub(crate) fn whole(&self) -> Option<&cedar_policy::PolicySet> {
        self.0.as_deref()
    }

    /// The set without some of the `policies`, to be changed, with `room` for as many words and signs.
    pub(super) fn without(&self, removed: &HashSet<PolicyId>, policies: &Policies, room: usize) -> Keeping {
        let Some(whole) = self.whole() else { return Keeping { set: None, room: 0 } };
        let mut set = Deep::new(AsRef::<PolicySet>::as_ref(whole).clone());
        // links before their templates
        for links in [true, false] {
            for id in removed {
                let (Some(site), name) = (policies.sites.get(id), PolicyID::from_string(id)) else { continue };
                let removed = match site.kind {
                    Kind::Link(_) if links => set.inner_mut().unlink(&name).is_ok(),
                    Kind::Static if !links => set.inner_mut().remove_static(&name).is_ok(),
                    Kind::Template if !links => set.inner_mut().remove_template(&name).is_ok(),
                    _ => true,
                };
                if !removed {
                    broken("a policy that is kept, and that Cedar's set does not have");
                }
            }
        }
        Keeping { set: Some(set), room }
    }
}

/// A set that grows while policies are loaded, until it is too large to be kept.
#[derive(Debug)]
pub(super) struct Keeping {
    set: Option<Deep<PolicySet>>,
    room: usize,
}

impl Keeping {
    pub(super) fn new(room: usize) -> Self {
        Self { set: (room > 0).then(|| Deep::new(PolicySet::new())), room }
    }

    /// Adds a policy or template of so many words and signs. Ids are known to be unique.
    pub(super) fn add(&mut self, template: &Arc<Template>, tokens: usize) {
        self.change(tokens, |set| match Template::try_as_policy(template.clone()) {
            Ok(policy) => set.add(policy).is_ok(),
            Err(_) => set.add_template(Template::clone(template)).is_ok(),
        });
    }

    /// Adds a link whose values are known to fit.
    pub(super) fn link(&mut self, template: &str, id: &str, values: &HashMap<SlotId, EntityUID>) {
        let (template, id) = (PolicyID::from_string(template), PolicyID::from_string(id));
        self.change(1, |set| set.link(template, id, values.clone()).is_ok());
    }

    fn change(&mut self, tokens: usize, change: impl FnOnce(&mut PolicySet) -> bool) {
        match (self.room.checked_sub(tokens), &mut self.set) {
            (Some(room), Some(set)) => {
                self.room = room;
                if !change(set.inner_mut()) {
                    broken("a policy that was checked and that Cedar's set refuses");
                }
            }
            _ => self.set = None,
        }
    }

    pub(super) fn finish(self) -> Trees {
        Trees(self.set.map(|set| set.map(cedar_policy::PolicySet::from)))
    }
}

/// More of the policies would have to be parsed than one request is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl From<TooMany> for RequestError {
    fn from(_: TooMany) -> Self {
        let message = format!(
            "only Cedar's own evaluator can decide this, and the policies whose scope holds have more than {MOST_PARSED} \
             words and signs; send values of the declared types, or narrow the scopes of policies"
        );
        Self::new("too_expensive", "", message)
    }
}

/// Makes trees of some policies for one request.
#[derive(Debug)]
pub(crate) struct Parsing<'p> {
    snapshot: &'p Snapshot,
    templates: HashMap<PolicyID, Arc<Template>>,
    room: usize,
}

impl Snapshot {
    /// Makes trees for one request.
    #[must_use]
    pub(crate) fn parsing(&self) -> Parsing<'_> {
        Parsing { snapshot: self, templates: HashMap::new(), room: MOST_PARSED }
    }
}

impl Parsing<'_> {
    /// The policy of this id, which can decide.
    ///
    /// Recurses with the nesting of the text: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// If too much has been parsed already.
    pub(crate) fn policy(&mut self, id: &PolicyId) -> Result<Policy, TooMany> {
        let snapshot = self.snapshot;
        let made = match snapshot.core.policies.sites.get(id) {
            Some(site) if site.kind == Kind::Static => Template::try_as_policy(self.template(id, site)?),
            Some(site) if site.kind == Kind::Template => broken("a template among the policies that decide"),
            _ => {
                self.room = self.room.checked_sub(1).ok_or(TooMany)?;
                let Some(linked) = snapshot.linked(id) else { broken("a policy whose text is gone") };
                let Some((site, values)) = snapshot.site(id).zip(link::values(&linked.link).ok()) else {
                    broken("a link whose values are gone")
                };
                let template = self.template(&linked.link.template_id, site)?;
                Template::link(template, PolicyID::from_string(id), values)
            }
        };
        Ok(made.unwrap_or_else(|_| broken("a policy that Cedar does not make twice")))
    }

    /// The next of these policies, as many as are to be in one set; none at their end.
    ///
    /// # Errors
    /// If they are too many.
    pub(crate) fn next_set<'i>(
        &mut self,
        ids: &mut impl Iterator<Item = &'i PolicyId>,
    ) -> Result<Option<PolicySet>, TooMany> {
        self.templates.clear();
        let least = self.room.saturating_sub(SET);
        let mut set = PolicySet::new();
        for id in ids {
            if set.add(self.policy(id)?).is_err() {
                broken("two policies of one id");
            }
            if self.room < least {
                break;
            }
        }
        Ok((!set.is_empty()).then_some(set))
    }

    /// The template or policy of this id, whose text stands at `site`.
    ///
    /// # Errors
    /// If too much has been parsed already.
    pub(crate) fn template(&mut self, id: &str, site: &Site) -> Result<Arc<Template>, TooMany> {
        let id = PolicyID::from_string(id);
        if let Some(known) = self.templates.get(&id) {
            return Ok(known.clone());
        }
        if let Some(set) = self.snapshot.core.policies.trees.whole()
            && let Some(kept) = AsRef::<PolicySet>::as_ref(set).get_template_arc(&id)
        {
            self.templates.insert(id, kept.clone());
            return Ok(kept);
        }
        self.room = self.room.checked_sub(site.tokens as usize).ok_or(TooMany)?;
        let text = site.text();
        let parsed = if json::is_json(text) {
            json::read(&site.origin, text, &self.snapshot.core.settings.limits)
                .ok()
                .map(|template| template.new_id(id.clone()))
        } else {
            parse_policy_or_template(Some(id.clone()), text).ok()
        };
        let Some(template) = parsed.map(Arc::new) else { broken("a text that Cedar does not read twice") };
        self.templates.insert(id, template.clone());
        Ok(template)
    }
}
