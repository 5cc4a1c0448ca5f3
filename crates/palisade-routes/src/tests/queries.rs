//! Rules about parameters: without a query they are not looked at, and that must change nothing.

use super::*;

#[test]
fn a_rule_that_is_passed_over_would_not_have_held() {
    let rule = |conditions: &str| {
        table(&format!(
            "  - match: GET /x/{{id}}\n    action: view\n    resource: Device::{{path.id}}\n    also:\n      - when: \
             {conditions}\n        deny: no\n"
        ))
    };
    let tests = ["present", "given", "absent", "empty", "not empty", "is 1", "is 1 or 2", "is not 1", "is not 1 or 2"];
    let mut denied = 0;
    for test in tests {
        // behind another condition, it is always looked at
        let (first, second) = (rule(&format!("query.a {test}")), rule(&format!("[path.id present, query.a {test}]")));
        for query in ["", "?", "?a", "?a=", "?a=1", "?a=3", "?b=1", "?a=1&a=1", "?A=1", "?a=1;b", "?%00=1"] {
            let request = format!("GET /x/d{query}");
            for body in [Body::NotForwarded, Body::Whole(b""), Body::Whole(b"{}")] {
                let found = ask(&first, &request, &[], body);
                assert_eq!(found, ask(&second, &request, &[], body), "{test} {request} {body:?}");
                denied += usize::from(found.contains("denied_by_route"));
            }
        }
    }
    assert!(denied > 20, "{denied}");
}
