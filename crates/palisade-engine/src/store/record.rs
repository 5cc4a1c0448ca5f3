//! One entity in bytes.
//!
//! ```text
//! 0   length of the id and flags      4   number of parents
//! 8   levels below, at most           12  where the tags lie
//! 16  id | parents (u32 each) | attributes (a packed record) | what they point to | tags
//! ```
//! Tags are a count, as many keys (cells of texts, sorted by bytes) and as many values.

use std::cmp::Ordering;

use crate::broken::broken;
use crate::ids::{EntityId, NameId};
use crate::value::{Cell, Packer, Record, TooLarge, Val, cell_at, equal, u32_at, unpack};

pub(super) const HEAD: usize = 16;
const PRESENT: u32 = 1 << 31;
const ACTION: u32 = 1 << 30;
const TAGGED: u32 = 1 << 29;
const OVERLAY: u32 = 1 << 28;
const LEFT: u32 = 1 << 27;
const ID_LENGTH: u32 = LEFT - 1;

/// Who had the last word about an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// What was loaded.
    Base,
    /// A change since. Where no entity is stored then, it was deleted.
    Overlay,
}

/// An entity, or the mere name of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entity<'a> {
    bytes: &'a [u8],
}

impl<'a> Entity<'a> {
    /// Reads a record.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What it was read from.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    fn head(self) -> u32 {
        u32_at(self.bytes, 0)
    }

    #[inline]
    fn id_length(self) -> usize {
        (self.head() & ID_LENGTH) as usize
    }

    /// Whether the entity is stored, not merely named.
    #[inline]
    pub(crate) fn is_present(self) -> bool {
        self.head() & PRESENT != 0
    }

    /// Whether it is an action that the schema declares.
    #[inline]
    pub(crate) fn is_schema_action(self) -> bool {
        self.head() & ACTION != 0
    }

    /// Who had the last word about it.
    #[inline]
    pub(crate) fn layer(self) -> Layer {
        if self.head() & OVERLAY == 0 { Layer::Base } else { Layer::Overlay }
    }

    /// Whether its id is in the list of those that may be named by nothing any more.
    pub(super) fn is_left(self) -> bool {
        self.head() & LEFT != 0
    }

    /// Whether it is a mere name that no change had a word about.
    pub(super) fn is_mere_name(self) -> bool {
        self.head() & (PRESENT | OVERLAY) == 0
    }

    /// Its id, as UTF-8.
    #[inline]
    pub(crate) fn id(self) -> &'a [u8] {
        &self.bytes[HEAD..HEAD + self.id_length()]
    }

    /// How many direct parents it has.
    #[inline]
    pub(crate) fn parent_count(self) -> usize {
        u32_at(self.bytes, 4) as usize
    }

    /// Its direct parents.
    #[inline]
    pub(crate) fn parents(self) -> impl Iterator<Item = EntityId> + use<'a> {
        let start = HEAD + self.id_length();
        let bytes = &self.bytes[start..start + 4 * self.parent_count()];
        bytes.chunks_exact(4).map(|b| EntityId::from_raw(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
    }

    /// Its attributes.
    #[inline]
    pub(crate) fn attributes(self) -> Record<'a> {
        Record::Packed(self.bytes, (HEAD + self.id_length() + 4 * self.parent_count()) as u32)
    }

    /// How many tags it has.
    pub(crate) fn tag_count(self) -> usize {
        if self.head() & TAGGED == 0 { 0 } else { u32_at(self.bytes, u32_at(self.bytes, 12) as usize) as usize }
    }

    /// The tag at position `i`.
    pub(crate) fn tag_at(self, i: usize) -> (&'a [u8], Val<'a>) {
        let at = u32_at(self.bytes, 12) as usize + 4;
        let key = match unpack(self.bytes, cell_at(self.bytes, at + 8 * i)) {
            Val::Text(key) => key,
            _ => broken("a tag whose key is not a text"),
        };
        (key, unpack(self.bytes, cell_at(self.bytes, at + 8 * (self.tag_count() + i))))
    }

    /// The tag called `key`.
    pub(crate) fn tag(self, key: &[u8]) -> Option<Val<'a>> {
        let (mut low, mut high) = (0, self.tag_count());
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, value) = self.tag_at(middle);
            match found.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(value),
            }
        }
        None
    }

    /// Whether the other has the same parents, attributes and tags.
    pub(crate) fn has_content_of(self, other: Self) -> bool {
        let parents = |entity: Self| {
            let mut parents: Vec<EntityId> = entity.parents().collect();
            parents.sort_unstable();
            parents.dedup();
            parents
        };
        let same_tag = |i: usize| {
            let ((key, value), (other_key, other)) = (self.tag_at(i), other.tag_at(i));
            key == other_key && equal(value, other)
        };
        self.tag_count() == other.tag_count()
            && equal(Val::Record(self.attributes()), Val::Record(other.attributes()))
            && (0..self.tag_count()).all(same_tag)
            && parents(self) == parents(other)
    }

    /// No more levels than this are below it. Kept by changes, which must bound the depth.
    pub(crate) fn levels_below(self) -> u32 {
        u32_at(self.bytes, 8)
    }
}

