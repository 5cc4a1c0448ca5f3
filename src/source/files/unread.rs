//! What there is to say of a file that is not read: its author may think that it counts.

use crate::source::files::names::{self, Role};
use crate::source::files::scan::Part;
use palisade_engine::model::closest;

/// Message and help for a file at `inner` that has this name. `schema_here` says whether the schema is looked for among
/// the policies.
pub(super) fn why(part: Part, name: &str, inner: &str, schema_here: bool) -> (&'static str, String) {
    let (message, help) = match (part, names::role(name)) {
        (Part::Policies, Some(Role::Schema)) if schema_here => (
            "this schema is not read: schemas are read from the top of the policies, or from beside `policies`",
            "move it up, or rename it if it is not one",
        ),
        (Part::Policies, Some(Role::Schema)) => {
            ("this schema is not read, since another is named", "remove it, or leave `--schema` out")
        }
        (Part::Policies, _) if inner.starts_with("tests/") => (
            "this file is not read: `tests` holds tests of policies, and no policies",
            "move it out of `tests`, or put a dot before its name",
        ),
        (Part::Policies, Some(Role::Entities)) => (
            "this file is not read: entities belong in `entities`, and no file here is read as such; policies in the JSON \
             form are in files named `*.cedar.json`",
            "move it to `entities` if it holds entities, rename it, or put a dot before its name",
        ),
        (Part::Policies, _) => (
            "this file is not read: policies are in files named `*.cedar` or `*.cedar.json`, the schema in `*.cedarschema` \
             or `*.cedarschema.json`, links in `*.links.yaml` or `*.links.json`, rules of the data in `*.rules.yaml`",
            "rename it, move it away, or put a dot before its name",
        ),
        (Part::Entities, Some(Role::Policies | Role::Schema | Role::Links | Role::Rules)) => (
            "this file is not read: policies, their schema and links belong in `policies`; entities are in files named \
             `*.json` or `*.ndjson`",
            "move it to `policies`, rename it, or put a dot before its name",
        ),
        (Part::Entities, _) => (
            "this file is not read: entities are in files named `*.json` or `*.ndjson`",
            "rename it, move it away, or put a dot before its name",
        ),
        (Part::Routes | Part::Schema | Part::Beside | Part::Bundle | Part::Around | Part::Other, _) => (
            "this file is not read: routes are in files named `*.yaml`, `*.yml` or `*.json`",
            "rename it, move it away, or put a dot before its name",
        ),
    };
    match meant(part, name) {
        Some(meant) => (message, format!("if it is meant to be `{meant}`: {help}")),
        None => (message, help.to_owned()),
    }
}

/// The name that was probably meant, where an ending is misspelt.
fn meant(part: Part, name: &str) -> Option<String> {
    if names::role(name).is_some() {
        return None;
    }
    let endings = match part {
        Part::Policies => {
            [&names::POLICY_ENDINGS[..], &names::SCHEMA_ENDINGS, &names::LINK_ENDINGS, &names::RULE_ENDINGS].concat()
        }
        Part::Entities => vec![".json", ".ndjson"],
        Part::Routes => vec![".yaml", ".yml", ".json"],
        Part::Schema | Part::Beside | Part::Bundle | Part::Around | Part::Other => return None,
    };
    // the shortest ending first: what comes before it is the name
    name.rmatch_indices('.').find_map(|(at, _)| {
        let (stem, ending) = name.split_at(at);
        let ending = ending.to_ascii_lowercase();
        if (part, &*ending) == (Part::Entities, ".jsonl") {
            return Some(format!("{stem}.ndjson"));
        }
        closest(&ending, endings.iter().copied()).map(|meant| format!("{stem}{meant}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_wrong_place_or_with_the_wrong_ending_is_told_the_right_one() {
        for (part, name, message, help) in [
            (Part::Policies, "hospital.schema", "the schema in `*.cedarschema`", ""),
            (Part::Policies, "hospital.cedarschma", "the schema in `*.cedarschema`", "`hospital.cedarschema`"),
            (Part::Policies, "hospital.ceder", "policies are in files named `*.cedar`", "`hospital.cedar`"),
            (Part::Policies, "a.b.CEDAR", "policies are in files named `*.cedar`", "`a.b.cedar`"),
            (Part::Policies, "roles.link.yaml", "links in `*.links.yaml`", "`roles.links.yaml`"),
            (Part::Policies, "people.json", "entities belong in `entities`", "move it to `entities`"),
            (Part::Policies, "people.ndjson", "entities belong in `entities`", "move it to `entities`"),
            (Part::Policies, "notes.txt", "policies are in files named `*.cedar`", "rename it, move"),
            (Part::Policies, "Makefile", "policies are in files named `*.cedar`", "rename it, move"),
            (Part::Entities, "h.jsn", "entities are in files named `*.json`", "`h.json`"),
            (Part::Entities, "h.jsonl", "entities are in files named `*.json`", "`h.ndjson`"),
            (Part::Entities, "h.JSON", "entities are in files named `*.json`", "`h.json`"),
            (
                Part::Entities,
                "a.cedar",
                "policies, their schema and links belong in `policies`",
                "move it to `policies`",
            ),
            (Part::Entities, "a.cedarschema", "belong in `policies`", "move it to `policies`"),
            (Part::Routes, "r.ymal", "routes are in files named `*.yaml`", "`r.yaml`"),
        ] {
            let found = why(part, name, name, true);
            assert!(found.0.contains(message) && found.1.contains(help), "{name}: {found:?}");
        }
    }
}
