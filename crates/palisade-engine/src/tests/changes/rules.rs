//! Changes of policies, templates and links alone, many and one after another: the set is what one built afresh is, and it is
//! filed as it would be.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::model::{AccessRequest, Bundle, Document, Link, LinkNames, PolicyNaming, PolicyText, SchemaText};
use crate::tests::dice::Dice;
use crate::tests::support::NOW;

const SCHEMA: &str = r#"
    entity Group in [Group];
    entity User in [Group] = { level: Long, name: String };
    entity Doc in [Doc];
    action write;
    action view appliesTo { principal: User, resource: Doc };
    action edit, share in [write] appliesTo { principal: User, resource: Doc };
"#;

fn pick<'a>(dice: &mut Dice, all: &[&'a str]) -> &'a str {
    all[dice.roll(all.len())]
}

/// The scope and the conditions of a policy, or of a template.
fn policy(dice: &mut Dice, slots: bool) -> String {
    let effect = pick(dice, &["permit", "permit", "forbid"]);
    let n = |dice: &mut Dice| dice.roll(8);
    let (user, group, doc) = (n(dice), n(dice), n(dice));
    let principal = match dice.roll(4) {
        _ if slots => "principal in ?principal".to_owned(),
        0 => "principal".to_owned(),
        1 => format!("principal == User::\"u{user}\""),
        2 => format!("principal in Group::\"g{group}\""),
        _ => "principal is User".to_owned(),
    };
    let action = pick(
        dice,
        &[
            "action",
            "action == Action::\"view\"",
            "action == Action::\"edit\"",
            "action in [Action::\"write\"]",
            "action in [Action::\"view\", Action::\"share\"]",
        ],
    );
    let resource = match dice.roll(3) {
        0 => "resource".to_owned(),
        1 => format!("resource == Doc::\"d{doc}\""),
        _ => format!("resource in Doc::\"d{doc}\""),
    };
    let k = dice.roll(1_000);
    let condition = match dice.roll(6) {
        0 => String::new(),
        1 => format!("when {{ principal.level > {k} }}"),
        2 => format!("when {{ principal.name like \"*{k}*\" }}"),
        3 => format!("unless {{ [\"a{k}\", \"n1\"].contains(principal.name) }}"),
        4 => format!("when {{ principal.level + 9223372036854775800 > {k} }}"),
        _ => format!("when {{ {{a: principal.level, b: {k}}} == {{a: {}, b: {k}}} }}", dice.roll(4)),
    };
    format!("{effect} ({principal}, {action}, {resource}) {condition};")
}

/// Policies, templates and links by their ids; entities never change.
#[derive(Default, Clone)]
struct Rules {
    policies: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
}

