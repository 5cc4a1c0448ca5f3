//! What grows: cases that differ from each other in one quantity.

use palisade_engine::model::{Bundle, Document, Link, PolicyNaming, PolicyText, SchemaText};

/// A state to decide upon, and questions to ask it.
pub(crate) struct Case {
    pub bundle: Bundle,
    /// As a service would send them.
    pub bodies: Vec<String>,
}

/// How many policies a bundle has. A template counts only once it is linked.
pub(crate) fn policies(bundle: &Bundle) -> usize {
    let own = |text: &PolicyText| text.text.matches("@id(").count() - text.text.matches("== ?principal").count();
    bundle.policies.iter().map(own).sum::<usize>() + bundle.links.len()
}

/// The domain's packs over their fixtures, asked the documented scenarios.
pub(crate) fn packs() -> Case {
    Case { bundle: super::fleet(), bodies: super::questions() }
}

/// The same with about twenty policies.
pub(crate) fn twenty() -> Case {
    let packs = packs();
    Case { bundle: few(packs.bundle), ..packs }
}

/// Of the packs only the guard rails and what AutoPi says of devices.
pub(crate) fn few(mut bundle: Bundle) -> Bundle {
    let kept = ["base.cedar", "autopi/devices.cedar"];
    bundle.policies.retain(|text| kept.iter().any(|name| text.origin.ends_with(name)));
    bundle
}

/// The packs, and policies linked for other users until there are `wanted`: what a tenant pays for its
/// neighbours. As many candidates as without them.
pub(crate) fn neighbours(wanted: usize) -> Case {
    let mut case = packs();
    let own = policies(&case.bundle);
    case.bundle.policies.push(text(
        "neighbours",
        "@id(\"neighbour\")
         permit (principal == ?principal, action == Fleet::Action::\"ViewDevice\", resource in ?resource);",
    ));
    case.bundle.links = (0..wanted.saturating_sub(own))
        .map(|i| Link {
            template_id: "neighbour".to_owned(),
            link_id: format!("neighbour-{i}"),
            args: vec![
                ("?principal".to_owned(), format!("Fleet::User::\"neighbour-{i}\"")),
                ("?resource".to_owned(), format!("Fleet::Customer::\"neighbour-{i}\"")),
            ],
            written: None,
        })
        .collect();
    case
}

/// The packs over a chain of `depth` customers, with a user at its top and a device at its end. He asks for
/// that device and for one of another chain, which takes a walk to the top to deny.
pub(crate) fn deep(depth: usize) -> Case {
    let uid = |ty: &str, id: &str| format!(r#"{{"type":"Fleet::{ty}","id":"{id}"}}"#);
    let own = |c: &str| {
        format!(r#""tenant":{{"__entity":{}}},"customer":{{"__entity":{}}}"#, uid("Tenant", "t"), uid("Customer", c))
    };
    let mut lines = Vec::new();
    let mut line = |uid: String, attrs: &str, parents: &[String]| {
        lines.push(format!(r#"{{"uid":{uid},"attrs":{{{attrs}}},"parents":[{}]}}"#, parents.join(",")));
    };
    line(uid("Platform", "autopi"), "", &[]);
    for (group, permission) in [("full_device_access", "autopi.records"), ("device_management", "autopi.devices")] {
        line(uid("Permission", permission), "", &[]);
        line(uid("PermissionGroup", group), "", &[uid("Permission", permission)]);
    }
    line(uid("Tenant", "t"), r#""closed":false,"addons":[]"#, &[uid("Platform", "autopi")]);
    for chain in ["a", "b"] {
        for level in 0..depth {
            let above = if level == 0 { uid("Tenant", "t") } else { uid("Customer", &format!("{chain}{}", level - 1)) };
            let parent = if level == 0 { String::new() } else { format!(r#","parent":{{"__entity":{above}}}"#) };
            let attrs = format!(
                r#""tenant":{{"__entity":{}}},"closed":false,"mfaRequired":false,"top":{}{parent}"#,
                uid("Tenant", "t"),
                level == 0
            );
            line(uid("Customer", &format!("{chain}{level}")), &attrs, &[above]);
        }
        let last = format!("{chain}{}", depth - 1);
        line(uid("Device", chain), &format!(r#"{},"claimed":true"#, own(&last)), &[uid("Customer", &last)]);
    }
    let groups = ["full_device_access", "device_management"].map(|group| uid("PermissionGroup", group));
    line(
        uid("User", "u"),
        &format!(r#"{},"active":true,"locations":[],"locationRestricted":false,"managed":[]"#, own("a0")),
        &[vec![uid("Customer", "a0")], groups.to_vec()].concat(),
    );
    let entities = Document::held("chain", lines.join("\n"));
    let bodies = ["a", "b"].map(|device| {
        format!(
            r#"{{"principal":{},"action":"Fleet::Action::\"ViewDevice\"","resource":{},"context":{{"auth":{{"method":"password","mfa":true}}}}}}"#,
            uid("User", "u"),
            uid("Device", device)
        )
    });
    Case { bundle: Bundle { entities: vec![entities], ..super::fleet() }, bodies: bodies.to_vec() }
}

/// One policy that reads `attributes` members of the context: numbers, texts, truths and sets in turn.
pub(crate) fn context(attributes: usize) -> Case {
    let member = |i: usize, form: [&str; 4]| form[i % 4].replace('#', &i.to_string());
    let all =
        |form: [&str; 4], between: &str| (0..attributes).map(|i| member(i, form)).collect::<Vec<_>>().join(between);
    let schema = format!(
        "entity User; entity Document; action View appliesTo {{ principal: User, resource: Document, context: {{ {} }} }};",
        all(["a#: Long", "a#: String", "a#: Bool", "a#: Set<String>"], ", ")
    );
    let reads =
        all(["context.a# == #", "context.a# like \"text-*\"", "context.a#", "context.a#.contains(\"two\")"], " && ");
    let when = if reads.is_empty() { String::new() } else { format!(" when {{ {reads} }}") };
    let sent = all([r#""a#":#"#, r##""a#":"text-#""##, r#""a#":true"#, r#""a#":["one","two","three"]"#], ",");
    let entities = r#"[{"uid":{"type":"User","id":"u"},"attrs":{},"parents":[]},{"uid":{"type":"Document","id":"d"},"attrs":{},"parents":[]}]"#;
    let bundle = Bundle {
        policies: vec![text("context", &format!("@id(\"reads\") permit (principal, action, resource){when};"))],
        schema: Some(SchemaText { fragments: vec![("schema".to_owned(), schema)] }),
        entities: vec![Document::held("two", entities)],
        ..Bundle::default()
    };
    let body = format!(
        r#"{{"principal":"User::\"u\"","action":"Action::\"View\"","resource":"Document::\"d\"","context":{{{sent}}}}}"#
    );
    Case { bundle, bodies: vec![body] }
}

fn text(origin: &str, text: &str) -> PolicyText {
    PolicyText { origin: origin.to_owned(), text: text.to_owned(), naming: PolicyNaming::Stem(origin.to_owned()) }
}
