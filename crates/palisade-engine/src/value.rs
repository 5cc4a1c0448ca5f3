//! Values as the compiled engine holds them: packed into bytes at rest, small copies while evaluating.
//!
//! At rest a value is a 64-bit [`Cell`]; what does not fit (texts, sets, records) lies in the same buffer and
//! the cell says where. Offsets count from the start of the buffer, so a packed record can be moved and
//! shared as it is. While evaluating a value is a [`Val`], which borrows from the buffer it was read from.
//!
//! Packed sets are sorted by [`order`] and free of duplicates, so equality compares in step and membership
//! is a binary search. Never panics on a value that was packed here, and on nothing else yields a value; never knows
//! schemas or Cedar.

use std::cmp::Ordering;

use crate::broken::broken;
use crate::ext::Ip;
use crate::ids::{EntityId, NameId};

/// A packed value: a tag in the low four bits, the rest is the value or where it lies.
pub(crate) type Cell = u64;

const TAG_BITS: u32 = 4;
const BOOL: u64 = 0;
const LONG: u64 = 1;
const TEXT: u64 = 2;
const ENTITY: u64 = 3;
const SET: u64 = 4;
const RECORD: u64 = 5;
const DECIMAL: u64 = 6;
const DATETIME: u64 = 7;
const DURATION: u64 = 8;
const IP: u64 = 9;
/// Numbers beyond 60 bits lie in the buffer, under tags of their own.
const LONG_WIDE: u64 = 10;
const DECIMAL_WIDE: u64 = 11;
const DATETIME_WIDE: u64 = 12;
const DURATION_WIDE: u64 = 13;

/// Texts longer than this are not packed; the caller falls back.
const MAX_TEXT: usize = (1 << 28) - 1;

/// A value during evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Val<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text, as UTF-8.
    Text(&'a [u8]),
    /// A reference to an entity, by its interned uid.
    Entity(EntityId),
    /// A `decimal`, in ten-thousandths.
    Decimal(i64),
    /// A `datetime`, in milliseconds since 1970.
    Datetime(i64),
    /// A `duration`, in milliseconds.
    Duration(i64),
    /// An `ipaddr`.
    Ip(Ip),
    /// A set.
    Set(Set<'a>),
    /// A record.
    Record(Record<'a>),
}

impl Val<'_> {
    /// Every entity that the value names, in the order in which they stand there.
    ///
    /// Recurses with the nesting of the value, which is bounded at load.
    pub(crate) fn entities(self, found: &mut impl FnMut(EntityId)) {
        match self {
            Val::Entity(id) => found(id),
            Val::Set(set) => (0..set.len()).for_each(|i| set.get(i).entities(found)),
            Val::Record(record) => (0..record.len()).for_each(|i| record.get(i).1.entities(found)),
            _ => {}
        }
    }
}

/// A set: packed, or made by a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Set<'a> {
    /// Lies at an offset of a buffer.
    Packed(&'a [u8], u32),
    /// Sorted and without duplicates.
    Built(&'a [Val<'a>]),
}

/// A record: packed, or made by a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record<'a> {
    /// Lies at an offset of a buffer.
    Packed(&'a [u8], u32),
    /// Sorted by name.
    Built(&'a [(NameId, Val<'a>)]),
}

/// The four bytes at `at`.
///
/// # Panics
/// Beyond the end, which no packed offset points to: what cannot be read must not become a value. So for all readers
/// of packed values.
#[inline]
pub(crate) fn u32_at(buffer: &[u8], at: usize) -> u32 {
    match buffer.get(at..at + 4) {
        Some(bytes) => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        None => broken("an offset beyond a packed value"),
    }
}

/// The cell at `at`.
#[inline]
pub(crate) fn cell_at(buffer: &[u8], at: usize) -> Cell {
    match buffer.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
        Some(bytes) => u64::from_le_bytes(bytes),
        None => broken("an offset beyond a packed value"),
    }
}

#[inline]
fn wide(buffer: &[u8], cell: Cell) -> i64 {
    cell_at(buffer, (cell >> TAG_BITS) as usize) as i64
}

