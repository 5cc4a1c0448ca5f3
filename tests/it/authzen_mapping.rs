//! How AuthZEN requests map to Cedar: types, properties under each overlay rule, what is dropped and reported.

use serde_json::{Value, json};

use crate::authzen::{MANY, ONE, decides, with};
use crate::support::Server;

const SCHEMA: &str = r#"
namespace Shop {
  entity Clerk = {
    "level": Long, "name"?: String, "on"?: Bool, "tags"?: Set<String>, "boss"?: Clerk, "team"?: Set<Clerk>,
    "home"?: { "city": String, "zip"?: Long }, "net"?: ipaddr, "since"?: datetime, "rate"?: decimal, "rest"?: duration,
    "rows"?: Set<{ "n": Long }>,
  };
  entity Till = { "open"?: Bool };
  action look appliesTo { principal: [Clerk, Other::Guest], resource: [Till, Clerk] };
  action show appliesTo { principal: Clerk, resource: [Till, Clerk], context: { "action"?: { "force"?: Bool, "n"?: Long }, "who"?: Clerk } };
  action sell appliesTo { principal: Clerk, resource: Till, context: { "sum": Long } };
}
namespace Other { entity Guest; }
"#;

const POLICIES: &str = r#"
permit (principal is Shop::Clerk, action == Shop::Action::"look", resource) when { principal.level >= 5 };
permit (principal, action == Shop::Action::"look", resource is Shop::Till) when { resource has open && resource.open };
permit (principal is Other::Guest, action == Shop::Action::"look", resource);
permit (principal, action == Shop::Action::"sell", resource) when { context.sum < 100 };
permit (principal, action == Shop::Action::"show", resource) when { context has action && context.action has force && context.action.force };
permit (principal, action == Shop::Action::"show", resource) when {
  principal has name && principal has tags && principal has boss && principal has home && principal has net && principal has since
  && principal has rate && principal has rest && principal has team
  && principal.name == "Ann" && principal.tags == ["a", "b"] && principal.boss == Shop::Clerk::"zoe" && principal.home.city == "Oslo"
  && principal.net.isInRange(ip("10.0.0.0/8")) && principal.since < datetime("2026-01-01") && principal.rate.lessThan(decimal("2.0"))
  && principal.rest < duration("2h") && principal.team.contains(Shop::Clerk::"zoe")
};
"#;

/// A server of the shop, with these overlay rules.
fn shop(overlay: Value) -> Server {
    let server = Server::start(json!({ "authzen": {
        "namespace": "Shop", "types": { "clerk": "Clerk", "seller": "Clerk", "guest": "Other::Guest", "till": "Till" }, "overlay": overlay,
    } }));
    let bundle = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [
        { "uid": { "type": "Shop::Clerk", "id": "zoe" }, "attrs": { "level": 1 }, "parents": [] },
        { "uid": { "type": "Other::Guest", "id": "gus" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "Shop::Till", "id": "t1" }, "attrs": { "open": false }, "parents": [] },
        { "uid": { "type": "Shop::Till", "id": "t2" }, "attrs": {}, "parents": [] },
    ] });
    let put = server.admin().put("/v1/bundle", bundle.to_string());
    assert_eq!(put.status, 200, "{}", put.text());
    server
}

fn ask(subject: Value, action: Value, resource: Value) -> Value {
    json!({ "subject": subject, "action": action, "resource": resource })
}

fn clerk(id: &str, properties: Value) -> Value {
    json!({ "type": "clerk", "id": id, "properties": properties })
}

fn till(id: &str) -> Value {
    json!({ "type": "till", "id": id })
}

fn look() -> Value {
    json!({ "name": "look" })
}

