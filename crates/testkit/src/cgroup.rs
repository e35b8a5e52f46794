//! A container's files in the host's cgroups (version 1, which the test machine has; version 2 has its own tests in a
//! virtual machine).

use std::path::{Path, PathBuf};

/// `/sys/fs/cgroup/memory/PARENT/ID/memory.limit_in_bytes`, trimmed.
///
/// # Panics
/// When there is no such file.
#[must_use]
#[track_caller]
pub fn controller_file(controller: &str, group: &str, file: &str) -> String {
    let path = folder(controller, group).join(file);
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn folder(controller: &str, group: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(controller).join(group)
}

/// The folders of all hierarchies that have a group of this name.
pub(crate) fn folders(group: &str) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let of_v1 = hierarchies.map(|entry| entry.path().join(group));
    let of_v2 = [Path::new("/sys/fs/cgroup").join(group)];
    of_v1.chain(of_v2).filter(|path| path.is_dir()).collect()
}

/// A group's own processes and those of the groups below it, in all hierarchies.
pub fn processes(group: &str) -> Vec<i32> {
    let mut found = Vec::new();
    let mut waiting = folders(group);
    while let Some(folder) = waiting.pop() {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        waiting.extend(children(&folder));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Lets frozen processes go on: on v1 those that were killed end only then.
pub(crate) fn thaw(group: &str) {
    let mut waiting: Vec<PathBuf> =
        folders(group).into_iter().filter(|folder| folder.join("freezer.state").exists()).collect();
    while let Some(folder) = waiting.pop() {
        waiting.extend(children(&folder));
        // One that went away meanwhile has nothing frozen.
        std::fs::write(folder.join("freezer.state"), "THAWED").ok();
    }
}

/// The groups directly below a folder.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Removes a group and those below it, as far as they are empty.
pub(crate) fn remove(group: &str) {
    fn below(folder: &Path) {
        for child in children(folder) {
            below(&child);
        }
        // One that is not empty stays, and is reported as left behind by who looks.
        std::fs::remove_dir(folder).ok();
    }
    for folder in folders(group) {
        below(&folder);
    }
}
