//! Where a build's files come from, and its Dockerfile.

use std::path::Path;

use barge_dockerfile::ignore::Patterns;

use super::Source;
use crate::error::{BuildError, Result};
use crate::files::{ChecksumMemory, Tree};
use crate::request::{BuildRequest, Context, DockerfileSource};
use crate::runner::Cancel;

/// The contexts of a build.
#[derive(Debug)]
pub(crate) struct Contexts {
    main: Option<Tree>,
    ignore: Option<Patterns>,
}

impl Contexts {
    /// Opens the main context and reads the Dockerfile.
    pub(crate) fn open(
        memory: &ChecksumMemory,
        request: &BuildRequest,
        cancel: &Cancel,
    ) -> Result<(Source, Self)> {
        let (folder, identity) = match &request.context {
            Context::None => (None, ""),
            Context::Folder { path, identity } => (Some(path.as_path()), identity.as_str()),
        };
        let plain = folder.map(|folder| Tree::made(folder, "the build context")).transpose()?;
        let (source, ignore) = read(&request.dockerfile, plain.as_ref())?;
        let ignore = match ignore {
            Some(text) => Some(text),
            None => optional(plain.as_ref(), ".dockerignore")?,
        };
        let patterns = ignore.map(|text| patterns(&text)).transpose()?;
        let main = folder.map(|folder| Tree::context(folder, patterns.as_ref(), memory, identity));
        let main = main.transpose()?.map(|main| main.until(cancel));
        Ok((source, Self { main, ignore: patterns }))
    }

    /// What the main context does not show.
    pub(crate) fn ignore(&self) -> Option<&Patterns> {
        self.ignore.as_ref()
    }

    /// The main context.
    pub(crate) fn main(&self) -> Result<&Tree> {
        self.main.as_ref().ok_or_else(|| {
            BuildError::NotFound("there is no build context to copy from".to_owned())
        })
    }
}

/// A folder beside the main context: its own ignore file counts.
pub(super) fn named(path: &Path, name: &str) -> Result<Tree> {
    let plain = Tree::made(path, name)?;
    let ignore = optional(Some(&plain), ".dockerignore")?;
    let patterns = ignore.map(|text| patterns(&text)).transpose()?;
    Ok(Tree::named(path, name, patterns.as_ref())?)
}

fn patterns(text: &str) -> Result<Patterns> {
    Patterns::parse(text).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        BuildError::Invalid(format!("{error}{}", cause.unwrap_or_default()))
    })
}

/// The Dockerfile, and the ignore file that belongs to it.
fn read(dockerfile: &DockerfileSource, tree: Option<&Tree>) -> Result<(Source, Option<String>)> {
    match dockerfile {
        DockerfileSource::Text { name, text, ignore } => {
            Ok((Source::parse(name.clone(), text.clone())?, ignore.clone()))
        }
        DockerfileSource::InContext(name) => {
            let missing = || BuildError::NoDockerfile { name: name.clone() };
            let text = optional(tree, name)?.ok_or_else(missing)?;
            let ignore = optional(tree, &format!("{name}.dockerignore"))?;
            Ok((Source::parse(name.clone(), text)?, ignore))
        }
    }
}

fn optional(tree: Option<&Tree>, name: &str) -> Result<Option<String>> {
    let Some(tree) = tree else { return Ok(None) };
    let Some(bytes) = tree.read(name)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| BuildError::Invalid(format!("{name} is not text in UTF-8")))
}
