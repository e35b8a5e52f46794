//! The functions of templates: Docker's, and those that [`super::syntax`] puts in.

use std::sync::{Arc, Mutex, PoisonError};

use gotmpl::{TemplateError, Value};

use super::document::{Document, Found, LeftOut};
use super::syntax;

/// The hidden field of rows behind Docker's method `.Label "name"`.
pub(crate) const LABELS: &str = "LabelValues";

/// What Go's package has; those that are not here are gotmpl's.
const BUILTINS: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery",
];
/// Docker's.
const DOCKERS: &[&str] = &["join", "json", "lower", "pad", "split", "title", "truncate", "upper"];

/// Whether a template may call it.
pub(super) fn is_known(name: &str) -> bool {
    BUILTINS.contains(&name)
        || DOCKERS.contains(&name)
        || [syntax::FIELD, syntax::SHOW, syntax::PRINT, syntax::LABEL].contains(&name)
}

/// The value that a template works with.
pub(super) type Shared = Arc<Mutex<Document>>;

/// What is said of a field that there is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// What structs may leave out.
    pub(super) left_out: LeftOut,
    /// Go's name of the type, when it is a struct that is shown; otherwise it is a map.
    pub(super) go_type: Option<&'static str>,
}

type Result = std::result::Result<Value, TemplateError>;

/// Adds all functions for values.
pub(super) fn for_values(
    template: gotmpl::Template,
    document: &Shared,
    fields: Fields,
) -> gotmpl::Template {
    let with = |function: fn(&Document, &[Value]) -> Result| {
        let document = Arc::clone(document);
        move |arguments: &[Value]| {
            function(&document.lock().unwrap_or_else(PoisonError::into_inner), arguments)
        }
    };
    let find = |shown: fn(&Document, Found) -> Value| {
        let document = Arc::clone(document);
        move |arguments: &[Value]| {
            let document = document.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(shown(&document, field(&document, arguments, fields)?))
        }
    };
    texts(template)
        .func(
            "json",
            with(|document, arguments| {
                Ok(text(document.to_json(arguments.first().unwrap_or(&Value::Nil))))
            }),
        )
        .func("index", with(index))
        .func(
            syntax::PRINT,
            with(|document, arguments| {
                Ok(match arguments.first() {
                    Some(Value::Nil) | None => text("<no value>".to_owned()),
                    Some(value) => text(document.show(value)),
                })
            }),
        )
        .func(
            syntax::FIELD,
            find(|_, found| match found {
                Found::Value(value) => value,
                Found::Nothing | Found::NoField { .. } => Value::Nil,
            }),
        )
        .func(
            syntax::SHOW,
            find(|document, found| {
                text(match found {
                    Found::Value(value) => document.show(&value),
                    Found::Nothing | Found::NoField { .. } => "<no value>".to_owned(),
                })
            }),
        )
        .func(syntax::LABEL, |arguments| {
            let name = string(arguments, 1)?;
            let label = arguments.first().and_then(|row| row.field(LABELS)?.field(name));
            Ok(label.cloned().unwrap_or_else(|| text(String::new())))
        })
}

/// Adds all functions for headers: they leave a header as it is.
pub(super) fn for_headers(template: gotmpl::Template) -> gotmpl::Template {
    let mut template = texts(template);
    for name in ["json", "lower", "title", "upper", "split", "join", "truncate"] {
        template = template.func(name, |arguments| Ok(text(string(arguments, 0)?.to_owned())));
    }
    let found = |arguments: &[Value]| {
        let header = arguments.first().and_then(|row| row.field(string(arguments, 2).ok()?));
        Ok(header.cloned().unwrap_or(Value::Nil))
    };
    template
        .func(syntax::FIELD, found)
        .func(syntax::SHOW, found)
        .func(syntax::PRINT, |arguments| {
            Ok(text(arguments.first().map_or_else(String::new, ToString::to_string)))
        })
        .func(syntax::LABEL, |arguments| {
            // The last part of a name of several, in words.
            let name = string(arguments, 1)?;
            let last = name.rsplit('.').next().unwrap_or(name);
            Ok(text(last.replace(['-', '_'], " ")))
        })
}

