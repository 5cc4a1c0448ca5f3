//! Bodies in their usual form, read in one pass from bytes to what they say, without a tree between.
//!
//! The reader knows less than [`Value::parse`](super::Value::parse) and what is made of its values, and never another
//! meaning. Whatever it does not know (an escape, a fraction, `null`, a name that comes twice, deep nesting, a member
//! that it was not asked for, anything wrong) ends it with `None`, and says nothing: the caller then hands the whole body
//! to the reader that knows everything, which accepts it after all or says what is wrong, and where.

use std::borrow::Cow;

use super::request::AccessRequest;
use super::{Uid, Value};

/// Values that are nested deeper are left to the other reader.
const DEEPEST: usize = 24;

/// Objects with more members are left to the other reader.
const MOST_MEMBERS: usize = 64;

/// A place in a text, behind what was read of it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the begin of a body. `None` if that is not UTF-8.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { text: std::str::from_utf8(bytes).ok()?, at: 0 })
    }

    /// The byte that comes next, behind white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes this byte, which comes next.
    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Text without quotation marks, escapes and control characters, as far as there is some.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let end = self.at + plain_length(self.rest());
        let plain = self.text.get(self.at..end)?;
        self.at = end;
        Some(plain)
    }

    /// A string without escapes.
    ///
    /// All of these are `None` where anything else comes.
    #[inline]
    pub fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let plain = self.plain()?;
        (*self.text.as_bytes().get(self.at)? == b'"').then(|| self.at += 1)?;
        Some(plain)
    }

    /// An object: `member` reads the value of each name.
    #[inline]
    pub fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    /// An array: `element` reads each.
    #[inline]
    pub fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            element(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    /// An object as a value.
    pub fn object(&mut self) -> Option<Value<'a>> {
        self.object_within(1)
    }

    fn object_within(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut found: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        let mut seen = 0_u64;
        self.members(|reader, name| {
            // of most names that alone says that they are new
            let bit = 1 << (marker(name) & 63);
            let known = seen & bit != 0 && found.iter().any(|(known, _)| known == name);
            if known || found.len() == MOST_MEMBERS || depth == DEEPEST {
                return None;
            }
            seen |= bit;
            let value = reader.value(depth + 1)?;
            if found.is_empty() {
                // room for what there will be: objects within objects would take four times as much
                found.reserve_exact(if reader.peek() == Some(b'}') { 1 } else { 4 });
            }
            found.push((Cow::Borrowed(name), value));
            Some(())
        })?;
        Some(Value::Object(found))
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(|text| Value::String(Cow::Borrowed(text))),
            b'{' => self.object_within(depth),
            b'[' => {
                let mut found = Vec::new();
                self.elements(|reader| {
                    if depth == DEEPEST {
                        return None;
                    }
                    let value = reader.value(depth + 1)?;
                    if found.is_empty() {
                        found.reserve_exact(if reader.peek() == Some(b']') { 1 } else { 4 });
                    }
                    found.push(value);
                    Some(())
                })?;
                Some(Value::Array(found))
            }
            b't' => self.word("true", true),
            b'f' => self.word("false", false),
            _ => self.long(),
        }
    }

    fn word(&mut self, word: &str, means: bool) -> Option<Value<'a>> {
        self.rest().starts_with(word.as_bytes()).then(|| self.at += word.len())?;
        Some(Value::Bool(means))
    }

    /// A whole number of up to 18 digits. What it must not go on with ends the object or array that it stands in.
    fn long(&mut self) -> Option<Value<'a>> {
        let rest = self.rest();
        let negative = rest.first() == Some(&b'-');
        let digits = rest.get(usize::from(negative)..)?;
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // a zero before others is no number, and a negative one no whole one
        if !(1..=18).contains(&count) || (digits.first() == Some(&b'0') && (count > 1 || negative)) {
            return None;
        }
        let number = digits.iter().take(count).fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
        self.at += usize::from(negative) + count;
        Some(Value::Long(if negative { -number } else { number }))
    }

    /// A uid: `Type::"id"` as a string, or an object of `type` and `id`.
    #[inline]
    pub fn uid(&mut self) -> Option<Uid<'a>> {
        if self.peek()? == b'"' {
            self.at += 1;
            let type_name = self.plain()?.strip_suffix("::")?;
            self.rest().starts_with(b"\\\"").then(|| self.at += 2)?;
            let id = self.plain()?;
            self.rest().starts_with(b"\\\"\"").then(|| self.at += 3)?;
            return Uid::new(type_name, id).ok();
        }
        let (mut type_name, mut id) = (None, None);
        self.members(|reader, name| {
            let part = match name {
                "type" => &mut type_name,
                "id" => &mut id,
                _ => return None,
            };
            let text = reader.string()?;
            part.replace(text).is_none().then_some(())
        })?;
        Uid::new(type_name?, id?).ok()
    }

    /// Whether the same bytes come next as before, which were those of a string or an object. Then they are taken.
    #[inline]
    fn repeats(&mut self, before: &'a str) -> bool {
        let same = !before.is_empty() && self.peek().is_some() && self.rest().starts_with(before.as_bytes());
        if same {
            self.at += before.len();
        }
        same
    }

    /// Reads one thing, and gives the bytes that it was.
    #[inline]
    fn spanned<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<(&'a str, T)> {
        self.peek()?;
        let begin = self.at;
        let read = read(self)?;
        Some((self.text.get(begin..self.at)?, read))
    }
}

