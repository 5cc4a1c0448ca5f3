//! The public corpus through both engines, if it is at hand.

use std::collections::HashMap;
use std::io::Read;

use super::support::{build, bundle, lenient};
use crate::Semantics;
use crate::model::{AccessRequest, Uid, Value};

/// `PALISADE_TEST_CORPUS` names `corpus-tests.tar.gz`.
#[test]
#[ignore = "needs the corpus and minutes"]
fn the_corpus_is_decided_as_published_without_a_fallback() {
    let path = std::env::var("PALISADE_TEST_CORPUS").expect("PALISADE_TEST_CORPUS names the corpus");
    let mut files: HashMap<String, String> = HashMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        if entry.read_to_string(&mut text).is_ok() {
            files.insert(name, text);
        }
    }
    let mut cases: Vec<&String> =
        files.keys().filter(|name| name.ends_with(".json") && !name.ends_with(".entities.json")).collect();
    cases.sort_unstable();
    let (mut asked, mut fallbacks, mut wrong, mut refused) = (0, 0, 0, 0);
    for case in &cases {
        let case: serde_json::Value = serde_json::from_str(&files[*case]).unwrap();
        let file = |key: &str| files[case[key].as_str().unwrap()].as_str();
        let bundle = bundle(file("policies"), Some(file("schema")), file("entities"));
        let Some(both) = build(bundle, &lenient(Semantics::Cedar)) else {
            refused += 1;
            continue;
        };
        for request in case["requests"].as_array().unwrap() {
            asked += 1;
            let uid = |key: &str| {
                let text = |part: &str| request[key][part].as_str().unwrap().to_owned();
                Uid::new(text("type"), text("id")).unwrap()
            };
            let context = request["context"].to_string();
            let mut question = AccessRequest::new(uid("principal"), uid("action"), uid("resource"));
            question.context = Value::parse(context.as_bytes()).unwrap();
            let decision = both.decide(&question).unwrap();
            let ids = |key: &str| {
                let mut ids: Vec<&str> = request[key].as_array().unwrap().iter().filter_map(|id| id.as_str()).collect();
                ids.sort_unstable();
                ids
            };
            let mut errors: Vec<&str> = decision.errors.iter().map(|error| &*error.policy_id).collect();
            errors.sort_unstable();
            let right = decision.outcome.is_allow() == (request["decision"] == "allow")
                && decision.reasons.iter().map(|id| &**id).eq(ids("reason"))
                && errors == ids("errors");
            wrong += usize::from(!right);
        }
        fallbacks += both.compiled.fallbacks();
        assert!(both.compiled.uncompiled().is_empty());
    }
    assert_eq!((wrong, fallbacks, refused), (0, 0, 0), "of {asked} requests of {} cases", cases.len());
    assert_eq!(asked, 8 * cases.len());
}
