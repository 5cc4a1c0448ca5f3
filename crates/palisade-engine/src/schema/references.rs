//! The names of types and actions that a schema refers to without declaring them, and where they stand in its texts.
//!
//! Cedar lists such names, with a place for the first alone, and in the JSON form for none.

use std::collections::HashSet;

use cedar_policy_core::ast::Name;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::Loc;
use cedar_policy_core::validator::RawName;
use cedar_policy_core::validator::json_schema::{EntityTypeKind, Fragment, NamespaceDefinition, Type, TypeVariant};

use crate::misfit::{Misfit, Step};
use crate::model::json::without_byte_order_mark;

/// The types that every schema has, and how other languages call them.
pub(super) const BUILT_IN: [(&str, &[&str]); 7] = [
    ("String", &["str", "text", "varchar", "char"]),
    ("Bool", &["boolean"]),
    ("Long", &["int", "integer", "number", "i64", "int64", "bigint"]),
    ("ipaddr", &["ip", "inet", "ipaddress"]),
    ("decimal", &["float", "double", "real", "numeric"]),
    ("datetime", &["date", "time", "timestamp", "instant"]),
    ("duration", &["interval", "timedelta"]),
];

/// Whether every schema has the type. The JSON form calls one `Boolean`.
fn is_built_in(name: &str) -> bool {
    let name = name.trim_start_matches("__cedar::");
    name == "Boolean" || BUILT_IN.iter().any(|(own, _)| *own == name)
}

/// What the texts of a schema declare, and refer to without declaring it.
pub(super) struct Names {
    /// Common and entity types, without their namespaces.
    pub(super) types: Vec<String>,
    /// Actions, as Cedar writes them.
    pub(super) actions: Vec<String>,
    /// In the order of the texts. Of several with the same meaning the first.
    pub(super) unresolved: Vec<Reference>,
}

/// What a name may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Common,
    Entity,
    Either,
    Action,
}

/// A name that refers to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    /// As it is written; of an action, as Cedar writes it.
    pub(super) written: String,
    /// What it could have been, with namespaces.
    pub(super) meanings: Vec<String>,
    /// The number of its text.
    pub(super) text: usize,
    /// The byte in that text, where Cedar says it.
    loc: Option<usize>,
    /// The way to it in a text in the JSON form.
    place: Vec<Step>,
    /// The only thing that is declared under this name in another namespace.
    pub(super) elsewhere: Option<String>,
}

impl Reference {
    /// Where it stands in its text, which is without a byte order mark.
    pub(super) fn at(&self, text: &str) -> Option<usize> {
        self.loc.or_else(|| offset(text, self.place.clone()))
    }
}

/// Where a text in the JSON form has what `place` leads to, or what is nearest above it.
fn offset(text: &str, place: Vec<Step>) -> Option<usize> {
    let written = text.trim_ascii_start();
    let at = Misfit { message: String::new(), place, is_missing: false }.offset(written)?;
    Some(at + text.len() - written.len())
}

/// Where the shape or context stands that a message of Cedar is about: the file, its text and the byte.
pub(super) fn of_shape<'t>(texts: &'t [(String, String)], message: &str) -> Option<(&'t str, &'t str, usize)> {
    let (about, _) = message.split_once(" is declared ")?;
    let way: Vec<&str> = if let Some(name) = about.strip_prefix("Shape for entity type ") {
        let (namespace, name) = name.rsplit_once("::").unwrap_or(("", name));
        vec![namespace, "entityTypes", name, "shape"]
    } else {
        let action = about.strip_prefix("Context for action ")?;
        let (name, id) = action.split_once("::\"")?;
        let namespace = name.rsplit_once("::").map_or("", |(namespace, _)| namespace);
        vec![namespace, "actions", id.strip_suffix('"')?, "appliesTo", "context"]
    };
    texts.iter().find_map(|(origin, text)| {
        let text = without_byte_order_mark(text);
        let has = serde_json::from_str::<serde_json::Value>(text).ok()?;
        way.iter().try_fold(&has, |here, member| here.get(*member))?;
        let place = way.iter().map(|member| Step::Member((*member).to_owned())).collect();
        Some((origin.as_str(), text, offset(text, place)?))
    })
}

/// The names in the texts of a schema.
pub(super) fn read(texts: &[(String, String)]) -> Names {
    let mut all = All::default();
    for (number, (_, text)) in texts.iter().enumerate() {
        let text = without_byte_order_mark(text);
        let is_json = text.trim_start().starts_with('{');
        let fragment = if is_json {
            Fragment::<RawName>::from_json_str(text).ok()
        } else {
            Fragment::<RawName>::from_cedarschema_str(text, Extensions::all_available()).ok().map(|(read, _)| read)
        };
        let Some(fragment) = fragment else { continue };
        for (namespace, declared) in &fragment.0 {
            let root = namespace.as_ref().map(ToString::to_string).unwrap_or_default();
            let mut walk =
                Walk { all: &mut all, namespace: namespace.as_ref(), number, is_json, path: vec![Step::Member(root)] };
            walk.namespace(declared);
        }
    }
    let All { common, entity, action, references } = all;
    let declared = |kind: Kind| -> Vec<&HashSet<String>> {
        match kind {
            Kind::Common => vec![&common],
            Kind::Entity => vec![&entity],
            Kind::Either => vec![&common, &entity],
            Kind::Action => vec![&action],
        }
    };
    let mut seen = HashSet::new();
    let mut unresolved = Vec::new();
    for mut reference in references {
        let declared = declared(reference.kind);
        let is_declared = |name: &str| {
            (reference.kind != Kind::Entity && is_built_in(name)) || declared.iter().any(|names| names.contains(name))
        };
        if reference.meanings.iter().any(|name| is_declared(name)) || !seen.insert(reference.meanings.clone()) {
            continue;
        }
        let own = base(&reference.written);
        let mut elsewhere = declared.into_iter().flatten().filter(|name| base(name) == own);
        reference.elsewhere = elsewhere.next().filter(|_| elsewhere.next().is_none()).cloned();
        unresolved.push(reference);
    }
    let types = common.iter().chain(&entity).map(|name| base(name).to_owned()).collect();
    Names { types, actions: action.into_iter().collect(), unresolved }
}

