//! Which policies Cedar's own authorizer has to see for one request, where it does not see all of them.
//!
//! Looks at every scope, one after another, and takes what is above whom from Cedar's own entities: it owes nothing to
//! the index, to the plans, or to the store's hierarchy, so that a fault of theirs is not repeated here.

use std::collections::HashSet;

use cedar_policy_core::ast::EntityUID;

use super::index::{Actions, Scope, Scopes};
use crate::ids::{EntityId, TypeId};
use crate::layout::known;
use crate::model::PolicyId;
use crate::snapshot::Snapshot;

/// An entity of a request and those above it.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(super) own: Option<EntityId>,
    pub(super) ty: Option<TypeId>,
    pub(super) all: HashSet<EntityId>,
}

impl Lineage {
    /// Of `uid` and those `above` it. What no policy and no entity names has no id, and no scope that names it either.
    pub(crate) fn new<'u>(snapshot: &Snapshot, uid: &EntityUID, above: impl Iterator<Item = &'u EntityUID>) -> Self {
        let store = &snapshot.store;
        let ty = store.symbols().type_id(&uid.entity_type().to_string());
        let own = known(uid, store);
        Self { own, ty, all: above.filter_map(|uid| known(uid, store)).chain(own).collect() }
    }

    pub(super) fn fits(&self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Is(id) => self.own == Some(id),
            Scope::In(id) => self.all.contains(&id),
            Scope::Type(ty) => self.ty == Some(ty),
            Scope::TypeIn(ty, id) => self.ty == Some(ty) && self.all.contains(&id),
        }
    }
}

/// The policies whose scope holds for the three.
pub(crate) fn candidates<'s>(
    snapshot: &'s Snapshot,
    principal: &Lineage,
    action: &Lineage,
    resource: &Lineage,
) -> impl Iterator<Item = &'s PolicyId> {
    let entries = snapshot.core.compiled.entries.iter();
    entries.filter(|entry| is_in_scope(&entry.scopes, principal, action, resource)).map(|entry| &entry.id)
}

/// The same, found in the index without a look at the others. For decisions that the compiled engine leaves to the
/// reference: they may owe to the index what all decisions do.
pub(crate) fn near<'s>(
    snapshot: &'s Snapshot,
    principal: &Lineage,
    action: &Lineage,
    resource: &Lineage,
) -> Vec<&'s PolicyId> {
    let set = &snapshot.core.compiled;
    let mut found = Vec::new();
    let [of_principal, of_action, of_resource] = [principal, action, resource].map(|it| (it.own, &it.all));
    set.index.filed_near(of_principal, of_action, of_resource, |position| {
        if is_in_scope(&set.entry(position).scopes, principal, action, resource) {
            found.push(position);
        }
    });
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|position| &set.entry(position).id).collect()
}

/// Whether the action is one of these.
pub(super) fn of_action(actions: &Actions, action: &Lineage) -> bool {
    match actions {
        Actions::Any => true,
        Actions::Is(id) => action.own == Some(*id),
        Actions::In(ids) => ids.iter().any(|id| action.all.contains(id)),
    }
}

