//! Actions that documents of entities bring beside a schema: they must be those that the schema declares.
//!
//! Cedar decides whether they are. It names one of them and no place, so where it refuses them each is compared here.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Entities, Entity};
use cedar_policy_core::ast;

use crate::diagnose;
use crate::load::problems::{Place, Problems};
use crate::model::{Diagnostic, Uid};
use crate::schema::SchemaModel;

/// An action of a document, and where it stands.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) action: Entity,
    pub(super) origin: String,
    pub(super) place: Place,
}

/// Adds a problem for each action that is there twice, or is not as the schema declares it.
pub(super) fn check(brought: &[Brought], schema: &SchemaModel, problems: &mut Problems) {
    if brought.is_empty() {
        return;
    }
    let mut first: HashMap<&ast::EntityUID, &Brought> = HashMap::new();
    for one in brought {
        let uid = core(&one.action).uid();
        match first.get(uid) {
            None => {
                first.insert(uid, one);
            }
            Some(before) => {
                let message = format!("entity `{uid}` is there twice; the first is at ");
                problems.push_with(Diagnostic::error(&one.origin, message), one.place, before.place);
            }
        }
    }
    let actions = brought.iter().map(|one| one.action.clone());
    let Err(error) = Entities::from_entities(actions, Some(&schema.cedar)) else { return };
    let before = problems.len();
    if let Ok(declared) = schema.cedar.action_entities() {
        let given = Given { first: &first, declared: &declared, schema };
        for one in
            brought.iter().filter(|one| first.get(core(&one.action).uid()).is_some_and(|it| it.place == one.place))
        {
            if problems.enough() {
                return;
            }
            if let Some((message, help)) = given.fault(core(&one.action)) {
                problems.push(Diagnostic::error(&one.origin, message).help(help), Some(one.place));
            }
        }
    }
    let is_told = problems.len() > before || first.len() < brought.len();
    if !is_told {
        problems.push(Diagnostic::error("entities", diagnose::message(&error)).help(REMOVE), None);
    }
}

const REMOVE: &str = "actions come from the schema: remove this one from the entities";

struct Given<'g> {
    first: &'g HashMap<&'g ast::EntityUID, &'g Brought>,
    declared: &'g Entities,
    schema: &'g SchemaModel,
}

impl Given<'_> {
    /// What the action has other than the schema, and what to do about it.
    fn fault(&self, action: &ast::Entity) -> Option<(String, String)> {
        let uid = action.uid();
        let Some(declared) = self.declared(uid) else {
            let (type_name, id): (String, &str) = (uid.entity_type().to_string(), uid.eid().as_ref());
            let near = self.schema.near_action(&Uid { type_name: type_name.into(), id: id.into() });
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Some((format!("the schema declares no action `{uid}`{hint}"), REMOVE.to_owned()));
        };
        for (of, given, expected) in [
            ("attribute", action.attrs().collect::<HashMap<_, _>>(), declared.attrs().collect::<HashMap<_, _>>()),
            ("tag", action.tags().collect(), declared.tags().collect()),
        ] {
            let keys: BTreeSet<_> = given.keys().chain(expected.keys()).collect();
            if let Some(key) = keys.into_iter().find(|key| given.get(**key) != expected.get(**key)) {
                let message = format!("action `{uid}`: its {of} `{key}` is not as in the schema");
                return Some((message, REMOVE.to_owned()));
            }
        }
        let (given, expected): (BTreeSet<_>, BTreeSet<_>) = (self.ancestors(action), declared.ancestors().collect());
        if let Some(extra) = given.difference(&expected).next() {
            return Some((format!("action `{uid}` is not in `{extra}` by the schema"), REMOVE.to_owned()));
        }
        let missing = expected.difference(&given).next()?;
        let leads = |through: &&&ast::EntityUID| {
            !self.first.contains_key(**through)
                && self.declared(through).is_some_and(|entity| entity.ancestors().any(|above| above == *missing))
        };
        let through = given.iter().find(leads);
        let because = through.map(|through| format!(", as `{through}` is, which is not among the entities"));
        let message = format!("action `{uid}` is also in `{missing}` by the schema{}", because.unwrap_or_default());
        Some((message, format!("{REMOVE}, or add `{missing}` to its `parents`")))
    }

    fn declared(&self, uid: &ast::EntityUID) -> Option<&ast::Entity> {
        self.declared.get(&uid.clone().into()).map(core)
    }

    /// All that the documents say the action is in. What the schema does not declare leads nowhere: it is wrong already,
    /// and there may be any number of it.
    fn ancestors<'a>(&'a self, action: &'a ast::Entity) -> BTreeSet<&'a ast::EntityUID> {
        let (mut found, mut left, mut seen) = (BTreeSet::new(), vec![action], HashSet::from([action.uid()]));
        while let Some(entity) = left.pop() {
            for parent in entity.ancestors() {
                found.insert(parent);
                if seen.insert(parent)
                    && self.declared(parent).is_some()
                    && let Some(brought) = self.first.get(parent)
                {
                    left.push(core(&brought.action));
                }
            }
        }
        found
    }
}

fn core(entity: &Entity) -> &ast::Entity {
    entity.as_ref()
}