/// A cheap number of a name; two names seldom share it.
#[inline]
fn marker(name: &str) -> usize {
    let bytes = name.as_bytes();
    let ends = usize::from(bytes.first().copied().unwrap_or(0)) + 7 * usize::from(bytes.last().copied().unwrap_or(0));
    ends + 31 * bytes.len()
}

/// Whether JSON writes a text as it is, between quotation marks.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    plain_length(text.as_bytes()) == text.len()
}

const EACH: u64 = 0x0101_0101_0101_0101;

/// How many bytes come before the first quotation mark, backslash or control character.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    // eight at a time: a borrow reaches only bytes behind the first that is found
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let (quote, escape) = (word ^ (EACH * b'"' as u64), word ^ (EACH * b'\\' as u64));
        let found = (quote.wrapping_sub(EACH) & !quote)
            | (escape.wrapping_sub(EACH) & !escape)
            | (word.wrapping_sub(EACH * 0x20) & !word);
        let found = found & (EACH << 7);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

/// The parts of a request.
#[derive(Debug, Default)]
struct Parts<'a> {
    principal: Option<Uid<'a>>,
    action: Option<Uid<'a>>,
    resource: Option<Uid<'a>>,
}

impl<'a> Value<'a> {
    /// Reads one JSON document, as [`Value::parse`] does, and in a fraction of the time if it is an object in its usual form.
    ///
    /// # Errors
    /// As [`Value::parse`].
    pub fn parse_usual(bytes: &'a [u8]) -> Result<Self, serde_json::Error> {
        let Some(mut reader) = Reader::new(bytes) else { return Self::parse(bytes) };
        match reader.object().filter(|_| reader.is_at_end()) {
            Some(object) => Ok(object),
            None => serde_json::from_str(reader.text),
        }
    }
}

impl<'a> AccessRequest<'a> {
    /// Reads a body that is a request in its usual form, as [`AccessRequest::from_value`] would. `None` says nothing about
    /// it.
    #[must_use]
    pub fn in_usual_form(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body)?;
        let (mut parts, mut context) = (Parts::default(), None);
        reader.members(|reader, name| {
            let part = match name {
                "principal" => &mut parts.principal,
                "action" => &mut parts.action,
                "resource" => &mut parts.resource,
                "context" => {
                    let read = reader.object()?;
                    return context.replace(read).is_none().then_some(());
                }
                _ => return None,
            };
            let uid = reader.uid()?;
            part.replace(uid).is_none().then_some(())
        })?;
        let request = Self::new(parts.principal?, parts.action?, parts.resource?);
        reader.is_at_end().then_some(match context {
            Some(context) => Self { context, ..request },
            None => request,
        })
    }
}

