//! Rows about the store: its memory, loading it cold, and changing it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cedar_policy::{Entities, Entity};
use palisade_engine::Snapshot;
use palisade_engine::model::{Bundle, Edit};
use serde_json::json;

use crate::measure::{Plan, Side, interleave, process_cpu, report, resident, stage, thread_cpu};
use crate::support::engines::Engines;
use crate::support::stock::{self, Stock};
use crate::support::world::{Rng, World, upsert};
use crate::support::{self, REVISION};

/// What the entities of a world take. In a process of its own for each engine, where nothing was freed before.
pub(crate) fn memory(size: usize, world: World, of_stock: bool) {
    let before = resident();
    stage(&format!("memory of {size} entities ..."));
    if of_stock {
        let schema = stock::schema(&support::fleet());
        // one by one: the trees of a whole text would leave holes that count as Cedar's
        let read =
            world.ndjson().lines().map(|line| Entity::from_json_str(line, Some(&schema)).unwrap()).collect::<Vec<_>>();
        let entities = Entities::from_entities(read, None).unwrap();
        let count = entities.len();
        report("memory", &json!({"engine": "stock", "size": size, "entities": count, "resident": resident() - before}));
        return;
    }
    let snapshot = support::snapshot(world.bundle());
    let values = json!({
        "engine": "compiled", "size": size, "entities": snapshot.entity_count(),
        "resident": resident() - before, "counted": snapshot.entity_bytes(),
    });
    report("memory", &values);
}

/// From the bytes of a document to something that can decide, every entity checked against the schema.
///
/// Process time, so that threads of a loader count. Cedar takes no NDJSON, so its text is made an array before.
pub(crate) fn load(plan: Plan, size: usize, world: World) {
    let bundle = world.bundle();
    let schema = stock::schema(&bundle);
    let array = stock::array(&bundle.entities);
    let time = |work: &mut dyn FnMut()| {
        let before = process_cpu();
        work();
        process_cpu() - before
    };
    let compiled = |count: usize| {
        (0..count)
            .map(|_| {
                let (bundle, mut built) = (std::cell::Cell::new(bundle.clone()), None);
                let took = time(&mut || built = Some(support::snapshot(bundle.take())));
                drop(black_box(built));
                took
            })
            .sum()
    };
    let stock = |count: usize| {
        (0..count)
            .map(|_| {
                let mut built = None;
                let took = time(&mut || built = Some(Entities::from_json_str(&array, Some(&schema)).unwrap()));
                drop(black_box(built));
                took
            })
            .sum()
    };
    let sides = vec![
        Side { name: "compiled", size, round: Box::new(compiled) },
        Side { name: "stock", size, round: Box::new(stock) },
    ];
    // the smallest possible time: one load a round
    interleave("cold load", Plan { time: Duration::ZERO, ..plan }, sides);
}

/// Makes some change of one kind.
type Draw = fn(World, &mut Rng) -> Edit;

/// Single changes, each published as a new snapshot, one after the other.
pub(crate) fn changes(size: usize, world: World, count: usize, engines: &mut Engines, stock_count: usize) {
    let mut rng = Rng::new(5);
    let kinds: [(&str, Draw); 3] = [
        ("upsert", |world, rng| upsert(&world.moved_device(rng))),
        ("delete", |world, rng| Edit::Delete(world.device(rng))),
        ("move", |world, rng| upsert(&world.moved_crowd(rng))),
    ];
    for (kind, change) in kinds {
        stage(&format!("{kind}: {count} changes ..."));
        let (wall, cpu) = compiled_changes(&engines.compiled, count, || change(world, &mut rng));
        let stock: Vec<f64> = match kind {
            "upsert" => stock_changes(&mut engines.stock, stock_count, || Some(world.moved_device(&mut rng))),
            "move" => stock_changes(&mut engines.stock, stock_count, || Some(world.moved_crowd(&mut rng))),
            _ => stock_changes(&mut engines.stock, stock_count, || None),
        };
        let values = json!({
            "kind": kind, "size": size, "below": if kind == "move" { world.crowd() } else { 0 },
            "wall_ns": wall, "cpu_ns": cpu, "stock_cpu_ns": stock,
        });
        report("changes", &values);
    }
}

fn compiled_changes(start: &Snapshot, count: usize, mut draw: impl FnMut() -> Edit) -> (Vec<f64>, Vec<f64>) {
    // the first state is shared with the caller, as a state that decisions still hold would be
    let mut current = start.apply(&[], REVISION).unwrap();
    let (mut wall, mut cpu) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let change = [draw()];
        let (started, before) = (Instant::now(), thread_cpu());
        let next = current.apply(&change, REVISION).unwrap();
        cpu.push((thread_cpu() - before).as_nanos() as f64);
        wall.push(started.elapsed().as_nanos() as f64);
        current = next;
    }
    (wall, cpu)
}

/// Upserts what is drawn, or removes some entity.
fn stock_changes(stock: &mut Stock, count: usize, mut draw: impl FnMut() -> Option<String>) -> Vec<f64> {
    let mut took = Vec::with_capacity(count);
    for i in 0..count {
        let drawn = draw().map(|json| Entity::from_json_str(&json, Some(&stock.schema)).unwrap());
        let entities = std::mem::replace(&mut stock.entities, Entities::empty());
        let before = thread_cpu();
        let next = match drawn {
            Some(entity) => entities.upsert_entities([entity], Some(&stock.schema)),
            None => entities.remove_entities([format!("Fleet::Device::\"device-0-{i}\"").parse().unwrap()]),
        };
        stock.entities = next.unwrap();
        took.push((thread_cpu() - before).as_nanos() as f64);
    }
    took
}

/// Both engines over a bundle.
pub(crate) fn engines(size: usize, bundle: Bundle) -> Engines {
    stage(&format!("loading {size} entities ..."));
    Engines::build(bundle)
}
