//! A world with many entities and many links, and questions about it. The bench `explain` includes it by its path.

use std::fmt::Write as _;
use std::sync::Arc;

use palisade_engine::model::{
    AccessRequest, Bundle, Document, Link, PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
};
use palisade_engine::{EngineSettings, KeptTrees, Snapshot};

const SCHEMA: &str = "
entity Tenant; entity Farm in [Tenant]; entity Group; entity User in [Group] = { \"active\": Bool, \"farms\": Set<Farm> };
entity Device in [Farm];
action view, update appliesTo { principal: [User], resource: [Device], context: { mfa: Bool } };";

const POLICIES: &str = "
@id(\"own\") permit (principal == ?principal, action, resource in ?resource) when { principal.active && context.mfa };
@id(\"group\") permit (principal in Group::\"g0\", action == Action::\"view\", resource) when { resource in principal.farms };
@id(\"inactive\") forbid (principal, action, resource) when { !principal.active };";

/// Devices of one farm.
const OF_A_FARM: usize = 10;

/// As many links as said, of as many users, over as many farms as hold the other entities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Many {
    pub entities: usize,
    pub links: usize,
}

impl Many {
    fn users(self) -> usize {
        self.links.max(100)
    }

    /// At least a hundred.
    pub(crate) fn farms(self) -> usize {
        (self.entities.saturating_sub(self.users()) / (OF_A_FARM + 1)).max(100)
    }

    fn entities(self) -> String {
        let mut out = String::new();
        let mut entity = |ty: &str, id: &str, attrs: &str, parent: Option<(&str, String)>| {
            let parent = parent.map(|(ty, id)| format!(r#"{{"type":"{ty}","id":"{id}"}}"#)).unwrap_or_default();
            writeln!(out, r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{attrs},"parents":[{parent}]}}"#).unwrap();
        };
        entity("Tenant", "t", "{}", None);
        entity("Group", "g0", "{}", None);
        for farm in 0..self.farms() {
            entity("Farm", &format!("f{farm}"), "{}", Some(("Tenant", "t".to_owned())));
            // the first has the farm's own number
            for n in 0..OF_A_FARM {
                let id = format!("d{}", n * self.farms() + farm);
                entity("Device", &id, "{}", Some(("Farm", format!("f{farm}"))));
            }
        }
        for user in 0..self.users() {
            entity("User", &format!("u{user}"), r#"{"active":true,"farms":[]}"#, None);
        }
        out
    }

    pub(crate) fn build(self) -> Snapshot {
        let link = |n: usize| Link {
            template_id: "own".to_owned(),
            link_id: format!("own{n}"),
            args: vec![
                ("?principal".to_owned(), format!("User::\"u{n}\"")),
                ("?resource".to_owned(), format!("Farm::\"f{}\"", n % self.farms())),
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
            entities: vec![Document::held("e.ndjson", self.entities())],
            links: (0..self.links).map(link).collect(),
            ..Bundle::default()
        };
        let settings = EngineSettings { kept: KeptTrees(0), ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        Snapshot::build(Arc::new(bundle), &settings, revision).unwrap_or_else(|problems| panic!("{problems:#?}")).0
    }
}

/// May a user, whose link is for the farm of his number, view a device?
pub(crate) fn question(user: usize, device: usize, mfa: bool) -> AccessRequest<'static> {
    let uid = |ty: &str, id: String| Uid::new(ty.to_owned(), id).unwrap();
    let mut request = AccessRequest::new(
        uid("User", format!("u{user}")),
        uid("Action", "view".to_owned()),
        uid("Device", format!("d{device}")),
    );
    request.context = Value::parse(format!(r#"{{"mfa":{mfa}}}"#).as_bytes()).unwrap().into_owned();
    request
}
