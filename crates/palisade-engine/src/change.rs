//! Single changes of entities: a new store that shares what they do not touch.

use crate::layout::is_action_type;
use crate::load::{self, Checks};
use crate::model::{Diagnostic, EntityChange, Uid, Value};
use crate::store::{Draft, Store};
use crate::value::Packer;

/// The store after `changes`, all of them or none.
///
/// # Errors
/// Every problem found, its origin being `changes[i]`.
pub(crate) fn apply(store: &Store, changes: &[EntityChange], checks: Checks<'_>) -> Result<Store, Vec<Diagnostic>> {
    let mut draft = Draft::new(store);
    let mut packer = Packer::default();
    let mut problems = Vec::new();
    let mut changed = Vec::new();
    for (i, change) in changes.iter().enumerate() {
        let done = match change {
            EntityChange::Upsert(value) => upsert(value, checks, &mut draft, &mut packer).map(|id| changed.push(id)),
            EntityChange::Delete(uid) => delete(uid, checks, &mut draft, false),
            EntityChange::DeleteSubtree(uid) => delete(uid, checks, &mut draft, true),
        };
        if let Err(message) = done {
            problems.push(Diagnostic::error(format!("changes[{i}]"), message));
        }
    }
    if problems.is_empty()
        && let Err(fault) = draft.check_changed(&changed, checks.limits)
    {
        let (_, message) = load::explain(&fault, &draft, checks.limits);
        problems.push(Diagnostic::error("changes", message));
    }
    if problems.is_empty() { Ok(draft.commit()) } else { Err(problems) }
}

fn upsert(value: &Value<'_>, checks: Checks<'_>, draft: &mut Draft, packer: &mut Packer) -> Result<u32, String> {
    let id = load::read_one(value, checks, draft, packer).map_err(|misfit| misfit.message)?;
    if draft.record(id).is_schema_action() {
        return Err("actions come from the schema and cannot be changed".to_owned());
    }
    draft.put(id, &packer.out);
    Ok(id)
}

fn delete(uid: &Uid<'_>, checks: Checks<'_>, draft: &mut Draft, below: bool) -> Result<(), String> {
    if checks.schema.is_some() && is_action_type(&uid.type_name) {
        return Err("actions come from the schema and cannot be changed".to_owned());
    }
    // what was never named is not there: deleting it again is no error
    let Some(ty) = draft.symbols().type_id(&uid.type_name) else { return Ok(()) };
    let Some(id) = draft.find(ty, uid.id.as_bytes()) else { return Ok(()) };
    if below {
        for descendant in draft.descendants(id) {
            draft.remove(descendant);
        }
    }
    draft.remove(id);
    Ok(())
}
