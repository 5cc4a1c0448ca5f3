//! A policy's condition as a flat list of instructions for a machine with an operand stack.

use std::sync::Arc;

use crate::ids::{NameId, TypeId};
use crate::value::Cell;

/// One instruction. Operands are popped, the result is pushed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// A constant, packed in the buffer that all programs share.
    Const(Cell),
    /// What is had in one step, with the number or the name that is meant there.
    Load(Source, u32),
    /// Whether the context has a member.
    ContextHas(NameId),
    /// Whether the context has a chain of members.
    ContextHasPath(u32),
    /// An attribute of an entity or a member of a record.
    Attribute(NameId),
    /// Whether there is such an attribute.
    Has(NameId),
    /// Whether the principal has an attribute.
    PrincipalHas(NameId),
    /// Whether the resource has an attribute.
    ResourceHas(NameId),
    /// Whether there is such a chain of attributes.
    HasPath(u32),
    /// If the operand is false, pushes false and jumps.
    And(u32),
    /// If the operand is true, pushes true and jumps.
    Or(u32),
    /// If the operand is false, jumps.
    Unless(u32),
    /// Jumps.
    Jump(u32),
    /// Fails unless the operand is a boolean.
    Bool,
    /// `!`
    Not,
    /// `-` with one operand.
    Negate,
    /// `isEmpty`
    IsEmpty,
    /// `==`
    Equal(Pair),
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `in`
    In(Pair),
    /// `contains`
    Contains(Pair),
    /// `containsAll`
    ContainsAll,
    /// `containsAny`
    ContainsAny,
    /// `getTag`
    GetTag,
    /// `hasTag`
    HasTag,
    /// `like`, with a pattern.
    Like(u32),
    /// `is`, with a type.
    Is(TypeId),
    /// Makes a set of that many operands, at a place of its own.
    Set(u32, u32),
    /// Makes a record with those names, at a place of its own.
    Record(u32, u32),
    /// Calls a function of an extension.
    Call(Function),
    /// Fails, whatever the operands: a call that cannot succeed.
    Fail,
}

/// Where a value is had from. An operand that is had in one step needs no instruction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// What an instruction before has left.
    Stack,
    /// A constant, by its number in the pool.
    Constant,
    /// The principal.
    Principal,
    /// The action.
    Action,
    /// The resource.
    Resource,
    /// What a template's slot is linked to: 0 the principal's, 1 the resource's.
    Slot,
    /// An attribute of the principal.
    PrincipalAttribute,
    /// An attribute of the resource.
    ResourceAttribute,
    /// The context as a whole.
    Context,
    /// A member of the context.
    ContextAttribute,
}

/// Two operands, each by its source and by what is meant there. The first is had first, so that of two that fail the first
/// is the one that counts; where the second is on the stack, so is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// Where they are had from.
    pub sources: [Source; 2],
    /// The number of a constant or of a slot, or a name.
    pub of: [u32; 2],
}

impl Pair {
    /// Both are on the stack, the second on top.
    pub(super) const STACK: Self = Self { sources: [Source::Stack; 2], of: [0; 2] };
}

/// Functions and methods of the extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// `ip`
    Ip,
    /// `isIpv4`
    IsIpv4,
    /// `isIpv6`
    IsIpv6,
    /// `isLoopback`
    IsLoopback,
    /// `isMulticast`
    IsMulticast,
    /// `isInRange`
    IsInRange,
    /// `decimal`
    Decimal,
    /// `lessThan`
    LessThan,
    /// `lessThanOrEqual`
    LessThanOrEqual,
    /// `greaterThan`
    GreaterThan,
    /// `greaterThanOrEqual`
    GreaterThanOrEqual,
    /// `datetime`
    Datetime,
    /// `duration`
    Duration,
    /// `offset`
    Offset,
    /// `durationSince`
    DurationSince,
    /// `toDate`
    ToDate,
    /// `toTime`
    ToTime,
    /// `toMilliseconds`
    ToMilliseconds,
    /// `toSeconds`
    ToSeconds,
    /// `toMinutes`
    ToMinutes,
    /// `toHours`
    ToHours,
    /// `toDays`
    ToDays,
}

