//! Runs a program. Its stack grows with the program, never with the machine's own.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::env::Env;
use super::program::{Function, Op, Pool, Program, matches};
use crate::broken::broken;
use crate::ext::{self, Ip};
use crate::store::Entity;
use crate::value::{Record, Set, Val, equal, order, unpack};

/// The evaluation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Why is for the reference to say.
    Failed,
    /// An attribute or a tag of an entity was read, and there is no such entity: the most frequent failure by far, since
    /// an unknown caller meets it in each policy that reads something of him.
    NoEntity(u32),
}

use Failure::Failed;

/// A set or record that a program made.
enum Built<'a> {
    Set(Box<[Val<'a>]>),
    Record(Box<[(u32, Val<'a>)]>),
}

/// The operands. The top lies apart: most instructions take what the one before left, and touch nothing else.
struct Stack<'a> {
    top: Option<Val<'a>>,
    below: SmallVec<[Val<'a>; 8]>,
}

impl<'a> Stack<'a> {
    #[inline(always)]
    fn push(&mut self, value: Val<'a>) {
        if let Some(below) = self.top.replace(value) {
            self.below.push(below);
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Val<'a> {
        match self.top.take().or_else(|| self.below.pop()) {
            Some(value) => value,
            None => broken("an instruction without its operand"),
        }
    }

    /// Takes the upper `count`, the lowest first.
    fn take(&mut self, count: usize) -> impl Iterator<Item = Val<'a>> {
        self.below.extend(self.top.take());
        let Some(start) = self.below.len().checked_sub(count) else { broken("an instruction without its operands") };
        self.below.drain(start..)
    }
}

/// Whether the condition holds.
///
/// # Errors
/// If Cedar's evaluation would fail.
#[inline]
pub(super) fn run(program: &Program, pool: &Pool, env: &Env<'_>, slots: [u32; 2]) -> Result<bool, Failure> {
    // each set or record that the program makes gets a place that lives as long as the run
    let places: Vec<OnceCell<Built<'_>>> =
        if program.places == 0 { Vec::new() } else { (0..program.places).map(|_| OnceCell::new()).collect() };
    execute(program, pool, env, slots, &places)
}

fn boolean(value: Val<'_>) -> Result<bool, Failure> {
    match value {
        Val::Bool(b) => Ok(b),
        _ => Err(Failed),
    }
}

fn long(value: Val<'_>) -> Result<i64, Failure> {
    match value {
        Val::Long(n) => Ok(n),
        _ => Err(Failed),
    }
}

fn set(value: Val<'_>) -> Result<Set<'_>, Failure> {
    match value {
        Val::Set(set) => Ok(set),
        _ => Err(Failed),
    }
}

fn entity(value: Val<'_>) -> Result<u32, Failure> {
    match value {
        Val::Entity(id) => Ok(id),
        _ => Err(Failed),
    }
}

fn execute<'a, 'e: 'a>(
    program: &'a Program,
    pool: &'a Pool,
    env: &'a Env<'e>,
    slots: [u32; 2],
    places: &'a [OnceCell<Built<'a>>],
) -> Result<bool, Failure> {
    let mut stack = Stack { top: None, below: SmallVec::new() };
    let mut at = 0;
    while let Some(op) = program.ops.get(at) {
        at += 1;
        let result = match *op {
            Op::Const(cell) => unpack(&pool.constants, cell),
            Op::Principal => Val::Entity(env.principal),
            Op::Action => Val::Entity(env.action),
            Op::Resource => Val::Entity(env.resource),
            Op::Context => {
                env.note_whole_context();
                Val::Record(env.context)
            }
            Op::Slot(i) => Val::Entity(slots[usize::from(i) & 1]),
            Op::PrincipalAttribute(name) => attribute(env.principal, env.read_principal(), name)?,
            Op::ResourceAttribute(name) => attribute(env.resource, env.read_resource(), name)?,
            Op::ContextAttribute(name) => {
                env.note_context(name);
                env.context.find(name).ok_or(Failed)?
            }
            Op::ContextHas(name) => Val::Bool(env.context.find(name).is_some()),
            Op::ContextHasPath(path) => Val::Bool(has_path(env, Val::Record(env.context), &pool.paths[path as usize])?),
            Op::Attribute(name) => match stack.pop() {
                Val::Entity(id) => attribute(id, env.read(id), name)?,
                Val::Record(record) => record.find(name).ok_or(Failed)?,
                _ => return Err(Failed),
            },
            Op::Has(name) => match stack.pop() {
                Val::Entity(id) => {
                    Val::Bool(env.read(id).is_some_and(|entity| entity.attributes().find(name).is_some()))
                }
                Val::Record(record) => Val::Bool(record.find(name).is_some()),
                _ => return Err(Failed),
            },
            Op::HasPath(path) => {
                let value = stack.pop();
                Val::Bool(has_path(env, value, &pool.paths[path as usize])?)
            }
            Op::And(target) => {
                if boolean(stack.pop())? {
                    continue;
                }
                at = target as usize;
                Val::Bool(false)
            }
            Op::Or(target) => {
                if !boolean(stack.pop())? {
                    continue;
                }
                at = target as usize;
                Val::Bool(true)
            }
            Op::Unless(target) => {
                if !boolean(stack.pop())? {
                    at = target as usize;
                }
                continue;
            }
            Op::Jump(target) => {
                at = target as usize;
                continue;
            }
            Op::Bool => Val::Bool(boolean(stack.pop())?),
            Op::Not => Val::Bool(!boolean(stack.pop())?),
            Op::Negate => Val::Long(long(stack.pop())?.checked_neg().ok_or(Failed)?),
            Op::IsEmpty => Val::Bool(set(stack.pop())?.len() == 0),
            Op::Equal => {
                let (b, a) = (stack.pop(), stack.pop());
                Val::Bool(equal(a, b))
            }
            Op::Less | Op::LessEqual => {
                let ordering = match (stack.pop(), stack.pop()) {
                    (Val::Long(b), Val::Long(a))
                    | (Val::Datetime(b), Val::Datetime(a))
                    | (Val::Duration(b), Val::Duration(a)) => a.cmp(&b),
                    _ => return Err(Failed),
                };
                Val::Bool(if *op == Op::Less { ordering.is_lt() } else { ordering.is_le() })
            }
            Op::Add | Op::Subtract | Op::Multiply => {
                let (b, a) = (long(stack.pop())?, long(stack.pop())?);
                let result = match op {
                    Op::Add => a.checked_add(b),
                    Op::Subtract => a.checked_sub(b),
                    _ => a.checked_mul(b),
                };
                Val::Long(result.ok_or(Failed)?)
            }
            Op::In => {
                let (target, id) = (stack.pop(), entity(stack.pop())?);
                env.note(id);
                match target {
                    Val::Entity(target) => Val::Bool(env.is_in(id, target)),
                    Val::Set(targets) if all_entities(targets) => Val::Bool(env.is_in_any(id, targets)),
                    _ => return Err(Failed),
                }
            }
            Op::Contains => {
                let value = stack.pop();
                Val::Bool(set(stack.pop())?.contains(value))
            }
            Op::ContainsAll => {
                let (b, a) = (set(stack.pop())?, set(stack.pop())?);
                Val::Bool((0..b.len()).all(|i| a.contains(b.get(i))))
            }
            Op::ContainsAny => {
                let (b, a) = (set(stack.pop())?, set(stack.pop())?);
                let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
                Val::Bool((0..few.len()).any(|i| many.contains(few.get(i))))
            }
            Op::GetTag => {
                let (key, id) = (text(stack.pop())?, entity(stack.pop())?);
                env.read(id).ok_or(Failure::NoEntity(id))?.tag(key).ok_or(Failed)?
            }
            Op::HasTag => {
                let (key, id) = (text(stack.pop())?, entity(stack.pop())?);
                Val::Bool(env.read(id).is_some_and(|entity| entity.tag(key).is_some()))
            }
            Op::Like(pattern) => {
                let text = text(stack.pop())?;
                Val::Bool(matches(&pool.patterns[pattern as usize], text))
            }
            Op::Is(ty) => Val::Bool(env.type_of(entity(stack.pop())?) == ty),
            Op::Set(count, place) => {
                let mut elements: Vec<Val<'a>> = stack.take(count as usize).collect();
                elements.sort_unstable_by(|a, b| order(*a, *b));
                elements.dedup_by(|a, b| equal(*a, *b));
                match places[place as usize].get_or_init(|| Built::Set(elements.into())) {
                    Built::Set(elements) => Val::Set(Set::Built(elements)),
                    Built::Record(_) => broken("two values at one place"),
                }
            }
            Op::Record(names, place) => {
                let names = &pool.records[names as usize];
                let mut members: Vec<(u32, Val<'a>)> = names.iter().copied().zip(stack.take(names.len())).collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                match places[place as usize].get_or_init(|| Built::Record(members.into())) {
                    Built::Record(members) => Val::Record(Record::Built(members)),
                    Built::Set(_) => broken("two values at one place"),
                }
            }
            Op::Call(function) => {
                let second = function.is_binary().then(|| stack.pop());
                call(function, stack.pop(), second)?
            }
            Op::Fail => return Err(Failed),
        };
        stack.push(result);
    }
    boolean(stack.pop())
}

fn all_entities(set: Set<'_>) -> bool {
    set.all_entities()
}

fn text(value: Val<'_>) -> Result<&[u8], Failure> {
    match value {
        Val::Text(text) => Ok(text),
        _ => Err(Failed),
    }
}

#[inline]
fn attribute<'a>(id: u32, entity: Option<Entity<'a>>, name: u32) -> Result<Val<'a>, Failure> {
    entity.ok_or(Failure::NoEntity(id))?.attributes().find(name).ok_or(Failed)
}

fn has_path<'a, 'e: 'a>(env: &'a Env<'e>, value: Val<'a>, path: &[u32]) -> Result<bool, Failure> {
    let mut current = value;
    for name in path {
        let next = match current {
            Val::Record(record) => record.find(*name),
            Val::Entity(id) => env.read(id).and_then(|entity| entity.attributes().find(*name)),
            _ => return Err(Failed),
        };
        match next {
            Some(next) => current = next,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn call<'a>(function: Function, first: Val<'a>, second: Option<Val<'a>>) -> Result<Val<'a>, Failure> {
    let utf8 = |text| std::str::from_utf8(text).ok();
    let made = match (function, first, second) {
        (Function::Ip, Val::Text(text), _) => utf8(text).and_then(Ip::parse).map(Val::Ip),
        (Function::Decimal, Val::Text(text), _) => utf8(text).and_then(ext::parse_decimal).map(Val::Decimal),
        (Function::Datetime, Val::Text(text), _) => utf8(text).and_then(ext::parse_datetime).map(Val::Datetime),
        (Function::Duration, Val::Text(text), _) => utf8(text).and_then(ext::parse_duration).map(Val::Duration),
        (Function::IsIpv4, Val::Ip(ip), _) => Some(Val::Bool(ip.is_v4())),
        (Function::IsIpv6, Val::Ip(ip), _) => Some(Val::Bool(ip.is_v6())),
        (Function::IsLoopback, Val::Ip(ip), _) => Some(Val::Bool(ip.is_loopback())),
        (Function::IsMulticast, Val::Ip(ip), _) => Some(Val::Bool(ip.is_multicast())),
        (Function::IsInRange, Val::Ip(ip), Some(Val::Ip(range))) => Some(Val::Bool(ip.is_in_range(range))),
        (Function::LessThan, Val::Decimal(a), Some(Val::Decimal(b))) => Some(Val::Bool(a < b)),
        (Function::LessThanOrEqual, Val::Decimal(a), Some(Val::Decimal(b))) => Some(Val::Bool(a <= b)),
        (Function::GreaterThan, Val::Decimal(a), Some(Val::Decimal(b))) => Some(Val::Bool(a > b)),
        (Function::GreaterThanOrEqual, Val::Decimal(a), Some(Val::Decimal(b))) => Some(Val::Bool(a >= b)),
        (Function::Offset, Val::Datetime(a), Some(Val::Duration(b))) => a.checked_add(b).map(Val::Datetime),
        (Function::DurationSince, Val::Datetime(a), Some(Val::Datetime(b))) => a.checked_sub(b).map(Val::Duration),
        (Function::ToDate, Val::Datetime(a), _) => ext::to_date(a).map(Val::Datetime),
        (Function::ToTime, Val::Datetime(a), _) => Some(Val::Duration(ext::to_time(a))),
        (Function::ToMilliseconds, Val::Duration(a), _) => Some(Val::Long(a)),
        (Function::ToSeconds, Val::Duration(a), _) => Some(Val::Long(a / 1_000)),
        (Function::ToMinutes, Val::Duration(a), _) => Some(Val::Long(a / 60_000)),
        (Function::ToHours, Val::Duration(a), _) => Some(Val::Long(a / 3_600_000)),
        (Function::ToDays, Val::Duration(a), _) => Some(Val::Long(a / 86_400_000)),
        _ => None,
    };
    made.ok_or(Failed)
}
