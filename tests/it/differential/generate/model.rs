//! Entity types, actions and their attributes, and the schema that says so.

use palisade_engine::model::Uid;

use super::choices::Choices;
use super::words;

/// A type of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    Text,
    /// `ipaddr`
    Ip,
    /// `decimal`
    Decimal,
    /// `datetime`
    Datetime,
    /// `duration`
    Duration,
    /// An entity of the type with this number.
    Entity(usize),
    /// A set.
    Set(Box<Ty>),
    /// A record.
    Record(Vec<Attr>),
}

/// An attribute, or a member of a record or context.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attr {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Ty,
    /// Whether it must be there.
    pub required: bool,
    /// The common type that it is declared by, if it is.
    pub common: Option<String>,
}

/// An entity type.
#[derive(Debug, Clone)]
pub(crate) struct EntityType {
    /// The qualified name.
    pub name: String,
    /// The number of its namespace.
    pub namespace: usize,
    /// Its attributes.
    pub attrs: Vec<Attr>,
    /// The type of its tags, if it has tags.
    pub tags: Option<Ty>,
    /// The types that its parents may have.
    pub above: Vec<usize>,
    /// The ids of an `enum`.
    pub choices: Option<Vec<String>>,
}

/// An action.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// Its uid.
    pub uid: Uid<'static>,
    /// The number of its namespace.
    pub namespace: usize,
    /// Its groups: actions that stand before it.
    pub groups: Vec<usize>,
    /// The types of principals and resources.
    pub applies: Option<(Vec<usize>, Vec<usize>)>,
    /// What its context has.
    pub context: Vec<Attr>,
}

/// What a world is about.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Whether a schema declares it; otherwise it is but a habit that values often keep.
    pub declared: bool,
    /// Namespaces in use.
    pub namespaces: Vec<&'static str>,
    /// Entity types.
    pub types: Vec<EntityType>,
    /// Actions.
    pub actions: Vec<Action>,
    /// Common types by name and namespace.
    pub commons: Vec<(String, usize, Ty)>,
}

/// A uid of which the type is known to be a name.
pub(crate) fn uid(type_name: impl AsRef<str>, id: impl AsRef<str>) -> Uid<'static> {
    Uid { type_name: type_name.as_ref().to_owned().into(), id: id.as_ref().to_owned().into() }
}

fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

impl Model {
    /// Draws a model.
    pub(crate) fn generate(c: &mut Choices) -> Self {
        let declared = !c.chance(35);
        let mut namespaces = vec![*c.pick(words::NAMESPACES)];
        while c.chance(30) && namespaces.len() < 3 {
            let further = *c.pick(words::NAMESPACES);
            if !namespaces.contains(&further) {
                namespaces.push(further);
            }
        }
        let mut model = Self { declared, namespaces, types: Vec::new(), actions: Vec::new(), commons: Vec::new() };
        let count = 2 + c.below(5);
        let first = c.below(words::TYPES.len());
        for i in 0..count {
            let name = words::TYPES[(first + i) % words::TYPES.len()];
            let namespace = c.below(model.namespaces.len());
            let choices = c.chance(12).then(|| {
                let start = c.below(words::TEXTS.len());
                (0..1 + c.below(3)).map(|i| words::TEXTS[(start + i) % words::TEXTS.len()].to_owned()).collect()
            });
            model.types.push(EntityType {
                name: qualified(model.namespaces[namespace], name),
                namespace,
                attrs: Vec::new(),
                tags: None,
                above: Vec::new(),
                // at least one type must be able to have attributes
                choices: if i == 0 { None } else { choices },
            });
        }
        for i in 0..c.below(3) {
            let namespace = c.below(model.namespaces.len());
            let ty = if c.chance(60) { Ty::Record(model.attributes(c, 1)) } else { model.ty(c, 2) };
            model.commons.push((format!("Common{i}"), namespace, ty));
        }
        for i in 0..count {
            if model.types[i].choices.is_some() {
                continue;
            }
            model.types[i].attrs = model.attributes(c, 3);
            if c.chance(50) {
                let tags = model.ty(c, 1);
                model.types[i].tags = Some(tags);
            }
            for _ in 0..c.below(4) {
                let above = if c.chance(40) { i } else { c.below(count) };
                if !model.types[i].above.contains(&above) {
                    model.types[i].above.push(above);
                }
            }
        }
        model.draw_actions(c);
        model
    }

