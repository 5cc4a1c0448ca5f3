//! Everything a decision is made from, immutable, under one revision.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::Entities;

use crate::broken::broken;
use crate::change::{Ruled, RuledSet, Words};
use crate::compiled::{self, CompiledSet, Compiling, Seen, Series, Unsettled};
use crate::conform::{self, Dropped, Name};
use crate::data_rules::Rules;
use crate::derived::{self, Declared, Grants};
use crate::entities;
use crate::layout::Layout;
use crate::lint;
use crate::load::{self, Checks, Places};
use crate::model::{
    AccessRequest, Bundle, Decision, Diagnostic, Document, Link, PolicyId, RequestError, Revision, Uid, Value,
};
use crate::policies::named::Named;
use crate::policies::{self, FromData, Policies, Work};
use crate::reference;
use crate::schema::SchemaModel;
use crate::settings::{EngineKind, EngineSettings, Limits, Validation};
use crate::site::{Kind, Site};
use crate::store::{Draft, Store};
use crate::validating::{Sound, Validated, Validating};

/// One state of schema, policies and entities. They are built together and never change apart.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) revision: Revision,
    pub(super) core: Arc<Core>,
    pub(super) store: Store,
    /// What data make of templates.
    pub(super) grants: Grants,
    /// All entities as Cedar's own, where the reference is to decide.
    pub(super) entities: Option<Entities>,
    /// The texts as they were loaded, without the entities, which the store holds. Of policies and links they say what
    /// `core` says only where that was loaded, too: see [`Snapshot::texts`].
    pub(super) texts: Arc<Bundle>,
    /// What was loaded, once changes were made to it.
    pub(super) base: Option<Arc<Base>>,
    /// The policies and links that changes had the last word about.
    pub(super) words: Arc<Words>,
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Base {
    pub core: Arc<Core>,
    pub store: Store,
}

/// What snapshots share that differ in entities alone.
#[derive(Debug)]
pub(super) struct Core {
    pub settings: EngineSettings,
    pub schema: Option<Arc<SchemaModel>>,
    pub layout: Option<Arc<Layout>>,
    pub policies: Policies,
    /// Which links the data make.
    pub declared: Arc<Declared>,
    /// What the data must keep.
    pub rules: Option<Arc<Rules>>,
    pub compiled: CompiledSet,
    /// The kinds of links that are well.
    pub sound: Sound,
    pub fallbacks: Arc<AtomicU64>,
}

/// How far a load of entities has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// Entities read, about.
    pub entities: usize,
    /// Bytes of them read.
    pub bytes: usize,
    /// Bytes of all. When as many have been read, the load is over, well or not.
    pub of_bytes: usize,
}

/// Who else wants to know what happens in builds and decisions.
#[derive(Clone, Default)]
pub struct Observers {
    /// Called now and then while many entities are loaded, and at the end.
    pub loading: Option<Arc<dyn Fn(Loading) + Send + Sync>>,
    /// Decisions that the reference had to make, of all snapshots that were built with this counter.
    pub fallbacks: Arc<AtomicU64>,
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("fallbacks", &self.fallbacks).finish_non_exhaustive()
    }
}

/// Asked now and then whether a decision is still wanted.
pub type GoOn<'g> = &'g dyn Fn() -> bool;

/// For decisions that are made however long they take.
pub(super) const ALWAYS: GoOn<'static> = &|| true;

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// The request cannot be decided as it stands.
    Refused(RequestError),
    /// It was not wanted any more.
    GivenUp,
}

impl Undecided {
    /// The error of a decision that is always wanted.
    pub(super) fn refused(self) -> RequestError {
        match self {
            Self::Refused(error) => error,
            Self::GivenUp => broken("a decision that was given up and always wanted"),
        }
    }
}

