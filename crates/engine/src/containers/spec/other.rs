//! A specification for another OCI runtime, which does not know what ours adds to the text: users by name, a compiled
//! seccomp filter, an init of its own.

use std::path::Path;

use barge_oci::runtime::{LinuxSeccomp, MOUNT_INSIDE, Mount, Process, Spec};
use barge_sys::openat2;
use barge_types::accounts;

use crate::error::{EngineError, Result};

/// Where the small init is in the container, as in Docker.
const INIT: &str = "/sbin/docker-init";

/// Makes a specification complete for a runtime that is not ours.
pub(crate) fn complete(
    spec: &mut Spec,
    (rootfs, init): (&Path, Option<&Path>),
    seccomp: Option<LinuxSeccomp>,
) -> Result<()> {
    let is_inside = |mount: &Mount| mount.options.iter().any(|word| word.starts_with(MOUNT_INSIDE));
    if let Some(mount) = spec.mounts.iter().find(|mount| is_inside(mount)) {
        // It would follow a link that another user of the volume puts there.
        return Err(EngineError::NotImplemented(format!(
            "volume-subpath of the mount at {} is not supported with another runtime than barge's own",
            mount.destination
        )));
    }
    // Older ones take no version but that of their own time.
    "1.0.2".clone_into(&mut spec.oci_version);
    if let Some(process) = &mut spec.process {
        number_user(process, rootfs)?;
        if init.is_some() {
            let own = [INIT, "--"].map(str::to_owned);
            process.args.splice(0..0, own);
        }
    }
    if let Some(program) = init {
        spec.mounts.push(Mount {
            destination: INIT.to_owned(),
            kind: Some("bind".to_owned()),
            source: Some(program.display().to_string()),
            options: ["bind", "ro"].map(str::to_owned).to_vec(),
            ..Mount::default()
        });
    }
    if let Some(linux) = &mut spec.linux {
        linux.seccomp = seccomp;
        // A relative one would be below the runtime's own group.
        if let Some(path) = &mut linux.cgroups_path
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
    }
    Ok(())
}

/// Looks the user's name up in the container's files.
pub(crate) fn number_user(process: &mut Process, rootfs: &Path) -> Result<()> {
    let Some(name) = process.user.username.take() else {
        return Ok(());
    };
    let (passwd, group) = (database(rootfs, "etc/passwd")?, database(rootfs, "etc/group")?);
    let found = accounts::resolve(&name, &passwd, &group, &process.user.additional_gids)
        .map_err(|error| EngineError::Invalid(error.to_string()))?;
    process.user.uid = found.uid;
    process.user.gid = found.gid;
    process.user.additional_gids = found.groups;
    if !process.env.iter().any(|variable| variable.starts_with("HOME=")) {
        process.env.push(format!("HOME={}", found.home));
    }
    Ok(())
}

/// Refuses a user, or a group after a colon, that the container's files do not know.
pub(crate) fn check_user(user: &str, rootfs: &Path) -> Result<()> {
    let (passwd, group) = (database(rootfs, "etc/passwd")?, database(rootfs, "etc/group")?);
    let found = accounts::resolve(user, &passwd, &group, &[]);
    found.map(drop).map_err(|error| EngineError::Invalid(error.to_string()))
}

/// A file of the container; empty when there is none.
fn database(rootfs: &Path, file: &str) -> Result<String> {
    let read = openat2::open_root(rootfs).and_then(|root| openat2::read(&root, Path::new(file)));
    match read {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(EngineError::io("read", rootfs.join(file))(error)),
    }
}

#[cfg(test)]
mod tests {
    use barge_oci::runtime::{Linux, User};

    use super::*;

    #[test]
    fn names_are_numbers_and_the_init_comes_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "me:x:7:8::/home/me:/bin/sh\n").unwrap();
        let mut spec = Spec {
            process: Some(Process {
                user: User { username: Some("me".into()), ..User::default() },
                args: vec!["sleep".into(), "1".into()],
                ..Process::default()
            }),
            linux: Some(Linux { cgroups_path: Some("barge/x".into()), ..Linux::default() }),
            ..Spec::default()
        };
        let init = Path::new("/usr/bin/barge-runtime");
        complete(&mut spec, (root.path(), Some(init)), None).unwrap();
        let process = spec.process.unwrap();
        assert_eq!((process.user.uid, process.user.gid, process.user.username), (7, 8, None));
        assert_eq!(process.args, [INIT, "--", "sleep", "1"]);
        assert_eq!(process.env, ["HOME=/home/me"]);
        assert_eq!(spec.mounts[0].source.as_deref(), Some("/usr/bin/barge-runtime"));
        assert_eq!(spec.linux.unwrap().cgroups_path.as_deref(), Some("/barge/x"));
    }
}
