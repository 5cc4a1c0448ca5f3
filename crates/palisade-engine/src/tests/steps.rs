//! What validation is counted to cost grows as Cedar's type checker was measured to grow.

use cedar_policy_core::ast::Template;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::parse_policy_or_template;
use cedar_policy_core::validator::ValidatorSchema;

use crate::on_big_stack;
use crate::steps::Steps;

fn schema() -> ValidatorSchema {
    let many: String = (0..300).map(|i| format!(", o{i}?: Long")).collect();
    let grouped: String =
        (0..100).map(|i| format!("action y{i} in [G] appliesTo {{ principal: U, resource: R }};")).collect();
    let text = format!("entity U {{ a?: U, r: {{ x: Long }}{many} }} tags Long; entity R; action G; {grouped}");
    ValidatorSchema::from_cedarschema_str(&text, Extensions::all_available()).unwrap().0
}

/// Steps of a policy with this condition for one pair of types.
fn size(steps: &Steps, condition: &str) -> u64 {
    let text = format!(r#"permit (principal, action == Action::"y0", resource) when {{ {condition} }};"#);
    let template: Template = parse_policy_or_template(None, &text).unwrap();
    steps.policy(&template).size
}

fn joined(n: usize, by: &str, one: impl Fn(usize) -> String) -> String {
    (0..n).map(one).collect::<Vec<_>>().join(by)
}

#[test]
fn counted_steps_grow_as_the_checker_does() {
    type Make = fn(usize) -> String;
    // its name, its condition with n parts, the power of n that it grows with at least, an n, and the steps of 0.25 µs
    // that were measured for 2n, or less
    let constructs: &[(&str, Make, u32, usize, u64)] = &[
        ("a long has", |n| format!("principal has {}", joined(n, ".", |_| "a".into())), 3, 200, 1_700_000),
        (
            "a has for each member",
            |n| joined(n, " && ", |i| format!("principal{} has a", ".a".repeat(i))),
            3,
            60,
            140_000,
        ),
        ("has and has", |n| joined(n, " && ", |i| format!("principal has o{i}")), 2, 500, 680_000),
        (
            "tags",
            |n| joined(n, " && ", |i| format!("principal.hasTag(\"t{i}\") && principal.getTag(\"t{i}\") == 1")),
            2,
            500,
            1_000_000,
        ),
        (
            "has within if",
            |n| format!("{} true{}", "if principal has o1 then (".repeat(n), ") else false".repeat(n)),
            2,
            200,
            20_000,
        ),
        ("has or has", |n| joined(n, " || ", |i| format!("principal has o{i}")), 1, 500, 1_000),
        (
            "long accesses",
            |n| format!("principal has a && {}", joined(n, " && ", |_| "principal.a == principal".into())),
            1,
            500,
            2_000,
        ),
        ("a set", |n| format!("[{}].contains(1)", joined(n, ",", |i| i.to_string())), 1, 1000, 2_000),
        ("a record", |n| format!("{{{}}} == {{}}", joined(n, ",", |i| format!("k{i}: 1"))), 1, 1000, 2_000),
        ("entities", |n| format!("principal in [{}]", joined(n, ",", |i| format!("U::\"{i}\""))), 1, 1000, 2_000),
        ("groups", |n| format!("action in [{}]", joined(n, ",", |_| "Action::\"G\"".into())), 1, 100, 1_200),
        ("patterns", |n| joined(n, " || ", |i| format!("\"a\" like \"*{i}\"")), 1, 500, 2_000),
    ];
    on_big_stack(|| {
        let schema = schema();
        let steps = Steps::new(&schema);
        let mut wrong = Vec::new();
        for (name, make, order, n, least) in constructs {
            let (one, two) = (size(&steps, &make(*n)), size(&steps, &make(2 * n)));
            let grows = two * 20 >= one * 17 * 2_u64.pow(*order);
            // what is counted far above what was measured is a nuisance
            if !grows || two < *least || two > 20 * least {
                wrong.push(format!("{name}: {one}, then {two}, not {least}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .unwrap();
}

#[test]
fn usual_policies_cost_little() {
    on_big_stack(|| {
        let schema = schema();
        let steps = Steps::new(&schema);
        let alternatives = joined(50, " || ", |i| format!("principal has o{i} && principal.o{i} == {i}"));
        let checks = joined(10, " && ", |i| format!("principal has o{i} && principal.o{i} == {i}"));
        for (condition, most) in [("principal.r.x == 1", 30), (alternatives.as_str(), 1_000), (checks.as_str(), 600)] {
            let size = size(&steps, condition);
            assert!(size <= most, "{condition}: {size}");
        }
    })
    .unwrap();
}

/// Steps of a template in a schema whose users can be in more types than its documents.
fn template(text: &str) -> u64 {
    let schema = "entity A; entity B in [A]; entity U in [B]; entity R in [A];
        action read appliesTo { principal: [U], resource: [R] };
        action list appliesTo { principal: [U], resource: [A] };";
    let schema = ValidatorSchema::from_cedarschema_str(schema, Extensions::all_available()).unwrap().0;
    Steps::new(&schema).policy(&parse_policy_or_template(None, text).unwrap()).steps
}

#[test]
fn slots_cost_what_their_types_can_be_in() {
    on_big_stack(|| {
        // U can be in B and A, R in A, and each may be the slot itself: 3 and 2 types, of an A one
        let plain = template("permit (principal, action, resource);");
        let costs = [
            ("permit (principal in ?principal, action, resource);", 2 * 3),
            ("permit (principal, action, resource in ?resource);", 2 + 1),
            ("permit (principal in ?principal, action, resource in ?resource);", 3 * 2 + 3),
        ];
        for (text, scopes) in costs {
            let more = template(text) - plain;
            // five steps a scope, beside what is looked at for each pair
            assert!((5 * (scopes - 2)..40 * scopes).contains(&more), "{text}: {more}");
        }
        let [narrow, wide] = ["is R in ?resource", "in ?resource"]
            .map(|resource| template(&format!("permit (principal in ?principal, action, resource {resource});")));
        assert!(narrow <= wide, "{narrow} {wide}");
    })
    .unwrap();
}
