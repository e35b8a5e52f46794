//! `cpuset` of version 1: a new group has no CPU and no memory node, and nobody can enter it until it has both.

use barge_oci::runtime::LinuxCpu;

use crate::{directory::Directory, error::Result};

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// New groups in one with this on begin with the sets of that one. Writing them takes longer the more siblings there are.
const INHERITED: &str = "cgroup.clone_children";

/// Copies the parent's sets into a new group, from the uppermost empty one down. A parent that is new, too, gives them to
/// its next ones by itself.
pub(super) fn inherit(group: &Directory) -> Result<()> {
    if !is_empty(group)? {
        return Ok(());
    }
    let parent = group.path().parent().map(Directory::new);
    let own_parent = match parent {
        Some(parent) if is_empty(&parent)? => Some(parent),
        Some(_) | None => None,
    };
    for file in FILES {
        fill(group, file)?;
    }
    own_parent.map_or(Ok(()), |parent| parent.write(INHERITED, "1"))
}

fn is_empty(group: &Directory) -> Result<bool> {
    for file in FILES {
        if group.read(file)?.trim().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the set of `group`, after taking it from the parent when it has none.
fn fill(group: &Directory, file: &str) -> Result<String> {
    let own = group.read(file)?.trim().to_owned();
    if !own.is_empty() {
        return Ok(own);
    }
    let Some(parent) = group.path().parent().map(Directory::new) else {
        return Ok(own);
    };
    // The mount itself always has a set; above it there is no such file, and its error names the place.
    let above = fill(&parent, file)?;
    group.write(file, &above)?;
    Ok(above)
}

pub(super) fn set(group: &Directory, limits: &LinuxCpu) -> Result<()> {
    for (file, value) in FILES.into_iter().zip([&limits.cpus, &limits.mems]) {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            group.write(file, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A group that goes with this.
    struct Group(Directory);

    impl Drop for Group {
        fn drop(&mut self) {
            std::fs::remove_dir(self.0.path()).ok();
        }
    }

    fn make(path: &Path) -> Group {
        std::fs::create_dir(path).unwrap();
        Group(Directory::new(path))
    }

    #[test]
    fn the_second_group_in_a_parent_begins_with_its_sets() {
        let mount = PathBuf::from("/sys/fs/cgroup/cpuset");
        if !mount.join(FILES[0]).exists() {
            let is_required =
                std::env::var("BARGE_REQUIRE_CGROUP").is_ok_and(|wanted| wanted == "v1");
            assert!(!is_required, "this host has no cgroup v1 with cpuset");
            println!("skipped: this host has no cgroup v1 with cpuset");
            return;
        }
        let outer = make(&mount.join(format!("barge-inherit-{}", std::process::id())));
        // A host that is a container may hand down its sets by itself: not to what is in here.
        outer.0.write(INHERITED, "0").unwrap();
        let parent = make(&outer.0.path().join("parent"));
        let sets = |group: &Group| FILES.map(|file| group.0.read(file).unwrap());
        let first = make(&parent.0.path().join("first"));
        assert_eq!(sets(&first), ["\n", "\n"]);
        inherit(&first.0).unwrap();
        let second = make(&parent.0.path().join("second"));
        assert_eq!(sets(&second), sets(&parent));
        assert!(sets(&second).iter().all(|set| set.len() > 1));
        inherit(&second.0).unwrap();
        assert_eq!(sets(&first), sets(&second));
    }
}
