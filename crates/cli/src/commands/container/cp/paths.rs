//! Paths as `cp` means them: `..` taken lexically, and with a meaning of what they end in. A slash or `/.` asks for a
//! folder; without, a link is itself.

use std::path::{Path, PathBuf};

use barge_types::path::{Ending, clean};

/// A path, absolute and clean, and what it ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyPath {
    pub(super) absolute: String,
    pub(super) ending: Ending,
}

impl CopyPath {
    /// What `text` means from the folder `base`.
    pub(super) fn new(base: &str, text: &str) -> Self {
        let whole = if text.starts_with('/') { text.to_owned() } else { format!("{base}/{text}") };
        let absolute = clean(&whole);
        let ending = Ending::of(text, &absolute);
        Self { absolute, ending }
    }

    /// A path of this machine.
    pub(super) fn local(text: &str) -> std::io::Result<Self> {
        let base = std::env::current_dir()?;
        Ok(Self::new(&base.to_string_lossy(), text))
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(&self.absolute)
    }

    /// The folder above, and the name in it; of the root no name.
    pub(super) fn split(&self) -> (&str, &str) {
        let (folder, name) = self.absolute.rsplit_once('/').unwrap_or_default();
        (if folder.is_empty() { "/" } else { folder }, name)
    }

    /// What a copy of it is called: nothing of `x/.`, whose content alone is meant, and of the root.
    pub(super) fn copy_name(&self) -> &str {
        match self.ending {
            Ending::Dot => "",
            Ending::Name | Ending::Slash => self.split().1,
        }
    }

    /// Whether only a folder can be meant.
    pub(super) fn is_folder(&self) -> bool {
        self.ending != Ending::Name
    }
}

/// What is at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Folder,
    Other,
}

impl Found {
    pub(super) fn at(path: &Path) -> Self {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Self::Folder,
            Ok(_) => Self::Other,
            Err(_) => Self::Nothing,
        }
    }
}

/// Where a copy goes: the folder that it is put into, and its name there (none: its content alone).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) folder: String,
    pub(super) name: String,
}

/// Where something called `name` goes that is to be copied to `destination`; the table of Docker's manual.
pub(super) fn target(
    (name, source): (&str, Found),
    (destination, found): (&CopyPath, Found),
) -> Result<Target, &'static str> {
    let (folder, base) = destination.split();
    let renamed = || Ok(Target { folder: folder.to_owned(), name: base.to_owned() });
    match (found, source) {
        (Found::Folder, _) => {
            Ok(Target { folder: destination.absolute.clone(), name: name.to_owned() })
        }
        (Found::Other, Found::Folder) => Err("cannot copy directory"),
        (Found::Nothing, Found::Other | Found::Nothing) if destination.is_folder() => {
            Err("no such directory")
        }
        (Found::Other | Found::Nothing, _) => renamed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CopyPath {
        CopyPath::new("/w", text)
    }

    #[test]
    fn the_end_of_a_path_has_a_meaning() {
        for (text, absolute, ending, name) in [
            ("a", "/w/a", Ending::Name, "a"),
            ("a/", "/w/a", Ending::Slash, "a"),
            ("a/.", "/w/a", Ending::Dot, ""),
            ("/x/../y", "/y", Ending::Name, "y"),
            (".", "/w", Ending::Dot, ""),
            ("", "/w", Ending::Dot, ""),
            ("/", "/", Ending::Slash, ""),
            ("..", "/", Ending::Slash, ""),
        ] {
            let path = path(text);
            let found = (path.absolute.as_str(), path.ending, path.copy_name());
            assert_eq!(found, (absolute, ending, name), "{text}");
        }
    }

    #[test]
    fn where_a_copy_goes() {
        use Found::{Folder, Nothing, Other};
        let to = |folder: &str, name: &str| {
            Ok(Target { folder: folder.to_owned(), name: name.to_owned() })
        };
        for (name, source, destination, found, wanted) in [
            ("f", Other, "d", Folder, to("/w/d", "f")),
            ("f", Other, "new", Nothing, to("/w", "new")),
            ("f", Other, "new/", Nothing, Err("no such directory")),
            ("f", Other, "old", Other, to("/w", "old")),
            ("d", Folder, "e", Folder, to("/w/e", "d")),
            ("", Folder, "e", Folder, to("/w/e", "")),
            ("d", Folder, "new", Nothing, to("/w", "new")),
            ("", Folder, "new/", Nothing, to("/w", "new")),
            ("d", Folder, "file", Other, Err("cannot copy directory")),
        ] {
            let copied = target((name, source), (&path(destination), found));
            assert_eq!(copied, wanted, "{name} to {destination}");
        }
    }
}
