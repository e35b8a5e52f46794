//! `userns-remap`: containers whose root is nobody's root on the host.
//!
//! The ids come from the ranges that subuid(5) and subgid(5) give a user. Nothing is stored with them: the kernel shows
//! images, layers and volumes with other owners to those containers (idmapped mounts), so that all containers share them.
//! For that the daemon keeps one user namespace that nobody lives in; every container has its own with the same maps.

mod subordinate;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barge_api_types::HostConfig;
use barge_oci::runtime::LinuxIdMapping;
use barge_storage::{MappedOptions, Owners, StorageDriver};
use barge_sys::durable::{self, Durability};
use barge_sys::spawn::{IdMap, UserMaps};
use barge_sys::{mount, user_namespace};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use self::subordinate::{Owner, RangesError, map_of};
use crate::containers::{NetworkMode, PidMode, Settings};
use crate::error::{EngineError, Result};

/// The user whose ranges `default` means, as in Docker.
const DEFAULT_USER: &str = "dockremap";
const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
/// The lock of lckpwdf(3), which shadow's programs hold while they change these files.
const LOCK: &str = "/etc/.pwd.lock";
/// How long to wait for it: lckpwdf(3) gives up after as much.
const PATIENCE: Duration = Duration::from_secs(15);

/// How containers' ids are mapped.
#[derive(Debug)]
pub(crate) struct Remap {
    maps: UserMaps,
    root: (u32, u32),
    user_namespace: Arc<OwnedFd>,
    /// Where the storage driver's folder is mounted with mapped owners.
    place: PathBuf,
}

/// Why a user cannot be had.
#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error("invalid user/group specification in --userns-remap: {0:?}")]
    Form(String),
    #[error("error during uid lookup for {0:?}: no such user in /etc/passwd")]
    NoUser(String),
    #[error("error during groupname lookup for {0:?}: no such group in /etc/group")]
    NoGroup(String),
    #[error("root cannot be remapped to itself")]
    Root,
}

impl Remap {
    /// What the flag says; nothing when it is empty.
    pub(crate) fn open(
        text: &str,
        exec_root: &Path,
        storage: &dyn StorageDriver,
    ) -> Result<Option<Self>> {
        let folder = exec_root.join("remapped");
        let place = folder.join("layers");
        // One of a daemon that was killed.
        mount::detach(&place).ok();
        if text.is_empty() {
            return Ok(None);
        }
        let maps = maps(text)?;
        make_private(&folder)?;
        let invalid = || EngineError::Invalid(format!("--userns-remap={text}: no id 0"));
        let root = maps.root().ok_or_else(invalid)?;
        let made = user_namespace::make(&maps)
            .map_err(EngineError::io("make", "a user namespace for --userns-remap"))?;
        let options = MappedOptions { user_namespace: made.as_fd(), root, place: &place };
        if let Err(error) = storage.map_owners(&options) {
            mount::detach(&place).ok();
            let error = EngineError::from(error).message();
            return Err(EngineError::NotImplemented(format!(
                "--userns-remap cannot be used: {error}"
            )));
        }
        tracing::info!(uid = root.0, gid = root.1, "root of containers is mapped");
        Ok(Some(Self { maps, root, user_namespace: Arc::new(made), place }))
    }

    /// User and group that the containers' root is on the host.
    pub(crate) fn root(&self) -> (u32, u32) {
        self.root
    }

    /// The maps as a specification has them.
    pub(crate) fn mappings(&self) -> (Vec<LinuxIdMapping>, Vec<LinuxIdMapping>) {
        let all = |maps: &[IdMap]| maps.iter().map(mapping).collect();
        (all(&self.maps.uids), all(&self.maps.gids))
    }

    pub(crate) fn maps(&self) -> &UserMaps {
        &self.maps
    }

    /// The namespace for mounts with mapped owners.
    pub(crate) fn user_namespace(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.user_namespace)
    }

    /// How many ids follow each other from 0 on, as groups.
    pub(crate) fn groups(&self) -> u32 {
        count(&self.maps.gids)
    }

    /// Takes the mount away that the daemon needed; what containers use of it stays.
    pub(crate) fn close(&self) {
        if let Err(error) = mount::detach(&self.place) {
            tracing::warn!(place = %self.place.display(), %error, "cannot unmount");
        }
    }
}

fn mapping(map: &IdMap) -> LinuxIdMapping {
    LinuxIdMapping { container_id: map.inside, host_id: map.outside, size: map.count }
}

