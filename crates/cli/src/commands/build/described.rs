//! `--call=targets` and `--call=outline`: what the daemon says of a Dockerfile, as buildx shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::context::Located;
use super::fields::wrong;
use super::request::CheckFormat;
use crate::error::Result;
use crate::progress::build::Outcome;
use crate::session::Session;

/// Writes the answer.
pub(super) fn show(
    session: &Session,
    (located, format): (&Located, CheckFormat),
    outcome: &Outcome,
) -> Result<()> {
    let Some(value) = &outcome.described else {
        return Err(wrong("the daemon said nothing of the Dockerfile"));
    };
    session.streams.write(match format {
        CheckFormat::Json => as_json(value, located),
        CheckFormat::Text if value.get("targets").is_some() => targets(value),
        CheckFormat::Text => outline(value),
    })
}

/// With the Dockerfile, where it is ours.
fn as_json(value: &Value, located: &Located) -> String {
    let mut value = value.clone();
    if let Some(dockerfile) = &located.dockerfile {
        value["sources"] = json!([STANDARD.encode(&dockerfile.text)]);
    }
    format!("{value:#}\n")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn targets(value: &Value) -> String {
    let mut rows = vec![vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    for target in list(value, "targets") {
        let mut name = text(target, "name").to_owned();
        if target["default"] == true {
            name.push_str(if name.is_empty() { "(default)" } else { " (default)" });
        }
        rows.push(vec![name, text(target, "description").to_owned()]);
    }
    table(&rows, 3)
}

fn outline(value: &Value) -> String {
    let mut out = String::new();
    let (name, description) = (text(value, "name"), text(value, "description"));
    if !name.is_empty() || !description.is_empty() {
        let name = if name.is_empty() { "(default)" } else { name };
        let mut rows = vec![vec!["TARGET:".to_owned(), name.to_owned()]];
        if !description.is_empty() {
            rows.push(vec!["DESCRIPTION:".to_owned(), description.to_owned()]);
        }
        out.push_str(&table(&rows, 1));
        out.push('\n');
    }
    let args = list(value, "args").iter().map(|arg| {
        ["name", "value", "description"].iter().map(|key| text(arg, key).to_owned()).collect()
    });
    add(&mut out, &["BUILD ARG", "VALUE", "DESCRIPTION"], args.collect());
    for (key, title) in [("secrets", "SECRET"), ("ssh", "SSH")] {
        let rows = list(value, key).iter().map(|one| {
            let required = if one["required"] == true { "true" } else { "" };
            vec![text(one, "name").to_owned(), required.to_owned()]
        });
        add(&mut out, &[title, "REQUIRED"], rows.collect());
    }
    out
}

/// A table, when there is anything in it.
fn add(out: &mut String, titles: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut all = vec![titles.iter().map(|&title| title.to_owned()).collect()];
    all.extend(rows);
    out.push_str(&table(&all, 3));
    out.push('\n');
}

/// Columns, all but the last as wide as their widest text and a gap.
fn table(rows: &[Vec<String>], gap: usize) -> String {
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for row in rows {
        for (column, text) in row.iter().enumerate() {
            out.push_str(text);
            if column + 1 < row.len() {
                let blank = width(column) + gap - text.chars().count();
                out.extend(std::iter::repeat_n(' ', blank));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_a_table() {
        let value = json!({"targets": [
            {"name": "base", "description": "what all stand on"},
            {"name": "app", "default": true},
        ]});
        assert_eq!(
            targets(&value),
            "TARGET          DESCRIPTION\nbase            what all stand on\napp (default)   \n"
        );
        let unnamed = json!({"targets": [{"default": true}]});
        assert!(targets(&unnamed).ends_with("(default)   \n"));
    }

    #[test]
    fn an_outline_has_a_table_of_each_kind() {
        let value = json!({
            "name": "app",
            "description": "the program",
            "args": [{"name": "VERSION", "value": "1", "description": "which one"}, {"name": "X"}],
            "secrets": [{"name": "token", "required": true}],
            "ssh": [{"name": "default"}],
        });
        assert_eq!(
            outline(&value),
            "TARGET:      app\nDESCRIPTION: the program\n\n\
             BUILD ARG   VALUE   DESCRIPTION\nVERSION     1       which one\nX                   \n\n\
             SECRET   REQUIRED\ntoken    true\n\nSSH       REQUIRED\ndefault   \n\n"
        );
        assert_eq!(outline(&json!({})), "");
    }
}
