//! From Cedar's syntax trees to programs.
//!
//! Constants are made once where making them cannot fail; nothing else is calculated ahead, so that errors
//! arise as Cedar has them. Recurses with the nesting of the text: runs on the stack that builds snapshots.

use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, PatternElem, SlotId, UnaryOp, Var};

use super::program::{Function, Op, Pair, Piece, Pool, Program, Source};
use crate::ext::{self, Ip};
use crate::layout::intern;
use crate::store::Draft;
use crate::value::{Cell, Packer, TooLarge, Val};

/// A construct that programs do not have. The reference evaluates such a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotCovered;

impl From<TooLarge> for NotCovered {
    fn from(_: TooLarge) -> Self {
        Self
    }
}

/// Compiles conditions into programs over one pool.
#[derive(Debug)]
pub(super) struct Compiler<'d> {
    /// Where names and uids are interned.
    pub draft: &'d mut Draft,
    packer: Packer,
    pool: Pool,
    /// The pool that is gone on with, as long as nothing was added to it.
    resumed: Option<Arc<Pool>>,
    ops: Vec<Op>,
    places: u32,
}

impl<'d> Compiler<'d> {
    /// A compiler that interns into `draft`.
    pub(super) fn new(draft: &'d mut Draft) -> Self {
        Self { draft, packer: Packer::default(), pool: Pool::default(), resumed: None, ops: Vec::new(), places: 0 }
    }

    /// One that adds to a pool.
    pub(super) fn resume(draft: &'d mut Draft, pool: Arc<Pool>) -> Self {
        Self { resumed: Some(pool), ..Self::new(draft) }
    }

    /// What the programs share.
    pub(super) fn finish(mut self) -> Arc<Pool> {
        self.resumed.take().unwrap_or_else(|| {
            self.pool.constants = self.packer.out;
            Arc::new(self.pool)
        })
    }

    /// Compiles one condition.
    ///
    /// # Errors
    /// If it has a construct that programs lack.
    pub(super) fn program(&mut self, condition: &Expr) -> Result<Program, NotCovered> {
        if let Some(pool) = self.resumed.take() {
            self.pool = Arc::unwrap_or_clone(pool);
            self.packer = Packer { out: std::mem::take(&mut self.pool.constants) };
        }
        self.ops.clear();
        self.places = 0;
        self.expression(condition)?;
        self.thread_jumps();
        Ok(Program { ops: self.ops.as_slice().into(), places: self.places as usize })
    }

    /// A false that leaves one `&&` for the test of another leaves both; likewise a true and `||`.
    fn thread_jumps(&mut self) {
        for i in (0..self.ops.len()).rev() {
            let target = |at: u32| self.ops.get(at as usize).copied();
            let op = match self.ops.get(i).copied() {
                Some(Op::And(at)) => match target(at) {
                    Some(Op::And(further)) => Op::And(further),
                    _ => continue,
                },
                Some(Op::Or(at)) => match target(at) {
                    Some(Op::Or(further)) => Op::Or(further),
                    _ => continue,
                },
                _ => continue,
            };
            self.ops[i] = op;
        }
    }

    /// Where the next instruction comes to stand.
    fn here(&self) -> u32 {
        self.ops.len() as u32
    }

    /// Fills a hole with a jump to here.
    fn patch(&mut self, at: usize, make: fn(u32) -> Op) {
        let here = self.here();
        self.ops[at] = make(here);
    }

    /// Room for a jump whose target is not known yet. One that stayed would fail the run, and not allow.
    fn hole(&mut self) -> usize {
        self.ops.push(Op::Fail);
        self.ops.len() - 1
    }

