//! Changes of parts of one entity: the whole is read again, so that it is checked as if it came from a file.

use std::borrow::Cow;

use crate::change::{Place, Transacting, moved};
use crate::conform::Name;
use crate::decode::uid_parts;
use crate::export;
use crate::misfit::{Misfit, Misfits};
use crate::model::{Step, Uid, Update, Value, hint};
use crate::store::Entity;

type Members = Vec<(Cow<'static, str>, Value<'static>)>;

impl Transacting<'_> {
    pub(super) fn update(&mut self, update: &Update, place: Place) -> Result<(), Misfits> {
        let uid = &update.uid;
        let of_uid = |message: String| Misfit::at(&Name::Root("uid"), message);
        self.check_type(uid).map_err(of_uid)?;
        let stored = self.find(uid).and_then(|id| export::entity(&self.draft, id));
        let Some(Value::Object(mut members)) = stored else {
            let message = format!("there is no entity `{uid}` to update; `upsert` stores one");
            return Err(of_uid(message).into());
        };
        let mut found = Misfits::none();
        self.check_names(update, &mut found);
        self.note_absent(update, &members, place);
        let mut kept_parents = 0;
        for (key, member) in &mut members {
            match (&**key, member) {
                ("attrs", Value::Object(attrs)) => set(attrs, &update.attrs, &update.unset),
                ("tags", Value::Object(tags)) => set(tags, &update.tags, &update.untag),
                ("parents", Value::Array(parents)) => {
                    parents.retain(|parent| !is_among(parent, &update.remove_parents));
                    kept_parents = parents.len();
                    parents.extend(update.add_parents.iter().map(parent));
                }
                _ => {}
            }
        }
        if !update.tags.is_empty() && !members.iter().any(|(key, _)| key == "tags") {
            let mut tags = Vec::new();
            set(&mut tags, &update.tags, &[]);
            members.push(("tags".into(), Value::Object(tags)));
        }
        let whole = Value::Object(members);
        let read = self.read(&whole);
        let Some(id) = read.as_ref().ok().copied().filter(|_| found.is_empty()) else {
            // what may not be removed is missing in the whole
            let is_news = |misfit: &Misfit| found.is_empty() || !misfit.is_missing;
            let of_whole: Vec<Misfit> = read.err().into_iter().flatten().filter(is_news).collect();
            of_whole.into_iter().for_each(|misfit| found.push(in_update(misfit, update, kept_parents)));
            return Err(found);
        };
        // what changes nothing is no word of a change: the base goes on counting
        if self.draft.record(id).has_content_of(Entity::new(&self.packer.out)) {
            if !self.untouched.insert(id) || self.touched.contains_key(&id) {
                self.count_again()?;
            }
            return Ok(());
        }
        self.write(id, place)?;
        Ok(())
    }

    /// Notes what is to be removed and is not there: a name may be misspelt.
    fn note_absent(&mut self, update: &Update, members: &Members, place: Place) {
        let member = |wanted: &str| members.iter().find(|(key, _)| key == wanted).map(|(_, member)| member);
        for (i, uid) in update.remove_parents.iter().enumerate() {
            let uids = std::slice::from_ref(uid);
            let is_there =
                matches!(member("parents"), Some(Value::Array(parents)) if parents.iter().any(|it| is_among(it, uids)));
            if !is_there {
                self.idle.of_part(&update.uid, &format!("/remove_parents/{i}"), &format!("parent `{uid}`"), place);
            }
        }
        for (i, name) in update.untag.iter().enumerate() {
            let is_there =
                matches!(member("tags"), Some(Value::Object(tags)) if tags.iter().any(|(key, _)| **key == **name));
            if !is_there {
                self.idle.of_part(&update.uid, &format!("/untag/{i}"), &format!("tag `{name}`"), place);
            }
        }
        for (i, name) in update.unset.iter().enumerate() {
            let is_there =
                matches!(member("attrs"), Some(Value::Object(attrs)) if attrs.iter().any(|(key, _)| **key == **name));
            if !is_there {
                self.idle.of_part(&update.uid, &format!("/unset/{i}"), &format!("attribute `{name}`"), place);
            }
        }
        let Update { uid, attrs, unset, tags, untag, add_parents, remove_parents } = update;
        let says_nothing = attrs.is_empty() && unset.is_empty() && tags.is_empty() && untag.is_empty();
        if says_nothing && add_parents.is_empty() && remove_parents.is_empty() {
            self.idle.of_empty(uid, place);
        }
    }

    /// Refuses to remove what the schema does not know: the name may be misspelt.
    fn check_names(&self, update: &Update, found: &mut Misfits) {
        let declared = self.checks.schema.and_then(|schema| schema.entity_type(&update.uid.type_name));
        let Some(declared) = declared else { return };
        for (i, uid) in update.remove_parents.iter().enumerate() {
            if let Err(message) = self.check_type(uid) {
                let at = vec![Step::Member("remove_parents".to_owned()), Step::Element(i)];
                found.push(moved(message.into(), at));
            }
        }
        if declared.tags.is_none() && !update.untag.is_empty() {
            let message = format!("entities of type `{}` have no tags", update.uid.type_name);
            found.push(moved(message.into(), vec![Step::Member("untag".to_owned())]));
        }
        for (i, name) in update.unset.iter().enumerate() {
            let at = || vec![Step::Member("unset".to_owned()), Step::Element(i)];
            let type_name = &update.uid.type_name;
            match declared.attributes.get(name) {
                None => {
                    let near = hint(name, declared.attributes.keys().map(String::as_str));
                    let message = format!("`{type_name}` has no attribute `{name}`{near}");
                    found.push(moved(message.into(), at()));
                }
                Some(member) if member.required => {
                    let message = format!("`{name}` is a required attribute of `{type_name}`: it cannot be removed");
                    found.push(moved(message.into(), at()));
                }
                Some(_) => {}
            }
        }
    }
}

