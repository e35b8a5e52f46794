//! Help texts in the shape of Docker's: usage, description, aliases, options wrapped to the
//! terminal.
//!
//! Wrapping follows pflag's `FlagUsagesWrapped`, so that a terminal of 80 columns shows what
//! Docker's users know.

use clap::{Arg, Command};

use crate::PROGRAM;
use crate::commands::{Noun, Verb};
use crate::flags::is_switch;

/// How many columns help may take.
pub(crate) fn columns() -> usize {
    // One less, as in Docker: some terminals break a line that is full.
    crate::terminal::size().map_or(80, |size| usize::from(size.width)) - 1
}

/// `barge run --help`.
pub(crate) fn verb(path: &str, verb: &Verb, command: &Command) -> String {
    let mut text = format!("Usage:  {path} {}\n\n{}\n", verb.usage, verb.about);
    if !verb.aliases.is_empty() {
        let aliases: Vec<String> =
            verb.aliases.iter().map(|alias| format!("{PROGRAM} {alias}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", aliases.join(", ")));
    }
    let options = options(command, columns());
    if !options.is_empty() {
        text.push_str("\nOptions:\n");
        text.push_str(&options);
    }
    text
}

/// `barge container --help`.
pub(crate) fn noun(path: &str, noun: &Noun) -> String {
    let mut text = format!("Usage:  {path} COMMAND\n\n{}\n", noun.about);
    crate::root::section(&mut text, "Commands", noun.verbs);
    text.push_str(&format!("\nRun '{path} COMMAND --help' for more information on a command.\n"));
    text
}

/// The list of options, sorted by name.
pub(crate) fn options(command: &Command, columns: usize) -> String {
    let mut flags: Vec<&Arg> = command
        .get_arguments()
        .filter(|flag| flag.get_long().is_some() && !flag.is_hide_set())
        .collect();
    flags.sort_by_key(|flag| flag.get_long());
    let names: Vec<String> = flags.iter().map(|flag| names(flag)).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0) + 1;
    let mut text = String::new();
    for (flag, names) in flags.iter().zip(&names) {
        let help =
            flag.get_long_help().or(flag.get_help()).map_or_else(String::new, ToString::to_string);
        let line = format!("{names:widest$}  {}", wrap(&help, widest + 2, columns));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn names(flag: &Arg) -> String {
    let long = flag.get_long().unwrap_or_default();
    let mut names = match flag.get_short() {
        Some(short) => format!("  -{short}, --{long}"),
        None => format!("      --{long}"),
    };
    if !is_switch(flag)
        && let Some(kind) = flag.get_value_names().and_then(<[_]>::first)
    {
        names.push(' ');
        names.push_str(kind);
    }
    names
}

/// pflag's wrapping: a little slack at the end of a line rather than one lonely word on the next.
fn wrap(text: &str, indent: usize, columns: usize) -> String {
    const SLACK: usize = 5;
    let width = columns.saturating_sub(indent);
    if width < 24 {
        return text.replace('\n', &format!("\n{:indent$}", ""));
    }
    let width = width - SLACK;
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() || lines.is_empty() {
        let (line, next) = cut(rest, width, SLACK);
        lines.push(line.replace('\n', &format!("\n{:indent$}", "")));
        rest = next;
    }
    lines.join(&format!("\n{:indent$}", ""))
}

fn cut(text: &str, width: usize, slack: usize) -> (&str, &str) {
    if width + slack > text.len() {
        return (text, "");
    }
    let end = (0..=width).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let head = &text[..end];
    let Some(space) = head.rfind([' ', '\t', '\n']).filter(|&space| space > 0) else {
        return (text, "");
    };
    match head.find('\n') {
        Some(line) if line > 0 && line < space => (&text[..line], &text[line + 1..]),
        Some(_) | None => (&text[..space], &text[space + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::flags::{Order, shape};

    #[derive(clap::Args)]
    struct Flags {
        /// Show all containers (default shows just running)
        #[arg(short, long)]
        all: bool,
        /// Filter output based on conditions provided
        #[arg(short, long, value_name = "filter")]
        filter: Vec<String>,
        /// Show n last created containers (includes all states) (default -1)
        #[arg(short = 'n', long, value_name = "int")]
        last: Option<i64>,
    }

    #[test]
    fn options_look_as_dockers() {
        let command = shape(Flags::augment_args(Command::new("ps")), Order::Any);
        assert_eq!(
            options(&command, 79),
            "  -a, --all             Show all containers (default shows just running)\n\
             \x20 -f, --filter filter   Filter output based on conditions provided\n\
             \x20 -n, --last int        Show n last created containers (includes all\n\
             \x20                       states) (default -1)\n"
        );
    }
}
