//! The names of types and actions that a schema refers to without declaring them, and where they stand in its texts.
//!
//! Cedar lists such names, with a place for the first alone, and in the JSON form for none.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::Loc;
use cedar_policy_core::validator::RawName;
use cedar_policy_core::validator::json_schema::{EntityTypeKind, Fragment, NamespaceDefinition, Type, TypeVariant};

use crate::model::way::{self, Step};
use crate::schema::readable::Readable;
use crate::schema::{faults, members};

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

/// Whether every schema has the type.
pub(super) fn is_built_in(name: &str) -> bool {
    let name = name.trim_start_matches("__cedar::");
    BUILT_IN.iter().any(|(own, _)| *own == name)
}

/// What the texts of a schema declare, and refer to without declaring it.
pub(super) struct Names {
    common: HashMap<String, Spot>,
    entity: HashMap<String, Spot>,
    action: HashMap<String, Spot>,
    /// Names that stand for second declarations, which no one wrote.
    renamed: HashSet<String>,
    /// What two texts declare, with both places.
    pub(super) twice: Vec<(String, Spot, Spot)>,
    /// What common types and actions name.
    pub(super) uses: Vec<Use>,
    /// What common types are.
    pub(super) bodies: HashMap<String, Body>,
    /// What the attributes of entities and the contexts of actions are, where they are not written out as a record.
    pub(super) shapes: Vec<Shape>,
    /// In the order of the texts, each as often as it is written.
    pub(super) unresolved: Vec<Reference>,
}

impl Names {
    /// What a name of the kind may refer to, with namespaces, sorted; actions as Cedar writes them.
    pub(super) fn of(&self, kind: Kind) -> Vec<&str> {
        let all: Vec<&HashMap<String, Spot>> = match kind {
            Kind::Common => vec![&self.common],
            Kind::Entity => vec![&self.entity],
            Kind::Either => vec![&self.common, &self.entity],
            Kind::Action => vec![&self.action],
        };
        let mut names: Vec<&str> = all.into_iter().flat_map(HashMap::keys).map(String::as_str).collect();
        names.retain(|name| !self.renamed.contains(base(name)));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where something is declared, unless it stands for what no one wrote.
    pub(super) fn spot(&self, kind: Kind, name: &str) -> Option<&Spot> {
        let spot = match kind {
            Kind::Common => self.common.get(name),
            Kind::Entity => self.entity.get(name),
            Kind::Either => self.common.get(name).or_else(|| self.entity.get(name)),
            Kind::Action => self.action.get(name),
        };
        spot.filter(|_| !self.renamed.contains(base(name)))
    }

    /// What a name refers to that could be several things: the first that is declared.
    pub(super) fn meant<'m>(&self, kind: Kind, meanings: &'m [String]) -> Option<(Kind, &'m str)> {
        let kinds: &[Kind] = if kind == Kind::Either { &[Kind::Common, Kind::Entity] } else { &[kind] };
        let mut all = meanings.iter().flat_map(|name| kinds.iter().map(move |kind| (*kind, name.as_str())));
        all.find(|(kind, name)| match kind {
            Kind::Common => self.common.contains_key(*name),
            Kind::Action => self.action.contains_key(*name),
            Kind::Entity | Kind::Either => self.entity.contains_key(*name),
        })
    }
}

/// Something that a common type or an action names.
#[derive(Debug)]
pub(super) struct Use {
    /// What names it: a common type or an action.
    pub(super) owner: (Kind, String),
    pub(super) kind: Kind,
    /// What is named, as it could be meant.
    pub(super) meanings: Vec<String>,
}

/// What a type is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Record,
    /// Another type, as it could be meant.
    Named(Kind, Vec<String>),
    /// Nothing with members: what it is called.
    Other(String),
}

/// What stands where the members of an entity or a context should.
#[derive(Debug)]
pub(super) struct Shape {
    /// Whose members.
    pub(super) what: String,
    pub(super) body: Body,
    pub(super) spot: Spot,
}

/// Where something stands in the texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    /// The number of its text.
    pub(super) text: usize,
    /// The byte in that text, where Cedar says it.
    loc: Option<usize>,
    /// The way to it in a text in the JSON form.
    place: Vec<Step>,
    /// The byte behind which it stands, where Cedar says no more.
    behind: Option<usize>,
}

impl Spot {
    /// Where `name` stands in its text, which is without a byte order mark.
    pub(super) fn of(&self, name: &str, text: &str) -> Option<usize> {
        let named = |from: usize| Some(from + faults::find(text.get(from..)?, name)?);
        self.at(text).or_else(|| self.behind.and_then(named))
    }

    /// Where it stands in its text, which is without a byte order mark.
    pub(super) fn at(&self, text: &str) -> Option<usize> {
        self.loc.or_else(|| offset(text, &self.place))
    }
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
    /// Where it stands.
    pub(super) spot: Spot,
    /// The only thing that is declared under this name in another namespace.
    pub(super) elsewhere: Option<String>,
}

