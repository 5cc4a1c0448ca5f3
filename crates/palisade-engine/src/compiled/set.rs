//! A set that grows policy by policy: from nothing, or upon a set that serves, whose policies some are taken out of.
//!
//! What one policy costs is what is filed beside it, whatever the number of the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast;
use cedar_policy_core::ast::{ActionConstraint, EntityReference, PrincipalOrResourceConstraint as Constraint};

use super::compile::Compiler;
use super::granted::Form;
use super::index::{Actions, Index, Scope, Scopes, action_keys};
use super::misses::{Misses, Refiled};
use super::program::Op;
use super::{CompiledSet, Condition, Entry, Pattern};
use crate::broken::broken;
use crate::ids::{EntityId, PolicyIx, ProgramIx};
use crate::layout::intern;
use crate::model::PolicyId;
use crate::store::{Draft, PairEdits, Pairs, pair};
use crate::value::TooLarge;

/// A set that grows policy by policy.
#[derive(Debug)]
pub(crate) struct Compiling<'d> {
    compiler: Compiler<'d>,
    set: CompiledSet,
    /// What is filed otherwise than in the set before; nothing where there was none.
    changes: Option<Changes>,
    /// Whether a name did not fit into the store.
    overflowed: bool,
}

/// What is filed otherwise than in the set before.
#[derive(Debug, Default)]
struct Changes {
    misses: Refiled,
    linked: PairEdits,
    /// Actions and groups under which other policies are filed.
    actions: HashSet<EntityId>,
}

impl<'d> Compiling<'d> {
    /// Interns what policies name in `draft`.
    pub(crate) fn new(draft: &'d mut Draft) -> Self {
        Self { compiler: Compiler::new(draft), set: CompiledSet::default(), changes: None, overflowed: false }
    }

    /// Goes on with a set, without some of its policies.
    pub(crate) fn resume(set: &CompiledSet, removed: &HashSet<PolicyId>, draft: &'d mut Draft) -> Self {
        let compiler = Compiler::resume(draft, set.pool.clone());
        let mut this = Self { compiler, set: set.clone(), changes: Some(Changes::default()), overflowed: false };
        removed.iter().for_each(|id| this.take_out(id));
        if removed.iter().any(|id| this.set.forms.has(id)) {
            Arc::make_mut(&mut this.set.forms).without(removed.iter());
        }
        this
    }

    /// The same as a new set, in which templates have the numbers that they have in another.
    pub(crate) fn numbered_as(mut self, set: &CompiledSet) -> Self {
        self.set.forms = Arc::new(set.forms.names_alone());
        self
    }

    fn take_out(&mut self, id: &PolicyId) {
        let set = &mut self.set;
        let own = match set.templates.remove(id) {
            Some(pattern) => Some(pattern.condition),
            None => {
                let Some(position) = set.positions.remove(id) else { return };
                let Some(place) = set.entries.get_mut(position.index()) else {
                    broken("a policy that has a position and is not there");
                };
                let entry = std::mem::replace(place, gone());
                set.free.push(position);
                set.index.unfile(position, &entry.scopes);
                if let Some(changes) = &mut self.changes {
                    changes.note(position, &entry, false);
                }
                let named = entry.slots.into_iter().filter(|slot| *slot != EntityId::NONE);
                named.for_each(|slot| self.compiler.draft.drop_name(slot));
                // a link has the program of its template
                entry.slots.iter().all(|slot| *slot == EntityId::NONE).then_some(entry.condition)
            }
        };
        if let Some(Condition::Program(program)) = own {
            set.free_programs.push(program);
        }
        set.dropped += usize::from(own.is_some());
    }

    /// Compiles a policy, or a template for its links.
    pub(crate) fn policy(&mut self, template: &ast::Template, id: &PolicyId) {
        self.compiler.draft.note_names();
        self.condition_and_scope(template, id);
        self.compiler.draft.noted().into_iter().for_each(|id| _ = self.set.named.insert(id));
    }

