//! A bundle as bytes, so that a base which a request put is there after a restart exactly as it was.
//!
//! Numbers are little-endian; a text or document is its length and its bytes. The journal checks the bytes; what cannot be
//! read all the same is an error, and nothing of it is used.

use std::io::{self, Read, Write};

use palisade_engine::model::{
    Bundle, DataRule, Document, ForEach, Link, LinkDeclaration, PolicyNaming, PolicyText, RequestError, SchemaText,
    Value,
};

/// The form of the image. The one before it had nothing of [`ForEach`]; another is refused.
const FORM: u64 = 2;

/// Writes a bundle.
pub(super) fn write(bundle: &Bundle, out: &mut impl Write) -> io::Result<()> {
    // no `..`: a member that is added to `Bundle` must be added here
    let Bundle { policies, schema, entities, links, routes, for_each } = bundle;
    number(out, FORM)?;
    number(out, policies.len() as u64)?;
    for policy in policies {
        text(out, &policy.origin)?;
        text(out, &policy.text)?;
        let (kind, name, line) = match &policy.naming {
            PolicyNaming::Stem(stem) => (0, stem.as_str(), 0),
            PolicyNaming::Exactly(id) => (1, id.as_str(), 0),
            PolicyNaming::Part { id, line } => (2, id.as_str(), *line as u64),
            PolicyNaming::Ordinal => (3, "", 0),
        };
        number(out, kind)?;
        text(out, name)?;
        number(out, line)?;
    }
    number(out, u64::from(schema.is_some()))?;
    pairs(out, schema.as_ref().map_or(&[], |schema| &schema.fragments))?;
    number(out, entities.len() as u64)?;
    for document in entities {
        text(out, &document.origin)?;
        bytes(out, &document.bytes()?)?;
    }
    number(out, links.len() as u64)?;
    for link in links {
        text(out, &link.template_id)?;
        text(out, &link.link_id)?;
        pairs(out, &link.args)?;
    }
    pairs(out, routes)?;
    let ForEach { links, rules } = for_each;
    number(out, links.len() as u64)?;
    links.iter().try_for_each(|link| text(out, &link.to_json().to_string()))?;
    number(out, rules.len() as u64)?;
    rules.iter().try_for_each(|rule| text(out, &rule.to_json().to_string()))
}

fn number(out: &mut impl Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

fn bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

fn text(out: &mut impl Write, text: &str) -> io::Result<()> {
    bytes(out, text.as_bytes())
}

fn pairs(out: &mut impl Write, pairs: &[(String, String)]) -> io::Result<()> {
    number(out, pairs.len() as u64)?;
    for (first, second) in pairs {
        text(out, first)?;
        text(out, second)?;
    }
    Ok(())
}

/// Reads a bundle; `left` is how many bytes there are.
pub(super) fn read(from: &mut impl Read, left: u64) -> io::Result<Bundle> {
    let mut from = Reader { from, left };
    let form = from.number()?;
    if !(1..=FORM).contains(&form) {
        return Err(damaged());
    }
    let policies = from.list(|from| {
        let (origin, text) = (from.text()?, from.text()?);
        let (kind, name, line) = (from.number()?, from.text()?, from.number()?);
        let naming = match kind {
            0 => PolicyNaming::Stem(name),
            1 => PolicyNaming::Exactly(name),
            2 => PolicyNaming::Part { id: name, line: usize::try_from(line).map_err(|_| damaged())? },
            3 => PolicyNaming::Ordinal,
            _ => return Err(damaged()),
        };
        Ok(PolicyText { origin, text, naming })
    })?;
    let has_schema = from.number()? != 0;
    let fragments = from.pairs()?;
    let schema = has_schema.then_some(SchemaText { fragments });
    let entities = from.list(|from| {
        let origin = from.text()?;
        Ok(Document::held(origin, from.bytes()?))
    })?;
    let links = from.list(|from| {
        let (template_id, link_id) = (from.text()?, from.text()?);
        Ok(Link { template_id, link_id, args: from.pairs()?, written: None })
    })?;
    let routes = from.pairs()?;
    let mut for_each = ForEach::default();
    if form > 1 {
        for_each.links = from.list(|from| declaration(&from.text()?, LinkDeclaration::from_value))?;
        for_each.rules = from.list(|from| declaration(&from.text()?, DataRule::from_value))?;
    }
    if from.left > 0 { Err(damaged()) } else { Ok(Bundle { policies, schema, entities, links, routes, for_each }) }
}

/// Reads what was written as the JSON of the API.
fn declaration<T>(text: &str, read: impl FnOnce(Value<'_>, &str) -> Result<T, RequestError>) -> io::Result<T> {
    let value = Value::parse(text.as_bytes()).map_err(|_| damaged())?;
    read(value, "").map_err(|_| damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the image of the base cannot be read")
}

struct Reader<'r, R> {
    from: &'r mut R,
    left: u64,
}

impl<R: Read> Reader<'_, R> {
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(damaged)?;
        self.from.read_exact(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.take(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()?;
        if length > self.left {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        self.take(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| damaged())
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        let length = self.number()?;
        (0..length).map(|_| each(self)).collect()
    }

    fn pairs(&mut self) -> io::Result<Vec<(String, String)>> {
        self.list(|from| Ok((from.text()?, from.text()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let namings = [
            PolicyNaming::Stem("a".to_owned()),
            PolicyNaming::Exactly("é".to_owned()),
            PolicyNaming::Part { id: "p".to_owned(), line: 7 },
            PolicyNaming::Ordinal,
        ];
        let policy = |naming: PolicyNaming| PolicyText { origin: "o".to_owned(), text: "permit".to_owned(), naming };
        let link = Link {
            template_id: "t".to_owned(),
            link_id: "l".to_owned(),
            args: vec![pair("?principal", "U::\"u\"")],
            written: None,
        };
        let whole = Bundle {
            policies: namings.map(policy).to_vec(),
            schema: Some(SchemaText { fragments: vec![pair("s", "entity U;"), pair("", "")] }),
            entities: vec![Document::held("e", "[]"), Document::held("f", "")],
            links: vec![link],
            routes: vec![pair("r", "routes: []")],
            for_each: ForEach {
                links: vec![
                    declaration(r#"{"each":"G","template":"t","missing":"warn"}"#, LinkDeclaration::from_value)
                        .unwrap(),
                ],
                rules: vec![
                    declaration(r#"{"each":"G","must":"true","code":"c","message":"m"}"#, DataRule::from_value)
                        .unwrap(),
                ],
            },
        };
        for bundle in [whole.clone(), Bundle::default(), Bundle { schema: None, ..whole }] {
            let mut bytes = Vec::new();
            write(&bundle, &mut bytes).unwrap();
            assert_eq!(read(&mut &bytes[..], bytes.len() as u64).unwrap(), bundle);
            for length in 0..bytes.len() {
                assert!(read(&mut &bytes[..length], length as u64).is_err(), "cut at {length}");
            }
            bytes.push(0);
            assert!(read(&mut &bytes[..], bytes.len() as u64).is_err());
        }
    }
}
