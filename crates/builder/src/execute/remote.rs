//! Files of the network: `ADD` of addresses and repositories, archives as contexts.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use barge_sys::openat2;
use barge_types::{Digest, shown_address};
use rustix::fs::OFlags;

use super::Running;
use crate::error::{BuildError, Result};
use crate::files::{download_name, dress_download};
use crate::provenance::Material;
use crate::sources::{Downloaded, GitAccess, GitWant};

/// A file that was downloaded.
#[derive(Debug)]
pub(crate) struct Download {
    /// The folder that it alone is in.
    pub(crate) folder: PathBuf,
    /// It.
    pub(crate) path: PathBuf,
    /// `sha256:…` of it.
    pub(crate) digest: Digest,
    /// Its name.
    pub(crate) name: String,
}

/// Whether a source of `ADD` is an address.
pub(crate) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Downloads into a folder of the build, unless what is known is what the server has. The file has the server's time and
/// belongs to root alone, as Docker has it.
pub(crate) fn download(running: &Running<'_>, url: &str) -> Result<Download> {
    let folder = running.place.folder()?;
    let downloads = &running.shop.downloads;
    let known = downloads.find(url);
    let (told, path) = match (fetch(running, (url, known.as_ref()), &folder)?, known) {
        (Some(told), _) => told,
        (None, Some(known)) => {
            let path = folder.join("kept");
            if downloads.take(url, &path)? && Some(digest_of(&path)?) == known.digest {
                return named(known, (url, &folder), &path);
            }
            // Gone meanwhile, or damaged.
            again(running, url, &folder)?
        }
        (None, None) => again(running, url, &folder)?,
    };
    downloads.keep(url, &path, &told)?;
    named(told, (url, &folder), &path)
}

fn again(running: &Running<'_>, url: &str, folder: &Path) -> Result<(Downloaded, PathBuf)> {
    fetch(running, (url, None), folder)?.ok_or_else(|| {
        let url = shown_address(url);
        BuildError::NotFound(format!("{url} is said not to have changed, without a question"))
    })
}

/// Asks for a file; nothing when it is what is known.
fn fetch(
    running: &Running<'_>,
    (url, known): (&str, Option<&Downloaded>),
    folder: &Path,
) -> Result<Option<(Downloaded, PathBuf)>> {
    let path = barge_sys::durable::temporary_name(folder)
        .map_err(BuildError::io("name a file in", folder))?;
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(BuildError::io("create", &path))?;
    let sources = &running.shop.parts.sources;
    let failed = |source| BuildError::Source { what: shown_address(url), source };
    let told = sources.download(url, known, &mut file, running.cancel).map_err(failed)?;
    let Some(mut told) = told else {
        std::fs::remove_file(&path).map_err(BuildError::io("remove", &path))?;
        return Ok(None);
    };
    dress_download(&file, told.modified)?;
    told.digest = Some(digest_of(&path)?);
    Ok(Some((told, path)))
}

/// Gives a file that alone is in its folder the name that it has at its destination.
fn named(told: Downloaded, (url, folder): (&str, &Path), path: &Path) -> Result<Download> {
    let is_name =
        |name: &String| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let name = Some(told.name).filter(is_name).or_else(|| download_name(url));
    let name = name.unwrap_or_else(|| "download".to_owned());
    let named = folder.join(&name);
    std::fs::rename(path, &named).map_err(BuildError::io("rename", path))?;
    let digest = match told.digest {
        Some(digest) => digest,
        None => digest_of(&named)?,
    };
    Ok(Download { folder: folder.to_owned(), path: named, digest, name })
}

fn digest_of(path: &Path) -> Result<Digest> {
    let failed = || BuildError::io("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut digester = barge_archive::Digester::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = file.read(&mut buffer).map_err(failed())?;
        if length == 0 {
            return Ok(digester.finish().0);
        }
        digester.update(&buffer[..length]);
    }
}

/// Takes away what git keeps for itself in a checkout.
pub(crate) fn remove_git_folder(checkout: &Path) -> Result<()> {
    let path = checkout.join(".git");
    std::fs::remove_dir_all(&path).map_err(BuildError::io("remove", &path))
}

