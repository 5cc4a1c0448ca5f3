//! After any changes the state is the one in which the same links are written by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::derived::{Filed, Kind, List, MadeLink};
use crate::ids::{DeclarationIx, EntityId, TemplateIx};
use crate::model::Link;
use crate::tests::changes::{check_referrers, stored};
use crate::tests::dice::Dice;
use crate::{EngineKind, KeptTrees};

const DECLARED: [&str; 4] = [
    GRANTS,
    r#"{"each":"Chain","id":"c","template":"grant.role.permissions","principal":"grant.group","resource":"grant.where"}"#,
    r#"{"each":"Org","template":"closed","when":"closed","resource":"self"}"#,
    r#"{"each":"Group","id":"w","template":"extra","principal":"self","resource":"home","missing":"warn"}"#,
];

const TEMPLATES: [(&str, &str); 5] = [
    ("read", "permit (principal in ?principal, action == Action::\"read\", resource in ?resource);"),
    (
        "write",
        "permit (principal in ?principal, action == Action::\"write\", resource in ?resource) when { principal.level > 9223372036854775806 + principal.level };",
    ),
    (
        "deny",
        "forbid (principal is User in ?principal, action, resource in ?resource) when { principal.level + 9223372036854775805 < 0 };",
    ),
    ("any", "permit (principal in ?principal, action, resource in ?resource);"),
    ("closed", "forbid (principal, action, resource in ?resource);"),
];

#[derive(Clone, Default)]
pub(super) struct World {
    roles: BTreeMap<usize, BTreeSet<&'static str>>,
    grants: BTreeMap<usize, (Option<usize>, usize, usize, bool)>,
    chains: BTreeMap<usize, Option<usize>>,
    orgs: BTreeMap<usize, Option<bool>>,
    groups: BTreeMap<usize, (Option<&'static str>, Option<usize>)>,
    templates: BTreeMap<&'static str, &'static str>,
}

impl Dice {
    fn maybe(&mut self, n: usize) -> Option<usize> {
        (self.roll(4) > 0).then(|| self.roll(n))
    }
}

/// Roles, grants, and so on have so many ids.
const IDS: usize = 4;

impl World {
    /// Without `any`, that comes and is named before.
    pub(super) fn with_templates(all: bool) -> Self {
        let mut world = Self { templates: TEMPLATES.into(), ..Self::default() };
        if !all {
            world.templates.remove("any");
        }
        world
    }

    fn entity(&self, kind: &str, n: usize) -> Option<String> {
        let attrs: Vec<String> = match kind {
            "Role" => {
                let names: Vec<String> = self.roles.get(&n)?.iter().map(|name| format!("{name:?}")).collect();
                vec![format!("\"permissions\":[{}]", names.join(","))]
            }
            "Grant" => {
                let (group, role, place, active) = self.grants.get(&n)?;
                let group = group.map(|n| to("group", "Group", &n.to_string()));
                let active = active.then(|| "\"active\":true".to_owned());
                let required = [to("role", "Role", &role.to_string()), to("where", "Org", &place.to_string())];
                required.into_iter().chain(group).chain(active).collect()
            }
            "Chain" => self.chains.get(&n)?.map(|n| to("grant", "Grant", &n.to_string())).into_iter().collect(),
            "Org" => self.orgs.get(&n)?.map(|closed| format!("\"closed\":{closed}")).into_iter().collect(),
            _ => {
                let (extra, home) = self.groups.get(&n)?;
                let extra = extra.map(|name| format!("\"extra\":{name:?}"));
                extra.into_iter().chain(home.map(|n| to("home", "Org", &n.to_string()))).collect()
            }
        };
        let parents = match kind {
            "Org" if n > 0 => format!("{{\"type\":\"Org\",\"id\":\"{}\"}}", n - 1),
            "Group" => format!("{{\"type\":\"Org\",\"id\":\"{n}\"}}"),
            _ => String::new(),
        };
        Some(
            entity(kind, &n.to_string(), &attrs.join(","))
                .replace("\"parents\":[]", &format!("\"parents\":[{parents}]")),
        )
    }

