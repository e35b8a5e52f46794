//! `kill -9` at every step: afterwards everything is as before, or as after, and nothing else.

use super::archives::{docker_save, tar};
use super::*;
use crate::faults;

/// What a start finds: names with ids, and what is on disk besides.
fn seen(ground: &Ground) -> (Vec<(String, ImageId)>, usize, usize) {
    let mut names = Vec::new();
    for image in ground.store.list() {
        names.extend(image.repo_tags().into_iter().map(|tag| (tag, image.id)));
    }
    names.sort();
    let blobs = ground.store.content().list().unwrap().len();
    (names, blobs, ground.driver.list().unwrap().len())
}

/// Kills `operation` at its first step, its second, … until it gets through.
pub(super) fn kill_everywhere(
    prepare: &dyn Fn(&Ground),
    operation: &dyn Fn(&Ground) -> Result<()>,
) {
    kill_everywhere_on("vfs", prepare, operation);
}

pub(super) fn kill_everywhere_on(
    driver: &str,
    prepare: &dyn Fn(&Ground),
    operation: &dyn Fn(&Ground) -> Result<()>,
) {
    let ground = || open_with(tempfile::tempdir().unwrap(), driver);
    let before = {
        let ground = ground();
        prepare(&ground);
        seen(&ground)
    };
    let after = {
        let ground = ground();
        prepare(&ground);
        operation(&ground).unwrap();
        seen(&ground)
    };
    for step in 0.. {
        let ground = ground();
        prepare(&ground);
        faults::arm(step);
        let result = operation(&ground);
        let died = faults::revive();
        assert_eq!(result.is_err(), died, "step {step}: {result:?}");
        let ground = ground.reopen();
        let found = seen(&ground);
        assert!(found == before || found == after, "step {step}: {found:?}");
        for (name, _) in &found.0 {
            ground.text(name, "a");
        }
        assert!(ground.store.damaged().is_empty());
        operation(&ground).ok();
        if !died {
            assert!(step > 3, "there are steps to be killed at");
            return;
        }
    }
}

#[test]
fn import_is_whole_or_nothing() {
    kill_everywhere(&|_| {}, &|ground| {
        let config = barge_oci::image::ImageConfig::default();
        ground.store.create_builtin(stream(tar(&[("a", b"1")])), &name("box"), config).map(drop)
    });
}

#[test]
fn a_load_that_moves_a_tag_is_whole_or_nothing() {
    let (old, lower, upper) = (tar(&[("a", b"0")]), tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    kill_everywhere(
        &|ground| drop(ground.load(&docker_save(&[&old], &["box:1"])).unwrap()),
        &|ground| ground.load(&docker_save(&[&lower, &upper], &["box:1", "box:2"])).map(drop),
    );
}

#[test]
fn a_removal_is_whole_or_nothing() {
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    kill_everywhere(
        &|ground| {
            drop(ground.load(&docker_save(&[&lower, &upper], &["box:1"])).unwrap());
        },
        &|ground| ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).map(drop),
    );
}