fn is_in_scope(scopes: &Scopes, principal: &Lineage, action: &Lineage, resource: &Lineage) -> bool {
    of_action(&scopes.action, action) && principal.fits(scopes.principal) && resource.fits(scopes.resource)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::{AccessRequest, Bundle, Document, Link, PolicyNaming, PolicyText, Revision, Uid, Value};
    use crate::snapshot::ALWAYS;
    use crate::{EngineSettings, Semantics, Snapshot, Validation, on_big_stack};

    /// A snapshot with this many links for others, and a policy of each kind of scope.
    fn snapshot(others: usize) -> Snapshot {
        let entities = [("P", "ann", "G", "staff"), ("R", "d", "F", "top"), ("G", "staff", "G", "all")].map(
            |(ty, id, parent, of)| {
                format!(r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{{}},"parents":[{{"type":"{parent}","id":"{of}"}}]}}"#)
            },
        );
        let mut texts =
            vec![("shared".to_owned(), "permit (principal == ?principal, action, resource in ?resource);".to_owned())];
        let principals = [
            "principal",
            "principal == P::\"ann\"",
            "principal in G::\"all\"",
            "principal is P",
            "principal is P in G::\"staff\"",
            "principal == P::\"bob\"",
            "principal in G::\"other\"",
        ];
        let actions = [
            "action",
            "action == Action::\"x\"",
            "action in [Action::\"x\", Action::\"y\"]",
            "action == Action::\"y\"",
            "action in []",
        ];
        let resources = [
            "resource",
            "resource == R::\"d\"",
            "resource in F::\"top\"",
            "resource is R in F::\"top\"",
            "resource is F",
        ];
        for (i, principal) in principals.iter().enumerate() {
            for (j, action) in actions.iter().enumerate() {
                for (k, resource) in resources.iter().enumerate() {
                    // half of them fail when they are evaluated
                    let when = if (i + j + k) % 2 == 0 { "when { principal.missing }" } else { "" };
                    let effect = if (i * j + k) % 5 == 4 { "forbid" } else { "permit" };
                    texts
                        .push((format!("p{i}{j}{k}"), format!("{effect} ({principal}, {action}, {resource}) {when};")));
                }
            }
        }
        let policies = texts.into_iter().map(|(id, text)| PolicyText {
            origin: id.clone(),
            text,
            naming: PolicyNaming::Exactly(id),
        });
        let links = (0..others).map(|n| Link {
            template_id: "shared".to_owned(),
            link_id: format!("l{n}"),
            args: vec![
                ("?principal".to_owned(), if n == 7 { "P::\"ann\"".to_owned() } else { format!("P::\"other{n}\"") }),
                ("?resource".to_owned(), "F::\"top\"".to_owned()),
            ],
            written: None,
        });
        let bundle = Bundle {
            policies: policies.collect(),
            links: links.collect(),
            entities: vec![Document::held("e", format!("[{}]", entities.join(",")))],
            ..Bundle::default()
        };
        let settings =
            EngineSettings { validation: Validation::Off, semantics: Semantics::Cedar, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        on_big_stack(|| Snapshot::build(Arc::new(bundle), &settings, revision)).unwrap().unwrap().0
    }

    #[test]
    fn what_falls_back_is_decided_as_over_all_policies() {
        // few, so that all trees are kept and used; and so many that those near are picked
        for others in [10, 20_000] {
            let snapshot = snapshot(others);
            let uid = |text| Uid::parse(text).unwrap();
            let mut decided = 0;
            for principal in ["P::\"ann\"", "P::\"bob\"", "P::\"new\"", "G::\"staff\"", "Q::\"none\""] {
                for action in ["Action::\"x\"", "Action::\"y\"", "Action::\"z\""] {
                    for resource in ["R::\"d\"", "F::\"top\"", "R::\"own\""] {
                        let mut request = AccessRequest::new(uid(principal), uid(action), uid(resource));
                        // of an entity that the request brings, so that its place in the hierarchy is not the store's
                        let own = r#"[{"uid":{"type":"R","id":"own"},"attrs":{},"parents":[{"type":"F","id":"top"}]},
                            {"uid":{"type":"P","id":"new"},"attrs":{},"parents":[{"type":"G","id":"staff"}]}]"#;
                        request.additional_entities = Some(Value::parse(own.as_bytes()).unwrap().into_owned());
                        let near = super::super::Seen::Near;
                        let near = super::super::by_reference(&snapshot, &request, 0, near, ALWAYS).unwrap();
                        let all = snapshot.decide_by_reference(&request, 0).unwrap();
                        assert_eq!(near, all, "{principal} {action} {resource} of {others}");
                        decided += near.reasons.len() + near.errors.len();
                    }
                }
            }
            assert!(decided > 100, "{decided}");
        }
    }
}