#[test]
fn types_map_to_cedar() {
    let server = shop(json!({}));
    let mut client = server.client();
    for (type_name, id, expected) in [
        ("guest", "gus", true),
        // as written, with the namespace it names
        ("Other::Guest", "gus", true),
        // without mapping: in the namespace, where there is none of that name
        ("Guest", "gus", false),
        ("Clerk", "zoe", false),
        ("Shop::Clerk", "zoe", false),
        ("clerk", "zoe", false),
    ] {
        let body = ask(json!({ "type": type_name, "id": id }), look(), till("t1"));
        assert_eq!(decides(&mut client, &body)["decision"], expected, "{type_name}");
    }
    for (subject, code, place) in [
        (json!({ "type": "Guest", "id": "gus" }), "unknown_type", "/subject"),
        (json!({ "type": "Other::Nobody", "id": "gus" }), "unknown_type", "/subject"),
        (json!({ "type": "till", "id": "t1" }), "action_does_not_apply", "/subject"),
        (json!({ "type": "", "id": "x" }), "invalid_uid", "/subject/type"),
        (json!({ "type": "https://schemas.example/user", "id": "x" }), "invalid_uid", "/subject/type"),
        (json!({ "type": "Shop::", "id": "x" }), "invalid_uid", "/subject/type"),
        (json!({ "type": "Shop::in", "id": "x" }), "invalid_uid", "/subject/type"),
        (json!({ "type": "Cle rk", "id": "x" }), "invalid_uid", "/subject/type"),
        (json!({ "type": "Clerk::\"x", "id": "x" }), "invalid_uid", "/subject/type"),
    ] {
        let answer = decides(&mut client, &ask(subject.clone(), look(), till("t1")));
        let error = &answer["context"]["error"];
        assert_eq!(answer["decision"], false);
        assert_eq!(
            (&error["code"], &error["where"], &error["status"]),
            (&json!(code), &json!(place), &json!(400)),
            "{subject}: {error}"
        );
    }
    // any text is an id
    for id in ["", "\u{0}", "a\"b\\c", "日本"] {
        let answer = decides(&mut client, &ask(json!({ "type": "clerk", "id": id }), look(), till("t1")));
        assert_eq!(answer["context"]["denied_by"]["rule"], "unknown_entity", "{answer}");
    }
}

#[test]
fn without_a_namespace_types_and_actions_stand_as_written() {
    let server = Server::start(json!({ "validation": "warn" }));
    let put = server.admin().put(
        "/v1/bundle",
        json!({ "policies": "permit (principal == user::\"a\", action == Action::\"go\", resource == A::B::\"c\");", "entities": [
            { "uid": { "type": "user", "id": "a" }, "attrs": {}, "parents": [] },
            { "uid": { "type": "A::B", "id": "c" }, "attrs": {}, "parents": [] },
        ] })
        .to_string(),
    );
    assert_eq!(put.status, 200, "{}", put.text());
    let body = json!({
        "subject": { "type": "user", "id": "a" }, "action": { "name": "go", "properties": { "n": 1.5, "ok": true } }, "resource": { "type": "A::B", "id": "c" },
        "context": { "deep": { "n": null }, "fine": [1, "x"] },
    });
    let answer = decides(&mut server.client(), &body);
    assert_eq!(answer["decision"], true);
    // what Cedar has no value for
    assert_eq!(answer["context"]["ignored"], json!(["context.deep.n", "action.properties.n"]));
}

#[test]
fn what_the_schema_does_not_know_is_a_denial_that_says_so() {
    let server = shop(json!({}));
    let mut client = server.client();
    let sell = |context: Value| {
        let mut body = ask(clerk("zoe", json!({})), json!({ "name": "sell" }), till("t1"));
        body["context"] = context;
        body
    };
    assert_eq!(decides(&mut client, &sell(json!({ "sum": 99 })))["decision"], true);
    assert_eq!(decides(&mut client, &sell(json!({ "sum": 100 })))["decision"], false);
    for (body, code, place, ignored) in [
        (
            ask(clerk("zoe", json!({})), json!({ "name": "steal" }), till("t1")),
            "unknown_action",
            "/action/name",
            json!(null),
        ),
        (
            ask(clerk("zoe", json!({})), json!({ "name": "" }), till("t1")),
            "unknown_action",
            "/action/name",
            json!(null),
        ),
        (sell(json!({})), "invalid_context", "/context", json!(null)),
        (sell(json!({ "sum": "99" })), "invalid_context", "/context", json!(["context.sum"])),
        (sell(json!({ "sum": 99.5 })), "invalid_context", "/context", json!(["context.sum"])),
        (
            sell(json!({ "sum": null, "more": 1 })),
            "invalid_context",
            "/context",
            json!(["context.sum", "context.more"]),
        ),
    ] {
        let answer = decides(&mut client, &body);
        let error = &answer["context"]["error"];
        assert_eq!(answer["decision"], false, "{body}");
        assert_eq!((&error["code"], &error["where"]), (&json!(code), &json!(place)), "{body}: {answer}");
        assert_eq!(answer["context"].get("ignored").unwrap_or(&Value::Null), &ignored, "{body}: {answer}");
        assert!(answer["context"]["revision"].is_string());
    }
}

