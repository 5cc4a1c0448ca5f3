//! Stored entities, one by one or page by page, as they are and by who had the last word about them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::export;
use crate::ids::EntityId;
use crate::model::{Bundle, Link, LinkDeclaration, Uid, Value};
use crate::snapshot::Snapshot;
use crate::store::{Layer, Store};

/// Records that are looked at for a page, at most: a page may have fewer entities than it was asked for, and still not be
/// the last.
const MOST_LOOKED_AT: usize = 100_000;

/// An entity that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// In Cedar's JSON form.
    pub entity: Value<'static>,
    /// Whether a change brought it, and not what was loaded.
    pub changed: bool,
}

/// A link of a template, written by hand or made by data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLink<'s> {
    /// The link. One that data make is written where its declaration is.
    pub link: Cow<'s, Link>,
    /// The entity that made it.
    pub made_by: Option<Uid<'static>>,
    /// The declaration by which it did.
    pub declaration: Option<&'s LinkDeclaration>,
}

impl Snapshot {
    /// Policies, schema and links as they were given; after changes of them, each policy as a text of its own. The entities are in the store: see [`Snapshot::entities`].
    #[must_use]
    pub fn texts(&self) -> Cow<'_, Bundle> {
        if self.base.as_ref().is_none_or(|base| Arc::ptr_eq(&base.core, &self.core)) {
            return Cow::Borrowed(&self.texts);
        }
        let Bundle { policies: _, schema, entities, links: _, routes, for_each } = &*self.texts;
        let policies = &self.core.policies;
        // in which order they came says nothing, and a restart knows it not
        let mut links: Vec<Link> = policies.by_hand().cloned().collect();
        links.sort_unstable_by(|a, b| a.link_id.cmp(&b.link_id));
        Cow::Owned(Bundle {
            policies: policies.texts(),
            schema: schema.clone(),
            entities: entities.clone(),
            links,
            routes: routes.clone(),
            for_each: for_each.clone(),
        })
    }

    /// How many links there are, written by hand or not.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.core.policies.links.len() + self.grants.len()
    }

    /// All links, sorted by id.
    #[must_use]
    pub fn links(&self) -> Vec<ListedLink<'_>> {
        let declarations = &self.texts.for_each.links;
        let links = self.core.policies.links.iter();
        let by_hand =
            links.map(|linked| ListedLink { link: Cow::Borrowed(&linked.link), made_by: None, declaration: None });
        let made = self.all_made().map(|made| ListedLink {
            link: Cow::Owned(self.link_of(&made).link),
            made_by: Some(export::uid_of(&self.store, made.grant.entity)),
            declaration: declarations.get(made.grant.declaration.index()),
        });
        let mut found: Vec<_> = by_hand.chain(made).collect();
        found.sort_unstable_by(|a, b| a.link.link_id.cmp(&b.link.link_id));
        found
    }

    /// All stored entities in Cedar's JSON form, actions of the schema left out, in the order of the store.
    pub fn entities(&self) -> impl Iterator<Item = Value<'static>> {
        let store = &self.store;
        store.ids().filter_map(|id| export::entity(store, id))
    }

    /// The entity that is stored under a uid, actions of the schema left out.
    #[must_use]
    pub fn entity(&self, uid: &Uid<'_>) -> Option<Listed> {
        listed(&self.store, self.store.of_uid(uid)?)
    }

    /// Refuses a type that no entity can have, since the schema does not declare it.
    ///
    /// # Errors
    /// What is wrong with it; names the type that was probably meant.
    pub fn check_type(&self, name: &str) -> Result<(), String> {
        self.core.schema.as_ref().map_or(Ok(()), |schema| schema.check_type(name))
    }

    /// Entities from a place in the store on, in its order: of a type if it is given, and only those that are `within`
    /// another or are it. Gives at most `limit` of them, and the place to go on from unless there is no more. Places mean
    /// something in this state alone.
    #[must_use]
    pub fn list(
        &self,
        type_name: Option<&str>,
        within: Option<&Uid<'_>>,
        from: u32,
        limit: usize,
    ) -> (Vec<Listed>, Option<u32>) {
        let store = &self.store;
        let ty = match type_name.map(|name| store.symbols().type_id(name)) {
            None => None,
            Some(Some(ty)) => Some(ty),
            // no entity has it
            Some(None) => return (Vec::new(), None),
        };
        let top = within.map(|uid| {
            let ty = store.symbols().type_id(&uid.type_name)?;
            store.find(ty, uid.id.as_bytes())
        });
        let mut climb = match top {
            None => None,
            Some(Some(top)) => Some(Climb { store, known: HashMap::from([(top, true)]) }),
            // nothing has it above itself
            Some(None) => return (Vec::new(), None),
        };
        let (mut found, mut looked_at) = (Vec::new(), 0);
        for id in store.ids_from(EntityId::from_raw(from)).filter(|id| ty.is_none_or(|ty| store.type_of(*id) == ty)) {
            if found.len() == limit || looked_at == MOST_LOOKED_AT {
                return (found, Some(id.raw()));
            }
            looked_at += 1;
            if climb.as_mut().is_none_or(|climb| climb.is_within(id)) {
                found.extend(listed(store, id));
            }
        }
        (found, None)
    }
}

