//! `WORKDIR`: a place in the configuration, and a layer only when the folder is not there.

use std::os::fd::AsFd as _;
use std::path::Path;

use barge_storage::Owners;
use barge_sys::openat2;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::graph::Graph;
use super::layer::LayerWork;
use super::state::StageState;
use crate::cache::Reuse;
use crate::cache::key::KeyMaker;
use crate::error::{BuildError, Result};
use crate::event::Outcome;
use crate::files::{make_folders, resolve_owner};
use crate::metadata;

impl Graph<'_> {
    pub(crate) fn workdir(
        &self,
        state: &mut StageState,
        stage: usize,
        text: &str,
    ) -> Result<Outcome> {
        let path = state.word(&self.plan.globals, text)?;
        let path = metadata::join(state.workdir(), &path);
        let line = format!("WORKDIR {path}");
        let inner = metadata::inner(&mut state.config);
        path.clone_into(&mut inner.working_dir);
        let user = inner.user.clone();
        let key = KeyMaker::new("workdir").digest(&state.key).word(&path).word(&user).finish();
        let reuse = self.running.reuse(&self.plan.stages[stage].label);
        let is_there = || self.running.elsewhere().find(&key).is_some();
        let is_known = reuse == Reuse::Yes && (self.running.shop.cache.has(&key) || is_there());
        if !is_known && self.has_folder(state, &path)? {
            state.record(line);
            return Ok(Outcome::Cached);
        }
        let work = LayerWork {
            key,
            parent: state.top(),
            description: &line,
            reuse,
            owners: Owners::Stored,
        };
        let outcome =
            self.running.add_layer(state, &work, &mut |root| make_folder(root, &path, &user))?;
        state.record_layer(line);
        Ok(outcome)
    }

    fn has_folder(&self, state: &StageState, path: &str) -> Result<bool> {
        if path == "/" {
            return Ok(true);
        }
        let Some(top) = state.top() else { return Ok(false) };
        self.running.with_view(Some(&top), &mut |root| {
            let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
            match openat2::open(&fd, Path::new(path), OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => Ok(true),
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                    Ok(false)
                }
                Err(error) => Err(BuildError::io("make the folder", Path::new(path))(error)),
            }
        })
    }
}

/// New folders belong to the user, as BuildKit has it.
fn make_folder(root: &Path, path: &str, user: &str) -> Result<()> {
    let (uid, gid) = match user {
        "" => (0, 0),
        user => resolve_owner(root, user)?,
    };
    let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
    make_folders(fd.as_fd(), Path::new(path), (uid, gid))?;
    Ok(())
}
