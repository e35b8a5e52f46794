//! Which stages are needed, and what names mean.

use barge_types::Platform;

use super::{Origin, Plan, resolve};
use crate::error::BuildError;
use crate::request::{BuildRequest, NamedContext, Purpose};

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
fn a_later_stage_is_an_image_to_from_and_too_early_for_others() {
    let request = BuildRequest::default();
    let planned = plan("FROM late\nFROM b AS late\nFROM late\n", &request).unwrap();
    assert_eq!(planned.stages[0].base, Origin::Image("late".to_owned()));
    assert_eq!(planned.stages[2].base, Origin::Stage(1));
    for word in ["COPY --from=late / /", "COPY --from=LATE / /", "RUN --mount=from=1,target=/m x"] {
        let text = format!("FROM a AS first\n{word}\nFROM b AS late\nFROM first\n");
        let error = plan(&text, &request).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stage \"late\" is defined later, on line 3: it needs to be defined before current stage \"first\"",
        );
        // Nobody needs it.
        plan(&format!("{text}FROM c\n"), &request).unwrap();
        let checked = BuildRequest { purpose: Purpose::Check, ..BuildRequest::default() };
        plan(&format!("{text}FROM c\n"), &checked).unwrap_err();
    }
    let dockerfile = barge_dockerfile::parse("Dockerfile", "FROM a AS x\nFROM b AS y\n").unwrap();
    let of_trigger = |word: &str| resolve(&dockerfile, &request, (0, word));
    assert!(of_trigger("y").unwrap_err().to_string().contains("is defined later, on line 2"));
    assert!(of_trigger("x").unwrap_err().to_string().contains("circular dependency"));
    assert_eq!(of_trigger("z").unwrap(), Origin::Image("z".to_owned()));
}

#[test]
fn stages_that_need_each_other_are_refused() {
    let mut request = BuildRequest::default();
    let refused = |text: &str, request: &BuildRequest, way: &str| {
        let error = plan(text, request).unwrap_err().to_string();
        assert_eq!(error, format!("circular dependency detected on stage: {way}"));
    };
    let text = "FROM a AS one\nCOPY --from=two / /\nFROM b AS two\nCOPY --from=one / /\n";
    refused(text, &request, "one (one needs two, two needs one)");
    // Nobody needs them.
    refused(&format!("{text}FROM c\n"), &request, "one (one needs two, two needs one)");
    refused("FROM a AS one\nCOPY --from=one / /\n", &request, "one (it needs itself)");
    refused("FROM a\nCOPY --from=0 / /\n", &request, "stage-0 (it needs itself)");
    request.named_contexts.insert("loop".to_owned(), NamedContext::Stage("two".to_owned()));
    let text = "FROM loop AS one\nFROM one AS two\n";
    refused(text, &request, "one (one needs two, two needs one)");
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
    assert_eq!(planned.shown_base(0).unwrap(), "FROM docker.io/library/base:2");
}
