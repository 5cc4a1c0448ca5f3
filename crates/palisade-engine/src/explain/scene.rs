//! A request with everything that its evaluation reads, and Cedar's evaluator over it.

use std::collections::{HashMap, HashSet, VecDeque};

use cedar_policy::Entities;
use cedar_policy_core::ast::{EntityUID, Expr, Literal, Request, SlotEnv, Value, ValueKind, Var};
use cedar_policy_core::entities::Dereference;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use crate::broken::broken;
use crate::cedar;
use crate::cedar::utf8;
use crate::ids::EntityId;
use crate::layout::known;
use crate::model::bounds::{MAX_EXPLANATION, cut};
use crate::model::explanation::{HierarchyPath, Truth};
use crate::snapshot::Snapshot;

/// Entities that are looked at to find one way up the hierarchy.
const MOST_CLIMBED: usize = 4_096;

/// Entities of a way that are shown.
const LONGEST_WAY: usize = 32;

/// Entities of a set that a way is looked for to, and that are shown.
const MOST_TARGETS: usize = 16;

/// What a policy is evaluated over.
pub(super) struct Scene<'s> {
    snapshot: &'s Snapshot,
    request: Request,
    entities: &'s cedar_policy_core::entities::Entities,
    /// Whether entities that are not there may be in the store.
    has_store: bool,
    evaluator: Evaluator<'s>,
}

/// What an expression gave.
#[derive(Debug, Clone)]
pub(super) enum Gave {
    /// A boolean.
    Bool(bool),
    /// No boolean: why, in Cedar's words.
    Error(String),
}

impl Gave {
    pub(super) fn truth(&self) -> Truth {
        match self {
            Self::Bool(true) => Truth::True,
            Self::Bool(false) => Truth::False,
            Self::Error(_) => Truth::Error,
        }
    }
}

impl<'s> Scene<'s> {
    pub(super) fn new(
        snapshot: &'s Snapshot,
        request: &cedar_policy::Request,
        entities: &'s Entities,
        has_store: bool,
    ) -> Self {
        let request: &Request = request.as_ref();
        let entities = entities.as_ref();
        let evaluator = Evaluator::new(request.clone(), entities, Extensions::all_available());
        Self { snapshot, request: request.clone(), entities, has_store, evaluator }
    }

    /// What an expression is.
    pub(super) fn value(&self, expression: &Expr, slots: &SlotEnv) -> Result<Value, String> {
        self.evaluator.interpret(expression, slots).map_err(|error| cut(error.to_string(), MAX_EXPLANATION))
    }

    /// What a condition gives, evaluated alone.
    pub(super) fn gives(&self, expression: &Expr, slots: &SlotEnv) -> Gave {
        let found = match self.evaluator.interpret(expression, slots) {
            Ok(value) => match value.value_kind() {
                ValueKind::Lit(Literal::Bool(found)) => Ok(*found),
                // what Cedar says of such a value as a condition
                _ => match self.evaluator.interpret(&Expr::and(expression.clone(), Expr::val(true)), slots) {
                    Ok(_) => broken("a condition that is no boolean and no error"),
                    Err(error) => Err(error),
                },
            },
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => Gave::Bool(found),
            Err(error) => Gave::Error(cut(error.to_string(), MAX_EXPLANATION)),
        }
    }

    /// The entity that an expression is.
    pub(super) fn entity(&self, expression: &Expr, slots: &SlotEnv) -> Option<EntityUID> {
        as_entity(&self.value(expression, slots).ok()?)
    }

    /// The entity of the request that a variable stands for.
    pub(super) fn of(&self, variable: Var) -> Option<&EntityUID> {
        match variable {
            Var::Principal => self.request.principal().uid(),
            Var::Action => self.request.action().uid(),
            Var::Resource => self.request.resource().uid(),
            Var::Context => None,
        }
    }

    /// Whether there is such an entity, stored or sent.
    pub(super) fn knows(&self, uid: &EntityUID) -> bool {
        matches!(self.entities.entity(uid), Dereference::Data(_)) || self.stored(uid).is_some()
    }

