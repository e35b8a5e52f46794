//! Arguments that BuildKit knows without any `ARG`.

use super::workshop;
use super::workshop::Workshop;
use crate::BuildRequest;
use crate::request::{CacheRemote, Output, OutputKind};

fn with(workshop: &Workshop, text: &str, argument: (&str, &str)) -> BuildRequest {
    let mut request = workshop.request(text);
    let (name, value) = argument;
    request.build_args.insert(name.to_owned(), Some(value.to_owned()));
    request
}

#[test]
fn steps_see_the_host_name_that_was_asked_for() {
    let workshop = workshop();
    let text = "FROM busybox\nRUN true\n";
    let names = |request: &BuildRequest| {
        workshop.image(request);
        let mut steps = workshop.runner.steps.lock().unwrap();
        steps.drain(..).map(|step| step.hostname).collect::<Vec<_>>()
    };
    assert_eq!(names(&workshop.request(text)), ["buildkitsandbox"]);
    let asked = with(&workshop, text, ("BUILDKIT_SANDBOX_HOSTNAME", "mine"));
    assert_eq!(names(&asked), ["mine"]);
    assert!(names(&asked).is_empty());
}

#[test]
fn cache_mounts_are_parted_by_their_namespace() {
    let workshop = workshop();
    let text = |turn: u32| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,target=/c echo {turn} >>/c/log; cat /c/log >/log\n"
        )
    };
    let log = |request: &BuildRequest| workshop.text(&workshop.image(request), "log");
    assert_eq!(log(&workshop.request(&text(1))), "1\n");
    assert_eq!(log(&with(&workshop, &text(2), ("BUILDKIT_CACHE_MOUNT_NS", "other"))), "2\n");
    assert_eq!(log(&workshop.request(&text(3))), "1\n3\n");
    assert_eq!(log(&with(&workshop, &text(4), ("BUILDKIT_CACHE_MOUNT_NS", "other"))), "2\n4\n");
}

#[test]
fn an_image_has_its_cache_with_it_by_an_argument() {
    let workshop = workshop();
    let mut request =
        with(&workshop, "FROM busybox\nRUN echo b >/b\n", ("BUILDKIT_INLINE_CACHE", "1"));
    request.tags = vec!["cached".parse().unwrap()];
    workshop.image(&request);
    let all = crate::PruneOptions { all: true, ..crate::PruneOptions::default() };
    workshop.builder.prune(&all).unwrap();
    workshop.runs();
    request.cache.from = vec![CacheRemote::Image("cached".to_owned())];
    workshop.image(&request);
    assert_eq!(workshop.runs(), 0);
}

#[test]
fn one_platform_may_be_treated_as_several() {
    let workshop = workshop();
    let text = "FROM scratch\nCOPY <<f /f\nx\nf\n";
    let mut request = with(&workshop, text, ("BUILDKIT_MULTI_PLATFORM", "true"));
    request.platforms = vec!["linux/s390x".parse().unwrap()];
    request.outputs =
        vec![Output { kind: OutputKind::Files, names: Vec::new(), options: Default::default() }];
    let built = workshop.build(&request).unwrap();
    let mut reader = barge_archive::tar::Reader::new(built.results[0].open().unwrap());
    let first = reader.next_entry().unwrap().unwrap().header().path.clone();
    assert_eq!(first, b"linux_s390x/");
    // No image of one platform has an index.
    let image = Output { kind: OutputKind::Oci, names: Vec::new(), options: Default::default() };
    for outputs in [Vec::new(), vec![request.outputs[0].clone(), image]] {
        request.outputs = outputs;
        let error = workshop.build(&request).unwrap_err().chain();
        let expected = "BUILDKIT_MULTI_PLATFORM for the image of one platform is not supported";
        assert_eq!(error, expected);
    }
    request.platforms.push("linux/amd64".parse().unwrap());
    assert_eq!(workshop.build(&request).unwrap().results.len(), 2);
}
