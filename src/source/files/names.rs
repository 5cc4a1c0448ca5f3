//! What a file is for, by its name alone.

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Cedar policies and templates.
    Policies,
    /// A fragment of the schema.
    Schema,
    /// A document of entities.
    Entities,
    /// A file of routes.
    Routes,
}

/// The ending of files of policies.
pub(super) const POLICY_ENDING: &str = ".cedar";

/// Whether the name is one that a mounted volume, an editor or a version control system keeps for itself.
///
/// Kubernetes shows a mounted file as a visible link into a hidden directory, so leaving hidden
/// names out reads each file once and by its right name.
pub(super) fn is_skipped(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || [".swp", ".swo", ".swx"].iter().any(|ending| name.ends_with(ending))
        // vim creates and deletes this to find out whether it may write here
        || name == "4913"
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
}

/// What a file of this name is for, wherever it lies; `None` if for nothing.
pub(super) fn role(name: &str) -> Option<Role> {
    if is_skipped(name) {
        None
    } else if name.ends_with(POLICY_ENDING) {
        Some(Role::Policies)
    } else if name.ends_with(".cedarschema") || name.ends_with(".cedarschema.json") {
        Some(Role::Schema)
    } else if name.ends_with(".json") || name.ends_with(".ndjson") {
        Some(Role::Entities)
    } else {
        None
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
            ("a.cedarschema", Some(Role::Schema)),
            ("a.cedarschema.json", Some(Role::Schema)),
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
    }
}
