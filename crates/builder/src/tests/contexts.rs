//! Named contexts as bases.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::workshop;
use super::workshop::Workshop;
use crate::request::{BuildRequest, NamedContext};

/// A folder of the client with a whole root file system in it.
fn system(workshop: &Workshop) -> PathBuf {
    let folder = workshop.root.path().join("system");
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::copy(busybox(), folder.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo"] {
        std::os::unix::fs::symlink("busybox", folder.join("bin").join(name)).unwrap();
    }
    fs::write(folder.join("of-the-folder"), "first\n").unwrap();
    std::os::unix::fs::chown(folder.join("of-the-folder"), Some(5), Some(5)).unwrap();
    fs::write(folder.join("hidden"), "").unwrap();
    fs::write(folder.join(".dockerignore"), "hidden\n").unwrap();
    folder
}

fn busybox() -> &'static str {
    let both = ["/bin/busybox", "/usr/bin/busybox"];
    both.into_iter().find(|path| fs::exists(path).unwrap()).unwrap()
}

fn on(workshop: &Workshop, folder: PathBuf, text: &str) -> BuildRequest {
    let mut request = workshop.request(text);
    request.named_contexts.insert("base".to_owned(), NamedContext::Folder(folder));
    request
}

#[test]
fn a_folder_can_be_what_a_stage_stands_on() {
    let workshop = workshop();
    let folder = system(&workshop);
    let text =
        "FROM base AS made\nRUN cat /of-the-folder >/seen\nFROM base\nCOPY --from=made /seen /\n";
    let request = on(&workshop, folder.clone(), text);
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "first\n");
    workshop.look(&image, |root| {
        assert!(root.join("bin/busybox").exists() && !root.join("hidden").exists());
        // As files of any context.
        assert_eq!(root.join("of-the-folder").metadata().unwrap().uid(), 0);
    });
    let config = workshop.config(&image);
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    let layers = config.history.iter().filter(|line| !line.empty_layer).count();
    assert_eq!(layers, 2, "{:?}", config.history);
    assert!(workshop.inner(&image).env[0].starts_with("PATH="));
    workshop.runs();
    assert_eq!(workshop.image(&request), image);
    assert_eq!(workshop.runs(), 0);
    fs::write(folder.join("of-the-folder"), "second\n").unwrap();
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "second\n");
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_folder_with_a_fixed_time_is_another_layer() {
    let workshop = workshop();
    let folder = system(&workshop);
    let mut request = on(&workshop, folder, "FROM base\n");
    let now = workshop.image(&request);
    request.epoch = Some(1_000_000_000);
    let then = workshop.image(&request);
    assert_ne!(workshop.config(&now).rootfs.diff_ids, workshop.config(&then).rootfs.diff_ids);
    request.epoch = None;
    assert_eq!(workshop.image(&request), now);
}

#[test]
fn an_image_of_an_oci_layout_is_a_base_and_has_files() {
    let workshop = workshop();
    let request = workshop.request("FROM busybox\nENV OF=layout\nRUN echo a >/a\n");
    let made = workshop.image(&request);
    let folder = tempfile::tempdir().unwrap();
    let options = barge_image::ExportOptions {
        form: barge_image::ArchiveForm::Oci,
        references: vec!["made:1".parse().unwrap()],
        ..barge_image::ExportOptions::default()
    };
    let mut archive = Vec::new();
    workshop.images.export(&[made], &options).unwrap().write(&mut archive).unwrap();
    let into = barge_archive::extract::ApplyOptions::default();
    barge_archive::extract::apply(folder.path(), &archive[..], &into).unwrap();
    drop(workshop);

    let workshop = crate::tests::workshop();
    let text = "FROM kept\nRUN echo $OF >/seen\nCOPY --from=kept /a /copied\n\
                RUN --mount=from=kept,target=/m cat /m/a >/mounted\n";
    let mut request = workshop.request(text);
    let mut name = |tag: &str| {
        let image = barge_image::LayoutName { tag: Some(tag.to_owned()), digest: None };
        let context = NamedContext::Layout { folder: folder.path().to_owned(), image };
        request.named_contexts.insert("kept".to_owned(), context);
        request.clone()
    };
    let image = workshop.image(&name("1"));
    assert_eq!(workshop.text(&image, "seen"), "layout\n");
    assert_eq!(workshop.text(&image, "copied"), "a\n");
    assert_eq!(workshop.text(&image, "mounted"), "a\n");
    workshop.runs();
    assert_eq!(workshop.image(&name("1")), image);
    assert_eq!(workshop.runs(), 0);
    let index = folder.path().join("index.json");
    fs::write(&index, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let missing = workshop.build(&name("1")).unwrap_err().chain();
    assert!(missing.starts_with("cannot get the OCI layout kept: invalid archive"), "{missing}");
}