    fn stored(&self, uid: &EntityUID) -> Option<crate::store::Entity<'_>> {
        if !self.has_store {
            return None;
        }
        let store = &self.snapshot.store;
        store.entity(known(uid, store)?)
    }

    /// The entities right above one, sorted.
    pub(super) fn parents(&self, uid: &EntityUID) -> Vec<EntityUID> {
        let mut found: Vec<EntityUID> = match self.entities.entity(uid) {
            Dereference::Data(entity) => entity.parents().cloned().collect(),
            _ => self.stored_parents(uid),
        };
        found.sort_unstable();
        found
    }

    /// An entity and those nearest above it, `most` in all, and whether there are more.
    pub(super) fn above(&self, from: &EntityUID, most: usize) -> (Vec<EntityUID>, bool) {
        let mut found = vec![from.clone()];
        let mut next = 0;
        while let Some(entity) = found.get(next).cloned() {
            for parent in self.parents(&entity) {
                if found.contains(&parent) {
                    continue;
                }
                if found.len() == most {
                    return (found, true);
                }
                found.push(parent);
            }
            next += 1;
        }
        (found, false)
    }

    /// Some stored entities of a type, those that were stored first.
    pub(super) fn stored_of_type(&self, name: &str, most: usize) -> Vec<EntityUID> {
        if !self.has_store {
            return Vec::new();
        }
        let store = &self.snapshot.store;
        let ids = store.symbols().type_id(name).into_iter().flat_map(|ty| store.ids_of_type(ty));
        ids.take(most).filter_map(|id| self.uid(id)).collect()
    }

    /// The name of a stored entity.
    pub(super) fn uid(&self, id: EntityId) -> Option<EntityUID> {
        let store = &self.snapshot.store;
        let type_name = store.symbols().type_name(store.type_of(id)).to_string();
        let uid = crate::model::Uid::new(type_name, utf8(store.record(id)?.id()).to_owned()).ok()?;
        cedar::entity_uid(&uid).ok().map(EntityUID::from)
    }

    fn stored_parents(&self, uid: &EntityUID) -> Vec<EntityUID> {
        let parents = self.stored(uid).map(|entity| entity.parents().collect::<Vec<EntityId>>()).unwrap_or_default();
        parents.into_iter().filter_map(|id| self.uid(id)).collect()
    }

    /// The shortest way from an entity to one of `targets`, or where the longest way that was found ends.
    pub(super) fn way(&self, from: &EntityUID, targets: &[EntityUID]) -> HierarchyPath {
        let wanted: HashSet<&EntityUID> = targets.iter().collect();
        let mut below: HashMap<EntityUID, Option<EntityUID>> = HashMap::from([(from.clone(), None)]);
        let mut queue = VecDeque::from([from.clone()]);
        let (mut last, mut reached) = (from.clone(), None);
        while let Some(next) = queue.pop_front() {
            if wanted.contains(&next) {
                reached = Some(next);
                break;
            }
            for parent in self.parents(&next) {
                if below.len() < MOST_CLIMBED && !below.contains_key(&parent) {
                    below.insert(parent.clone(), Some(next.clone()));
                    queue.push_back(parent);
                }
            }
            last = next;
        }
        let holds = reached.is_some();
        let mut path = vec![reached.unwrap_or(last)];
        while let Some(Some(before)) = path.last().and_then(|at| below.get(at)) {
            let before = before.clone();
            path.push(before);
        }
        path.reverse();
        let named = |uids: &[EntityUID], most: usize| uids.iter().take(most).map(shown).collect();
        let shown_targets = &targets[..targets.len().min(MOST_TARGETS)];
        HierarchyPath {
            holds,
            from: shown(from),
            to: named(targets, MOST_TARGETS),
            path: named(&path, LONGEST_WAY),
            unknown: shown_targets.iter().filter(|uid| !self.knows(uid)).map(shown).collect(),
        }
    }
}

/// The entity that a value is.
pub(super) fn as_entity(value: &Value) -> Option<EntityUID> {
    match value.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) => Some(EntityUID::clone(uid)),
        _ => None,
    }
}

/// The entities that a value is: one, or those of a set.
pub(super) fn as_entities(value: &Value) -> Vec<EntityUID> {
    match value.value_kind() {
        ValueKind::Set(set) => set.iter().filter_map(as_entity).collect(),
        _ => as_entity(value).into_iter().collect(),
    }
}

/// As requests and policies write it.
pub(super) fn shown(uid: &EntityUID) -> String {
    plain(uid).to_string()
}

/// Our uid of Cedar's.
pub(super) fn plain(uid: &EntityUID) -> crate::model::Uid<'static> {
    crate::model::Uid {
        type_name: uid.entity_type().to_string().into(),
        id: AsRef::<str>::as_ref(uid.eid()).to_owned().into(),
    }
}
