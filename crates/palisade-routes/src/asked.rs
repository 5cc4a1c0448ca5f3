//! The names that routes ask for, and which of them stand in a request.
//!
//! A body may have a hundred thousand members, and the routes of one path may ask for hundreds of names, for each of
//! hundreds of elements. So each name of a request is read once, against all names that are asked for, in the sense of
//! `names::same_field`: the cost is that of the bytes that came, whatever the routes say.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::names::{Stems, bare, last_part, read_stems};
use crate::query::{self, QueryFault};
use palisade_engine::model::Value;

/// The names that a table of routes asks for. Made once, when the routes are compiled.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// As the routes write them.
    names: HashMap<Box<str>, Name, RandomState>,
    /// What they are folded to, each once, in order.
    forms: Vec<Box<str>>,
}

/// A name that is asked for.
#[derive(Debug, Clone, Copy)]
struct Name {
    number: usize,
    /// Which of the forms it has.
    form: usize,
}

impl Asked {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut found: HashMap<Box<str>, Name, RandomState> = HashMap::default();
        for name in names {
            if !found.contains_key(name) {
                found.insert(name.into(), Name { number: found.len(), form: 0 });
            }
        }
        let mut forms: Vec<Box<str>> = found.keys().map(|name| bare(name).into()).collect();
        forms.sort_unstable();
        forms.dedup();
        for (name, place) in &mut found {
            let own = bare(name);
            place.form = forms.partition_point(|form| **form < *own);
        }
        Self { names: found, forms }
    }
}

/// Goes through the forms with a name of a request, a character at a time. Those that begin so are a range of them.
struct Narrowing<'a, 'f> {
    forms: &'a [Box<str>],
    low: usize,
    high: usize,
    /// How many bytes have been compared.
    depth: usize,
    found: &'f mut dyn FnMut(usize),
    /// The last that was found: a name of dots alone ends at each of them.
    last: Option<usize>,
}

impl Stems for Narrowing<'_, '_> {
    fn take(&mut self, c: char) -> bool {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let range = &self.forms[self.low..self.high];
            // one that ends here stands before those that go on
            let next = |form: &str| form.as_bytes().get(self.depth).copied();
            let from = range.partition_point(|form| next(form) < Some(byte));
            let many = range[from..].partition_point(|form| next(form) == Some(byte));
            self.low += from;
            self.high = self.low + many;
            self.depth += 1;
        }
        self.low < self.high
    }

    fn end(&mut self) -> bool {
        let ends = self.forms[self.low..self.high].first().is_some_and(|form| form.len() == self.depth);
        if ends && self.last != Some(self.low) {
            self.last = Some(self.low);
            (self.found)(self.low);
        }
        false
    }
}

/// The names of one object or query, by what is asked for.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// By the number of the name that stands there letter by letter.
    exact: HashMap<usize, usize, RandomState>,
    /// By the form that some reader takes the name for.
    same: HashMap<usize, Vec<usize>, RandomState>,
}

impl Hits {
    /// Reads a name of the request that stands at the place `at`. Places come in order.
    pub(super) fn note(&mut self, asked: &Asked, field: &str, at: usize) {
        #[cfg(test)]
        tests::READ.with(|read| read.set(read.get() + 1));
        if let Some(name) = asked.names.get(field) {
            self.exact.insert(name.number, at);
        }
        let same = &mut self.same;
        let mut note = |form| {
            let places = same.entry(form).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        };
        for field in [Some(field), last_part(field)].into_iter().flatten() {
            let (low, high, found) = (0, asked.forms.len(), &mut note);
            read_stems(field, &mut Narrowing { forms: &asked.forms, low, high, depth: 0, found, last: None });
        }
    }

    /// Whether a name of the request is `name` to some reader, and stands at a place that is `wanted`.
    pub(super) fn any(&self, asked: &Asked, name: &str, wanted: &dyn Fn(usize) -> bool) -> bool {
        // what was not looked for may be there
        let Some(name) = asked.names.get(name) else { return true };
        self.exact.get(&name.number).is_some_and(|at| wanted(*at))
            || self.same.get(&name.form).is_some_and(|places| places.iter().any(|at| wanted(*at)))
    }
}

/// What has been read of one request, so that it is not read again.
pub(super) struct Reads<'a> {
    asked: &'a Asked,
    /// By the address of an object's members, which stay where they are as long as the request is borrowed.
    objects: RefCell<HashMap<usize, Rc<Hits>, RandomState>>,
    names: OnceCell<Names>,
    /// Values of the query.
    values: RefCell<HashMap<Box<str>, QueryValue, RandomState>>,
}

type QueryValue = Result<Option<Box<str>>, QueryFault>;

/// The names of a query.
struct Names {
    names: Vec<String>,
    hits: Hits,
    /// Whether one may be any name.
    is_unreadable: bool,
}

/// The members of an object.
type Members<'v> = [(Cow<'v, str>, Value<'v>)];

impl<'a> Reads<'a> {
    pub(super) fn new(asked: &'a Asked) -> Self {
        let (objects, names, values) = Default::default();
        Self { asked, objects, names, values }
    }