#[test]
fn overlay_deny_ignores_and_reports() {
    let server = shop(json!({}));
    let mut client = server.client();
    let answer = decides(
        &mut client,
        &ask(clerk("zoe", json!({ "level": 9, "nothing": 1 })), look(), with(till("t1"), json!({ "open": true }))),
    );
    assert_eq!(answer["decision"], false);
    assert_eq!(
        answer["context"]["ignored"],
        json!(["subject.properties.level", "subject.properties.nothing", "resource.properties.open"])
    );
    // and does not make an unknown entity known
    let answer = decides(&mut client, &ask(clerk("new", json!({ "level": 9 })), look(), till("t1")));
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["denied_by"], json!({ "rule": "unknown_entity", "entity": "Shop::Clerk::\"new\"" }));
}

#[test]
fn overlay_fill_adds_and_override_wins() {
    for (rule, level, opened, filled) in [("fill", false, false, true), ("override", true, true, true)] {
        // as a type's own rule, and as the rule of all types
        for overlay in [
            json!({ "clerk": rule, "till": rule }),
            json!({ "default": rule }),
            json!({ "default": rule, "guest": "deny" }),
        ] {
            let server = shop(overlay);
            let mut client = server.client();
            let open = || json!({ "open": true });
            for (body, expected) in [
                (ask(clerk("zoe", json!({ "level": 9 })), look(), till("t1")), level),
                (ask(clerk("zoe", json!({})), look(), with(till("t1"), open())), opened),
                (ask(clerk("zoe", json!({})), look(), with(till("t2"), open())), filled),
            ] {
                let answer = decides(&mut client, &body);
                assert_eq!(answer["decision"], expected, "{rule} {body}: {answer}");
                assert_eq!(answer["context"].get("ignored"), None);
            }
            // what is taken makes the entity known for this request, and for no other
            let carried = decides(&mut client, &ask(clerk("new", json!({ "level": 9 })), look(), till("t1")));
            assert_eq!(carried["decision"], true, "{carried}");
            let dropped = decides(&mut client, &ask(clerk("new", json!({ "nothing": 9 })), look(), till("t1")));
            assert_eq!(dropped["context"]["denied_by"]["rule"], "unknown_entity", "{dropped}");
            let later = decides(&mut client, &ask(clerk("new", json!({})), look(), till("t1")));
            assert_eq!(later["context"]["denied_by"]["rule"], "unknown_entity", "{later}");
        }
    }
}

#[test]
fn overlay_rules_are_of_the_cedar_type() {
    for (rule, expected) in [("deny", false), ("fill", false), ("override", true)] {
        // whatever the default, and whichever word for the type the rule names and the request uses
        for default in ["deny", "override"] {
            let server = shop(json!({ "default": default, "clerk": rule }));
            let mut client = server.client();
            for type_name in ["clerk", "seller", "Clerk", "Shop::Clerk"] {
                let entity = json!({ "type": type_name, "id": "zoe", "properties": { "level": 9 } });
                let answer = decides(&mut client, &ask(entity, look(), till("t1")));
                assert_eq!(answer["decision"], expected, "{default} {rule} {type_name}");
            }
        }
    }
    let server = shop(json!({ "default": "override", "clerk": "deny", "seller": "deny" }));
    let mut client = server.client();
    for (type_name, expected) in [("clerk", false), ("seller", false), ("Clerk", false), ("Shop::Clerk", false)] {
        let body = ask(json!({ "type": type_name, "id": "zoe", "properties": { "level": 9 } }), look(), till("t1"));
        assert_eq!(decides(&mut client, &body)["decision"], expected, "{type_name}");
    }
    // one entity under two words is one entity
    let server = shop(json!({ "default": "override" }));
    let mut client = server.client();
    let zoe = |type_name: &str, level: i64| json!({ "type": type_name, "id": "zoe", "properties": { "level": level, "name": "Z" } });
    for (subject, resource, expected) in [
        (zoe("Clerk", 9), zoe("seller", 1), false),
        (zoe("seller", 1), zoe("Clerk", 9), true),
        (zoe("Clerk", 1), zoe("Clerk", 9), true),
        (zoe("Clerk", 9), zoe("Clerk", 1), false),
    ] {
        let answer = decides(&mut client, &ask(subject.clone(), look(), resource.clone()));
        assert_eq!(answer["decision"], expected, "{subject} {resource}: {answer}");
        assert_eq!(answer["context"].get("ignored"), None);
    }
}

