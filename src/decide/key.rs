//! What makes two requests the same question: the cache's key.
//!
//! Everything that a decision may depend on goes in, each part with its kind and its length before it, so
//! that no two different requests can be written the same. The cache compares keys in full: a hash is
//! never an identity.

use palisade_engine::model::{AccessRequest, OverlayMode, Revision, Uid, Value};

/// A request in canonical form, with the revision that answers it.
pub(super) type Key = Box<[u8]>;

/// Writes the key of `request` at `revision` to `out`.
pub(super) fn write(out: &mut Vec<u8>, revision: Revision, request: &AccessRequest<'_>) {
    // destructured, so that a new member of the request does not compile until it is in the key
    let AccessRequest { principal, action, resource, context, entities, additional_entities, overlays } = request;
    out.extend_from_slice(&revision.incarnation.to_le_bytes());
    out.extend_from_slice(&revision.counter.to_le_bytes());
    for uid in [principal, action, resource] {
        put_uid(out, uid);
    }
    put_value(out, context);
    for carried in [entities, additional_entities] {
        match carried {
            None => out.push(b'-'),
            Some(value) => {
                out.push(b'+');
                put_value(out, value);
            }
        }
    }
    put_length(out, overlays.len());
    for overlay in overlays {
        put_uid(out, &overlay.entity);
        out.push(match overlay.mode {
            OverlayMode::Fill => b'f',
            OverlayMode::Override => b'o',
        });
        put_value(out, &overlay.attributes);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// What follows, and how much of it.
fn put_head(out: &mut Vec<u8>, kind: u8, length: usize) {
    let mut head = [kind; 9];
    head[1..].copy_from_slice(&(length as u64).to_le_bytes());
    out.extend_from_slice(&head);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_uid(out: &mut Vec<u8>, uid: &Uid<'_>) {
    put_head(out, b'u', uid.type_name.len());
    put_length(out, uid.id.len());
    out.extend_from_slice(uid.type_name.as_bytes());
    out.extend_from_slice(uid.id.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(b'0'),
        Value::Bool(b) => out.extend_from_slice(&[b'b', u8::from(*b)]),
        Value::Long(n) => {
            out.push(b'l');
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Number(n) => {
            out.push(b'n');
            out.extend_from_slice(&n.to_bits().to_le_bytes());
        }
        Value::String(text) => {
            put_head(out, b's', text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(elements) => {
            put_head(out, b'a', elements.len());
            for element in elements {
                put_value(out, element);
            }
        }
        Value::Object(members) => {
            put_head(out, b'o', members.len());
            if members.is_sorted_by(|(a, _), (b, _)| a <= b) {
                for (key, value) in members {
                    put_text(out, key);
                    put_value(out, value);
                }
            } else {
                // the order of members means nothing
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                for (key, value) in sorted {
                    put_text(out, key);
                    put_value(out, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use palisade_engine::model::Overlay;

    const AT: Revision = Revision { incarnation: 1, counter: 1 };

    fn of(revision: Revision, request: &AccessRequest<'_>) -> Key {
        let mut key = Vec::new();
        write(&mut key, revision, request);
        key.into()
    }

    fn request(text: &str) -> AccessRequest<'_> {
        AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn base() -> AccessRequest<'static> {
        request(r#"{"principal":"U::\"a\"","action":"Action::\"b\"","resource":"R::\"c\"","context":{"x":1}}"#)
            .into_owned()
    }

    #[test]
    fn each_input_counts() {
        let mut others = Vec::new();
        let mut other = |change: &dyn Fn(&mut AccessRequest<'static>)| {
            let mut request = base();
            change(&mut request);
            others.push(of(AT, &request));
        };
        other(&|_| ());
        other(&|r| r.principal = Uid::new("U", "A").unwrap());
        other(&|r| r.principal = Uid::new("V", "a").unwrap());
        other(&|r| r.action = Uid::new("Action", "").unwrap());
        other(&|r| r.resource = Uid::new("R", "c\0").unwrap());
        other(&|r| std::mem::swap(&mut r.principal, &mut r.resource));
        other(&|r| r.context = Value::empty_object());
        other(&|r| r.context = Value::parse(br#"{"x":"1"}"#).unwrap());
        other(&|r| r.context = Value::parse(br#"{"x":true}"#).unwrap());
        other(&|r| r.context = Value::parse(br#"{"x":[1]}"#).unwrap());
        other(&|r| r.context = Value::parse(br#"{"x":[[1]]}"#).unwrap());
        other(&|r| r.context = Value::parse(br#"{"x":{"x":1}}"#).unwrap());
        other(&|r| r.context = Value::parse(br#"{"x":1,"y":1}"#).unwrap());
        other(&|r| r.entities = Some(Value::Array(vec![])));
        other(&|r| r.additional_entities = Some(Value::Array(vec![])));
        for mode in [OverlayMode::Fill, OverlayMode::Override] {
            other(&|r| {
                let attributes = Value::empty_object();
                r.overlays.push(Overlay { entity: Uid::new("U", "a").unwrap(), attributes, mode });
            });
        }
        others.push(of(AT.next(), &base()));
        others.push(of(Revision { incarnation: 2, counter: 1 }, &base()));
        let distinct: std::collections::HashSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
    }

    #[test]
    fn the_order_of_members_does_not_count() {
        let one = request(
            r#"{"principal":"U::\"a\"","action":"A::\"b\"","resource":"R::\"c\"","context":{"x":1,"y":{"p":1,"q":2}}}"#,
        );
        let two = request(
            r#"{"resource":"R::\"c\"","context":{"y":{"q":2,"p":1},"x":1},"principal":"U::\"a\"","action":"A::\"b\""}"#,
        );
        assert_eq!(of(AT, &one), of(AT, &two));
    }

    /// Texts that a careless key would run together.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["", "a", "A", "\0", "\"", "::", "1", "s", "o", "\u{1}"]), 0..4)
            .prop_map(|parts| parts.concat())
    }

    fn value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-2_i64..3).prop_map(Value::Long),
            text().prop_map(|t| Value::String(Cow::Owned(t))),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map(text(), inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (Cow::Owned(k), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_keys_mean_equal_requests(a in (text(), text(), text(), value()), b in (text(), text(), text(), value())) {
            let make = |(p, a, r, context): (String, String, String, Value<'static>)| {
                let mut request = AccessRequest::new(Uid::new("U", p).unwrap(), Uid::new("Action", a).unwrap(), Uid::new("R", r).unwrap());
                request.context = context;
                request
            };
            let (a, b) = (make(a), make(b));
            prop_assert_eq!(of(AT, &a) == of(AT, &b), a == b);
        }
    }
}
