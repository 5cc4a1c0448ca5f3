//! Changes of policies and links: the set after them shares with the one before what did not change, and only what changed is
//! parsed, validated and compiled.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::broken::broken;
use crate::change::Place;
use crate::change::links::DataLinks;
use crate::compiled::{CompiledSet, Compiling};
use crate::derived::Grants;
use crate::export;
use crate::model::{Diagnostic, Edit, Link, PolicyId, PolicyNaming, PolicyText, Refused, Tally, Uid, count};
use crate::policies::{IN_USE, NewLink, Policies, SetEdits, Work};
use crate::settings::{EngineKind, Validation};
use crate::shared::Set;
use crate::site::{Kind, Site};
use crate::snapshot::{Core, Snapshot};
use crate::store::Draft;
use crate::validating::{Sound, Validated, Validating};

/// What a transaction does to policies and links, by their ids.
#[derive(Debug, Default)]
pub(super) struct RuleEdits {
    policies: BTreeMap<String, Put<String>>,
    links: BTreeMap<String, Put<Link>>,
}

/// The last word of a transaction about a policy or link.
#[derive(Debug)]
struct Put<T> {
    place: Place,
    what: What<T>,
}

#[derive(Debug)]
enum What<T> {
    Given(T),
    Gone,
    /// What the base has, be it nothing.
    OfBase,
}

impl<T> What<T> {
    /// Notes who has the last word about `id` from now on, and gives whether that is another than before. `hides` says that
    /// a deletion has something to hide, or may have.
    fn note(&self, id: &PolicyId, hides: bool, words: &mut Set<PolicyId>) -> bool {
        let is_word = match self {
            Self::Given(_) => true,
            Self::Gone => hides,
            Self::OfBase => false,
        };
        if is_word { words.insert(id.clone()) } else { words.remove(&**id) }
    }
}

/// The policies and links that changes had the last word about, be it that they are gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// Policies and templates.
    pub policies: Set<PolicyId>,
    /// Links.
    pub links: Set<PolicyId>,
}

/// A set of policies and links, ready to decide.
#[derive(Debug)]
pub(crate) struct RuledSet {
    pub policies: Policies,
    pub compiled: CompiledSet,
    /// The kinds of links that are well.
    pub sound: Sound,
}

/// What policies and links became.
#[derive(Debug)]
pub(crate) struct Ruled {
    /// The set; none where only words changed.
    pub set: Option<RuledSet>,
    /// Who had the last word.
    pub words: Words,
    /// Whether that is another than before about something.
    reworded: bool,
    /// The policies and links that decided and forbade, and do not any more.
    pub forbids_removed: Vec<PolicyId>,
    /// How much was done.
    pub tally: Tally,
    /// What the author should look at.
    pub warnings: Vec<Diagnostic>,
    /// Policies and templates that are put or removed.
    pub policies: Vec<String>,
    /// Links that are put or removed.
    pub links: Vec<String>,
}

impl RuleEdits {
    /// Takes a change of a policy or a link.
    ///
    /// # Errors
    /// If the id is one of the other kind.
    pub(super) fn take(&mut self, edit: &Edit, place: Place, before: &Snapshot) -> Result<(), String> {
        let is_link = |id: &str| {
            let site = before.core.policies.sites.get(id);
            site.is_some_and(|site| matches!(site.kind, Kind::Link(_))) && !self.links.contains_key(id)
        };
        let is_policy = |id: &str| {
            let site = before.core.policies.sites.get(id);
            site.is_some_and(|site| !matches!(site.kind, Kind::Link(_))) && !self.policies.contains_key(id)
        };
        match edit {
            Edit::PutPolicy { id, .. } | Edit::DeletePolicy(id) if is_link(id) => {
                return Err(format!("`{id}` is a link, not a policy; `delete_link` removes it"));
            }
            Edit::DeleteLink(id) if is_policy(id) => {
                return Err(format!("`{id}` is a policy, not a link; `delete_policy` removes it"));
            }
            Edit::PutPolicy { id, text } => self.policy(id, place, What::Given(text.clone())),
            Edit::DeletePolicy(id) => self.policy(id, place, What::Gone),
            Edit::RevertPolicy(id) => self.policy(id, place, What::OfBase),
            Edit::PutLink(link) => self.link(&link.link_id, place, What::Given(link.clone())),
            Edit::DeleteLink(id) => self.link(id, place, What::Gone),
            Edit::RevertLink(id) => self.link(id, place, What::OfBase),
            Edit::Upsert(_) | Edit::Update(_) | Edit::Delete(_) | Edit::DeleteSubtree(_) | Edit::Revert(_) => {
                broken("a change of an entity among those of policies");
            }
            Edit::Expect { .. } => broken("a condition among the changes of policies"),
        }
        Ok(())
    }