    fn entities(&self) -> String {
        let kinds = ["Role", "Grant", "Chain", "Org", "Group"];
        let all = kinds.into_iter().flat_map(|kind| (0..IDS).filter_map(move |n| self.entity(kind, n)));
        let users = (0..IDS).map(|n| {
            format!(
                r#"{{"uid":{{"type":"User","id":"{n}"}},"attrs":{{"level":{}}},"parents":[{{"type":"Group","id":"{n}"}}]}}"#,
                n % 2
            )
        });
        all.chain(users).collect::<Vec<_>>().join("\n")
    }

    /// The links as their contract has them; nothing if a path is broken or a name that must be is no template.
    fn by_hand(&self) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        let mut push = |template: &str, label: &str, uid: String, principal: Option<usize>, resource: usize| {
            let args = [
                principal.map(|n| ("?principal", format!("Group::\"{n}\""))),
                Some(("?resource", format!("Org::\"{resource}\""))),
            ];
            links.push(Link {
                template_id: template.to_owned(),
                link_id: format!("{template}@{label}{uid}"),
                args: args.into_iter().flatten().map(|(slot, uid)| (slot.to_owned(), uid)).collect(),
                written: None,
            });
        };
        for (n, (group, role, place, _)) in self.grants.iter().filter(|(_, grant)| grant.3) {
            for name in self.roles.get(role)? {
                if let Some(group) = group {
                    push(name, "", format!("Grant::\"{n}\""), Some(*group), *place);
                }
            }
        }
        for (n, grant) in self.chains.iter().filter_map(|(n, grant)| Some((n, (*grant)?))) {
            let (group, role, place, _) = self.grants.get(&grant)?;
            for name in self.roles.get(role)? {
                if let Some(group) = group {
                    push(name, "c@", format!("Chain::\"{n}\""), Some(*group), *place);
                }
            }
        }
        for n in self.orgs.iter().filter(|(_, closed)| **closed == Some(true)).map(|(n, _)| n) {
            push("closed", "", format!("Org::\"{n}\""), None, *n);
        }
        for (n, (extra, home)) in &self.groups {
            if let (Some(name), Some(home)) = (extra, home)
                && self.templates.contains_key(name)
            {
                push(name, "w@", format!("Group::\"{n}\""), Some(*n), *home);
            }
        }
        links.iter().all(|link| self.templates.contains_key(link.template_id.as_str())).then_some(links)
    }

    pub(super) fn bundle(&self, by_hand: bool) -> Option<Bundle> {
        let links = self.by_hand()?;
        let mut bundle = bundle_of("", if by_hand { &[] } else { &DECLARED }, &self.entities());
        let text = |(id, text): (&&str, &&str)| PolicyText {
            origin: (*id).to_owned(),
            text: (*text).to_owned(),
            naming: PolicyNaming::Exactly((*id).to_owned()),
        };
        bundle.policies = self.templates.iter().map(text).collect();
        bundle.links = if by_hand { links } else { Vec::new() };
        Some(bundle)
    }

