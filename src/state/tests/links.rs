//! Links that data make, while loads and large transactions are built beside changes that go on.

use std::sync::Condvar;
use std::thread;

use super::*;
use palisade_engine::model::{Dangling, Edit, ForEach, LinkDeclaration, SchemaText, Transaction, Value};
use palisade_engine::on_big_stack;

const SCHEMA: &str = "
    entity Org; entity Group; entity User in [Group]; entity Role { permissions: Set<String> };
    entity Grant { role: Role, group: Group, where: Org };
    action read, write appliesTo { principal: User, resource: Org };";

const TEMPLATES: [(&str, &str); 3] = [
    ("read", "permit (principal in ?principal, action == Action::\"read\", resource == ?resource);"),
    ("write", "permit (principal in ?principal, action == Action::\"write\", resource == ?resource);"),
    ("deny", "forbid (principal in ?principal, action, resource == ?resource);"),
];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn role(&mut self, n: usize) -> String {
        let names = TEMPLATES.iter().filter(|_| self.roll(2) == 0).map(|(id, _)| format!("\"{id}\""));
        let names: Vec<String> = names.collect();
        entity("Role", n, &format!(r#""permissions":[{}]"#, names.join(",")))
    }

    fn grant(&mut self, n: usize) -> String {
        let to = |name: &str, ty: &str, n: usize| format!(r#""{name}":{{"type":"{ty}","id":"{n}"}}"#);
        let attrs =
            [to("role", "Role", self.roll(6)), to("group", "Group", self.roll(4)), to("where", "Org", self.roll(4))];
        entity("Grant", n, &attrs.join(","))
    }

    fn change(&mut self) -> String {
        match self.roll(5) {
            0 | 1 => {
                let n = self.roll(6);
                format!(r#"{{"upsert":{}}}"#, self.role(n))
            }
            2 => format!(r#"{{"delete":"Grant::\"{}\""}}"#, self.roll(40)),
            _ => {
                let n = self.roll(40);
                format!(r#"{{"upsert":{}}}"#, self.grant(n))
            }
        }
    }

    fn bundle(&mut self) -> Bundle {
        let mut lines: Vec<String> = (0..6).map(|n| self.role(n)).collect();
        lines.extend((0..20).map(|n| self.grant(n)));
        let declared = r#"{"each":"Grant","template":"role.permissions","principal":"group","resource":"where"}"#;
        let declared = LinkDeclaration::from_value(Value::parse(declared.as_bytes()).unwrap(), "").unwrap();
        let policy = |(id, text): &(&str, &str)| PolicyText {
            origin: (*id).to_owned(),
            text: (*text).to_owned(),
            naming: PolicyNaming::Exactly((*id).to_owned()),
        };
        Bundle {
            policies: TEMPLATES.iter().map(policy).collect(),
            schema: Some(SchemaText { fragments: vec![("schema".to_owned(), SCHEMA.to_owned())] }),
            entities: vec![Document::held("entities", lines.join("\n"))],
            for_each: ForEach { links: vec![declared], rules: Vec::new() },
            ..Bundle::default()
        }
    }
}

fn entity(ty: &str, n: usize, attrs: &str) -> String {
    format!(r#"{{"uid":{{"type":"{ty}","id":"{n}"}},"attrs":{{{attrs}}},"parents":[]}}"#)
}

fn transaction(changes: &[String]) -> Change {
    let read = |(i, text): (usize, &String)| {
        Edit::from_value(Value::parse(text.as_bytes()).unwrap().into_owned(), &format!("/changes/{i}")).unwrap()
    };
    let edits = changes.iter().enumerate().map(read).collect();
    Change::Transaction(Transaction { edits, dangling: Dangling::Keep })
}

fn links(snapshot: &Snapshot) -> Vec<String> {
    let show = |listed: palisade_engine::ListedLink<'_>| format!("{} {:?}", listed.link.link_id, listed.link.args);
    snapshot.links().into_iter().map(show).collect()
}

/// What serves makes the links that it makes once it is loaded.
fn check(state: &State, settings: &EngineSettings) -> usize {
    let snapshot = state.snapshot().unwrap();
    let entities: Vec<String> = snapshot.entities().map(|entity| entity.to_json().to_string()).collect();
    let entities = vec![Document::held("entities", entities.join("\n"))];
    let bundle = Bundle { entities, ..snapshot.texts().into_owned() };
    let build = || Snapshot::build(bundle.into(), settings, Revision { incarnation: 1, counter: 1 });
    let (loaded, _) = on_big_stack(build).unwrap().unwrap();
    assert_eq!(links(&snapshot), links(&loaded));
    assert_eq!(snapshot.policy_count(), loaded.policy_count());
    assert_eq!(snapshot.forbids(), loaded.forbids());
    snapshot.link_count()
}

/// Holds up loads while it is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        let _open = self.opened.wait_while(shut, |shut| *shut).unwrap();
    }
}

#[test]
fn links_from_data_stay_true_beside_loads_and_large_transactions() {
    let settings = EngineSettings::default();
    let (mut taken, mut seen) = (0, 0);
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let (gate, (begin, begun)) = (Arc::new(Gate::default()), mpsc::channel());
        let begin = Mutex::new(begin);
        let held = gate.clone();
        let loading = Arc::new(move |_| {
            let _ = begin.lock().unwrap().send(());
            held.pass();
        });
        let observers = Observers { loading: Some(loading), ..Observers::default() };
        let metrics = Arc::new(Metrics::new().unwrap());
        let state = State::start_observed(settings.clone(), LoadRules::default(), observers, metrics).unwrap();
        state.apply_load(dice.bundle(), Vec::new(), 0).unwrap();
        while begun.try_recv().is_ok() {}
        gate.set(true);
        let (next, loads) = (dice.bundle(), state.clone());
        let load = thread::spawn(move || loads.apply_load(next, Vec::new(), loads.acknowledged()));
        begun.recv().unwrap();
        // some while the load is held up, then some beside a large transaction, and all of them before the load is there
        let mut single = |dice: &mut Dice| {
            let changes: Vec<String> = (0..1 + dice.roll(3)).map(|_| dice.change()).collect();
            taken += usize::from(run(state.apply(transaction(&changes), Origin::Changes)).is_ok());
            seen += check(&state, &settings);
        };
        (0..4).for_each(|_| single(&mut dice));
        let mut many: Vec<String> = (100..420).map(|n| format!(r#"{{"upsert":{}}}"#, dice.grant(n))).collect();
        if seed % 2 == 0 {
            let text = "permit (principal in ?principal, action, resource == ?resource);";
            many.push(format!(r#"{{"put_policy":{{"id":"write","text":{}}}}}"#, serde_json::Value::from(text)));
        }
        let bulks = state.clone();
        let bulk = thread::spawn(move || run(bulks.apply(transaction(&many), Origin::Changes)));
        (0..6).for_each(|_| single(&mut dice));
        gate.set(false);
        assert!(bulk.join().unwrap().is_ok(), "{seed}");
        let loaded = load.join().unwrap();
        assert!(loaded.is_ok(), "{seed}: {loaded:?}");
        check(&state, &settings);
        (0..2).for_each(|_| single(&mut dice));
        state.stop();
    }
    assert!(taken > 40 && seen > 500, "{taken} changes, {seen} links");
}
