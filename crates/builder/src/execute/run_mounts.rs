//! `RUN --mount`: what is mounted, resolved before the step is looked up; then made, mounted by the runner and taken away.

use std::path::{Path, PathBuf};

use barge_dockerfile::ast::{MountAccess, MountFlag, MountKind, Run, Sharing};
use barge_types::Digest;

use super::graph::Graph;
use super::origins::Files;
use super::state::StageState;
use super::weight::together;
use crate::cache::key::KeyMaker;
use crate::error::{BuildError, Result};
use crate::metadata;

mod agent;
mod prepared;

pub(crate) use prepared::Prepared;

/// Everything that one step mounts.
#[derive(Debug)]
pub(crate) struct Mounts {
    list: Vec<Wanted>,
    words: Vec<String>,
}

/// One of them.
#[derive(Debug)]
struct Wanted {
    /// An absolute path in the step's root; empty for what is only in the environment.
    target: String,
    what: What,
    is_read_only: bool,
}

#[derive(Debug)]
enum What {
    /// Files of the context, a stage or an image, to be written to without effect.
    Files { files: Files, source: String },
    /// A folder that outlives builds.
    Cache(CacheWish),
    /// Memory.
    Tmpfs { size: Option<u64>, mode: Option<u32> },
    /// Bytes that never reach a disk.
    Secret { bytes: Vec<u8>, env: Option<String>, owner: Owner },
    /// An agent of the client, by a socket of the step's own.
    Ssh { socket: PathBuf, owner: Owner },
    /// A secret or an agent that is required and was not given. As with BuildKit nobody asks for it when the step's result
    /// is there.
    Missing { what: String, kind: MountKind },
}

#[derive(Debug)]
struct CacheWish {
    id: String,
    key: Digest,
    sharing: Sharing,
    owner: Owner,
    /// What a new one is filled with, and which part of it.
    seed: Option<(Files, String)>,
}

/// Who owns what is made for a mount.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    fn of(flag: &MountFlag, mode: u32) -> Self {
        Self {
            uid: flag.uid.unwrap_or(0),
            gid: flag.gid.unwrap_or(0),
            mode: flag.mode.unwrap_or(mode),
        }
    }
}

impl Mounts {
    /// How many agents there are.
    fn agents(&self) -> usize {
        let is_agent = |wanted: &&Wanted| {
            matches!(wanted.what, What::Ssh { .. } | What::Missing { kind: MountKind::Ssh, .. })
        };
        self.list.iter().filter(is_agent).count()
    }

    /// What goes into the step's key: of secrets their ids only.
    pub(crate) fn key_words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }
}

/// Of all that a flag says, as variables left it.
fn length(flag: &MountFlag) -> usize {
    let words = [&flag.target, &flag.source, &flag.from, &flag.id, &flag.env];
    words.iter().filter_map(|word| word.as_ref()).map(String::len).sum()
}