/// Where a text in the JSON form has what `place` leads to, or what is nearest above it.
pub(super) fn offset(text: &str, place: &[Step]) -> Option<usize> {
    let written = text.trim_ascii_start();
    if !written.starts_with('{') {
        return None;
    }
    let at = way::offset(written, place)?;
    Some(at + text.len() - written.len())
}

/// The names in what can be read of the texts of a schema.
pub(super) fn read(texts: &[Readable]) -> Names {
    let mut all = All::default();
    for (number, readable) in texts.iter().enumerate() {
        let Some(text) = readable.text.as_deref() else { continue };
        let is_json = text.trim_start().starts_with('{');
        let fragment = if is_json {
            Fragment::<RawName>::from_json_str(text).ok()
        } else {
            Fragment::<RawName>::from_cedarschema_str(text, Extensions::all_available()).ok().map(|(read, _)| read)
        };
        let Some(fragment) = fragment else { continue };
        for (namespace, declared) in &fragment.0 {
            let root = namespace.as_ref().map(ToString::to_string).unwrap_or_default();
            let namespace = Some(readable.again.get(&root).unwrap_or(&root).clone()).filter(|name| !name.is_empty());
            let path = vec![Step::Member(root)];
            let mut walk = Walk { all: &mut all, namespace, number, is_json, path, owner: None };
            walk.namespace(declared);
        }
    }
    let All { common, entity, action, twice, references, uses, bodies, shapes } = all;
    let renamed: HashSet<String> = texts.iter().flat_map(|text| text.renamed.iter().cloned()).collect();
    let unresolved = Vec::new();
    let mut names = Names { common, entity, action, renamed, twice, uses, bodies, shapes, unresolved };
    let mut seen = HashSet::new();
    let mut unresolved = Vec::new();
    for mut reference in references {
        let maps: &[&HashMap<String, Spot>] = match reference.kind {
            Kind::Common => &[&names.common],
            Kind::Entity => &[&names.entity],
            Kind::Either => &[&names.common, &names.entity],
            Kind::Action => &[&names.action],
        };
        // the type of actions needs no declaration
        let is_known = |name: &str| {
            (reference.kind != Kind::Entity && is_built_in(name))
                || (reference.kind != Kind::Action && base(name) == "Action")
                || maps.iter().any(|names| names.contains_key(name))
        };
        // several actions that are declared together have their names at one place
        let mut key = (reference.written.clone(), reference.spot.clone());
        if key.1.loc.is_some() || key.1.behind.is_some() {
            key.1.place.clear();
        }
        if reference.meanings.iter().any(|name| is_known(name)) || !seen.insert(key) {
            continue;
        }
        let own = base(&reference.written);
        let mut elsewhere = maps.iter().flat_map(|names| names.keys()).filter(|name| base(name) == own);
        reference.elsewhere = elsewhere.next().filter(|_| elsewhere.next().is_none()).cloned();
        unresolved.push(reference);
    }
    names.unresolved = unresolved;
    names
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
    common: HashMap<String, Spot>,
    entity: HashMap<String, Spot>,
    action: HashMap<String, Spot>,
    twice: Vec<(String, Spot, Spot)>,
    references: Vec<Reference>,
    uses: Vec<Use>,
    bodies: HashMap<String, Body>,
    shapes: Vec<Shape>,
}

struct Walk<'w> {
    all: &'w mut All,
    namespace: Option<String>,
    number: usize,
    is_json: bool,
    path: Vec<Step>,
    /// The common type or action that is walked.
    owner: Option<(Kind, String)>,
}

