//! Which stages are needed, and what names mean.

use barge_types::Platform;

use super::{Origin, Plan, resolve};
use crate::error::BuildError;
use crate::request::{BuildRequest, NamedContext};

fn plan(text: &str, request: &BuildRequest) -> Result<Plan, BuildError> {
    let dockerfile = barge_dockerfile::parse("Dockerfile", text).unwrap();
    Plan::new(&dockerfile, request, &Platform::host(), &|_, error| error)
}

fn needed(text: &str, target: Option<&str>) -> Vec<usize> {
    let request = BuildRequest { target: target.map(str::to_owned), ..BuildRequest::default() };
    plan(text, &request).unwrap().needed.into_iter().collect()
}

const STAGES: &str = "FROM a AS one\nFROM one AS two\nFROM b AS three\nRUN --mount=from=one,target=/m x\n\
                      FROM c\nCOPY --from=2 / /\n";

#[test]
fn a_stage_needs_its_base_and_what_it_copies_or_mounts() {
    assert_eq!(needed(STAGES, None), [0, 2, 3]);
    assert_eq!(needed(STAGES, Some("two")), [0, 1]);
    assert_eq!(needed(STAGES, Some("one")), [0]);
}

#[test]
fn a_later_stage_of_the_same_name_is_an_image() {
    let dockerfile =
        barge_dockerfile::parse("Dockerfile", "FROM a\nCOPY --from=late / /\nFROM b AS late\n")
            .unwrap();
    let request = BuildRequest::default();
    let origin = resolve(&dockerfile, &request, (0, "late")).unwrap();
    assert_eq!(origin, Origin::Image("late".to_owned()));
    let origin = resolve(&dockerfile, &request, (2, "LATE")).unwrap();
    assert_eq!(origin, Origin::Stage(1));
}

#[test]
fn stages_that_need_each_other_are_refused() {
    let mut request = BuildRequest::default();
    request.named_contexts.insert("loop".to_owned(), NamedContext::Stage("two".to_owned()));
    let error = plan("FROM loop AS one\nFROM one AS two\n", &request).unwrap_err();
    assert_eq!(error.to_string(), "circular dependency detected on stage: two");
}

#[test]
fn a_context_is_found_by_the_name_in_full() {
    let mut request = BuildRequest::default();
    request.named_contexts.insert("debian:12".to_owned(), NamedContext::Image("other".to_owned()));
    let plan = plan("FROM docker.io/library/debian:12\n", &request).unwrap();
    assert_eq!(plan.stages[0].base, Origin::Image("other".to_owned()));
}

#[test]
fn global_arguments_choose_bases_and_platforms() {
    let text = "ARG V=1\nARG NAME=base:$V\nFROM --platform=$BUILDPLATFORM ${NAME} AS x\n";
    let mut request = BuildRequest::default();
    assert_eq!(plan(text, &request).unwrap().stages[0].base, Origin::Image("base:1".to_owned()));
    request.build_args.insert("V".to_owned(), Some("2".to_owned()));
    let planned = plan(text, &request).unwrap();
    assert_eq!(planned.stages[0].base, Origin::Image("base:2".to_owned()));
    assert_eq!(planned.stages[0].platform, Platform::host());
}