    /// Whether a change before was about this policy or link.
    pub(super) fn has(&self, id: &str, is_link: bool) -> bool {
        if is_link { self.links.contains_key(id) } else { self.policies.contains_key(id) }
    }

    fn policy(&mut self, id: &str, place: Place, what: What<String>) {
        self.policies.insert(id.to_owned(), Put { place, what });
    }

    fn link(&mut self, id: &str, place: Place, what: What<Link>) {
        self.links.insert(id.to_owned(), Put { place, what });
    }

    /// Whether it may bring a template that was not there.
    pub(super) fn may_bring_templates(&self, before: &Snapshot) -> bool {
        let policies = &before.core.policies;
        let is_new = |id: &String| policies.policy(id).is_none_or(|site| site.kind != Kind::Template);
        self.policies.iter().any(|(id, put)| !matches!(put.what, What::Gone) && is_new(id))
    }

    /// Whether it puts a policy of an id, or may.
    pub(super) fn puts(&self, id: &str) -> bool {
        self.policies.get(id).is_some_and(|put| !matches!(put.what, What::Gone))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.links.is_empty()
    }

    /// The policies and the links that it is about.
    pub(super) fn ids(&self) -> (Vec<String>, Vec<String>) {
        (self.policies.keys().cloned().collect(), self.links.keys().cloned().collect())
    }

    /// Whether a link from before is left as it was.
    pub(super) fn leaves(&self, link: &str) -> bool {
        !self.links.contains_key(link)
    }

    /// Removes a link that names what is deleted.
    pub(super) fn unlink(&mut self, link: &str, place: Place) {
        self.link(link, place, What::Gone);
    }

    /// The links of the transaction that name an entity.
    pub(super) fn links_to(&self, uid: &Uid<'_>, before: &Snapshot) -> Vec<&str> {
        let names = |link: &Link| link.args.iter().any(|(_, arg)| Uid::parse(arg).is_ok_and(|arg| arg == *uid));
        let new = self.links.iter().filter(|(id, put)| match &put.what {
            What::Given(link) => names(link),
            What::Gone => false,
            What::OfBase => before.base_core().policies.link(id).is_some_and(names),
        });
        new.map(|(id, _)| id.as_str()).collect()
    }

    /// Makes the set after the changes, and after what comes and goes with data. `keeps_deletions` says that a deletion counts though the base has nothing that it
    /// could hide: a later base may have it again.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn apply(
        self,
        before: &Snapshot,
        from_data: &DataLinks,
        draft: &mut Draft,
        keeps_deletions: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Ruled>, Refused> {
        let core = &before.core;
        let mut ruled = Ruled {
            set: None,
            words: Words::clone(&before.words),
            reworded: false,
            forbids_removed: Vec::new(),
            tally: Tally::default(),
            warnings: Vec::new(),
            policies: Vec::new(),
            links: Vec::new(),
        };
        let mut edits = self.plan(before, from_data, keeps_deletions, &mut ruled);
        if edits.is_empty() {
            return Ok(ruled.reworded.then_some(ruled));
        }
        remake(before, &mut edits, &from_data.grants, draft);
        let in_use = in_use(before, &edits, &self.policies, from_data, draft);
        if !in_use.is_empty() {
            return Err(Refused::InUse(Diagnostic::about("change", in_use)));
        }
        let (settings, schema) = (&core.settings, core.schema.as_deref());
        let limits = &settings.limits;
        let forbade = edits.removed.iter().filter(|id| core.policies.is_forbid(id));
        let mut forbade: Vec<PolicyId> = forbade.cloned().collect();
        // now and then everything is made again, without what was left over
        let asks = edits.only_asks();
        let again = core.compiled.is_mostly_waste() && !asks;
        if again {
            edits.widen(&core.policies);
            core.compiled.all_named().for_each(|id| draft.drop_name(id));
        }
        let compiling = match (again, asks) {
            (true, _) => Some(Compiling::new(draft).numbered_as(&core.compiled)),
            (_, true) => None,
            _ => Some(Compiling::resume(&core.compiled, &edits.removed, draft)),
        };
        let validating = match settings.validation {
            Validation::Off => None,
            Validation::Strict | Validation::Warn => {
                let spent = core.policies.steps_without(&edits.removed);
                let of = |schema| Validating::new(schema, limits).resumed(spent, core.sound.clone(), &edits.removed);
                schema.map(of)
            }
        };
        let mut work = Work {
            validating,
            compiling,
            naming: None,
            warnings: Vec::new(),
            keep: match settings.kind {
                EngineKind::Compiled => settings.kept.0,
                EngineKind::Reference => usize::MAX,
            },
            stop,
        };
        let invalid = |mut found: Vec<Diagnostic>| {
            found.iter_mut().for_each(|problem| self.point_to_change(problem, core));
            // data need the template as it was
            let (in_use, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|problem| problem.part == IN_USE);
            match (stop(), in_use.is_empty(), others.is_empty()) {
                (true, ..) => Refused::GivenUp,
                (_, false, true) => Refused::InUse(in_use),
                _ => Refused::Invalid(Diagnostic::about("change", in_use.into_iter().chain(others).collect())),
            }
        };
        let policies = core.policies.edited(edits, &core.declared, limits, &mut work);
        let Work { validating, compiling, warnings: of_data, .. } = work;
        ruled.warnings.extend(of_data);
        let (mut problems, mut sound) = (Vec::new(), Sound::default());
        if let Some(validating) = validating {
            let Validated { errors, warnings, sound: well } = validating.finish(stop);
            sound = well;
            ruled.warnings.extend(warnings);
            match settings.validation {
                Validation::Strict => problems.extend(errors),
                _ => ruled.warnings.extend(errors.into_iter().map(Diagnostic::warning)),
            }
        }
        let policies = policies.map_err(|found| problems.splice(0..0, found)).ok();
        let compiled = compiling.map(Compiling::finish);
        match (policies, compiled) {
            (Some(policies), Some(Ok(compiled))) if problems.is_empty() => {
                forbade.retain(|id| !policies.is_forbid(id));
                forbade.sort_unstable();
                ruled.forbids_removed = forbade;
                ruled.set = Some(RuledSet { policies, compiled, sound });
                Ok(Some(ruled))
            }
            (Some(_), None) if problems.is_empty() => Ok(Some(ruled)),
            (_, Some(Err(_))) if problems.is_empty() => {
                Err(invalid(vec![Diagnostic::error("/changes", "there are more names than the store can hold")]))
            }
            _ => Err(invalid(problems)),
        }
    }

