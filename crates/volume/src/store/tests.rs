//! Volumes are made, used and removed as Docker's clients expect.

use super::*;

fn container(n: u8) -> ContainerId {
    ContainerId::from_bytes([n; 32])
}

fn named(name: &str) -> CreateOptions {
    CreateOptions { name: Some(name.to_owned()), ..CreateOptions::default() }
}

fn open(root: &tempfile::TempDir) -> VolumeStore {
    VolumeStore::open(root.path()).unwrap()
}

#[test]
fn labels_options_and_time_survive_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let mut options = named("vol");
    options.labels.insert("a".to_owned(), "b".to_owned());
    let made = open(&root).create(&options).unwrap();
    let found = open(&root).get("vol").unwrap();
    assert_eq!(found, made);
    assert_eq!(found.labels["a"], "b");
    assert_eq!(found.mountpoint, root.path().join("volumes/vol/_data"));
    assert_eq!((found.driver.as_str(), found.scope.as_str()), ("local", "local"));
}

#[test]
fn a_volume_without_a_name_gets_64_digits_and_dockers_label() {
    let root = tempfile::tempdir().unwrap();
    let volume = open(&root).create(&CreateOptions::default()).unwrap();
    assert_eq!(volume.name.as_str().len(), 64);
    assert!(volume.is_anonymous());
    assert_eq!(volume.labels[ANONYMOUS_LABEL], "");
}

#[test]
fn creating_again_returns_the_same_volume() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    let made = store.create(&named("vol")).unwrap();
    fs::write(made.mountpoint.join("file"), "x").unwrap();
    assert_eq!(store.create(&named("vol")).unwrap(), made);
    assert!(made.mountpoint.join("file").exists());
}

#[test]
fn texts_are_dockers() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    assert_eq!(store.get("none").unwrap_err().to_string(), "get none: no such volume");
    assert_eq!(store.remove("none").unwrap_err().to_string(), "get none: no such volume");
    assert_eq!(store.get("../x").unwrap_err().to_string(), "get ../x: no such volume");
    let mut options = named("vol");
    options.driver = Some("cloud".to_owned());
    assert_eq!(
        store.create(&options).unwrap_err().to_string(),
        "create vol: error looking up volume plugin cloud: plugin \"cloud\" not found"
    );
    let volume = store.create(&named("vol")).unwrap();
    store.acquire(&volume.name, &container(1)).unwrap();
    assert_eq!(
        store.remove("vol").unwrap_err().to_string(),
        format!("remove vol: volume is in use - [{}]", container(1))
    );
}

#[test]
fn a_volume_goes_when_its_last_container_let_go() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    let volume = store.create(&named("vol")).unwrap();
    store.acquire(&volume.name, &container(1)).unwrap();
    store.acquire(&volume.name, &container(1)).unwrap();
    store.acquire(&volume.name, &container(2)).unwrap();
    store.release(&volume.name, &container(1));
    assert!(store.remove("vol").is_err());
    store.release(&volume.name, &container(2));
    store.remove("vol").unwrap();
    assert!(store.list().is_empty());
    assert!(!root.path().join("volumes/vol").exists());
    assert!(store.acquire(&volume.name, &container(1)).is_err());
    assert!(open(&root).list().is_empty());
}

#[test]
fn pruning_takes_what_is_meant_and_unused_and_tells_its_size() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    let anonymous = store.create(&CreateOptions::default()).unwrap();
    fs::write(anonymous.mountpoint.join("file"), vec![0; 1000]).unwrap();
    fs::hard_link(anonymous.mountpoint.join("file"), anonymous.mountpoint.join("same")).unwrap();
    let used = store.create(&CreateOptions::default()).unwrap();
    store.acquire(&used.name, &container(1)).unwrap();
    store.create(&named("kept")).unwrap();
    let pruned = store.prune(&Volume::is_anonymous).unwrap();
    assert_eq!(pruned, Pruned { names: vec![anonymous.name], reclaimed: 1000 });
    assert_eq!(store.list().len(), 2);
}

#[test]
fn files_without_a_record_are_a_volume_and_a_record_without_files_is_none() {
    let root = tempfile::tempdir().unwrap();
    open(&root).create(&named("one")).unwrap();
    open(&root).create(&named("two")).unwrap();
    fs::remove_file(root.path().join("volumes/.records/one.json")).unwrap();
    fs::remove_dir_all(root.path().join("volumes/two")).unwrap();
    let store = open(&root);
    let names: Vec<String> = store.list().into_iter().map(|v| v.name.to_string()).collect();
    assert_eq!(names, ["one"]);
    assert!(!root.path().join("volumes/.records/two.json").exists());
    store.remove("one").unwrap();
}

#[test]
fn an_empty_volume_is_filled_once() {
    let root = tempfile::tempdir().unwrap();
    let rootfs = tempfile::tempdir().unwrap();
    fs::create_dir(rootfs.path().join("data")).unwrap();
    fs::write(rootfs.path().join("data/file"), "image").unwrap();
    let store = open(&root);
    let volume = store.create(&named("vol")).unwrap();
    let data = store.mount(&volume.name, &container(1)).unwrap();
    store.copy_up(&volume.name, rootfs.path(), Path::new("/data")).unwrap();
    fs::write(data.join("file"), "mine").unwrap();
    store.copy_up(&volume.name, rootfs.path(), Path::new("/data")).unwrap();
    assert_eq!(fs::read(data.join("file")).unwrap(), b"mine");
    store.unmount(&volume.name, &container(1)).unwrap();
}