impl From<RequestError> for Undecided {
    fn from(error: RequestError) -> Self {
        Self::Refused(error)
    }
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
        Self::build_observed(bundle, settings, revision, &Observers::default())
    }

    /// The same, and reports progress to `observers`.
    ///
    /// # Errors
    /// As for [`Snapshot::build`].
    pub fn build_observed(
        bundle: Arc<Bundle>,
        settings: &EngineSettings,
        revision: Revision,
        observers: &Observers,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        Self::build_unless(bundle, settings, revision, observers, &|| false)
    }

    /// The same, given up as soon as `stop` says that the result is not wanted any more.
    ///
    /// # Errors
    /// As for [`Snapshot::build`]. What was given up says so.
    pub fn build_unless(
        bundle: Arc<Bundle>,
        settings: &EngineSettings,
        revision: Revision,
        observers: &Observers,
        stop: &dyn Fn() -> bool,
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
        let mut of_entities = Vec::new();
        // also where the schema is broken: what is wrong with the entities by themselves is found without it
        let loaded = load_bundle(&bundle, schema.as_ref(), limits, observers, stop);
        let mut loaded = loaded.map_err(|found| of_entities = found).ok().filter(|_| !schema_failed);
        if stop() {
            return Err(vec![policies::abandoned()]);
        }
        let from_data = if schema_failed {
            FromData::default()
        } else {
            FromData::of(&bundle, schema.as_ref(), &mut loaded, settings.lints, stop, &mut problems)
        };
        let rules = if schema_failed {
            None
        } else {
            let made = Rules::of(&bundle, schema.as_ref(), &mut loaded, limits, stop);
            made.unwrap_or_else(|found| {
                problems.extend(found);
                None
            })
        };
        let mut work = Work {
            validating: match settings.validation {
                Validation::Off => None,
                Validation::Strict | Validation::Warn => schema.as_ref().map(|schema| Validating::new(schema, limits)),
            },
            compiling: loaded.as_mut().map(|Loaded { draft, .. }| Compiling::new(draft)),
            naming: settings.lints.then(Named::default),
            keep: match settings.kind {
                EngineKind::Compiled => settings.kept.0,
                EngineKind::Reference => usize::MAX,
            },
            warnings: Vec::new(),
            stop,
        };
        let declared = from_data.declared.clone();
        let policies =
            Policies::build(&bundle, &from_data, limits, &mut work).map_err(|found| problems.extend(found)).ok();
        let Work { validating, compiling, naming, warnings: of_data, .. } = work;
        let compiled = compiling.map(Compiling::finish);
        problems.append(&mut of_entities);
        let (mut warnings, mut sound) = (of_data, Sound::default());
        if settings.validation == Validation::Strict && schema.is_none() && !schema_failed {
            problems.push(Diagnostic::error("schema", "there is no schema, so the policies cannot be validated").help(
                "add a file named `*.cedarschema` or `*.cedarschema.json` to the policies or beside them, or send \
                         `schema` with the bundle; or set `validation` to `warn` or `off`",
            ));
        }
        if let Some(validating) = validating {
            let Validated { errors, warnings: found, sound: well } = validating.finish(stop);
            sound = well;
            warnings.extend(found);
            match settings.validation {
                Validation::Strict => problems.extend(errors),
                _ => warnings.extend(errors.into_iter().map(Diagnostic::warning)),
            }
        }
        if stop() {
            return Err(vec![policies::abandoned()]);
        }
        let (Some(policies), Some(Loaded { draft, layout, places }), Some(compiled), true) =
            (policies, loaded.take_if(|_| problems.is_empty()), compiled, problems.is_empty())
        else {
            // what is wrong elsewhere does not hide which rules the data break
            if let (Some(Loaded { draft, places, .. }), Some(rules)) = (loaded, rules) {
                problems
                    .extend(rules.judge(&draft.commit(), &places, &bundle.entities, stop).err().into_iter().flatten());
            }
            return Err(Diagnostic::by_place(problems));
        };
        let mut compiled = compiled
            .map_err(|_| vec![Diagnostic::error("policies", "there are more names than the store can hold")])?;
        warnings.extend(compiled.uncompiled().into_iter().map(|id| {
            let message = format!("`{id}` uses what only the reference engine can evaluate");
            let origin = policies.sites.get(&*id).map_or("policies", |site| &*site.origin);
            let slow = "it decides exactly, but requests in its scope are decided slowly";
            Diagnostic::error(origin, message).warning().policy(&*id).help(slow)
        }));
        warnings.extend(policies.unlinked(&declared));
        let grants = from_data.grants(&policies, &draft, &|name| compiled.number(name), limits);
        let store = draft.commit();
        let judged = rules.as_ref().map(|rules| rules.judge(&store, &places, &bundle.entities, stop)).transpose();
        let (grants, judged) = match (grants, judged) {
            (Ok(grants), Ok(judged)) => (grants, judged),
            (grants, judged) => {
                let both = [grants.err(), judged.err()];
                return Err(Diagnostic::by_place(both.into_iter().flatten().flatten().collect()));
            }
        };
        warnings.extend(judged.into_iter().flatten());
        if let Some(named) = naming {
            let schema = schema.as_ref().zip(bundle.schema.as_ref());
            let (policies, store, documents) = (&policies, &store, &*bundle.entities);
            let subject =
                lint::Subject { policies, schema, store, places: &places, documents, semantics: settings.semantics };
            warnings.extend(lint::warnings(&named, subject));
        }
        drop(places);
        if let Some(layout) = &layout {
            compiled.plan(&layout.actions(), &store);
        }
        let entities = match settings.kind {
            EngineKind::Compiled => None,
            EngineKind::Reference => Some(entities::build(&bundle.entities, schema.as_ref(), limits)?),
        };
        let settings = settings.clone();
        // a million entities as text would cost more than the store
        let texts = Bundle {
            policies: bundle.policies.clone(),
            schema: bundle.schema.clone(),
            entities: Vec::new(),
            links: policies.by_hand().cloned().collect(),
            routes: bundle.routes.clone(),
            for_each: bundle.for_each.clone(),
        };
        drop(bundle);
        let (schema, layout) = (schema.map(Arc::new), layout.map(Arc::new));
        let fallbacks = observers.fallbacks.clone();
        let core = Arc::new(Core { settings, schema, layout, policies, declared, rules, compiled, sound, fallbacks });
        let (texts, words) = (Arc::new(texts), Arc::default());
        Ok((Self { revision, core, store, grants, entities, texts, base: None, words }, warnings))
    }

    /// A state of these parts, of no bundle.
    pub(super) fn of_parts(core: Arc<Core>, store: Store) -> Self {
        let revision = Revision { incarnation: 0, counter: 0 };
        let (texts, words) = (Arc::default(), Arc::default());
        Self { revision, core, store, grants: Grants::default(), entities: None, texts, base: None, words }
    }

    /// Whether changes of entities may read texts of policies or rules, which takes stack: see [`Snapshot::transact`].
    #[must_use]
    pub fn data_reach_policies(&self) -> bool {
        !self.core.declared.is_empty() || self.core.rules.is_some()
    }

    /// The same state under another revision.
    #[must_use]
    pub fn at(self, revision: Revision) -> Self {
        Self { revision, ..self }
    }

    /// The policies of what was loaded.
    pub(super) fn base_core(&self) -> &Core {
        self.base.as_ref().map_or(&self.core, |base| &base.core)
    }

    /// The same state with another store, and with policies that were changed.
    pub(super) fn after(&self, store: Store, grants: Grants, ruled: Option<Ruled>, revision: Revision) -> Self {
        let entities = self.entities.as_ref().map(|_| compiled::everything(&store));
        let base =
            self.base.clone().unwrap_or_else(|| Arc::new(Base { core: self.core.clone(), store: self.store.clone() }));
        let (set, words) = match ruled {
            Some(Ruled { set, words, .. }) => (set, Arc::new(words)),
            None => (None, self.words.clone()),
        };
        let (core, texts) = (self.core.clone(), self.texts.clone());
        let mut after = Self { revision, core, store, grants, entities, texts, base: Some(base), words };
        if let Some(RuledSet { policies, mut compiled, sound }) = set {
            if let Some(layout) = &self.core.layout {
                compiled.plan(&layout.actions(), &after.store);
            }
            let (schema, layout) = (self.core.schema.clone(), self.core.layout.clone());
            let (settings, fallbacks) = (self.core.settings.clone(), self.core.fallbacks.clone());
            let (declared, rules) = (self.core.declared.clone(), self.core.rules.clone());
            let core = Core { settings, schema, layout, policies, declared, rules, compiled, sound, fallbacks };
            after.core = Arc::new(core);
        }
        after
    }

    /// Refuses a request whose own entities cost too much, or could not make the links that they say.
    pub(crate) fn check_brought(&self, request: &AccessRequest<'_>) -> Result<(), RequestError> {
        compiled::check_brought(&self.store, request)?;
        let core = &self.core;
        if core.declared.is_empty() {
            return Ok(());
        }
        let checks =
            Checks { schema: core.schema.as_deref(), layout: core.layout.as_deref(), limits: &core.settings.limits };
        derived::check_brought(&core.declared, &self.store, checks, request)
    }

    /// Decides one request. `now` is the sidecar's clock in milliseconds since 1970.
    ///
    /// # Errors
    /// If the request does not fit the schema, or its values are no Cedar values.
    ///
    /// Where only Cedar's own evaluator can say, it runs here: the thread must have
    /// [`super::EVALUATION_STACK_BYTES`], and may be held up. See [`Snapshot::decide_at_once`] for threads that may not.
    pub fn decide(&self, request: &AccessRequest<'_>, now: i64) -> Result<Decision, RequestError> {
        self.decide_while(request, now, ALWAYS).map_err(Undecided::refused)
    }

    /// The same, given up soon after `go_on` says false: between policies, of which one is never given up.
    ///
    /// # Errors
    /// As for [`Snapshot::decide`], and if it was given up.
    pub fn decide_while(&self, request: &AccessRequest<'_>, now: i64, go_on: GoOn<'_>) -> Result<Decision, Undecided> {
        self.check_brought(request)?;
        if let Some(entities) = &self.entities {
            return reference::decide(self, request, now, entities, Seen::All, go_on);
        }
        match compiled::decide(self, request, now, Some(go_on)) {
            Ok(decision) => Ok(decision),
            Err(Unsettled::Undecided(undecided)) => Err(undecided),
            Err(Unsettled::Reference) => {
                let decided = compiled::by_reference(self, request, now, Seen::Near, go_on);
                if decided.is_ok() {
                    self.core.fallbacks.fetch_add(1, Ordering::Relaxed);
                }
                decided
            }
        }
    }

    /// The same where the compiled engine decides on its own, which takes microseconds and little stack. `None` where
    /// the reference is needed.
    ///
    /// # Errors
    /// As for [`Snapshot::decide`].
    pub fn decide_at_once(&self, request: &AccessRequest<'_>, now: i64) -> Option<Result<Decision, RequestError>> {
        if self.by_reference_alone() {
            return None;
        }
        if let Err(error) = self.check_brought(request) {
            return Some(Err(error));
        }
        match compiled::decide(self, request, now, None) {
            Ok(decision) => Some(Ok(decision)),
            Err(Unsettled::Undecided(undecided)) => Some(Err(undecided.refused())),
            Err(Unsettled::Reference) => None,
        }
    }

    /// Questions one after another, at this state and a time in milliseconds since 1970: what each shares with the one
    /// before is not worked out again.
    #[must_use]
    pub fn series(&self, now: i64) -> Series<'_> {
        Series::new(self, now)
    }

    /// Whether the reference decides everything.
    pub(super) fn by_reference_alone(&self) -> bool {
        self.entities.is_some()
    }

    /// Decides with Cedar's own authorizer, independently of the compiled path. Where that one serves, Cedar
    /// sees the part of the store that the request can reach.
    ///
    /// Recurses with the nesting of policies: the thread must have [`super::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// If the request does not fit the schema, or its values are no Cedar values.
    pub fn decide_by_reference(&self, request: &AccessRequest<'_>, now: i64) -> Result<Decision, RequestError> {
        self.check_brought(request)?;
        let decided = match &self.entities {
            None => compiled::by_reference(self, request, now, Seen::All, ALWAYS),
            Some(entities) => reference::decide(self, request, now, entities, Seen::All, ALWAYS),
        };
        decided.map_err(Undecided::refused)
    }

    /// How many decisions the reference had to make, of all states that share this one's [`Observers`].
    #[must_use]
    pub fn fallbacks(&self) -> u64 {
        self.core.fallbacks.load(Ordering::Relaxed)
    }

    /// The policies that only the reference can evaluate.
    #[must_use]
    pub fn uncompiled(&self) -> Vec<PolicyId> {
        self.core.compiled.uncompiled()
    }

    /// Bytes that the entities take, without the allocator's share.
    #[must_use]
    pub fn entity_bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Which state this is.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many policies can decide.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.core.policies.count() + self.grants.len()
    }

    /// Whether there is any policy or template.
    #[must_use]
    pub fn has_policies(&self) -> bool {
        !self.core.policies.sites.is_empty()
    }

    /// How many entities are stored, actions of the schema not counted.
    #[must_use]
    pub fn entity_count(&self) -> usize {
        self.store.len()
    }

    /// The texts of policies and templates by id, as `PUT /v1/bundle` takes them, sorted by id.
    #[must_use]
    pub fn policy_texts(&self) -> Vec<(&str, &str)> {
        let mut texts: Vec<(&str, &str)> = self
            .core
            .policies
            .sites
            .iter()
            .filter(|(_, site)| !matches!(site.kind, Kind::Link(_)))
            .map(|(id, site)| (&**id, site.text()))
            .collect();
        texts.sort_unstable();
        texts
    }

    /// The text of the policy or template of an id.
    #[must_use]
    pub fn policy_text(&self, id: &str) -> Option<&str> {
        self.core.policies.policy(id).map(Site::text)
    }

    /// Whether the policy or template of an id forbids; `None` where nothing has the id.
    #[must_use]
    pub fn policy_forbids(&self, id: &str) -> Option<bool> {
        self.core.policies.policy(id).map(|site| site.forbids)
    }

    /// The link of an id that was written by hand.
    #[must_use]
    pub fn link(&self, id: &str) -> Option<&Link> {
        self.core.policies.link(id)
    }

    /// Keeps what the schema declares in the context of `action`; names what it dropped in `dropped`.
    #[must_use]
    pub fn conform_context<'a>(&self, action: &Uid<'_>, context: Value<'a>, dropped: &mut Dropped) -> Value<'a> {
        let place = Name::Root("context");
        match &self.core.schema {
            Some(schema) => match schema.context(action) {
                Some(declared) => conform::members(context, Some(declared), &place, dropped),
                None => context,
            },
            None => conform::members(context, None, &place, dropped),
        }
    }

    /// Keeps what the schema declares as attributes of `type_name`; names what it dropped in `dropped`.
    #[must_use]
    pub fn conform_attributes<'a>(
        &self,
        type_name: &str,
        attributes: Value<'a>,
        prefix: &str,
        dropped: &mut Dropped,
    ) -> Value<'a> {
        let none = std::collections::BTreeMap::new();
        let declared = self
            .core
            .schema
            .as_ref()
            .map(|schema| schema.entity_type(type_name).map_or(&none, |declared| &declared.attributes));
        conform::members(attributes, declared, &Name::Root(prefix), dropped)
    }
}