    /// A problem of something that stands in a file, at the change that made it one; where it stands is said in words.
    fn point_to_change(&self, problem: &mut Diagnostic, core: &Core) {
        if Place::is_within(&problem.origin) {
            return;
        }
        let id = problem.policy_id.as_deref().unwrap_or_default();
        let of_link = || self.links.get(id).map(|put| put.place);
        // a link of a file may not fit its template any more
        let template = || core.policies.linked(id).map(|linked| linked.link.template_id.as_str());
        let of_policy = |id: &str| self.policies.get(id).map(|put| put.place);
        let place = of_link().or_else(|| of_policy(id)).or_else(|| of_policy(template()?));
        let all = || self.policies.values().map(|put| put.place).chain(self.links.values().map(|put| put.place));
        let Some(place) = place.or_else(|| all().min_by_key(|place| place.number)) else { return };
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        problem.message = format!("{} (it stands in {}{line})", problem.message, problem.origin);
        problem.origin = place.pointer("");
        (problem.line, problem.column, problem.excerpt) = (None, None, None);
    }

    /// What must be done to the set; what is so already is left out. Counts it, and notes who has the last word.
    fn plan(&self, before: &Snapshot, from_data: &DataLinks, keeps_deletions: bool, ruled: &mut Ruled) -> SetEdits {
        let (now, base) = (&before.core.policies, &before.base_core().policies);
        let mut edits = SetEdits::default();
        edits.links.extend(from_data.new.iter().cloned());
        for (id, Put { place, what }) in &self.policies {
            let known = now.policy(id);
            let of_base = base.policy(id);
            let policy_id = PolicyId::from(id.as_str());
            let reworded = what.note(&policy_id, keeps_deletions || of_base.is_some(), &mut ruled.words.policies);
            ruled.reworded |= reworded;
            let new = match what {
                What::Given(text) => Some(text.as_str()),
                What::Gone => None,
                What::OfBase => of_base.map(Site::text),
            };
            // the base's own has another place than the same text of a change
            let comes_back = matches!(what, What::OfBase) && reworded;
            if new == known.map(Site::text) && !comes_back {
                continue;
            }
            if new != known.map(Site::text) {
                ruled.tally.policies += 1;
                ruled.policies.push(id.clone());
            }
            if known.is_some() {
                edits.removed.insert(policy_id.clone());
            }
            match (what, of_base) {
                (What::Given(text), _) => edits.texts.push(PolicyText {
                    origin: place.pointer("/text"),
                    text: text.clone(),
                    naming: PolicyNaming::Exactly(id.clone()),
                }),
                (What::OfBase, Some(site)) => edits.sites.push((policy_id, site.clone())),
                _ => {}
            }
        }
        for (id, Put { place, what }) in &self.links {
            let (known, of_base) = (now.link(id), base.link(id));
            let link_id = PolicyId::from(id.as_str());
            ruled.reworded |= what.note(&link_id, keeps_deletions || of_base.is_some(), &mut ruled.words.links);
            let new = match what {
                What::Given(link) => Some(link),
                What::Gone => None,
                What::OfBase => of_base,
            };
            let same = |a: &Link, b: &Link| a.template_id == b.template_id && a.args == b.args;
            if match (new, known) {
                (Some(new), Some(known)) => same(new, known),
                (None, None) => true,
                _ => false,
            } {
                continue;
            }
            ruled.links.push(id.clone());
            if known.is_some() {
                edits.removed.insert(link_id);
                ruled.tally.links_removed += 1;
            }
            if let Some(new) = new {
                ruled.tally.links_added += 1;
                let mut new = new.clone();
                if matches!(what, What::Given(_)) {
                    new.written = None;
                }
                edits.links.push(NewLink { origin: place.pointer(""), link: new, maker: None });
            }
        }
        edits.relink(now);
        edits
    }
}

