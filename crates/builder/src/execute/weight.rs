//! How large what a build says of its images may get: a variable may double with every line, and each stage has a copy.

use std::sync::atomic::{AtomicUsize, Ordering};

use barge_oci::image::ImageConfig;

use super::state::StageState;
use crate::error::{BuildError, Result};

/// Most bytes of one image's configuration: what others read of it (containerd's limit).
pub(crate) const MOST_OF_ONE: usize = 8 << 20;
/// Most bytes of those of all stages together.
const MOST_OF_ALL: usize = 64 << 20;

/// What all stages of a build weigh.
#[derive(Debug, Default)]
pub(crate) struct Weight(AtomicUsize);

impl Weight {
    /// A stage weighed `before` and is now as it is.
    ///
    /// # Errors
    /// Too much.
    pub(crate) fn grow(&self, before: usize, state: &StageState) -> Result<()> {
        let now = of(state);
        if now > before.max(MOST_OF_ONE) {
            return Err(too_much("the configuration of one image", MOST_OF_ONE));
        }
        let more = now.saturating_sub(before);
        let all = self.0.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        if all > MOST_OF_ALL {
            return Err(too_much("the configurations of all stages", MOST_OF_ALL));
        }
        Ok(())
    }
}

/// Words of one instruction, or variables of one file: together they may be as long as what they become a part of.
///
/// # Errors
/// The first one that cannot be had; too much.
pub(crate) fn together<T>(
    parts: impl Iterator<Item = Result<T>>,
    length: impl Fn(&T) -> usize,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut sum = 0_usize;
    for part in parts {
        let part = part?;
        sum = sum.saturating_add(length(&part));
        if sum > MOST_OF_ONE {
            return Err(too_much("the words of one instruction", MOST_OF_ONE));
        }
        all.push(part);
    }
    Ok(all)
}

pub(crate) fn too_much(what: &str, most: usize) -> BuildError {
    let most = most >> 20;
    BuildError::Invalid(format!(
        "{what} would be larger than {most} MiB: what do variables become?"
    ))
}

/// About how many bytes a stage's words have.
pub(crate) fn of(state: &StageState) -> usize {
    let args = state.args.iter();
    let args = args.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    of_config(&state.config).saturating_add(args.sum())
}

fn of_config(config: &ImageConfig) -> usize {
    let history: usize = config.history.iter().map(|line| line.created_by.len()).sum();
    let Some(inner) = &config.config else { return history };
    let test = inner.healthcheck.as_ref().map(|check| check.test.as_slice());
    let lists = [
        inner.env.as_slice(),
        inner.entrypoint.as_deref().unwrap_or_default(),
        inner.cmd.as_deref().unwrap_or_default(),
        &inner.on_build,
        &inner.shell,
        test.unwrap_or_default(),
    ];
    let lists: usize = lists.iter().flat_map(|list| list.iter()).map(String::len).sum();
    let sets = inner.exposed_ports.keys().chain(inner.volumes.keys());
    let sets: usize = sets.map(String::len).sum();
    let labels: usize = inner.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    history + lists + sets + labels + inner.user.len() + inner.working_dir.len()
}
