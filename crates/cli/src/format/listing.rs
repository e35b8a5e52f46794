//! A listing: rows of named fields, shown as a table, as ids, as JSON or through a template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table;
use super::template::{LABEL, Purpose, Template, go_json};
use crate::error::Result;

/// A field that a listing can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name in templates.
    pub(crate) name: &'static str,
    /// Its column's header.
    pub(crate) header: &'static str,
}

/// The fields of a listing, `[("Names", "NAMES"), …]`.
pub(crate) const fn field((name, header): (&'static str, &'static str)) -> Field {
    Field { name, header }
}

/// The hidden field behind `.Label "name"`, which is a method in Docker's templates.
pub(crate) const LABELS: &str = "LabelValues";

/// The value of [`LABELS`].
pub(crate) fn label_values(labels: &BTreeMap<String, String>) -> Value {
    labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect::<Row>().into()
}

/// One row: the value of every field.
pub(crate) type Row = Map<String, Value>;

/// What all listings of one kind have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// All fields.
    pub(crate) fields: &'static [Field],
    /// The columns of the table when no format is given.
    pub(crate) columns: &'static [&'static str],
}

/// How the user wants it.
#[derive(Debug)]
enum Style {
    Table(Vec<String>),
    Json,
    Template(Template),
    TableTemplate(Template),
}

/// Shows `rows` as `format` says (a table with `columns` when there is none).
pub(crate) fn show(kind: &Kind, format: Option<&str>, mut rows: Vec<Row>) -> Result<String> {
    if !format.is_some_and(|format| format.contains(".Label ")) {
        for row in &mut rows {
            row.remove(LABELS);
        }
    }
    let mut lines = Vec::with_capacity(rows.len() + 1);
    match style(kind, format)? {
        Style::Table(columns) => {
            lines
                .push(columns.iter().map(|name| header(kind, name)).collect::<Vec<_>>().join("\t"));
            for row in &rows {
                lines.push(
                    columns.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join("\t"),
                );
            }
            return Ok(table::set(&lines));
        }
        Style::Json => {
            lines.extend(rows.into_iter().map(|row| go_json(&Value::Object(row))));
        }
        Style::Template(template) => {
            for row in rows {
                lines.push(template.execute(&Value::Object(row))?);
            }
        }
        Style::TableTemplate(template) => {
            let mut headers: Row = kind
                .fields
                .iter()
                .map(|field| (field.name.to_owned(), field.header.into()))
                .collect();
            headers.insert(LABELS.to_owned(), Value::Null);
            lines.push(template.execute(&Value::Object(headers))?);
            for row in rows {
                lines.push(template.execute(&Value::Object(row))?);
            }
            return Ok(table::set(&lines));
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn style(kind: &Kind, format: Option<&str>) -> Result<Style> {
    Ok(match format.map(str::trim) {
        None | Some("" | "table") => {
            Style::Table(kind.columns.iter().map(|&name| name.to_owned()).collect())
        }
        Some("json") => Style::Json,
        Some(format) => match format.strip_prefix("table ") {
            Some(rest) => Style::TableTemplate(parse(rest.trim())?),
            None => Style::Template(parse(format)?),
        },
    })
}

fn parse(template: &str) -> Result<Template> {
    Template::parse(&template.replace(".Label ", &format!("{LABEL} .{LABELS} ")), Purpose::Row)
}

/// Whether a template uses a field that costs the daemon time.
pub(crate) fn uses(format: Option<&str>, field: &str) -> bool {
    format.is_some_and(|format| format.contains(&format!(".{field}")))
}

fn header(kind: &Kind, name: &str) -> &'static str {
    kind.fields.iter().find(|field| field.name == name).map_or("", |field| field.header)
}

fn cell(row: &Row, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KIND: Kind = Kind {
        fields: &[
            field(("ID", "CONTAINER ID")),
            field(("Names", "NAMES")),
            field(("Size", "SIZE")),
        ],
        columns: &["ID", "Names"],
    };

    fn rows() -> Vec<Row> {
        [("a", "one"), ("b", "two")]
            .into_iter()
            .map(|(id, name)| {
                let row = json!({ "ID": id, "Names": name, "Size": "0B" });
                row.as_object().unwrap().clone()
            })
            .collect()
    }

    #[test]
    fn every_style_shows_the_rows() {
        for (format, text) in [
            (None, "CONTAINER ID   NAMES\na              one\nb              two\n"),
            (Some("table"), "CONTAINER ID   NAMES\na              one\nb              two\n"),
            (Some("{{.Names}}"), "one\ntwo\n"),
            (Some("table {{.Names}}\\t{{.Size}}"), "NAMES     SIZE\none       0B\ntwo       0B\n"),
            (
                Some("json"),
                "{\"ID\":\"a\",\"Names\":\"one\",\"Size\":\"0B\"}\n{\"ID\":\"b\",\"Names\":\"two\",\"Size\":\"0B\"}\n",
            ),
        ] {
            assert_eq!(show(&KIND, format, rows()).unwrap(), text);
        }
        assert!(show(&KIND, Some("{{.Nope}}"), rows()).is_err());
        assert_eq!(show(&KIND, Some("{{.Names}}"), Vec::new()).unwrap(), "");
    }
}
