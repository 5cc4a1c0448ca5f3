//! Rules that the data must keep: for every stored entity of a type, a Cedar expression over `principal` that must hold.
//!
//! Each rule is a policy of a set of its own, over the same entities: `permit (principal is T, ..) when { <must> }`, asked
//! with the entity as principal and resource. So what `must` means is what Cedar says of that policy, and it costs what a
//! decision costs. A rule is broken where its policy does not allow, be it false or failing. What Cedar has no words for,
//! which the direct parents are, `parents` says; a rule with `each_parent` is asked with each of them as the resource.
//!
//! A change can break the rules of what it touches, of what reads it by attributes, of what has one of these as a parent
//! that a rule asks about, and of what is below it where a rule says `in`: these are looked at, and no others.

mod answers;
mod parents;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use cedar_policy::Expression;
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Template, Var};

use crate::compiled::Compiling;
use crate::derived::Declared;
use crate::export;
use crate::ids::{EntityId, NameId, TypeId};
use crate::layout::is_action_type;
use crate::load::Places;
use crate::model::{
    Bundle, DataRule, Diagnostic, Document, Level, MAX_LISTED, PolicyNaming, PolicyText, SchemaText, hint,
};
use crate::policies::{FromData, Policies, Work, abandoned};
use crate::schema::SchemaModel;
use crate::settings::{EngineKind, EngineSettings, Limits, NowPolicy, Semantics, Validation};
use crate::snapshot::{Core, Loaded, Snapshot};
use crate::store::{Draft, Entity, Store};
use crate::validating::Validating;
use answers::{Answers, action_id};
use parents::Parents;

/// The namespace of the action that rules are asked with. It is in no schema but the one that their types are checked by.
const NAMESPACE: &str = "PalisadeDataRules";

/// How many entities lie between two looks at whether the result is still wanted.
const STRIDE: usize = 1 << 8;

/// The rules of a bundle, ready to be asked.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The rules of each type.
    of_type: HashMap<TypeId, Vec<Rule>>,
    core: Arc<Core>,
    /// Whether one of them asks what is above an entity.
    climbs: bool,
    /// By the type of a parent the types whose rules ask about each parent of it.
    asks_parents: HashMap<TypeId, HashSet<TypeId>>,
}

#[derive(Debug)]
struct Rule {
    code: Arc<str>,
    message: String,
    level: Level,
    /// The type of the parents that it is asked about, one by one.
    each_parent: Option<TypeId>,
    parents: Vec<Parents>,
}

/// A rule that an entity breaks.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The entity.
    pub entity: EntityId,
    /// The rule's code.
    code: Arc<str>,
    message: String,
    /// Whether it refuses.
    pub level: Level,
}

impl Broken {
    /// What is wrong, in words.
    pub(crate) fn message(&self, store: &Store) -> String {
        format!("`{}` breaks the rule `{}`: {}", export::uid_of(store, self.entity), self.code, self.message)
    }

    /// The finding, with the code of the rule.
    pub(crate) fn coded(&self, found: Diagnostic) -> Diagnostic {
        Diagnostic { data_rule: Some(self.code.to_string()), ..found }
    }
}

