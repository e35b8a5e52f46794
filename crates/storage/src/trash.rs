//! Removed layers: renamed out of sight at once, deleted by a thread.
//!
//! What a crash leaves in the trash folder is deleted when the driver is opened again; what cannot be deleted now (an
//! immutable file, a mount in the way) stays there for the next start and is in nobody's way.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, mkdirat, renameat};
use rustix::io::Errno;

use crate::error::{Result, StorageError};
use crate::layer_id::random;

/// The folder, below the driver's.
const NAME: &str = "trash";

/// Deletes below the containers' own work.
const NICE: i32 = 10;

/// How a tree is deleted for good.
pub(crate) type Delete = fn(&Path) -> std::io::Result<()>;

#[derive(Debug)]
pub(crate) struct Trash {
    path: PathBuf,
    /// By the mount that the driver's folder was opened by: nothing is moved from one mount to another.
    folder: OwnedFd,
    next: AtomicU64,
    pending: Arc<Pending>,
    deleter: Mutex<Option<Sender<Vec<PathBuf>>>>,
    /// Deletes a folder with everything in it.
    delete_tree: Delete,
}

#[derive(Debug, Default)]
struct Pending {
    count: Mutex<usize>,
    is_zero: Condvar,
}

impl Pending {
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn done(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.is_zero.notify_all();
        }
    }
}

impl Trash {
    /// Makes the folder below `root`, and starts to delete what is in it.
    pub(crate) fn open(root: &Path, root_fd: BorrowedFd<'_>, delete_tree: Delete) -> Result<Self> {
        let path = root.join(NAME);
        match mkdirat(root_fd, NAME, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(StorageError::io("create", &path)(error)),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(root_fd, NAME, flags, Mode::empty())
            .map_err(StorageError::io("open", &path))?;
        let [a, b, c, d, e, f, g, h, ..] = random()?;
        let trash = Self {
            path,
            folder,
            next: AtomicU64::new(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            pending: Arc::default(),
            deleter: Mutex::new(None),
            delete_tree,
        };
        for entry in fs::read_dir(&trash.path).map_err(StorageError::io("read", &trash.path))? {
            let entry = entry.map_err(StorageError::io("read", &trash.path))?;
            trash.delete(vec![entry.path()]);
        }
        Ok(trash)
    }

    /// Moves `name` out of `folder` and deletes it in the background. Gone already is fine.
    pub(crate) fn take(&self, folder: BorrowedFd<'_>, name: &str) -> Result<()> {
        self.take_with(folder, name, None)
    }

    /// The same, and then deletes a name that led there.
    pub(crate) fn take_with(
        &self,
        folder: BorrowedFd<'_>,
        name: &str,
        link: Option<PathBuf>,
    ) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let target = format!("{name}.{number:016x}");
        match renameat(folder, name, &self.folder, &target) {
            Ok(()) => {
                crate::fault::point();
                self.delete(link.into_iter().chain([self.path.join(target)]).collect());
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(StorageError::io("remove", Path::new(name))(error)),
        }
    }

    /// Waits until everything taken so far is gone, or found to be undeletable.
    pub(crate) fn flush(&self) {
        let mut count = self.pending.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            count = self.pending.is_zero.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn delete(&self, paths: Vec<PathBuf>) {
        self.pending.add();
        let mut deleter = self.deleter.lock().unwrap_or_else(PoisonError::into_inner);
        if deleter.is_none() {
            *deleter = start(Arc::clone(&self.pending), self.delete_tree);
        }
        let unsent = match deleter.as_ref() {
            Some(sender) => sender.send(paths).map_err(|unsent| unsent.0).err(),
            None => Some(paths),
        };
        if let Some(paths) = unsent {
            // No thread to be had: slower, but done.
            paths.iter().for_each(|path| delete(path, self.delete_tree));
            self.pending.done();
        }
    }
}

fn start(pending: Arc<Pending>, delete_tree: Delete) -> Option<Sender<Vec<PathBuf>>> {
    let (sender, receiver) = channel();
    let run = move || run(&receiver, &pending, delete_tree);
    std::thread::Builder::new().name("layer-deleter".into()).spawn(run).ok()?;
    Some(sender)
}

fn run(all: &Receiver<Vec<PathBuf>>, pending: &Pending, delete_tree: Delete) {
    // For Linux this is the calling thread. Not being nice costs nothing but time.
    rustix::process::setpriority_process(None, NICE).ok();
    while let Ok(paths) = all.recv() {
        paths.iter().for_each(|path| delete(path, delete_tree));
        pending.done();
    }
}

fn delete(path: &Path, delete_tree: Delete) {
    // What cannot be deleted stays in the trash and is tried again at the next start.
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if is_folder { delete_tree(path) } else { fs::remove_file(path) }.ok();
}

/// Deletes a folder and everything in it, however deep.
pub(crate) fn delete_tree(path: &Path) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let folder = fs::File::open(folder)?;
    barge_archive::remove::tree(folder.as_fd(), name.as_encoded_bytes())
}