/// Sets [`Entity::layer`] in a record.
pub(super) fn set_layer(record: &mut [u8], layer: Layer) {
    let head = u32_at(record, 0) & !OVERLAY | if layer == Layer::Overlay { OVERLAY } else { 0 };
    record[..4].copy_from_slice(&head.to_le_bytes());
}

/// Sets [`Entity::is_left`] in a record.
pub(super) fn set_left(record: &mut [u8], left: bool) {
    let head = u32_at(record, 0) & !LEFT | if left { LEFT } else { 0 };
    record[..4].copy_from_slice(&head.to_le_bytes());
}

/// Sets [`Entity::levels_below`] in a record.
pub(super) fn set_levels_below(record: &mut [u8], levels: u32) {
    record[8..12].copy_from_slice(&levels.to_le_bytes());
}

/// A record of a uid without an entity.
pub(super) fn absent(id: &[u8]) -> Box<[u8]> {
    // no attributes
    let mut bytes = vec![0; HEAD + id.len() + 4];
    bytes[..4].copy_from_slice(&(id.len() as u32 & ID_LENGTH).to_le_bytes());
    bytes[HEAD..HEAD + id.len()].copy_from_slice(id);
    bytes.into()
}

/// What a record starts with. Values are packed after it, then [`RecordHead::finish`] puts all together.
#[derive(Debug)]
pub(crate) struct RecordHead {
    parents_at: usize,
    parents: usize,
    attributes: usize,
}

/// What a record is finished from. The cells lie in the packer that the head was started in.
#[derive(Debug, Default)]
pub(crate) struct RecordParts {
    /// Direct parents, each once.
    pub parents: Vec<EntityId>,
    /// Attributes.
    pub attributes: Vec<(NameId, Cell)>,
    /// Tags: key and value.
    pub tags: Vec<(Cell, Cell)>,
}

impl RecordHead {
    /// Clears `packer` and leaves room in it for the fixed part of a record.
    ///
    /// # Errors
    /// If the id is too long.
    pub(crate) fn start(packer: &mut Packer, id: &[u8], parents: usize, attributes: usize) -> Result<Self, TooLarge> {
        if id.len() > ID_LENGTH as usize {
            return Err(TooLarge);
        }
        packer.out.clear();
        packer.out.resize(HEAD, 0);
        packer.out[..4].copy_from_slice(&(id.len() as u32 | PRESENT).to_le_bytes());
        packer.out[4..8].copy_from_slice(&u32::try_from(parents).map_err(|_| TooLarge)?.to_le_bytes());
        packer.out.extend_from_slice(id);
        let parents_at = packer.out.len();
        packer.out.resize(parents_at + 4 * parents + 4 + 12 * attributes, 0);
        Ok(Self { parents_at, parents, attributes })
    }

    /// Fills the fixed part. The numbers of parents and attributes are those that the head was started with.
    ///
    /// # Errors
    /// If they are not, or the record is too large.
    pub(crate) fn finish(self, packer: &mut Packer, parts: &mut RecordParts, is_action: bool) -> Result<(), TooLarge> {
        if parts.parents.len() != self.parents || parts.attributes.len() != self.attributes {
            return Err(TooLarge);
        }
        if !parts.tags.is_empty() {
            let buffer = &packer.out;
            let key = |cell: Cell| match unpack(buffer, cell) {
                Val::Text(key) => key,
                _ => broken("a tag whose key is not a text"),
            };
            parts.tags.sort_unstable_by(|(a, _), (b, _)| key(*a).cmp(key(*b)));
            let at = u32::try_from(packer.out.len()).map_err(|_| TooLarge)?;
            packer.out.extend_from_slice(&(parts.tags.len() as u32).to_le_bytes());
            for (key, _) in &parts.tags {
                packer.out.extend_from_slice(&key.to_le_bytes());
            }
            for (_, value) in &parts.tags {
                packer.out.extend_from_slice(&value.to_le_bytes());
            }
            packer.out[12..16].copy_from_slice(&at.to_le_bytes());
        }
        parts.attributes.sort_unstable_by_key(|(name, _)| *name);
        let flags = u32_at(&packer.out, 0)
            | if parts.tags.is_empty() { 0 } else { TAGGED }
            | if is_action { ACTION } else { 0 };
        packer.out[..4].copy_from_slice(&flags.to_le_bytes());
        let fixed = parts
            .parents
            .iter()
            .flat_map(|parent| parent.raw().to_le_bytes())
            .chain((self.attributes as u32).to_le_bytes())
            .chain(parts.attributes.iter().flat_map(|(name, _)| name.raw().to_le_bytes()))
            .chain(parts.attributes.iter().flat_map(|(_, cell)| cell.to_le_bytes()));
        for (place, byte) in packer.out[self.parents_at..].iter_mut().zip(fixed) {
            *place = byte;
        }
        // offsets within a page are four bytes
        if packer.out.len() > (u32::MAX >> 7) as usize { Err(TooLarge) } else { Ok(()) }
    }
}
