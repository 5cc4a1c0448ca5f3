//! JSON Schemas of path parameters as shapes of segments.
//!
//! Every keyword is either held, or says nothing about a segment, or refuses the operation: what cannot be held is
//! never left out, for the parameter would then take more than its document says.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::openapi::refs::{reference, target};
use crate::path::MAX_TARGET;
use crate::shape::{Bound, Format, Number, Shape, Types, Words};

/// How deep schemas may stand in one another.
const DEEPEST: usize = 64;

/// In how many of the schemas that hold besides a type is looked for.
const MOST_BESIDE: usize = 8;

/// How many parts a shape may have, each counted wherever it is used: so much is looked at for one request.
const LARGEST: usize = 512;

/// Keywords that say nothing about what is valid.
const REMARKS: [&str; 20] = [
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "externalDocs",
    "xml",
    "discriminator",
    "nullable",
    "$comment",
    "$defs",
    "definitions",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "summary",
    "required",
];

/// Keywords about lists and objects, which no segment is.
const OF_OTHERS: [&str; 18] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
];

const EVERY: Types = Types { text: true, number: true, integer: true, boolean: true, wide: false };
const NO_TYPE: Types = Types { text: false, number: false, integer: false, boolean: false, wide: false };

/// Makes shapes of the schemas of one document. Each schema is read once, however often it is referred to.
pub(super) struct Schemas<'d> {
    document: &'d Value,
    known: HashMap<(usize, Option<Types>), State>,
}

type Compiled = Result<(Arc<Shape>, usize), String>;

enum State {
    Open,
    Done(Compiled),
}

impl<'d> Schemas<'d> {
    pub(super) fn new(document: &'d Value) -> Self {
        Self { document, known: HashMap::new() }
    }

    /// The shape that a schema means.
    ///
    /// # Errors
    /// Which part of it no segment can be held to.
    pub(super) fn shape(&mut self, schema: &'d Value) -> Result<Arc<Shape>, String> {
        self.compile(schema, None, 0).map(|(shape, _)| shape)
    }

    /// `types` are those that what stands around the schema leaves.
    fn compile(&mut self, schema: &'d Value, types: Option<Types>, depth: usize) -> Compiled {
        let key = (std::ptr::from_ref(schema).addr(), types);
        match self.known.get(&key) {
            Some(State::Done(done)) => return done.clone(),
            Some(State::Open) => return Err("its `$ref`s lead in a circle".to_owned()),
            None => {}
        }
        if depth > DEEPEST {
            return Err(format!("its schemas stand more than {DEEPEST} deep in one another"));
        }
        self.known.insert(key, State::Open);
        let done = match schema {
            Value::Bool(true) => Ok((Arc::new(Shape::Any), 1)),
            Value::Bool(false) => Err("its schema is `false`, which nothing satisfies".to_owned()),
            Value::Object(members) => self.object(members, types, depth),
            _ => Err("its schema is not an object".to_owned()),
        };
        let done = done.and_then(|(shape, weight)| match weight {
            ..=LARGEST => Ok((shape, weight)),
            _ => Err(format!("its schema has more than {LARGEST} parts")),
        });
        self.known.insert(key, State::Done(done.clone()));
        done
    }

