//! Removing: Docker's rules, word for word.

use std::collections::HashSet;

use super::archives::{docker_save, tar};
use super::*;
use barge_storage::{LayerId, ReadWriteOptions};
use barge_types::ContainerId;

/// A container of one image.
struct Container {
    image: ImageId,
    state: UserState,
    top: LayerId,
}

fn id() -> ContainerId {
    ContainerId::from_bytes([0xab; 32])
}

impl ImageUsage for Container {
    fn users(&self, image: &ImageId) -> Vec<User> {
        let is_mine = *image == self.image;
        is_mine.then(|| User { container: id(), state: self.state }).into_iter().collect()
    }

    fn layers_in_use(&self) -> HashSet<LayerId> {
        HashSet::from([self.top.clone()])
    }
}

fn container(ground: &Ground, name: &str, state: UserState) -> Container {
    let image = ground.store.get(name).unwrap();
    Container { image: image.id, state, top: image.top_layer.unwrap() }
}

fn removed(ground: &Ground, name: &str) -> Vec<Removed> {
    ground.store.remove(name, Removal::WhenUnused, &UnusedImages).unwrap()
}

#[test]
fn the_last_name_takes_the_image_and_its_layers_along() {
    let ground = ground();
    let before = ground.everything();
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    ground.load(&docker_save(&[&lower, &upper], &["box:1"])).unwrap();
    let image = ground.store.get("box:1").unwrap();
    assert_eq!(
        removed(&ground, "box:1"),
        [
            Removed::Untagged(name("box:1")),
            Removed::Image(image.id),
            Removed::Layer(image.chain_ids[1]),
            Removed::Layer(image.chain_ids[0]),
        ]
    );
    let mut left = ground.everything();
    left.remove("image/vfs/index.json");
    assert_eq!(left, before);
    assert!(ground.reopen().store.list().is_empty());
}

#[test]
fn one_of_two_names_is_only_untagged() {
    let ground = ground();
    let image = ground.import(tar(&[("a", b"1")]), "box:1");
    ground.store.tag(&image, &name("box:2")).unwrap();
    assert_eq!(removed(&ground, "box:1"), [Removed::Untagged(name("box:1"))]);
    assert_eq!(ground.tags(), ["box:2"]);
}

#[test]
fn layers_of_another_image_stay() {
    let ground = ground();
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    ground.load(&docker_save(&[&lower], &["base:1"])).unwrap();
    ground.load(&docker_save(&[&lower, &upper], &["box:1"])).unwrap();
    removed(&ground, "base:1");
    assert_eq!(ground.text("box:1", "a"), "1");
    removed(&ground, "box:1");
    assert!(ground.driver.list().unwrap().is_empty());
}

#[test]
fn by_id_all_names_of_one_repository_go() {
    let ground = ground();
    let image = ground.import(tar(&[("a", b"1")]), "box:1");
    let done = removed(&ground, image.short().as_str());
    assert_eq!(done[..2], [Removed::Untagged(name("box:1")), Removed::Image(image)]);
}

#[test]
fn by_id_several_repositories_need_force() {
    let ground = ground();
    let image = ground.import(tar(&[("a", b"1")]), "box:1");
    ground.store.tag(&image, &name("other:1")).unwrap();
    let short = image.short();
    let error = ground.store.remove(&short, Removal::WhenUnused, &UnusedImages).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(ground.tags().len(), 2);
    let done = ground.store.remove(&short, Removal::Force, &UnusedImages).unwrap();
    let untagged = [Removed::Untagged(name("box:1")), Removed::Untagged(name("other:1"))];
    assert_eq!(done[..2], untagged);
    assert!(ground.store.list().is_empty());
}

#[test]
fn the_only_name_of_a_used_image_stays_without_force() {
    for state in [UserState::Running, UserState::Stopped] {
        let ground = ground();
        ground.import(tar(&[("a", b"1")]), "box");
        let user = container(&ground, "box", state);
        let error = ground.store.remove("box", Removal::WhenUnused, &user).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "conflict: unable to remove repository reference \"box\" (must force) - container {} is using its referenced image {}",
                id().short(),
                user.image.short()
            )
        );
        assert_eq!(error.kind(), barge_types::ErrorKind::Conflict);
        assert_eq!(ground.tags(), ["box:latest"]);
    }
}

#[test]
fn by_id_a_used_image_stays_and_a_running_one_even_with_force() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let stopped = container(&ground, "box", UserState::Stopped);
    let short = stopped.image.short();
    let refused = |removal, user: &Container| {
        ground.store.remove(&short, removal, user).unwrap_err().to_string()
    };
    let container_id = id();
    let by = container_id.short();
    assert_eq!(
        refused(Removal::WhenUnused, &stopped),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {by}"
        )
    );
    let running = Container { state: UserState::Running, ..stopped };
    assert_eq!(
        refused(Removal::Force, &running),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {by}"
        )
    );
    assert_eq!(ground.tags(), ["box:latest"]);
}

#[test]
fn a_forced_name_of_a_running_image_is_untagged_and_the_image_stays() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let running = container(&ground, "box", UserState::Running);
    let done = ground.store.remove("box", Removal::Force, &running).unwrap();
    assert_eq!(done, [Removed::Untagged(name("box"))]);
    assert_eq!(ground.store.list().len(), 1);
}

