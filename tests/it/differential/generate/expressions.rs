//! Conditions: every operator, over operands that mostly fit and sometimes do not.

mod booleans;
mod sets;

use super::choices::Choices;
use super::entities::Population;
use super::features::{Feature, Features};
use super::model::{Attr, Ty};
use super::words::{self, is_identifier, quoted};

/// What the requests that a policy is about look like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Theme {
    /// The number of the action.
    pub action: usize,
    /// The number of the principal's type.
    pub principal: usize,
    /// The number of the resource's type.
    pub resource: usize,
}

/// Writes expressions for one policy.
#[derive(Debug)]
pub(crate) struct Writer<'w, 'm> {
    /// Who makes the choices.
    pub c: &'w mut Choices,
    /// What there is to speak of.
    pub people: &'w Population<'m>,
    /// What has been used.
    pub used: Features,
    /// Percent of operands of a wrong type.
    pub wild: usize,
    /// Paths to values that the request shows, with their types and what must be tested first.
    paths: Vec<Path>,
}

#[derive(Debug, Clone)]
struct Path {
    text: String,
    ty: Ty,
    guard: Vec<String>,
    features: Features,
}

impl<'w, 'm> Writer<'w, 'm> {
    /// A writer of conditions for requests like `theme`.
    pub(crate) fn new(c: &'w mut Choices, people: &'w Population<'m>, theme: Theme, wild: usize) -> Self {
        let mut writer = Self { c, people, used: Features::default(), wild, paths: Vec::new() };
        let model = people.model;
        let start = |text: &str, ty: Ty, feature| {
            let mut features = Features::default();
            features.add(feature);
            Path { text: text.to_owned(), ty, guard: Vec::new(), features }
        };
        let context = Ty::Record(model.actions[theme.action].context.clone());
        for (path, depth) in [
            (start("principal", Ty::Entity(theme.principal), Feature::Principal), 2),
            (start("resource", Ty::Entity(theme.resource), Feature::Resource), 2),
            (start("context", context, Feature::Context), 3),
        ] {
            writer.walk(path, depth);
        }
        writer
    }

    fn walk(&mut self, path: Path, depth: usize) {
        let attrs: Vec<Attr> = match &path.ty {
            Ty::Entity(i) => self.people.model.types[*i].attrs.clone(),
            Ty::Record(members) => members.clone(),
            _ => Vec::new(),
        };
        if depth > 0 {
            for attr in attrs {
                let mut features = path.features;
                features.add(if is_identifier(&attr.name) { Feature::Attribute } else { Feature::AttributeIndex });
                if !path.guard.is_empty() || path.text.contains(['.', '[']) {
                    features.add(Feature::Hop);
                }
                if path.text == "context" && attr.name == "now" {
                    features.add(Feature::Now);
                }
                let mut guard = path.guard.clone();
                if !attr.required || matches!(path.ty, Ty::Entity(_)) {
                    guard.push(self.has(&path.text, &attr.name));
                }
                let text = self.select(&path.text, &attr.name);
                self.walk(Path { text, ty: attr.ty, guard, features }, depth - 1);
            }
        }
        self.paths.push(path);
    }

    fn select(&mut self, base: &str, name: &str) -> String {
        if is_identifier(name) && !self.c.chance(15) {
            format!("{base}.{name}")
        } else {
            format!("{base}[{}]", quoted(name, self.c))
        }
    }

    fn has(&mut self, base: &str, name: &str) -> String {
        if is_identifier(name) && !self.c.chance(15) {
            format!("({base} has {name})")
        } else {
            format!("({base} has {})", quoted(name, self.c))
        }
    }

    fn use_of(&mut self, feature: Feature) {
        self.used.add(feature);
    }

