//! The files of several platforms in one archive, as BuildKit's `local` and `tar` have them: each platform in a folder of
//! its own, or all in one where no two have the same file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Seek as _, Write};

use barge_archive::path;
use barge_archive::tar::{EntryKind, Header, Reader, Writer};
use barge_archive::{ArchiveError, DigestReader};
use barge_image::Subject;
use barge_types::{Digest, Platform};

use crate::error::{BuildError, Result};

/// Where the files of a platform are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// In a folder of its own.
    Folders,
    /// With the others.
    Together,
}

impl Split {
    /// `platform-split`; without a word, where there is more than one.
    pub(super) fn new(asked: Option<&str>, platforms: usize) -> Self {
        match asked {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Self::Folders,
            None if platforms > 1 => Self::Folders,
            Some(_) | None => Self::Together,
        }
    }
}

/// `linux/arm/v7` as a folder.
fn folder(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

/// Puts archives of platforms together.
pub(super) struct Joiner<W> {
    out: Writer<W>,
    split: Split,
    /// What is there, whose it is, and whether it is a folder.
    there: HashMap<Vec<u8>, (String, bool)>,
    /// The names of the platform that was added last.
    own: HashSet<Vec<u8>>,
}

impl<W: Write> Joiner<W> {
    pub(super) fn new(out: W, split: Split) -> Self {
        Self { out: Writer::new(out), split, there: HashMap::new(), own: HashSet::new() }
    }

    /// Where files go.
    pub(super) fn split(&self) -> Split {
        self.split
    }

    /// Adds a document of a platform, beside its files.
    pub(super) fn document(
        &mut self,
        (platform, name): (&Platform, &str),
        text: &[u8],
        time: Option<i64>,
    ) -> Result<()> {
        if self.own.contains(name.as_bytes()) {
            return Err(BuildError::Invalid(format!(
                "cannot write {name} beside the files of the result: one of them has that name"
            )));
        }
        let mut header = Header::new(name, EntryKind::Regular);
        header.mode = 0o600;
        header.size = text.len() as u64;
        header.mtime.seconds = time.unwrap_or_else(|| jiff::Timestamp::now().as_second());
        if let Some(header) = self.placed(platform, header)? {
            self.out.append_bytes(&header, text).map_err(write_failed())?;
        }
        Ok(())
    }

    /// Adds all of a platform's archive; says what its files are.
    pub(super) fn add(&mut self, platform: &Platform, mut archive: File) -> Result<Vec<Subject>> {
        let failed = || BuildError::archive("read the files of a platform");
        archive.rewind().map_err(|source| failed()(ArchiveError::Read { offset: 0, source }))?;
        if self.split == Split::Folders {
            let mut header = Header::new(format!("{}/", folder(platform)), EntryKind::Directory);
            header.mode = 0o755;
            self.out.append_bytes(&header, &[]).map_err(write_failed())?;
        }
        let mut reader = Reader::new(BufReader::new(archive));
        let mut found: BTreeMap<Vec<u8>, Digest> = BTreeMap::new();
        self.own.clear();
        while let Some(mut entry) = reader.next_entry().map_err(failed())? {
            let header = entry.header().clone();
            let name = path::clean(&header.path).map_err(failed())?;
            self.own.insert(name.clone());
            if header.kind == EntryKind::HardLink {
                let first = path::clean(&header.link).map_err(failed())?;
                let first = found.get(&first).copied();
                found.extend(first.map(|digest| (name.clone(), digest)));
            }
            let is_file = header.kind == EntryKind::Regular;
            if let Some(header) = self.placed(platform, header)? {
                let mut content = DigestReader::new(&mut entry);
                self.out.append(&header, &mut content).map_err(write_failed())?;
                if is_file {
                    found.insert(name, content.finish().0);
                }
            }
        }
        let subject = |(name, digest): (&Vec<u8>, &Digest)| {
            Subject::new(&String::from_utf8_lossy(name), digest)
        };
        Ok(found.iter().map(subject).collect())
    }

    pub(super) fn finish(self) -> Result<()> {
        self.out.finish().map(drop).map_err(write_failed())
    }

    /// The entry where it goes; none for what is there already.
    fn placed(&mut self, platform: &Platform, mut header: Header) -> Result<Option<Header>> {
        let name = path::clean(&header.path).map_err(write_failed())?;
        let place = folder(platform);
        match self.split {
            Split::Folders if name.is_empty() => Ok(None),
            Split::Folders => {
                header.path = below(&place, &header.path);
                if header.kind == EntryKind::HardLink {
                    header.link = below(&place, &header.link);
                }
                Ok(Some(header))
            }
            Split::Together => {
                let is_folder = header.kind == EntryKind::Directory;
                match self.there.get(&name) {
                    // Only folders are the same for all.
                    Some((_, true)) if is_folder => Ok(None),
                    Some((first, _)) if first != &place => {
                        // BuildKit's words.
                        Err(BuildError::Invalid(format!(
                            "cannot overwrite {} from {first} with {place} when split option is disabled",
                            String::from_utf8_lossy(&name)
                        )))
                    }
                    Some(_) | None => {
                        self.there.insert(name, (place, is_folder));
                        Ok(Some(header))
                    }
                }
            }
        }
    }
}

fn write_failed() -> impl FnOnce(ArchiveError) -> BuildError {
    BuildError::archive("write the files of a platform")
}

fn below(folder: &str, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    [folder.as_bytes(), b"/", path].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryKind, &str)]) -> File {
        let mut writer = Writer::new(tempfile::tempfile().unwrap());
        for (name, kind, text) in entries {
            let mut header = Header::new(*name, *kind);
            let content = if *kind == EntryKind::Regular { text.as_bytes() } else { &[] };
            header.link = if content.is_empty() { text.as_bytes().to_vec() } else { Vec::new() };
            writer.append_bytes(&header, content).unwrap();
        }
        writer.finish().unwrap()
    }

    fn joined(split: Split, second: &str) -> Result<Vec<String>> {
        joined_with(split, (second, EntryKind::Regular, "2"))
    }

    fn joined_with(split: Split, second: (&str, EntryKind, &str)) -> Result<Vec<String>> {
        use EntryKind::{Directory, HardLink, Regular};
        let mut bytes = Vec::new();
        let mut joiner = Joiner::new(&mut bytes, split);
        let own = [("d/", Directory, ""), ("d/x", Regular, "1"), ("d/twin", HardLink, "d/x")];
        joiner.add(&"linux/arm/v7".parse().unwrap(), archive(&own))?;
        let other = [("d/", Directory, ""), second];
        joiner.add(&"linux/amd64".parse().unwrap(), archive(&other))?;
        joiner.finish()?;
        let mut reader = Reader::new(&bytes[..]);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let header = entry.header();
            found.push(format!("{} {}", text(&header.path), text(&header.link)).trim().to_owned());
        }
        Ok(found)
    }

    #[test]
    fn every_platform_has_a_folder() {
        let found = joined(Split::Folders, "d/x").unwrap();
        let expected = [
            "linux_arm_v7/",
            "linux_arm_v7/d/",
            "linux_arm_v7/d/x",
            "linux_arm_v7/d/twin linux_arm_v7/d/x",
            "linux_amd64/",
            "linux_amd64/d/",
            "linux_amd64/d/x",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn together_a_folder_meets_only_folders() {
        use EntryKind::{Directory, Regular, Symlink};
        for second in [("d/x", Directory, ""), ("d", Symlink, "x"), ("d", Regular, "2")] {
            let error = joined_with(Split::Together, second).unwrap_err().to_string();
            let name = second.0;
            assert!(error.starts_with(&format!("cannot overwrite {name} from ")), "{error}");
        }
    }

    #[test]
    fn together_no_two_platforms_have_the_same_file() {
        let found = joined(Split::Together, "d/y").unwrap();
        assert_eq!(found, ["d/", "d/x", "d/twin d/x", "d/y"]);
        let error = joined(Split::Together, "d/x").unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot overwrite d/x from linux_arm_v7 with linux_amd64 when split option is disabled"
        );
    }
}