    fn condition_and_scope(&mut self, template: &ast::Template, id: &PolicyId) {
        let Ok(condition) = self.condition(template) else {
            self.overflowed = true;
            return;
        };
        self.overflowed |=
            self.pattern(template, condition).and_then(|pattern| self.add(pattern, template, id)).is_err();
    }

    /// What a policy or template asks for, its slots left open.
    fn pattern(&mut self, template: &ast::Template, condition: Condition) -> Result<Pattern, TooLarge> {
        let draft = &mut *self.compiler.draft;
        let scopes = Scopes {
            principal: scope(template.principal_constraint().as_inner(), draft)?,
            action: actions(template.action_constraint(), draft)?,
            resource: scope(template.resource_constraint().as_inner(), draft)?,
        };
        let needs = match condition {
            Condition::Program(program) => self.set.program(program).needs_in_context(),
            Condition::Always | Condition::Reference => None,
        };
        Ok(Pattern { scopes, condition, needs, forbids: template.effect() == ast::Effect::Forbid })
    }

    /// Files a policy, or keeps a template: for its links, and for the grants of the data.
    fn add(&mut self, pattern: Pattern, template: &ast::Template, id: &PolicyId) -> Result<(), TooLarge> {
        if template.is_static() {
            return self.enter(&pattern, id, &HashMap::new());
        }
        let Pattern { condition, needs, forbids, .. } = pattern;
        let scopes = pattern.scopes.clone();
        Arc::make_mut(&mut self.set.forms).put(Form { scopes, condition, needs, forbids, id: id.clone() });
        self.set.templates.insert(id.clone(), Arc::new(pattern));
        Ok(())
    }

    /// Adds a link of a template that was compiled.
    pub(crate) fn link(&mut self, template: &PolicyId, id: &PolicyId, values: &HashMap<ast::SlotId, ast::EntityUID>) {
        let Some(pattern) = self.set.templates.get(template).cloned() else {
            if self.overflowed {
                return;
            }
            broken("a link of a template that was not compiled");
        };
        self.overflowed |= self.enter(&pattern, id, values).is_err();
    }

    fn condition(&mut self, template: &ast::Template) -> Result<Condition, TooLarge> {
        let Some(expression) = template.non_scope_constraints() else { return Ok(Condition::Always) };
        Arc::make_mut(&mut self.set.reach).add(expression, self.compiler.draft)?;
        Ok(match self.compiler.program(expression) {
            Ok(program) if *program.ops == [Op::Const(1 << 4)] => Condition::Always,
            Ok(program) => {
                let at = match self.set.free_programs.pop() {
                    Some(at) => at,
                    None => ProgramIx::next(self.set.programs.len()).ok_or(TooLarge)?,
                };
                match self.set.programs.get_mut(at.index()) {
                    Some(place) => *place = program,
                    None => self.set.programs.push(program),
                }
                Condition::Program(at)
            }
            Err(_) => Condition::Reference,
        })
    }

    fn enter(
        &mut self,
        pattern: &Pattern,
        id: &PolicyId,
        values: &HashMap<ast::SlotId, ast::EntityUID>,
    ) -> Result<(), TooLarge> {
        let mut slots = [EntityId::NONE; 2];
        for (place, slot) in slots.iter_mut().zip([ast::SlotId::principal(), ast::SlotId::resource()]) {
            if let Some(uid) = values.get(&slot) {
                *place = intern(uid, self.compiler.draft)?;
            }
        }
        let Pattern { condition, needs, forbids, .. } = *pattern;
        let scopes = pattern.scopes.bound(slots);
        let entry = Entry { scopes, condition, needs, forbids, slots, id: id.clone() };
        let set = &mut self.set;
        let position = match set.free.pop() {
            Some(position) => position,
            None => PolicyIx::next(set.entries.len()).ok_or(TooLarge)?,
        };
        if let Some(changes) = &mut self.changes {
            set.index.file(position, &entry.scopes);
            changes.note(position, &entry, true);
        }
        set.positions.insert(id.clone(), position);
        match set.entries.get_mut(position.index()) {
            Some(place) => *place = entry,
            None => set.entries.push(entry),
        }
        Ok(())
    }

