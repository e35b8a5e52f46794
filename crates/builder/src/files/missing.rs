//! What may be meant by a source that is not there.

use barge_archive::path;
use rustix::fs::FileType;

use super::error::{FilesError, shown};
use super::resolve::{self, Last};
use super::tree::{Tree, Visibility};

impl Tree {
    /// The error of a source that is not there, with the reason or with what has almost its name.
    pub(super) fn missing(&self, source: &str) -> FilesError {
        let path = clean(source);
        match self.visibility(&path, FileType::RegularFile) {
            Visibility::Hidden => self.hidden(source),
            Visibility::Shown | Visibility::IfInside => {
                let hint = self.near(&path).unwrap_or_default();
                FilesError::NotFound { path: shown(&path), tree: self.name().to_owned(), hint }
            }
        }
    }

    /// The error of a source that a build must not see.
    pub(super) fn hidden(&self, source: &str) -> FilesError {
        let hint = ": it is excluded by .dockerignore".to_owned();
        FilesError::NotFound { path: shown(&clean(source)), tree: self.name().to_owned(), hint }
    }

    /// ` (did you mean "main.go"?)`: the first part that is not there may be mistyped.
    fn near(&self, wanted: &[u8]) -> Option<String> {
        let parts: Vec<&[u8]> = wanted.split(|byte| *byte == b'/').collect();
        let there = |count: &usize| {
            let found = resolve::resolve(self.root(), &parts[..*count].join(&b'/'), Last::Followed);
            found.ok().filter(|found| found.stat.is_some())
        };
        let first = (0..parts.len()).find(|count| there(&(count + 1)).is_none())?;
        let folder = there(&first).filter(resolve::Resolved::is_folder)?;
        let (_, children) = self.list(&folder.path).ok()?;
        let is_shown = |child: &&super::tree::Child| {
            let path = path::join(&folder.path, &child.name);
            self.visibility(&path, child.kind) != Visibility::Hidden
        };
        let names: Vec<_> = children
            .iter()
            .filter(is_shown)
            .map(|child| String::from_utf8_lossy(&child.name).into_owned())
            .collect();
        let mistyped = String::from_utf8_lossy(parts[first]);
        let name = barge_dockerfile::suggest(&mistyped, names.iter().map(String::as_str))?;
        let mut meant = parts[..first].to_vec();
        meant.push(name.as_bytes());
        let with_rest = [meant.as_slice(), &parts[first + 1..]].concat().join(&b'/');
        let found = resolve::resolve(self.root(), &with_rest, Last::Followed);
        let meant = match found {
            Ok(found) if found.stat.is_some() => with_rest,
            Ok(_) | Err(_) => meant.join(&b'/'),
        };
        Some(format!(" (did you mean {:?}?)", String::from_utf8_lossy(&meant)))
    }
}

fn clean(source: &str) -> Vec<u8> {
    let whole = [b"/", source.as_bytes()].concat();
    path::clean(&whole).unwrap_or_else(|_| source.as_bytes().to_vec())
}