    fn draw_actions(&mut self, c: &mut Choices) {
        let first = c.below(words::ACTIONS.len());
        for i in 0..1 + c.below(5) {
            let namespace = c.below(self.namespaces.len());
            let type_name = qualified(self.namespaces[namespace], "Action");
            let mut groups = Vec::new();
            while i > 0 && groups.len() < 3 && c.chance(45) {
                let group = c.below(i);
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            let some = |c: &mut Choices| {
                let mut types: Vec<usize> = (0..1 + c.below(3)).map(|_| c.below(self.types.len())).collect();
                types.sort_unstable();
                types.dedup();
                types
            };
            let applies = (i == 0 || !c.chance(15)).then(|| (some(c), some(c)));
            let mut context = self.attributes(c, 2);
            if c.chance(45) {
                context.push(Attr { name: "now".to_owned(), ty: Ty::Datetime, required: c.chance(50), common: None });
            }
            let id = words::ACTIONS[(first + i) % words::ACTIONS.len()];
            self.actions.push(Action { uid: uid(&type_name, id), namespace, groups, applies, context });
        }
    }

    fn attributes(&self, c: &mut Choices, depth: usize) -> Vec<Attr> {
        let mut attrs: Vec<Attr> = Vec::new();
        // now and then more than fit a linear search
        let count = if c.chance(3) { 14 } else { c.below(6) };
        let first = c.below(words::ATTRIBUTES.len());
        for i in 0..count {
            let name = words::ATTRIBUTES[(first + i) % words::ATTRIBUTES.len()].to_owned();
            let required = c.chance(55);
            let (ty, common) = match c.any(&self.commons).cloned() {
                Some((name, namespace, ty)) if c.chance(20) => (ty, Some(qualified(self.namespaces[namespace], &name))),
                _ => (self.ty(c, depth), None),
            };
            attrs.push(Attr { name, ty, required, common });
        }
        attrs
    }

    /// Draws a type.
    pub(crate) fn ty(&self, c: &mut Choices, depth: usize) -> Ty {
        let deep = if depth == 0 { 0 } else { 3 };
        match c.weighted(&[3, 4, 4, 1, 1, 1, 1, 4, deep + 2, deep]) {
            0 => Ty::Bool,
            1 => Ty::Long,
            2 => Ty::Text,
            3 => Ty::Ip,
            4 => Ty::Decimal,
            5 => Ty::Datetime,
            6 => Ty::Duration,
            8 if depth > 0 => Ty::Set(Box::new(self.ty(c, depth - 1))),
            9 => Ty::Record(self.attributes(c, depth - 1)),
            _ => Ty::Entity(c.below(self.types.len())),
        }
    }

    /// The schema as fragments in Cedar's syntax.
    pub(crate) fn schema(&self, c: &mut Choices) -> Vec<(String, String)> {
        let mut fragments: Vec<(String, String)> = Vec::new();
        for (number, namespace) in self.namespaces.iter().enumerate() {
            let mut text = String::new();
            for (name, _, ty) in self.commons.iter().filter(|(_, namespace, _)| *namespace == number) {
                text.push_str(&format!("type {name} = {};\n", self.show(ty, c)));
            }
            for ty in self.types.iter().filter(|ty| ty.namespace == number) {
                let name = ty.name.rsplit("::").next().unwrap_or_default();
                if let Some(choices) = &ty.choices {
                    let ids: Vec<String> = choices.iter().map(|id| words::quoted(id, c)).collect();
                    text.push_str(&format!("entity {name} enum [{}];\n", ids.join(", ")));
                    continue;
                }
                text.push_str(&format!("entity {name}"));
                if !ty.above.is_empty() {
                    let above: Vec<&str> = ty.above.iter().map(|i| self.types[*i].name.as_str()).collect();
                    text.push_str(&format!(" in [{}]", above.join(", ")));
                }
                text.push_str(&format!(" {}", self.show_members(&ty.attrs, c)));
                if let Some(tags) = &ty.tags {
                    text.push_str(&format!(" tags {}", self.show(tags, c)));
                }
                text.push_str(";\n");
            }
            for action in self.actions.iter().filter(|action| action.namespace == number) {
                text.push_str(&format!("action {}", words::quoted(&action.uid.id, c)));
                if !action.groups.is_empty() {
                    let groups: Vec<String> = action
                        .groups
                        .iter()
                        .map(|i| &self.actions[*i].uid)
                        .map(|group| format!("{}::{}", group.type_name, words::quoted(&group.id, c)))
                        .collect();
                    text.push_str(&format!(" in [{}]", groups.join(", ")));
                }
                if let Some((principals, resources)) = &action.applies {
                    let names = |types: &[usize]| -> String {
                        types.iter().map(|i| self.types[*i].name.as_str()).collect::<Vec<_>>().join(", ")
                    };
                    text.push_str(&format!(
                        " appliesTo {{ principal: [{}], resource: [{}], context: {} }}",
                        names(principals),
                        names(resources),
                        self.show_members(&action.context, c)
                    ));
                }
                text.push_str(";\n");
            }
            let text = if namespace.is_empty() { text } else { format!("namespace {namespace} {{\n{text}}}\n") };
            match fragments.last_mut() {
                Some((_, last)) if c.chance(70) => last.push_str(&text),
                _ => fragments.push((format!("schema{number}"), text)),
            }
        }
        fragments
    }

    fn show_members(&self, attrs: &[Attr], c: &mut Choices) -> String {
        let members: Vec<String> = attrs
            .iter()
            .map(|attr| {
                let name =
                    if words::is_identifier(&attr.name) { attr.name.clone() } else { words::quoted(&attr.name, c) };
                let ty = attr.common.clone().unwrap_or_else(|| self.show(&attr.ty, c));
                format!("{name}{}: {ty}", if attr.required { "" } else { "?" })
            })
            .collect();
        format!("{{{}}}", members.join(", "))
    }

    fn show(&self, ty: &Ty, c: &mut Choices) -> String {
        match ty {
            Ty::Bool => "Bool".to_owned(),
            Ty::Long => "Long".to_owned(),
            Ty::Text => "String".to_owned(),
            Ty::Ip => "ipaddr".to_owned(),
            Ty::Decimal => "decimal".to_owned(),
            Ty::Datetime => "datetime".to_owned(),
            Ty::Duration => "duration".to_owned(),
            Ty::Entity(i) => self.types[*i].name.clone(),
            Ty::Set(element) => format!("Set<{}>", self.show(element, c)),
            Ty::Record(members) => self.show_members(members, c),
        }
    }
}
