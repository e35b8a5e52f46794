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

/// Gives a group that was made ahead the parent's sets, which may have been changed since.
pub(super) fn renew(group: &Directory) -> Result<()> {
    let Some(parent) = group.path().parent().map(Directory::new) else { return Ok(()) };
    for file in FILES {
        let above = parent.read(file)?;
        if above.trim().is_empty() {
            return inherit(group);
        }
        if group.read(file)? != above {
            group.write(file, above.trim())?;
        }
    }
    Ok(())
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
    use std::sync::atomic::{AtomicU32, Ordering};

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

    /// A group of this test's own, which hands nothing down by itself.
    fn make_outer() -> Option<Group> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mount = PathBuf::from("/sys/fs/cgroup/cpuset");
        if !mount.join(FILES[0]).exists() {
            let is_required =
                std::env::var("BARGE_REQUIRE_CGROUP").is_ok_and(|wanted| wanted == "v1");
            assert!(!is_required, "this host has no cgroup v1 with cpuset");
            println!("skipped: this host has no cgroup v1 with cpuset");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let outer = make(&mount.join(format!("barge-inherit-{}-{number}", std::process::id())));
        // A host that is a container may hand down its sets by itself: not to what is in here.
        outer.0.write(INHERITED, "0").unwrap();
        Some(outer)
    }

    fn sets(group: &Group) -> [String; 2] {
        FILES.map(|file| group.0.read(file).unwrap())
    }

    #[test]
    fn the_second_group_in_a_parent_begins_with_its_sets() {
        let Some(outer) = make_outer() else { return };
        let parent = make(&outer.0.path().join("parent"));
        let first = make(&parent.0.path().join("first"));
        assert_eq!(sets(&first), ["\n", "\n"]);
        inherit(&first.0).unwrap();
        let second = make(&parent.0.path().join("second"));
        assert_eq!(sets(&second), sets(&parent));
        assert!(sets(&second).iter().all(|set| set.len() > 1));
        inherit(&second.0).unwrap();
        assert_eq!(sets(&first), sets(&second));
    }

    #[test]
    fn a_group_made_ahead_gets_what_its_parent_was_given_since() {
        let Some(outer) = make_outer() else { return };
        let group = make(&outer.0.path().join("group"));
        inherit(&group.0).unwrap();
        let [all, _] = sets(&outer);
        for changed in [&group, &outer] {
            changed.0.write(FILES[0], "0").unwrap();
        }
        outer.0.write(FILES[0], all.trim()).unwrap();
        // A machine with one CPU has nothing to give.
        assert_eq!(sets(&group) == sets(&outer), all == "0\n");
        renew(&group.0).unwrap();
        assert_eq!(sets(&group), sets(&outer));
    }
}
