//! `COPY` and `ADD`: files of the context, of stages and of images.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_archive::extract::ApplyOptions;
use barge_dockerfile::ast::Transfer;
use barge_image::Held;
use barge_storage::LayerId;
use barge_sys::openat2;
use barge_types::Digest;

use super::graph::Graph;
use super::state::StageState;
use super::{Shop, Source};
use crate::cache::HeldLayer;
use crate::error::{BuildError, Result};
use crate::event::Outcome;
use crate::plan::{self, Origin};
use crate::request::{BuildRequest, Context, DockerfileSource};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ADD`.
    Add,
    /// `COPY`.
    Copy,
}

/// Files that are in a layer.
#[derive(Debug)]
pub(crate) struct Files {
    layer: Option<LayerId>,
    key: Digest,
    /// Keeps the layer where it is.
    #[expect(dead_code, reason = "held, not looked at")]
    kept: Kept,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held, not looked at")]
enum Kept {
    Stage(Box<StageState>),
    Image(Box<Held>),
    Layer(Arc<HeldLayer>),
}

impl Files {
    /// The topmost layer; absent for nothing.
    pub(crate) fn layer(&self) -> Option<&LayerId> {
        self.layer.as_ref()
    }

    /// What they were made from.
    pub(crate) fn key(&self) -> &Digest {
        &self.key
    }
}

/// The contexts of a build.
#[derive(Debug)]
pub(crate) struct Contexts {
    #[expect(dead_code, reason = "read by what copies")]
    main: Option<PathBuf>,
}

impl Contexts {
    /// Opens the main context and reads the Dockerfile.
    pub(crate) fn open(_shop: &Shop, request: &BuildRequest) -> Result<(Source, Self)> {
        let main = match &request.context {
            Context::None => None,
            Context::Folder { path, .. } => Some(path.clone()),
        };
        let source = match &request.dockerfile {
            DockerfileSource::Text { name, text, .. } => Source::parse(name.clone(), text.clone())?,
            DockerfileSource::InContext(name) => {
                let text = read(main.as_deref(), name)?;
                Source::parse(name.clone(), text)?
            }
        };
        Ok((source, Self { main }))
    }
}

fn read(context: Option<&Path>, name: &str) -> Result<String> {
    // BuildKit's words.
    let missing =
        |why: &str| BuildError::NotFound(format!("failed to read dockerfile: open {name}: {why}"));
    let Some(context) = context else { return Err(missing("there is no build context")) };
    let root = openat2::open_root(context).map_err(BuildError::io("open", context))?;
    let bytes = openat2::read(&root, Path::new(name)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            missing("no such file or directory")
        } else {
            BuildError::io("read", &context.join(name))(error)
        }
    })?;
    String::from_utf8(bytes)
        .map_err(|_| BuildError::Invalid(format!("the Dockerfile ({name}) is not text in UTF-8")))
}

impl Graph<'_> {
    /// What a word after `--from` of an instruction of a stage means.
    pub(crate) fn origin(&self, stage: usize, word: &str) -> Result<Origin> {
        plan::resolve(&self.running.source.parsed, self.running.request, (stage, word))
    }

    /// The files that a word after `--from` means.
    pub(crate) fn files_of(&self, stage: usize, number: u32, word: &str) -> Result<Files> {
        match self.origin(stage, word)? {
            Origin::Scratch => Err(BuildError::Invalid("scratch has no files".to_owned())),
            Origin::Stage(other) => {
                let state = self.slots.wait(other, self.running.cancel)?;
                let (layer, key) = (state.top(), state.key);
                Ok(Files { layer, key, kept: Kept::Stage(Box::new(state)) })
            }
            Origin::Image(name) => {
                let held = self.get_image(&name, stage, number)?;
                let key = held.chain_ids.last().copied().unwrap_or_else(|| held.id.digest());
                let layer = held.top_layer.clone();
                Ok(Files { layer, key, kept: Kept::Image(Box::new(held)) })
            }
            Origin::Folder(name, _) | Origin::Url(name) => {
                Err(BuildError::Unsupported(format!("the build context {name}")))
            }
        }
    }

    /// What of the main context a step mounts, in a layer of its own.
    pub(crate) fn files_of_context(&self, _source: &str) -> Result<Files> {
        Err(BuildError::Unsupported("a bind mount of the build context".to_owned()))
    }

    /// `COPY` and `ADD`.
    pub(crate) fn transfer(
        &self,
        _state: &mut StageState,
        _stage: usize,
        _what: (Kind, &Transfer, &str),
    ) -> Result<Outcome> {
        Err(BuildError::Unsupported("COPY".to_owned()))
    }
}

/// Ids of a user of a layer.
pub(crate) fn owner(_root: &Path, spec: &str) -> Result<(u32, u32)> {
    let (user, group) = spec.split_once(':').unwrap_or((spec, spec));
    let number = |text: &str| {
        text.parse().map_err(|_| BuildError::Unsupported(format!("the user {text:?} by name")))
    };
    Ok((number(user)?, number(group)?))
}

/// Makes a folder and those above it; new ones belong to `owner`.
pub(crate) fn make_folders(root: &Path, path: &Path, owner: (u32, u32)) -> Result<()> {
    use rustix::fs::{Gid, Mode, OFlags, Uid};
    let failed = || BuildError::io("make the folder", path);
    let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
    let mut missing: Vec<&Path> = Vec::new();
    for folder in path.ancestors() {
        if openat2::open(&fd, folder, OFlags::PATH).is_ok() {
            break;
        }
        missing.push(folder);
    }
    for folder in missing.into_iter().rev() {
        let made =
            openat2::create_folders(&fd, folder, Mode::from_raw_mode(0o755)).map_err(failed())?;
        drop(made);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let made = openat2::open(&fd, folder, flags).map_err(failed())?;
        // Whatever the umask is.
        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))
            .map_err(BuildError::io("make the folder", path))?;
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        rustix::fs::fchown(&made, Some(uid), Some(gid))
            .map_err(BuildError::io("make the folder", path))?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    openat2::open(&fd, path, flags).map(drop).map_err(failed())
}

/// Copies what is in a folder of a mounted layer.
pub(crate) fn copy_folder(root: &Path, source: &str, into: &Path) -> Result<()> {
    let missing = || BuildError::NotFound(format!("failed to mount: {source:?}: not found"));
    let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let folder = openat2::open(&fd, Path::new(source), flags).map_err(|_| missing())?;
    // The descriptor keeps what was found: nobody can put a link there now.
    let from = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    barge_archive::copy::tree(&from, into).map_err(BuildError::archive("fill a cache mount"))
}

/// Unpacks a layer's archive into a mounted layer.
pub(crate) fn apply_layer(archive: &Path, root: &Path) -> Result<()> {
    let file = std::fs::File::open(archive).map_err(BuildError::io("open", archive))?;
    let options = ApplyOptions::default();
    barge_archive::extract::apply(root, std::io::BufReader::new(file), &options)
        .map(drop)
        .map_err(BuildError::archive("unpack a layer"))
}
