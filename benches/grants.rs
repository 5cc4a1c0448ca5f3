//! Roles as data at their size: what do grants cost to load, to hold, to decide by and to change?
//!
//! A thousand tenants with devices, users and groups; roles of twenty permissions, and grants that give a group a role at a
//! customer. Beside them the same rights as tags that a loader copies onto every user, with a policy for each permission.
//! Both must give the same answers.
//!
//! `cargo bench --bench grants -- [--tenants N] [--decisions N]`, one tenant being a thousand entities, fifty grants and two
//! roles.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench is a program for its author")]

#[path = "table/measure.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "shared with another bench")]
mod measure;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use measure::{process_cpu, resident, thread_cpu};
use palisade_engine::model::{
    AccessRequest, Bundle, Dangling, Document, Edit, ForEach, LinkDeclaration, PolicyNaming, PolicyText, Revision,
    SchemaText, Transaction, Value,
};
use palisade_engine::{EVALUATION_STACK_BYTES, EngineSettings, Snapshot};

const PERMISSIONS: usize = 100;
const OF_A_ROLE: usize = 20;
const ROLES: usize = 2;
const GRANTS: usize = 50;
const GROUPS: usize = 10;
const USERS: usize = 100;
const CUSTOMERS: usize = 20;
const DEVICES: usize = 817;
/// Devices of one more customer, which is to be closed.
const BELOW: usize = 100_000;

const SCHEMA: &str = "
    entity Tenant;
    entity Customer in [Tenant, Customer] { closed?: Bool };
    entity Group in [Tenant];
    entity User in [Group] tags Set<Customer>;
    entity Device in [Customer];
    entity Role { permissions: Set<String> };
    entity Grant { role: Role, group: Group, where: Customer };
";

struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

/// The permissions of a role. Neighbours share most of theirs.
fn permissions(role: usize) -> BTreeSet<usize> {
    (0..OF_A_ROLE).map(|n| (role * 7 + n * 3) % PERMISSIONS).collect()
}

