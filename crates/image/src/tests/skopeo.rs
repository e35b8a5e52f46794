//! The real skopeo reads what is saved and writes what is loaded.

use super::archives::tar;
use super::*;
use std::process::Command;

fn has_skopeo() -> bool {
    let found = Command::new("skopeo").arg("--version").output().is_ok();
    if !found {
        println!("skipped: skopeo is not installed");
    }
    found
}

fn copy(from: &str, to: &str) {
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", from, to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn skopeo_carries_an_image_through_every_archive_it_knows() {
    if !has_skopeo() {
        return;
    }
    let one = ground();
    let options = ImportOptions { changes: vec!["CMD [\"sh\"]".to_owned()], ..Default::default() };
    let layer = tar(&[("etc/motd", b"hello"), ("big", &[7; 100_000])]);
    let id = one.store.import(stream(layer), Some(&name("box:1")), &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut file = fs::File::create(path("saved.tar")).unwrap();
    one.store.save(&["box:1"]).unwrap().write(&mut file).unwrap();
    drop(file);

    let saved = format!("docker-archive:{}", path("saved.tar"));
    copy(&saved, &format!("docker-archive:{}:copy:1", path("docker.tar")));
    copy(&saved, &format!("oci-archive:{}:oci:1", path("oci.tar")));
    fs::create_dir(path("layout")).unwrap();
    assert!(
        Command::new("tar")
            .args(["xf", &path("saved.tar"), "-C", &path("layout")])
            .status()
            .unwrap()
            .success()
    );
    copy(&format!("oci:{}:1", path("layout")), &format!("oci-archive:{}:half:1", path("half.tar")));

    let two = ground();
    for archive in ["docker.tar", "oci.tar", "half.tar"] {
        two.load(&fs::read(path(archive)).unwrap()).unwrap();
    }
    assert_eq!(two.tags(), ["copy:1", "half:1", "oci:1"]);
    let diff_ids = one.store.image(&id).unwrap().diff_ids;
    for name in two.tags() {
        let image = two.store.get(&name).unwrap();
        assert_eq!(image.diff_ids, diff_ids);
        assert_eq!(image.config.config.as_ref().unwrap().cmd.as_ref().unwrap(), &["sh"]);
        assert_eq!(two.text(&name, "etc/motd"), "hello");
    }
    assert_eq!(two.store.get("copy:1").unwrap().id, id);
}