impl Walk<'_> {
    fn namespace(&mut self, declared: &NamespaceDefinition<RawName>) {
        for (name, common) in &declared.common_types {
            let name = name.as_ref().to_string();
            self.declare(Kind::Common, &name, ["commonTypes", &name], common.loc.as_ref());
            let body = self.body(&common.ty);
            self.all.bodies.insert(self.whole(&name), body);
            self.owner = Some((Kind::Common, self.whole(&name)));
            self.within(&["commonTypes", &name], |walk| walk.ty(&common.ty));
        }
        self.owner = None;
        for (name, entity) in &declared.entity_types {
            let name = name.to_string();
            self.declare(Kind::Entity, &name, ["entityTypes", &name], entity.loc.as_ref());
            let EntityTypeKind::Standard(standard) = &entity.kind else { continue };
            self.within(&["entityTypes", &name], |walk| {
                walk.types("memberOfTypes", &standard.member_of_types);
                let what = format!("the attributes of `{}`", walk.whole(&name));
                walk.within(&["shape"], |walk| {
                    walk.shape(what, &standard.shape.0);
                    walk.ty(&standard.shape.0);
                });
                if let Some(tags) = &standard.tags {
                    walk.within(&["tags"], |walk| walk.ty(tags));
                }
            });
        }
        for (name, action) in &declared.actions {
            let uid = format!("Action::\"{}\"", name.escape_debug());
            self.declare(Kind::Action, &uid, ["actions", name], action.loc.as_ref());
            let what = format!("the context of `{}`", self.whole(&uid));
            self.owner = Some((Kind::Action, self.whole(&uid)));
            self.within(&["actions", name], |walk| {
                let parents = action.member_of.iter().flatten().enumerate();
                for (i, parent) in parents.filter(|(_, parent)| parent.id != members::UNNAMED) {
                    let path = [Step::Member("memberOf".to_owned()), Step::Element(i), Step::Member("id".to_owned())];
                    let loc = parent.ty.as_ref().and_then(RawName::loc);
                    walk.add(Kind::Action, parent.to_string(), parent.ty.as_ref(), loc, &path);
                    let behind = action.loc.as_ref().filter(|_| !walk.is_json).map(|loc| loc.span.offset());
                    if let Some(added) = walk.all.references.last_mut() {
                        added.spot.behind = behind;
                    }
                }
                let Some(applies_to) = &action.applies_to else { return };
                walk.within(&["appliesTo"], |walk| {
                    walk.types("principalTypes", &applies_to.principal_types);
                    walk.types("resourceTypes", &applies_to.resource_types);
                    walk.within(&["context"], |walk| {
                        walk.shape(what, &applies_to.context.0);
                        walk.ty(&applies_to.context.0);
                    });
                });
            });
        }
        self.owner = None;
    }

    /// Notes what stands where a record should.
    fn shape(&mut self, what: String, ty: &Type<RawName>) {
        let body = self.body(ty);
        if !matches!(body, Body::Record) {
            let spot = self.spot(ty.loc(), &[]);
            self.all.shapes.push(Shape { what, body, spot });
        }
    }

    fn body(&self, ty: &Type<RawName>) -> Body {
        let other = |what: &str| Body::Other(what.to_owned());
        match ty {
            Type::CommonTypeRef { type_name, .. } => Body::Named(Kind::Common, self.meanings(type_name)),
            Type::Type { ty, .. } => match ty {
                TypeVariant::Record(_) => Body::Record,
                TypeVariant::EntityOrCommon { type_name } => Body::Named(Kind::Either, self.meanings(type_name)),
                TypeVariant::Entity { name } => Body::Other(format!("an entity of type `{name}`")),
                TypeVariant::Extension { name } => Body::Other(format!("`{name}`")),
                TypeVariant::Set { .. } => other("a set"),
                TypeVariant::String => other("`String`"),
                TypeVariant::Long => other("`Long`"),
                TypeVariant::Boolean => other("`Bool`"),
            },
        }
    }

    /// What a name may refer to, the nearest first.
    fn meanings(&self, name: &RawName) -> Vec<String> {
        let written = name.to_string();
        let own = (!written.contains("::") && self.namespace.is_some()).then(|| self.whole(&written));
        own.into_iter().chain([written]).collect()
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

    /// Notes a declaration, and the places of both where another text has one of that name.
    fn declare(&mut self, kind: Kind, name: &str, path: [&str; 2], loc: Option<&Loc>) {
        let whole = self.whole(name);
        let path = path.map(|step| Step::Member(step.to_owned()));
        let spot = self.spot(loc, &path);
        let names = match kind {
            Kind::Common => &mut self.all.common,
            Kind::Action => &mut self.all.action,
            Kind::Entity | Kind::Either => &mut self.all.entity,
        };
        match names.entry(whole) {
            Entry::Occupied(first) => self.all.twice.push((first.key().clone(), first.get().clone(), spot)),
            Entry::Vacant(place) => drop(place.insert(spot)),
        }
    }

    fn spot(&self, loc: Option<&Loc>, path: &[Step]) -> Spot {
        let place = self.path.iter().chain(path).cloned().collect();
        // in the JSON form a name is parsed alone, and its place is one within the name
        let loc = loc.filter(|_| !self.is_json).map(|loc| loc.span.offset());
        Spot { text: self.number, loc, place, behind: None }
    }

    fn whole(&self, name: &str) -> String {
        self.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}::{name}"))
    }

    fn add(&mut self, kind: Kind, written: String, name: Option<&RawName>, loc: Option<&Loc>, path: &[Step]) {
        let is_qualified = name.is_some_and(|name| name.to_string().contains("::"));
        let mut meanings = vec![written.clone()];
        if !is_qualified && self.namespace.is_some() {
            meanings.insert(0, self.whole(&written));
        }
        if let Some(owner) = self.owner.clone().filter(|(owner, _)| (*owner == Kind::Action) == (kind == Kind::Action))
        {
            self.all.uses.push(Use { owner, kind, meanings: meanings.clone() });
        }
        let spot = self.spot(loc, path);
        self.all.references.push(Reference { kind, written, meanings, spot, elsewhere: None });
    }
}
