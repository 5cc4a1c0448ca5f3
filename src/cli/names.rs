//! Names of entities as people type them: `User::bob` in short, or `Fleet::User::"bob"` in full, its id in quotes.
//!
//! Files of tests name their namespace themselves. A command line has none to name, so the schema of the bundle says
//! which types a short name can mean. A short name that can mean two things is refused, never guessed.

use std::collections::BTreeSet;

use palisade_engine::model::{SchemaText, Uid};
use palisade_engine::{Limits, SchemaFacts};

/// Reads `Type::id` in `namespace`, or a uid in full with its id in quotes; an action may be its id alone.
///
/// # Errors
/// If the text is neither.
pub(super) fn read(written: &str, namespace: Option<&str>, is_action: bool) -> Result<Uid<'static>, String> {
    if is_full(written) {
        return Uid::parse(written).map(Uid::into_owned).map_err(|error| error.to_string());
    }
    let (type_name, id) = match written.split_once("::") {
        Some(parts) => parts,
        None if is_action && !written.is_empty() => ("Action", written),
        None => {
            return Err(format!(
                "`{written}` is not an entity: write `Type::id`, or in full `Name::Space::Type::\"id\"`"
            ));
        }
    };
    if let Some(rest) = namespace.and_then(|namespace| written.strip_prefix(namespace)?.strip_prefix("::"))
        && let Some((type_name, id)) = rest.split_once("::")
    {
        return Err(format!(
            "`{written}`: the namespace `{0}` is put before names: write `{rest}`, or in full `{0}::{type_name}::\"{id}\"`",
            namespace.unwrap_or_default()
        ));
    }
    let qualified = match namespace {
        Some(namespace) => format!("{namespace}::{type_name}"),
        None => type_name.to_owned(),
    };
    match Uid::new(qualified, id.to_owned()) {
        Ok(uid) if !id.is_empty() => Ok(uid),
        Ok(_) => Err(format!("`{written}` has an empty id: write it in full, `Type::\"\"`, if that is meant")),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a name is written in full.
fn is_full(written: &str) -> bool {
    written.ends_with('"')
}

/// The types and actions that a schema declares; short names on the command line are read by them.
#[derive(Debug, Default)]
pub(super) struct Names {
    types: BTreeSet<String>,
    /// Type and id.
    actions: BTreeSet<(String, String)>,
}

// === impl Names ===

impl Names {
    /// Those that `schema` declares, if one of the names written is a short one. A schema that cannot be read declares
    /// none: building the bundle reports what is wrong with it.
    pub(super) fn of(schema: Option<&SchemaText>, limits: &Limits, written: &[Option<&str>]) -> Self {
        let Some(schema) = schema.filter(|_| written.iter().flatten().any(|written| !is_full(written))) else {
            return Self::default();
        };
        let Ok(Ok(facts)) = palisade_engine::on_big_stack(|| SchemaFacts::read(schema, limits)) else {
            return Self::default();
        };
        let types = facts.type_names().map(str::to_owned).collect();
        let actions = facts.actions().map(|(type_name, id)| (type_name.to_owned(), id.to_owned())).collect();
        Self { types, actions }
    }

    /// A principal or a resource.
    ///
    /// # Errors
    /// If the text names none, or can name two.
    pub(super) fn entity(&self, written: &str) -> Result<Uid<'static>, String> {
        if is_full(written) {
            return read(written, None, false);
        }
        let found = splits(written).flat_map(|(type_name, id)| {
            self.types.iter().filter(move |known| is_called(known, type_name)).map(move |known| (known.as_str(), id))
        });
        match self.one(written, found.filter(|(_, id)| !id.is_empty()))? {
            Some(uid) => Ok(uid),
            // the schema knows no such type, and the engine says what it knows instead
            None => {
                let uid = read(written, one_namespace(self.types.iter().map(String::as_str)), false)?;
                if self.types.is_empty() && uid.id.contains("::") {
                    return Err(format!(
                        "`{written}`: without a schema it is not known where the type ends: write the id in quotes, \
                         such as `Name::Space::Type::\"id\"`"
                    ));
                }
                Ok(uid)
            }
        }
    }

    /// An action, which may be its id alone.
    ///
    /// # Errors
    /// If the text names none, or can name two.
    pub(super) fn action(&self, written: &str) -> Result<Uid<'static>, String> {
        if is_full(written) {
            return read(written, None, true);
        }
        let found = self.actions.iter().filter(|(type_name, id)| {
            written == id || splits(written).any(|(first, rest)| rest == id && is_called(type_name, first))
        });
        if let Some(uid) = self.one(written, found.map(|(type_name, id)| (type_name.as_str(), id.as_str())))? {
            return Ok(uid);
        }
        let known = self.actions.iter().find_map(|(type_name, _)| {
            let id = written.strip_prefix(type_name.as_str())?.strip_prefix("::").filter(|id| !id.is_empty())?;
            Uid::new(type_name.clone(), id.to_owned()).ok()
        });
        match known {
            Some(uid) => Ok(uid),
            None => read(written, one_namespace(self.actions.iter().map(|(type_name, _)| type_name.as_str())), true),
        }
    }

    fn one<'n>(
        &self,
        written: &str,
        found: impl Iterator<Item = (&'n str, &'n str)>,
    ) -> Result<Option<Uid<'static>>, String> {
        let mut found: Vec<Uid<'static>> =
            found.filter_map(|(type_name, id)| Uid::new(type_name.to_owned(), id.to_owned()).ok()).collect();
        found.dedup();
        if found.len() > 1 {
            let all: Vec<String> = found.iter().map(|uid| format!("`{uid}`")).collect();
            return Err(format!("`{written}` can mean {}: write the one that is meant in full", all.join(" or ")));
        }
        Ok(found.pop())
    }
}