/// Looks again at one link of each template that is replaced and that a declaration uses.
fn remake(before: &Snapshot, edits: &mut SetEdits, grants: &Grants, draft: &Draft) {
    let core = &before.core;
    let mut again = Vec::new();
    for (id, origin) in edits.replaced(&core.policies) {
        let Some(number) = core.compiled.number(id) else { continue };
        let uses = grants.uses().filter(|(_, template, _)| *template == number);
        let found = uses.filter_map(|(declaration, ..)| grants.first(number, Some(declaration)));
        again.extend(found.map(|grant| NewLink {
            origin: origin.to_owned(),
            link: core.declared.link(&grant, id, draft),
            maker: Some(grant.into()),
        }));
    }
    edits.links.extend(again);
}

/// A problem for each template that would go, or become a policy, while links need it.
fn in_use(
    before: &Snapshot,
    edits: &SetEdits,
    puts: &BTreeMap<String, Put<String>>,
    from_data: &DataLinks,
    draft: &Draft,
) -> Vec<Diagnostic> {
    let (core, grants) = (&before.core, &from_data.grants);
    let stays: HashSet<&str> = edits
        .texts
        .iter()
        .filter_map(|text| text.naming.exactly())
        .chain(edits.sites.iter().map(|(id, _)| &**id))
        .collect();
    let goes = |id: &str| edits.removed.contains(id) && !stays.contains(id);
    let going: HashSet<&str> = puts.keys().map(String::as_str).filter(|id| goes(id)).collect();
    let is_template = |id: &&str| core.policies.policy(id).is_some_and(|site| site.kind == Kind::Template);
    // links that stay, and those that the transaction brings
    let old = core.policies.links.iter().map(|linked| &linked.link);
    let old = old.take(if going.iter().any(is_template) { usize::MAX } else { 0 });
    let old = old.filter(|link| !edits.removed.contains(link.link_id.as_str()));
    // what data name is looked at afresh with the set, as a load does
    let new = edits.links.iter().filter(|new| new.maker.is_none() || !from_data.afresh).map(|new| &new.link);
    let mut needing: HashMap<&str, (&str, usize)> = HashMap::new();
    for link in old.chain(new).filter(|link| going.contains(link.template_id.as_str())) {
        needing.entry(&link.template_id).or_insert((&link.link_id, 0)).1 += 1;
    }
    let mut found = Vec::new();
    for (id, Put { place, .. }) in puts.iter().filter(|(id, _)| going.contains(id.as_str())) {
        let number = core.compiled.number(id);
        let made = || {
            let grant = grants.first(number?, None)?;
            let help =
                format!("change `{}`, which names it, or keep the template", export::uid_of(draft, grant.entity));
            Some((core.declared.link(&grant, id, draft).link_id, help))
        };
        let of_data: usize = grants.uses().filter(|(_, used, _)| Some(*used) == number).map(|(.., links)| links).sum();
        let by_hand = needing.get(id.as_str());
        let all = by_hand.map_or(0, |(_, count)| *count) + of_data;
        let by_hand = by_hand.map(|(first, _)| {
            ((*first).to_owned(), "remove the links in the same transaction, or keep the template".to_owned())
        });
        if let Some((first, help)) = by_hand.or_else(made) {
            let more = match all.saturating_sub(1) {
                0 => " needs".to_owned(),
                more => format!(" and {} need", count(more, "more link")),
            };
            let message = format!("`{first}`{more} the template `{id}`");
            found.push(Diagnostic::error(place.pointer(""), message).policy(id).help(help));
        } else if let Some(declaration) = core.declared.list().iter().find(|it| it.fixed() == Some(id)) {
            let at = declaration.finding(String::new());
            let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
            let message = format!("the links from data at {}{line} need the template `{id}`", at.origin);
            let help = "take them out of the bundle first, or keep the template";
            found.push(Diagnostic::error(place.pointer(""), message).policy(id).help(help));
        }
    }
    found
}