fn entity(out: &mut String, ty: &str, id: &str, more: &str, parents: &[(&str, String)]) {
    let parents: Vec<String> = parents.iter().map(|(ty, id)| format!(r#"{{"type":"{ty}","id":"{id}"}}"#)).collect();
    let parents = parents.join(",");
    writeln!(out, r#"{{"uid":{{"type":"{ty}","id":"{id}"}},{more},"parents":[{parents}]}}"#).unwrap();
}

fn to(ty: &str, id: &str) -> String {
    format!(r#"{{"type":"{ty}","id":"{id}"}}"#)
}

/// A grant: a role, a group, a customer, by number.
fn grant(tenant: usize, n: usize) -> [usize; 3] {
    let mut dice = Dice((tenant * GRANTS + n) as u64 ^ 0x9e37_79b9);
    [tenant * ROLES + dice.roll(ROLES), tenant * GROUPS + dice.roll(GROUPS), tenant * CUSTOMERS + dice.roll(CUSTOMERS)]
}

fn group_of(user: usize) -> usize {
    user / USERS * GROUPS + user % GROUPS
}

/// So many grants have one role more.
fn is_shared(tenant: usize, n: usize, shared: usize) -> bool {
    n == 0 && tenant < shared
}

/// With grants, or with what a loader makes of them.
fn entities(tenants: usize, by_grants: bool, shared: usize) -> String {
    let mut out = String::with_capacity(tenants * 150_000);
    entity(&mut out, "Tenant", "big", r#""attrs":{}"#, &[]);
    entity(&mut out, "Customer", "big", r#""attrs":{}"#, &[("Tenant", "big".to_owned())]);
    for n in 0..BELOW {
        entity(&mut out, "Device", &format!("big-{n}"), r#""attrs":{}"#, &[("Customer", "big".to_owned())]);
    }
    for tenant in 0..tenants {
        entity(&mut out, "Tenant", &format!("t{tenant}"), r#""attrs":{}"#, &[]);
        for n in 0..CUSTOMERS {
            let id = tenant * CUSTOMERS + n;
            let above =
                if n % 4 == 0 { ("Tenant", format!("t{tenant}")) } else { ("Customer", format!("c{}", id - n % 4)) };
            entity(&mut out, "Customer", &format!("c{id}"), r#""attrs":{}"#, &[above]);
        }
        for n in 0..GROUPS {
            let id = format!("g{}", tenant * GROUPS + n);
            entity(&mut out, "Group", &id, r#""attrs":{}"#, &[("Tenant", format!("t{tenant}"))]);
        }
        for n in 0..DEVICES {
            let at = ("Customer", format!("c{}", tenant * CUSTOMERS + n % CUSTOMERS));
            entity(&mut out, "Device", &format!("d{}", tenant * DEVICES + n), r#""attrs":{}"#, &[at]);
        }
        for user in tenant * USERS..(tenant + 1) * USERS {
            let mut tags: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); PERMISSIONS];
            if !by_grants {
                for n in 0..GRANTS {
                    let [role, group, place] = grant(tenant, n);
                    let named = permissions(if is_shared(tenant, n, shared) { 0 } else { role });
                    if group == group_of(user) {
                        for permission in named {
                            tags[permission].insert(place);
                        }
                    }
                }
            }
            let tags: Vec<String> = tags
                .iter()
                .enumerate()
                .filter(|(_, places)| !places.is_empty())
                .map(|(permission, places)| {
                    let places: Vec<String> = places
                        .iter()
                        .map(|n| format!(r#"{{"__entity":{}}}"#, to("Customer", &format!("c{n}"))))
                        .collect();
                    format!(r#""p{permission}":[{}]"#, places.join(","))
                })
                .collect();
            let more = format!(r#""attrs":{{}},"tags":{{{}}}"#, tags.join(","));
            let group = ("Group", format!("g{}", group_of(user)));
            entity(&mut out, "User", &format!("u{user}"), &more, &[group]);
        }
        if by_grants {
            for n in 0..ROLES {
                role(&mut out, &format!("r{}", tenant * ROLES + n), &permissions(tenant * ROLES + n));
            }
            for n in 0..GRANTS {
                let [role, group, place] = grant(tenant, n).map(|n| n.to_string());
                let role = if is_shared(tenant, n, shared) { "shared".to_owned() } else { format!("r{role}") };
                let attrs = format!(
                    r#""attrs":{{"role":{},"group":{},"where":{}}}"#,
                    to("Role", &role),
                    to("Group", &format!("g{group}")),
                    to("Customer", &format!("c{place}"))
                );
                entity(&mut out, "Grant", &format!("{tenant}-{n}"), &attrs, &[]);
            }
        }
    }
    if by_grants {
        role(&mut out, "shared", &permissions(0));
    }
    out
}

fn role(out: &mut String, id: &str, permissions: &BTreeSet<usize>) {
    let names: Vec<String> = permissions.iter().map(|n| format!("\"p{n}\"")).collect();
    entity(out, "Role", id, &format!(r#""attrs":{{"permissions":[{}]}}"#, names.join(",")), &[]);
}

fn bundle(tenants: usize, by_grants: bool, shared: usize) -> Bundle {
    let actions: Vec<String> = (0..PERMISSIONS).map(|n| format!("p{n}")).collect();
    let applies = "appliesTo { principal: [User], resource: [Device] }";
    let schema = format!("{SCHEMA} action {} {applies};", actions.join(", "));
    let policy = |n: usize| {
        if by_grants {
            format!(
                "@id(\"p{n}\") permit (principal in ?principal, action == Action::\"p{n}\", resource in ?resource);\n"
            )
        } else {
            format!(
                "@id(\"p{n}\") permit (principal, action == Action::\"p{n}\", resource) when {{ \
                 principal.hasTag(\"p{n}\") && resource in principal.getTag(\"p{n}\") }};\n"
            )
        }
    };
    let closed = if by_grants {
        "@id(\"closed\") forbid (principal, action, resource in ?resource);"
    } else {
        "@id(\"closed\") forbid (principal, action, resource in Customer::\"none\");"
    };
    let declared = [
        r#"{"each":"Grant","template":"role.permissions","principal":"group","resource":"where"}"#,
        r#"{"each":"Customer","when":"closed","template":"closed","resource":"self"}"#,
    ];
    let read = |text: &&str| LinkDeclaration::from_value(Value::parse(text.as_bytes()).unwrap(), "").unwrap();
    let links = if by_grants { declared.iter().map(read).collect() } else { Vec::new() };
    Bundle {
        policies: vec![PolicyText {
            origin: "bench.cedar".to_owned(),
            text: (0..PERMISSIONS).map(policy).collect::<String>() + closed,
            naming: PolicyNaming::Stem("bench".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("schema".to_owned(), schema)] }),
        entities: vec![Document::held("entities", entities(tenants, by_grants, shared))],
        for_each: ForEach { links, rules: Vec::new() },
        ..Bundle::default()
    }
}

struct Loaded {
    snapshot: Snapshot,
    cpu: Duration,
    bytes: usize,
}

fn load(tenants: usize, by_grants: bool, shared: usize) -> Loaded {
    let bundle = bundle(tenants, by_grants, shared);
    let before = process_cpu();
    // lints look at texts, and both have the same
    let settings = EngineSettings { lints: false, ..EngineSettings::default() };
    let built = Snapshot::build(bundle.into(), &settings, Revision { incarnation: 0, counter: 1 });
    let snapshot = built.unwrap_or_else(|problems| panic!("{problems:?}")).0;
    Loaded { cpu: process_cpu() - before, bytes: snapshot.entity_bytes(), snapshot }
}

fn questions(tenants: usize, count: usize) -> Vec<AccessRequest<'static>> {
    let mut dice = Dice(11);
    let one = |_| {
        let tenant = dice.roll(tenants);
        let (user, device) = (tenant * USERS + dice.roll(USERS), tenant * DEVICES + dice.roll(DEVICES));
        let action = dice.roll(PERMISSIONS);
        let text = format!(
            r#"{{"principal":"User::\"u{user}\"","action":"Action::\"p{action}\"","resource":"Device::\"d{device}\""}}"#
        );
        AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap().into_owned()
    };
    (0..count).map(one).collect()
}

/// Median of the rounds' CPU time for a decision, and how many were allowed.
fn decide(snapshot: &Snapshot, questions: &[AccessRequest<'_>]) -> (Duration, usize) {
    let (mut times, mut allowed) = (Vec::new(), 0);
    for _ in 0..7 {
        let before = thread_cpu();
        let decided = questions.iter().map(|question| snapshot.decide_at_once(question, 0).unwrap().unwrap());
        allowed = decided.filter(|decision| decision.outcome.is_allow()).count();
        times.push((thread_cpu() - before) / questions.len() as u32);
    }
    times.sort_unstable();
    (times[times.len() / 2], allowed)
}

/// Median and worst of the times on the clock of a change and of taking it back, and how many links it moves.
fn change(snapshot: &mut Snapshot, texts: [&str; 2], rounds: usize) -> (Duration, Duration, usize) {
    let (mut times, mut links) = (Vec::new(), 0);
    for n in 0..rounds {
        let edits = Value::parse(texts[n % 2].as_bytes()).unwrap().into_owned();
        let transaction = Transaction { edits: vec![Edit::Upsert(edits)], dangling: Dangling::Refuse };
        let before = Instant::now();
        let changed = snapshot.transact(&transaction, Revision { incarnation: 0, counter: 2 + n as u64 }, &|| false);
        let changed = changed.unwrap_or_else(|refused| panic!("{refused:?}"));
        times.push(before.elapsed());
        links = links.max(changed.tally.links_added + changed.tally.links_removed);
        *snapshot = changed.snapshot;
    }
    times.sort_unstable();
    (times[times.len() / 2], *times.last().unwrap(), links)
}

fn main() {
    let thread = std::thread::Builder::new().stack_size(EVALUATION_STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}

fn run() {
    let mut given = std::env::args().skip(1);
    let (mut tenants, mut count, mut only) = (20, 2_000, None);
    while let Some(arg) = given.next() {
        match arg.as_str() {
            "--tenants" => tenants = given.next().unwrap().parse().unwrap(),
            "--decisions" => count = given.next().unwrap().parse().unwrap(),
            "--only" => only = given.next(),
            // cargo's own
            _ => {}
        }
    }
    let shared = tenants.min(500);
    let questions = questions(tenants, count);
    let mut sides = Vec::new();
    for by_grants in [false, true] {
        if only.as_deref().is_some_and(|only| (only == "grants") != by_grants) {
            continue;
        }
        let before = resident();
        let Loaded { mut snapshot, cpu, bytes } = load(tenants, by_grants, shared);
        let resident = resident().saturating_sub(before);
        let (time, allowed) = decide(&snapshot, &questions);
        println!(
            "by_grants {by_grants}: {} entities, {} links, loaded in {cpu:?} of CPU, store {} MiB, resident {} MiB; a \
             decision {time:?}, {allowed} of {count} allowed",
            snapshot.entity_count(),
            snapshot.link_count(),
            bytes >> 20,
            resident >> 20
        );
        if by_grants {
            let mut with = String::new();
            let all = permissions(0);
            role(&mut with, "shared", &all);
            let mut without = String::new();
            role(&mut without, "shared", &all.iter().map(|n| (n + 1) % PERMISSIONS).collect());
            let closed = |closed: bool| {
                let mut out = String::new();
                let attrs = format!(r#""attrs":{{"closed":{closed}}}"#);
                entity(&mut out, "Customer", "big", &attrs, &[("Tenant", "big".to_owned())]);
                out
            };
            for (what, texts) in [
                ("a role gets twenty permissions instead of twenty", [without, with]),
                ("a customer with 100,000 devices is closed, and opened", [closed(true), closed(false)]),
            ] {
                let (median, worst, links) = change(&mut snapshot, [&texts[0], &texts[1]], 40);
                println!("{what}: median {median:?}, worst {worst:?}, {links} links");
            }
        }
        sides.push((time, allowed));
        drop(snapshot);
    }
    if let [(_, tags), (_, grants)] = &*sides {
        assert_eq!(tags, grants, "the two ways allow the same");
    }
}
