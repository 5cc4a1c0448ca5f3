//! The digest by which equal bundles are recognised.
//!
//! Every text goes into the hash with its length before it, so that no two different bundles have the
//! same input: a delimiter could occur in a policy. Of a document of entities its own hash goes in, which is
//! known where its text is not held. Never used for anything secret.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::{Bundle, ForEach, PolicyNaming};

/// SHA-256 of a bundle. Reads as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of everything in the bundle: texts, their origins, their order and how policies are named.
    #[must_use]
    pub fn of(bundle: &Bundle) -> Self {
        // no `..`: a member that is added to `Bundle` must be added here
        let Bundle { policies, schema, entities, links, routes, for_each } = bundle;
        let mut form = Form(Sha256::new());
        form.text(b"palisade bundle 2");
        form.number(policies.len());
        for policy in policies {
            form.text(policy.origin.as_bytes());
            form.text(policy.text.as_bytes());
            match &policy.naming {
                PolicyNaming::Stem(stem) => {
                    form.number(0);
                    form.text(stem.as_bytes());
                }
                // where a policy stands in its file says nothing of what it is
                PolicyNaming::Exactly(id) | PolicyNaming::Part { id, .. } => {
                    form.number(1);
                    form.text(id.as_bytes());
                }
                PolicyNaming::Ordinal => form.number(2),
            }
        }
        // an absent schema is not an empty one
        form.number(usize::from(schema.is_some()));
        let fragments = schema.as_ref().map_or(&[][..], |schema| &schema.fragments);
        form.number(fragments.len());
        for (origin, text) in fragments {
            form.text(origin.as_bytes());
            form.text(text.as_bytes());
        }
        form.number(entities.len());
        for document in entities {
            form.text(document.origin.as_bytes());
            form.text(&document.sha256());
        }
        form.number(links.len());
        for link in links {
            form.text(link.template_id.as_bytes());
            form.text(link.link_id.as_bytes());
            form.number(link.args.len());
            for (slot, entity) in &link.args {
                form.text(slot.as_bytes());
                form.text(entity.as_bytes());
            }
        }
        form.number(routes.len());
        for (origin, text) in routes {
            form.text(origin.as_bytes());
            form.text(text.as_bytes());
        }
        // bundles without have the digest that they had before there were any
        let ForEach { links, rules } = for_each;
        if !for_each.is_empty() {
            form.number(links.len());
            links.iter().for_each(|link| form.text(link.to_json().to_string().as_bytes()));
            form.number(rules.len());
            rules.iter().for_each(|rule| form.text(rule.to_json().to_string().as_bytes()));
        }
        Self(form.0.finalize().into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The canonical form on its way into the hash.
struct Form(Sha256);

impl Form {
    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::{Document, Link, LinkDeclaration, Missing, PolicyText, SchemaText};

    fn policy(origin: &str, text: &str, naming: PolicyNaming) -> Bundle {
        let policies = vec![PolicyText { origin: origin.to_owned(), text: text.to_owned(), naming }];
        Bundle { policies, ..Bundle::default() }
    }

    fn entities(documents: &[(&str, &str)]) -> Bundle {
        let document = |(origin, text): &(&str, &str)| Document::held(*origin, *text);
        Bundle { entities: documents.iter().map(document).collect(), ..Bundle::default() }
    }

    fn schema(fragments: &[(&str, &str)]) -> Bundle {
        let fragments = fragments.iter().map(|(o, t)| ((*o).to_owned(), (*t).to_owned())).collect();
        Bundle { schema: Some(SchemaText { fragments }), ..Bundle::default() }
    }

    fn link(args: &[(&str, &str)]) -> Bundle {
        let args = args.iter().map(|(s, e)| ((*s).to_owned(), (*e).to_owned())).collect();
        Bundle {
            links: vec![Link { template_id: "t".into(), link_id: "l".into(), args, written: None }],
            ..Bundle::default()
        }
    }

    fn each(template: &str, missing: Missing) -> Bundle {
        let (each, template) = ("G".to_owned(), template.to_owned());
        let none = None::<String>;
        let (id, when, principal, resource) = (none.clone(), none.clone(), none.clone(), none);
        let link = LinkDeclaration { each, id, when, template, principal, resource, missing, written: None };
        Bundle { for_each: ForEach { links: vec![link], rules: Vec::new() }, ..Bundle::default() }
    }

    #[test]
    fn different_bundles_have_different_digests() {
        let bundles = [
            Bundle::default(),
            policy("a", "b", PolicyNaming::Ordinal),
            policy("ab", "", PolicyNaming::Ordinal),
            policy("", "ab", PolicyNaming::Ordinal),
            policy("a", "b", PolicyNaming::Stem(String::new())),
            policy("a", "b", PolicyNaming::Exactly(String::new())),
            policy("a", "b", PolicyNaming::Stem("a".to_owned())),
            schema(&[]),
            schema(&[("a", "b")]),
            schema(&[("a", "b"), ("", "")]),
            entities(&[("a", "b")]),
            entities(&[("a", "bc"), ("d", "e")]),
            entities(&[("a", "b"), ("cd", "e")]),
            entities(&[("d", "e"), ("a", "bc")]),
            link(&[]),
            link(&[("a", "b")]),
            Bundle { routes: vec![("a".to_owned(), "b".to_owned())], ..Bundle::default() },
            each("t", Missing::Refuse),
            each("u", Missing::Refuse),
            each("t", Missing::Warn),
        ];
        let digests: HashSet<_> = bundles.iter().map(Digest::of).collect();
        assert_eq!(digests.len(), bundles.len());
    }

    #[test]
    fn reads_as_hexadecimal() {
        let shown = Digest::of(&Bundle::default()).to_string();
        assert!(shown.len() == 64 && shown.bytes().all(|b| b.is_ascii_hexdigit()), "{shown}");
    }
}
