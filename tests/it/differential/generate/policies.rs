//! Policies, templates and links, with every form of scope.

use palisade_engine::model::{Link, PolicyNaming, PolicyText, Uid};

use super::choices::Choices;
use super::entities::Population;
use super::expressions::{Theme, Writer};
use super::features::{Feature, Features};
use super::words::quoted;

/// A constraint on the principal or the resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scope {
    /// None.
    Any,
    /// `==`
    Is(Uid<'static>),
    /// `in`
    In(Uid<'static>),
    /// `is`
    Type(String),
    /// `is .. in`
    TypeIn(String, Uid<'static>),
}

/// A constraint on the action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ActionScope {
    /// None.
    Any,
    /// `==`
    Is(Uid<'static>),
    /// `in`
    In(Vec<Uid<'static>>),
}

/// One policy that can decide, as it was generated.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Its id in decisions.
    pub id: String,
    /// Whether it forbids.
    pub forbids: bool,
    /// What it is made of.
    pub features: Features,
    /// What it is about.
    pub theme: Theme,
    /// On the principal.
    pub principal: Scope,
    /// On the action.
    pub action: ActionScope,
    /// On the resource.
    pub resource: Scope,
}

/// What policies to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Conditions {
    /// Any.
    Any,
    /// None, or one that always fails.
    Fixed,
}

/// The policies of a world.
#[derive(Debug, Default)]
pub(crate) struct PolicySet {
    /// As the bundle has them.
    pub texts: Vec<PolicyText>,
    /// Links of its templates, as the bundle has them.
    pub links: Vec<Link>,
    /// The same links, each naming its template by the policy id.
    pub links_by_id: Vec<Link>,
    /// Those that can decide.
    pub policies: Vec<Policy>,
    /// Every policy and template alone, with its id.
    pub statements: Vec<(String, String)>,
}

/// A scope with what stands for its entity: a uid or a slot.
struct Drawn {
    text: String,
    scope: Scope,
    slot: bool,
}

impl PolicySet {
    /// Draws `count` policies and templates.
    pub(crate) fn generate(c: &mut Choices, people: &Population<'_>, count: usize, conditions: Conditions) -> Self {
        let mut set = Self::default();
        let naming = c.below(3);
        let mut text = String::new();
        for n in 0..count {
            let (id, naming_one) = match naming {
                0 => (format!("policy{n}"), None),
                1 => (format!("dir/file.{n}"), None),
                _ => {
                    let id = format!("{}{n}", ["p", "\u{fc}", "a \"b\" ", "Z"][c.below(4)]);
                    (id.clone(), Some(PolicyNaming::Exactly(id)))
                }
            };
            let annotated = naming == 1 && c.chance(30);
            let id = if annotated { format!("named-{n}") } else { id };
            let mut one = String::new();
            // what has a number for its id can be linked by its `@id` too, which may be the number
            let alias = match naming == 0 && c.chance(40) {
                true if c.chance(10) => Some(id.clone()),
                true => Some(format!("{}{n}", ["named-", "policy 1", "\u{fc}"][c.below(3)])),
                false => None,
            };
            if let Some(annotation) = if annotated { Some(&id) } else { alias.as_ref() } {
                one.push_str(&format!("@id({})\n", quoted(annotation, c)));
            }
            if c.chance(5) {
                one.push_str("@note(\"nothing\")\n");
            }
            one.push_str(&set.policy(c, people, (&id, alias.as_deref()), conditions));
            set.statements.push((id, one.clone()));
            match naming_one {
                Some(naming) => set.texts.push(PolicyText { origin: format!("policies.{n}"), text: one, naming }),
                None => {
                    text.push_str(&one);
                    text.push('\n');
                }
            }
        }
        if naming < 2 {
            let naming = if naming == 0 { PolicyNaming::Ordinal } else { PolicyNaming::Stem("dir/file".to_owned()) };
            set.texts.push(PolicyText { origin: "policies".to_owned(), text, naming });
        }
        set
    }

    fn policy(
        &mut self,
        c: &mut Choices,
        people: &Population<'_>,
        (id, alias): (&str, Option<&str>),
        conditions: Conditions,
    ) -> String {
        let theme = draw_theme(c, people);
        let forbids = c.chance(25);
        let template = c.chance(18);
        let principal = scope(c, people, "principal", theme.principal, template);
        let both = c.chance(50);
        let resource = scope(c, people, "resource", theme.resource, template && (!principal.slot || both));
        let (action_text, action, action_feature) = action_scope(c, people, theme.action);

        let wild = [0, 0, 3, 12][c.below(4)];
        let mut features = Features::default();
        let mut text = String::new();
        match conditions {
            Conditions::Any => {
                let count = c.weighted(&[15, 70, 15]);
                if count == 0 {
                    features.add(Feature::NoCondition);
                }
                for _ in 0..count {
                    let unless = c.chance(20);
                    features.add(if unless { Feature::Unless } else { Feature::When });
                    let mut writer = Writer::new(c, people, theme, wild);
                    let condition = writer.condition();
                    features.join(writer.used);
                    text.push_str(&format!("\n{} {{ {condition} }}", if unless { "unless" } else { "when" }));
                }
            }
            Conditions::Fixed if c.chance(25) => text.push_str("\nwhen { 1 < \"a\" }"),
            Conditions::Fixed => features.add(Feature::NoCondition),
        }
        features.add(if forbids { Feature::Forbid } else { Feature::Permit });
        features.add(action_feature);
        let effect = if forbids { "forbid" } else { "permit" };
        let statement = format!("{effect} ({}, {action_text}, {}){text};", principal.text, resource.text);

        let mut add = |id: String, slots: [Option<Uid<'static>>; 2], mut features: Features| {
            let fill = |drawn: &Drawn, slot: &Option<Uid<'static>>| match (&drawn.scope, slot) {
                (Scope::Is(_), Some(uid)) => Scope::Is(uid.clone()),
                (Scope::In(_), Some(uid)) => Scope::In(uid.clone()),
                (Scope::TypeIn(ty, _), Some(uid)) => Scope::TypeIn(ty.clone(), uid.clone()),
                (scope, _) => scope.clone(),
            };
            let (principal, resource) = (fill(&principal, &slots[0]), fill(&resource, &slots[1]));
            features.add(match &principal {
                Scope::Any => Feature::PrincipalAny,
                Scope::Is(_) => Feature::PrincipalEq,
                Scope::In(_) => Feature::PrincipalIn,
                Scope::Type(_) => Feature::PrincipalIs,
                Scope::TypeIn(..) => Feature::PrincipalIsIn,
            });
            features.add(match &resource {
                Scope::Any => Feature::ResourceAny,
                Scope::Is(_) => Feature::ResourceEq,
                Scope::In(_) => Feature::ResourceIn,
                Scope::Type(_) => Feature::ResourceIs,
                Scope::TypeIn(..) => Feature::ResourceIsIn,
            });
            self.policies.push(Policy { id, forbids, features, theme, principal, action: action.clone(), resource });
        };
        if principal.slot || resource.slot {
            features.add(Feature::Template);
            let links = c.weighted(&[10, 50, 30, 10]);
            for n in 0..links {
                let link_id = format!("{}{id}-{n}", ["link-", "A", "\u{1f600}"][c.below(3)]);
                let mut slots = [None, None];
                let mut args = Vec::new();
                for (place, drawn, slot, ty) in
                    [(0, &principal, "?principal", theme.principal), (1, &resource, "?resource", theme.resource)]
                {
                    if drawn.slot {
                        let uid = scope_uid(c, people, ty, matches!(drawn.scope, Scope::Is(_)));
                        args.push((slot.to_owned(), format!("{}::{}", uid.type_name, quoted(&uid.id, c))));
                        slots[place] = Some(uid);
                    }
                }
                let mut link = Link { template_id: id.to_owned(), link_id: link_id.clone(), args, written: None };
                self.links_by_id.push(link.clone());
                let mut features = features;
                if let Some(alias) = alias
                    && c.chance(70)
                {
                    features.add(Feature::LinkedByName);
                    link.template_id = alias.to_owned();
                }
                self.links.push(link);
                add(link_id, slots, features);
            }
        } else {
            add(id.to_owned(), [None, None], features);
        }
        statement
    }
}