impl Function {
    /// The function of that name and how many arguments it takes.
    pub(super) fn named(name: &str) -> Option<(Self, usize)> {
        Some(match name {
            "ip" => (Self::Ip, 1),
            "isIpv4" => (Self::IsIpv4, 1),
            "isIpv6" => (Self::IsIpv6, 1),
            "isLoopback" => (Self::IsLoopback, 1),
            "isMulticast" => (Self::IsMulticast, 1),
            "isInRange" => (Self::IsInRange, 2),
            "decimal" => (Self::Decimal, 1),
            "lessThan" => (Self::LessThan, 2),
            "lessThanOrEqual" => (Self::LessThanOrEqual, 2),
            "greaterThan" => (Self::GreaterThan, 2),
            "greaterThanOrEqual" => (Self::GreaterThanOrEqual, 2),
            "datetime" => (Self::Datetime, 1),
            "duration" => (Self::Duration, 1),
            "offset" => (Self::Offset, 2),
            "durationSince" => (Self::DurationSince, 2),
            "toDate" => (Self::ToDate, 1),
            "toTime" => (Self::ToTime, 1),
            "toMilliseconds" => (Self::ToMilliseconds, 1),
            "toSeconds" => (Self::ToSeconds, 1),
            "toMinutes" => (Self::ToMinutes, 1),
            "toHours" => (Self::ToHours, 1),
            "toDays" => (Self::ToDays, 1),
            _ => return None,
        })
    }

    /// Whether it takes two arguments.
    pub(super) fn is_binary(self) -> bool {
        matches!(
            self,
            Self::IsInRange
                | Self::LessThan
                | Self::LessThanOrEqual
                | Self::GreaterThan
                | Self::GreaterThanOrEqual
                | Self::Offset
                | Self::DurationSince
        )
    }
}

/// A piece of a `like` pattern between two wildcards, as UTF-8. Pieces are whole characters, so that matching
/// bytes matches characters.
pub(super) type Piece = Box<[u8]>;

/// What programs share.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    /// The packed constants.
    pub constants: Vec<u8>,
    /// Those that are operands, by number.
    pub cells: Vec<Cell>,
    /// Patterns of `like`: what stands before, between and after the wildcards.
    pub patterns: Vec<Box<[Piece]>>,
    /// Chains of attributes for `has`.
    pub paths: Vec<Box<[NameId]>>,
    /// Names of records, in the order of the operands.
    pub records: Vec<Box<[NameId]>>,
}

/// A condition.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The instructions.
    pub ops: Arc<[Op]>,
    /// How many sets and records it may make. It has no loops, so each place is used once.
    pub places: usize,
}

impl Program {
    /// The member that the context must have for the condition to hold: without it the program ends at once, with
    /// false. Many policies begin so, and it can be seen without running any of it.
    pub(super) fn needs_in_context(&self) -> Option<NameId> {
        let [Op::ContextHas(name), Op::And(mut at), ..] = *self.ops else { return None };
        // where a false goes that is pushed there
        loop {
            at = match self.ops.get(at as usize) {
                None => return Some(name),
                Some(Op::And(target)) => *target,
                Some(Op::Bool) => at + 1,
                Some(_) => return None,
            };
        }
    }
}

/// Whether `text` matches.
pub(super) fn matches(pieces: &[Piece], text: &[u8]) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    let Some((last, middle)) = rest.split_last() else { return **first == *text };
    let Some(mut text) = text.strip_prefix(&**first) else { return false };
    for piece in middle {
        match find(text, piece) {
            Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() { Some(0) } else { memchr::memmem::find(text, piece) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy_core::ast::{Pattern, PatternElem};

    #[test]
    fn patterns_match_as_cedars_do() {
        let alphabet = ['a', 'b', '\u{e9}', '*'];
        let words: Vec<String> = (0..4_usize.pow(5))
            .map(|mut n| {
                let mut word = String::new();
                while n > 0 {
                    word.push(alphabet[n % 4]);
                    n /= 4;
                }
                word
            })
            .collect();
        for pattern in words.iter().step_by(3) {
            let elements = pattern.chars().map(|c| if c == '*' { PatternElem::Wildcard } else { PatternElem::Char(c) });
            let cedar = Pattern::from_iter(elements);
            let pieces: Vec<Piece> = pattern.split('*').map(|piece| piece.as_bytes().into()).collect();
            for text in words.iter().step_by(7) {
                assert_eq!(matches(&pieces, text.as_bytes()), cedar.wildcard_match(text), "{text:?} like {pattern:?}");
            }
        }
    }
}
