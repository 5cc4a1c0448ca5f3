//! Bodies of checks and batches: the reader of the usual form says what the one that knows everything says, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade_engine::model::usual::Batch;
use palisade_engine::model::{AccessRequest, Value};

fuzz_target!(|body: &[u8]| {
    if let Some(request) = AccessRequest::in_usual_form(body) {
        let value = Value::parse(body).expect("a body in the usual form is JSON");
        assert_eq!(AccessRequest::from_value(value).as_ref(), Ok(&request));
    }
    if let Some(mut batch) = Batch::in_usual_form(body) {
        let value = Value::parse(body).expect("a batch in the usual form is JSON");
        let Some(Value::Array(items)) = value.get("requests") else { panic!("a batch has an array of requests") };
        assert!(value.as_object().is_some_and(|members| members.len() == 1) && items.len() == batch.len());
        for (place, item) in items.iter().enumerate() {
            let request = batch.lend(place).expect("as many requests as elements");
            assert_eq!(AccessRequest::from_value(item.clone()).as_ref(), Ok(&request));
            batch.give_back(place, request);
        }
    }
});