/// What the entities of a bundle became.
pub(super) struct Loaded {
    pub draft: Draft,
    /// The schema that they were checked against.
    pub layout: Option<Layout>,
    /// Where each of them stands.
    pub places: Places,
}

/// Schema actions and all documents of `bundle`.
pub(super) fn load_bundle(
    bundle: &Bundle,
    schema: Option<&SchemaModel>,
    limits: &Limits,
    observers: &Observers,
    stop: &dyn Fn() -> bool,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut draft = Draft::empty();
    let full = |_| vec![Diagnostic::error("schema", "there are more names than the store can hold")];
    let layout = match schema {
        None => None,
        Some(schema) => {
            let layout = Layout::build(schema.cedar.as_ref(), &mut draft).map_err(full)?;
            load::schema_actions(schema, &mut draft)?;
            Some(layout)
        }
    };
    let of_bytes: u64 = bundle.entities.iter().map(Document::len).sum();
    let of_bytes = usize::try_from(of_bytes).unwrap_or(usize::MAX);
    let read = Cell::new(0);
    let tell = |entities, bytes| {
        read.set(entities);
        if let Some(loading) = &observers.loading {
            loading(Loading { entities, bytes, of_bytes });
        }
        !stop()
    };
    let checks = Checks { schema, layout: layout.as_ref(), limits };
    let loaded = load::load(&bundle.entities, checks, &mut draft, &tell);
    tell(read.get(), of_bytes);
    let places = loaded?;
    Ok(Loaded { draft, layout, places })
}