    /// A condition.
    pub(crate) fn condition(&mut self) -> String {
        if self.c.chance(1) {
            self.use_of(Feature::Chain);
            let operator = if self.c.chance(50) { " || " } else { " && " };
            let terms: Vec<String> = (0..20 + self.c.below(40)).map(|_| self.expression(&Ty::Bool, 0)).collect();
            return terms.join(operator);
        }
        let depth = 1 + self.c.weighted(&[30, 40, 20, 10]);
        self.expression(&Ty::Bool, depth)
    }

    /// An expression that has the type `ty`, more or less.
    pub(crate) fn expression(&mut self, ty: &Ty, depth: usize) -> String {
        if self.c.chance(self.wild) {
            self.use_of(Feature::IllTyped);
            let other = self.people.model.ty(self.c, 1);
            return self.plain(&other, depth.saturating_sub(1));
        }
        self.plain(ty, depth)
    }

    fn plain(&mut self, ty: &Ty, depth: usize) -> String {
        if depth == 0 {
            return self.leaf(ty);
        }
        let inner = depth - 1;
        match self.c.weighted(&[if *ty == Ty::Bool { 4 } else { 60 }, 6, 3, 6, 85]) {
            0 => self.leaf(ty),
            1 => {
                self.use_of(Feature::If);
                let (test, yes, no) =
                    (self.expression(&Ty::Bool, inner), self.expression(ty, inner), self.expression(ty, inner));
                format!("(if {test} then {yes} else {no})")
            }
            2 => {
                self.use_of(Feature::RecordLiteral);
                let name = *self.c.pick(words::ATTRIBUTES);
                self.use_of(if is_identifier(name) { Feature::Attribute } else { Feature::AttributeIndex });
                let (value, other) = (self.expression(ty, inner), self.leaf(&Ty::Long));
                let record = format!("({{{}: {value}, \"zz\": {other}}})", quoted(name, self.c));
                self.select(&record, name)
            }
            3 => match self.tagged(ty) {
                Some(owner) => {
                    self.use_of(Feature::GetTag);
                    let (owner, key) = (self.entity_of(owner), self.key(inner));
                    if self.c.chance(30) {
                        return format!("{owner}.getTag({key})");
                    }
                    self.use_of(Feature::If);
                    self.use_of(Feature::HasTag);
                    let other = self.leaf(ty);
                    format!("(if {owner}.hasTag({key}) then {owner}.getTag({key}) else {other})")
                }
                None => self.leaf(ty),
            },
            _ => match ty {
                Ty::Bool => self.boolean(inner),
                Ty::Long => self.long(inner),
                Ty::Text => self.leaf(ty),
                Ty::Datetime => self.datetime(inner),
                Ty::Duration => self.duration(inner),
                Ty::Set(element) => self.set(element, inner),
                Ty::Record(members) => self.record(members, inner),
                Ty::Ip | Ty::Decimal => self.computed(ty, inner),
                Ty::Entity(_) => self.leaf(ty),
            },
        }
    }

    /// A type of entities with tags of type `ty`.
    fn tagged(&mut self, ty: &Ty) -> Option<usize> {
        let types = &self.people.model.types;
        let owners: Vec<usize> = (0..types.len()).filter(|i| types[*i].tags.as_ref() == Some(ty)).collect();
        self.c.any(&owners).copied()
    }

    fn entity_of(&mut self, ty: usize) -> String {
        let text = self.leaf(&Ty::Entity(ty));
        atom(text)
    }

    fn key(&mut self, depth: usize) -> String {
        if self.c.chance(40) {
            self.use_of(Feature::ComputedTag);
            return self.expression(&Ty::Text, depth);
        }
        self.use_of(Feature::Text);
        quoted(self.c.pick(words::KEYS), self.c)
    }