#[test]
fn properties_of_every_type_reach_the_policies() {
    let server = shop(json!({ "default": "override" }));
    let mut client = server.client();
    let zoe = || json!({ "type": "Shop::Clerk", "id": "zoe" });
    let full = json!({
        "level": 0, "name": "Ann", "tags": ["b", "a", "a"], "boss": zoe(), "team": [{ "__entity": zoe() }], "home": { "city": "Oslo", "street": "x" },
        "net": "10.1.2.3", "since": "2025-06-27T18:03:00-0700", "rate": { "__extn": { "fn": "decimal", "arg": "1.25" } }, "rest": { "fn": "duration", "arg": "1h" },
    });
    let show = || json!({ "name": "show" });
    let answer = decides(&mut client, &ask(clerk("zoe", full.clone()), show(), till("t1")));
    assert_eq!(answer["decision"], true, "{answer}");
    assert_eq!(answer["context"]["ignored"], json!(["subject.properties.home.street"]));

    // a value of the wrong type is dropped and named; here each one is needed
    for (member, value, named) in [
        ("name", json!(null), vec!["name"]),
        ("name", json!(7), vec!["name"]),
        ("tags", json!(["a", 1]), vec!["tags"]),
        ("tags", json!("a"), vec!["tags"]),
        ("boss", json!({ "type": "Shop::Till", "id": "t1" }), vec!["boss"]),
        ("boss", json!("zoe"), vec!["boss"]),
        ("team", json!([zoe(), { "type": "Other::Guest", "id": "gus" }]), vec!["team"]),
        ("home", json!({ "zip": 1 }), vec!["home"]),
        ("home", json!({ "city": null }), vec!["home.city", "home"]),
        ("net", json!("10.0.0"), vec!["net"]),
        ("net", json!({ "__extn": { "fn": "decimal", "arg": "1.0" } }), vec!["net"]),
        ("net", json!({ "__extn": { "fn": "ip", "arg": "10.0.0.1" }, "x": 1 }), vec!["net"]),
        ("since", json!("2025-06-27T18:03-07:00"), vec!["since"]),
        ("since", json!(1_750_000_000), vec!["since"]),
        ("rate", json!(1.25), vec!["rate"]),
        ("rate", json!("1.23456"), vec!["rate"]),
        ("rest", json!("an hour"), vec!["rest"]),
    ] {
        let mut properties = full.clone();
        properties["home"] = json!({ "city": "Oslo" });
        properties[member] = value.clone();
        let answer = decides(&mut client, &ask(clerk("zoe", properties), show(), till("t1")));
        let named: Vec<String> = named.iter().map(|name| format!("subject.properties.{name}")).collect();
        assert_eq!(answer["decision"], false, "{member} {value}");
        assert_eq!(answer["context"]["ignored"], json!(named), "{member} {value}: {answer}");
    }
    // what is dropped inside an element of a set is named with its place
    let rows = json!({ "rows": [{ "n": 1 }, { "n": 2, "m": 3 }] });
    let answer = decides(&mut client, &ask(clerk("zoe", rows), show(), till("t1")));
    assert_eq!(answer["context"]["ignored"], json!(["subject.properties.rows[1].m"]));
}

#[test]
fn action_properties_win_over_the_callers_context() {
    let server = shop(json!({}));
    let mut client = server.client();
    let show = |action: Value, context: Value| {
        let mut body = ask(clerk("zoe", json!({})), json!({ "name": "show", "properties": action }), till("t1"));
        body["context"] = context;
        body
    };
    for (action, context, expected, ignored) in [
        (json!({ "force": true }), json!({}), true, json!(null)),
        (json!({ "force": false }), json!({ "action": { "force": true } }), false, json!(["context.action"])),
        (json!({ "n": 1 }), json!({ "action": { "force": true } }), false, json!(["context.action"])),
        (json!({ "force": true }), json!({ "action": { "force": false } }), true, json!(["context.action"])),
        (json!({}), json!({ "action": { "force": true } }), true, json!(null)),
        (json!(null), json!({ "action": { "force": true, "x": 1 } }), true, json!(["context.action.x"])),
        (
            json!({ "force": "true", "more": 1 }),
            json!({}),
            false,
            json!(["action.properties.force", "action.properties.more"]),
        ),
    ] {
        let answer = decides(&mut client, &show(action.clone(), context.clone()));
        assert_eq!(answer["decision"], expected, "{action} {context}: {answer}");
        assert_eq!(answer["context"].get("ignored").unwrap_or(&Value::Null), &ignored, "{action} {context}");
    }
    // an entity that the context names must be known, as on the native endpoint
    let who = |id: &str| show(json!({ "force": true }), json!({ "who": { "type": "Shop::Clerk", "id": id } }));
    assert_eq!(decides(&mut client, &who("zoe"))["decision"], true);
    let answer = decides(&mut client, &who("ghost"));
    assert_eq!(
        (&answer["decision"], &answer["context"]["denied_by"]["entity"]),
        (&json!(false), &json!("Shop::Clerk::\"ghost\""))
    );
}

