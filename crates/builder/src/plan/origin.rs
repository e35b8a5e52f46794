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
    /// After `FROM` of a stage: names of stages, not their numbers. The name of a later stage is an image's, as with
    /// BuildKit.
    pub(crate) fn base(&self, stage: usize, word: &str) -> Result<Origin> {
        if let Some(context) = self.context(word) {
            return self.of_context(word, context);
        }
        if word == "scratch" {
            return Ok(Origin::Scratch);
        }
        Ok(self.stage(stage, word).map_or_else(|| Origin::Image(word.to_owned()), Origin::Stage))
    }

    /// After `--from` of an instruction; refuses a stage that is not there yet.
    pub(crate) fn resolve(&self, stage: usize, word: &str) -> Result<Origin> {
        let origin = self.find(stage, word)?;
        match origin.stage() {
            Some(other) if other >= stage && self.context(word).is_none() => {
                Err(self.too_early(stage, other))
            }
            Some(_) | None => Ok(origin),
        }
    }

    /// The same, in whatever order the stages are: an earlier one first.
    pub(crate) fn find(&self, stage: usize, word: &str) -> Result<Origin> {
        if word.contains('$') {
            return Err(BuildError::Invalid(format!(
                "variable expansion is not supported for --from {word:?}, define a new stage with FROM using ARG from \
                 global scope as a workaround"
            )));
        }
        if self.context(word).is_none()
            && let Ok(number) = word.parse::<usize>()
        {
            if number >= self.stages.len() {
                return Err(BuildError::Invalid(format!(
                    "invalid stage index {number}: there is no such stage"
                )));
            }
            return Ok(Origin::Stage(number));
        }
        let origin = self.base(stage, word)?;
        // Others than `FROM` mean a stage wherever it is, also as with BuildKit.
        match self.later(stage, word).filter(|_| matches!(origin, Origin::Image(_))) {
            Some(other) if self.context(word).is_none() => Ok(Origin::Stage(other)),
            Some(_) | None => Ok(origin),
        }
    }

    /// The stage of a name from one on.
    pub(crate) fn later(&self, from: usize, word: &str) -> Option<usize> {
        let lower = word.to_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(&lower);
        self.stages[from..].iter().position(named).map(|place| from + place)
    }

    fn too_early(&self, stage: usize, other: usize) -> BuildError {
        if stage == other {
            return super::circular(&[super::label(&self.stages[stage], stage)]);
        }
        // The end is in BuildKit's words.
        BuildError::Invalid(format!(
            "stage {:?} is defined later, on line {}: it needs to be defined before current stage {:?}",
            super::label(&self.stages[other], other),
            self.stages[other].from.first_line,
            super::label(&self.stages[stage], stage),
        ))
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

/// ` (did you mean stage "x"?)` when the name of an image that could not be had is almost one of a stage, or
/// is that of a later one.
pub(crate) fn stage_hint(stages: &[Stage], stage: usize, image: &str) -> String {
    let contexts = BTreeMap::new();
    let names = Names { stages, contexts: &contexts };
    if let Some(other) = names.later(stage, image) {
        let line = stages[other].from.first_line;
        return format!(" (stage {image:?} is defined later, on line {line})");
    }
    let names = stages.iter().filter_map(|stage| stage.name.as_deref());
    let near = barge_dockerfile::suggest(image, names);
    near.map_or_else(String::new, |name| format!(" (did you mean stage {name:?}?)"))
}

/// ` (did you mean x?)` when one of some names is almost the one that was given.
pub(crate) fn suggestion<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = barge_dockerfile::suggest(word, names);
    near.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}
