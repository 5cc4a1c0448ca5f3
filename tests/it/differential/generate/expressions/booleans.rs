//! Expressions that are true or false: comparisons, membership, sets, existence, patterns, extension methods.

use super::super::features::Feature;
use super::super::model::Ty;
use super::super::words::{self, is_identifier, quoted};
use super::{Path, Writer, atom};

impl Writer<'_, '_> {
    pub(super) fn boolean(&mut self, depth: usize) -> String {
        match self.c.weighted(&[10, 9, 6, 8, 8, 12, 6, 14, 8, 6, 8, 12, 5, 5]) {
            0 => self.binary(Feature::And, "&&", &Ty::Bool, depth),
            1 => self.binary(Feature::Or, "||", &Ty::Bool, depth),
            2 => {
                self.use_of(Feature::Not);
                let operand = self.expression(&Ty::Bool, depth);
                format!("(!{})", atom(operand))
            }
            3 | 4 => {
                let (feature, operator) =
                    *self.c.pick(&[(Feature::Eq, "=="), (Feature::Eq, "=="), (Feature::Ne, "!=")]);
                let ty = self.seen_type();
                self.binary(feature, operator, &ty, depth)
            }
            5 => {
                let (feature, operator) = *self.c.pick(&[
                    (Feature::Less, "<"),
                    (Feature::LessEq, "<="),
                    (Feature::Greater, ">"),
                    (Feature::GreaterEq, ">="),
                ]);
                let ty = self.c.pick(&[Ty::Long, Ty::Long, Ty::Datetime, Ty::Duration]).clone();
                self.binary(feature, operator, &ty, depth)
            }
            6 => {
                let ty = self.entity_type();
                let entity = self.expression(&Ty::Entity(ty), depth);
                let named = if self.c.chance(60) { ty } else { self.entity_type() };
                let name =
                    if self.c.chance(5) { "Ghost".to_owned() } else { self.people.model.types[named].name.clone() };
                if self.c.chance(35) {
                    self.use_of(Feature::IsIn);
                    let above = self.above(depth);
                    format!("({} is {name} in {above})", atom(entity))
                } else {
                    self.use_of(Feature::Is);
                    format!("({} is {name})", atom(entity))
                }
            }
            7 => {
                let ty = self.entity_type();
                let (entity, above) = (self.expression(&Ty::Entity(ty), depth), self.above(depth));
                format!("({} in {above})", atom(entity))
            }
            8 => self.set_operation(depth),
            9 => self.existence(depth),
            10 => self.like(depth),
            11 => self.extension(depth),
            12 => {
                // what is behind the short circuit must not be looked at
                self.use_of(Feature::Hidden);
                let (test, error) = (self.expression(&Ty::Bool, depth), self.failing());
                match self.c.below(4) {
                    0 => format!("(({test} && false) && {error})"),
                    1 => format!("(({test} || true) || {error})"),
                    2 => format!("(if true then {test} else {error})"),
                    _ => format!("({test} && {error})"),
                }
            }
            _ => match self.tagged_any() {
                Some(owner) => {
                    self.use_of(Feature::HasTag);
                    let (entity, key) = (self.entity_of(owner), self.key(depth));
                    format!("{entity}.hasTag({key})")
                }
                None => self.leaf(&Ty::Bool),
            },
        }
    }

    fn tagged_any(&mut self) -> Option<usize> {
        let types = &self.people.model.types;
        let owners: Vec<usize> = (0..types.len()).filter(|i| types[*i].tags.is_some()).collect();
        match self.c.any(&owners).copied() {
            Some(owner) => Some(owner),
            None => Some(self.c.below(types.len())),
        }
    }

    fn entity_type(&mut self) -> usize {
        if self.c.chance(60) {
            let seen: Vec<usize> = self
                .paths
                .iter()
                .filter_map(|path| match path.ty {
                    Ty::Entity(i) => Some(i),
                    _ => None,
                })
                .collect();
            if let Some(ty) = self.c.any(&seen) {
                return *ty;
            }
        }
        self.c.below(self.people.model.types.len())
    }

    /// A type of which the request shows a value.
    fn seen_type(&mut self) -> Ty {
        match self.c.any(&self.paths) {
            Some(path) if self.c.chance(75) => path.ty.clone(),
            Some(_) if self.c.chance(20) => Ty::Set(Box::new(Ty::Text)),
            _ => self.people.model.ty(self.c, 1),
        }
    }

