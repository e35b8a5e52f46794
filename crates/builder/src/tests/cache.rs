//! What is found again.

use std::sync::Arc;

use super::{Workshop, workshop};
use crate::event::{Event, Outcome};
use crate::request::AllowedDevices;
use crate::runner::{Cancel, StepDevice};
use crate::{BuildError, PruneOptions};

const LINES: &str = "FROM busybox\nRUN echo a >/a\nRUN echo b >/b\nWORKDIR /w\n";

#[test]
fn a_step_has_only_devices_that_are_allowed_and_they_are_part_of_what_it_is() {
    let workshop = workshop();
    let mut request =
        workshop.request("FROM busybox\nRUN --device=vendor.com/kind=one,required true\n");
    let allowed = |name: &str| AllowedDevices::Named(vec![name.to_owned()]);
    for devices in [AllowedDevices::None, allowed("vendor.com/kind=two")] {
        request.devices = devices;
        let error = workshop.build(&request).unwrap_err().chain();
        assert_eq!(
            error,
            "device vendor.com/kind=one is not allowed: build with --allow device=vendor.com/kind=one"
        );
    }
    for devices in [AllowedDevices::All, allowed("vendor.com/kind=one")] {
        request.devices = devices;
        workshop.image(&request);
    }
    assert_eq!(workshop.runs(), 1);
    let device = StepDevice { name: "vendor.com/kind=one".to_owned(), is_required: true };
    assert_eq!(workshop.runner.steps.lock().unwrap()[0].devices, [device]);
    workshop.image(&workshop.request("FROM busybox\nRUN true\n"));
    assert_eq!(workshop.runs(), 1);
}

#[test]
fn a_second_build_runs_nothing_even_after_a_restart() {
    let workshop = workshop();
    workshop.image(&workshop.request(LINES));
    assert_eq!(workshop.runs(), 2);
    workshop.image(&workshop.request(LINES));
    assert_eq!(workshop.runs(), 0);
    let workshop = workshop.reopen();
    let image = workshop.image(&workshop.request(LINES));
    assert_eq!(workshop.runs(), 0);
    assert_eq!(workshop.text(&image, "b"), "b\n");
    let cached = |event: &Event| matches!(event, Event::Ended { outcome: Outcome::Cached, .. });
    assert_eq!(workshop.events.take().into_iter().filter(cached).count(), 3);
}

#[test]
fn what_changes_a_step_changes_all_after_it() {
    let workshop = workshop();
    workshop.image(&workshop.request(LINES));
    workshop.runs();
    workshop.image(&workshop.request(&LINES.replace("echo b", "echo c")));
    assert_eq!(workshop.runs(), 1);
    workshop.image(&workshop.request(&LINES.replace("RUN echo a", "ENV X=1\nRUN echo a")));
    assert_eq!(workshop.runs(), 2);
    // A label is no file.
    workshop.image(&workshop.request(&LINES.replace("RUN echo a", "LABEL x=1\nRUN echo a")));
    assert_eq!(workshop.runs(), 0);
}

#[test]
fn an_argument_counts_from_where_it_is_declared() {
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nRUN echo a >/a\nARG X\nRUN echo $X >/x\n");
    for (value, runs) in [("1", 2), ("2", 1), ("1", 0)] {
        request.build_args.insert("X".to_owned(), Some(value.to_owned()));
        let image = workshop.image(&request);
        assert_eq!(workshop.text(&image, "x"), format!("{value}\n"));
        assert_eq!(workshop.runs(), runs, "{value}");
    }
}

#[test]
fn without_cache_everything_runs_and_is_found_by_the_next() {
    let workshop = workshop();
    let mut request = workshop.request(LINES);
    workshop.image(&request);
    request.cache.is_off = true;
    workshop.runs();
    workshop.image(&request);
    assert_eq!(workshop.runs(), 2);
    request.cache.is_off = false;
    workshop.image(&request);
    assert_eq!(workshop.runs(), 0);
    request.cache.off_for = vec!["stage-0".to_owned()];
    workshop.image(&request);
    assert_eq!(workshop.runs(), 2);
}

#[test]
fn two_builds_of_the_same_thing_share_the_work() {
    let workshop = workshop();
    let request = workshop.request("FROM busybox\nRUN sleep 0.2; echo a >/a\n");
    let images = std::thread::scope(|scope| {
        let build = || workshop.build(&request).unwrap().images[0];
        let builds = [scope.spawn(build), scope.spawn(build), scope.spawn(build)];
        builds.map(|build| build.join().unwrap())
    });
    assert_eq!(workshop.runs(), 1);
    let diff_ids = images.map(|image| workshop.config(&image).rootfs.diff_ids);
    assert_eq!(diff_ids[0], diff_ids[1]);
    assert_eq!(diff_ids[0], diff_ids[2]);
}

