//! Columns as Go's `tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)` sets them: Docker's plain tables.
//!
//! A column is at least ten wide and three wider than its widest cell; the last cell of a line is
//! not padded.

const LEAST: usize = 10;
const PADDING: usize = 3;

/// Sets `lines` of cells separated by tabs.
pub(crate) fn set(lines: &[String]) -> String {
    set_with(lines, (LEAST, PADDING))
}

/// The same with another least width and padding.
pub(crate) fn set_with(lines: &[String], (least, padding): (usize, usize)) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate().take(row.len() - 1) {
            let width = (cell.chars().count() + padding).max(least);
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let width = widths.get(column).copied().unwrap_or(least);
                let blanks = width.saturating_sub(cell.chars().count());
                text.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_as_in_docker() {
        let lines = ["CONTAINER ID\tIMAGE\tNAMES", "0123456789ab\tbusybox:latest\tx", "ü\ta\t"]
            .map(str::to_owned);
        assert_eq!(
            set(&lines),
            "CONTAINER ID   IMAGE            NAMES\n\
             0123456789ab   busybox:latest   x\n\
             ü              a                \n"
        );
        assert_eq!(set(&["A\tB".to_owned()]), "A         B\n");
    }
}
