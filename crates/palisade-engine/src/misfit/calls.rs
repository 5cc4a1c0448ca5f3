//! Values that are calls of Cedar's functions, such as `{"__extn": {"fn": "ip", "arg": "::1"}}`.

use cedar_policy_core::ast::{ExtensionFunction, Name as CedarName};
use cedar_policy_core::entities::SchemaType;
use cedar_policy_core::extensions::Extensions;

use super::{Misfit, argument, bound, constructor, example, misfit, name, parses, shown};
use crate::conform::Name;
use crate::model::{Value, count, hint};
use crate::schema::Type;

/// A call as it is written.
struct Call<'v> {
    function: &'v str,
    args: &'v [Value<'v>],
}

impl<'v> Call<'v> {
    /// The call that `found` is, if it is one.
    fn read(found: &'v Value<'v>) -> Option<Self> {
        let function = found.get("fn")?.as_str()?;
        let args = match (found.get("arg"), found.get("args")) {
            (Some(arg), None) => std::slice::from_ref(arg),
            (None, Some(args)) => args.as_array()?,
            _ => return None,
        };
        Some(Self { function, args })
    }
}

/// What is wrong with a value that is a call, or should be one, as far as that can be said. `ty` is what is expected.
pub(super) fn problem(found: &Value<'_>, ty: Option<&Type>) -> Option<String> {
    let ty = ty.filter(|ty| **ty != Type::Unknown);
    if let Some([(key, Value::String(_))]) = found.as_object()
        && key == "__expr"
    {
        return Some(format!(
            "Cedar reads no `__expr`: write the value itself, or a call such as {{\"__extn\": {CALL}}}"
        ));
    }
    within(found, ty, matches!(ty, Some(Type::Extension(_))))
}

/// The same of an argument too. Where `implicit`, a text stands for the value that is made of it.
///
/// Recurses with the nesting of the JSON, which is bounded.
fn within(found: &Value<'_>, ty: Option<&Type>, implicit: bool) -> Option<String> {
    let (call, is_explicit) = match (found.get("__extn"), ty) {
        (Some(call), _) => (call, true),
        (None, Some(Type::Extension(_))) if implicit && found.as_object().is_some() => (found, false),
        _ => return None,
    };
    let unlike = |what: &str| ty.map(|ty| format!("expected {}, such as {}, not {what}", name(ty), example(ty, None)));
    let Some(Call { function, args }) = Call::read(call) else {
        return match (ty, is_explicit) {
            (Some(Type::Bool | Type::Long | Type::String | Type::Extension(_)), true) => {
                Some(format!("`__extn` is a call such as {CALL}, not {}", shown(call)))
            }
            (_, false) => unlike(&shown(found)),
            // a record, unless something else is expected, which is said otherwise
            _ => None,
        };
    };
    // a value that is not known yet: what holds it is refused as a whole
    if function == "unknown" {
        return None;
    }
    let Some(known) = known(function) else {
        let near = hint(function, EXTENSIONS.into_iter().filter_map(constructor));
        return Some(format!("there is no function `{function}`, only such as `ip` and `decimal`{near}"));
    };
    if let Some(gives) = known.return_type().and_then(type_of)
        && ty.is_some_and(|ty| *ty != gives)
    {
        return unlike(&format!("{}, which `{function}` gives", name(&gives)));
    }
    let takes = known.arg_types();
    if !known.is_variadic() && takes.len() != args.len() {
        return Some(format!("`{function}` takes {}, not {}", count(takes.len(), "argument"), args.len()));
    }
    args.iter().zip(takes).find_map(|(arg, takes)| of_argument(function, arg, &type_of(takes)?, implicit))
}

/// What Cedar says of a call that it tried, at the call.
pub(super) fn failed(value: &Value<'_>, place: &Name<'_>, said: &str) -> Option<Misfit> {
    // error while evaluating `offset` extension function: overflows when adding an offset: datetime(..)
    let (before, why) = said.split_once("` extension function: ")?;
    let function = before.rsplit('`').next()?;
    let problem = format!("the call of `{function}` fails: it {}", why.split(": ").next()?);
    called(value, function, place, &problem)
}

/// The problem at the first call of a function.
///
/// Recurses with the nesting of the JSON, which is bounded.
fn called(value: &Value<'_>, function: &str, place: &Name<'_>, problem: &str) -> Option<Misfit> {
    match value {
        Value::Object(members) => {
            let call = value.get("__extn").unwrap_or(value);
            if Call::read(call).is_some_and(|call| call.function == function) {
                return Some(misfit(place, problem));
            }
            members.iter().find_map(|(key, found)| called(found, function, &Name::Member(place, key), problem))
        }
        Value::Array(elements) => {
            let mut elements = elements.iter().enumerate();
            elements.find_map(|(i, found)| called(found, function, &Name::Element(place, i), problem))
        }
        _ => None,
    }
}

fn of_argument(function: &str, arg: &Value<'_>, takes: &Type, implicit: bool) -> Option<String> {
    match (takes, arg) {
        (Type::Bool, Value::Bool(_)) | (Type::Long, Value::Long(_)) => None,
        (Type::String, Value::String(text)) => {
            let extension = EXTENSIONS.into_iter().find(|extension| constructor(extension) == Some(function))?;
            unparsed(extension, text)
        }
        (Type::Extension(extension), Value::String(text)) if implicit => unparsed(extension, text),
        (_, Value::Object(_)) if arg.get("__extn").is_some() || implicit => within(arg, Some(takes), implicit),
        _ => {
            let example = match takes {
                Type::Extension(extension) if !implicit => {
                    let function = constructor(extension).unwrap_or_default();
                    format!(r#"{{"__extn": {{"fn": "{function}", "arg": "{}"}}}}"#, argument(extension))
                }
                _ => example(takes, None),
            };
            Some(format!("`{function}` takes {}, such as {example}, not {}", name(takes), shown(arg)))
        }
    }
}

/// What is wrong with a text of which a value of the type is to be made.
fn unparsed(extension: &str, text: &str) -> Option<String> {
    let name = name(&Type::Extension(extension.into()));
    (!parses(extension, text))
        .then(|| format!("`{text}` is not {name}, such as `{}`{}", argument(extension), bound(extension, text)))
}

/// The function of a name, if Cedar has it.
fn known(function: &str) -> Option<&'static ExtensionFunction> {
    let name = function.parse::<CedarName>().ok()?;
    Extensions::all_available().func(&name).ok()
}

fn type_of(ty: &SchemaType) -> Option<Type> {
    match ty {
        SchemaType::Bool => Some(Type::Bool),
        SchemaType::Long => Some(Type::Long),
        SchemaType::String => Some(Type::String),
        SchemaType::Extension { name } => Some(Type::Extension(name.to_string().into())),
        _ => None,
    }
}

/// The types whose values are made of texts.
const EXTENSIONS: [&str; 4] = ["ipaddr", "decimal", "datetime", "duration"];

/// A call as an author writes it.
const CALL: &str = r#"{"fn": "decimal", "arg": "12.5"}"#;
