//! A folder as an archive, for a daemon that cannot open ours: without what its ignore file names.
//!
//! Everything in it is root's, as with Docker's client: who owns a checkout is no matter of the
//! image's. Names are sorted, so that the same folder gives the same archive.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use barge_api_types::BuildDockerfile;
use barge_archive::compression::{Compression, Encoder};
use barge_archive::tar::{Device, EntryKind, Header, Timestamp, Writer};
use barge_client::Upload;
use barge_dockerfile::ignore::Patterns;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::fields::wrong;
use crate::error::{CliError, Result};
use crate::progress::Counter;

/// The capability of a file, the one attribute that goes along.
const CAPABILITY: &str = "security.capability";

/// How an archive goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

impl From<bool> for Packing {
    fn from(compress: bool) -> Self {
        if compress { Self::Gzip } else { Self::Plain }
    }
}

/// What of a folder stays here: by the file beside the Dockerfile, or the one in the folder.
pub(super) fn ignore(folder: &Path, dockerfile: Option<&BuildDockerfile>) -> Result<Patterns> {
    let beside = dockerfile.and_then(|dockerfile| {
        Some((format!("{}.dockerignore", dockerfile.name), dockerfile.ignore.clone()?))
    });
    let (name, text) = match beside {
        Some(found) => found,
        None => match fs::read(folder.join(".dockerignore")) {
            Ok(bytes) => (".dockerignore".to_owned(), String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Patterns::default()),
            Err(error) => {
                return Err(CliError::file("open", folder.join(".dockerignore"))(error));
            }
        },
    };
    Patterns::parse(&text).map_err(|error| wrong(format!("cannot read {name}: {error}")))
}

/// Packs on a thread of its own, while the archive is being sent.
pub(super) fn upload(
    folder: PathBuf,
    (ignore, packing): (Patterns, Packing),
    counter: Counter,
) -> Upload {
    let (sender, upload) = Upload::channel();
    std::thread::spawn(move || {
        let out = Sender { sender: sender.clone(), counter };
        if let Err(error) = pack(&folder, &ignore, packing, out) {
            // Gone when the daemon has said no before the end: what it says counts.
            sender.blocking_send(Err(error)).ok();
        }
    });
    upload
}

/// Hands bytes to a request.
struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    counter: Counter,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sender
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.counter.add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pack(folder: &Path, ignore: &Patterns, packing: Packing, out: impl Write) -> io::Result<()> {
    match packing {
        Packing::Plain => archive(folder, ignore, out).map(drop),
        Packing::Gzip => {
            let encoder = Encoder::new(out, Compression::Gzip).map_err(io::Error::other)?;
            archive(folder, ignore, encoder)?.finish().map_err(io::Error::other)?;
            Ok(())
        }
    }
}

fn archive<W: Write>(folder: &Path, ignore: &Patterns, out: W) -> io::Result<W> {
    let mut packer = Packer {
        root: folder,
        ignore,
        writer: Writer::new(out),
        links: BTreeMap::new(),
        above: Vec::new(),
    };
    packer.folder(&PathBuf::new())?;
    packer.writer.finish().map_err(io::Error::other)
}

struct Packer<'a, W> {
    root: &'a Path,
    ignore: &'a Patterns,
    writer: Writer<W>,
    /// The first name of files that have several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    /// Ignored folders that we are in: they come along when something in them does.
    above: Vec<Header>,
}

impl<W: Write> Packer<'_, W> {
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let at = |error: io::Error| naming(&error, &self.root.join(path));
        let entries = fs::read_dir(self.root.join(path)).map_err(at)?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(at)?.file_name());
        }
        names.sort_unstable();
        for name in names {
            let path = path.join(name);
            match self.root.join(&path).symlink_metadata() {
                Ok(metadata) => self.entry(&path, &metadata)?,
                // Gone since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(naming(&error, &self.root.join(&path))),
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let name = path.to_string_lossy();
        let is_ignored = self.ignore.matches(&name);
        if !metadata.is_dir() {
            return if is_ignored { Ok(()) } else { self.file(path, metadata) };
        }
        if is_ignored && self.ignore.can_skip_folder(&name) {
            return Ok(());
        }
        let header = self.header(path, EntryKind::Directory, metadata)?;
        let depth = self.above.len();
        self.above.push(header);
        if !is_ignored {
            self.write_above()?;
        }
        self.folder(path)?;
        self.above.truncate(depth);
        Ok(())
    }

    fn write_above(&mut self) -> io::Result<()> {
        for header in self.above.drain(..) {
            self.writer.append_bytes(&header, b"").map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let whole = self.root.join(path);
        let at = |error: io::Error| naming(&error, &whole);
        let Some(kind) = kind(metadata) else {
            return Ok(());
        };
        let mut header = self.header(path, kind, metadata)?;
        if kind == EntryKind::Symlink {
            header.link = fs::read_link(&whole).map_err(at)?.into_os_string().into_vec();
        } else if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            let number = metadata.rdev();
            header.device =
                Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) };
        } else if kind == EntryKind::Regular && metadata.nlink() > 1 {
            let file = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&file) {
                header.kind = EntryKind::HardLink;
                header.link.clone_from(first);
            } else {
                self.links.insert(file, header.path.clone());
            }
        }
        if header.kind != EntryKind::Regular {
            self.write_above()?;
            return self.writer.append_bytes(&header, b"").map_err(io::Error::other);
        }
        // Before anything is written of it: one that we may not read is told by its name.
        let file = File::open(&whole).map_err(at)?;
        header.size = file.metadata().map_err(at)?.len();
        self.write_above()?;
        let mut content = file.take(header.size);
        self.writer.append(&header, &mut content).map_err(|error| at(io::Error::other(error)))
    }

    fn header(&self, path: &Path, kind: EntryKind, metadata: &Metadata) -> io::Result<Header> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        if kind == EntryKind::Directory {
            name.push(b'/');
        }
        let mut header = Header::new(name, kind);
        header.mode = metadata.mode() & 0o7777;
        header.mtime = Timestamp {
            seconds: metadata.mtime(),
            nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        };
        if kind == EntryKind::Regular
            && let Some(value) = capability(&self.root.join(path))?
        {
            header.xattrs.insert(CAPABILITY.as_bytes().to_vec(), value);
        }
        Ok(header)
    }
}