fn draw_theme(c: &mut Choices, people: &Population<'_>) -> Theme {
    let model = people.model;
    let action = c.below(model.actions.len());
    match &model.actions[action].applies {
        Some((principals, resources)) => Theme { action, principal: *c.pick(principals), resource: *c.pick(resources) },
        None => {
            let (principal, resource) = (c.below(model.types.len()), c.below(model.types.len()));
            Theme { action, principal, resource }
        }
    }
}

/// An entity to compare with: one of the type, or for `in` something that may be above one.
fn scope_uid(c: &mut Choices, people: &Population<'_>, ty: usize, same: bool) -> Uid<'static> {
    let above = &people.model.types[ty].above;
    match c.any(above).copied() {
        Some(above) if !same && c.chance(75) => people.uid_of_type(c, above),
        _ if !same && !people.model.declared && c.chance(60) => people.any_uid(c),
        _ if c.chance(4) => people.any_uid(c),
        _ => people.uid_of_type(c, ty),
    }
}

fn scope(c: &mut Choices, people: &Population<'_>, variable: &str, ty: usize, slot: bool) -> Drawn {
    let name = if c.chance(90) { &people.model.types[ty].name } else { &c.pick(&people.model.types).name };
    let form = if slot { [1, 2, 4][c.below(3)] } else { c.weighted(&[40, 12, 25, 13, 10]) };
    let uid = scope_uid(c, people, ty, form == 1);
    let entity = if slot { format!("?{variable}") } else { format!("{}::{}", uid.type_name, quoted(&uid.id, c)) };
    let (text, scope) = match form {
        0 => (variable.to_owned(), Scope::Any),
        1 => (format!("{variable} == {entity}"), Scope::Is(uid)),
        2 => (format!("{variable} in {entity}"), Scope::In(uid)),
        3 => (format!("{variable} is {name}"), Scope::Type(name.clone())),
        _ => (format!("{variable} is {name} in {entity}"), Scope::TypeIn(name.clone(), uid)),
    };
    Drawn { text, scope, slot }
}

fn action_scope(c: &mut Choices, people: &Population<'_>, theme: usize) -> (String, ActionScope, Feature) {
    let actions = &people.model.actions;
    let show = |c: &mut Choices, uid: &Uid<'_>| format!("{}::{}", uid.type_name, quoted(&uid.id, c));
    // the action itself, or a group that it may be in
    let near = |c: &mut Choices| match c.any(&actions[theme].groups) {
        Some(group) if c.chance(50) => actions[*group].uid.clone(),
        _ if c.chance(15) => c.pick(actions).uid.clone(),
        _ => actions[theme].uid.clone(),
    };
    match c.weighted(&[35, 20, 20, 22, 3]) {
        0 => ("action".to_owned(), ActionScope::Any, Feature::ActionAny),
        1 => {
            let uid = actions[theme].uid.clone();
            (format!("action == {}", show(c, &uid)), ActionScope::Is(uid), Feature::ActionEq)
        }
        2 => {
            let uid = near(c);
            (format!("action in {}", show(c, &uid)), ActionScope::In(vec![uid]), Feature::ActionIn)
        }
        3 => {
            let uids: Vec<Uid<'static>> = (0..1 + c.below(4)).map(|_| near(c)).collect();
            let texts: Vec<String> = uids.iter().map(|uid| show(c, uid)).collect();
            (format!("action in [{}]", texts.join(", ")), ActionScope::In(uids), Feature::ActionInList)
        }
        _ => ("action in []".to_owned(), ActionScope::In(Vec::new()), Feature::ActionInNone),
    }
}
