//! What a name after `FROM` or `--from` means: a named context, an earlier stage, or an image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barge_dockerfile::ast::Stage;
use barge_image::LayoutName;
use barge_types::Reference;

use crate::error::{BuildError, Result};
use crate::request::NamedContext;

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Scratch,
    /// Another stage of the same file.
    Stage(usize),
    /// An image.
    Image(String),
    /// A folder of a `--build-context`, with its name.
    Folder(String, PathBuf),
    /// An archive or a repository.
    Url(String),
    /// An image of an OCI layout.
    Layout {
        /// The context's name.
        name: String,
        /// The layout.
        folder: PathBuf,
        /// Which one.
        image: LayoutName,
    },
}

impl Origin {
    /// The stage that it needs.
    pub(crate) fn stage(&self) -> Option<usize> {
        if let Self::Stage(index) = self { Some(*index) } else { None }
    }
}

/// What names can mean.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) stages: &'a [Stage],
    pub(crate) contexts: &'a BTreeMap<String, NamedContext>,
}

impl Names<'_> {
    /// After `FROM` of a stage: names of stages, not their numbers.
    pub(crate) fn base(&self, stage: usize, word: &str) -> Result<Origin> {
        if let Some(context) = self.context(word) {
            return self.of_context(word, context);
        }
        if word == "scratch" {
            return Ok(Origin::Scratch);
        }
        Ok(self.stage(stage, word).map_or_else(|| Origin::Image(word.to_owned()), Origin::Stage))
    }

    /// After `--from` of an instruction.
    pub(crate) fn resolve(&self, stage: usize, word: &str) -> Result<Origin> {
        if word.contains('$') {
            return Err(BuildError::Invalid(format!(
                "variable expansion is not supported for --from {word:?}, define a new stage with FROM using ARG from \
                 global scope as a workaround"
            )));
        }
        if self.context(word).is_none()
            && let Ok(number) = word.parse::<usize>()
        {
            if number >= stage {
                return Err(BuildError::Invalid(format!(
                    "invalid stage index {number}: it does not name a stage before this one"
                )));
            }
            return Ok(Origin::Stage(number));
        }
        self.base(stage, word)
    }

    fn stage(&self, before: usize, word: &str) -> Option<usize> {
        let lower = word.to_lowercase();
        self.stages[..before].iter().rposition(|stage| stage.name.as_deref() == Some(&lower))
    }

    /// A context is known by its name as given, and an image's also by the name in full.
    fn context(&self, word: &str) -> Option<&NamedContext> {
        let lower = word.to_lowercase();
        if let Some(context) = self.contexts.get(word).or_else(|| self.contexts.get(&lower)) {
            return Some(context);
        }
        let wanted: Reference = word.parse().ok()?;
        let same = |name: &String| name.parse::<Reference>().is_ok_and(|name| name == wanted);
        self.contexts.iter().find(|(name, _)| same(name)).map(|(_, context)| context)
    }

    fn of_context(&self, word: &str, context: &NamedContext) -> Result<Origin> {
        Ok(match context {
            NamedContext::Folder(path) => Origin::Folder(word.to_owned(), path.clone()),
            NamedContext::Image(reference) => Origin::Image(reference.clone()),
            NamedContext::Url(url) => Origin::Url(url.clone()),
            NamedContext::Layout { folder, image } => Origin::Layout {
                name: word.to_owned(),
                folder: folder.clone(),
                image: image.clone(),
            },
            NamedContext::Stage(name) => match self.stage(self.stages.len(), name) {
                Some(index) => Origin::Stage(index),
                None => {
                    let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
                    let hint = suggestion(name, names);
                    let text = format!("build context {word}: no stage {name:?}{hint}");
                    return Err(BuildError::NotFound(text));
                }
            },
        })
    }
}

/// ` (did you mean x?)` when one of some names is almost the one that was given.
pub(crate) fn suggestion<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = barge_dockerfile::suggest(word, names);
    near.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}
