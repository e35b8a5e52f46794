//! Go templates for `--format`, with Docker's functions, on crate `gotmpl`: the only place that
//! knows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use barge_client::ClientError;
use gotmpl::{MissingKey, TemplateError, Value};

use super::ordered::Orders;
use crate::error::{CliError, Result};

/// A parsed template.
pub(crate) struct Template {
    parsed: gotmpl::Template,
    orders: Arc<Mutex<Orders>>,
    text: String,
    purpose: Purpose,
}

/// What a template is for: decides what a field that is not there means, and the words of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One object as the daemon describes it.
    Object,
    /// A row of a listing.
    Row,
    /// One of many objects that differ in their fields: what is not there is `<no value>`.
    Event,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Template {
    /// Parses the text of a `--format`; `\t` and `\n` stand for the characters.
    pub(crate) fn parse(text: &str, purpose: Purpose) -> Result<Self> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let missing = match purpose {
            Purpose::Object | Purpose::Row => MissingKey::Error,
            Purpose::Event => MissingKey::Invalid,
        };
        let orders = Arc::new(Mutex::new(Orders::default()));
        let empty = gotmpl::Template::new("").missing_key(missing);
        let parsed =
            functions(empty, &orders).parse(&text).map_err(|error| CliError::Template {
                code: if purpose == Purpose::Object { 64 } else { 1 },
                context: match purpose {
                    Purpose::Object | Purpose::Event => "template parsing error",
                    Purpose::Row => "failed to parse template",
                },
                // Go tells the line, and the name of the template, which is empty.
                text: if let TemplateError::Parse { line, message, .. }
                | TemplateError::Lex { line, message, .. } = &error
                {
                    format!("template: :{line}: {message}")
                } else {
                    error.to_string()
                },
            })?;
        Ok(Self { parsed, orders, text, purpose })
    }

    /// The text for one value.
    pub(crate) fn execute(&self, value: &serde_json::Value) -> Result<String> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.parsed.execute_to_string(&from_json(value)).map_err(|error| self.refused(&error))
    }

    /// The text for a document; `json` keeps the order of its fields.
    pub(crate) fn execute_text(&self, document: &str) -> Result<String> {
        let value = self.orders.lock().unwrap_or_else(PoisonError::into_inner).parse(document);
        let value = value
            .map_err(|source| ClientError::Decode { what: "answer", source })
            .map_err(CliError::Client)?;
        self.parsed.execute_to_string(&value).map_err(|error| self.refused(&error))
    }

    /// In Go's words; scripts look for them.
    fn refused(&self, error: &TemplateError) -> CliError {
        let (context, missing) = match self.purpose {
            Purpose::Object | Purpose::Event => {
                ("template parsing error", "map has no entry for key")
            }
            Purpose::Row => ("failed to execute template", "can't evaluate field"),
        };
        let text = if let TemplateError::MissingKey { key } = error {
            let column = self.text.find(&format!(".{key}")).unwrap_or(0);
            let quoted = match self.purpose {
                Purpose::Object | Purpose::Event => format!("{key:?}"),
                Purpose::Row => key.clone(),
            };
            format!("template: :1:{column}: executing \"\" at <.{key}>: {missing} {quoted}")
        } else {
            error.to_string()
        };
        CliError::Template { context, text, code: 1 }
    }
}

fn functions(template: gotmpl::Template, orders: &Arc<Mutex<Orders>>) -> gotmpl::Template {
    let orders = Arc::clone(orders);
    template
        .func("json", move |arguments| {
            let value = arguments.first().unwrap_or(&Value::Nil);
            let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(text(orders.to_json(value)))
        })
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
        .func(LABEL, |arguments| {
            let name = string(arguments, 1)?;
            Ok(match arguments.first() {
                Some(Value::Map(labels)) => {
                    labels.get(name).cloned().unwrap_or_else(|| text(String::new()))
                }
                Some(_) | None => text(name.to_owned()),
            })
        })
        .func("pad", |arguments| {
            let middle = string(arguments, 0)?;
            let blanks = |index| " ".repeat(number(arguments, index));
            Ok(text(format!("{}{middle}{}", blanks(1), blanks(2))))
        })
        .func("truncate", |arguments| {
            let whole = string(arguments, 0)?;
            let short: String = whole.chars().take(number(arguments, 1)).collect();
            Ok(text(short))
        })
}

/// The function behind `.Label "name"`: a label's value; the name itself where there are no labels,
/// as in a header.
pub(super) const LABEL: &str = "__label";

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

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub(crate) fn go_json(value: &serde_json::Value) -> String {
    go_escaped(&value.to_string())
}

/// JSON with the characters escaped that Go's encoder escapes.
pub(crate) fn go_escaped(text: &str) -> String {
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Uint(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::String(Arc::from(text.as_str())),
        serde_json::Value::Array(values) => Value::List(values.iter().map(from_json).collect()),
        serde_json::Value::Object(values) => Value::Map(Arc::new(
            values
                .iter()
                .map(|(name, value)| (Arc::from(name.as_str()), from_json(value)))
                .collect::<BTreeMap<Arc<str>, Value>>(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(template: &str) -> String {
        let value = json!({
            "Name": "/web", "State": { "Running": true, "Pid": 42 }, "Tags": ["a", "b"],
            "Labels": { "x.y": "z" }, "Cmd": null,
        });
        match Template::parse(template, Purpose::Object).and_then(|parsed| parsed.execute(&value)) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn templates_read_as_in_docker() {
        for (template, text) in [
            ("{{.Name}}", "/web"),
            ("{{.State.Running}} {{.State.Pid}}", "true 42"),
            ("{{json .State}}", r#"{"Pid":42,"Running":true}"#),
            ("{{json .Tags}}", r#"["a","b"]"#),
            ("{{range .Tags}}{{.}};{{end}}", "a;b;"),
            ("{{index .Labels \"x.y\"}}", "z"),
            ("{{upper .Name}} {{lower \"AB\"}} {{title \"two words\"}}", "/WEB ab Two Words"),
            ("{{join .Tags \",\"}}", "a,b"),
            ("{{split \"a:b\" \":\"}}", "[a b]"),
            ("{{pad \"x\" 1 2}}|", " x  |"),
            ("{{truncate \"long\" 2}}", "lo"),
            ("a\\tb\\n", "a\tb\n"),
            ("{{len .Tags}}{{println .Name}}", "2/web\n"),
            ("{{if .Cmd}}y{{else}}n{{end}}", "n"),
            ("{{json \"<&>\"}}", "\"\\u003c\\u0026\\u003e\""),
        ] {
            assert_eq!(show(template), text, "{template}");
        }
    }

    #[test]
    fn fields_stay_in_the_documents_order() {
        let template = Template::parse("{{json .State}} {{json .}}", Purpose::Object).unwrap();
        let text = r#"{"State":{"Running":true,"Pid":42},"Args":[]}"#;
        assert_eq!(
            template.execute_text(text).unwrap(),
            format!(r#"{{"Running":true,"Pid":42}} {text}"#)
        );
    }

    #[test]
    fn wrong_templates_are_refused_in_gos_words() {
        assert_eq!(
            show("{{.Name}} {{.Nope}}"),
            "template parsing error: template: :1:12: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
        );
        assert_eq!(show("{{"), "template parsing error: template: :1: unclosed action");
        assert!(show("{{nofunction .}}").contains("nofunction"), "{}", show("{{nofunction .}}"));
        let row = Template::parse("{{.Nope}}", Purpose::Row).unwrap();
        assert_eq!(
            row.execute(&json!({})).unwrap_err().to_string(),
            "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope"
        );
    }
}
