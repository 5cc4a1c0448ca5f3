//! What is proposed in small worlds that are drawn from life: grants with a switch, homes that a rule ties to the hierarchy,
//! permissions that roles hold. A row is a question and what the answer says of it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::model::{
    AccessRequest, Bundle, DataRule, Document, Edit, Explanation, ForEach, Level, LinkDeclaration, Missing,
    PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
};
use crate::{EngineSettings, ExplainOptions, Snapshot, on_big_stack};

/// A schema, policies, entities and what is made of them.
pub(super) struct World {
    pub schema: &'static str,
    pub policies: String,
    /// Each with its type and name, its parents, and its attributes.
    pub entities: Vec<Json>,
    pub links: Vec<LinkDeclaration>,
    pub rules: Vec<DataRule>,
}

/// `Type::name` as a uid.
fn uid(text: &str) -> Json {
    let (ty, id) = text.split_once("::").unwrap();
    json!({"type": ty, "id": id})
}

#[expect(clippy::needless_pass_by_value, reason = "rows are easier to read")]
pub(super) fn entity(name: &str, parents: &[&str], attrs: Json) -> Json {
    // a text with `::` is an entity
    fn value(json: &Json) -> Json {
        match json {
            Json::String(text) if text.contains("::") => json!({"__entity": uid(text)}),
            Json::Array(list) => list.iter().map(value).collect(),
            other => other.clone(),
        }
    }
    let attrs: serde_json::Map<String, Json> =
        attrs.as_object().unwrap().iter().map(|(name, json)| (name.clone(), value(json))).collect();
    json!({"uid": uid(name), "attrs": attrs, "parents": parents.iter().map(|parent| uid(parent)).collect::<Vec<_>>()})
}

fn each(each: &str, when: Option<&str>, template: &str, slots: [Option<&str>; 2]) -> LinkDeclaration {
    let [principal, resource] = slots.map(|slot| slot.map(str::to_owned));
    let (each, template) = (each.to_owned(), template.to_owned());
    let when = when.map(str::to_owned);
    LinkDeclaration { each, id: None, when, template, principal, resource, missing: Missing::Refuse, written: None }
}

impl World {
    pub(super) fn build(self) -> Snapshot {
        let bundle = Bundle {
            policies: vec![PolicyText {
                origin: "p.cedar".to_owned(),
                text: self.policies,
                naming: PolicyNaming::Stem("p".to_owned()),
            }],
            schema: Some(SchemaText { fragments: vec![("s".to_owned(), self.schema.to_owned())] }),
            entities: vec![Document::held("e", Json::from(self.entities).to_string())],
            for_each: ForEach { links: self.links, rules: self.rules },
            ..Bundle::default()
        };
        let revision = Revision { incarnation: 1, counter: 1 };
        let built = Snapshot::build(Arc::new(bundle), &EngineSettings::default(), revision);
        built.unwrap_or_else(|problems| panic!("{problems:#?}")).0
    }
}

fn ask(snapshot: &Snapshot, [who, action, what]: [&str; 3]) -> (AccessRequest<'static>, Explanation) {
    let name = |text: &str| {
        let (ty, id) = text.split_once("::").unwrap();
        Uid::new(ty.to_owned(), id.to_owned()).unwrap()
    };
    let request = AccessRequest::new(name(who), name(&format!("Action::{action}")), name(what));
    let options = ExplainOptions { all: true, ..ExplainOptions::default() };
    let explained = snapshot.explain(&request, 0, &options).unwrap();
    (request, explained)
}

/// A question, what is proposed in this order, and texts that no proposal has.
type Row<'r> = ([&'r str; 3], &'r [&'r str], &'r [&'r str]);

