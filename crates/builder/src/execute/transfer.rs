//! `COPY` and `ADD`.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_archive::extract::ApplyOptions;
use barge_dockerfile::ast::{Heredoc, Transfer};
use barge_storage::{LayerId, Owners};
use barge_sys::openat2;
use barge_types::{Digest, shown_address};

use super::graph::Graph;
use super::layer::LayerWork;
use super::origins::Files;
use super::remote::{self, Git};
use super::state::StageState;
use super::weight::together;
use crate::cache::Reuse;
use crate::cache::key::KeyMaker;
use crate::error::{BuildError, Result};
use crate::event::Outcome;
use crate::files::{
    Archives, ChmodSpec, Placement, Selection, TransferRequest, Tree, resolve_owner, write_document,
};
use crate::metadata;
use crate::provenance::Material;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ADD`.
    Add,
    /// `COPY`.
    Copy,
}

/// An instruction with its words expanded.
#[derive(Debug)]
struct Words {
    sources: Vec<String>,
    /// As it was written.
    destination: String,
    chown: Option<String>,
    chmod: Option<String>,
    exclude: Vec<String>,
}

/// Some files that go to the destination.
#[derive(Debug)]
struct Part {
    files: Selection,
    archives: Archives,
    /// What they are, where that is known without reading them.
    known: Option<Digest>,
}

impl Part {
    fn new(files: Selection, archives: Archives) -> Self {
        Self { files, archives, known: None }
    }

    fn digest(&self) -> Result<Digest> {
        match self.known {
            Some(known) => Ok(known),
            None => Ok(self.files.digest()?),
        }
    }
}

/// What is copied where, and what the result was made from so far. With `--link` that is nothing of the stage.
#[derive(Clone)]
struct Target<'a> {
    transfer: &'a Transfer,
    words: &'a Words,
    /// As `--chown` says it, or as numbers where names would be those of the stage.
    owner: Option<String>,
    destination: String,
    key: KeyMaker,
    reuse: Reuse,
    line: &'a str,
}

impl Graph<'_> {
    /// `COPY` and `ADD`.
    pub(crate) fn transfer(
        &self,
        state: &mut StageState,
        stage: usize,
        (kind, transfer, number): (Kind, &Transfer, u32),
    ) -> Result<Outcome> {
        let words = self.transfer_words(state, transfer)?;
        let line = history_line(kind, transfer, &words);
        let destination = destination(state, &words.destination);
        let owner = self.owner(state, (transfer, words.chown.as_deref()))?;
        let key = KeyMaker::new("copy").word(if kind == Kind::Add { "add" } else { "copy" });
        let key = match transfer.link {
            true => key.word("link").word(&self.running.salt()),
            false => key.digest(&state.key),
        };
        let key = key.word(&destination).maybe(owner.as_deref()).maybe(words.chmod.as_deref());
        let reuse = self.running.reuse(&self.plan.stages[stage].label);
        let target =
            Target { transfer, words: &words, owner, destination, key, reuse, line: &line };
        let outcome = match &transfer.from {
            Some(from) => {
                let files = self.files_of(stage, number, from)?;
                self.transfer_layer(state, (&files, from), &target)?
            }
            None => {
                let parts = self.parts(state, kind, &target)?;
                self.put(state, (&parts, None), &target)?
            }
        };
        state.record_layer(line);
        Ok(outcome)
    }

    /// A layer that is made on nothing finds no names in it.
    fn owner(
        &self,
        state: &StageState,
        (transfer, chown): (&Transfer, Option<&str>),
    ) -> Result<Option<String>> {
        let Some(spec) = chown else { return Ok(None) };
        let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        if !transfer.link || spec.split(':').all(is_number) {
            return Ok(Some(spec.to_owned()));
        }
        self.running.with_view(state.top().as_ref(), &mut |root| {
            let (uid, gid) = resolve_owner(root, spec)?;
            Ok(Some(format!("{uid}:{gid}")))
        })
    }

    fn transfer_words(&self, state: &StageState, transfer: &Transfer) -> Result<Words> {
        let globals = &self.plan.globals;
        let one = |text: &String| state.word(globals, text);
        let all = |texts: &[String]| together(texts.iter().map(one), String::len);
        Ok(Words {
            sources: all(&transfer.sources)?,
            destination: one(&transfer.destination)?,
            chown: transfer.chown.as_ref().map(one).transpose()?,
            chmod: transfer.chmod.as_ref().map(one).transpose()?,
            exclude: all(&transfer.exclude)?,
        })
    }

    /// From a stage or an image. Its files are looked at only when the same copy of the same layer is not known.
    fn transfer_layer(
        &self,
        state: &mut StageState,
        (files, name): (&Files, &str),
        target: &Target<'_>,
    ) -> Result<Outcome> {
        let same = KeyMaker::new("same copy")
            .digest(&target.key.clone().finish())
            .digest(files.key())
            .words(target.words.sources.iter().map(String::as_str))
            .words(target.words.exclude.iter().map(String::as_str))
            .word(if target.transfer.parents { "parents" } else { "" })
            .finish();
        let cache = &self.running.shop.cache;
        // With `--link` the same copy may be there on other files than these.
        let (here, alone) = match target.transfer.link {
            true => (on_top(state, &same), Some(same)),
            false => (same, None),
        };
        if target.reuse == Reuse::Yes {
            if self.found(state, &here, target)? {
                return Ok(Outcome::Cached);
            }
            if let Some((layer, key)) = alone.and_then(|alone| cache.find_alias(&alone)) {
                self.put_on(state, (&layer.id, key), target)?;
                self.name_last(state, here);
                return Ok(Outcome::Cached);
            }
        }
        let outcome = self.running.with_view(files.layer(), &mut |root| {
            let request = request(target, &target.words.sources);
            let files = Tree::layer(root, name)?.until(self.running.cancel).select(&request)?;
            let parts = [Part::new(files, Archives::Copied)];
            self.put(state, (&parts, alone), target)
        })?;
        self.name_last(state, here);
        Ok(outcome)
    }

    /// Gives the topmost layer another word for its key.
    fn name_last(&self, state: &StageState, word: Digest) {
        if let Some(layer) = state.made.last() {
            self.running.shop.cache.alias(word, &layer.id);
        }
    }

    /// Takes the layer that another word for its key names, here or elsewhere; whether there is one.
    fn found(&self, state: &mut StageState, same: &Digest, target: &Target<'_>) -> Result<bool> {
        let cache = &self.running.shop.cache;
        let found = match cache.find_alias(same) {
            Some(found) => Some(found),
            None => match self.running.elsewhere().key_of(same) {
                Some(key) => {
                    let (parent, description) = (state.top(), target.line);
                    let work = LayerWork {
                        key,
                        parent,
                        description,
                        reuse: target.reuse,
                        owners: Owners::Stored,
                    };
                    self.running.find(&work)?.map(|layer| (layer, key))
                }
                None => None,
            },
        };
        let Some((layer, key)) = found else { return Ok(false) };
        cache.alias(*same, &layer.id);
        state.key = key;
        state.made.push(Arc::new(layer));
        Ok(true)
    }

    /// From the context, the network and the Dockerfile itself.
    fn parts(&self, state: &StageState, kind: Kind, target: &Target<'_>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let is_remote = |source: &String| {
            kind == Kind::Add && (remote::is_url(source) || Git::parse(source).is_some())
        };
        let (remote, local): (Vec<String>, Vec<String>) =
            target.words.sources.iter().cloned().partition(is_remote);
        if !local.is_empty() {
            let files = self.running.contexts.main()?.select(&request(target, &local))?;
            let archives = match (kind, target.transfer.unpack) {
                (Kind::Copy, _) | (Kind::Add, Some(false)) => Archives::Copied,
                (Kind::Add, Some(true) | None) => Archives::Unpacked,
            };
            parts.push(Part::new(files, archives));
        }
        for source in &remote {
            parts.push(self.remote(target.transfer, source)?);
        }
        if !target.transfer.heredocs.is_empty() {
            let files = self.heredocs(state, &target.transfer.heredocs)?;
            parts.push(Part::new(files, Archives::Copied));
        }
        Ok(parts)
    }

    fn remote(&self, transfer: &Transfer, source: &str) -> Result<Part> {
        let running = self.running;
        let checksum = transfer.checksum.as_deref();
        if let Some(git) = Git::parse(source) {
            let (folder, commit) = git.fetch(running, (source, checksum))?;
            self.note(|evidence| evidence.materials.insert(git.material(&commit)));
            if !transfer.keep_git_dir {
                remote::remove_git_folder(&folder)?;
            }
            let tree = Tree::made(&git.inside(&folder)?, source)?;
            let files = all_of(&tree.until(running.cancel))?;
            // What git keeps for itself has times in it and is never the same twice.
            let known = KeyMaker::new("git").word(source).word(&commit).finish();
            let known = transfer.keep_git_dir.then_some(known);
            return Ok(Part { files, archives: Archives::Copied, known });
        }
        let file = remote::download(running, source)?;
        self.note(|evidence| evidence.materials.insert(Material::file(source, &file.digest)));
        if let Some(wanted) = checksum
            && wanted != file.digest.to_string()
        {
            return Err(BuildError::Invalid(format!(
                "digest mismatch of {}: expected {wanted}, got {}",
                shown_address(source),
                file.digest
            )));
        }
        let sources = [file.name];
        let request = TransferRequest { sources: &sources, ..TransferRequest::default() };
        let files = Tree::made(&file.folder, source)?.until(running.cancel).select(&request)?;
        let archives =
            if transfer.unpack == Some(true) { Archives::Unpacked } else { Archives::Copied };
        Ok(Part::new(files, archives))
    }

    fn heredocs(&self, state: &StageState, heredocs: &[Heredoc]) -> Result<Selection> {
        let folder = self.running.place.folder()?;
        let mut names = Vec::new();
        for heredoc in heredocs {
            let text = if heredoc.is_expanded {
                self.plan.globals.words().heredoc(&heredoc.content, &|name| state.value(name))?
            } else {
                heredoc.content.clone()
            };
            let path = write_document(&folder, &heredoc.name, &text)?;
            let name = path.file_name().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
        let request = TransferRequest { sources: &names, ..TransferRequest::default() };
        Ok(Tree::made(&folder, "the Dockerfile")?.select(&request)?)
    }

    /// Finds or makes the layer. One that is made on nothing gets another word for its key, if there is one.
    fn put(
        &self,
        state: &mut StageState,
        (parts, alone): (&[Part], Option<Digest>),
        target: &Target<'_>,
    ) -> Result<Outcome> {
        let words = target.words;
        let mode = words.chmod.as_deref().map(ChmodSpec::parse).transpose()?;
        let mut key = target.key.clone();
        let digests = || parts.iter().map(Part::digest).collect::<Result<Vec<_>>>();
        let before = digests()?;
        for (part, digest) in parts.iter().zip(&before) {
            key = key.word(&format!("{:?}", part.archives)).digest(digest);
        }
        let mut destination = target.destination.clone();
        if parts.len() > 1 && !destination.ends_with('/') {
            destination.push('/');
        }
        let key = key.finish();
        let fill = &mut |root: &Path| {
            let owner = target.owner.as_deref();
            let owner = owner.map(|spec| resolve_owner(root, spec)).transpose()?;
            for part in parts {
                let placement = Placement {
                    destination: &destination,
                    owner,
                    mode: mode.clone(),
                    link: target.transfer.link,
                    epoch: self.running.epoch(),
                    archives: part.archives,
                };
                part.files.copy(root, &placement)?;
            }
            // What is remembered by what it was must not be something else.
            if digests()? != before {
                let text = "files of the build context changed while they were copied";
                return Err(BuildError::Invalid(text.to_owned()));
            }
            Ok(())
        };
        let (description, reuse) = (target.line, target.reuse);
        if !target.transfer.link {
            let work =
                LayerWork { key, parent: state.top(), description, reuse, owners: Owners::Stored };
            return self.running.add_layer(state, &work, fill);
        }
        let work = work_on(state, &key, target);
        if let Some(layer) = self.running.find(&work)? {
            state.key = work.key;
            state.made.push(Arc::new(layer));
            return Ok(Outcome::Cached);
        }
        let on_nothing =
            LayerWork { key, parent: None, description, reuse, owners: Owners::Stored };
        let (layer, outcome) = self.running.layer(&on_nothing, fill)?;
        if let Some(word) = alone {
            self.running.shop.cache.alias(word, &layer.id);
        }
        self.put_on(state, (&layer.id, key), target)?;
        Ok(outcome)
    }

    /// Puts a layer that was made on nothing on a stage.
    fn put_on(
        &self,
        state: &mut StageState,
        (layer, key): (&LayerId, Digest),
        target: &Target<'_>,
    ) -> Result<()> {
        let work = work_on(state, &key, target);
        let moved = self.running.moved(&work, layer)?;
        state.key = work.key;
        state.made.push(Arc::new(moved));
        Ok(())
    }
}

/// What a stage gets from files of this key.
fn work_on<'a>(state: &StageState, key: &Digest, target: &Target<'a>) -> LayerWork<'a> {
    LayerWork {
        key: on_top(state, key),
        parent: state.top(),
        description: target.line,
        reuse: target.reuse,
        owners: Owners::Stored,
    }
}

/// The key of a layer that was made on nothing, where it stands on a stage.
fn on_top(state: &StageState, key: &Digest) -> Digest {
    KeyMaker::new("on top").digest(&state.key).digest(key).finish()
}

fn request<'a>(target: &Target<'a>, sources: &'a [String]) -> TransferRequest<'a> {
    TransferRequest { sources, exclude: &target.words.exclude, parents: target.transfer.parents }
}

/// Everything in a tree.
pub(crate) fn all_of(tree: &Tree) -> Result<Selection> {
    let sources = ["/".to_owned()];
    Ok(tree.select(&TransferRequest { sources: &sources, ..TransferRequest::default() })?)
}

/// An absolute path; a slash at its end, or `.`, says that it is a folder.
fn destination(state: &StageState, text: &str) -> String {
    let mut path = metadata::join(state.workdir(), text);
    let is_folder = text.ends_with('/') || text.ends_with("/.") || text == "." || text.is_empty();
    if is_folder && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// `COPY --chown=… a b # buildkit`.
fn history_line(kind: Kind, transfer: &Transfer, words: &Words) -> String {
    let mut line = vec![if kind == Kind::Add { "ADD" } else { "COPY" }.to_owned()];
    if transfer.parents {
        line.push("--parents".to_owned());
    }
    line.extend(words.chown.iter().map(|chown| format!("--chown={chown}")));
    line.extend(words.chmod.iter().map(|chmod| format!("--chmod={chmod}")));
    line.extend(words.exclude.iter().map(|exclude| format!("--exclude={exclude}")));
    line.extend(words.sources.iter().cloned());
    line.extend(transfer.heredocs.iter().map(|heredoc| format!("<<{}", heredoc.name)));
    line.push(words.destination.clone());
    line.push("# buildkit".to_owned());
    line.join(" ")
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
    let file = fs::File::open(archive).map_err(BuildError::io("open", archive))?;
    let options = ApplyOptions::default();
    barge_archive::extract::apply(root, std::io::BufReader::new(file), &options)
        .map(drop)
        .map_err(BuildError::archive("unpack a layer"))
}