/// What it is in an archive; nothing for a socket, which is of no use to anybody else.
fn kind(metadata: &Metadata) -> Option<EntryKind> {
    let kind = metadata.file_type();
    Some(match () {
        () if kind.is_symlink() => EntryKind::Symlink,
        () if kind.is_file() => EntryKind::Regular,
        () if kind.is_fifo() => EntryKind::Fifo,
        () if kind.is_char_device() => EntryKind::CharDevice,
        () if kind.is_block_device() => EntryKind::BlockDevice,
        () => return None,
    })
}

fn capability(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Longer than any that the kernel knows.
    let mut value = vec![0; 64];
    match rustix::fs::lgetxattr(path, CAPABILITY, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
        Err(error) => Err(naming(&error.into(), path)),
    }
}

fn naming(error: &io::Error, path: &Path) -> io::Error {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    io::Error::new(error.kind(), format!("cannot pack {}: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use barge_archive::compression::Decoder;
    use barge_archive::tar::Reader;

    use super::*;

    fn packed(folder: &Path, ignore: &str, packing: Packing) -> Vec<(String, Header, String)> {
        let mut bytes = Vec::new();
        pack(folder, &Patterns::parse(ignore).unwrap(), packing, &mut bytes).unwrap();
        let mut reader = Reader::new(Decoder::new(&bytes[..]).unwrap());
        let mut entries = Vec::new();
        while let Some(mut entry) = reader.next_entry().unwrap() {
            let mut text = String::new();
            let header = entry.header().clone();
            entry.read_to_string(&mut text).unwrap();
            entries.push((String::from_utf8_lossy(&header.path).into_owned(), header, text));
        }
        entries
    }

    fn names(folder: &Path, ignore: &str) -> Vec<String> {
        packed(folder, ignore, Packing::Plain).into_iter().map(|(name, _, _)| name).collect()
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, *name).unwrap();
        }
        folder
    }

    #[test]
    fn files_come_sorted_and_roots() {
        let folder = folder(&["b", "a/x", "Dockerfile"]);
        let root = folder.path();
        fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("b", root.join("link")).unwrap();
        fs::hard_link(root.join("b"), root.join("twin")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        for packing in [Packing::Plain, Packing::Gzip] {
            let entries = packed(root, "", packing);
            let all: Vec<&str> = entries.iter().map(|(name, _, _)| name.as_str()).collect();
            assert_eq!(all, ["Dockerfile", "a/", "a/x", "b", "link", "twin"]);
            let b = &entries[3];
            assert_eq!((b.1.mode, b.1.uid, b.2.as_str()), (0o4755, 0, "b"));
            assert_eq!(entries[4].1.link, b"b");
            assert_eq!(
                (entries[5].1.kind, &entries[5].1.link[..]),
                (EntryKind::HardLink, &b"b"[..])
            );
        }
    }

    #[test]
    fn what_is_ignored_stays_here() {
        let folder = folder(&["a", "node/x/y", "node/keep", "deep/er/keep", "deep/gone", "z.log"]);
        assert_eq!(
            names(folder.path(), "node\n!node/keep\ndeep\n!deep/er/keep\n*.log\n"),
            ["a", "deep/", "deep/er/", "deep/er/keep", "node/", "node/keep"]
        );
        assert_eq!(names(folder.path(), "*\n!a"), ["a"]);
        assert_eq!(
            names(folder.path(), "**/x\n**/er\n"),
            ["a", "deep/", "deep/gone", "node/", "node/keep", "z.log"]
        );
    }

    #[test]
    fn the_file_beside_the_dockerfile_counts_before_the_folders() {
        let folder = folder(&["a"]);
        let own = BuildDockerfile {
            name: "D".to_owned(),
            ignore: Some("b".to_owned()),
            ..BuildDockerfile::default()
        };
        assert!(ignore(folder.path(), None).unwrap().is_empty());
        fs::write(folder.path().join(".dockerignore"), "a").unwrap();
        assert!(ignore(folder.path(), None).unwrap().matches("a"));
        let patterns = ignore(folder.path(), Some(&own)).unwrap();
        assert!(patterns.matches("b") && !patterns.matches("a"));
        fs::write(folder.path().join(".dockerignore"), "!").unwrap();
        let error = ignore(folder.path(), None).unwrap_err().to_string();
        assert!(error.starts_with("cannot read .dockerignore: "), "{error}");
    }
}