    fn object(&mut self, members: &'d Map<String, Value>, around: Option<Types>, depth: usize) -> Compiled {
        let own = members.get("type").map(types_of).transpose()?;
        let types = both(both(own, around), self.beside(members, 0));
        if types == Some(NO_TYPE) {
            return Err("its `type`s exclude one another".to_owned());
        }
        let mut parts: Vec<Arc<Shape>> = Vec::new();
        let mut weight = 1;
        let wide = members.get("format").and_then(Value::as_str) == Some("int64");
        parts.extend(own.map(|own| Arc::new(Shape::Types(Types { wide, ..own }))));
        for (key, value) in members {
            match key.as_str() {
                "type" | "minLength" | "exclusiveMinimum" | "exclusiveMaximum" => {}
                _ if key.starts_with("x-") || REMARKS.contains(&key.as_str()) => {}
                "$ref" => {
                    let reference = value.as_str().ok_or("a `$ref` is not a text")?;
                    let (shape, more) = self.compile(target(self.document, reference)?, types, depth + 1)?;
                    parts.push(shape);
                    weight += more;
                }
                "enum" => {
                    let words = value.as_array().ok_or("its `enum` is not a list")?;
                    parts.push(words_of(words, types)?);
                    weight += 1;
                }
                "const" => parts.push(words_of(std::slice::from_ref(value), types)?),
                "allOf" | "anyOf" | "oneOf" => {
                    let list = value.as_array().filter(|list| !list.is_empty());
                    let list = list.ok_or_else(|| format!("its `{key}` is not a list of schemas"))?;
                    let mut shapes = Vec::new();
                    for schema in list {
                        let (shape, more) = self.compile(schema, types, depth + 1)?;
                        shapes.push(shape);
                        weight += more;
                    }
                    parts.push(Arc::new(match key.as_str() {
                        "allOf" => Shape::AllOf(shapes),
                        "anyOf" => Shape::AnyOf(shapes),
                        _ => Shape::OneOf(shapes),
                    }));
                }
                "maxLength" | "format" | "minimum" | "maximum" | "multipleOf" => {}
                _ if OF_OTHERS.contains(&key.as_str()) => {
                    if types.is_none() {
                        return Err(format!("its schema has `{key}` and no `type`: a list or an object in a segment"));
                    }
                }
                "pattern" => return Err("no segment is held to a `pattern`".to_owned()),
                _ => return Err(format!("its schema has `{key}`, which no segment is held to")),
            }
        }
        parts.extend(length(members, types)?);
        parts.extend(range(members, types)?);
        parts.extend(format(members, types)?);
        let shape = match (parts.len(), parts.pop()) {
            (_, None) => Arc::new(Shape::Any),
            (1, Some(only)) => only,
            (_, Some(last)) => {
                parts.push(last);
                Arc::new(Shape::AllOf(parts))
            }
        };
        Ok((shape, weight))
    }
}

impl Schemas<'_> {
    /// The types that the schemas leave which hold besides: what stands beside a `$ref` is about what it names.
    fn beside(&self, members: &Map<String, Value>, depth: usize) -> Option<Types> {
        let named = members.get("$ref").and_then(Value::as_str).and_then(|to| target(self.document, to).ok());
        let all = members.get("allOf").and_then(Value::as_array).into_iter().flatten();
        let others = named.into_iter().chain(all).take(MOST_BESIDE).filter_map(Value::as_object);
        others.fold(None, |types, other| {
            let own = other.get("type").and_then(|own| types_of(own).ok());
            let more = if depth < 2 { self.beside(other, depth + 1) } else { None };
            both(types, both(own, more))
        })
    }
}

/// What both leave.
fn both(a: Option<Types>, b: Option<Types>) -> Option<Types> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.and(b)),
        (a, b) => a.or(b),
    }
}

impl Types {
    fn and(self, other: Self) -> Self {
        Self {
            text: self.text && other.text,
            number: self.number && other.number,
            integer: (self.number || self.integer) && (other.number || other.integer),
            boolean: self.boolean && other.boolean,
            wide: false,
        }
    }
}

/// The types that `type` allows. `null` is nothing that a segment can be.
fn types_of(value: &Value) -> Result<Types, String> {
    let names: Vec<&str> = match value {
        Value::String(name) => vec![name],
        Value::Array(names) if !names.is_empty() => {
            names.iter().map(Value::as_str).collect::<Option<_>>().ok_or("its `type` is not a text")?
        }
        _ => return Err("its `type` is neither a text nor a list of them".to_owned()),
    };
    let mut types = NO_TYPE;
    for name in names {
        match name {
            "string" => types.text = true,
            "number" => (types.number, types.integer) = (true, true),
            "integer" => types.integer = true,
            "boolean" => types.boolean = true,
            "null" => {}
            "array" | "object" => return Err(format!("it is of type `{name}`, and a segment holds one value")),
            _ => return Err(format!("there is no type `{name}`")),
        }
    }
    if types == NO_TYPE { Err("it is of type `null`, which no segment is".to_owned()) } else { Ok(types) }
}