/// Reads a cell of `buffer`.
#[inline]
pub(crate) fn unpack(buffer: &[u8], cell: Cell) -> Val<'_> {
    let narrow = cell as i64 >> TAG_BITS;
    match cell & ((1 << TAG_BITS) - 1) {
        BOOL => Val::Bool(narrow != 0),
        LONG => Val::Long(narrow),
        TEXT => {
            let (at, len) = ((cell >> 32) as usize, (cell >> TAG_BITS) as usize & MAX_TEXT);
            Val::Text(&buffer[at..at + len])
        }
        ENTITY => Val::Entity(EntityId::from_raw((cell >> TAG_BITS) as u32)),
        SET => Val::Set(Set::Packed(buffer, (cell >> TAG_BITS) as u32)),
        RECORD => Val::Record(Record::Packed(buffer, (cell >> TAG_BITS) as u32)),
        DECIMAL => Val::Decimal(narrow),
        DATETIME => Val::Datetime(narrow),
        DURATION => Val::Duration(narrow),
        IP => Val::Ip(Ip::from_bytes(&buffer[(cell >> TAG_BITS) as usize..])),
        LONG_WIDE => Val::Long(wide(buffer, cell)),
        DECIMAL_WIDE => Val::Decimal(wide(buffer, cell)),
        DATETIME_WIDE => Val::Datetime(wide(buffer, cell)),
        DURATION_WIDE => Val::Duration(wide(buffer, cell)),
        _ => broken("an unknown tag in a packed value"),
    }
}

impl<'a> Set<'a> {
    /// How many elements.
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Packed(buffer, at) => u32_at(buffer, at as usize) as usize,
            Self::Built(elements) => elements.len(),
        }
    }

    /// The element at position `i`, in order.
    #[inline]
    pub(crate) fn get(self, i: usize) -> Val<'a> {
        match self {
            Self::Packed(buffer, at) => unpack(buffer, cell_at(buffer, at as usize + 4 + 8 * i)),
            Self::Built(elements) => elements[i],
        }
    }

    /// Whether `value` is an element.
    pub(crate) fn contains(self, value: Val<'a>) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match order(self.get(middle), value) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return true,
            }
        }
        false
    }

    /// Whether every element is an entity.
    #[inline]
    pub(crate) fn all_entities(self) -> bool {
        // sorted by kind first: the first and the last element are enough
        match self.len() {
            0 => true,
            n => matches!((self.get(0), self.get(n - 1)), (Val::Entity(_), Val::Entity(_))),
        }
    }
}

impl<'a> Record<'a> {
    /// How many members.
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Packed(buffer, at) => u32_at(buffer, at as usize) as usize,
            Self::Built(members) => members.len(),
        }
    }

    /// The member at position `i`, in the order of interned names.
    #[inline]
    pub(crate) fn get(self, i: usize) -> (NameId, Val<'a>) {
        match self {
            Self::Packed(buffer, at) => {
                let (at, n) = (at as usize, self.len());
                (
                    NameId::from_raw(u32_at(buffer, at + 4 + 4 * i)),
                    unpack(buffer, cell_at(buffer, at + 4 + 4 * n + 8 * i)),
                )
            }
            Self::Built(members) => members[i],
        }
    }

    /// The member called `name`.
    #[inline]
    pub(crate) fn find(self, name: NameId) -> Option<Val<'a>> {
        match self {
            Self::Packed(buffer, at) => {
                let n = self.len();
                let names = buffer.get(at as usize + 4..at as usize + 4 + 4 * n)?;
                let i = position(names, name)?;
                Some(unpack(buffer, cell_at(buffer, at as usize + 4 + 4 * n + 8 * i)))
            }
            Self::Built(members) => {
                members.binary_search_by_key(&name, |(n, _)| *n).ok().and_then(|i| members.get(i)).map(|(_, v)| *v)
            }
        }
    }
}

/// Where `name` stands in packed sorted names.
#[inline]
fn position(names: &[u8], name: NameId) -> Option<usize> {
    let n = names.len() / 4;
    if n <= 12 {
        return names.chunks_exact(4).position(|bytes| bytes == name.raw().to_le_bytes());
    }
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        match u32_at(names, 4 * middle).cmp(&name.raw()) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Some(middle),
        }
    }
    None
}

