//! What an explanation costs beside the reference's decision, and that it does not grow with the number of links.

use std::sync::Arc;
use std::time::Duration;

use palisade_engine::model::{
    AccessRequest, Bundle, Document, Link, PolicyNaming, PolicyText, Revision, SchemaText, Uid,
};
use palisade_engine::{EngineSettings, ExplainOptions, KeptTrees, Snapshot, on_big_stack};

const SCHEMA: &str = "
entity Tenant; entity Farm in [Tenant]; entity Group; entity User in [Group] = { \"active\": Bool, \"farms\": Set<Farm> };
entity Device in [Farm];
action view, update appliesTo { principal: [User], resource: [Device], context: { mfa: Bool } };";

const POLICIES: &str = "
@id(\"own\") permit (principal == ?principal, action, resource in ?resource) when { principal.active && context.mfa };
@id(\"group\") permit (principal in Group::\"g0\", action == Action::\"view\", resource) when { resource in principal.farms };
@id(\"inactive\") forbid (principal, action, resource) when { !principal.active };";

/// As many links as said, of as many users, over a hundred farms.
fn snapshot(links: usize) -> Snapshot {
    let entity = |ty: &str, id: String, attrs: &str, parents: &[(&str, String)]| {
        let parents: Vec<String> = parents.iter().map(|(ty, id)| format!(r#"{{"type":"{ty}","id":"{id}"}}"#)).collect();
        format!(r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{attrs},"parents":[{}]}}"#, parents.join(","))
    };
    let mut entities = vec![entity("Tenant", "t".into(), "{}", &[]), entity("Group", "g0".into(), "{}", &[])];
    entities.extend((0..100).map(|n| entity("Farm", format!("f{n}"), "{}", &[("Tenant", "t".into())])));
    entities.extend((0..100).map(|n| entity("Device", format!("d{n}"), "{}", &[("Farm", format!("f{n}"))])));
    entities.extend((0..links.max(100)).map(|n| entity("User", format!("u{n}"), r#"{"active":true,"farms":[]}"#, &[])));
    let link = |n: usize| Link {
        template_id: "own".to_owned(),
        link_id: format!("own{n}"),
        args: vec![
            ("?principal".to_owned(), format!("User::\"u{n}\"")),
            ("?resource".to_owned(), format!("Farm::\"f{}\"", n % 100)),
        ],
        written: None,
    };
    let bundle = Bundle {
        policies: vec![PolicyText {
            origin: "p.cedar".to_owned(),
            text: POLICIES.to_owned(),
            naming: PolicyNaming::Stem("p".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("e", format!("[{}]", entities.join(",")))],
        links: (0..links).map(link).collect(),
        ..Bundle::default()
    };
    let settings = EngineSettings { kept: KeptTrees(0), ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    Snapshot::build(Arc::new(bundle), &settings, revision).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

fn request() -> AccessRequest<'static> {
    let uid = |text: &'static str| Uid::parse(text).unwrap();
    // his link is for another farm
    let mut request = AccessRequest::new(uid("User::\"u7\""), uid("Action::\"view\""), uid("Device::\"d8\""));
    request.context = super::value(&serde_json::json!({"mfa": true}));
    request
}

/// The work of a hundred runs, in the best of three rounds.
fn work_of(mut run: impl FnMut()) -> Duration {
    let mut round = || {
        let start = super::worked();
        (0..100).for_each(|_| run());
        super::worked() - start
    };
    (0..3).map(|_| round()).min().unwrap()
}

#[test]
fn an_explanation_costs_no_more_where_there_are_many_links() {
    on_big_stack(|| {
        let cost = |links: usize| {
            let (snapshot, request) = (snapshot(links), request());
            let explained = snapshot.explain(&request, 0, &ExplainOptions::default()).unwrap();
            assert!(explained.policies.iter().any(|policy| &*policy.id == "own7" && policy.missing == 1));
            assert!(explained.policies.iter().any(|policy| &*policy.id == "group" && policy.missing == 2));
            let explain = work_of(|| drop(snapshot.explain(&request, 0, &ExplainOptions::default()).unwrap()));
            let decide = work_of(|| drop(snapshot.decide_by_reference(&request, 0).unwrap()));
            println!("{links} links, 100 times: explained in {explain:?}, decided by the reference in {decide:?}");
            (explain, decide)
        };
        let (few, reference) = cost(1_000);
        assert!(few < reference * 50, "{few:?} beside {reference:?}");
        let (many, _) = cost(if std::env::var_os("PALISADE_EXPLAIN_ALL").is_some() { 100_000 } else { 20_000 });
        assert!(many < few * 8, "{many:?} with many links, {few:?} with few");
    })
    .unwrap();
}
