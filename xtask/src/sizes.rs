//! No source file longer than it may be: 400 lines of code, 800 where the file says why (`//! Long because …`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::build::root;

const LIMIT: usize = 400;
const LIMIT_WITH_REASON: usize = 800;
const REASON: &str = "//! Long because ";

/// Fails when a tracked or new source file is too long.
pub(crate) fn run() -> anyhow::Result<()> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .output()
        .context("cannot run git ls-files")?;
    let listing = String::from_utf8(output.stdout).context("git ls-files printed no UTF-8")?;
    let mut wrong = Vec::new();
    for name in listing.lines().filter(|name| !is_test(name)) {
        let path = root().join(name);
        if !path.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        let limit = if text.contains(REASON) { LIMIT_WITH_REASON } else { LIMIT };
        let lines = code_lines(&text);
        if lines > limit {
            wrong.push(format!("{name}: {lines} lines of code, at most {limit}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "too long (split the file, or begin it with {REASON:?} and a reason):\n  {}",
        wrong.join("\n  ")
    )
}

fn is_test(name: &str) -> bool {
    let path = Path::new(name);
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "fuzz")
        || path.file_name().is_some_and(|file| file == "tests.rs")
}

/// Lines that are neither blank nor comment, up to the unit tests at a file's end.
fn code_lines(text: &str) -> usize {
    text.lines()
        .map(str::trim)
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_do_not_count() {
        assert_eq!(
            code_lines("//! why\n\nfn a() {\n    // note\n}\n\n#[cfg(test)]\nmod tests {}\n"),
            2
        );
    }

    #[test]
    fn tests_are_known_by_their_place() {
        assert!(is_test("crates/shim/tests/main.rs"));
        assert!(is_test("crates/shim/src/tests.rs"));
        assert!(!is_test("crates/shim/src/lib.rs"));
    }
}
