//! A mount namespace for a daemon that is to find other files in `/etc` than the machine has, and may change them.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use barge_sys::mount::{self, Attributes, Change, Filesystem, Reach};
use barge_sys::namespace::{self, Kinds};
use rustix::fs::{CWD, Mode, OFlags};

/// A namespace in which `/etc` has these files (name and content) on top of its own. What is written there stays in
/// `folder`.
pub(super) fn namespace_with(files: &[(String, String)], folder: &Path) -> OwnedFd {
    let (upper, work) = (folder.join("etc"), folder.join("etc-work"));
    for made in [&upper, &work] {
        fs::create_dir_all(made).expect("the scratch folder can be written");
    }
    for (name, content) in files {
        fs::write(upper.join(name), content).expect("the scratch folder can be written");
    }
    namespace::on_own_thread(|| {
        namespace::unshare(Kinds::MOUNT).expect("the tests run as root");
        mount::change_at(CWD, Path::new("/"), Reach::Tree, Change::PRIVATE)
            .expect("our own mounts can be changed");
        let overlay = Filesystem::open("overlay").expect("the machine has overlayfs");
        let options = [("lowerdir", Path::new("/etc")), ("upperdir", &upper), ("workdir", &work)];
        for (key, path) in options {
            overlay.set(key, path).expect("overlayfs takes a path");
        }
        let etc = overlay.create(Attributes::empty()).expect("/etc can be stacked on");
        mount::attach_at(&etc, CWD, Path::new("/etc")).expect("/etc can be mounted on");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, "/proc/thread-self/ns/mnt", flags, Mode::empty())
            .expect("a thread has a mount namespace")
    })
    .expect("a thread can be started")
}

/// Moves the calling thread there. It must end soon.
pub(super) fn enter(mounts: &OwnedFd) {
    // A thread that shares its root folder with others cannot.
    namespace::unshare(Kinds::MOUNT).expect("the tests run as root");
    namespace::join(mounts, Kinds::MOUNT).expect("a namespace that we made can be entered");
}
