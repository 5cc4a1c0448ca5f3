//! A bundle as a directory that loads to the same state.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::cli::export::named::named;
use palisade_engine::model::{Bundle, DataRule, LinkDeclaration, PolicyNaming, PolicyText};

/// What a directory has of a bundle.
pub(super) const TOPS: [&str; 3] = ["policies", "entities", "routes"];

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) policies: usize,
    pub(super) links: usize,
    pub(super) entities: usize,
    pub(super) routes: usize,
}

/// Writes `bundle` below `dir`, which is there. Each of its policies has its id (`PolicyNaming::Exactly`).
///
/// Gives the bundle as it will be read, but for the origins, and how much it was.
pub(super) fn write(bundle: &Bundle, dir: &Path) -> io::Result<(Bundle, Written)> {
    let Bundle { policies, schema, entities, links, routes, for_each } = bundle;
    let linked = links.len() + for_each.links.len();
    let mut written = Written { policies: policies.len(), links: linked, routes: routes.len(), ..Written::default() };
    for top in &TOPS[..2] {
        fs::create_dir(dir.join(top))?;
    }
    let policies = write_policies(policies, &dir.join("policies"))?;
    for (n, (_, text)) in schema.iter().flat_map(|schema| &schema.fragments).enumerate() {
        let number = if n == 0 { String::new() } else { format!(".{n:04}") };
        let ending = if is_json(text) { ".json" } else { "" };
        fs::write(dir.join(format!("policies/schema{number}.cedarschema{ending}")), text)?;
    }
    if linked > 0 {
        let of_args = |args: &[(String, String)]| -> Map<String, Value> {
            args.iter().map(|(slot, uid)| (slot.clone(), uid.as_str().into())).collect()
        };
        let links = links.iter().map(
            |link| json!({ "template_id": link.template_id, "link_id": link.link_id, "args": of_args(&link.args) }),
        );
        let declared = for_each.links.iter().map(LinkDeclaration::to_json);
        pretty(&dir.join("policies/policies.links.json"), links.chain(declared))?;
    }
    if !for_each.rules.is_empty() {
        pretty(&dir.join("policies/policies.rules.json"), for_each.rules.iter().map(DataRule::to_json))?;
    }
    let place = dir.join("entities/entities.ndjson");
    let mut out = BufWriter::new(File::create(&place)?);
    for document in entities {
        written.entities += lines(&document.bytes()?, &mut out)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    if written.entities == 0 {
        // an empty file could be one that was cut off, so it is refused
        fs::remove_file(place)?;
        fs::write(dir.join("entities/entities.json"), "[]\n")?;
    }
    if !routes.is_empty() {
        fs::create_dir(dir.join("routes"))?;
        for (name, (_, text)) in route_names(routes).into_iter().zip(routes) {
            fs::write(dir.join("routes").join(name), text)?;
        }
    }
    Ok((Bundle { policies, routes: Vec::new(), ..bundle.clone() }, written))
}

fn pretty(path: &Path, values: impl Iterator<Item = Value>) -> io::Result<()> {
    fs::write(path, format!("{:#}\n", Value::Array(values.collect())))
}

/// Writes policies in Cedar's syntax into one file, and those in the JSON form into another.
fn write_policies(policies: &[PolicyText], dir: &Path) -> io::Result<Vec<PolicyText>> {
    let (mut texts, mut sets, mut as_read) = (String::new(), [Map::new(), Map::new()], Vec::new());
    for (n, policy) in policies.iter().enumerate() {
        let id = policy.naming.exactly().unwrap_or_default();
        match serde_json::from_str::<Value>(&policy.text) {
            Ok(Value::Object(mut members)) => {
                let annotations = members.entry("annotations").or_insert_with(|| json!({}));
                if let Value::Object(annotations) = annotations {
                    annotations.insert("id".to_owned(), id.into());
                }
                let object = Value::Object(members);
                let text = object.to_string();
                let is_template = text.contains("\"slot\"");
                sets[usize::from(is_template)].insert(format!("p{n}"), object);
                as_read.push(PolicyText { text, naming: PolicyNaming::Exactly(id.to_owned()), ..policy.clone() });
            }
            _ => {
                texts.push_str(named(&policy.text, id).trim_end());
                texts.push_str("\n\n");
            }
        }
    }
    if !texts.is_empty() {
        texts.pop();
        let name = "policies.cedar";
        fs::write(dir.join(name), &texts)?;
        as_read.push(PolicyText {
            origin: name.to_owned(),
            text: texts,
            naming: PolicyNaming::Stem("policies".to_owned()),
        });
    }
    if sets.iter().any(|set| !set.is_empty()) {
        let [policies, templates] = sets;
        let set = json!({ "staticPolicies": policies, "templates": templates, "templateLinks": [] });
        fs::write(dir.join("policies.cedar.json"), format!("{set:#}\n"))?;
    }
    Ok(as_read)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Writes the entities of a document one a line; gives how many there are.
pub(super) fn lines(document: &[u8], out: &mut impl Write) -> io::Result<usize> {
    let mut count = 0;
    let mut line = |entity: &RawValue| -> io::Result<()> {
        count += 1;
        // within a text a line end is written as an escape
        let one = entity.get().bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
        out.write_all(&one.chain([b'\n']).collect::<Vec<u8>>())
    };
    if document.trim_ascii_start().starts_with(b"[") {
        let elements: Vec<&RawValue> = serde_json::from_slice(document)?;
        elements.into_iter().try_for_each(&mut line)?;
    } else {
        for entity in serde_json::Deserializer::from_slice(document).into_iter::<&RawValue>() {
            line(entity?)?;
        }
    }
    Ok(count)
}

/// A name for each file of routes: that of its origin, as far as it is one for a file.
fn route_names(routes: &[(String, String)]) -> Vec<PathBuf> {
    let mut taken = BTreeSet::new();
    let name = |(origin, _): &(String, String)| {
        let last = origin.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = last.split('.').next().unwrap_or_default();
        let plain: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(100).collect();
        let plain = if plain.is_empty() { "routes".to_owned() } else { plain };
        let mut name = format!("{plain}.yaml");
        for n in 1.. {
            if taken.insert(name.to_lowercase()) {
                break;
            }
            name = format!("{plain}-{n}.yaml");
        }
        PathBuf::from(name)
    };
    routes.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_written_one_a_line() {
        for text in [
            "[{\"a\":\n 1},{\"b\":\"x\\ny\"}]",
            "{\"a\":\n 1}\n{\"b\":\"x\\ny\"}\n",
            " [ {\"a\": 1} , {\"b\":\"x\\ny\"} ]",
        ] {
            let mut out = Vec::new();
            assert_eq!(lines(text.as_bytes(), &mut out).unwrap(), 2);
            assert_eq!(String::from_utf8(out).unwrap().replace(' ', ""), "{\"a\":1}\n{\"b\":\"x\\ny\"}\n");
        }
        let mut out = Vec::new();
        assert_eq!(lines(b"[]", &mut out).unwrap() + lines(b"", &mut out).unwrap(), 0);
        assert!(lines(b"[{]", &mut out).is_err());
    }

    #[test]
    fn files_of_routes_keep_their_names_where_those_are_names() {
        let origins = ["routes/a.yaml", "b/A.json", "routes", "../../etc/passwd", "..", ""];
        let routes: Vec<(String, String)> =
            origins.iter().map(|origin| ((*origin).to_owned(), String::new())).collect();
        let names: Vec<String> = route_names(&routes).iter().map(|name| name.display().to_string()).collect();
        assert_eq!(names, ["a.yaml", "A-1.yaml", "routes.yaml", "passwd.yaml", "routes-1.yaml", "routes-2.yaml"]);
    }
}
