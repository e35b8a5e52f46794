//! A listing: rows of named fields, shown as a table, as ids, as JSON or through a template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use super::functions::LABELS;
use super::table;
use super::template::{Purpose, Template, go_json};
use crate::config_file::ConfigFile;
use crate::error::Result;
use crate::session::Session;

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
    /// What the format `raw` stands for, line by line; nothing where Docker has none.
    pub(crate) raw: &'static [(&'static str, &'static str)],
    /// The field that `--quiet` shows.
    pub(crate) quiet: &'static str,
    /// Whose words errors are in.
    pub(crate) purpose: Purpose,
}

impl Kind {
    /// A listing without presets, to be completed.
    pub(crate) const PLAIN: Self = Self {
        fields: &[],
        columns: &[],
        raw: &[],
        quiet: "ID",
        purpose: Purpose::Row("*formatter.diskUsageContext"),
    };
}

/// How much of each row is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All.
    Whole,
    /// What names it.
    Quiet,
}

/// What the user wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    text: Option<String>,
    detail: Detail,
}

impl Format {
    /// Of `--format`, `--quiet` and, without them, of the client's configuration.
    pub(crate) fn choose(
        session: &Session,
        (format, detail): (Option<&str>, Detail),
        key: &str,
    ) -> Result<Self> {
        let mut text = format.filter(|format| !format.is_empty()).map(str::to_owned);
        if text.is_none() && detail == Detail::Whole {
            text = ConfigFile::open(&session.config_folder())?.text(key).map(str::to_owned);
        }
        Ok(Self { text, detail })
    }

    /// Of `--format` alone.
    pub(crate) fn of(format: Option<&str>) -> Self {
        Self { text: format.map(str::to_owned), detail: Detail::Whole }
    }

    /// With so much of each row.
    pub(crate) fn with(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// The text, if there is one.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Whether it shows a field that costs the daemon time: by its name, or with all fields.
    pub(crate) fn uses(&self, field: &str) -> bool {
        self.text().is_some_and(|text| {
            text.contains(&format!(".{field}"))
                || text.contains("json .}")
                || text.contains("json . ")
        })
    }
}

/// How the user wants it.
#[derive(Debug)]
enum Style {
    Table,
    Json,
    Template(Template),
    TableTemplate(Template),
}

/// Shows `rows` as `format` says (a table with the kind's columns when it says nothing).
pub(crate) fn show(kind: &Kind, format: &Format, mut rows: Vec<Row>) -> Result<String> {
    if !format.text().is_some_and(|format| format.contains(".Label ")) {
        for row in &mut rows {
            row.remove(LABELS);
        }
    }
    let mut lines = Vec::with_capacity(rows.len() + 1);
    match style(kind, format)? {
        Style::Table => {
            let cells = |of: &dyn Fn(&str) -> String| {
                kind.columns.iter().map(|name| of(name)).collect::<Vec<_>>().join("\t")
            };
            lines.push(cells(&|name| header(kind, name).to_owned()));
            lines.extend(rows.iter().map(|row| cells(&|name| cell(row, name))));
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
            let headers: Row = kind
                .fields
                .iter()
                .map(|field| (field.name.to_owned(), field.header.into()))
                .collect();
            // Rows come first: where the template does not fit them, nothing is shown.
            for row in rows {
                lines.push(template.execute(&Value::Object(row))?);
            }
            lines.insert(0, template.execute_headers(&Value::Object(headers))?);
            return Ok(table::set(&lines));
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn style(kind: &Kind, format: &Format) -> Result<Style> {
    let is_quiet = format.detail == Detail::Quiet;
    let names = || Template::parse(&format!("{{{{.{}}}}}", kind.quiet), kind.purpose);
    Ok(match format.text() {
        None | Some("" | "table") if is_quiet => Style::Template(names()?),
        None | Some("" | "table") => Style::Table,
        Some("json") => Style::Json,
        Some("raw") if !kind.raw.is_empty() => {
            Style::Template(Template::parse(&raw(kind, format.detail), kind.purpose)?)
        }
        Some(format) => match format.strip_prefix("table") {
            Some(rest) => {
                Style::TableTemplate(Template::parse_table(rest.trim_matches(' '), kind.purpose)?)
            }
            None => Style::Template(Template::parse(format.trim_matches(' '), kind.purpose)?),
        },
    })
}

/// `name: value` in lines, and an empty one behind each row; one line when only names are wanted.
fn raw(kind: &Kind, detail: Detail) -> String {
    let line = |(name, field): &(&str, &str)| {
        // Values that can be empty have their blank with them.
        match field.strip_prefix('?') {
            Some(field) => format!("{name}:{{{{if .{field}}}}} {{{{.{field}}}}}{{{{end}}}}"),
            None => format!("{name}: {{{{.{field}}}}}"),
        }
    };
    match detail {
        Detail::Quiet => {
            kind.raw.iter().filter(|(_, field)| *field == kind.quiet).map(line).collect()
        }
        Detail::Whole => {
            let lines = kind.raw.iter().map(|pair| line(pair) + "\n");
            lines.collect()
        }
    }
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
        raw: &[("id", "ID"), ("names", "Names"), ("labels", "?Labels")],
        ..Kind::PLAIN
    };

    fn rows() -> Vec<Row> {
        [("a", "one"), ("b", "two")]
            .into_iter()
            .map(|(id, name)| {
                let row = json!({ "ID": id, "Names": name, "Size": "0B", "Labels": "" });
                row.as_object().unwrap().clone()
            })
            .collect()
    }

    #[test]
    fn every_style_shows_the_rows() {
        let json = |id: &str, name: &str| {
            format!("{{\"ID\":\"{id}\",\"Labels\":\"\",\"Names\":\"{name}\",\"Size\":\"0B\"}}\n")
        };
        let table = "CONTAINER ID   NAMES\na              one\nb              two\n";
        for (format, text) in [
            (None, table.to_owned()),
            (Some("table"), table.to_owned()),
            (Some("{{.Names}}"), "one\ntwo\n".to_owned()),
            (
                Some("table {{.Names}}\\t{{.Size}}"),
                "NAMES     SIZE\none       0B\ntwo       0B\n".to_owned(),
            ),
            (Some("table{{upper .Names}}"), "NAMES\nONE\nTWO\n".to_owned()),
            (Some("json"), json("a", "one") + &json("b", "two")),
            (Some("json "), "json\njson\n".to_owned()),
            (
                Some("raw"),
                "id: a\nnames: one\nlabels:\n\nid: b\nnames: two\nlabels:\n\n".to_owned(),
            ),
        ] {
            assert_eq!(show(&KIND, &Format::of(format), rows()).unwrap(), text, "{format:?}");
        }
        assert!(show(&KIND, &Format::of(Some("{{.Nope}}")), rows()).is_err());
        assert_eq!(show(&KIND, &Format::of(Some("{{.Names}}")), Vec::new()).unwrap(), "");
    }

    #[test]
    fn quiet_shows_what_names_a_row() {
        let quiet = |text: Option<&str>| {
            let format = Format { text: text.map(str::to_owned), detail: Detail::Quiet };
            show(&KIND, &format, rows()).unwrap()
        };
        assert_eq!(quiet(None), "a\nb\n");
        assert_eq!(quiet(Some("table")), "a\nb\n");
        assert_eq!(quiet(Some("raw")), "id: a\nid: b\n");
        assert_eq!(quiet(Some("{{.Names}}")), "one\ntwo\n");
    }
}