    /// The right side of `in`: an entity, a set of entities, or something else in a set.
    fn above(&mut self, depth: usize) -> String {
        let ty = self.entity_type();
        match self.c.weighted(&[50, 42, 3 + self.wild]) {
            0 => {
                self.use_of(Feature::In);
                let entity = self.expression(&Ty::Entity(ty), depth);
                atom(entity)
            }
            1 => {
                self.use_of(Feature::InSet);
                if self.c.chance(30) {
                    let set = self.expression(&Ty::Set(Box::new(Ty::Entity(ty))), depth);
                    return atom(set);
                }
                let mut elements = Vec::new();
                for _ in 0..self.c.below(5) {
                    let ty = self.entity_type();
                    elements.push(self.leaf(&Ty::Entity(ty)));
                }
                if elements.is_empty() {
                    self.use_of(Feature::EmptySet);
                }
                format!("[{}]", elements.join(", "))
            }
            _ => {
                self.use_of(Feature::InMixed);
                let (entity, other) = (self.leaf(&Ty::Entity(ty)), self.people.model.ty(self.c, 1));
                let other = self.leaf(&other);
                if self.c.chance(50) { format!("[{entity}, {other}]") } else { format!("[{other}, {entity}]") }
            }
        }
    }

    fn existence(&mut self, depth: usize) -> String {
        let owners: Vec<Path> =
            self.paths.iter().filter(|path| matches!(path.ty, Ty::Entity(_) | Ty::Record(_))).cloned().collect();
        let Some(path) = self.c.any(&owners).cloned() else { return self.leaf(&Ty::Bool) };
        self.used.join(path.features);
        let base = if self.c.chance(15) { atom(self.expression(&path.ty, depth)) } else { path.text };
        let attrs = |ty: &Ty| match ty {
            Ty::Entity(i) => self.people.model.types[*i].attrs.clone(),
            Ty::Record(members) => members.clone(),
            _ => Vec::new(),
        };
        let mut names: Vec<String> = Vec::new();
        let mut ty = path.ty.clone();
        let length = if self.c.chance(40) { 2 + self.c.below(2) } else { 1 };
        for _ in 0..length {
            let members = attrs(&ty);
            match self.c.any(&members) {
                Some(attr) if !self.c.chance(15) => {
                    names.push(attr.name.clone());
                    ty = attr.ty.clone();
                }
                _ => {
                    names.push((*self.c.pick(words::ATTRIBUTES)).to_owned());
                    break;
                }
            }
        }
        if names.len() > 1 && names.iter().all(|name| is_identifier(name)) {
            self.use_of(Feature::HasPath);
            return format!("({base} has {})", names.join("."));
        }
        let name = names.swap_remove(0);
        let text = self.has(&base, &name);
        self.use_of(if text.ends_with("\")") { Feature::HasQuoted } else { Feature::Has });
        text
    }

    fn like(&mut self, depth: usize) -> String {
        self.use_of(Feature::Like);
        let operand = self.expression(&Ty::Text, depth);
        let text = *words::near(self.c, words::TEXTS);
        let mut pattern = String::from("\"");
        let mut skipping = false;
        if self.c.chance(25) {
            pattern.push('*');
            self.use_of(Feature::LikeWild);
        }
        for ch in text.chars() {
            if self.c.chance(25) {
                // a wildcard for this and maybe the next characters
                if !skipping || self.c.chance(10) {
                    pattern.push('*');
                    self.use_of(Feature::LikeWild);
                }
                skipping = true;
                continue;
            }
            skipping = false;
            if ch == '*' {
                self.use_of(Feature::LikeEscape);
                pattern.push_str("\\*");
            } else {
                let piece = quoted(ch.to_string(), self.c);
                pattern.push_str(&piece[1..piece.len() - 1]);
            }
        }
        if self.c.chance(25) {
            pattern.push('*');
            self.use_of(Feature::LikeWild);
        }
        pattern.push('"');
        format!("({} like {pattern})", atom(operand))
    }

    fn extension(&mut self, depth: usize) -> String {
        let (feature, name, ty, binary) = self
            .c
            .pick(&[
                (Feature::IsIpv4, "isIpv4", Ty::Ip, false),
                (Feature::IsIpv6, "isIpv6", Ty::Ip, false),
                (Feature::IsLoopback, "isLoopback", Ty::Ip, false),
                (Feature::IsMulticast, "isMulticast", Ty::Ip, false),
                (Feature::IsInRange, "isInRange", Ty::Ip, true),
                (Feature::IsInRange, "isInRange", Ty::Ip, true),
                (Feature::DecimalLess, "lessThan", Ty::Decimal, true),
                (Feature::DecimalLessEq, "lessThanOrEqual", Ty::Decimal, true),
                (Feature::DecimalGreater, "greaterThan", Ty::Decimal, true),
                (Feature::DecimalGreaterEq, "greaterThanOrEqual", Ty::Decimal, true),
            ])
            .clone();
        self.use_of(feature);
        let first = self.expression(&ty, depth);
        let second = if binary { self.expression(&ty, depth) } else { String::new() };
        format!("{}.{name}({second})", atom(first))
    }
}