/// Every way to cut a name into a type and an id.
fn splits(written: &str) -> impl Iterator<Item = (&str, &str)> {
    written.match_indices("::").map(|(at, mark)| (&written[..at], &written[at + mark.len()..]))
}

/// Whether a type is called this, with or without its namespace.
fn is_called(known: &str, name: &str) -> bool {
    known.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with("::") && !name.contains("::"))
}

/// The namespace that all of these are in, if it is one.
fn one_namespace<'t>(mut types: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let (first, _) = types.next()?.rsplit_once("::")?;
    types.all(|other| other.rsplit_once("::").is_some_and(|(namespace, _)| namespace == first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(types: &[&str], actions: &[(&str, &str)]) -> Names {
        let actions = actions.iter().map(|(type_name, id)| ((*type_name).to_owned(), (*id).to_owned())).collect();
        Names { types: types.iter().map(|name| (*name).to_owned()).collect(), actions }
    }

    #[test]
    fn a_namespace_is_not_written_twice() {
        for (written, expected) in [
            ("Hosp::Nurse::nina", Err("write `Nurse::nina`, or in full `Hosp::Nurse::\"nina\"`")),
            ("Hosp::nina", Ok(r#"Hosp::Hosp::"nina""#)),
            ("Nurse::a::b", Ok(r#"Hosp::Nurse::"a::b""#)),
            (r#"Hosp::Nurse::"nina""#, Ok(r#"Hosp::Nurse::"nina""#)),
        ] {
            match (read(written, Some("Hosp"), false), expected) {
                (Ok(uid), Ok(expected)) => assert_eq!(uid.to_string(), expected),
                (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
                (got, _) => panic!("{written}: {got:?}"),
            }
        }
    }

    #[test]
    fn short_names_mean_what_the_schema_declares() {
        let plain = names(&["User", "Doc"], &[("Action", "view")]);
        let fleet = names(&["Fleet::User", "Fleet::Scope"], &[("Fleet::Action", "view"), ("Fleet::Action", "a::b")]);
        let two = names(&["A::User", "B::User", "A::Doc"], &[("A::Action", "view"), ("B::Action", "view")]);
        let nested = names(&["A", "A::B"], &[]);
        let none = names(&[], &[]);
        for (names, written, entity) in [
            (&plain, "User::bob", Ok(r#"User::"bob""#)),
            (&plain, r#"User::"bob""#, Ok(r#"User::"bob""#)),
            (&plain, "User::a b", Ok(r#"User::"a b""#)),
            (&plain, "Usr::bob", Ok(r#"Usr::"bob""#)),
            (&plain, "User::", Err("empty id")),
            (&plain, "bob", Err("`bob` is not an entity")),
            (&plain, "", Err("is not an entity")),
            (&plain, r#"User::"bo"b""#, Err("not an entity uid")),
            (&fleet, "User::bob", Ok(r#"Fleet::User::"bob""#)),
            (&fleet, "Fleet::User::bob", Ok(r#"Fleet::User::"bob""#)),
            (&fleet, "Scope::a::b", Ok(r#"Fleet::Scope::"a::b""#)),
            // in full is in full
            (&fleet, r#"User::"bob""#, Ok(r#"User::"bob""#)),
            (&fleet, "Usr::bob", Ok(r#"Fleet::Usr::"bob""#)),
            (&two, "User::bob", Err(r#"can mean `A::User::"bob"` or `B::User::"bob"`"#)),
            (&two, "B::User::bob", Ok(r#"B::User::"bob""#)),
            (&two, "Doc::d", Ok(r#"A::Doc::"d""#)),
            (&nested, "A::B::c", Err("can mean")),
            (&nested, "A::c", Ok(r#"A::"c""#)),
            (&none, "User::bob", Ok(r#"User::"bob""#)),
            (&none, "Fleet::User::bob", Err("write the id in quotes")),
        ] {
            match (names.entity(written), entity) {
                (Ok(uid), Ok(expected)) => assert_eq!(uid.to_string(), expected, "{written}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{written}: {message}"),
                (got, _) => panic!("{written}: {got:?}, expected {entity:?}"),
            }
        }
        for (names, written, action) in [
            (&plain, "view", Ok(r#"Action::"view""#)),
            (&plain, "Action::view", Ok(r#"Action::"view""#)),
            (&plain, r#"Action::"view""#, Ok(r#"Action::"view""#)),
            (&plain, "veiw", Ok(r#"Action::"veiw""#)),
            (&plain, "", Err("is not an entity")),
            (&fleet, "view", Ok(r#"Fleet::Action::"view""#)),
            (&fleet, "Action::view", Ok(r#"Fleet::Action::"view""#)),
            (&fleet, "Fleet::Action::view", Ok(r#"Fleet::Action::"view""#)),
            (&fleet, "a::b", Ok(r#"Fleet::Action::"a::b""#)),
            (&fleet, "Action::a::b", Ok(r#"Fleet::Action::"a::b""#)),
            (&fleet, "Fleet::Action::veiw", Ok(r#"Fleet::Action::"veiw""#)),
            (&fleet, "veiw", Ok(r#"Fleet::Action::"veiw""#)),
            (&two, "view", Err("can mean")),
            (&two, "A::Action::view", Ok(r#"A::Action::"view""#)),
            (&none, "view", Ok(r#"Action::"view""#)),
        ] {
            match (names.action(written), action) {
                (Ok(uid), Ok(expected)) => assert_eq!(uid.to_string(), expected, "{written}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{written}: {message}"),
                (got, _) => panic!("{written}: {got:?}, expected {action:?}"),
            }
        }
    }
}
