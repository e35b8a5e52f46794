//! `--chown`: names and numbers, by the accounts of the layer that is written.

use std::path::Path;

use barge_sys::openat2;
use barge_types::accounts;

use super::error::{FilesError, Result};

/// The ids of `user[:group]`. Names are those of `root`'s `/etc/passwd` and `/etc/group`. Without a group, a number stands
/// for both, and a name brings its own group, as in BuildKit.
///
/// # Errors
/// A name that nobody has there.
pub fn resolve_owner(root: &Path, spec: &str) -> Result<(u32, u32)> {
    let (user, group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id <= 0x7fff_ffff);
    // Most specifications are numbers: no file is opened for them.
    match (number(user), group.map(number)) {
        (Some(uid), None) => return Ok((uid, uid)),
        (Some(uid), Some(Some(gid))) => return Ok((uid, gid)),
        _ => {}
    }
    let database = |path: &str| -> Result<String> {
        let failed = || FilesError::io("read", path.as_bytes());
        let root = openat2::open_root(root).map_err(failed())?;
        match openat2::read(&root, Path::new(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(failed()(error)),
        }
    };
    let failed = |source| FilesError::Owner { spec: spec.to_owned(), source };
    let (passwd, groups) = (database("/etc/passwd")?, database("/etc/group")?);
    let found = accounts::resolve(spec, &passwd, &groups, &[]).map_err(failed)?;
    Ok((found.uid, found.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\njane:x:1000:1001::/:/bin/sh\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), "root:x:0:\nvideo:x:44:\n").unwrap();
        root
    }

    #[test]
    fn names_are_those_of_the_layer() {
        let root = root();
        let resolve = |spec| resolve_owner(root.path(), spec).unwrap();
        assert_eq!(resolve("jane"), (1000, 1001));
        assert_eq!(resolve("jane:video"), (1000, 44));
        assert_eq!(resolve("7:video"), (7, 44));
        assert_eq!(resolve("jane:8"), (1000, 8));
        assert_eq!(resolve(":video"), (0, 44));
    }

    #[test]
    fn numbers_need_no_files_and_stand_for_both() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(resolve_owner(empty.path(), "55").unwrap(), (55, 55));
        assert_eq!(resolve_owner(empty.path(), "55:66").unwrap(), (55, 66));
        let error = resolve_owner(empty.path(), "jane").unwrap_err();
        assert_eq!(error.to_string(), "cannot change the owner to jane");
        assert_eq!(error.kind(), barge_types::ErrorKind::InvalidParameter);
    }

    #[test]
    fn accounts_behind_links_out_of_the_layer_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("etc")).unwrap();
        assert!(resolve_owner(root.path(), "root").is_err());
    }
}
