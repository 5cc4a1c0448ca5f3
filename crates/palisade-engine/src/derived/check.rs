//! Declarations against the schema: every type, path and slot, before any entity is looked at.

use std::collections::HashMap;

use crate::derived::path::{Path, words};
use crate::derived::{Checked, Declared, Named, Slot};
use crate::ids::TypeId;
use crate::layout::is_action_type;
use crate::model::{Diagnostic, LinkDeclaration, Written, hint};
use crate::schema::{SchemaModel, Type};
use crate::store::Draft;

impl Declared {
    /// Finds what the declarations name in the schema. Interns it in `draft`. Gives those that are well, and every problem of
    /// the others.
    pub(crate) fn check(
        declarations: &[LinkDeclaration],
        schema: Option<&SchemaModel>,
        draft: &mut Draft,
    ) -> (Self, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let mut checked = Vec::with_capacity(declarations.len());
        for (n, declaration) in declarations.iter().enumerate() {
            let mut fail = |member: &str, message: String| problems.push(problem(declaration, n, member, message));
            let Some(schema) = schema else {
                fail("each", "links from data need a schema, which says what their paths lead to".to_owned());
                continue;
            };
            match each(declaration, schema) {
                Err(message) => fail("each", message),
                Ok(()) => checked.extend(one(declaration, n, schema, draft, &mut fail)),
            }
        }
        twice(declarations, &checked, &mut problems);
        let mut of_type: HashMap<TypeId, Vec<usize>> = HashMap::new();
        for (n, declaration) in checked.iter().enumerate() {
            of_type.entry(declaration.each).or_default().push(n);
        }
        (Self { list: checked, of_type }, Diagnostic::about("link", problems))
    }
}

/// A problem of a member of a declaration, where that is written.
fn problem(declaration: &LinkDeclaration, n: usize, member: &str, message: String) -> Diagnostic {
    at(declaration.written.as_ref(), n, member, message)
}

/// The same of one that was checked.
pub(super) fn at(written: Option<&Written>, n: usize, member: &str, message: String) -> Diagnostic {
    match written {
        Some(place) => Diagnostic { line: place.line_of(member), ..Diagnostic::error(&*place.origin, message) },
        None => Diagnostic::error(format!("links from data[{n}]"), message),
    }
}

/// Whether entities of the type can make links.
fn each(declaration: &LinkDeclaration, schema: &SchemaModel) -> Result<(), String> {
    let each = declaration.each.as_str();
    if is_action_type(each) {
        return Err(format!("`each: {each}`: actions come from the schema and make no links"));
    }
    match schema.entity_type(each) {
        None => {
            let near = hint(each, schema.entity_type_names());
            Err(format!("`each`: the schema declares no entity type `{each}`{near}"))
        }
        Some(declared) if declared.choices.is_some() => {
            Err(format!("`each`: `{each}` is an `enum`, so its entities are not stored and make no links"))
        }
        Some(_) => Ok(()),
    }
}

fn one(
    declaration: &LinkDeclaration,
    number: usize,
    schema: &SchemaModel,
    draft: &mut Draft,
    fail: &mut dyn FnMut(&str, String),
) -> Option<Checked> {
    let each = declaration.each.as_str();
    let mut whole = true;
    let is_bool = |ty: &Type| matches!(ty, Type::Bool);
    let is_name = |ty: &Type| match ty {
        Type::String => true,
        Type::Set(element) => **element == Type::String,
        _ => false,
    };
    let is_entity = |ty: &Type| matches!(ty, Type::Entity(_));
    let mut find = |member: &str, text: &str, expected: &str, fits: &dyn Fn(&Type) -> bool| {
        let found = Path::check(text, each, schema, draft).and_then(|path| {
            let is = words(&path.end);
            if fits(&path.end) { Ok(path) } else { Err(format!("`{text}` is {is}, not {expected}")) }
        });
        found.map_err(|message| format!("`{member}`: {message}"))
    };
    // what begins with an attribute of the entity is a path, unless it is only a template that has that name; templates are
    // known later
    let first = declaration.template.split('.').next().unwrap_or_default();
    let is_path = schema.entity_type(each).is_some_and(|declared| declared.attributes.contains_key(first));
    let expected = "a String or a Set<String> of policy ids";
    let (template, no_path) = match is_path.then(|| find("template", &declaration.template, expected, &is_name)) {
        Some(Ok(path)) => (Named::Path(path), None),
        Some(Err(message)) => (Named::Fixed(declaration.template.as_str().into()), Some(message)),
        None => (Named::Fixed(declaration.template.as_str().into()), None),
    };
    let mut path = |member: &str, text: &str, expected: &str, fits: &dyn Fn(&Type) -> bool| {
        find(member, text, expected, fits).map_err(|message| {
            whole = false;
            fail(member, message);
        })
    };
    let when = declaration.when.as_ref().map(|text| path("when", text, "a Bool", &is_bool));
    let mut slot = |member: &str, text: Option<&String>| match text.map(String::as_str) {
        None => Ok(None),
        Some("self") => Ok(Some(Slot::Own)),
        Some(text) => {
            let expected = "an entity; write `self` or a path to one";
            path(member, text, expected, &is_entity).map(|path| Some(Slot::Path(path)))
        }
    };
    let slots = [slot("principal", declaration.principal.as_ref()), slot("resource", declaration.resource.as_ref())];
    let (Ok(when), [Ok(principal), Ok(resource)], true) = (when.transpose(), slots, whole) else {
        return None;
    };
    let place = at(declaration.written.as_ref(), number, "each", String::new());
    Some(Checked {
        number,
        each: draft.type_id(each),
        each_name: each.into(),
        id: declaration.id.as_deref().map(Into::into),
        when,
        template,
        no_path,
        slots: [principal, resource],
        missing: declaration.missing,
        written: declaration.written.clone(),
        place: Written::new(place.origin, place.line),
    })
}

/// Refuses two declarations that could make links of the same id.
fn twice(declarations: &[LinkDeclaration], checked: &[Checked], problems: &mut Vec<Diagnostic>) {
    let label = |one: &Checked| match (&one.template, &one.id) {
        (Named::Fixed(name), None) => Some(name.to_string()),
        (Named::Fixed(name), Some(id)) => Some(format!("{name}@{id}")),
        (Named::Path(_), _) => None,
    };
    for (n, second) in checked.iter().enumerate() {
        let same = checked.iter().take(n).find(|first| {
            first.each == second.each
                && match (label(first), label(second)) {
                    (Some(first), Some(second)) => first == second,
                    (None, None) => first.id == second.id,
                    // what data name has no `@`
                    (Some(label), None) => label.split_once('@').map(|(_, id)| id) == second.id.as_deref(),
                    (None, Some(label)) => label.split_once('@').map(|(_, id)| id) == first.id.as_deref(),
                }
        });
        let (Some(first), Some(declaration)) = (same, declarations.get(second.number)) else { continue };
        let place = at(first.written.as_ref(), first.number, "template", String::new());
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let message = format!("this could make links of the same ids as the declaration at {}{line}", place.origin);
        let help = "give one of them an `id`, which its links have in their ids";
        problems.push(problem(declaration, second.number, "template", message).help(help));
    }
}