/// Those that know nothing but texts.
fn texts(template: gotmpl::Template) -> gotmpl::Template {
    template
        .func("upper", |arguments| Ok(text(string(arguments, 0)?.to_uppercase())))
        .func("lower", |arguments| Ok(text(string(arguments, 0)?.to_lowercase())))
        .func("title", |arguments| Ok(text(title(string(arguments, 0)?))))
        .func("split", |arguments| {
            let (whole, separator) = (string(arguments, 0)?, string(arguments, 1)?);
            let parts = whole.split(separator).map(|part| text(part.to_owned()));
            Ok(Value::List(parts.collect()))
        })
        .func("join", |arguments| {
            let separator = string(arguments, 1)?;
            let parts: Vec<String> = match arguments.first() {
                Some(Value::List(parts)) => parts.iter().map(ToString::to_string).collect(),
                Some(_) | None => return Err(wrong("join wants a list")),
            };
            Ok(text(parts.join(separator)))
        })
        .func("pad", |arguments| {
            let middle = string(arguments, 0)?;
            if middle.is_empty() {
                return Ok(text(String::new()));
            }
            let blanks = |index| " ".repeat(number(arguments, index));
            Ok(text(format!("{}{middle}{}", blanks(1), blanks(2))))
        })
        .func("truncate", |arguments| {
            let whole = string(arguments, 0)?;
            Ok(text(whole.chars().take(number(arguments, 1)).collect()))
        })
}

/// The field that `__field receiver where "A" "B"` asks for.
fn field(
    document: &Document,
    arguments: &[Value],
    fields: Fields,
) -> std::result::Result<Found, TemplateError> {
    let (Some(receiver), Ok(place)) = (arguments.first(), string(arguments, 1)) else {
        return Err(wrong("a field needs a receiver"));
    };
    let names: Vec<&str> = arguments.iter().skip(2).filter_map(Value::as_str).collect();
    match document.field(receiver, (&names, fields.left_out)) {
        Found::NoField { name, depth } => Err(TemplateError::Exec(match fields.go_type {
            None => format!("{place}: map has no entry for key {name:?}"),
            Some(go_type) if depth == 0 => {
                format!("{place}: can't evaluate field {name} in type {go_type}")
            }
            Some(_) => format!("{place}: can't evaluate field {name}"),
        })),
        found @ (Found::Value(_) | Found::Nothing) => Ok(found),
    }
}

fn index(document: &Document, arguments: &[Value]) -> Result {
    let Some((whole, keys)) = arguments.split_first() else {
        return Err(wrong("wrong number of args for index: want at least 1 got 0"));
    };
    let mut value = whole.clone();
    for key in keys {
        let is_texts = document.is_texts(&value);
        value = match (value.index(key)?, is_texts) {
            (Value::Nil, true) => text(String::new()),
            (found, _) => found,
        };
    }
    Ok(value)
}

fn wrong(what: &str) -> TemplateError {
    TemplateError::Exec(what.to_owned())
}

fn text(text: String) -> Value {
    Value::String(Arc::from(text))
}

fn string(arguments: &[Value], index: usize) -> std::result::Result<&str, TemplateError> {
    arguments
        .get(index)
        .and_then(Value::as_str)
        .ok_or_else(|| wrong("wrong type for value; expected string"))
}

fn number(arguments: &[Value], index: usize) -> usize {
    arguments
        .get(index)
        .and_then(Value::as_int)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}

/// As Go's `strings.Title`: every word with a capital.
fn title(whole: &str) -> String {
    let mut previous = ' ';
    whole
        .chars()
        .map(|character| {
            let starts = !previous.is_alphanumeric() && previous != '_' && previous != '\'';
            previous = character;
            if starts { character.to_ascii_uppercase() } else { character }
        })
        .collect()
}
