//! What a stage has come to.

use std::sync::Arc;

use barge_image::Held;
use barge_oci::image::ImageConfig;
use barge_storage::LayerId;
use barge_types::{Digest, Platform};

use crate::cache::HeldLayer;
use crate::cache::key::KeyMaker;
use crate::error::Result;
use crate::metadata::{self, CmdOf, StepKind};
use crate::plan::scope::Globals;

/// A stage between two instructions.
#[derive(Clone, Debug)]
pub(crate) struct StageState {
    /// The image that it stands on, kept there.
    pub(crate) base: Option<Arc<Held>>,
    /// What its steps made, lowest first, kept there.
    pub(crate) made: Vec<Arc<HeldLayer>>,
    /// What its files were made from.
    pub(crate) key: Digest,
    /// Of the image to be.
    pub(crate) config: ImageConfig,
    /// What `ARG` declared so far, those of the stages below too.
    pub(crate) args: Vec<(String, Option<String>)>,
    /// Whose `CMD` it is.
    pub(crate) cmd: CmdOf,
}

impl StageState {
    /// Nothing.
    pub(crate) fn scratch(platform: &Platform, salt: &str) -> Self {
        Self {
            base: None,
            made: Vec::new(),
            key: KeyMaker::new("image").word("scratch").word(salt).finish(),
            config: metadata::scratch(platform),
            args: Vec::new(),
            cmd: CmdOf::Base,
        }
    }

    /// An image, with the triggers that it has.
    pub(crate) fn image(held: Arc<Held>, salt: &str) -> (Self, Vec<String>) {
        let (config, triggers) = metadata::derive(&held.config);
        let chain = held.chain_ids.last().map_or_else(|| "scratch".to_owned(), ToString::to_string);
        let state = Self {
            key: KeyMaker::new("image").word(&chain).word(salt).finish(),
            base: Some(held),
            made: Vec::new(),
            config,
            args: Vec::new(),
            cmd: CmdOf::Base,
        };
        (state, triggers)
    }

    /// Another stage.
    pub(crate) fn on(stage: &Self) -> (Self, Vec<String>) {
        let mut state = stage.clone();
        state.cmd = CmdOf::Base;
        let triggers = std::mem::take(&mut metadata::inner(&mut state.config).on_build);
        (state, triggers)
    }

    /// A digest over its files and its configuration, as people are shown one of an image.
    pub(crate) fn id(&self) -> Digest {
        // Without its configuration it is still told from others by its files.
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        KeyMaker::new("state").digest(&self.key).word(&config).finish()
    }

    /// The topmost layer.
    pub(crate) fn top(&self) -> Option<LayerId> {
        match self.made.last() {
            Some(layer) => Some(layer.id.clone()),
            None => self.base.as_ref().and_then(|base| base.top_layer.clone()),
        }
    }

    /// A variable of the stage: `ENV` before `ARG`.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let env = self.config.config.as_ref().map(|config| config.env.as_slice());
        if let Some(value) = metadata::env(env.unwrap_or_default(), name) {
            return Some(value.to_owned());
        }
        self.args.iter().find(|(declared, _)| declared == name).and_then(|(_, value)| value.clone())
    }

    /// Expands one word.
    pub(crate) fn word(&self, globals: &Globals, text: &str) -> Result<String> {
        globals.words().one(text, &|name| self.value(name))
    }

    /// Expands a word to as many as it becomes.
    pub(crate) fn words(&self, globals: &Globals, text: &str) -> Result<Vec<String>> {
        globals.words().many(text, &|name| self.value(name))
    }

    /// `ARG`. One without a value leaves the value that there is, as with BuildKit.
    pub(crate) fn declare(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|(declared, _)| declared == name) {
            Some((_, there)) => *there = value.or_else(|| there.take()),
            None => self.args.push((name.to_owned(), value)),
        }
    }

    /// What a process sees: the image's variables, then the arguments that those do not hide.
    pub(crate) fn process_env(&self) -> Vec<String> {
        let mut env =
            self.config.config.as_ref().map_or_else(Vec::new, |config| config.env.clone());
        for (name, value) in &self.args {
            if let Some(value) = value
                && metadata::env(&env, name).is_none()
            {
                env.push(format!("{name}={value}"));
            }
        }
        env
    }

    /// Where relative paths start.
    pub(crate) fn workdir(&self) -> &str {
        let workdir = self.config.config.as_ref().map(|config| config.working_dir.as_str());
        workdir.filter(|workdir| !workdir.is_empty()).unwrap_or("/")
    }

    /// Adds the line of a step that made no layer to the history.
    pub(crate) fn record(&mut self, line: String) {
        metadata::record(&mut self.config, line, None, StepKind::Metadata);
    }

    /// Adds the line of the step that made the topmost layer.
    pub(crate) fn record_layer(&mut self, line: String) {
        let created = self.made.last().map(|layer| layer.created);
        let created = created.and_then(|created| jiff::Timestamp::from_millisecond(created).ok());
        let created = created.map(|created| created.to_string());
        metadata::record(&mut self.config, line, created, StepKind::Layer);
    }
}