fn listed(store: &Store, id: EntityId) -> Option<Listed> {
    let changed = store.entity(id)?.layer() == Layer::Overlay;
    Some(Listed { entity: export::entity(store, id)?, changed })
}

/// Which entities have another above themselves.
struct Climb<'s> {
    store: &'s Store,
    known: HashMap<EntityId, bool>,
}

impl Climb<'_> {
    fn is_within(&mut self, id: EntityId) -> bool {
        let mut path = vec![id];
        while let Some(at) = path.last().copied() {
            if self.known.contains_key(&at) {
                path.pop();
                continue;
            }
            let parents = || self.store.entity(at).into_iter().flat_map(|entity| entity.parents());
            // without cycles, and bounded in depth, both held by the store
            match parents().find(|parent| !self.known.contains_key(parent)) {
                Some(unknown) => path.push(unknown),
                None => {
                    let within = parents().any(|parent| self.known.get(&parent) == Some(&true));
                    self.known.insert(at, within);
                    path.pop();
                }
            }
        }
        self.known.get(&id) == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Dangling, Uid};
    use crate::tests::changes::{start, transact};

    #[test]
    fn pages_have_every_entity_once() {
        let state = start();
        let state = transact(&state, r#"[{"delete":"User::\"b\""}]"#, Dangling::Unlink).unwrap().snapshot;
        let org = Uid::parse("Org::\"p\"").unwrap();
        let nowhere = Uid::parse("Org::\"nowhere\"").unwrap();
        for (ty, within, expected) in [
            (None, None, "g o p a*"),
            (Some("User"), None, "a*"),
            (Some("Org"), None, "o p"),
            (Some("Role"), None, ""),
            (Some("No"), None, ""),
            (None, Some("Org::\"o\""), "g o p a*"),
            (Some("User"), Some("Group::\"g\""), "a*"),
        ] {
            let within = within.map(|text| Uid::parse(text).unwrap());
            for limit in 1..5 {
                let (mut from, mut names) = (0, Vec::new());
                loop {
                    let (page, next) = state.list(ty, within.as_ref(), from, limit);
                    assert!(page.len() <= limit);
                    names.extend(page.into_iter().map(|listed| {
                        let id = listed.entity.get("uid").unwrap().get("id").unwrap().as_str().unwrap().to_owned();
                        id + if listed.changed { "*" } else { "" }
                    }));
                    match next {
                        Some(next) => from = next,
                        None => break,
                    }
                }
                names.sort_by_key(|name| "gopa".find(&name[..1]));
                assert_eq!(names.join(" "), expected, "{ty:?} {within:?} {limit}");
            }
        }
        assert_eq!(state.check_type("User"), Ok(()));
        assert!(state.check_type("Usr").unwrap_err().ends_with("no entity type `Usr`; did you mean `User`?"));
        assert_eq!(state.list(None, Some(&org), 0, 10).0.len(), 1);
        assert_eq!(state.list(None, Some(&nowhere), 0, 10).0.len(), 0);
        assert!(state.entity(&Uid::parse("User::\"a\"").unwrap()).unwrap().changed);
        assert!(!state.entity(&org).unwrap().changed && state.entity(&nowhere).is_none());
        assert!(state.entity(&Uid::parse("User::\"b\"").unwrap()).is_none());
    }
}