    fn hits(&self, members: &Members<'_>) -> Rc<Hits> {
        let read = || {
            let mut hits = Hits::default();
            members.iter().enumerate().for_each(|(at, (key, _))| hits.note(self.asked, key, at));
            Rc::new(hits)
        };
        if members.is_empty() {
            return Rc::default();
        }
        self.objects.borrow_mut().entry(members.as_ptr().addr()).or_insert_with(read).clone()
    }

    /// The member `name`, or that another stands there which some readers take for it.
    pub(super) fn member<'m, 'v>(&self, members: &'m Members<'v>, name: &str) -> Result<Option<&'m Value<'v>>, Twin> {
        let hits = self.hits(members);
        let is_other = |at: usize| members.get(at).is_none_or(|(key, _)| key != name);
        if hits.any(self.asked, name, &is_other) {
            return Err(Twin);
        }
        Ok(self.exact(members, name))
    }

    /// The member that is called so letter by letter.
    pub(super) fn exact<'m, 'v>(&self, members: &'m Members<'v>, name: &str) -> Option<&'m Value<'v>> {
        let number = self.asked.names.get(name)?.number;
        self.hits(members).exact.get(&number).and_then(|at| members.get(*at)).map(|(_, value)| value)
    }

    /// Whether some reader finds `name` in an object, as a member that is `wanted`.
    pub(super) fn has_member(
        &self,
        members: &Members<'_>,
        name: &str,
        wanted: &dyn Fn(&str, &Value<'_>) -> bool,
    ) -> bool {
        let is_wanted = |at: usize| members.get(at).is_none_or(|(key, value)| wanted(key, value));
        self.hits(members).any(self.asked, name, &is_wanted)
    }

    /// Whether some reader finds `name` in the query, under a name that is `wanted`.
    pub(super) fn has_parameter(&self, query: Option<&str>, name: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
        let Some(query) = query else { return false };
        let Names { names, hits, is_unreadable } = self.names.get_or_init(|| {
            let names: Vec<String> = query::names(query).collect();
            let mut hits = Hits::default();
            names.iter().enumerate().for_each(|(at, name)| hits.note(self.asked, name, at));
            Names { names, hits, is_unreadable: query::has_unreadable_name(query) }
        });
        *is_unreadable || hits.any(self.asked, name, &|at| names.get(at).is_none_or(|name| wanted(name)))
    }

    /// The value of a parameter of the query.
    pub(super) fn parameter<'q>(&self, query: Option<&'q str>, name: &str) -> Result<Option<Cow<'q, str>>, QueryFault> {
        if query.is_none() {
            return Ok(None);
        }
        if let Some(known) = self.values.borrow().get(name) {
            return known.clone().map(|value| value.map(|value| Cow::Owned(value.into())));
        }
        let found = query::value(query, name);
        let kept = found.as_ref().map(|value| value.as_deref().map(Box::from)).map_err(|fault| *fault);
        self.values.borrow_mut().insert(name.into(), kept);
        found
    }
}

/// A member is there under another name, which some readers take for the one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twin;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::names::same_field;

    thread_local! {
        /// How many names of requests were read on this thread.
        pub(super) static READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn names_read() -> usize {
        READ.with(Cell::get)
    }

    const NAMES: [&str; 14] =
        ["id", "a", "i_d", "ID", "!id", "_", "", "ss", "i\t?d", "idx", "id.x", "[id", "\u{df}", "a\0b"];

    proptest::proptest! {
        #[test]
        fn each_name_is_found_where_it_is_the_same_field(
            fields in proptest::collection::vec("[aIdxı\u{130}ſß_.!\\[\\] \t?\u{3000}\0-]{0,8}", 1..4),
        ) {
            let asked = Asked::new(NAMES.into_iter());
            let mut hits = Hits::default();
            fields.iter().enumerate().for_each(|(at, field)| hits.note(&asked, field, at));
            for name in NAMES {
                for (at, field) in fields.iter().enumerate() {
                    let found = hits.any(&asked, name, &|place| place == at);
                    // a field that is there twice is found where it stands last
                    let again = field == name && fields[at + 1..].contains(field);
                    proptest::prop_assert!(again || found == same_field(field, name), "{field:?} {name:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_asked_for_may_be_there() {
        let (asked, hits) = (Asked::new(["id"].into_iter()), Hits::default());
        assert!(hits.any(&asked, "other", &|_| false));
        assert!(!hits.any(&asked, "id", &|_| true));
    }

    #[test]
    fn a_long_name_is_read_once() {
        let long: Vec<String> = (1..1_000).map(|n| "a".repeat(n)).collect();
        let asked = Asked::new(long.iter().map(String::as_str));
        for filler in [".", "[", "a.", "a[", "aa", "_", "\t", "!"] {
            let mut hits = Hits::default();
            hits.note(&asked, &filler.repeat(1 << 19), 0);
            assert!(hits.same.values().map(Vec::len).sum::<usize>() < 1_000, "{filler:?}");
        }
    }
}