fn set(members: &mut Members, values: &[(String, Value<'static>)], removed: &[String]) {
    members.retain(|(key, _)| !removed.iter().any(|name| **name == **key));
    for (name, value) in values {
        match members.iter_mut().find(|(key, _)| **key == **name) {
            Some((_, member)) => *member = value.clone(),
            None => members.push((name.clone().into(), value.clone())),
        }
    }
}

fn is_among(parent: &Value<'_>, uids: &[Uid<'_>]) -> bool {
    uid_parts(parent).is_some_and(|(ty, id)| uids.iter().any(|uid| uid.type_name == ty && uid.id == id))
}

fn parent(uid: &Uid<'static>) -> Value<'static> {
    let part = |name: &'static str, text: &Cow<'static, str>| (name.into(), Value::String(text.clone()));
    Value::Object(vec![part("type", &uid.type_name), part("id", &uid.id)])
}

/// What is wrong with the whole entity, at the member of the update that made it so.
fn in_update(misfit: Misfit, update: &Update, kept_parents: usize) -> Misfit {
    let place = match misfit.place.as_slice() {
        [Step::Member(parents), Step::Element(i), rest @ ..] if parents == "parents" => {
            let added = Step::Element(i.saturating_sub(kept_parents));
            [Step::Member("add_parents".to_owned()), added].into_iter().chain(rest.iter().cloned()).collect()
        }
        [Step::Member(parents), ..] if parents == "parents" => vec![Step::Member("add_parents".to_owned())],
        [Step::Member(whole), ..] if misfit.is_missing && whole == "attrs" && !update.unset.is_empty() => {
            vec![Step::Member("unset".to_owned())]
        }
        _ => misfit.place.clone(),
    };
    // the message names the member by its place in the whole, which its sender has not written
    let message = match (misfit.place.as_slice(), place.as_slice()) {
        ([Step::Member(whole), Step::Element(i), ..], [Step::Member(ours), Step::Element(n), ..])
            if whole == "parents" && whole != ours =>
        {
            misfit.message.replace(&format!("`parents[{i}]`"), &format!("`{ours}[{n}]`"))
        }
        _ => misfit.message.clone(),
    };
    Misfit { message, ..moved(misfit, place) }
}