impl Rules {
    fn bundle(&self) -> Bundle {
        let policy = |(id, text): (&String, &String)| PolicyText {
            origin: id.clone(),
            text: text.clone(),
            naming: PolicyNaming::Exactly(id.clone()),
        };
        let link =
            |text: &String| Link::from_value(Value::parse(text.as_bytes()).unwrap(), LinkNames::OF_FILES, "").unwrap();
        let entity = |ty: &str, n: usize, attrs: &str, above: &str| {
            let parent = format!(r#"{{"type":"{above}","id":"{}{}"}}"#, if above == "Doc" { "d" } else { "g" }, n / 2);
            let parents = if n == 0 || n > 7 && ty == "Group" { "" } else { &parent };
            let id = format!("{}{n}", ty[..1].to_lowercase());
            format!(r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{{{attrs}}},"parents":[{parents}]}}"#)
        };
        let entities: Vec<String> = (0..8)
            .flat_map(|n| {
                let user = entity("User", n, &format!(r#""level":{},"name":"n{n}""#, n * 100), "Group");
                [user, entity("Group", n, "", "Group"), entity("Doc", n, "", "Doc")]
            })
            .collect();
        Bundle {
            policies: self.policies.iter().map(policy).collect(),
            schema: Some(SchemaText { fragments: vec![("schema".to_owned(), SCHEMA.to_owned())] }),
            entities: vec![Document::held("entities", entities.join("\n"))],
            links: self.links.values().map(link).collect(),
            ..Bundle::default()
        }
    }

    fn fresh(&self, settings: &EngineSettings) -> Result<Snapshot, Vec<Diagnostic>> {
        let revision = Revision { incarnation: 1, counter: 1 };
        on_big_stack(|| Snapshot::build(self.bundle().into(), settings, revision)).unwrap().map(|built| built.0)
    }

    /// A change, made here too, of `policies` policies and as many links.
    fn change(&mut self, dice: &mut Dice, policies: usize) -> String {
        match dice.roll(10) {
            0..=3 => {
                let (id, text) = (format!("p{}", dice.roll(policies)), policy(dice, false));
                self.policies.insert(id.clone(), text.clone());
                serde_json::json!({ "put_policy": { "id": id, "text": text } }).to_string()
            }
            4 => {
                let id = format!("p{}", dice.roll(policies));
                self.policies.remove(&id);
                format!(r#"{{"delete_policy":"{id}"}}"#)
            }
            5 => {
                let (id, text) = (format!("t{}", dice.roll(3)), policy(dice, true));
                self.policies.insert(id.clone(), text.clone());
                serde_json::json!({ "put_policy": { "id": id, "text": text } }).to_string()
            }
            6..=8 => {
                let id = format!("l{}", dice.roll(policies));
                let slot = match dice.roll(2) {
                    0 => format!("User::\\\"u{}\\\"", dice.roll(8)),
                    _ => format!("Group::\\\"g{}\\\"", dice.roll(8)),
                };
                let args = format!(r#"{{"?principal":"{slot}"}}"#);
                let link = format!(r#"{{"link_id":"{id}","template_id":"t{}","args":{args}}}"#, dice.roll(3));
                self.links.insert(id, link.clone());
                format!(r#"{{"put_link":{link}}}"#)
            }
            _ => {
                let id = format!("l{}", dice.roll(policies));
                self.links.remove(&id);
                format!(r#"{{"delete_link":"{id}"}}"#)
            }
        }
    }
}

fn request(n: usize) -> AccessRequest<'static> {
    let (user, doc, action) = (n % 8, n / 8 % 8, ["view", "edit", "share"][n / 64 % 3]);
    let text =
        format!(r#"{{"principal":"User::\"u{user}\"","action":"Action::\"{action}\"","resource":"Doc::\"d{doc}\""}}"#);
    AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap().into_owned()).unwrap()
}

/// Every question has the same answer, and every part of the set is what it would be.
fn same(incremental: &Snapshot, rebuilt: &Snapshot, seed: u64) {
    assert!(incremental.is_same_as(rebuilt) && rebuilt.is_same_as(incremental), "{seed}");
    assert_eq!(incremental.policy_count(), rebuilt.policy_count(), "{seed}");
    assert_eq!(incremental.forbids(), rebuilt.forbids(), "{seed}");
    // there are no links from data here
    assert_eq!(incremental.written_forbid_count(), rebuilt.forbids().len(), "{seed}");
    assert!(incremental.core.policies.is_counted(), "{seed}");
    let steps = |state: &Snapshot| state.core.policies.steps_without(&HashSet::new());
    // which of the links of a kind is the first to be validated depends on their order
    assert!(steps(incremental).abs_diff(steps(rebuilt)) < 2_000, "{} {}", steps(incremental), steps(rebuilt));
    incremental.core.compiled.check();
    rebuilt.core.compiled.check();
    for n in 0..192 {
        let request = request(n);
        let (mut ours, theirs) = (incremental.decide(&request, NOW).unwrap(), rebuilt.decide(&request, NOW).unwrap());
        ours.revision = theirs.revision;
        assert_eq!(ours, theirs, "{seed}: {request:?}");
        if n.is_multiple_of(29) {
            let mut slice = incremental.decide_by_reference(&request, NOW).unwrap();
            (slice.revision, slice.time_dependent) = (theirs.revision, theirs.time_dependent);
            assert_eq!(slice, theirs, "{seed}, by the reference: {request:?}");
        }
    }
}

#[test]
fn policies_that_come_and_go_leave_what_is_built_afresh() {
    let (mut planned, mut refused, mut forbids) = (0, 0, 0);
    for (seed, policies, steps) in [(1, 5, 40), (2, 12, 40), (3, 60, 40), (4, 60, 30), (5, 3, 200)] {
        let settings = match seed {
            4 => EngineSettings { kept: crate::KeptTrees(0), ..EngineSettings::default() },
            _ => EngineSettings::default(),
        };
        let mut dice = Dice(seed);
        let mut rules = Rules::default();
        for n in 0..3 {
            rules.policies.insert(format!("t{n}"), policy(&mut dice, true));
        }
        let mut current = rules.fresh(&settings).unwrap();
        for step in 0..steps {
            let mut next = rules.clone();
            let changes: Vec<String> = (0..1 + dice.roll(5)).map(|_| next.change(&mut dice, policies)).collect();
            let text = format!("[{}]", changes.join(","));
            let looks = step % 4 == 3;
            match transact(&current, &text, Dangling::Keep) {
                Ok(changed) => {
                    let gone: Vec<_> = current.forbids().difference(&changed.snapshot.forbids()).cloned().collect();
                    assert_eq!(changed.forbids_removed, gone, "{text}");
                    forbids += gone.len();
                    if looks {
                        same(&changed.snapshot, &next.fresh(&settings).unwrap(), seed);
                    }
                    (current, rules) = (changed.snapshot, next);
                }
                Err(found) => {
                    assert!(next.fresh(&settings).is_err(), "{text}: {found:?}");
                    refused += 1;
                }
            }
        }
        same(&current, &rules.fresh(&settings).unwrap(), seed);
        planned += usize::from(current.core.compiled.has_plans());
    }
    assert!(planned > 2 && forbids > 20, "{planned} have plans, {forbids} forbids went, {refused} were refused");
}

/// What was replaced again and again leaves nothing behind: neither in memory nor in what is counted.
#[test]
fn a_policy_that_is_put_again_and_again_takes_no_more_room() {
    let mut dice = Dice(9);
    let mut rules = Rules::default();
    for n in 0..10 {
        rules.policies.insert(format!("p{n}"), policy(&mut dice, false));
    }
    let settings = EngineSettings::default();
    let mut current = rules.fresh(&settings).unwrap();
    let mut most = 0;
    for n in 0..700 {
        let text = format!(
            "permit (principal == User::\"u1\", action, resource) when {{ principal.name like \"*{n}-{n}*\" }};"
        );
        rules.policies.insert("p3".to_owned(), text.clone());
        let change = serde_json::json!([{ "put_policy": { "id": "p3", "text": text } }]).to_string();
        current = transact(&current, &change, Dangling::Keep).unwrap().snapshot;
        most = most.max(current.core.compiled.places());
    }
    // everything is made again once more is left over than is used, and some
    assert!(most < 400, "{most} places");
    same(&current, &rules.fresh(&settings).unwrap(), 9);
}