/// A folder that only root gets through: whoever has the ids of the containers' root could write to every layer.
fn make_private(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(EngineError::io("create", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(EngineError::io("set the mode of", folder))
}

/// Whose the files of a container's mounts are.
pub(crate) fn owners(remap: Option<&Remap>) -> Owners {
    if remap.is_some() { Owners::Mapped } else { Owners::Stored }
}

/// What a container whose ids are mapped cannot have, in Docker's words.
pub(crate) fn check(host: &HostConfig, settings: &Settings) -> Result<()> {
    let refuse = |text: &str| Err(EngineError::Invalid(text.to_owned()));
    if host.privileged {
        return refuse(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        );
    }
    if settings.network == NetworkMode::Host {
        return refuse(
            "cannot share the host's network namespace when user namespaces are enabled",
        );
    }
    if settings.pid == PidMode::Host {
        return refuse("cannot share the host PID namespace when user namespaces are enabled");
    }
    Ok(())
}

fn maps(text: &str) -> Result<UserMaps> {
    let (passwd, group) = (read(Path::new("/etc/passwd"))?, read(Path::new("/etc/group"))?);
    let (name, uid) =
        user(text, (&passwd, &group)).map_err(|error| EngineError::Invalid(error.to_string()))?;
    let owner = Owner { name: &name, uid };
    if text == "default" {
        add_ranges(&FILES.map(Path::new), Path::new(LOCK), owner)?;
    }
    let [uids, gids] = FILES
        .map(Path::new)
        .map(|path| map_of(&read(path)?, owner).map_err(|error| in_file(path, &error)));
    let maps = UserMaps { uids: uids?, gids: gids? };
    for (path, ranges) in FILES.iter().zip([&maps.uids, &maps.gids]) {
        let count = count(ranges);
        if count < subordinate::USUAL_COUNT {
            tracing::warn!(
                file = path,
                count,
                "fewer ids than images expect: files of users above cannot be used"
            );
        }
    }
    Ok(maps)
}

/// How many ids there are.
fn count(maps: &[IdMap]) -> u32 {
    maps.iter().fold(0, |count, map| count.saturating_add(map.count))
}

fn in_file(path: &Path, error: &RangesError) -> EngineError {
    EngineError::Invalid(format!("cannot create ID mappings: {}: {error}", path.display()))
}

/// The user that is meant, and its number if it has one.
fn user(
    text: &str,
    (passwd, group): (&str, &str),
) -> std::result::Result<(String, Option<u32>), UserError> {
    if text == "default" {
        let uid = find(passwd, DEFAULT_USER).map(|(_, uid)| uid);
        return Ok((DEFAULT_USER.to_owned(), uid));
    }
    let (name, of_group) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(UserError::Form(text.to_owned())),
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let (name, uid) = find(passwd, name).ok_or_else(|| UserError::NoUser(name.to_owned()))?;
    if uid == 0 {
        return Err(UserError::Root);
    }
    // The ranges of groups are the user's, too (subgid(5)); a group that is named has to be there, as in Docker.
    if let Some(of_group) = of_group.filter(|of_group| find(group, of_group).is_none()) {
        return Err(UserError::NoGroup(of_group.to_owned()));
    }
    Ok((name, Some(uid)))
}

/// Name and number of a line of /etc/passwd or /etc/group, by either.
fn find(text: &str, wanted: &str) -> Option<(String, u32)> {
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let number = parts.nth(1)?;
        let is_wanted = name == wanted || number == wanted;
        is_wanted.then(|| Some((name.to_owned(), number.parse().ok()?)))?
    })
}

/// Gives the default user ranges that nobody else has, in all files, unless it has some. Where nothing is missing nothing
/// is written and the lock is left alone: `/etc` may be one that nobody can write to.
fn add_ranges(files: &[&Path], lock_file: &Path, owner: Owner<'_>) -> Result<()> {
    let mut is_complete = true;
    for path in files {
        is_complete &= missing(&read(path)?, (path, owner))?.is_none();
    }
    if is_complete {
        return Ok(());
    }
    let _lock = lock(lock_file, PATIENCE)?;
    files.iter().try_for_each(|path| add_range(path, owner))
}

/// The text of a file; none when there is no such file.
fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(EngineError::io("read", path)),
    }
}

