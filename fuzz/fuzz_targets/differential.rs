//! The generator of the differential suite, driven by libFuzzer's bytes instead of a seed.
#![no_main]

#[path = "../../tests/it/differential/compare.rs"]
mod compare;
#[path = "../../tests/it/differential/generate/mod.rs"]
mod generate;
#[path = "../../tests/it/differential/shrink.rs"]
mod shrink;
#[path = "../../tests/it/differential/ways.rs"]
mod ways;

use libfuzzer_sys::fuzz_target;
use palisade_engine::on_big_stack;

use compare::{Tally, run_world};
use generate::choices::Choices;
use generate::{Plan, World};

fuzz_target!(|bytes: &[u8]| {
    let differs = on_big_stack(|| {
        let mut choices = Choices::from_bytes(bytes);
        let world = World::generate(&mut choices, Plan { policies: (1, 4), ..Plan::default() });
        run_world(&world, &mut choices, 4, &mut Tally::default()).err()
    });
    if let Ok(Some(difference)) = differs {
        panic!("{difference}");
    }
});