#[test]
fn answers_explain_themselves() {
    let server = shop(json!({}));
    let mut client = server.client();
    let answer = client.post(ONE, ask(json!({ "type": "guest", "id": "gus" }), look(), till("t1")).to_string());
    assert_eq!(answer.json()["context"]["reason"], json!(["policy2"]));
    let revision = answer.json()["context"]["revision"].clone();
    assert_eq!(answer.header("palisade-revision").map(Value::from), Some(revision));
    let batch = json!({ "subject": { "type": "guest", "id": "gus" }, "action": look(), "evaluations": [{ "resource": till("t1") }, {}] });
    let answer = client.post(MANY, batch.to_string());
    for item in answer.json()["evaluations"].as_array().unwrap() {
        assert_eq!(item["context"]["revision"].as_str(), answer.header("palisade-revision"));
    }
}

#[test]
fn an_evaluation_that_asks_why_is_told_what_the_configuration_allows() {
    let denied = || {
        json!({
            "subject": { "type": "Fleet::User", "id": "u-dk-fda-dm" },
            "action": { "name": "ViewDevice" },
            "resource": { "type": "Fleet::Device", "id": "d-hq" },
            "context": { "now": "2026-11-21T12:00:00Z", "auth": { "method": "password", "mfa": false } },
            "explain": true,
        })
    };
    let with = |member: &str, value: Value| {
        let mut body = denied();
        body[member] = value;
        body
    };
    for (mode, words, member) in [
        ("off", None, "unavailable"),
        ("ids", Some("No policy permits it. autopi.device-control comes nearest."), "policies"),
        ("full", Some("No policy permits it. autopi.device-control comes nearest: `"), "changes"),
    ] {
        let mut settings = crate::support::fleet();
        settings["explain"] = json!({ "decisions": mode });
        settings["authzen"] = json!({ "namespace": "Fleet" });
        let server = Server::ready(settings);
        let mut client = server.client();
        let answer = client.post(ONE, denied().to_string()).json();
        let context = &answer["context"];
        assert_eq!(
            (&answer["decision"], context["explanation"].get(member).is_some()),
            (&json!(false), true),
            "{answer}"
        );
        let said = context["reason_admin"]["en"].as_str();
        assert_eq!(said.is_some(), words.is_some(), "{answer}");
        assert!(said.unwrap_or_default().starts_with(words.unwrap_or_default()), "{answer}");
        // nothing of entities, nor of what policies say
        assert_eq!(answer.to_string().contains("principal.customer"), mode == "full", "{answer}");
        // where no list is asked for, the other endpoint does the same
        let same = client.post(MANY, denied().to_string()).json();
        assert_eq!(same["context"]["explanation"], context["explanation"], "{same}");
        let many = client.post(MANY, with("evaluations", json!([{}, { "explain": true }])).to_string()).text();
        assert!(!many.contains("explanation") && !many.contains("reason_admin"), "{many}");
        for plain in [json!(false), json!("yes"), Value::Null] {
            let answer = client.post(ONE, with("explain", plain).to_string());
            assert!(answer.status == 200 && !answer.text().contains("explanation"), "{}", answer.text());
        }
        let other = |member: &str, id: &str| with(member, json!({ "type": "Fleet::Device", "id": id }));
        let allowed = client.post(ONE, other("resource", "d-dk").to_string()).json();
        let unknown = client.post(ONE, other("resource", "gone").to_string()).json();
        if mode != "off" {
            let en = |answer: &Value| answer["context"]["reason_admin"]["en"].as_str().unwrap_or_default().to_owned();
            assert_eq!(en(&allowed), "Allowed by autopi.device-control.");
            assert_eq!(en(&unknown), "Denied because Fleet::Device::\"gone\" is not in the store.");
        }
    }
}
