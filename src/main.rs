//! temporary
fn main() {
    let settings = palisade::config::load(None, std::env::vars(), serde_json::json!({})).unwrap();
    let _guard = palisade::telemetry::logging::init(&settings.log).unwrap();
    palisade::app::serve(settings).unwrap();
}