fn words_of(values: &[Value], types: Option<Types>) -> Result<Arc<Shape>, String> {
    let types = types.unwrap_or(EVERY);
    let mut words = Words::default();
    for value in values {
        let fits = match value {
            Value::String(text) => {
                words.texts.insert(text.clone());
                types.text
            }
            Value::Bool(value) => {
                words.others.insert(value.to_string());
                types.boolean
            }
            Value::Number(number) => {
                let number = number_of(number);
                words.others.insert(number.to_string());
                types.number || (types.integer && matches!(number, Number::Whole(_)))
            }
            // what no segment is cannot be asked for
            Value::Null | Value::Array(_) | Value::Object(_) => true,
        };
        if !fits {
            return Err(format!("`{value}` among its values is not of its `type`"));
        }
    }
    match words.texts.is_empty() && words.others.is_empty() {
        true => Err("none of its values can be in a segment".to_owned()),
        false => Ok(Arc::new(Shape::Words(words))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below 2^63 and without a fraction")]
fn number_of(number: &serde_json::Number) -> Number {
    if let Some(whole) = number.as_i128() {
        return Number::Whole(whole);
    }
    let real = number.as_f64().unwrap_or(f64::NAN);
    if real.fract() == 0.0 && real.abs() < 9e18 { Number::Whole(real as i128) } else { Number::Real(real) }
}

/// A keyword about one type says nothing about values of others. Where no type is said, those who read a number
/// and those who read a text would be held to different things.
fn needs_type(key: &str, types: Option<Types>) -> Result<(), String> {
    match types {
        Some(_) => Ok(()),
        None => Err(format!("its schema has `{key}` and no `type`")),
    }
}

fn length(members: &Map<String, Value>, types: Option<Types>) -> Result<Option<Arc<Shape>>, String> {
    let read = |key: &str| -> Result<Option<usize>, String> {
        let Some(value) = members.get(key) else { return Ok(None) };
        needs_type(key, types)?;
        let number = value.as_u64().or_else(|| {
            value
                .as_f64()
                .filter(|n| n.fract() == 0.0)
                .and_then(|n| (0.0..=1e15).contains(&n).then(|| n.to_string().parse().ok()).flatten())
        });
        let number = number.ok_or_else(|| format!("its `{key}` is not a count"))?;
        Ok(Some(usize::try_from(number).unwrap_or(usize::MAX)))
    };
    let least = read("minLength")?.unwrap_or(0);
    let most = read("maxLength")?.unwrap_or(usize::MAX);
    if least > most || most == 0 {
        return Err(format!("its lengths are {least} to {most}, which no segment has"));
    }
    // a segment is never empty and never longer than this
    let says_nothing = least <= 1 && most >= MAX_TARGET;
    Ok((!says_nothing).then(|| Arc::new(Shape::Length(least, most))))
}

fn range(members: &Map<String, Value>, types: Option<Types>) -> Result<Vec<Arc<Shape>>, String> {
    let number = |key: &str| -> Result<Option<Number>, String> {
        match members.get(key) {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(Value::Number(number)) => needs_type(key, types).map(|()| Some(number_of(number))),
            Some(_) => Err(format!("its `{key}` is not a number")),
        }
    };
    // in 3.0 `exclusiveMinimum` says what `minimum` means, in 3.1 it is a bound itself
    let bound = |inclusive: &str, exclusive: &str| -> Result<(Bound, Bound), String> {
        let within = number(inclusive)?;
        if members.get(exclusive) == Some(&Value::Bool(true)) {
            let bound = within.ok_or_else(|| format!("it has `{exclusive}: true` and no `{inclusive}`"))?;
            return Ok((Bound::Without(bound), Bound::None));
        }
        let without = number(exclusive)?;
        Ok((within.map_or(Bound::None, Bound::Within), without.map_or(Bound::None, Bound::Without)))
    };
    let (least, more) = bound("minimum", "exclusiveMinimum")?;
    let (most, less) = bound("maximum", "exclusiveMaximum")?;
    let mut shapes = Vec::new();
    for (least, most) in [(least, most), (more, less)] {
        if (least, most) != (Bound::None, Bound::None) {
            shapes.push(Arc::new(Shape::Range(least, most)));
        }
    }
    match number("multipleOf")? {
        None => {}
        Some(Number::Whole(of)) if of > 0 => shapes.push(Arc::new(Shape::Multiple(of))),
        Some(_) => return Err("its `multipleOf` is not a whole number above 0".to_owned()),
    }
    Ok(shapes)
}

fn format(members: &Map<String, Value>, types: Option<Types>) -> Result<Vec<Arc<Shape>>, String> {
    let Some(format) = members.get("format") else { return Ok(Vec::new()) };
    let format = format.as_str().ok_or("its `format` is not a text")?;
    needs_type("format", types)?;
    let types = types.unwrap_or(EVERY);
    let whole = |least: i64, most: i64| {
        let range = Shape::Range(Bound::Within(Number::Whole(least.into())), Bound::Within(Number::Whole(most.into())));
        // 3.1 has these formats for numbers alone; services that write large numbers as texts have them there too
        let of_texts = types.text.then_some(Shape::Format(Format::Whole(least, most)));
        Ok([Some(Shape::Multiple(1)), Some(range), of_texts].into_iter().flatten().map(Arc::new).collect())
    };
    let text = |format: Format| Ok(vec![Arc::new(Shape::Format(format))]);
    match format {
        "int8" => whole(i8::MIN.into(), i8::MAX.into()),
        "int16" => whole(i16::MIN.into(), i16::MAX.into()),
        "int32" => whole(i32::MIN.into(), i32::MAX.into()),
        "int64" => whole(i64::MIN, i64::MAX),
        "uint8" => whole(0, u8::MAX.into()),
        "uint16" => whole(0, u16::MAX.into()),
        "uint32" => whole(0, u32::MAX.into()),
        // how precise the service is, and how a form shows it
        "double" if !types.text => Ok(Vec::new()),
        "float" if !types.text => Ok(vec![Arc::new(Shape::Single)]),
        "password" => Ok(Vec::new()),
        "uuid" => text(Format::Uuid),
        "date" => text(Format::Date),
        "date-time" => text(Format::DateTime),
        "ipv4" => text(Format::Ipv4),
        "ipv6" => text(Format::Ipv6),
        _ => Err(format!("no segment is held to the format `{format}`")),
    }
}

/// The shape of a path parameter.
///
/// # Errors
/// Why no segment can be held to it.
pub(super) fn parameter<'d>(schemas: &mut Schemas<'d>, parameter: &'d Value) -> Result<Arc<Shape>, String> {
    match parameter.get("style").map(Value::as_str) {
        None | Some(Some("simple")) => {}
        Some(style) => {
            let style = style.unwrap_or_default();
            return Err(format!("its `style` is `{style}`, so what is in the path is not the value alone"));
        }
    }
    if parameter.get("allowReserved") == Some(&Value::Bool(true)) {
        return Err("it has `allowReserved`, so it may take more than a segment".to_owned());
    }
    match (parameter.get("schema"), parameter.get("content")) {
        (Some(schema), None) => schemas.shape(schema),
        (None, Some(_)) => Err("it has `content`: what is in the path is the value in another notation".to_owned()),
        (Some(_), Some(_)) => Err("it has both `schema` and `content`".to_owned()),
        (None, None) => Err("it has neither `schema` nor `content`, so nothing says what it takes".to_owned()),
    }
}

/// The path parameters of an operation by name, those of the operation before those of its path.
///
/// # Errors
/// If one of the lists cannot be read: it may hide what a parameter must be.
pub(super) fn parameters<'d>(
    document: &'d Value,
    item: &'d Value,
    operation: &'d Value,
) -> Result<HashMap<&'d str, &'d Value>, String> {
    let mut found: HashMap<&str, &Value> = HashMap::new();
    for (of, what) in [(item, "path"), (operation, "operation")] {
        let list = match of.get("parameters") {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            Some(_) => return Err(format!("the `parameters` of the {what} are not a list")),
        };
        let mut own: HashMap<&str, &Value> = HashMap::new();
        for parameter in list {
            let resolved = super::refs::resolve(document, parameter).map_err(|error| match reference(parameter) {
                Some(_) => format!("a parameter of the {what}: {error}"),
                None => error,
            })?;
            let text = |key: &str| resolved.get(key).and_then(Value::as_str);
            let (Some(name), Some(place)) = (text("name"), text("in")) else {
                return Err(format!("a parameter of the {what} has no `name` or no `in`"));
            };
            if place == "path" && own.insert(name, resolved).is_some() {
                return Err(format!("the parameter `{name}` is there twice in the {what}"));
            }
        }
        found.extend(own);
    }
    Ok(found)
}
