//! What a file is for, by its name alone.

use std::path::Path;

use palisade_engine::model::near::is_near;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// Cedar policies and templates.
    Policies,
    /// Links of templates.
    Links,
    /// Rules that the data must keep.
    Rules,
    /// A fragment of the schema.
    Schema,
    /// A document of entities.
    Entities,
    /// A file of routes.
    Routes,
    /// A file that is watched, and not loaded.
    Other,
}

/// The endings of files of policies, in Cedar's own syntax and in its JSON form.
pub(super) const POLICY_ENDINGS: [&str; 2] = [".cedar", ".cedar.json"];

/// The endings of files of links.
pub(super) const LINK_ENDINGS: [&str; 3] = [".links.yaml", ".links.yml", ".links.json"];

/// The endings of files of rules.
pub(super) const RULE_ENDINGS: [&str; 3] = [".rules.yaml", ".rules.yml", ".rules.json"];

/// The endings of files of the schema, in Cedar's own syntax and in its JSON form; without the dot they are names.
pub(super) const SCHEMA_ENDINGS: [&str; 2] = [".cedarschema", ".cedarschema.json"];

/// The usual names of a schema that lies beside the policies.
pub(super) const SCHEMA_NAMES: [&str; 4] =
    ["cedarschema", "cedarschema.json", "schema.cedarschema", "schema.cedarschema.json"];

/// Whether a file of this name holds a schema.
pub(in crate::source) fn is_schema(name: &str) -> bool {
    role(name) == Some(Role::Schema)
}

/// Whether a file of that name holds policies.
pub(in crate::source) fn is_policies(name: &str) -> bool {
    role(name) == Some(Role::Policies)
}

/// What the policies and links of a file are named after: its path without the ending. That of a file of links
/// keeps `.links`, so that its links have other names than the policies of the file beside it.
pub(super) fn stem(inner: &str) -> &str {
    if let Some(ending) = LINK_ENDINGS.iter().find(|ending| inner.ends_with(*ending)) {
        return inner.strip_suffix(&ending[".links".len()..]).unwrap_or(inner);
    }
    POLICY_ENDINGS.iter().find_map(|ending| inner.strip_suffix(ending)).unwrap_or(inner)
}

/// Whether a file that is not read as a schema was probably meant to be one: by its name or by its ending.
pub(in crate::source) fn is_like_schema(name: &str) -> bool {
    let ending = || name.split_once('.').is_some_and(|(_, ending)| is_near(ending, "cedarschema"));
    match role(name) {
        // what may be entities elsewhere is nothing beside the policies
        Some(Role::Entities) => name.to_ascii_lowercase().contains("schema"),
        Some(_) => false,
        None if is_skipped(name) || is_beside(name) => false,
        None => name.to_ascii_lowercase().contains("schema") || ending(),
    }
}

/// Whether a file among the policies may hold tests, by its name: it is not read there.
pub(crate) fn may_be_tests(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !is_skipped(&name) && is_routes(&name) && matches!(role(&name), None | Some(Role::Entities))
}

/// Whether a file of policies is in the JSON form, by its name.
pub(super) fn is_json(inner: &str) -> bool {
    inner.ends_with(".json")
}

/// Whether a file of this name may lie beside those that are read without being reported as unread: documentation.
pub(super) fn is_beside(name: &str) -> bool {
    name.ends_with(".md")
}

/// Whether a file of this name is read in some place.
pub(super) fn may_be_read(name: &str) -> bool {
    role(name).is_some() || is_routes(name)
}

/// Whether the name is one that a mounted volume, an editor or a version control system keeps for itself.
///
/// Kubernetes shows a mounted file as a visible link into a hidden directory, so leaving hidden
/// names out reads each file once and by its right name.
pub(super) fn is_skipped(name: &str) -> bool {
    is_hidden(name)
        || name.ends_with('~')
        || [".swp", ".swo", ".swx"].iter().any(|ending| name.ends_with(ending))
        // vim creates and deletes this to find out whether it may write here
        || name == "4913"
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
}

/// Whether the name is hidden by a dot.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// What a file of this name is for, wherever it lies; `None` if for nothing.
pub(super) fn role(name: &str) -> Option<Role> {
    if is_skipped(name) {
        None
    } else if POLICY_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        Some(Role::Policies)
    } else if SCHEMA_ENDINGS.iter().any(|ending| name.ends_with(ending) || name == &ending[1..]) {
        Some(Role::Schema)
    } else if LINK_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        Some(Role::Links)
    } else if RULE_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        Some(Role::Rules)
    } else if is_entities(name) {
        Some(Role::Entities)
    } else {
        None
    }
}

/// Whether a file of this name may hold entities, where entities are looked for.
fn is_entities(name: &str) -> bool {
    name.ends_with(".json") || name.ends_with(".ndjson")
}

/// What a file of this name is for where entities are looked for. What would be links or rules elsewhere is a name like
/// others.
pub(super) fn role_among_entities(name: &str) -> Option<Role> {
    match role(name)? {
        Role::Links | Role::Rules => is_entities(name).then_some(Role::Entities),
        role => Some(role),
    }
}

/// Whether a file of this name holds routes, where routes are looked for.
pub(super) fn is_routes(name: &str) -> bool {
    !is_skipped(name) && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_roles() {
        for (name, expected) in [
            ("a.cedar", Some(Role::Policies)),
            ("a.b.cedar", Some(Role::Policies)),
            ("a.cedar.json", Some(Role::Policies)),
            ("a.cedarschema", Some(Role::Schema)),
            ("a.cedarschema.json", Some(Role::Schema)),
            ("cedarschema", Some(Role::Schema)),
            ("cedarschema.json", Some(Role::Schema)),
            ("acedarschema", None),
            ("a.links.yaml", Some(Role::Links)),
            ("a.links.yml", Some(Role::Links)),
            ("a.links.json", Some(Role::Links)),
            ("a.rules.yaml", Some(Role::Rules)),
            ("a.rules.json", Some(Role::Rules)),
            ("rules.yaml", None),
            ("links.yaml", None),
            (".links.yaml", None),
            ("a.json", Some(Role::Entities)),
            ("a.ndjson", Some(Role::Entities)),
            ("a.cedar.bak", None),
            ("a.CEDAR", None),
            ("cedar", None),
            (".cedar", None),
            (".a.cedar", None),
            ("..data", None),
            ("a.cedar~", None),
            ("a.cedar.swp", None),
            ("#a.cedar#", None),
            (".#a.cedar", None),
            ("4913", None),
            ("#", None),
            ("", None),
        ] {
            assert_eq!(role(name), expected, "{name:?}");
        }
        for (inner, expected) in
            [("a/b.cedar", "a/b"), ("a.cedar.json", "a"), ("a/b.links.yaml", "a/b.links"), ("rules.txt", "rules.txt")]
        {
            assert_eq!(stem(inner), expected);
        }
    }
}
