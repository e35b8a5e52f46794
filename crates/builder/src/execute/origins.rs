//! Files of stages and images: what `--from` names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_image::Held;
use barge_storage::{LayerId, Owners};
use barge_types::Digest;

use super::graph::Graph;
use super::layer::LayerWork;
use super::state::StageState;
use crate::cache::key::KeyMaker;
use crate::cache::{HeldLayer, Reuse};
use crate::error::{BuildError, Result};
use crate::event::Outcome;
use crate::files::{Placement, TransferRequest, Tree};
use crate::plan::{self, Origin};
use crate::provenance::Material;

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
    Image(Arc<Held>),
    Layer(Arc<HeldLayer>),
}

impl Files {
    fn of_image(held: Arc<Held>) -> Self {
        let key = held.chain_ids.last().copied().unwrap_or_else(|| held.id.digest());
        let layer = held.top_layer.clone();
        Self { layer, key, kept: Kept::Image(held) }
    }

    /// The topmost layer; absent for nothing.
    pub(crate) fn layer(&self) -> Option<&LayerId> {
        self.layer.as_ref()
    }

    /// What they were made from.
    pub(crate) fn key(&self) -> &Digest {
        &self.key
    }
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
            Origin::Image(name) => Ok(Files::of_image(self.get_image(&name, stage, number)?)),
            Origin::Layout { name, folder, image } => {
                let held = self.get_layout((stage, number), &name, (&folder, &image))?;
                Ok(Files::of_image(Arc::new(held)))
            }
            Origin::Folder(name, path) => self.snapshot(&self.folder_tree(&name, &path)?, "/"),
            Origin::Url(url) => self.snapshot(&self.url_tree(&url)?, "/"),
        }
    }

    /// What of the main context a step mounts, in a layer of its own.
    pub(crate) fn files_of_context(&self, source: &str) -> Result<Files> {
        self.snapshot(self.running.contexts.main()?, source)
    }

    /// A part of a tree as it is now, in a layer: whatever happens to the tree meanwhile, and to what is mounted.
    fn snapshot(&self, tree: &Tree, source: &str) -> Result<Files> {
        let (layer, key, _) = self.snapshot_layer(tree, (source, ""))?;
        let id = layer.id.clone();
        Ok(Files { layer: Some(id), key, kept: Kept::Layer(Arc::new(layer)) })
    }

    /// The same as a layer, with its key.
    fn snapshot_layer(
        &self,
        tree: &Tree,
        (source, salt): (&str, &str),
    ) -> Result<(HeldLayer, Digest, Outcome)> {
        let path = crate::metadata::join("/", source);
        let sources = [path.clone()];
        // With its path, so that a mount's source finds it.
        let parents = path != "/";
        let request = TransferRequest { sources: &sources, parents, ..TransferRequest::default() };
        let selection = tree.select(&request)?;
        let digest = selection.digest()?;
        let key = KeyMaker::new("files").word(&path).digest(&digest);
        let key = if salt.is_empty() { key } else { key.word(salt) }.finish();
        let work = LayerWork {
            key,
            parent: None,
            description: "files of a context",
            reuse: Reuse::Yes,
            owners: Owners::Stored,
        };
        let (layer, outcome) = self.running.layer(&work, &mut |root| {
            selection.copy(root, &Placement { destination: "/", ..Placement::default() })?;
            if selection.digest()? == digest {
                return Ok(());
            }
            let text = "files of the build context changed while they were copied";
            Err(BuildError::Invalid(text.to_owned()))
        })?;
        Ok((layer, key, outcome))
    }

    /// A stage on the files of a context, as BuildKit has it: one layer, and the configuration of `scratch`.
    pub(crate) fn on_tree(
        &self,
        stage: usize,
        (name, tree): (&str, &Tree),
    ) -> Result<(StageState, Outcome)> {
        let salt = self.running.salt();
        let (layer, key, outcome) = self.snapshot_layer(tree, ("/", &salt))?;
        let mut state = StageState::scratch(&self.plan.stages[stage].platform, &salt);
        state.key = key;
        state.made.push(Arc::new(layer));
        state.record_layer(format!("FROM {name} # build context"));
        Ok((state, outcome))
    }

    /// The files of a folder of the client.
    pub(crate) fn folder_tree(&self, name: &str, path: &Path) -> Result<Tree> {
        Ok(super::contexts::named(path, name)?.until(self.running.cancel))
    }

    /// The files of an archive or a repository of the network; owners are those of the archive.
    pub(crate) fn url_tree(&self, url: &str) -> Result<Tree> {
        let folder = self.fetched(url)?;
        Ok(Tree::layer(&folder, url)?.until(self.running.cancel))
    }

    /// An archive or a repository of the network, as a folder.
    fn fetched(&self, url: &str) -> Result<PathBuf> {
        if let Some(git) = super::remote::Git::parse(url) {
            let (folder, commit) = git.fetch(self.running, (url, None))?;
            self.note(|evidence| evidence.materials.insert(git.material(&commit)));
            if !self.running.request.keeps_git_folders() {
                super::remote::remove_git_folder(&folder)?;
            }
            return git.inside(&folder);
        }
        let file = super::remote::download(self.running, url)?;
        self.note(|evidence| evidence.materials.insert(Material::file(url, &file.digest)));
        let folder = self.running.place.folder()?;
        let archive =
            std::fs::File::open(&file.path).map_err(BuildError::io("open", &file.path))?;
        crate::files::unpack_archive(archive, &folder)?;
        Ok(folder)
    }
}