    /// Something that the request shows, or a literal.
    fn leaf(&mut self, ty: &Ty) -> String {
        if self.c.chance(65) {
            let fitting: Vec<usize> = (0..self.paths.len()).filter(|i| self.paths[*i].ty == *ty).collect();
            if let Some(path) = self.c.any(&fitting).map(|i| self.paths[*i].clone()) {
                self.used.join(path.features);
                if path.guard.is_empty() || self.c.chance(35) {
                    return path.text;
                }
                self.use_of(Feature::Has);
                if *ty == Ty::Bool {
                    self.use_of(Feature::And);
                    return format!("({} && {})", path.guard.join(" && "), path.text);
                }
                self.use_of(Feature::If);
                let other = self.literal(ty);
                return format!("(if {} then {} else {other})", path.guard.join(" && "), path.text);
            }
        }
        self.literal(ty)
    }

    fn literal(&mut self, ty: &Ty) -> String {
        match ty {
            Ty::Bool => {
                self.use_of(Feature::Bool);
                if self.c.chance(60) { "true".to_owned() } else { "false".to_owned() }
            }
            Ty::Long => {
                let n = *words::near(self.c, words::LONGS);
                self.use_of(Feature::Long);
                if n.unsigned_abs() >= 1 << 59 {
                    self.use_of(Feature::Extreme);
                }
                if n < 0 { format!("({n})") } else { n.to_string() }
            }
            Ty::Text => {
                let text = quoted(words::near(self.c, words::TEXTS), self.c);
                self.use_of(if text.contains('\\') { Feature::Escape } else { Feature::Text });
                text
            }
            Ty::Entity(i) => {
                self.use_of(Feature::EntityLiteral);
                if self.c.chance(4) {
                    let action = &self.people.model.actions;
                    let uid = self.c.pick(action).uid.clone();
                    self.use_of(Feature::Action);
                    if self.c.chance(50) {
                        return "action".to_owned();
                    }
                    return format!("{}::{}", uid.type_name, quoted(&uid.id, self.c));
                }
                let uid = self.people.uid_of_type(self.c, *i);
                format!("{}::{}", uid.type_name, quoted(&uid.id, self.c))
            }
            Ty::Set(element) => self.set(element, 0),
            Ty::Record(members) => self.record(members, 0),
            Ty::Ip => self.constructor(Feature::Ip, Feature::BadIp, "ip", words::IPS, words::BAD_IPS),
            Ty::Decimal => {
                self.constructor(Feature::Decimal, Feature::BadDecimal, "decimal", words::DECIMALS, words::BAD_DECIMALS)
            }
            Ty::Datetime => self.constructor(
                Feature::Datetime,
                Feature::BadDatetime,
                "datetime",
                words::DATETIMES,
                words::BAD_DATETIMES,
            ),
            Ty::Duration => self.constructor(
                Feature::Duration,
                Feature::BadDuration,
                "duration",
                words::DURATIONS,
                words::BAD_DURATIONS,
            ),
        }
    }

    fn constructor(&mut self, good: Feature, bad: Feature, name: &str, right: &[&str], wrong: &[&str]) -> String {
        self.use_of(good);
        let text = if self.c.chance(3 + self.wild) {
            self.use_of(bad);
            *self.c.pick(wrong)
        } else {
            *self.c.pick(right)
        };
        format!("{name}({})", quoted(text, self.c))
    }

    /// A constructor whose argument is only known once it runs.
    fn computed(&mut self, ty: &Ty, depth: usize) -> String {
        let (name, feature, pool) = constructor_of(ty).unwrap_or(("duration", Feature::Duration, words::DURATIONS));
        self.use_of(feature);
        self.use_of(Feature::ComputedCall);
        self.use_of(Feature::If);
        let test = self.expression(&Ty::Bool, depth);
        let (yes, no) = (quoted(self.c.pick(pool), self.c), quoted(self.c.pick(pool), self.c));
        format!("{name}(if {test} then {yes} else {no})")
    }

