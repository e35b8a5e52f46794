//! The option `tag`: a Go template over facts of the container, with Docker's functions.
//!
//! Worked out by the daemon; the shim, which is to stay small, gets the outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{MissingKey, TemplateError, Value};

use crate::attributes::LogSubject;
use crate::error::LogError;

/// What a driver says when there is no option `tag`.
const DEFAULT: &str = "{{.ID}}";

type Outcome = Result<Value, TemplateError>;

/// Works out the option `tag`; without one it is the short id.
pub fn tag(
    options: &BTreeMap<String, String>,
    subject: &LogSubject<'_>,
) -> Result<String, LogError> {
    let template = options.get("tag").filter(|template| !template.is_empty());
    let template = template.map_or(DEFAULT, String::as_str);
    let refused = |error: TemplateError| {
        LogError::bad_option(format!("cannot work out log opt tag {template:?}: {error}"))
    };
    functions(gotmpl::Template::new("log-tag").missing_key(MissingKey::Error))
        .parse(template)
        .and_then(|parsed| parsed.execute_to_string(&facts(subject)))
        .map_err(refused)
}

/// What a template may name: Docker's methods, and those of its fields that are facts of the
/// container.
fn facts(subject: &LogSubject<'_>) -> Value {
    let image = subject.image_id.trim_start_matches("sha256:");
    let texts = [
        ("ID", short(subject.id)),
        ("FullID", subject.id),
        ("ContainerID", subject.id),
        ("Name", subject.name),
        ("ContainerName", subject.name),
        ("ImageID", short(image)),
        ("ImageFullID", subject.image_id),
        ("ContainerImageID", subject.image_id),
        ("ImageName", subject.image_name),
        ("ContainerImageName", subject.image_name),
        ("Command", subject.command),
        ("DaemonName", "barge"),
    ];
    let mut facts: BTreeMap<Arc<str>, Value> =
        texts.into_iter().map(|(name, value)| (name.into(), text(value))).collect();
    let labels = subject.labels.iter().map(|(name, value)| (name.as_str().into(), text(value)));
    facts.insert("ContainerLabels".into(), Value::Map(Arc::new(labels.collect())));
    let env = subject.env.iter().map(text);
    facts.insert("ContainerEnv".into(), Value::List(env.collect()));
    Value::Map(Arc::new(facts))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn text(value: impl AsRef<str>) -> Value {
    Value::String(value.as_ref().into())
}

/// Docker's; the others are the template language's own.
fn functions(template: gotmpl::Template) -> gotmpl::Template {
    template
        .func("lower", |values| Ok(text(string(values, 0)?.to_lowercase())))
        .func("upper", |values| Ok(text(string(values, 0)?.to_uppercase())))
        .func("title", |values| Ok(text(title(string(values, 0)?))))
        .func("split", |values| {
            let (whole, separator) = (string(values, 0)?, string(values, 1)?);
            Ok(Value::List(whole.split(separator).map(text).collect()))
        })
        .func("join", join)
        .func("truncate", |values| {
            let length = count(values, 1)?;
            Ok(text(string(values, 0)?.chars().take(length).collect::<String>()))
        })
        .func("pad", |values| {
            let (before, after) = (" ".repeat(count(values, 1)?), " ".repeat(count(values, 2)?));
            let whole = string(values, 0)?;
            let is_empty = whole.is_empty();
            Ok(text(if is_empty { String::new() } else { format!("{before}{whole}{after}") }))
        })
        .func("json", |values| {
            let mut out = Vec::new();
            crate::escape::append_string(&mut out, string(values, 0)?.as_bytes());
            Ok(text(String::from_utf8_lossy(&out)))
        })
}

fn join(values: &[Value]) -> Outcome {
    let Some(Value::List(parts)) = values.first() else {
        return Err(TemplateError::Exec("join wants a list".to_owned()));
    };
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    Ok(text(parts.join(string(values, 1)?)))
}

fn title(words: &str) -> String {
    let mut begins = true;
    words
        .chars()
        .map(|letter| {
            let is_first = std::mem::replace(&mut begins, !letter.is_alphanumeric());
            if is_first { letter.to_ascii_uppercase() } else { letter }
        })
        .collect()
}

fn string(values: &[Value], place: usize) -> Result<&str, TemplateError> {
    match values.get(place) {
        Some(Value::String(text)) => Ok(text),
        Some(_) | None => {
            Err(TemplateError::Exec(format!("argument {} is to be a text", place + 1)))
        }
    }
}

/// A tag is short; nobody needs more spaces in it.
fn count(values: &[Value], place: usize) -> Result<usize, TemplateError> {
    const MOST: i64 = 1024;
    match values.get(place) {
        Some(Value::Int(number @ 0..=MOST)) => Ok(usize::try_from(*number).unwrap_or(0)),
        Some(_) | None => {
            Err(TemplateError::Exec(format!("argument {} is to be a number", place + 1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work_out(template: &str) -> Result<String, LogError> {
        let labels = BTreeMap::from([("com.x/app".to_owned(), "shop".to_owned())]);
        let subject = LogSubject {
            id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            name: "web1",
            image_id: "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
            image_name: "busybox:latest",
            command: "sh -c x",
            labels: &labels,
            env: &["A=1".to_owned()],
        };
        tag(&BTreeMap::from([("tag".to_owned(), template.to_owned())]), &subject)
    }

    #[test]
    fn a_tag_names_facts_of_the_container() {
        for (template, outcome) in [
            ("", "0123456789ab"),
            ("{{.Name}}/{{ .ID }}!", "web1/0123456789ab!"),
            ("{{.ImageName}} {{.ImageID}} {{.DaemonName}}", "busybox:latest fedcba987654 barge"),
            ("{{index .ContainerLabels \"com.x/app\"}}", "shop"),
            ("{{range .ContainerEnv}}{{.}}{{end}}", "A=1"),
        ] {
            assert_eq!(work_out(template).unwrap(), outcome, "{template}");
        }
    }

    #[test]
    fn a_tag_may_use_dockers_functions() {
        for (template, outcome) in [
            ("{{with split .ImageName \":\"}}{{join . \"_\"}}{{end}}", "busybox_latest"),
            ("{{upper .Name}}{{lower \"AB\"}}{{title \"two words\"}}", "WEB1abTwo Words"),
            ("{{truncate .Name 2}}{{pad \"x\" 1 2}}{{json .Name}}", "we x  \"web1\""),
            ("{{.Name | printf \"%s-%s\" .ID}}", "0123456789ab-web1"),
            ("{{if eq .Name \"web1\"}}y{{else}}n{{end}}", "y"),
        ] {
            assert_eq!(work_out(template).unwrap(), outcome, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_before_a_container_is_made() {
        for wrong in ["{{.Name", "{{.Nme}}", "{{nofunc .}}", "{{pad .Name 99999 1}}"] {
            assert!(work_out(wrong).is_err(), "{wrong}");
            let options = BTreeMap::from([("tag".to_owned(), wrong.to_owned())]);
            let error = crate::validate("json-file", &options).unwrap_err();
            assert!(error.to_string().contains("log opt tag"), "{error}");
        }
    }
}
