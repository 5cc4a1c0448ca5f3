//! Runs a program. Its stack grows with the program, never with the machine's own.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::env::Env;
use super::program::{Function, Op, Pair, Pool, Program, Source, matches};
use crate::broken::broken;
use crate::ext::{self, Ip};
use crate::ids::{EntityId, NameId};
use crate::store::Entity;
use crate::value::{Record, Set, Val, equal, order, unpack};

/// The evaluation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Why is for the reference to say.
    Failed,
    /// An attribute or a tag of an entity was read, and there is no such entity: the most frequent failure by far, since
    /// an unknown caller meets it in each policy that reads something of him.
    NoEntity(EntityId),
}

use Failure::Failed;

/// A set or record that a program made.
enum Built<'a> {
    Set(Box<[Val<'a>]>),
    Record(Box<[(NameId, Val<'a>)]>),
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
pub(super) fn run(program: &Program, pool: &Pool, env: &Env<'_>, slots: [EntityId; 2]) -> Result<bool, Failure> {
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

fn entity(value: Val<'_>) -> Result<EntityId, Failure> {
    match value {
        Val::Entity(id) => Ok(id),
        _ => Err(Failed),
    }
}

/// Goes on from a boolean: what tests it is done at once, and only what does not is left a value on the stack. Tests lie
/// ahead of what they test, so this ends.
#[inline(always)]
fn go_on(ops: &[Op], at: &mut usize, stack: &mut Stack<'_>, mut holds: bool) {
    loop {
        *at = match ops.get(*at) {
            // nothing is left of a test that was passed
            Some(Op::And(_)) if holds => *at + 1,
            Some(Op::Or(_)) if !holds => *at + 1,
            Some(Op::Unless(target)) => {
                if holds {
                    *at + 1
                } else {
                    *target as usize
                }
            }
            // what ends an `&&` or an `||` is its value
            Some(Op::And(target) | Op::Or(target) | Op::Jump(target)) => {
                *at = *target as usize;
                continue;
            }
            Some(Op::Bool) => {
                *at += 1;
                continue;
            }
            Some(Op::Not) => {
                holds = !holds;
                *at += 1;
                continue;
            }
            _ => {
                stack.push(Val::Bool(holds));
                return;
            }
        };
        return;
    }
}

/// What a program runs in.
#[derive(Clone, Copy)]
struct Run<'a, 'e> {
    pool: &'a Pool,
    env: &'a Env<'e>,
    slots: [EntityId; 2],
}

impl<'a, 'e: 'a> Run<'a, 'e> {
    /// What a source has. Where it is the stack, it is the only operand there, or the first.
    #[inline(always)]
    fn operand(self, source: Source, of: u32, stack: &mut Stack<'a>) -> Result<Val<'a>, Failure> {
        let Self { pool, env, slots } = self;
        Ok(match source {
            Source::Stack => stack.pop(),
            Source::Constant => unpack(&pool.constants, pool.cells[of as usize]),
            Source::Principal => Val::Entity(env.principal),
            Source::Action => Val::Entity(env.action),
            Source::Resource => Val::Entity(env.resource),
            Source::Slot => Val::Entity(slots[of as usize & 1]),
            Source::PrincipalAttribute => attribute(env.principal, env.read_principal(), NameId::from_raw(of))?,
            Source::ResourceAttribute => attribute(env.resource, env.read_resource(), NameId::from_raw(of))?,
            Source::Context => {
                env.note_whole_context();
                Val::Record(env.context)
            }
            Source::ContextAttribute => {
                let name = NameId::from_raw(of);
                env.note_context(name);
                env.context.find(name).ok_or(Failed)?
            }
        })
    }

    /// Both operands, the first before the second.
    #[inline(always)]
    fn operands(self, pair: Pair, stack: &mut Stack<'a>) -> Result<(Val<'a>, Val<'a>), Failure> {
        let ([first, second], [of_first, of_second]) = (pair.sources, pair.of);
        if second == Source::Stack {
            let second = stack.pop();
            return Ok((stack.pop(), second));
        }
        let first = self.operand(first, of_first, stack)?;
        Ok((first, self.operand(second, of_second, stack)?))
    }
}

/// Runs the instructions.
///
/// INVARIANT: an instruction takes its operands from the top of the stack and leaves one value there, with one exception. A
/// boolean that the next instruction tests (`And`, `Or`, `Unless`, `Not`, `Bool`) never gets there: [`go_on`] follows the
/// tests at once. So an `And` of which the left side is true leaves nothing, and the value of the right side is that of the
/// whole; one whose left side is false leads to what is behind it, with false as its value. Only a boolean that was loaded
/// meets its test as an instruction of its own. At the end one value is left, which is a boolean or the run fails.
///
/// Cedar's order of failures is that of the instructions: an operand is looked at for its kind only once all operands are
/// made.
fn execute<'a, 'e: 'a>(
    program: &'a Program,
    pool: &'a Pool,
    env: &'a Env<'e>,
    slots: [EntityId; 2],
    places: &'a [OnceCell<Built<'a>>],
) -> Result<bool, Failure> {
    let run = Run { pool, env, slots };
    let (ops, mut stack, mut at) = (&*program.ops, Stack { top: None, below: SmallVec::new() }, 0);
    'op: while let Some(op) = ops.get(at) {
        at += 1;
        let value = 'value: {
            let holds = match *op {
                Op::Const(cell) => break 'value unpack(&pool.constants, cell),
                Op::Load(source, of) => break 'value run.operand(source, of, &mut stack)?,
                Op::Attribute(name) => match stack.pop() {
                    Val::Entity(id) => break 'value attribute(id, env.read(id), name)?,
                    Val::Record(record) => break 'value record.find(name).ok_or(Failed)?,
                    _ => return Err(Failed),
                },
                Op::PrincipalHas(name) => has(env.read_principal(), name),
                Op::ResourceHas(name) => has(env.read_resource(), name),
                Op::ContextHas(name) => env.context.find(name).is_some(),
                Op::ContextHasPath(path) => has_path(env, Val::Record(env.context), &pool.paths[path as usize])?,
                Op::Has(name) => match stack.pop() {
                    Val::Entity(id) => has(env.read(id), name),
                    Val::Record(record) => record.find(name).is_some(),
                    _ => return Err(Failed),
                },
                Op::HasPath(path) => {
                    let value = stack.pop();
                    has_path(env, value, &pool.paths[path as usize])?
                }
                Op::Jump(target) => {
                    at = target as usize;
                    continue 'op;
                }
                // the boolean that one of these tests is a value that was loaded: others lead on without a stop. `at` goes back
                // to the test, which `go_on` does below
                Op::And(_) | Op::Or(_) | Op::Unless(_) | Op::Bool | Op::Not => {
                    at -= 1;
                    boolean(stack.pop())?
                }
                Op::Negate => break 'value Val::Long(long(stack.pop())?.checked_neg().ok_or(Failed)?),
                Op::IsEmpty => set(stack.pop())?.len() == 0,
                Op::Equal(pair) => {
                    let (a, b) = run.operands(pair, &mut stack)?;
                    equal(a, b)
                }
                Op::Less | Op::LessEqual => {
                    let ordering = match (stack.pop(), stack.pop()) {
                        (Val::Long(b), Val::Long(a))
                        | (Val::Datetime(b), Val::Datetime(a))
                        | (Val::Duration(b), Val::Duration(a)) => a.cmp(&b),
                        _ => return Err(Failed),
                    };
                    if *op == Op::Less { ordering.is_lt() } else { ordering.is_le() }
                }
                Op::Add | Op::Subtract | Op::Multiply => {
                    let (b, a) = (long(stack.pop())?, long(stack.pop())?);
                    let result = match op {
                        Op::Add => a.checked_add(b),
                        Op::Subtract => a.checked_sub(b),
                        _ => a.checked_mul(b),
                    };
                    break 'value Val::Long(result.ok_or(Failed)?);
                }
                Op::In(pair) => {
                    let (id, target) = run.operands(pair, &mut stack)?;
                    let id = entity(id)?;
                    // noted also where the answer is known without a look: what is reported as read has to be enough
                    env.note(id);
                    match target {
                        Val::Entity(target) => env.is_in(id, target),
                        Val::Set(targets) if targets.all_entities() => env.is_in_any(id, targets),
                        _ => return Err(Failed),
                    }
                }
                Op::Contains(pair) => {
                    let (all, value) = run.operands(pair, &mut stack)?;
                    set(all)?.contains(value)
                }
                Op::ContainsAll => {
                    let (b, a) = (set(stack.pop())?, set(stack.pop())?);
                    (0..b.len()).all(|i| a.contains(b.get(i)))
                }
                Op::ContainsAny => {
                    let (b, a) = (set(stack.pop())?, set(stack.pop())?);
                    // a search in the larger one for each of the smaller one
                    let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
                    (0..few.len()).any(|i| many.contains(few.get(i)))
                }
                Op::GetTag => {
                    let (key, id) = (text(stack.pop())?, entity(stack.pop())?);
                    break 'value env.read(id).ok_or(Failure::NoEntity(id))?.tag(key).ok_or(Failed)?;
                }
                Op::HasTag => {
                    let (key, id) = (text(stack.pop())?, entity(stack.pop())?);
                    env.read(id).is_some_and(|entity| entity.tag(key).is_some())
                }
                Op::Like(pattern) => matches(&pool.patterns[pattern as usize], text(stack.pop())?),
                Op::Is(ty) => env.type_of(entity(stack.pop())?) == ty,
                Op::Set(count, place) => {
                    let mut elements: Vec<Val<'a>> = stack.take(count as usize).collect();
                    elements.sort_unstable_by(|a, b| order(*a, *b));
                    elements.dedup_by(|a, b| equal(*a, *b));
                    match places[place as usize].get_or_init(|| Built::Set(elements.into())) {
                        Built::Set(elements) => break 'value Val::Set(Set::Built(elements)),
                        Built::Record(_) => broken("two values at one place"),
                    }
                }
                Op::Record(names, place) => {
                    let names = &pool.records[names as usize];
                    let mut members: Vec<(NameId, Val<'a>)> =
                        names.iter().copied().zip(stack.take(names.len())).collect();
                    members.sort_unstable_by_key(|(name, _)| *name);
                    match places[place as usize].get_or_init(|| Built::Record(members.into())) {
                        Built::Record(members) => break 'value Val::Record(Record::Built(members)),
                        Built::Set(_) => broken("two values at one place"),
                    }
                }
                Op::Call(function) => {
                    let second = function.is_binary().then(|| stack.pop());
                    break 'value call(function, stack.pop(), second)?;
                }
                Op::Fail => return Err(Failed),
            };
            go_on(ops, &mut at, &mut stack, holds);
            continue 'op;
        };
        stack.push(value);
    }
    boolean(stack.pop())
}

#[inline]
fn has(entity: Option<Entity<'_>>, name: NameId) -> bool {
    entity.is_some_and(|entity| entity.attributes().find(name).is_some())
}

fn text(value: Val<'_>) -> Result<&[u8], Failure> {
    match value {
        Val::Text(text) => Ok(text),
        _ => Err(Failed),
    }
}

#[inline]
fn attribute<'a>(id: EntityId, entity: Option<Entity<'a>>, name: NameId) -> Result<Val<'a>, Failure> {
    entity.ok_or(Failure::NoEntity(id))?.attributes().find(name).ok_or(Failed)
}

fn has_path<'a, 'e: 'a>(env: &'a Env<'e>, value: Val<'a>, path: &[NameId]) -> Result<bool, Failure> {
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