impl Rules {
    /// Checks the rules against the schema and compiles them. Interns what they name in `draft`.
    ///
    /// Recurses with the nesting of their texts, as building does.
    ///
    /// # Errors
    /// Every problem, with the rule that has it.
    pub(crate) fn build(
        rules: &[DataRule],
        schema: Option<(&SchemaModel, &SchemaText)>,
        draft: &mut Draft,
        limits: &Limits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Self>>, Vec<Diagnostic>> {
        if rules.is_empty() {
            return Ok(None);
        }
        let about = |found| Diagnostic::about("data_rule", found);
        let Some((model, text)) = schema else {
            let message = "data rules need a schema, which says what their expressions read";
            return Err(about(rules.iter().take(1).map(|rule| problem(rule, "", message.to_owned())).collect()));
        };
        let mut problems = named(rules, model);
        // what is wrong with one rule hides nothing of another: those that can be looked at are
        let is_declared = |name: &str| model.entity_type(name).is_some();
        let readable: Vec<(&DataRule, String)> = with_ids(rules)
            .filter(|(rule, _)| is_declared(&rule.each) && rule.each_parent.as_deref().is_none_or(is_declared))
            .filter(|(rule, id)| {
                let found = unread(rule, id, limits, stop);
                let is_read = found.is_empty();
                problems.extend(found);
                is_read
            })
            .collect();
        let extended = SchemaModel::build(&extended(text, &readable), limits).map_err(about)?;
        let set =
            Bundle { policies: readable.iter().map(|(rule, id)| policy(rule, id)).collect(), ..Bundle::default() };
        let mut work = Work {
            validating: Some(Validating::new(&extended, limits)),
            compiling: Some(Compiling::new(draft)),
            naming: None,
            keep: usize::MAX,
            warnings: Vec::new(),
            stop,
        };
        let policies = Policies::build(&set, &FromData::default(), limits, &mut work);
        let Work { validating, compiling, .. } = work;
        let errors = validating.map(|validating| validating.finish(stop).errors).unwrap_or_default();
        let policies = policies.map_err(|found| problems.extend(found)).ok();
        problems.extend(errors.into_iter().map(|found| of_must(found, &readable)));
        let mut climbs = false;
        for (rule, id) in policies.iter().flat_map(|_| &readable) {
            let site = policies.as_ref().and_then(|policies| policies.policy(id));
            let tree = site.and_then(|site| crate::policies::tree(site, limits));
            let condition = tree.as_ref().and_then(Template::non_scope_constraints);
            climbs |= condition.is_some_and(asks_above);
            let with_parent = rule.each_parent.is_some();
            if let Some(name) = condition.and_then(|condition| other_variable(condition, with_parent)) {
                let parent = if with_parent { ", and `resource`, its parent" } else { "" };
                let message = format!("`must` is about `principal`, which is the entity{parent}; there is no `{name}`");
                problems.push(of_text(problem(rule, "must", message), rule));
            }
        }
        let (Some(policies), true) = (policies, problems.is_empty()) else { return Err(about(problems)) };
        let Some(Ok(compiled)) = compiling.map(Compiling::finish) else {
            return Err(vec![Diagnostic::error("rules", "there are more names than the store can hold")]);
        };
        let settings = EngineSettings {
            kind: EngineKind::Compiled,
            validation: Validation::Off,
            semantics: Semantics::Cedar,
            now: NowPolicy::Off,
            limits: limits.clone(),
            ..EngineSettings::default()
        };
        let core = Core {
            settings,
            schema: None,
            layout: None,
            policies,
            declared: Arc::new(Declared::default()),
            rules: None,
            compiled,
            sound: Arc::default(),
            fallbacks: Arc::new(AtomicU64::new(0)),
        };
        let mut of_type: HashMap<TypeId, Vec<Rule>> = HashMap::new();
        let mut asks_parents: HashMap<TypeId, HashSet<TypeId>> = HashMap::new();
        for rule in rules {
            let (code, message, level) = (rule.code.as_str().into(), rule.message.clone(), rule.level);
            let parents = Parents::of(rule, draft);
            let (each, each_parent) = (draft.type_id(&rule.each), rule.each_parent.as_deref());
            let each_parent = each_parent.map(|ty| draft.type_id(ty));
            if let Some(parent) = each_parent {
                asks_parents.entry(parent).or_default().insert(each);
            }
            of_type.entry(each).or_default().push(Rule { code, message, level, each_parent, parents });
        }
        Ok(Some(Arc::new(Self { of_type, core: Arc::new(core), climbs, asks_parents })))
    }

    /// What rules say of the parents of entities of a type: the code of the rule, the type of the parents, and the attribute
    /// that names them.
    pub(crate) fn parents_of(&self, ty: TypeId) -> impl Iterator<Item = (&str, TypeId, NameId)> {
        let rules = self.of_type.get(&ty).into_iter().flatten().filter(|rule| rule.level == Level::Refuse);
        rules.flat_map(|rule| rule.parents.iter().map(|parents| (&*rule.code, parents.ty, parents.attribute)))
    }

    /// The rules that stored entities break: of `among`, or of all.
    ///
    /// # Errors
    /// If the result is not wanted any more.
    pub(crate) fn broken(
        &self,
        store: &Store,
        among: Option<BTreeSet<EntityId>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Vec<Broken>, usize), Vec<Diagnostic>> {
        let asked = Snapshot::of_parts(self.core.clone(), store.clone());
        let ids: Box<dyn Iterator<Item = EntityId>> = match among {
            Some(among) => Box::new(among.into_iter()),
            None => Box::new(store.ids()),
        };
        let (mut found, mut count) = (Vec::new(), 0);
        let of_rules = ids.filter_map(|id| Some((id, self.of_type.get(&store.type_of(id))?)));
        let stored = of_rules.filter(|(id, _)| store.entity(*id).is_some());
        for (n, (entity, rules)) in stored.enumerate() {
            if n.is_multiple_of(STRIDE) && stop() {
                return Err(vec![abandoned()]);
            }
            let answers = Answers::of(&asked, store, entity, rules);
            for rule in rules {
                let wrong = answers.wrong(rule, store);
                let differ = rule.parents.iter().find_map(|parents| parents.differ(store, entity));
                let Some(why) = wrong.or_else(|| differ.map(|differ| format!(" ({differ})"))) else { continue };
                count += 1;
                if found.len() < MAX_LISTED || rule.level == Level::Refuse && found.len() < 2 * MAX_LISTED {
                    let message = format!("{}{why}", rule.message);
                    found.push(Broken { entity, code: rule.code.clone(), message, level: rule.level });
                }
            }
        }
        Ok((found, count))
    }

    /// The rules of a bundle. Where its entities could not be read, what is wrong with the rules by themselves.
    ///
    /// # Errors
    /// As for [`Rules::build`].
    pub(crate) fn of(
        bundle: &Bundle,
        schema: Option<&SchemaModel>,
        loaded: &mut Option<Loaded>,
        limits: &Limits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Self>>, Vec<Diagnostic>> {
        let mut empty = Draft::empty();
        let draft = loaded.as_mut().map_or(&mut empty, |Loaded { draft, .. }| draft);
        Self::build(&bundle.for_each.rules, schema.zip(bundle.schema.as_ref()), draft, limits, stop)
    }

    /// What the entities of a bundle break: warnings, of rules that only warn.
    ///
    /// # Errors
    /// If one breaks a rule that refuses.
    pub(crate) fn judge(
        &self,
        store: &Store,
        places: &Places,
        documents: &[Document],
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let (broken, count) = self.broken(store, None, stop)?;
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for broken in &broken {
            let about = vec![(broken.entity, broken.message(store))];
            let found = places.errors(about, documents).into_iter().map(|found| broken.coded(found));
            match broken.level {
                Level::Refuse => errors.extend(found),
                Level::Warn => warnings.extend(found.map(Diagnostic::warning)),
            }
        }
        if let Some(more) = count.checked_sub(broken.len()).filter(|more| *more > 0) {
            let found = Diagnostic::error("entities", format!("and {more} more broken rules"));
            if errors.is_empty() { warnings.push(found.warning()) } else { errors.push(found) }
        }
        if errors.is_empty() {
            return Ok(Diagnostic::about("data_rule", warnings));
        }
        Err(Diagnostic::about("data_rule", errors.into_iter().chain(warnings).collect()))
    }

    /// The entities whose rules may be broken once these were written or removed; all where a rule names one of them.
    pub(crate) fn affected(
        &self,
        before: &Store,
        now: &Store,
        touched: &BTreeSet<EntityId>,
    ) -> Option<BTreeSet<EntityId>> {
        let reach = self.core.compiled.reach();
        let (mut open, mut seen) = (Vec::new(), BTreeSet::new());
        for id in touched {
            let (old, new) = (before.earlier(*id), now.entity(*id));
            let old = old.filter(|it| it.is_present());
            if let (Some(old), Some(new)) = (old, new)
                && old.has_content_of(new)
            {
                continue;
            }
            if seen.insert(*id) {
                open.push(*id);
            }
            let above = |entity: Option<Entity<'_>>| entity.map(|it| it.parents().collect::<BTreeSet<EntityId>>());
            if self.climbs && above(old).unwrap_or_default() != above(new).unwrap_or_default() {
                let mut below = vec![*id];
                while let Some(at) = below.pop() {
                    let children = now.referrers(at).filter(|id| now.entity(*id).is_some_and(|it| is_in(it, at)));
                    for child in children.filter(|child| seen.insert(*child)) {
                        below.push(child);
                        open.push(child);
                    }
                }
            }
        }
        for _ in 0..reach.depth {
            let mut next = Vec::new();
            for at in open.drain(..) {
                if reach.entities.contains(&at) {
                    return None;
                }
                let holders = now.referrers(at).filter(|id| now.entity(*id).is_some_and(|it| reach.leads(it, at)));
                next.extend(holders.filter(|holder| seen.insert(*holder)));
            }
            open = next;
        }
        if open.iter().any(|at| reach.entities.contains(at)) {
            return None;
        }
        let mut children = Vec::new();
        for at in &seen {
            let Some(types) = self.asks_parents.get(&now.type_of(*at)) else { continue };
            let asked = now.referrers(*at).filter(|id| types.contains(&now.type_of(*id)));
            children.extend(asked.filter(|id| now.entity(*id).is_some_and(|it| is_in(it, *at))));
        }
        seen.extend(children);
        Some(seen)
    }
}

fn is_in(entity: Entity<'_>, parent: EntityId) -> bool {
    entity.parents().any(|it| it == parent)
}

/// The problems of types and codes.
fn named(rules: &[DataRule], schema: &SchemaModel) -> Vec<Diagnostic> {
    let (mut problems, mut codes) = (Vec::new(), BTreeMap::new());
    for rule in rules {
        let each = rule.each.as_str();
        match schema.entity_type(each) {
            None if is_action_type(each) => {
                problems.push(problem(rule, "each", format!("`each: {each}`: actions come from the schema")));
            }
            None => {
                let near = hint(each, schema.entity_type_names());
                problems.push(problem(
                    rule,
                    "each",
                    format!("`each`: the schema declares no entity type `{each}`{near}"),
                ));
            }
            Some(_) => {
                problems.extend(parents::problems(rule, schema).into_iter().map(|it| problem(rule, "parents", it)));
                let unknown = parents::unknown_parent(rule, schema);
                problems.extend(unknown.map(|found| problem(rule, "each_parent", found)));
            }
        }
        // one that lacks its code was reported where it was read
        let first = if rule.code.is_empty() { None } else { codes.insert(rule.code.as_str(), rule) };
        if let Some(first) = first {
            let place = problem(first, "", String::new());
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            let message = format!("a second rule has the code `{}`; the first is at {}{line}", rule.code, place.origin);
            problems.push(problem(rule, "", message));
        }
    }
    problems
}

fn problem(rule: &DataRule, member: &str, message: String) -> Diagnostic {
    match &rule.written {
        Some(place) => Diagnostic { line: place.line_of(member), ..Diagnostic::error(&*place.origin, message) },
        None => Diagnostic::error("rules", message),
    }
}

/// The rules, each with the id of its policy: its code, or where that is wrong another, under which no rule is ever asked.
fn with_ids(rules: &[DataRule]) -> impl Iterator<Item = (&DataRule, String)> {
    let mut codes = HashSet::new();
    rules.iter().enumerate().map(move |(n, rule)| {
        let is_own = !rule.code.is_empty() && codes.insert(rule.code.as_str());
        (rule, if is_own { rule.code.clone() } else { format!("{} {n}", rule.code) })
    })
}

/// A finding about the text of a rule, with that text: it is not at hand as it stands in its file.
fn of_text(found: Diagnostic, rule: &DataRule) -> Diagnostic {
    let written = rule.must.as_deref().map(|must| must.split_whitespace().collect::<Vec<_>>().join(" "));
    let excerpt = written.filter(|text| !text.is_empty() && text.chars().count() <= LONGEST_SHOWN);
    Diagnostic { excerpt, column: None, ..found }
}

/// What Cedar's validator says of the policy that a rule is, as it is meant of the rule.
fn of_must(found: Diagnostic, rules: &[(&DataRule, String)]) -> Diagnostic {
    let id = found.policy_id.clone().unwrap_or_default();
    let Some((rule, _)) = rules.iter().find(|(_, known)| *known == id) else { return found };
    let said = found.message.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or(&found.message);
    let message = format!("`must` of the rule `{}`: {said}", rule.code);
    let found = Diagnostic { message, policy_id: None, ..found };
    of_text(found, rule)
}

/// The longest expression that is shown with what is wrong with it.
const LONGEST_SHOWN: usize = 160;

/// What makes `must` no expression.
fn unread(rule: &DataRule, id: &str, limits: &Limits, stop: &dyn Fn() -> bool) -> Vec<Diagnostic> {
    let alone = Bundle { policies: vec![policy(rule, id)], ..Bundle::default() };
    let mut work = Work { validating: None, compiling: None, naming: None, keep: 0, warnings: Vec::new(), stop };
    let found = Policies::build(&alone, &FromData::default(), limits, &mut work).err().unwrap_or_default();
    // read within the limits, it may still be a second clause of the policy
    if let Some(must) = rule.must.as_deref().filter(|must| found.is_empty() && must.parse::<Expression>().is_err()) {
        let why = "it is more than one expression";
        let help =
            format!("write one, such as `({}) && ...`", must.split(['}', '\n']).next().unwrap_or_default().trim());
        let message = format!("`must` is no Cedar expression over `principal`: {why}");
        return vec![of_text(problem(rule, "must", message).help(help), rule)];
    }
    // the text is another than that of the file
    let told = |found: Diagnostic| {
        let why = if found.message.contains("exactly one policy") {
            "it is more than one expression"
        } else {
            &found.message
        };
        let problem = problem(rule, "must", format!("`must` is no Cedar expression over `principal`: {why}"));
        of_text(Diagnostic { help: found.help, ..problem }, rule)
    };
    found.into_iter().map(told).collect()
}

/// The rule as a policy. What `must` says beyond one expression makes it several policies, or none that can be read.
fn policy(rule: &DataRule, id: &str) -> PolicyText {
    let DataRule { each, each_parent, must, .. } = rule;
    let must = must.as_deref().unwrap_or("true");
    let place = problem(rule, "must", String::new());
    let action = serde_json::Value::from(action_id(each, each_parent.as_deref()));
    let text =
        format!("permit (principal is {each}, action == {NAMESPACE}::Action::{action}, resource) when {{\n{must}\n}};");
    PolicyText {
        origin: place.origin,
        text,
        naming: PolicyNaming::Part { id: id.to_owned(), line: place.line.unwrap_or(1) },
    }
}

/// The schema, with an action for the rules of each type.
fn extended(text: &SchemaText, rules: &[(&DataRule, String)]) -> SchemaText {
    let types: BTreeSet<_> = rules.iter().map(|(rule, _)| (rule.each.as_str(), rule.each_parent.as_deref())).collect();
    let actions: String = types
        .into_iter()
        .map(|(ty, parent)| {
            let (id, resource) = (serde_json::Value::from(action_id(ty, parent)), parent.unwrap_or(ty));
            format!("action {id} appliesTo {{ principal: [{ty}], resource: [{resource}] }};\n")
        })
        .collect();
    let mut fragments = text.fragments.clone();
    fragments.push(("rules".to_owned(), format!("namespace {NAMESPACE} {{\n{actions}}}")));
    SchemaText { fragments }
}

/// A variable that is neither the principal nor, where that is one, the parent.
fn other_variable(condition: &Expr, with_parent: bool) -> Option<&'static str> {
    condition.subexpressions().find_map(|part| match part.expr_kind() {
        ExprKind::Var(Var::Action) => Some("action"),
        ExprKind::Var(Var::Resource) if !with_parent => Some("resource"),
        ExprKind::Var(Var::Context) => Some("context"),
        _ => None,
    })
}

/// Whether it asks what is above an entity.
fn asks_above(condition: &Expr) -> bool {
    let mut parts = condition.subexpressions();
    parts.any(|part| matches!(part.expr_kind(), ExprKind::BinaryApp { op: BinaryOp::In, .. }))
}