/// The requests of a batch. What comes again in the same bytes is read once.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    items: Vec<([Uid<'a>; 3], u32)>,
    /// Those that differ from the one before. The first is empty.
    contexts: Vec<Value<'a>>,
}

/// A part, and the bytes that it was.
type Last<'a, T> = Option<(&'a str, T)>;

impl<'a> Batch<'a> {
    /// Reads the body of a batch, `{"requests":[…]}`, if it and each of its requests is in the usual form.
    #[must_use]
    pub fn in_usual_form(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body)?;
        let mut batch = Self { items: Vec::new(), contexts: vec![Value::empty_object()] };
        let mut last: [Last<'a, Uid<'a>>; 3] = [None, None, None];
        let mut last_context: Last<'a, u32> = None;
        let mut named = false;
        reader.members(|reader, name| {
            if name != "requests" || named {
                return None;
            }
            named = true;
            reader.elements(|reader| {
                let item = batch.item(reader, &mut last, &mut last_context)?;
                batch.items.push(item);
                Some(())
            })
        })?;
        (named && reader.is_at_end()).then_some(batch)
    }

    fn item(
        &mut self,
        reader: &mut Reader<'a>,
        last: &mut [Last<'a, Uid<'a>>; 3],
        last_context: &mut Last<'a, u32>,
    ) -> Option<([Uid<'a>; 3], u32)> {
        let mut seen = [false; 4];
        reader.members(|reader, name| {
            let place = match name {
                "principal" => 0,
                "action" => 1,
                "resource" => 2,
                "context" => 3,
                _ => return None,
            };
            if std::mem::replace(&mut seen[place], true) {
                return None;
            }
            let Some(last) = last.get_mut(place) else {
                if !last_context.as_ref().is_some_and(|(text, _)| reader.repeats(text)) {
                    let (text, context) = reader.spanned(Reader::object)?;
                    *last_context = Some((text, u32::try_from(self.contexts.len()).ok()?));
                    self.contexts.push(context);
                }
                return Some(());
            };
            if !last.as_ref().is_some_and(|(text, _)| reader.repeats(text)) {
                *last = Some(reader.spanned(Reader::uid)?);
            }
            Some(())
        })?;
        let [true, true, true, brings] = seen else { return None };
        let uid = |place: usize| last.get(place)?.as_ref().map(|(_, uid)| uid.clone());
        let context = if brings { last_context.as_ref()?.1 } else { 0 };
        Some(([uid(0)?, uid(1)?, uid(2)?], context))
    }

    /// How many requests it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A number for the context of the request at a place: requests with the same number have the same context.
    #[must_use]
    pub fn context_of(&self, place: usize) -> Option<u32> {
        self.items.get(place).map(|(_, context)| *context)
    }

    /// The request at a place, with its context, which goes back with [`Batch::give_back`].
    #[must_use]
    pub fn lend(&mut self, place: usize) -> Option<AccessRequest<'a>> {
        let ([principal, action, resource], context) = self.items.get(place)?;
        let context = std::mem::replace(self.contexts.get_mut(*context as usize)?, Value::empty_object());
        let request = AccessRequest::new(principal.clone(), action.clone(), resource.clone());
        Some(AccessRequest { context, ..request })
    }

    /// Takes back the context of a request that was lent: a later one may have the same.
    pub fn give_back(&mut self, place: usize, request: AccessRequest<'a>) {
        if let Some((_, context)) = self.items.get(place)
            && let Some(home) = self.contexts.get_mut(*context as usize)
        {
            *home = request.context;
        }
    }
}

#[cfg(test)]
#[path = "usual_tests.rs"]
mod tests;