impl Graph<'_> {
    /// Resolves the flags of a `RUN`.
    pub(crate) fn mounts(
        &self,
        state: &StageState,
        stage: usize,
        (number, run): (u32, &Run),
    ) -> Result<Mounts> {
        let mut mounts = Mounts { list: Vec::new(), words: Vec::new() };
        let flags = run.mounts.iter().map(|flag| self.expanded(state, flag));
        for flag in together(flags, length)? {
            let wanted = match flag.kind {
                MountKind::Bind => Some(self.bind(state, stage, (number, &flag))?),
                MountKind::Cache => Some(self.cache_mount(state, stage, (number, &flag))?),
                MountKind::Tmpfs => Some(tmpfs(state, &flag)?),
                MountKind::Secret => self.secret(state, &flag)?,
                MountKind::Ssh => self.ssh(state, &flag, mounts.agents())?,
            };
            mounts.words.push(word(&flag, wanted.as_ref()));
            mounts.list.extend(wanted);
        }
        // What is mounted below another one comes after it.
        mounts.list.sort_by_key(|wanted| Path::new(&wanted.target).components().count());
        Ok(mounts)
    }

    fn expanded(&self, state: &StageState, flag: &MountFlag) -> Result<MountFlag> {
        let globals = &self.plan.globals;
        barge_dockerfile::expand_mount(&flag.text, &mut |value| state.word(globals, value))
    }

    fn bind(
        &self,
        state: &StageState,
        stage: usize,
        (number, flag): (u32, &MountFlag),
    ) -> Result<Wanted> {
        let target = target(state, flag)?;
        let source = flag.source.clone().unwrap_or_else(|| "/".to_owned());
        let files = match &flag.from {
            Some(from) => self.files_of(stage, number, from)?,
            None => self.files_of_context(&source)?,
        };
        let is_read_only = flag.access != Some(MountAccess::ReadWrite);
        Ok(Wanted { target, what: What::Files { files, source }, is_read_only })
    }

    fn cache_mount(
        &self,
        state: &StageState,
        stage: usize,
        (number, flag): (u32, &MountFlag),
    ) -> Result<Wanted> {
        let target = target(state, flag)?;
        let id = flag.id.clone().unwrap_or_else(|| target.clone());
        let id = match self.running.request.mount_namespace() {
            Some(namespace) => format!("{namespace}/{id}"),
            None => id,
        };
        let source = flag.source.clone().unwrap_or_else(|| "/".to_owned());
        let seed = match &flag.from {
            Some(from) => Some((self.files_of(stage, number, from)?, source)),
            // A part of what other steps change meanwhile: a link may be there when it is mounted (CVE-2024-23651).
            None if metadata::join("/", &source) != "/" => {
                let text = format!("source={source} of a cache mount without from");
                return Err(BuildError::Unsupported(text));
            }
            None => None,
        };
        let mut key = KeyMaker::new("mount").word(&id);
        if let Some((files, source)) = &seed {
            key = key.digest(files.key()).word(source);
        }
        let key = key.finish();
        let used = &self.running.mounts_used;
        let mut used = used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        used.insert(key.hex(), id.clone());
        drop(used);
        let wish =
            CacheWish { id, key, sharing: flag.sharing, owner: Owner::of(flag, 0o755), seed };
        let is_read_only = flag.access == Some(MountAccess::ReadOnly);
        Ok(Wanted { target, what: What::Cache(wish), is_read_only })
    }

    fn secret(&self, state: &StageState, flag: &MountFlag) -> Result<Option<Wanted>> {
        let Some(id) = super::outline::secret_id(flag) else {
            let text = "one of source, target required for a secret mount";
            return Err(BuildError::Invalid(text.to_owned()));
        };
        self.note(|evidence| evidence.secrets.insert(id.to_owned(), !flag.is_required));
        // With `env` alone it is nowhere but there.
        let target = match (&flag.target, &flag.env) {
            (Some(target), _) => metadata::join(state.workdir(), target),
            (None, Some(_)) => String::new(),
            (None, None) => {
                format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or(id))
            }
        };
        let what = match self.running.request.secrets.get(id) {
            Some(secret) => What::Secret {
                bytes: secret.0.clone(),
                env: flag.env.clone(),
                owner: Owner::of(flag, 0o400),
            },
            None if flag.is_required => {
                What::Missing { what: format!("secret {id}: not found"), kind: MountKind::Secret }
            }
            None => return Ok(None),
        };
        Ok(Some(Wanted { target, what, is_read_only: true }))
    }

    fn ssh(&self, state: &StageState, flag: &MountFlag, number: usize) -> Result<Option<Wanted>> {
        let id = super::outline::agent_id(flag);
        self.note(|evidence| evidence.agents.insert(id.to_owned(), !flag.is_required));
        let target = match &flag.target {
            Some(target) => metadata::join(state.workdir(), target),
            None => format!("/run/buildkit/ssh_agent.{number}"),
        };
        let what = match self.running.request.ssh.get(id) {
            Some(socket) => What::Ssh { socket: socket.clone(), owner: Owner::of(flag, 0o600) },
            None if flag.is_required => {
                What::Missing { what: format!("unset ssh forward key {id}"), kind: MountKind::Ssh }
            }
            None => return Ok(None),
        };
        Ok(Some(Wanted { target, what, is_read_only: false }))
    }
}

fn tmpfs(state: &StageState, flag: &MountFlag) -> Result<Wanted> {
    let what = What::Tmpfs { size: flag.size, mode: flag.mode };
    Ok(Wanted { target: target(state, flag)?, what, is_read_only: false })
}

fn target(state: &StageState, flag: &MountFlag) -> Result<String> {
    let Some(target) = flag.target.as_deref().filter(|target| !target.is_empty()) else {
        return Err(BuildError::Invalid("a mount needs a target".to_owned()));
    };
    let target = metadata::join(state.workdir(), target);
    if target == "/" {
        return Err(BuildError::Invalid("invalid mount target \"/\"".to_owned()));
    }
    Ok(target)
}

/// What of a mount decides what a step makes.
fn word(flag: &MountFlag, wanted: Option<&Wanted>) -> String {
    let key = KeyMaker::new("mount")
        .word(&format!("{:?} {:?}", flag.kind, flag.access))
        .maybe(wanted.map(|wanted| wanted.target.as_str()))
        .maybe(flag.id.as_deref())
        .maybe(flag.env.as_deref());
    let key = match wanted.map(|wanted| &wanted.what) {
        Some(What::Files { files, source }) => key.digest(files.key()).word(source),
        Some(What::Cache(wish)) => key.digest(&wish.key),
        Some(What::Tmpfs { size, mode }) => key.word(&format!("{size:?} {mode:?}")),
        Some(What::Secret { .. } | What::Ssh { .. } | What::Missing { .. }) | None => {
            key.maybe(flag.source.as_deref())
        }
    };
    key.finish().to_string()
}
