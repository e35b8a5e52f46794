//! The lines of a file around a place, as BuildKit shows them.

use std::ops::RangeInclusive;

/// Lines that are shown before and after, as in BuildKit.
const AROUND: usize = 2;
/// A longer part than this is not shown whole.
const MOST: usize = 40;
/// What frames it.
const RULE: &str = "--------------------";

/// Renders lines (from 1) with those around them; those that are meant are marked.
#[must_use]
pub fn render(name: &str, text: &str, lines: RangeInclusive<u32>) -> String {
    let first = usize::try_from(*lines.start()).unwrap_or(usize::MAX).max(1);
    let last = usize::try_from(*lines.end()).unwrap_or(usize::MAX).max(first);
    let last = last.min(first.saturating_add(MOST));
    let from = first.saturating_sub(AROUND).max(1);
    let mut output = format!("{name}:{first}\n{RULE}\n");
    let shown =
        text.lines().enumerate().skip(from - 1).take(last.saturating_add(AROUND) + 1 - from);
    for (index, line) in shown {
        let number = index + 1;
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let line = format!("{number:4} | {mark} {line}");
        output.push_str(line.trim_end());
        output.push('\n');
    }
    output.push_str(RULE);
    output.push('\n');
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_are_meant_are_marked() {
        let text = "FROM busybox\nRUN true\n\nRUN false \\\n  false\nRUN true\nCMD a\nCMD b\n";
        let lines = [
            "Dockerfile:4",
            "--------------------",
            "   2 |     RUN true",
            "   3 |",
            "   4 | >>> RUN false \\",
            "   5 | >>>   false",
            "   6 |     RUN true",
            "   7 |     CMD a",
            "--------------------",
            "",
        ];
        assert_eq!(render("Dockerfile", text, 4..=5), lines.join("\n"));
    }

    #[test]
    fn lines_that_are_not_there_are_no_trouble() {
        for lines in [0..=0, 7..=u32::MAX, u32::MAX..=u32::MAX] {
            assert!(render("Dockerfile", "FROM a\n", lines).starts_with("Dockerfile:"));
        }
    }
}