    fn long(&mut self, depth: usize) -> String {
        match self.c.below(6) {
            0 => self.binary(Feature::Add, "+", &Ty::Long, depth),
            1 => self.binary(Feature::Sub, "-", &Ty::Long, depth),
            2 => self.binary(Feature::Mul, "*", &Ty::Long, depth),
            3 => {
                self.use_of(Feature::Neg);
                let operand = self.expression(&Ty::Long, depth);
                format!("(-{})", atom(operand))
            }
            _ => {
                let (feature, name) = *self.c.pick(&[
                    (Feature::ToMilliseconds, "toMilliseconds"),
                    (Feature::ToSeconds, "toSeconds"),
                    (Feature::ToMinutes, "toMinutes"),
                    (Feature::ToHours, "toHours"),
                    (Feature::ToDays, "toDays"),
                ]);
                self.use_of(feature);
                let operand = self.expression(&Ty::Duration, depth);
                format!("{}.{name}()", atom(operand))
            }
        }
    }

    fn datetime(&mut self, depth: usize) -> String {
        match self.c.below(3) {
            0 => {
                self.use_of(Feature::Offset);
                let (a, b) = (self.expression(&Ty::Datetime, depth), self.expression(&Ty::Duration, depth));
                format!("{}.offset({b})", atom(a))
            }
            1 => {
                self.use_of(Feature::ToDate);
                let a = self.expression(&Ty::Datetime, depth);
                format!("{}.toDate()", atom(a))
            }
            _ => self.computed(&Ty::Datetime, depth),
        }
    }

    fn duration(&mut self, depth: usize) -> String {
        match self.c.below(3) {
            0 => {
                self.use_of(Feature::DurationSince);
                let (a, b) = (self.expression(&Ty::Datetime, depth), self.expression(&Ty::Datetime, depth));
                format!("{}.durationSince({b})", atom(a))
            }
            1 => {
                self.use_of(Feature::ToTime);
                let a = self.expression(&Ty::Datetime, depth);
                format!("{}.toTime()", atom(a))
            }
            _ => self.computed(&Ty::Duration, depth),
        }
    }

    fn record(&mut self, members: &[Attr], depth: usize) -> String {
        self.use_of(Feature::RecordLiteral);
        let mut parts = Vec::new();
        for member in members {
            if member.required || self.c.chance(50) {
                let value = self.expression(&member.ty, depth);
                let name = if is_identifier(&member.name) && self.c.chance(80) {
                    member.name.clone()
                } else {
                    quoted(&member.name, self.c)
                };
                parts.push(format!("{name}: {value}"));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }

    fn binary(&mut self, feature: Feature, operator: &str, ty: &Ty, depth: usize) -> String {
        self.use_of(feature);
        let (a, b) = (self.expression(ty, depth), self.expression(ty, depth));
        format!("({} {operator} {})", atom(a), atom(b))
    }

    /// An expression that certainly fails.
    fn failing(&mut self) -> String {
        match self.c.below(6) {
            0 => "((9223372036854775807 + 1) == 0)".to_owned(),
            1 => "(\"a\" < 1)".to_owned(),
            2 => "principal[\"no such attribute\"]".to_owned(),
            3 => "(ip(\"nowhere\").isIpv4())".to_owned(),
            4 => "principal.getTag(\"no such tag\")".to_owned(),
            _ => "(1)".to_owned(),
        }
    }
}

/// The constructor of an extension type, and what it takes.
fn constructor_of(ty: &Ty) -> Option<(&'static str, Feature, &'static [&'static str])> {
    Some(match ty {
        Ty::Ip => ("ip", Feature::Ip, words::IPS),
        Ty::Decimal => ("decimal", Feature::Decimal, words::DECIMALS),
        Ty::Datetime => ("datetime", Feature::Datetime, words::DATETIMES),
        Ty::Duration => ("duration", Feature::Duration, words::DURATIONS),
        _ => return None,
    })
}

/// The expression in brackets, unless it stands on its own: literals cannot be followed by a dot.
fn atom(text: String) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !text.contains(' ');
    if plain || (text.starts_with('(') && closes_at_end(&text)) { text } else { format!("({text})") }
}

/// Whether the bracket that opens at the start closes at the end.
fn closes_at_end(text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return i + 1 == text.len();
                }
            }
            _ => {}
        }
    }
    false
}
