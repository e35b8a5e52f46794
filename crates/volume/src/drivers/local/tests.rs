//! What only the local driver does: options, mounts, Docker's folders.

use super::*;

conformance!(local, |root: &Path| Local::open(root)
    .map(|driver| Box::new(driver) as Box<dyn VolumeDriver>));

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_files_are_where_docker_has_them() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path()).unwrap();
    local.create(&name("vol"), &BTreeMap::new()).unwrap();
    assert_eq!(local.path(&name("vol")), root.path().join("vol/_data"));
    assert!(root.path().join("vol/_data").is_dir());
}

#[test]
fn unknown_and_missing_options_are_refused_and_leave_nothing() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path()).unwrap();
    let refused = |pairs| local.create(&name("vol"), &options(pairs)).unwrap_err().to_string();
    assert_eq!(refused(&[("foo", "1")]), "create vol: invalid option: \"foo\"");
    assert_eq!(refused(&[("type", "tmpfs")]), "create vol: missing required option: \"device\"");
    assert_eq!(
        refused(&[("device", "/x"), ("o", "bind")]),
        "create vol: missing required option: \"type\""
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_tmpfs_is_mounted_for_its_first_user_and_goes_with_its_last() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path()).unwrap();
    let wanted = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64k,nosuid,mode=0750")];
    local.create(&name("vol"), &options(&wanted)).unwrap();
    let data = local.mount(&name("vol"), "one").unwrap();
    assert!(is_mount(&data).unwrap());
    fs::write(data.join("file"), "x").unwrap();
    assert!(fs::write(data.join("big"), vec![0; 200_000]).is_err());
    local.mount(&name("vol"), "two").unwrap();
    local.unmount(&name("vol"), "one").unwrap();
    local.unmount(&name("vol"), "one").unwrap();
    assert!(data.join("file").exists());
    local.unmount(&name("vol"), "two").unwrap();
    assert!(!is_mount(&data).unwrap());
}

#[test]
fn a_bind_shows_a_folder_and_removing_the_volume_leaves_that_folder() {
    let root = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "x").unwrap();
    let local = Local::open(root.path()).unwrap();
    let device = source.path().to_str().unwrap();
    let wanted = [("type", "none"), ("device", device), ("o", "bind,ro")];
    local.create(&name("vol"), &options(&wanted)).unwrap();
    let data = local.mount(&name("vol"), "one").unwrap();
    assert_eq!(fs::read(data.join("file")).unwrap(), b"x");
    assert!(fs::write(data.join("other"), "x").is_err());
    local.remove(&name("vol")).unwrap();
    assert!(source.path().join("file").exists());
    assert!(!data.exists());
}

#[test]
fn a_mount_of_a_killed_daemon_is_taken_over() {
    let root = tempfile::tempdir().unwrap();
    let wanted = options(&[("type", "tmpfs"), ("device", "tmpfs")]);
    let local = Local::open(root.path()).unwrap();
    local.create(&name("vol"), &wanted).unwrap();
    let data = local.mount(&name("vol"), "one").unwrap();
    fs::write(data.join("file"), "x").unwrap();
    let local = Local::open(root.path()).unwrap();
    local.mount(&name("vol"), "one").unwrap();
    assert!(data.join("file").exists());
    local.unmount(&name("vol"), "one").unwrap();
    assert!(!is_mount(&data).unwrap());
}

#[test]
fn what_cannot_be_mounted_says_what_and_where() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path()).unwrap();
    let wanted = [("type", "none"), ("device", "/does/not/exist"), ("o", "bind")];
    local.create(&name("vol"), &options(&wanted)).unwrap();
    let error = local.mount(&name("vol"), "one").unwrap_err().to_string();
    assert!(error.contains("mount /does/not/exist:"), "{error}");
}

#[test]
fn half_made_volumes_are_swept_at_start() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join(".tmp-1/_data/x")).unwrap();
    Local::open(root.path()).unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}