    /// The set.
    ///
    /// # Errors
    /// If the store had no more room for names.
    pub(crate) fn finish(self) -> Result<CompiledSet, TooLarge> {
        let Self { compiler, mut set, changes, overflowed } = self;
        if overflowed {
            return Err(TooLarge);
        }
        set.pool = compiler.finish();
        if !set.forms.is_planned() {
            Arc::make_mut(&mut set.forms).settle();
        }
        match changes {
            Some(Changes { misses, linked, actions }) => {
                set.misses = set.misses.with(&misses);
                set.linked = set.linked.with(&linked);
                set.plans.stale.extend(actions);
            }
            None => {
                let scopes = || set.entries.iter().map(|entry: &Entry| &entry.scopes);
                set.index = Index::build(scopes());
                set.misses = Misses::build(scopes());
                let pairs = set
                    .entries
                    .iter()
                    .zip((0..).map(PolicyIx::from_raw))
                    .flat_map(|(entry, position)| links(entry, position));
                let mut pairs: Vec<u64> = pairs.collect();
                pairs.sort_unstable();
                pairs.dedup();
                set.linked = Pairs::from_sorted(&pairs);
            }
        }
        Ok(set)
    }
}

impl Changes {
    /// Notes that a policy is filed, or taken out.
    fn note(&mut self, position: PolicyIx, entry: &Entry, added: bool) {
        self.misses.put(position, &entry.scopes, added);
        self.linked.extend(links(entry, position).map(|pair| (pair, added)));
        self.actions.extend(action_keys(&entry.scopes.action));
    }
}

/// What a link names, with its position.
pub(super) fn links(entry: &Entry, position: PolicyIx) -> impl Iterator<Item = u64> + use<> {
    entry.slots.into_iter().filter(|slot| *slot != EntityId::NONE).map(move |slot| pair(slot.raw(), position.raw()))
}

/// What stands where no policy is: nothing is `in []`.
fn gone() -> Entry {
    let scopes = Scopes { principal: Scope::Any, action: Actions::In(Arc::new([])), resource: Scope::Any };
    let condition = Condition::Always;
    Entry { scopes, condition, needs: None, forbids: false, slots: [EntityId::NONE; 2], id: PolicyId::from("") }
}

impl Entry {
    /// Whether it stands where no policy is: every policy has an id.
    pub(super) fn is_gone(&self) -> bool {
        self.id.is_empty()
    }
}

/// The scope that a constraint is, with [`EntityId::NONE`] for a slot.
fn scope(constraint: &Constraint, draft: &mut Draft) -> Result<Scope, TooLarge> {
    let mut entity = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => intern(uid, draft),
        EntityReference::Slot(_) => Ok(EntityId::NONE),
    };
    Ok(match constraint {
        Constraint::Any => Scope::Any,
        Constraint::Eq(reference) => Scope::Is(entity(reference)?),
        Constraint::In(reference) => Scope::In(entity(reference)?),
        Constraint::Is(ty) => Scope::Type(draft.type_id(&ty.to_string())),
        Constraint::IsIn(ty, reference) => {
            let id = entity(reference)?;
            Scope::TypeIn(draft.type_id(&ty.to_string()), id)
        }
    })
}

fn actions(constraint: &ActionConstraint, draft: &mut Draft) -> Result<Actions, TooLarge> {
    Ok(match constraint {
        ActionConstraint::Any => Actions::Any,
        ActionConstraint::Eq(uid) => Actions::Is(intern(uid, draft)?),
        ActionConstraint::In(uids) => {
            let mut ids = uids.iter().map(|uid| intern(uid, draft)).collect::<Result<Vec<_>, _>>()?;
            ids.sort_unstable();
            ids.dedup();
            Actions::In(ids.into())
        }
    })
}
