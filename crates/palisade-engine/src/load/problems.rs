//! Problems of documents, and their places: found at the end, since the text is gone when they are met.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::EntityId;
use crate::load::read::Flaw;
use crate::model::place::{Spot, locate};
use crate::model::{Diagnostic, Document, MAX_LISTED, plural};

/// How many are looked for: a broken file of a million lines need not be read to its end with the slow reader.
const ENOUGH: usize = 10 * MAX_LISTED;

/// Where something stands: the document's number in the upper 16 bits, the byte in the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place(u64);

impl Place {
    /// Nowhere.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// The byte `offset` of a document.
    pub(crate) fn new(document: usize, offset: u64) -> Self {
        // beyond 65,535 documents every place is reported as in the last one: only the message is wrong then
        Self((document.min(0xfffe) as u64) << 48 | offset)
    }

    fn document(self) -> usize {
        (self.0 >> 48) as usize
    }

    /// The place `bytes` further on.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }

    pub(super) fn offset(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

/// Where the entity of each id stands.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Place>);

impl Places {
    /// The place of an entity.
    pub(crate) fn of(&self, id: EntityId) -> Option<Place> {
        self.0.get(id.index()).copied().filter(|place| *place != Place::NONE)
    }

    /// Notes it, and gives the place that was noted before.
    pub(super) fn put(&mut self, id: EntityId, place: Place) -> Option<Place> {
        let before = self.of(id);
        if before.is_none() {
            if self.0.len() <= id.index() {
                self.0.resize((id.index() + 1).next_power_of_two(), Place::NONE);
            }
            self.0[id.index()] = place;
        }
        before
    }

    /// Warnings about entities, each with its message.
    pub(crate) fn warnings(&self, about: Vec<(EntityId, String)>, documents: &[Document]) -> Vec<Diagnostic> {
        self.errors(about, documents).into_iter().map(Diagnostic::warning).collect()
    }

    /// Errors about entities, each with its message.
    pub(crate) fn errors(&self, about: Vec<(EntityId, String)>, documents: &[Document]) -> Vec<Diagnostic> {
        let mut problems = Problems::default();
        for (id, message) in about {
            problems.push_about(message, documents, self.of(id));
        }
        problems.finish(documents).err().unwrap_or_default()
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    diagnostic: Diagnostic,
    at: Option<Place>,
    /// What the message is to end with: document and line.
    refers: Option<Place>,
    /// Whether the line says enough.
    line_only: bool,
}

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic, at: Option<Place>) {
        self.0.push(Problem { diagnostic, at, refers: None, line_only: false });
    }

    /// Adds one that was met while reading a document.
    pub(crate) fn push_flaw(&mut self, flaw: Flaw, number: usize, document: &Document) {
        let place = flaw.offset.map(|offset| Place::new(number, offset));
        self.push(flaw.diagnostic(&document.origin), place);
    }

    /// Adds one whose message ends with where something else stands.
    pub(crate) fn push_with(&mut self, diagnostic: Diagnostic, at: Place, refers: Place) {
        self.0.push(Problem { diagnostic, at: Some(at), refers: Some(refers), line_only: false });
    }

    /// Adds one about what stands at a place as a whole, named by its document; `entities` if it stands nowhere.
    pub(crate) fn push_about(&mut self, message: String, documents: &[Document], at: Option<Place>) {
        let document = at.and_then(|at| documents.get(at.document()));
        let origin = document.map_or("entities", |document| &document.origin);
        self.0.push(Problem { diagnostic: Diagnostic::error(origin, message), at, refers: None, line_only: true });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are more than will be listed.
    pub(crate) fn are_many(&self) -> bool {
        self.0.len() > MAX_LISTED
    }

    /// Forgets all but the first ones.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Whether there are so many that no more are looked for.
    pub(crate) fn enough(&self) -> bool {
        self.0.len() > ENOUGH
    }

    /// The problems with their places, up to a bound.
    ///
    /// # Errors
    /// If there are any.
    pub(crate) fn finish(mut self, documents: &[Document]) -> Result<(), Vec<Diagnostic>> {
        if self.0.is_empty() {
            return Ok(());
        }
        let least = if self.enough() { "at least " } else { "" };
        let more = self.0.len().saturating_sub(MAX_LISTED);
        self.0.truncate(MAX_LISTED);
        let mut wanted: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for place in self.0.iter().flat_map(|problem| [problem.at, problem.refers]).flatten() {
            wanted.entry(place.document()).or_default().insert(place.offset());
        }
        let mut spots: BTreeMap<usize, BTreeMap<u64, Spot>> = BTreeMap::new();
        for (number, offsets) in &wanted {
            // a problem in a document that cannot be read any more is reported without its place
            if let Some(document) = documents.get(*number)
                && let Ok(found) = locate(document, document.len(), offsets)
            {
                spots.insert(*number, found);
            }
        }
        let spot = |place: Place| spots.get(&place.document()).and_then(|found| found.get(&place.offset()));
        let mut told: Vec<Diagnostic> = self.0.into_iter().map(|problem| problem.told(documents, &spot)).collect();
        if more > 0 {
            let problems = plural(more, "more problem");
            told.push(Diagnostic::error("entities", format!("and {least}{more} {problems}")));
        }
        Err(Diagnostic::about("entity", told))
    }
}

impl Problem {
    fn told<'s>(self, documents: &[Document], spot: &impl Fn(Place) -> Option<&'s Spot>) -> Diagnostic {
        let mut told = self.diagnostic;
        if let Some(spot) = self.at.and_then(spot) {
            told = told.spot(spot);
        }
        if self.line_only {
            (told.column, told.excerpt) = (None, None);
        }
        if let Some(place) = self.refers {
            told.message += documents.get(place.document()).map_or("", |document| &document.origin);
            if let Some(spot) = spot(place) {
                told.message += &format!(":{}", spot.line);
            }
        }
        told
    }
}
