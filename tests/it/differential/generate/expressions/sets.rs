//! Sets, and what is asked of them.

use super::super::features::Feature;
use super::super::model::Ty;
use super::super::words::{self, quoted};
use super::{Writer, atom, constructor_of};

impl Writer<'_, '_> {
    pub(super) fn set(&mut self, element: &Ty, depth: usize) -> String {
        self.use_of(Feature::SetLiteral);
        let few = self.c.chance(30);
        let count = if few { 1 + self.c.below(2) } else { self.c.below(4) };
        if count == 0 {
            self.use_of(Feature::EmptySet);
        }
        let mut elements: Vec<String> =
            (0..count).map(|_| if few { self.one_of_few(element) } else { self.expression(element, depth) }).collect();
        if self.c.chance(if few { 40 } else { 15 })
            && let Some(again) = self.c.any(&elements).cloned()
        {
            elements.push(again);
        }
        if self.c.chance(2 + self.wild) {
            self.use_of(Feature::MixedSet);
            let other = self.people.model.ty(self.c, 1);
            elements.push(self.leaf(&other));
        }
        format!("[{}]", elements.join(", "))
    }

    /// One of the few values that sets have in common: of stored ones too.
    fn one_of_few(&mut self, ty: &Ty) -> String {
        match ty {
            Ty::Text => {
                self.use_of(Feature::Text);
                quoted(words::some(self.c, words::TEXTS, true), self.c)
            }
            Ty::Long => {
                self.use_of(Feature::Long);
                self.c.pick(words::FEW_LONGS).to_string()
            }
            ty => match constructor_of(ty) {
                Some((name, feature, pool)) => {
                    self.use_of(feature);
                    let text = *words::some(self.c, pool, true);
                    format!("{name}({})", quoted(text, self.c))
                }
                None => self.leaf(ty),
            },
        }
    }

    pub(super) fn set_operation(&mut self, depth: usize) -> String {
        let seen: Vec<Ty> = self
            .paths
            .iter()
            .filter_map(|path| match &path.ty {
                Ty::Set(element) => Some((**element).clone()),
                _ => None,
            })
            .collect();
        let element = match self.c.any(&seen) {
            Some(element) if self.c.chance(70) => element.clone(),
            _ => self.people.model.ty(self.c, 1),
        };
        let ty = Ty::Set(Box::new(element.clone()));
        let form = self.c.below(10);
        match form {
            7 => return self.equal_sets(&ty),
            8.. => return self.set_in_two_ways(&element),
            _ => {}
        }
        let set = self.expression(&ty, depth);
        let set = atom(set);
        match form {
            0..=2 => {
                self.use_of(Feature::Contains);
                let value = self.expression(&element, depth);
                format!("{set}.contains({value})")
            }
            3 => {
                self.use_of(Feature::ContainsAll);
                let other = self.expression(&ty, depth);
                format!("{set}.containsAll({other})")
            }
            4 | 5 => {
                self.use_of(Feature::ContainsAny);
                let other = self.expression(&ty, depth);
                format!("{set}.containsAny({other})")
            }
            _ => {
                self.use_of(Feature::IsEmpty);
                format!("{set}.isEmpty()")
            }
        }
    }

    /// Whether two sets of a type are equal, of which one is probably stored or comes with the request.
    fn equal_sets(&mut self, ty: &Ty) -> String {
        self.use_of(Feature::EqualSets);
        let (feature, operator) = *self.c.pick(&[(Feature::Eq, "=="), (Feature::Ne, "!=")]);
        self.use_of(feature);
        let (set, other) = (self.leaf(ty), self.literal(ty));
        format!("({} {operator} {})", atom(set), atom(other))
    }

    /// A set against itself, with its elements in another order and one of them twice. Now and then one is left out.
    fn set_in_two_ways(&mut self, element: &Ty) -> String {
        self.use_of(Feature::EqualSets);
        self.use_of(Feature::SetLiteral);
        let count = 1 + self.c.below(3);
        let one: Vec<String> =
            (0..count).map(|_| if self.c.chance(60) { self.one_of_few(element) } else { self.leaf(element) }).collect();
        let mut other: Vec<String> = one.iter().rev().cloned().collect();
        other.push(self.c.pick(&one).clone());
        if self.c.chance(20) {
            other.remove(0);
        }
        let (one, other) = (format!("[{}]", one.join(", ")), format!("[{}]", other.join(", ")));
        match self.c.below(5) {
            0 => {
                self.use_of(Feature::Ne);
                format!("({one} != {other})")
            }
            1 => {
                self.use_of(Feature::Contains);
                format!("[{other}].contains({one})")
            }
            2 => {
                self.use_of(Feature::ContainsAny);
                format!("[{one}].containsAny([{other}])")
            }
            3 => {
                self.use_of(Feature::Eq);
                self.use_of(Feature::RecordLiteral);
                format!("({{a: {one}}} == {{a: {other}}})")
            }
            _ => {
                self.use_of(Feature::Eq);
                format!("({one} == {other})")
            }
        }
    }
}