/// A repository as `ADD` and contexts name it: `url#reference:subfolder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Git {
    /// Without what is after `#`.
    pub(crate) url: String,
    /// A branch, tag or commit.
    pub(crate) reference: Option<String>,
    /// Relative; empty for the whole.
    pub(crate) subfolder: PathBuf,
}

impl Git {
    /// None for an address of something else.
    pub(crate) fn parse(source: &str) -> Option<Self> {
        let (url, rest) = source.split_once('#').unwrap_or((source, ""));
        let is_git = url.starts_with("git://")
            || url.starts_with("ssh://")
            || url.starts_with("git@")
            || (is_url(url) && url.ends_with(".git"));
        if !is_git {
            return None;
        }
        let (reference, subfolder) = rest.split_once(':').unwrap_or((rest, ""));
        let inside = crate::metadata::join("/", subfolder);
        Some(Self {
            url: url.to_owned(),
            reference: Some(reference.to_owned()).filter(|reference| !reference.is_empty()),
            subfolder: PathBuf::from(inside.trim_start_matches('/')),
        })
    }

    /// What it is as a source.
    pub(crate) fn material(&self, commit: &str) -> Material {
        Material::repository(&self.url, self.reference.as_deref(), commit)
    }

    /// The folder in a checkout that is meant. A link leads nowhere but within the repository.
    pub(crate) fn inside(&self, checkout: &Path) -> Result<PathBuf> {
        let missing = || {
            let folder = self.subfolder.display();
            let url = shown_address(&self.url);
            BuildError::NotFound(format!("no folder {folder} in the repository {url}"))
        };
        let root = openat2::open_root(checkout).map_err(BuildError::io("open", checkout))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let found = openat2::open(&root, &self.subfolder, flags).map_err(|_| missing())?;
        let link = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
        std::fs::read_link(&link).map_err(BuildError::io("read", &link))
    }

    /// Checks it out into a folder of the build, and says the commit. `source` is as it was written, with the commit that it has to be at.
    pub(crate) fn fetch(
        &self,
        running: &Running<'_>,
        (source, wanted): (&str, Option<&str>),
    ) -> Result<(PathBuf, String)> {
        let folder = running.place.folder()?;
        let sources = &running.shop.parts.sources;
        let (url, reference) = (self.url.as_str(), self.reference.as_deref());
        let access = GitAccess::new(running.request, url);
        let commit = sources
            .git(&GitWant { url, reference, access }, &folder, running.cancel)
            .map_err(|error| BuildError::Source { what: shown_address(source), source: error })?;
        match wanted {
            Some(wanted) if !commit.starts_with(wanted) => Err(BuildError::Invalid(format!(
                "expected checksum {wanted} of {}, it is at {commit}",
                shown_address(source)
            ))),
            Some(_) | None => Ok((folder, commit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        let git = Git::parse("https://example.com/a.git#main:sub/../dir").unwrap();
        assert_eq!(git.url, "https://example.com/a.git");
        assert_eq!(git.reference.as_deref(), Some("main"));
        assert_eq!(git.subfolder, Path::new("dir"));
        assert_eq!(Git::parse("git@example.com:a").unwrap().reference, None);
        assert_eq!(Git::parse("https://example.com/a.tar.gz"), None);
    }

    #[test]
    fn a_subfolder_does_not_leave_the_repository() {
        let git = Git::parse("git://example.com/a#:../../etc").unwrap();
        assert_eq!(git.subfolder, Path::new("etc"));
        let checkout = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(checkout.path().join("etc/deep")).unwrap();
        std::os::unix::fs::symlink("/etc", checkout.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/deep", checkout.path().join("up")).unwrap();
        let inside = |fragment: &str| {
            let git = Git::parse(&format!("git://example.com/a#:{fragment}")).unwrap();
            git.inside(checkout.path())
        };
        assert_eq!(inside("absolute").unwrap(), checkout.path().join("etc"));
        assert_eq!(inside("up").unwrap(), checkout.path().join("etc/deep"));
        assert_eq!(inside("").unwrap(), checkout.path());
        let missing = inside("none").unwrap_err().to_string();
        assert_eq!(missing, "no folder none in the repository git://example.com/a");
    }
}
