//! Several at once, and the driver that is used by default.

use super::archives::{docker_save, tar};
use super::*;

#[test]
fn two_loads_of_one_archive_make_one_image() {
    let ground = ground();
    let layers: Vec<Vec<u8>> = (0..4_u8).map(|n| tar(&[("a", &[n; 50_000])])).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let archive = docker_save(&layers, &["box:1"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ground.load(&archive).unwrap());
        }
    });
    assert_eq!(ground.store.list().len(), 1);
    ground.driver.flush();
    assert_eq!(ground.driver.list().unwrap().len(), 4);
    assert_eq!(ground.store.content().list().unwrap().len(), 5);
}

#[test]
fn loads_and_removals_at_once_leave_whole_images_only() {
    let ground = ground();
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    let archive = docker_save(&[&lower, &upper], &["box:1"]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..10 {
                    ground.load(&archive).unwrap();
                }
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    // Whether it is there at the moment is chance.
                    ground.store.remove("box:1", Removal::Force, &UnusedImages).ok();
                }
            });
        }
    });
    ground.load(&archive).unwrap();
    let ground = ground.reopen();
    assert!(ground.store.damaged().is_empty());
    assert_eq!(ground.text("box:1", "b"), "2");
    ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).unwrap();
    assert!(ground.driver.list().unwrap().is_empty());
    assert!(ground.store.content().list().unwrap().is_empty());
}

#[test]
fn on_overlay2_an_image_goes_in_out_and_away() {
    let root = tempfile::tempdir().unwrap();
    let driver = match barge_storage::open(root.path(), Some("overlay2")) {
        Ok(driver) => driver,
        Err(error) => {
            println!("skipped: overlay2 does not work here: {error}");
            return;
        }
    };
    let store = ImageStore::open(root.path(), Arc::clone(&driver)).unwrap();
    let ground = Ground { root, driver, store: Arc::new(store) };
    let (lower, upper) = (tar(&[("a", b"1"), ("b", b"1")]), tar(&[("b", b"2"), (".wh.a", b"")]));
    ground.load(&docker_save(&[&lower, &upper], &["box:1"])).unwrap();
    let image = ground.store.get("box:1").unwrap();
    let top = image.top_layer.unwrap();
    let mounted = ground.driver.mount(&top, &MountOptions::default()).unwrap();
    let seen = (mounted.join("a").exists(), fs::read_to_string(mounted.join("b")).unwrap());
    ground.driver.unmount(&top).unwrap();
    assert_eq!(seen, (false, "2".to_owned()));
    let mut saved = Vec::new();
    ground.store.save(&["box:1"]).unwrap().write(&mut saved).unwrap();
    ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).unwrap();
    assert!(ground.driver.list().unwrap().is_empty());
    assert_eq!(ground.load(&saved).unwrap()[0].id, image.id);
    ground.driver.flush();
}