    /// Adds the instructions that make the value of an expression.
    ///
    /// INVARIANT: however they are left, by their end or by a jump beyond it, the stack has one value more than before, or
    /// the run has failed. A jump leads ahead only, so a program ends. Operands are made in the order of the text: of two that
    /// fail it is the first whose failure counts, as in Cedar. An operand that is had in one step has no instruction of its own
    /// where the one after it can say where it is ([`Pair`]).
    fn expression(&mut self, expression: &Expr) -> Result<(), NotCovered> {
        if let Some(cell) = self.constant(expression)? {
            self.ops.push(Op::Const(cell));
            return Ok(());
        }
        if let Some((source, of)) = self.direct(expression) {
            self.ops.push(Op::Load(source, of));
            return Ok(());
        }
        match expression.expr_kind() {
            // constants, and what is had in one step, are done
            ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) => return Err(NotCovered),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                // test, `Unless` to the other branch, one branch, `Jump` behind it: one of the two leaves its value
                self.expression(test_expr)?;
                let unless = self.hole();
                self.expression(then_expr)?;
                let jump = self.hole();
                self.patch(unless, Op::Unless);
                self.expression(else_expr)?;
                self.patch(jump, Op::Jump);
            }
            ExprKind::And { left, right } => self.junction(left, right, Op::And)?,
            ExprKind::Or { left, right } => self.junction(left, right, Op::Or)?,
            ExprKind::UnaryApp { op, arg } => {
                self.expression(arg)?;
                self.ops.push(match op {
                    UnaryOp::Not => Op::Not,
                    UnaryOp::Neg => Op::Negate,
                    UnaryOp::IsEmpty => Op::IsEmpty,
                });
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let op = self.binary(*op, arg1, arg2)?;
                self.ops.push(op);
            }
            ExprKind::GetAttr { expr, attr } => {
                self.expression(expr)?;
                let name = self.draft.attribute_id(attr);
                self.ops.push(Op::Attribute(name));
            }
            ExprKind::HasAttr { expr, attr } => {
                let name = self.draft.attribute_id(attr);
                let op = match expr.expr_kind() {
                    ExprKind::Var(Var::Principal) => Op::PrincipalHas(name),
                    ExprKind::Var(Var::Resource) => Op::ResourceHas(name),
                    ExprKind::Var(Var::Context) => Op::ContextHas(name),
                    _ => {
                        self.expression(expr)?;
                        Op::Has(name)
                    }
                };
                self.ops.push(op);
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                let path = attrs.iter().map(|attr| self.draft.attribute_id(attr)).collect();
                let at = self.pool.paths.len() as u32;
                self.pool.paths.push(path);
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                    self.ops.push(Op::ContextHasPath(at));
                } else {
                    self.expression(expr)?;
                    self.ops.push(Op::HasPath(at));
                }
            }
            ExprKind::Like { expr, pattern } => {
                self.expression(expr)?;
                self.ops.push(Op::Like(self.pool.patterns.len() as u32));
                self.pool.patterns.push(pieces(pattern));
            }
            ExprKind::Is { expr, entity_type } => {
                self.expression(expr)?;
                let ty = self.draft.type_id(&entity_type.to_string());
                self.ops.push(Op::Is(ty));
            }
            ExprKind::Set(elements) => {
                for element in elements.iter() {
                    self.expression(element)?;
                }
                self.ops.push(Op::Set(elements.len() as u32, self.places));
                self.places += 1;
            }
            ExprKind::Record(members) => {
                // in the order in which Cedar evaluates them, which is that of their names as texts. The record is sorted by
                // interned names when it is made
                for member in members.values() {
                    self.expression(member)?;
                }
                let names = members.keys().map(|name| self.draft.attribute_id(name)).collect();
                self.ops.push(Op::Record(self.pool.records.len() as u32, self.places));
                self.pool.records.push(names);
                self.places += 1;
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                for argument in args.iter() {
                    self.expression(argument)?;
                }
                self.ops.push(match Function::named(&fn_name.to_string()) {
                    Some((function, arity)) if arity == args.len() => Op::Call(function),
                    // it fails in Cedar too, once its arguments are known not to
                    _ => Op::Fail,
                });
            }
            ExprKind::Unknown(_) => return Err(NotCovered),
        }
        Ok(())
    }

    /// The instruction of an operator with two operands, behind those that make them.
    fn binary(&mut self, op: BinaryOp, first: &Expr, second: &Expr) -> Result<Op, NotCovered> {
        let make: fn(Pair) -> Op = match op {
            BinaryOp::Eq => Op::Equal,
            BinaryOp::In => Op::In,
            BinaryOp::Contains => Op::Contains,
            BinaryOp::Less => |_| Op::Less,
            BinaryOp::LessEq => |_| Op::LessEqual,
            BinaryOp::Add => |_| Op::Add,
            BinaryOp::Sub => |_| Op::Subtract,
            BinaryOp::Mul => |_| Op::Multiply,
            BinaryOp::ContainsAll => |_| Op::ContainsAll,
            BinaryOp::ContainsAny => |_| Op::ContainsAny,
            BinaryOp::GetTag => |_| Op::GetTag,
            BinaryOp::HasTag => |_| Op::HasTag,
        };
        if matches!(op, BinaryOp::Eq | BinaryOp::In | BinaryOp::Contains)
            && let Some((source, of)) = self.source(second)?
        {
            let (first_source, first_of) = match self.source(first)? {
                Some(direct) => direct,
                None => {
                    self.expression(first)?;
                    (Source::Stack, 0)
                }
            };
            return Ok(make(Pair { sources: [first_source, source], of: [first_of, of] }));
        }
        self.expression(first)?;
        self.expression(second)?;
        Ok(make(Pair::STACK))
    }

    /// Where an operand is had from in one step, if it can be.
    fn source(&mut self, operand: &Expr) -> Result<Option<(Source, u32)>, NotCovered> {
        if let Some(cell) = self.constant(operand)? {
            let number = u32::try_from(self.pool.cells.len()).map_err(|_| NotCovered)?;
            self.pool.cells.push(cell);
            return Ok(Some((Source::Constant, number)));
        }
        Ok(self.direct(operand))
    }

    /// The same of what is no constant.
    fn direct(&mut self, operand: &Expr) -> Option<(Source, u32)> {
        match operand.expr_kind() {
            ExprKind::Var(Var::Principal) => Some((Source::Principal, 0)),
            ExprKind::Var(Var::Action) => Some((Source::Action, 0)),
            ExprKind::Var(Var::Resource) => Some((Source::Resource, 0)),
            ExprKind::Var(Var::Context) => Some((Source::Context, 0)),
            ExprKind::Slot(id) => Some((Source::Slot, u32::from(*id != SlotId::principal()))),
            ExprKind::GetAttr { expr, attr } => {
                let source = match expr.expr_kind() {
                    ExprKind::Var(Var::Principal) => Source::PrincipalAttribute,
                    ExprKind::Var(Var::Resource) => Source::ResourceAttribute,
                    ExprKind::Var(Var::Context) => Source::ContextAttribute,
                    _ => return None,
                };
                Some((source, self.draft.attribute_id(attr).raw()))
            }
            _ => None,
        }
    }

    /// `&&` or `||`. `make` tests the left side: where that decides, it leads behind the right side with that value. Else
    /// nothing of it is left, and the right side is the value; it has to be a boolean, as Cedar demands.
    fn junction(&mut self, left: &Expr, right: &Expr, make: fn(u32) -> Op) -> Result<(), NotCovered> {
        self.expression(left)?;
        let test = self.hole();
        self.expression(right)?;
        if !is_boolean(right) {
            self.ops.push(Op::Bool);
        }
        self.patch(test, make);
        Ok(())
    }

    /// The packed value of an expression that is one whatever the request, and never fails.
    fn constant(&mut self, expression: &Expr) -> Result<Option<Cell>, NotCovered> {
        Ok(match expression.expr_kind() {
            ExprKind::Lit(literal) => Some(match literal {
                Literal::Bool(b) => self.packer.value(Val::Bool(*b))?,
                Literal::Long(n) => self.packer.value(Val::Long(*n))?,
                Literal::String(text) => self.packer.text(text.as_bytes())?,
                Literal::EntityUID(uid) => {
                    let id = intern(uid, self.draft)?;
                    self.packer.value(Val::Entity(id))?
                }
            }),
            ExprKind::Set(elements) => {
                let mut cells = Vec::with_capacity(elements.len());
                for element in elements.iter() {
                    match self.constant(element)? {
                        Some(cell) => cells.push(cell),
                        None => return Ok(None),
                    }
                }
                Some(self.packer.set(&mut cells)?)
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => match args.as_slice() {
                [argument] => match argument.expr_kind() {
                    ExprKind::Lit(Literal::String(text)) => {
                        let value = match fn_name.to_string().as_str() {
                            "ip" => Ip::parse(text).map(Val::Ip),
                            "decimal" => ext::parse_decimal(text).map(Val::Decimal),
                            "datetime" => ext::parse_datetime(text).map(Val::Datetime),
                            "duration" => ext::parse_duration(text).map(Val::Duration),
                            _ => None,
                        };
                        value.map(|value| self.packer.value(value)).transpose()?
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
    }
}

/// Whether an expression yields a boolean if it yields anything.
fn is_boolean(expression: &Expr) -> bool {
    match expression.expr_kind() {
        ExprKind::Lit(Literal::Bool(_))
        | ExprKind::And { .. }
        | ExprKind::Or { .. }
        | ExprKind::UnaryApp { op: UnaryOp::Not | UnaryOp::IsEmpty, .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. } => true,
        ExprKind::BinaryApp { op, .. } => {
            !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag)
        }
        _ => false,
    }
}

fn pieces(pattern: &Pattern) -> Box<[Piece]> {
    let mut pieces = vec![String::new()];
    for element in pattern.iter() {
        match (element, pieces.last_mut()) {
            (PatternElem::Char(c), Some(piece)) => piece.push(*c),
            _ => pieces.push(String::new()),
        }
    }
    pieces.into_iter().map(|piece| piece.into_bytes().into()).collect()
}
