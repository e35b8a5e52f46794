//! `COPY` and `ADD`.

use super::flags::{Flags, Kind};
use super::words::Json;
use super::{Checked, Problem, command, heredoc, words};
use crate::ast::{Heredoc, Transfer};

const COPY: [(&str, Kind); 6] = [
    ("from", Kind::Text),
    ("chown", Kind::Text),
    ("chmod", Kind::Text),
    ("link", Kind::Switch),
    ("parents", Kind::Switch),
    ("exclude", Kind::List),
];
const ADD: [(&str, Kind); 7] = [
    ("chown", Kind::Text),
    ("chmod", Kind::Text),
    ("link", Kind::Switch),
    ("keep-git-dir", Kind::Switch),
    ("checksum", Kind::Text),
    ("unpack", Kind::Switch),
    ("exclude", Kind::List),
];

/// Reads either of them; `name` says which.
pub(super) fn parse(
    name: &str,
    (flags, rest): (&[String], &str),
    heredocs: &[Heredoc],
    escape: char,
) -> Checked<Transfer> {
    let flags = Flags::parse(flags, if name == "ADD" { &ADD } else { &COPY })?;
    let mut words = match words::json(rest) {
        Json::Strings(words) => words,
        Json::Mixed => return Err(command::mixed()),
        Json::No if heredocs.is_empty() => words::plain(rest),
        Json::No => words::quoted(rest, escape).into_iter().map(str::to_owned).collect(),
    };
    if words.len() < 2 {
        let count = if words.is_empty() { "none" } else { "only one" };
        return Err(Problem::new(format!(
            "{name} requires at least two arguments, but {count} was provided. Destination could not be determined"
        )));
    }
    let destination = words.pop().unwrap_or_default();
    let is_document =
        |word: &String| !heredocs.is_empty() && heredoc::parse(word, escape).is_some();
    if is_document(&destination) {
        return Err(Problem::new(format!("{name} cannot accept a heredoc as a destination")));
    }
    words.retain(|word| !is_document(word));
    Ok(Transfer {
        sources: words,
        heredocs: heredocs.to_vec(),
        destination,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        parents: flags.switch("parents").unwrap_or_default(),
        exclude: flags.list("exclude"),
        checksum: flags.text("checksum"),
        keep_git_dir: flags.switch("keep-git-dir").unwrap_or_default(),
        unpack: flags.switch("unpack"),
    })
}
