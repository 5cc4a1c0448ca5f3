//! A program that asks the engine itself, without a sidecar: who may open which door, before and after a change.
//!
//! Run it with `cargo run -p palisade-engine --example embed`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is there to be run and read")]

use std::error::Error;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_engine::model::{
    AccessRequest, Bundle, Diagnostic, Document, Edit, PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
};
use palisade_engine::{EngineSettings, Snapshot, on_big_stack};

const SCHEMA: &str = "
    entity Team;
    entity Person in [Team] = { contract_ends: datetime };
    entity Building;
    entity Door in [Building] = { alarmed: Bool };
    action open appliesTo { principal: Person, resource: Door, context: { now: datetime } };
";

const POLICIES: &str = r#"
    @id("crew_opens_its_building")
    permit (principal in Team::"crew", action == Action::"open", resource in Building::"hall")
    when { context.now < principal.contract_ends };

    @id("alarmed_stays_shut")
    forbid (principal, action, resource) when { resource.alarmed };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "Team", "id": "crew"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Building", "id": "hall"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Person", "id": "ada"}, "parents": [{"type": "Team", "id": "crew"}],
     "attrs": {"contract_ends": {"__extn": {"fn": "datetime", "arg": "2031-01-01"}}}},
    {"uid": {"type": "Person", "id": "bo"}, "parents": [],
     "attrs": {"contract_ends": {"__extn": {"fn": "datetime", "arg": "2031-01-01"}}}},
    {"uid": {"type": "Door", "id": "front"}, "parents": [{"type": "Building", "id": "hall"}], "attrs": {"alarmed": false}},
    {"uid": {"type": "Door", "id": "roof"}, "parents": [{"type": "Building", "id": "hall"}], "attrs": {"alarmed": true}}
]"#;

/// What a program keeps: the current snapshot. A caller clones the pointer to it and releases the lock.
struct Doors {
    now: RwLock<Arc<Snapshot>>,
}

impl Doors {
    fn open() -> Result<Self, Box<dyn Error>> {
        let bundle = Bundle {
            policies: vec![PolicyText {
                origin: "doors.cedar".to_owned(),
                text: POLICIES.to_owned(),
                naming: PolicyNaming::Stem("doors".to_owned()),
            }],
            schema: Some(SchemaText { fragments: vec![("doors.cedarschema".to_owned(), SCHEMA.to_owned())] }),
            entities: vec![Document::held("doors.json", ENTITIES)],
            ..Bundle::default()
        };
        let first = Revision { incarnation: 1, counter: 1 };
        let built = on_big_stack(|| Snapshot::build(Arc::new(bundle), &EngineSettings::default(), first))?;
        let (snapshot, warnings) = built.map_err(|problems| all(&problems))?;
        for warning in warnings {
            eprintln!("{warning}");
        }
        Ok(Self { now: RwLock::new(Arc::new(snapshot)) })
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces one entity. Who asks meanwhile gets the old state or the new one, never a part of each.
    fn store(&self, entity: &str) -> Result<(), Box<dyn Error>> {
        let change = Edit::Upsert(Value::parse(entity.as_bytes())?.into_owned());
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let next = now.apply(&[change], now.revision().next()).map_err(|problems| all(&problems))?;
        *now = Arc::new(next);
        Ok(())
    }

    /// Asks for every person and door. `clock` fills in `context.now`, which the schema declares.
    fn show(&self, clock: i64) -> Result<(), Box<dyn Error>> {
        let snapshot = self.snapshot();
        println!("at revision {}:", snapshot.revision());
        for person in ["ada", "bo"] {
            for door in ["front", "roof"] {
                let request = AccessRequest::new(
                    Uid::new("Person", person)?,
                    Uid::new("Action", "open")?,
                    Uid::new("Door", door)?,
                );
                // where only Cedar's own evaluator could say, the answer is `None`: ask `decide` on a large stack then
                let decision = match snapshot.decide_at_once(&request, clock) {
                    Some(decided) => decided?,
                    None => on_big_stack(|| snapshot.decide(&request, clock))??,
                };
                let verb = if decision.outcome.is_allow() { "opens" } else { "does not open" };
                println!("  {person} {verb} {door}: {:?}", decision.reasons);
            }
        }
        Ok(())
    }
}

/// Every problem of a bundle or a change, one below the other.
fn all(problems: &[Diagnostic]) -> Box<dyn Error> {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into()
}

fn main() -> Result<(), Box<dyn Error>> {
    // 2026-11-21T12:00:00Z
    let clock = 1_795_262_400_000;
    let doors = Doors::open()?;
    doors.show(clock)?;
    doors.store(
        r#"{"uid": {"type": "Person", "id": "bo"}, "parents": [{"type": "Team", "id": "crew"}],
            "attrs": {"contract_ends": {"__extn": {"fn": "datetime", "arg": "2031-01-01"}}}}"#,
    )?;
    doors.show(clock)
}