#[test]
fn one_that_waits_for_a_build_that_is_cancelled_does_it_itself() {
    let workshop = workshop();
    let cancel = Cancel::default();
    // The first one hangs; it is told from the second by a file that it made.
    let request = workshop.request(
        "FROM busybox\nRUN --mount=type=cache,target=/c if test -e /c/seen; then echo done >/a; else touch /c/seen; \
         while true; do sleep 0.01; done; fi\n",
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| workshop.builder.build(&request, &workshop.events, &cancel));
        while workshop.runner.steps.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        let seen = |path: &std::path::Path| walk(path).iter().any(|path| path.ends_with("seen"));
        while !seen(&workshop.root.path().join("builds/mounts")) {
            std::thread::yield_now();
        }
        let second = scope.spawn(|| workshop.build(&request));
        cancel.cancel();
        assert!(matches!(first.join().unwrap(), Err(BuildError::Cancelled)));
        let image = second.join().unwrap().unwrap().images[0];
        assert_eq!(workshop.text(&image, "a"), "done\n");
    });
    assert!(workshop.leftovers().is_empty());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn pruning_leaves_what_images_stand_on_and_all_takes_it_from_the_cache_only() {
    let workshop = workshop();
    let request = workshop.request(LINES);
    let image = workshop.image(&request);
    let entries = workshop.builder.entries();
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry.shared && !entry.in_use));
    assert!(workshop.builder.prune(&PruneOptions::default()).unwrap().ids.is_empty());
    let all = PruneOptions { all: true, ..PruneOptions::default() };
    assert_eq!(workshop.builder.prune(&all).unwrap().ids.len(), 3);
    assert!(workshop.builder.entries().is_empty());
    // The image still works, also for the next daemon.
    let workshop = workshop.reopen();
    assert_eq!(workshop.text(&image, "b"), "b\n");
    workshop.image(&workshop.request(LINES));
    assert_eq!(workshop.runs(), 2);
}

#[test]
fn what_no_image_needs_any_more_is_pruned_with_its_files() {
    let workshop = workshop();
    let image = workshop.image(&workshop.request(LINES));
    let usage = InUse::of(&workshop);
    let before = workshop.driver.list().unwrap().len();
    workshop.images.remove(&image.to_string(), barge_image::Removal::Force, &usage).unwrap();
    // The cache still has them.
    assert_eq!(workshop.driver.list().unwrap().len(), before);
    workshop.runs();
    let again = workshop.image(&workshop.request(LINES));
    assert_eq!(workshop.runs(), 0);
    workshop.images.remove(&again.to_string(), barge_image::Removal::Force, &usage).unwrap();
    let pruned = workshop.builder.prune(&PruneOptions { all: true, ..PruneOptions::default() });
    assert_eq!(pruned.unwrap().ids.len(), 3);
    assert_eq!(workshop.driver.list().unwrap().len(), before - 3);
}

#[test]
fn what_stood_below_the_cache_alone_goes_with_it() {
    let workshop = workshop();
    let before = workshop.driver.list().unwrap().len();
    let base = workshop.images.get("busybox").unwrap().id;
    let image = workshop.image(&workshop.request("FROM busybox\nRUN echo b >/b\n"));
    let usage = InUse::of(&workshop);
    for id in [image, base] {
        workshop.images.remove(&id.to_string(), barge_image::Removal::Force, &usage).unwrap();
    }
    // The cache stands on what was the base's.
    assert_eq!(workshop.driver.list().unwrap().len(), before + 1);
    let bytes = workshop.images.bytes_of_layers(&std::collections::HashSet::new());
    let pruned = workshop.builder.prune(&PruneOptions { all: true, ..PruneOptions::default() });
    assert_eq!(pruned.unwrap().space, bytes);
    assert!(workshop.images.layers().is_empty());
    assert!(workshop.driver.list().unwrap().len() < before);
}

struct InUse(Arc<std::collections::HashSet<barge_storage::LayerId>>);

impl InUse {
    fn of(workshop: &Workshop) -> Self {
        Self(Arc::new(workshop.builder.layers_in_use()))
    }
}

impl barge_image::ImageUsage for InUse {
    fn users(&self, _: &barge_types::ImageId) -> Vec<barge_image::User> {
        Vec::new()
    }

    fn layers_in_use(&self) -> std::collections::HashSet<barge_storage::LayerId> {
        (*self.0).clone()
    }
}

#[test]
fn a_cache_that_is_too_large_loses_what_was_used_longest_ago() {
    let workshop = workshop();
    let build = |word: &str| {
        let text = format!("FROM busybox\nRUN echo {word} >/{word}\nRUN echo more >/more\n");
        let image = workshop.image(&workshop.request(&text));
        workshop
            .images
            .remove(&image.to_string(), barge_image::Removal::Force, &InUse::of(&workshop))
            .unwrap();
    };
    for word in ["one", "two", "one"] {
        build(word);
    }
    let total: u64 = workshop.builder.entries().iter().map(|entry| entry.size).sum();
    workshop.builder.shop().keep_within_bounds(total - 1);
    let left = workshop.builder.entries();
    assert_eq!(left.len(), 3, "{left:?}");
    workshop.builder.shop().keep_within_bounds(total / 2);
    let left: Vec<_> =
        workshop.builder.entries().into_iter().map(|entry| entry.description).collect();
    assert_eq!(left, ["RUN echo one >/one", "RUN echo more >/more"]);
    workshop.runs();
    build("one");
    assert_eq!(workshop.runs(), 0);
    build("two");
    assert_eq!(workshop.runs(), 2);
}