#[test]
fn layers_of_a_stopped_container_stay_until_it_is_gone() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let stopped = container(&ground, "box", UserState::Stopped);
    let done = ground.store.remove("box", Removal::Force, &stopped).unwrap();
    assert_eq!(done, [Removed::Untagged(name("box")), Removed::Image(stopped.image)]);
    assert!(ground.driver.exists(&stopped.top));
    ground.store.sweep(&stopped).unwrap();
    assert!(ground.driver.exists(&stopped.top));
    ground.store.sweep(&UnusedImages).unwrap();
    assert!(!ground.driver.exists(&stopped.top));
}

#[test]
fn a_layer_that_something_stands_on_stays_though_nobody_said_so() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let top = ground.store.get("box").unwrap().top_layer.unwrap();
    let rw = LayerId::random().unwrap();
    ground.driver.create_read_write(&rw, Some(&top), &ReadWriteOptions::default()).unwrap();
    // A driver that copies (vfs) lets the parent go, one that stacks does not: either way the child
    // stays whole.
    removed(&ground, "box");
    assert!(ground.driver.exists(&rw));
    ground.driver.remove(&rw).unwrap();
    ground.store.sweep(&UnusedImages).unwrap();
    assert!(ground.driver.list().unwrap().is_empty());
}

#[test]
fn a_held_image_keeps_its_layers_while_it_is_removed() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let held = ground.store.hold("box").unwrap();
    removed(&ground, "box");
    assert!(ground.store.list().is_empty());
    let top = held.top_layer.clone().unwrap();
    assert!(ground.driver.exists(&top));
    drop(held);
    ground.store.sweep(&UnusedImages).unwrap();
    assert!(!ground.driver.exists(&top));
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let error =
        ground().store.remove("none", Removal::Force, &UnusedImages).unwrap_err().to_string();
    assert_eq!(error, "No such image: none:latest");
}

#[test]
fn blobs_that_the_store_of_another_driver_names_stay() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box");
    let stores = ground.root.path().join("image");
    fs::create_dir_all(stores.join("other/layers")).unwrap();
    for name in fs::read_dir(stores.join("vfs/layers")).unwrap() {
        let name = name.unwrap();
        fs::copy(name.path(), stores.join("other/layers").join(name.file_name())).unwrap();
    }
    fs::copy(stores.join("vfs/index.json"), stores.join("other/index.json")).unwrap();
    let blobs = ground.store.content().list().unwrap();
    removed(&ground, "box");
    ground.store.sweep(&UnusedImages).unwrap();
    assert_eq!(ground.store.content().list().unwrap(), blobs);
    fs::remove_dir_all(stores.join("other")).unwrap();
    ground.store.sweep(&UnusedImages).unwrap();
    assert!(ground.store.content().list().unwrap().is_empty());
}

/// `base` ← `middle` ← `top`, each with a layer and a name of its own.
fn chain(ground: &Ground) -> [ImageId; 3] {
    let base = ground.import(tar(&[("a", b"1")]), "base");
    let commit = |on: &str, file: &str, as_name: &str| {
        let held = ground.store.hold(on).unwrap();
        let commit = Commit { reference: Some(name(as_name)), ..Commit::default() };
        let diff = Box::new(Cursor::new(tar(&[(file, b"2")])));
        ground.store.commit(&held, commit, diff).unwrap()
    };
    let middle = commit("base", "b", "middle");
    [base, middle, commit("middle", "c", "top")]
}

#[test]
fn images_without_a_name_go_with_their_last_child() {
    let ground = ground();
    let [base, middle, top] = chain(&ground);
    assert_eq!(removed(&ground, "base"), [Removed::Untagged(name("base"))]);
    assert_eq!(removed(&ground, "middle"), [Removed::Untagged(name("middle"))]);
    let ids: Vec<_> =
        ground.store.history("top").unwrap().into_iter().map(|step| step.id).collect();
    assert_eq!(ids, [Some(top), Some(middle), Some(base)]);
    let layers = ground.store.get("top").unwrap().chain_ids;
    assert_eq!(
        removed(&ground, "top"),
        [
            Removed::Untagged(name("top")),
            Removed::Image(top),
            Removed::Layer(layers[2]),
            Removed::Image(middle),
            Removed::Layer(layers[1]),
            Removed::Image(base),
            Removed::Layer(layers[0]),
        ]
    );
    assert!(ground.reopen().store.list().is_empty());
}

#[test]
fn a_parent_stays_with_a_name_a_user_another_child_or_when_asked_to() {
    for why in ["name", "user", "child", "asked"] {
        let ground = ground();
        let [_, middle, _] = chain(&ground);
        let user = container(&ground, "middle", UserState::Stopped);
        if why != "name" {
            removed(&ground, "middle");
        }
        if why == "child" {
            let held = ground.store.hold(&middle.to_string()).unwrap();
            let commit = Commit { comment: "another".to_owned(), ..Commit::default() };
            let diff = Box::new(Cursor::new(tar(&[("d", b"3")])));
            ground.store.commit(&held, commit, diff).unwrap();
        }
        let parents = if why == "asked" { Parents::Keep } else { Parents::Remove };
        let usage: &dyn ImageUsage = if why == "user" { &user } else { &UnusedImages };
        ground.store.remove_with("top", (Removal::Force, parents), usage).unwrap();
        assert!(ground.store.image(&middle).is_ok(), "{why}");
    }
}

#[test]
fn an_image_with_children_cannot_be_removed_by_its_id() {
    let ground = ground();
    let [base, ..] = chain(&ground);
    for removal in [Removal::WhenUnused, Removal::Force] {
        let error = ground.store.remove(&base.short(), removal, &UnusedImages).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
                base.short()
            )
        );
    }
    assert_eq!(ground.tags(), ["base:latest", "middle:latest", "top:latest"]);
}