fn rank(value: Val<'_>) -> u8 {
    match value {
        Val::Bool(_) => 0,
        Val::Long(_) => 1,
        Val::Text(_) => 2,
        Val::Entity(_) => 3,
        Val::Decimal(_) => 4,
        Val::Datetime(_) => 5,
        Val::Duration(_) => 6,
        Val::Ip(_) => 7,
        Val::Set(_) => 8,
        Val::Record(_) => 9,
    }
}

/// A total order under which exactly Cedar's equal values are equal. It means nothing beyond that.
///
/// Recurses with the nesting of the values, which JSON and policy texts bound.
pub(crate) fn order(a: Val<'_>, b: Val<'_>) -> Ordering {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => a.cmp(&b),
        (Val::Long(a), Val::Long(b))
        | (Val::Decimal(a), Val::Decimal(b))
        | (Val::Datetime(a), Val::Datetime(b))
        | (Val::Duration(a), Val::Duration(b)) => a.cmp(&b),
        (Val::Text(a), Val::Text(b)) => a.cmp(b),
        (Val::Entity(a), Val::Entity(b)) => a.cmp(&b),
        (Val::Ip(a), Val::Ip(b)) => a.cmp(&b),
        (Val::Set(a), Val::Set(b)) => a.len().cmp(&b.len()).then_with(|| {
            (0..a.len()).map(|i| order(a.get(i), b.get(i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        }),
        (Val::Record(a), Val::Record(b)) => a.len().cmp(&b.len()).then_with(|| {
            (0..a.len())
                .map(|i| {
                    let ((name_a, a), (name_b, b)) = (a.get(i), b.get(i));
                    name_a.cmp(&name_b).then_with(|| order(a, b))
                })
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Cedar's `==`.
#[inline]
pub(crate) fn equal(a: Val<'_>, b: Val<'_>) -> bool {
    match (a, b) {
        (Val::Entity(a), Val::Entity(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Long(a), Val::Long(b)) => a == b,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (a, b) => order(a, b).is_eq(),
    }
}

/// A value that is too large to be packed. The caller has the reference do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Packs values into one buffer.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    /// The buffer.
    pub out: Vec<u8>,
}

impl Packer {
    fn place(&self) -> Result<u32, TooLarge> {
        u32::try_from(self.out.len()).map_err(|_| TooLarge)
    }

    fn number(&mut self, value: i64, tag: u64, wide_tag: u64) -> Result<Cell, TooLarge> {
        if value << TAG_BITS >> TAG_BITS == value {
            return Ok((value as u64) << TAG_BITS | tag);
        }
        let at = u64::from(self.place()?);
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(at << TAG_BITS | wide_tag)
    }

    /// Packs a text.
    ///
    /// # Errors
    /// If the buffer or the text is too large. So for the other methods.
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<Cell, TooLarge> {
        if text.len() > MAX_TEXT {
            return Err(TooLarge);
        }
        let at = u64::from(self.place()?);
        self.out.extend_from_slice(text);
        Ok(at << 32 | (text.len() as u64) << TAG_BITS | TEXT)
    }

    /// Packs a set. Sorts `cells`, which lie in this buffer, and drops duplicates.
    pub(crate) fn set(&mut self, cells: &mut [Cell]) -> Result<Cell, TooLarge> {
        let buffer = &self.out;
        cells.sort_unstable_by(|a, b| order(unpack(buffer, *a), unpack(buffer, *b)));
        let at = u64::from(self.place()?);
        self.out.extend_from_slice(&[0; 4]);
        let mut count = 0_u32;
        let mut last = None;
        for cell in cells.iter() {
            if last.is_none_or(|last| !equal(unpack(&self.out, last), unpack(&self.out, *cell))) {
                self.out.extend_from_slice(&cell.to_le_bytes());
                count = count.checked_add(1).ok_or(TooLarge)?;
                last = Some(*cell);
            }
        }
        self.out[at as usize..at as usize + 4].copy_from_slice(&count.to_le_bytes());
        Ok(at << TAG_BITS | SET)
    }

    /// Packs a record. Sorts `members`, whose cells lie in this buffer; no two may have the same name.
    pub(crate) fn record(&mut self, members: &mut [(NameId, Cell)]) -> Result<Cell, TooLarge> {
        members.sort_unstable_by_key(|(name, _)| *name);
        let at = u64::from(self.place()?);
        self.out.extend_from_slice(&u32::try_from(members.len()).map_err(|_| TooLarge)?.to_le_bytes());
        for (name, _) in members.iter() {
            self.out.extend_from_slice(&name.raw().to_le_bytes());
        }
        for (_, cell) in members.iter() {
            self.out.extend_from_slice(&cell.to_le_bytes());
        }
        Ok(at << TAG_BITS | RECORD)
    }

    /// Packs a value that lies elsewhere.
    pub(crate) fn value(&mut self, value: Val<'_>) -> Result<Cell, TooLarge> {
        match value {
            Val::Bool(b) => Ok(u64::from(b) << TAG_BITS | BOOL),
            Val::Long(n) => self.number(n, LONG, LONG_WIDE),
            Val::Decimal(n) => self.number(n, DECIMAL, DECIMAL_WIDE),
            Val::Datetime(n) => self.number(n, DATETIME, DATETIME_WIDE),
            Val::Duration(n) => self.number(n, DURATION, DURATION_WIDE),
            Val::Text(text) => self.text(text),
            Val::Entity(id) => Ok(u64::from(id.raw()) << TAG_BITS | ENTITY),
            Val::Ip(ip) => {
                let at = u64::from(self.place()?);
                self.out.extend_from_slice(&ip.to_bytes());
                Ok(at << TAG_BITS | IP)
            }
            Val::Set(set) => {
                let mut cells = Vec::with_capacity(set.len());
                for i in 0..set.len() {
                    cells.push(self.value(set.get(i))?);
                }
                self.set(&mut cells)
            }
            Val::Record(record) => {
                let mut members = Vec::with_capacity(record.len());
                for i in 0..record.len() {
                    let (name, value) = record.get(i);
                    members.push((name, self.value(value)?));
                }
                self.record(&mut members)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_their_names_and_no_others_are() {
        for n in 0..40_usize {
            for step in [1, 2, 0x8000_0000 / 40, 0xffff_ffff / 40] {
                let names: Vec<u32> = (0..n).map(|i| i as u32 * step).collect();
                let mut packer = Packer::default();
                let mut members: Vec<(NameId, Cell)> =
                    names.iter().map(|name| (NameId::from_raw(*name), u64::from(*name) << 4 | 1)).collect();
                let cell = packer.record(&mut members).unwrap();
                let Val::Record(record) = unpack(&packer.out, cell) else { panic!("a record") };
                for name in names.iter().flat_map(|name| [*name, name + 1, name.wrapping_sub(1), name << 4 | 1, !name])
                {
                    let found = record
                        .find(NameId::from_raw(name))
                        .map(|found| matches!(found, Val::Long(n) if n == i64::from(name)));
                    assert_eq!(found, names.contains(&name).then_some(true), "{name} of {n} by {step}");
                }
            }
        }
    }

    #[test]
    fn what_is_packed_comes_back() {
        let mut packer = Packer::default();
        let (texts, numbers) = (["", "a", "ab\0"], [0, -1, i64::MIN, i64::MAX, 1 << 58, 1 << 59, 1 << 60]);
        for text in texts {
            let cell = packer.text(text.as_bytes()).unwrap();
            assert!(equal(unpack(&packer.out, cell), Val::Text(text.as_bytes())));
        }
        for n in numbers {
            for value in [Val::Long(n), Val::Decimal(n), Val::Datetime(n), Val::Duration(n)] {
                let cell = packer.value(value).unwrap();
                assert!(equal(unpack(&packer.out, cell), value), "{value:?}");
            }
        }
        let mut cells: Vec<Cell> =
            [3, 1, 2, 1].iter().map(|n| packer.value(Val::Long(*n)).unwrap()).chain([ENTITY]).collect();
        let cell = packer.set(&mut cells).unwrap();
        let Val::Set(set) = unpack(&packer.out, cell) else { panic!() };
        assert_eq!(set.len(), 4);
        assert!(
            set.contains(Val::Long(2))
                && set.contains(Val::Entity(EntityId::from_raw(0)))
                && !set.contains(Val::Long(4))
        );
        assert!(!set.all_entities());
    }
}
