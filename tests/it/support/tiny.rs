//! A bundle small enough to read: `alice` may do everything, `mallory` is forbidden everything, and the
//! other policies each look at one member of the context.

use serde_json::{Value, json};

use super::Server;

const POLICIES: &[(&str, &str)] = &[
    ("alice", r#"permit (principal == User::"alice", action, resource);"#),
    ("mallory", r#"forbid (principal == User::"mallory", action, resource);"#),
    ("answer", "permit (principal, action, resource) when { context has answer && context.answer == 42 };"),
    (
        "address",
        "permit (principal, action, resource) when { context has address && ip(context.address).isLoopback() };",
    ),
];

/// The bundle as `PUT /v1/bundle` takes it.
pub(crate) fn bundle() -> Value {
    let policies: serde_json::Map<String, Value> =
        POLICIES.iter().map(|(id, text)| ((*id).to_owned(), json!(text))).collect();
    json!({ "policies": policies, "entities": [] })
}

/// A sidecar that serves it, by Cedar's semantics and without a schema.
pub(crate) fn tiny(flags: Value) -> Server {
    let mut tree = json!({ "validation": "off", "decision": { "semantics": "cedar" } });
    super::server::merge(&mut tree, &flags);
    let server = Server::start(tree);
    let put = server.admin().put("/v1/bundle", bundle().to_string());
    assert_eq!(put.status, 200, "{}", put.text());
    server
}

/// The path of an endpoint as it can be asked for: with parameters, and with an end.
pub(crate) fn asked(path: &str) -> String {
    let path = path.replace("{type}", "User").replace("{id}", "nowhere");
    if path == "/v1/watch" { path + "?after=00000000000000ab-1" } else { path }
}

/// The body of a question about `User::"<user>"`.
pub(crate) fn ask(user: &str) -> String {
    ask_with(user, &json!({}))
}

/// The same with a context.
pub(crate) fn ask_with(user: &str, context: &Value) -> String {
    json!({
        "principal": { "type": "User", "id": user }, "action": "Action::\"read\"", "resource": "File::\"f\"",
        "context": context,
    })
    .to_string()
}
