//! The figures, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::peers::Who;
use crate::statistics::Samples;

/// Times have many samples; a figure of another kind is one number.
#[derive(Clone, Debug)]
enum Cell {
    Times(Samples),
    Figure(f64),
}

/// How many times one the other is: columns on the right.
const RATIOS: [(Who, Who); 5] = [
    (Who::Docker, Who::Barge),
    (Who::BuildKit, Who::Barge),
    (Who::Podman, Who::Barge),
    (Who::Buildah, Who::Barge),
    (Who::Barge, Who::Floor),
];

/// Rows in the order in which they were first named.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, BTreeMap<Who, Cell>)>,
}

impl Table {
    pub(crate) fn add(&mut self, row: &str, who: Who, time: Duration) {
        let cell = self.row(row).entry(who).or_insert_with(|| Cell::Times(Samples::default()));
        match cell {
            Cell::Times(samples) => samples.add(time),
            Cell::Figure(_) => {}
        }
    }

    pub(crate) fn note(&mut self, row: &str, who: Who, figure: f64) {
        self.row(row).insert(who, Cell::Figure(figure));
    }

    fn row(&mut self, name: &str) -> &mut BTreeMap<Who, Cell> {
        let at = self.rows.iter().position(|(row, _)| row == name).unwrap_or_else(|| {
            self.rows.push((name.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        &mut self.rows[at].1
    }

    /// The median of a row, if there is one.
    pub(crate) fn median(&self, row: &str, who: Who) -> Option<f64> {
        let (_, cells) = self.rows.iter().find(|(name, _)| name == row)?;
        cells.get(&who).and_then(value)
    }

    /// Whom any row is about.
    fn columns(&self) -> Vec<Who> {
        let has = |who: &Who| self.rows.iter().any(|(_, cells)| cells.contains_key(who));
        Who::ALL.into_iter().filter(has).collect()
    }

    /// Markdown: `median / minimum` in milliseconds, and how many times barge's median the others' are.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("| median / min in ms, unless said |");
        let mut rule = String::from("|---|");
        let columns = self.columns();
        for who in &columns {
            // Writing to a text cannot fail.
            write!(text, " {} |", who.name()).ok();
            rule.push_str("---|");
        }
        let ratios = RATIOS.iter().filter(|(of, to)| columns.contains(of) && columns.contains(to));
        for (of, to) in ratios.clone() {
            write!(text, " {} ÷ {} |", of.name(), to.name()).ok();
            rule.push_str("---|");
        }
        writeln!(text, "\n{rule}").ok();
        for (row, cells) in &self.rows {
            write!(text, "| {row} |").ok();
            for who in &columns {
                write!(text, " {} |", cells.get(who).map(shown).unwrap_or_default()).ok();
            }
            let ratio = |of: Who, to: Who| {
                let (of, to) = (cells.get(&of).and_then(value)?, cells.get(&to).and_then(value)?);
                Some(format!("{:.1}", of / to))
            };
            for (of, to) in ratios.clone() {
                write!(text, " {} |", ratio(*of, *to).unwrap_or_default()).ok();
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let cell = |cell: &Cell| match cell {
            Cell::Times(samples) => {
                json!({ "median_ms": samples.median(), "min_ms": samples.minimum() })
            }
            Cell::Figure(figure) => json!(figure),
        };
        let rows = self.rows.iter().map(|(row, cells)| {
            let cells = cells.iter().map(|(who, of)| (who.name().to_owned(), cell(of)));
            json!({ "what": row, "figures": Value::Object(cells.collect()) })
        });
        Value::Array(rows.collect())
    }
}

fn value(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Times(samples) => samples.median(),
        Cell::Figure(figure) => Some(*figure),
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Times(samples) => match (samples.median(), samples.minimum()) {
            (Some(median), Some(minimum)) => format!("{median:.1} / {minimum:.1}"),
            _ => String::new(),
        },
        Cell::Figure(figure) => format!("{figure:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_everyone_and_the_ratios() {
        let mut table = Table::default();
        for (who, milliseconds) in [(Who::Barge, 10), (Who::Docker, 200), (Who::Floor, 4)] {
            table.add("run", who, Duration::from_millis(milliseconds));
        }
        let text = table.text();
        let row = text.lines().last().unwrap();
        assert_eq!(row, "| run | 10.0 / 10.0 | 200.0 / 200.0 | 4.0 / 4.0 | 20.0 | 2.5 |");
    }

    #[test]
    fn json_has_the_same_figures() {
        let mut table = Table::default();
        table.note("idle", Who::Barge, 9.5);
        assert_eq!(table.json(), json!([{ "what": "idle", "figures": { "barge": 9.5 } }]));
    }
}