    /// A change, made here too. It never deletes a template that data name.
    pub(super) fn change(&mut self, dice: &mut Dice) -> String {
        let n = dice.roll(IDS);
        let kind = ["Role", "Grant", "Grant", "Chain", "Org", "Group", "policy"][dice.roll(7)];
        let gone = dice.roll(6) == 0;
        match kind {
            "policy" => {
                let (id, text) = TEMPLATES[dice.roll(TEMPLATES.len())];
                self.templates.insert(id, text);
                return format!(r#"{{"put_policy":{{"id":"{id}","text":{}}}}}"#, serde_json::Value::from(text));
            }
            "Role" if gone => drop(self.roles.remove(&n)),
            "Grant" if gone => drop(self.grants.remove(&n)),
            "Chain" if gone => drop(self.chains.remove(&n)),
            "Org" if gone => drop(self.orgs.remove(&n)),
            "Group" if gone => drop(self.groups.remove(&n)),
            "Role" => {
                let names = TEMPLATES[..4].iter().map(|(id, _)| *id).filter(|_| dice.roll(3) == 0).collect();
                self.roles.insert(n, names);
            }
            "Grant" => {
                let grant = (dice.maybe(IDS), dice.roll(IDS), dice.roll(IDS), dice.roll(4) > 0);
                self.grants.insert(n, grant);
            }
            "Chain" => drop(self.chains.insert(n, dice.maybe(IDS))),
            "Org" => drop(self.orgs.insert(n, dice.maybe(3).map(|n| n == 0))),
            _ => {
                let extra = ["read", "any", "unknown", "deny"][dice.roll(4)];
                self.groups.insert(n, (dice.maybe(1).map(|_| extra), dice.maybe(IDS)));
            }
        }
        match self.entity(kind, n) {
            Some(entity) => format!(r#"{{"upsert":{entity}}}"#),
            None => format!(r#"{{"delete":{{"type":"{kind}","id":"{n}"}}}}"#),
        }
    }
}

pub(super) fn fresh(bundle: Bundle, settings: &EngineSettings) -> Result<Snapshot, Vec<Diagnostic>> {
    let revision = Revision { incarnation: 1, counter: 1 };
    on_big_stack(|| Snapshot::build(bundle.into(), settings, revision)).unwrap().map(|built| built.0)
}

/// Id, template and values of every link.
pub(super) fn listed(state: &Snapshot) -> Vec<String> {
    let show = |link: &Link| format!("{} {} {:?}", link.link_id, link.template_id, link.args);
    state.links().into_iter().map(|listed| show(&listed.link)).collect()
}

pub(super) fn same_answers(derived: &Snapshot, by_hand: &Snapshot) {
    let triples =
        (0..IDS).flat_map(|user| (0..IDS).flat_map(move |org| ["read", "write"].map(|action| (user, action, org))));
    for (user, action, org) in triples {
        let text = format!(
            r#"{{"principal":"User::\"{user}\"","action":"Action::\"{action}\"","resource":"Org::\"{org}\""}}"#
        );
        let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap();
        let (mut ours, theirs) = (derived.decide(&request, NOW).unwrap(), by_hand.decide(&request, NOW).unwrap());
        ours.revision = theirs.revision;
        assert_eq!(ours, theirs, "{text}");
        let mut slow = derived.decide_by_reference(&request, NOW).unwrap();
        (slow.revision, slow.time_dependent) = (theirs.revision, theirs.time_dependent);
        assert_eq!(slow, theirs, "by the reference: {text}");
    }
}

/// What is kept of grants is what the entities make, filed where it must be, and every link is found by its id.
pub(super) fn check_grants(state: &Snapshot) {
    let key = |made: &MadeLink| (made.grant.entity, made.grant.declaration, made.template, made.grant.slots);
    let sorted = |made: &mut dyn Iterator<Item = MadeLink>| {
        let mut keys: Vec<_> = made.map(|made| key(&made)).collect();
        keys.sort_unstable();
        keys
    };
    let kept = sorted(&mut state.all_made());
    assert_eq!(kept, sorted(&mut state.made_again()));
    assert_eq!(state.grants.len(), kept.len());
    let mut uses: BTreeMap<(DeclarationIx, TemplateIx), usize> = BTreeMap::new();
    for made in state.all_made() {
        *uses.entry((made.grant.declaration, made.template)).or_default() += 1;
        let [principal, resource] = made.grant.slots;
        if principal != EntityId::NONE && resource != EntityId::NONE {
            let others = state.grants.filed(Kind::BothByResource, resource).into_iter().flat_map(List::iter);
            let same =
                |filed: &&Filed| (filed.entity, filed.declaration) == (made.grant.entity, made.grant.declaration);
            let others: Vec<_> = others.filter(same).collect();
            assert!(matches!(&*others, [one] if one.other == principal && one.holder == made.grant.holder));
        }
        let id = state.id_of(&made);
        assert_eq!(state.made(&id), Some(made), "{id}");
        let link = state.linked(&id).unwrap();
        assert_eq!((&*link.link.link_id, link.maker), (&*id, Some(made.grant.into())));
    }
    let known: BTreeMap<_, _> =
        state.grants.uses().map(|(declaration, template, links)| ((declaration, template), links)).collect();
    assert_eq!(known, uses);
}

/// How many links are in one list and not in the other.
fn beyond(links: &[String], others: &[String]) -> usize {
    links.iter().filter(|link| !others.contains(link)).count()
}

pub(super) fn compare(derived: &Snapshot, world: &World, settings: &EngineSettings) {
    check_grants(derived);
    let by_hand = fresh(world.bundle(true).unwrap(), settings).unwrap();
    let declared = fresh(world.bundle(false).unwrap(), settings).unwrap();
    assert_eq!(listed(derived), listed(&by_hand));
    assert!(derived.is_same_as(&declared) && declared.is_same_as(derived));
    assert_eq!(listed(&declared), listed(&by_hand));
    assert_eq!(stored(derived), stored(&by_hand));
    assert_eq!(derived.policy_count(), by_hand.policy_count());
    assert_eq!(derived.forbids(), by_hand.forbids());
    check_referrers(&derived.store);
    on_big_stack(|| same_answers(derived, &by_hand)).unwrap();
    // what a `GET` gives, put back
    let again = fresh(as_text(derived), settings).unwrap();
    assert!(again.is_same_as(derived));
    assert_eq!(listed(&again), listed(derived));
}

/// What a `GET` gives.
pub(super) fn as_text(state: &Snapshot) -> Bundle {
    let entities: Vec<String> = state.entities().map(|entity| entity.to_json().to_string()).collect();
    Bundle { entities: vec![Document::held("entities", entities.join("\n"))], ..state.texts().into_owned() }
}

/// Gives how many changes were made and how many were refused, and how many links there were.
fn run(seed: u64, settings: &EngineSettings) -> [usize; 3] {
    let mut dice = Dice(seed);
    let mut world = World::with_templates(!seed.is_multiple_of(2));
    let base = fresh(world.bundle(false).unwrap(), settings).unwrap();
    let mut current = fresh(world.bundle(false).unwrap(), settings).unwrap();
    let mut counts = [0; 3];
    for _ in 0..14 {
        let mut next = world.clone();
        let changes: Vec<String> = (0..1 + dice.roll(5)).map(|_| next.change(&mut dice)).collect();
        let text = format!("[{}]", changes.join(","));
        match (transact(&current, &text, Dangling::Keep), next.bundle(true)) {
            (Ok(changed), Some(_)) => {
                let (was, is) = (listed(&current), listed(&changed.snapshot));
                let tally = (changed.tally.links_added, changed.tally.links_removed);
                assert_eq!(tally, (beyond(&is, &was), beyond(&was, &is)), "{text}");
                let kept = changed.snapshot.forbids();
                let gone: Vec<_> = current.forbids().into_iter().filter(|id| !kept.contains(id)).collect();
                assert_eq!(current.forbids_gone(&changed.snapshot), gone, "{text}");
                assert_eq!(changed.forbids_removed, gone, "{text}");
                (current, world) = (changed.snapshot, next);
                compare(&current, &world, settings);
                counts[0] += 1;
                counts[2] += current.links().len();
            }
            (Err(refused), None) => {
                assert!(matches!(refused, Refused::BrokenPath(_) | Refused::Invalid(_)), "{text}: {refused:?}");
                counts[1] += 1;
            }
            (Ok(_), None) => panic!("{text}: taken"),
            (Err(refused), Some(_)) => panic!("{text}: {refused:?}"),
        }
    }
    // the overlay has entities and templates alone, and makes the same links upon a base that was loaded again
    assert_eq!(current.overlay().links, 0);
    let (again, _) = on_big_stack(|| base.rebased(&current, &|| false)).unwrap().unwrap();
    compare(&again, &world, settings);
    counts
}

#[test]
fn derived_equals_written_by_hand() {
    let mut counts = [0; 3];
    let mut add = |more: [usize; 3]| counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    for seed in 0..16 {
        add(run(seed, &EngineSettings::default()));
    }
    for seed in 20..26 {
        add(run(seed, &EngineSettings { kept: KeptTrees(0), ..EngineSettings::default() }));
        add(run(seed, &EngineSettings { kind: EngineKind::Reference, ..EngineSettings::default() }));
    }
    let [made, refused, links] = counts;
    assert!(made > 100 && refused > 20 && links > 200, "{counts:?}");
}