/// Where a range can begin that the user has to get in a file; nothing when it has one.
fn missing(text: &str, (path, owner): (&Path, Owner<'_>)) -> Result<Option<u32>> {
    match map_of(text, owner) {
        Err(RangesError::None { free, .. }) => Ok(Some(free)),
        Err(error @ RangesError::Full) => Err(in_file(path, &error)),
        // What is wrong with ranges that are there is said when they are used.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Locks the files as lckpwdf(3) does; they are unlocked when the lock is closed.
fn lock(path: &Path, patience: Duration) -> Result<File> {
    let lock = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(EngineError::io("open", path))?;
    let failed = |error: Errno| EngineError::io("lock", path)(error.into());
    // fcntl(2) waits for ever or not at all.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("lock".to_owned())
        .spawn(move || {
            let locked = fcntl_lock(&lock, FlockOperation::LockExclusive).map(|()| lock);
            // Nobody waits any more: it is unlocked by being dropped.
            tell.send(locked).ok();
        })
        .map_err(EngineError::io("start", "a thread"))?;
    match told.recv_timeout(patience) {
        Ok(locked) => locked.map_err(failed),
        Err(_) => Err(EngineError::Deadline(format!(
            "cannot add ranges of ids: another program has held {} for {} s",
            path.display(),
            patience.as_secs()
        ))),
    }
}

fn add_range(path: &Path, owner: Owner<'_>) -> Result<()> {
    let mut text = read(path)?;
    let Some(free) = missing(&text, (path, owner))? else { return Ok(()) };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{}:{free}:{}\n", owner.name, subordinate::USUAL_COUNT));
    // As it was, before anyone sees it under its name.
    let before = fs::metadata(path).ok();
    let prepare = |file: &File| match &before {
        Some(before) => {
            std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))?;
            file.set_permissions(before.permissions())
        }
        None => file.set_permissions(fs::Permissions::from_mode(0o644)),
    };
    durable::write_with(path, text.as_bytes(), Durability::Durable, prepare)
        .map_err(EngineError::io("write", path))?;
    tracing::info!(file = %path.display(), user = owner.name, first = free, "added a range of ids");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nme:x:1000:1001:Me:/home/me:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nus:x:1001:me\n";

    fn found(text: &str) -> std::result::Result<(String, Option<u32>), String> {
        user(text, (PASSWD, GROUP)).map_err(|error| error.to_string())
    }

    #[test]
    fn users_are_found_by_name_and_by_number_and_so_are_groups() {
        for text in ["me", "1000", "me:us", "1000:1001", "me:1001"] {
            assert_eq!(found(text), Ok(("me".into(), Some(1000))), "{text}");
        }
        assert_eq!(found("default"), Ok(("dockremap".into(), None)));
    }

    #[test]
    fn whoever_is_missing_is_named() {
        for (text, wanted) in [
            ("you", "error during uid lookup for \"you\": no such user in /etc/passwd"),
            ("12", "error during uid lookup for \"12\": no such user in /etc/passwd"),
            ("me:them", "error during groupname lookup for \"them\": no such group in /etc/group"),
            ("a:b:c", "invalid user/group specification in --userns-remap: \"a:b:c\""),
            ("root", "root cannot be remapped to itself"),
        ] {
            assert_eq!(found(text).unwrap_err(), wanted);
        }
    }

    #[test]
    fn the_default_user_gets_a_range_after_all_others_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("subuid");
        fs::write(&path, "me:100000:65536").unwrap();
        let owner = Owner { name: DEFAULT_USER, uid: None };
        for _ in 0..2 {
            add_range(&path, owner).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, "me:100000:65536\ndockremap:165536:65536\n");
        }
        let new = folder.path().join("subgid");
        add_range(&new, owner).unwrap();
        assert_eq!(fs::read_to_string(&new).unwrap(), "dockremap:100000:65536\n");
        assert_eq!(mode(&new), 0o644);
        fs::write(&new, "me:4294901760:65535").unwrap();
        let error = add_range(&new, owner).unwrap_err().message();
        assert!(error.contains("no 65536 ids are left"), "{error}");
    }

    #[test]
    fn nothing_is_locked_for_a_user_that_has_its_ranges() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["subuid", "subgid"].map(|name| folder.path().join(name));
        let paths = [&*files[0], &*files[1]];
        // Nobody can make it.
        let nowhere = folder.path().join("none/lock");
        let owner = Owner { name: DEFAULT_USER, uid: None };
        fs::write(paths[0], "dockremap:100000:65536\n").unwrap();
        let error = add_ranges(&paths, &nowhere, owner).unwrap_err();
        assert!(error.message().contains("none/lock"), "{error}");
        assert!(!paths[1].exists());
        let lock = folder.path().join("lock");
        add_ranges(&paths, &lock, owner).unwrap();
        assert!(lock.exists());
        add_ranges(&paths, &nowhere, owner).unwrap();
        assert_eq!(fs::read_to_string(paths[1]).unwrap(), "dockremap:100000:65536\n");
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_that_gets_a_range_stays_whose_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("subuid");
        fs::write(&path, "").unwrap();
        std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        add_range(&path, Owner { name: DEFAULT_USER, uid: None }).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.uid(), after.gid(), mode(&path)), (7, 8, 0o640));
    }

    #[test]
    fn a_lock_that_somebody_holds_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(lock(&path, PATIENCE).unwrap());
        assert_eq!(mode(&path), 0o600);
        // A lock of fcntl(2) is a process's: another one has to hold it.
        let mut holder = std::process::Command::new("python3")
            .args(["-c", HOLD, path.to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let error = lock(&path, Duration::ZERO).unwrap_err();
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert!(matches!(error, EngineError::Deadline(_)), "{error}");
        lock(&path, PATIENCE).unwrap();
    }

    const HOLD: &str = "\
import fcntl, sys
lock = open(sys.argv[1], 'w')
fcntl.lockf(lock, fcntl.LOCK_EX)
print('x', end='', flush=True)
sys.stdin.read()
";
}