/// A name without its namespace; of an action, from `Action` on.
pub(super) fn base(name: &str) -> &str {
    let (names, id) = name.find('"').map_or((name, ""), |quote| name.split_at(quote));
    let names = names.trim_end_matches("::");
    let last = names.rsplit("::").next().unwrap_or(names);
    if id.is_empty() { last } else { name.get(names.len() - last.len()..).unwrap_or(name) }
}

#[derive(Default)]
struct All {
    common: HashSet<String>,
    entity: HashSet<String>,
    action: HashSet<String>,
    references: Vec<Reference>,
}

struct Walk<'w> {
    all: &'w mut All,
    namespace: Option<&'w Name>,
    number: usize,
    is_json: bool,
    path: Vec<Step>,
}

impl Walk<'_> {
    fn namespace(&mut self, declared: &NamespaceDefinition<RawName>) {
        for (name, common) in &declared.common_types {
            let name = name.as_ref().to_string();
            let whole = self.whole(&name);
            self.all.common.insert(whole);
            self.within(&["commonTypes", &name], |walk| walk.ty(&common.ty));
        }
        for (name, entity) in &declared.entity_types {
            let name = name.to_string();
            let whole = self.whole(&name);
            self.all.entity.insert(whole);
            let EntityTypeKind::Standard(standard) = &entity.kind else { continue };
            self.within(&["entityTypes", &name], |walk| {
                walk.types("memberOfTypes", &standard.member_of_types);
                walk.within(&["shape"], |walk| walk.ty(&standard.shape.0));
                if let Some(tags) = &standard.tags {
                    walk.within(&["tags"], |walk| walk.ty(tags));
                }
            });
        }
        for (name, action) in &declared.actions {
            let whole = self.whole(&format!("Action::\"{}\"", name.escape_debug()));
            self.all.action.insert(whole);
            self.within(&["actions", name], |walk| {
                for (i, parent) in action.member_of.iter().flatten().enumerate() {
                    let path = [Step::Member("memberOf".to_owned()), Step::Element(i), Step::Member("id".to_owned())];
                    let loc = parent.ty.as_ref().and_then(RawName::loc);
                    walk.add(Kind::Action, parent.to_string(), parent.ty.as_ref(), loc, &path);
                }
                let Some(applies_to) = &action.applies_to else { return };
                walk.within(&["appliesTo"], |walk| {
                    walk.types("principalTypes", &applies_to.principal_types);
                    walk.types("resourceTypes", &applies_to.resource_types);
                    walk.within(&["context"], |walk| walk.ty(&applies_to.context.0));
                });
            });
        }
    }

    fn types(&mut self, member: &str, types: &[RawName]) {
        for (i, name) in types.iter().enumerate() {
            let path = [Step::Member(member.to_owned()), Step::Element(i)];
            self.add(Kind::Entity, name.to_string(), Some(name), name.loc(), &path);
        }
    }

    /// Recurses with the nesting of the schema, which is bounded.
    fn ty(&mut self, ty: &Type<RawName>) {
        let mut add = |kind: Kind, name: &RawName, member: &str| {
            self.add(kind, name.to_string(), Some(name), name.loc(), &[Step::Member(member.to_owned())]);
        };
        match ty {
            Type::CommonTypeRef { type_name, .. } => add(Kind::Common, type_name, "type"),
            Type::Type { ty: TypeVariant::Entity { name }, .. } => add(Kind::Entity, name, "name"),
            Type::Type { ty: TypeVariant::EntityOrCommon { type_name }, .. } => add(Kind::Either, type_name, "name"),
            Type::Type { ty: TypeVariant::Set { element }, .. } => self.within(&["element"], |walk| walk.ty(element)),
            Type::Type { ty: TypeVariant::Record(record), .. } => {
                for (name, attribute) in &record.attributes {
                    self.within(&["attributes", name], |walk| walk.ty(&attribute.ty));
                }
            }
            Type::Type { .. } => {}
        }
    }

    fn within(&mut self, members: &[&str], walk: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path.extend(members.iter().map(|member| Step::Member((*member).to_owned())));
        walk(self);
        self.path.truncate(before);
    }

    fn whole(&self, name: &str) -> String {
        self.namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}::{name}"))
    }

    fn add(&mut self, kind: Kind, written: String, name: Option<&RawName>, loc: Option<&Loc>, path: &[Step]) {
        let is_qualified = name.is_some_and(|name| name.to_string().contains("::"));
        let mut meanings = vec![written.clone()];
        if !is_qualified && self.namespace.is_some() {
            meanings.insert(0, self.whole(&written));
        }
        let place = self.path.iter().chain(path).cloned().collect();
        // in the JSON form a name is parsed alone, and its place is one within the name
        let loc = loc.filter(|_| !self.is_json).map(|loc| loc.span.offset());
        self.all.references.push(Reference { kind, written, meanings, text: self.number, loc, place, elsewhere: None });
    }
}