fn compare(world: World, rows: &[Row<'_>]) {
    on_big_stack(|| {
        let snapshot = world.build();
        for (asked, wanted, unwanted) in rows {
            let (_, explained) = ask(&snapshot, *asked);
            let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
            let mut at = words.iter();
            for wanted in *wanted {
                assert!(at.any(|words| words == wanted), "{asked:?}: {wanted} is not in its place in\n{words:#?}");
            }
            for unwanted in *unwanted {
                assert!(!words.iter().any(|words| words.contains(unwanted)), "{asked:?}: {unwanted} in\n{words:#?}");
            }
        }
    })
    .unwrap();
}

/// Grants with a switch, of roles for users at places.
fn grants(grants: Vec<Json>) -> World {
    let mut entities = vec![
        entity("Doc::d", &["Folder::top"], json!({})),
        entity("Folder::top", &[], json!({})),
        entity("Folder::other", &[], json!({})),
        entity("User::v", &[], json!({})),
        entity("User::w", &[], json!({})),
        entity("Role::reader", &[], json!({"can": ["view"]})),
        entity("Role::all", &[], json!({"can": ["view", "edit"]})),
    ];
    entities.extend(grants);
    World {
        schema: "entity Folder; entity Doc in [Folder]; entity User; entity Role = { can: Set<String> };
            entity Grant = { role: Role, who: User, at: Folder, on: Bool, by?: User };
            action view, edit appliesTo { principal: User, resource: Doc };",
        policies: r#"@id("view") permit (principal == ?principal, action == Action::"view", resource in ?resource);
            @id("edit") permit (principal == ?principal, action == Action::"edit", resource in ?resource);"#
            .to_owned(),
        entities,
        links: vec![each("Grant", Some("on"), "role.can", [Some("who"), Some("at")])],
        rules: Vec::new(),
    }
}

fn grant(name: &str, who: &str, at: &str, on: bool) -> Json {
    entity(name, &[], json!({"role": "Role::reader", "who": who, "at": at, "on": on}))
}

const NEW: &str =
    r#"add `Grant::"new"` with `who` `User::"v"`, `at` `Folder::"top"`, `on` `true`, `role` `Role::"reader"`"#;

#[test]
fn the_switch_of_a_grant_and_a_new_grant_are_proposed() {
    let view: [&str; 3] = ["User::v", "view", "Doc::d"];
    let on = r#"set `on` of `Grant::"2"` to `true`"#;
    let off = r#"set `on` of `Grant::"2"` to `false`"#;
    // with no grant at all
    compare(grants(vec![]), &[(view, &[NEW], &[])]);
    // one that is off, alone and beside another's
    compare(grants(vec![grant("Grant::2", "User::v", "Folder::top", false)]), &[(view, &[NEW, on], &[])]);
    let both =
        vec![grant("Grant::1", "User::w", "Folder::top", true), grant("Grant::2", "User::v", "Folder::top", false)];
    compare(grants(both), &[(view, &[NEW, on, r#"set `who` of `Grant::"1"` to `User::"v"`"#], &[])]);
    // elsewhere, and the role names the template least besides
    let elsewhere = vec![grant("Grant::1", "User::v", "Folder::other", true)];
    compare(grants(elsewhere), &[(view, &[NEW, r#"set `at` of `Grant::"1"` to `Folder::"top"`"#], &[])]);
    // what it takes away again
    let on = vec![grant("Grant::2", "User::v", "Folder::top", true)];
    let row: &[&str] = &[off, r#"take `"view"` out of `can` of `Role::"reader"`"#];
    compare(grants(on), &[(view, row, &[])]);
}

/// Devices whose customer an attribute names, and a rule ties to the hierarchy.
fn homes(level: Level, is_required: bool) -> World {
    let rule = |each: &str, ty: &str, attribute: &str| DataRule {
        each: each.to_owned(),
        each_parent: None,
        must: None,
        parents: vec![(ty.to_owned(), attribute.to_owned())],
        code: format!("{}-home", each.to_lowercase()),
        message: "it is elsewhere".to_owned(),
        level,
        written: None,
    };
    World {
        schema: if is_required {
            "entity Customer; entity Team; entity Device in [Customer] = { home: Customer };
             entity User in [Team] = { teams: Set<Team>, home: Customer };
             action view, open appliesTo { principal: User, resource: Device };"
        } else {
            "entity Customer; entity Team; entity Device in [Customer] = { home?: Customer };
             entity User in [Team] = { teams: Set<Team>, home: Customer };
             action view, open appliesTo { principal: User, resource: Device };"
        },
        policies:
            r#"@id("view") permit (principal, action == Action::"view", resource) when { resource in principal.home };
            @id("open") permit (principal in Team::"tech", action == Action::"open", resource);"#
                .to_owned(),
        entities: vec![
            entity("Customer::dk", &[], json!({})),
            entity("Customer::no", &[], json!({})),
            entity("Team::tech", &[], json!({})),
            entity("Team::sales", &[], json!({})),
            entity("Device::d", &["Customer::dk"], json!({"home": "Customer::dk"})),
            entity("User::ann", &["Team::sales"], json!({"home": "Customer::no", "teams": ["Team::sales"]})),
            entity("User::bob", &["Team::tech"], json!({"home": "Customer::dk", "teams": ["Team::tech"]})),
        ],
        links: Vec::new(),
        rules: vec![rule("Device", "Customer", "home"), rule("User", "Team", "teams")],
    }
}

#[test]
fn what_a_data_rule_ties_is_proposed_together() {
    let moved =
        r#"move `Device::"d"` to `Customer::"no"`: its parent and its `home`, which the data rule `device-home` ties"#;
    let joined = r#"add `Team::"tech"` to `teams` of `User::"ann"`, and put `User::"ann"` into `Team::"tech"` (as a parent): the data rule `user-home` ties them"#;
    let left = r#"take `Team::"tech"` out of `teams` of `User::"bob"`, and take `User::"bob"` out of `Team::"tech"` (a parent): the data rule `user-home` ties them"#;
    let alone = &["put `Device::\"d\"` into", "take `Device::\"d\"` out"][..];
    compare(
        homes(Level::Refuse, true),
        &[
            (["User::ann", "view", "Device::d"], &[r#"set `home` of `User::"ann"` to `Customer::"dk"`"#, moved], alone),
            (["User::ann", "open", "Device::d"], &[joined], &[]),
            (["User::bob", "view", "Device::d"], &[r#"set `home` of `User::"bob"` to `Customer::"no"`"#, moved], alone),
            (["User::bob", "open", "Device::d"], &[left], &[]),
        ],
    );
    // where it may be nowhere, that is tied as well
    let nowhere = r#"take away `home` of `Device::"d"`, and take `Device::"d"` out of `Customer::"dk"` (a parent): the data rule `device-home` ties them"#;
    compare(
        homes(Level::Refuse, false),
        &[(["User::bob", "view", "Device::d"], &[nowhere], &["put `Device::\"d\"` into"])],
    );
    // a rule that only warns ties nothing
    let put = r#"put `Device::"d"` into `Customer::"no"` (as a parent)"#;
    compare(homes(Level::Warn, true), &[(["User::ann", "view", "Device::d"], &[put], &["ties"])]);
}

#[test]
fn every_proposal_is_one_that_the_data_rules_take() {
    on_big_stack(|| {
        let mut taken = 0;
        for is_required in [true, false] {
            let snapshot = homes(Level::Refuse, is_required).build();
            for who in ["User::ann", "User::bob"] {
                for action in ["view", "open"] {
                    let (request, explained) = ask(&snapshot, [who, action, "Device::d"]);
                    for change in &explained.changes {
                        let (mut entities, mut asked): (Vec<Json>, _) =
                            (snapshot.entities().map(|it| it.to_json()).collect(), request.clone());
                        for edit in std::iter::once(&change.edit).chain(&change.with) {
                            make(&mut entities, &mut asked, edit);
                        }
                        let value = |json: &Json| Value::parse(json.to_string().as_bytes()).unwrap().into_owned();
                        let edits: Vec<Edit> = entities.iter().map(|json| Edit::Upsert(value(json))).collect();
                        let after = snapshot.apply(&edits, snapshot.revision());
                        let after = after.unwrap_or_else(|problems| panic!("{}: {problems:#?}", change.words));
                        let decision = after.decide(&asked, 0).unwrap();
                        assert_eq!(decision.outcome, change.decision, "{}", change.words);
                        taken += 1;
                    }
                }
            }
        }
        assert!(taken >= 12, "{taken}");
    })
    .unwrap();
}

/// Makes one of the edits that these worlds have, apart from what is tested.
fn make(entities: &mut [Json], _: &mut AccessRequest<'static>, edit: &crate::model::explanation::Proposed) {
    use crate::model::explanation::Proposed;
    let named = |text: &str| {
        let uid = Uid::parse(text).unwrap();
        json!({"type": uid.type_name, "id": uid.id})
    };
    let mut of = |entity: &str, change: &dyn Fn(&mut Json)| {
        change(entities.iter_mut().find(|known| known["uid"] == named(entity)).unwrap());
    };
    match edit {
        Proposed::AddParent { entity, parent } => {
            of(entity, &|json| json["parents"].as_array_mut().unwrap().push(named(parent)));
        }
        Proposed::RemoveParent { entity, parent } => {
            of(entity, &|json| json["parents"].as_array_mut().unwrap().retain(|known| *known != named(parent)));
        }
        Proposed::SetAttribute { entity, path, value: Some(value), .. } => {
            of(entity, &|json| json["attrs"][&path[0]] = value.clone());
        }
        Proposed::SetAttribute { entity, path, .. } => {
            of(entity, &|json| drop(json["attrs"].as_object_mut().unwrap().remove(&path[0])));
        }
        other => panic!("{other:?} is not of these worlds"),
    }
}

#[test]
fn a_role_is_preferred_to_a_bare_permission_and_the_smallest_comes_first() {
    let world = || World {
        schema: "entity Permission; entity Role in [Permission]; entity User in [Role, Permission];
            entity Doc = { owner: User }; action read, own appliesTo { principal: User, resource: Doc };",
        policies: r#"@id("read") permit (principal in Permission::"read", action == Action::"read", resource);
            @id("own") permit (principal, action == Action::"own", resource) when { resource.owner == principal };"#
            .to_owned(),
        entities: vec![
            entity("Permission::read", &[], json!({})),
            entity("Permission::write", &[], json!({})),
            entity("Role::admin", &["Permission::read", "Permission::write"], json!({})),
            entity("Role::reader", &["Permission::read"], json!({})),
            entity("Role::writer", &["Permission::write"], json!({})),
            entity("User::ann", &["Role::writer"], json!({})),
            entity("User::bob", &["Role::reader"], json!({})),
            entity("Doc::d", &[], json!({"owner": "User::bob"})),
        ],
        links: Vec::new(),
        rules: Vec::new(),
    };
    let reader = r#"put `User::"ann"` into `Role::"reader"` (as a parent), which is in `Permission::"read"`"#;
    let admin = r#"put `User::"ann"` into `Role::"admin"` (as a parent), which is in `Permission::"read"`"#;
    // a bare permission only where nothing gives it
    let bare = r#"put `User::"ann"` into `Permission::"read"` (as a parent)"#;
    let other = r#"set `owner` of `Doc::"d"` to `User::"ann"`"#;
    compare(
        world(),
        &[
            (["User::ann", "read", "Doc::d"], &[reader, admin], &["into `Permission"]),
            // an owner is another one
            (["User::bob", "own", "Doc::d"], &[other], &[]),
            (["User::ann", "own", "Doc::d"], &[other], &[]),
        ],
    );
    let without = World {
        entities: world()
            .entities
            .into_iter()
            .filter(|it| it["uid"]["type"] != "Role")
            .map(|mut it| {
                it["parents"] = json!([]);
                it
            })
            .collect(),
        ..world()
    };
    compare(without, &[(["User::ann", "read", "Doc::d"], &[bare], &[])]);
    // where others are in it themselves, so may she be
    let mut direct = world();
    direct.entities.push(entity("User::cid", &["Permission::read"], json!({})));
    compare(direct, &[(["User::ann", "read", "Doc::d"], &[bare], &["Role"])]);
}

/// Every entity with one attribute that is another: a flag turned, another entity of the type, a name more or less. And every
/// new grant that is switched on.
fn every_change(snapshot: &Snapshot) -> Vec<Json> {
    let entities: Vec<Json> = snapshot.entities().map(|entity| entity.to_json()).collect();
    let of = |ty: &str| -> Vec<Json> {
        entities.iter().map(|entity| entity["uid"].clone()).filter(|uid| uid["type"] == ty).collect()
    };
    let mut found = Vec::new();
    for entity in &entities {
        for (member, value) in entity["attrs"].as_object().unwrap() {
            let others: Vec<Json> = match value {
                Json::Bool(flag) => vec![json!(!flag)],
                Json::Array(names) => {
                    let turned = |name: &str| {
                        let mut others: Vec<Json> = names.iter().filter(|known| *known != name).cloned().collect();
                        if others.len() == names.len() {
                            others.push(name.into());
                        }
                        Json::from(others)
                    };
                    vec![turned("view"), turned("edit")]
                }
                held => {
                    let uid = &held["__entity"];
                    let others = of(uid["type"].as_str().unwrap()).into_iter().filter(|other| other != uid);
                    others.map(|other| json!({"__entity": other})).collect()
                }
            };
            found.extend(others.into_iter().map(|other| {
                let mut changed = entity.clone();
                changed["attrs"][member] = other;
                changed
            }));
        }
    }
    for (role, who, at) in of("Role").iter().flat_map(|role| {
        let pairs = of("User").into_iter().flat_map(|who| of("Folder").into_iter().map(move |at| (who.clone(), at)));
        pairs.map(move |(who, at)| (role.clone(), who, at)).collect::<Vec<_>>()
    }) {
        let held = |uid: Json| json!({"__entity": uid});
        let attrs = json!({"role": held(role), "who": held(who), "at": held(at), "on": true});
        found.push(json!({"uid": uid("Grant::new"), "attrs": attrs, "parents": []}));
    }
    found
}

/// Whether a proposal changes what a change does: the same attribute of the same entity, or a grant is new.
fn is_of(change: &Json, snapshot: &Snapshot, proposed: &crate::model::explanation::Proposed) -> bool {
    use crate::model::explanation::Proposed;
    let before = snapshot.entities().map(|entity| entity.to_json()).find(|entity| entity["uid"] == change["uid"]);
    match (before, proposed) {
        (None, Proposed::AddEntity { .. }) => true,
        (Some(before), Proposed::SetAttribute { entity, path, .. }) => {
            let uid = Uid::parse(entity).unwrap();
            change["uid"] == json!({"type": uid.type_name, "id": uid.id})
                && before["attrs"][&path[0]] != change["attrs"][&path[0]]
        }
        _ => false,
    }
}

#[test]
fn no_change_of_grants_that_turns_a_decision_is_missed() {
    on_big_stack(|| {
        let (mut turning, mut worlds) = (0, 0);
        for seed in 0..40_u32 {
            // a draw of up to three grants from the bits of the seed
            let mut bits = seed.wrapping_mul(2_654_435_761);
            let mut draw = |of: &[&'static str]| {
                bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                of[(bits >> 16) as usize % of.len()]
            };
            let drawn = (0..seed % 4).map(|n| {
                let (role, who) = (draw(&["Role::reader", "Role::all"]), draw(&["User::v", "User::w"]));
                let (at, on) = (draw(&["Folder::top", "Folder::other"]), draw(&["on", "off"]) == "on");
                entity(&format!("Grant::{n}"), &[], json!({"role": role, "who": who, "at": at, "on": on}))
            });
            let snapshot = grants(drawn.collect()).build();
            let changes = every_change(&snapshot);
            worlds += 1;
            for who in ["User::v", "User::w"] {
                for action in ["view", "edit"] {
                    let (request, explained) = ask(&snapshot, [who, action, "Doc::d"]);
                    for change in &changes {
                        let value = Value::parse(change.to_string().as_bytes()).unwrap().into_owned();
                        let Ok(after) = snapshot.apply(&[Edit::Upsert(value)], snapshot.revision()) else { continue };
                        if after.decide(&request, 0).unwrap().outcome == explained.decision {
                            continue;
                        }
                        turning += 1;
                        assert!(
                            explained.changes.iter().any(|it| is_of(change, &snapshot, &it.edit)),
                            "seed {seed}, {who} {action}: {change} is missed\n{:#?}",
                            explained.changes
                        );
                    }
                }
            }
        }
        assert!(worlds == 40 && turning >= 300, "{turning} in {worlds} worlds");
    })
    .unwrap();
}
