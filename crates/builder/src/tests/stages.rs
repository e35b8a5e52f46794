//! Stages as a graph.

use super::{workshop, workshop_on};
use crate::event::{Event, Outcome};
use crate::request::NamedContext;

#[test]
fn stages_that_nobody_needs_are_left_out() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM busybox AS unneeded\nRUN false\nFROM busybox AS made\nRUN echo made >/made\nFROM busybox\n\
         COPY --from=made /made /copied\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "copied"), "made\n");
    assert_eq!(workshop.runs(), 1);
    let events = workshop.events.take();
    let Some(Event::Planned { steps }) = events.first() else { panic!("{events:?}") };
    assert!(steps.iter().all(|step| step.stage != "unneeded"), "{steps:?}");
}

#[test]
fn a_target_is_a_name_or_a_number_and_gets_a_suggestion() {
    let workshop = workshop();
    let mut request = workshop
        .request("FROM busybox AS first\nRUN echo 1 >/n\nFROM first AS second\nRUN echo 2 >/n\n");
    for (target, text) in [("first", "1\n"), ("SECOND", "2\n"), ("0", "1\n")] {
        request.target = Some(target.to_owned());
        let image = workshop.image(&request);
        assert_eq!(workshop.text(&image, "n"), text);
    }
    request.target = Some("secnd".to_owned());
    let error = workshop.build(&request).unwrap_err().to_string();
    assert_eq!(error, "target stage \"secnd\" could not be found (did you mean second?)");
}

#[test]
fn independent_stages_run_at_the_same_time() {
    let workshop = workshop();
    // Each waits for the other through a folder that both have.
    let mount = "RUN --mount=type=cache,id=meet,target=/meet";
    let wait = |own: &str, other: &str| {
        format!(
            "{mount} touch /meet/{own}; while ! test -e /meet/{other}; do sleep 0.01; done; echo {own} >/{own}\n"
        )
    };
    let request = workshop.request(&format!(
        "FROM busybox AS a\n{}FROM busybox AS b\n{}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        wait("a", "b"),
        wait("b", "a"),
    ));
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "a"), "a\n");
    assert_eq!(workshop.text(&image, "b"), "b\n");
}

#[test]
fn steps_run_while_an_image_that_is_there_is_still_coming() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM busybox AS quick\nRUN echo quick >/a\nFROM slow\nCOPY --from=quick /a /b\nCOPY --from=slow /bin/busybox /c\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "b"), "quick\n");
}

#[test]
fn arguments_go_from_stage_to_stage_that_stands_on_it() {
    let workshop = workshop();
    let request = workshop.request(
        "ARG GLOBAL=g\nFROM busybox AS a\nARG GLOBAL\nARG OWN=o\nENV SET=e\nFROM a\nRUN echo $GLOBAL $OWN $SET >/all\n\
         FROM busybox AS other\nRUN echo [$GLOBAL$OWN] >/none\nCOPY --from=1 /all /\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "all"), "g o e\n");
    assert_eq!(workshop.text(&image, "none"), "[]\n");
}

#[test]
fn the_first_failure_ends_the_others() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM busybox AS slow\nRUN while true; do sleep 0.01; done\nFROM busybox AS wrong\nRUN exit 3\nFROM scratch\n\
         COPY --from=slow / /\nCOPY --from=wrong / /\n",
    );
    let error = workshop.build(&request).unwrap_err();
    assert_eq!(error.code(), Some(3), "{error:?}");
    let events = workshop.events.take();
    let ended = |wanted: &dyn Fn(&Outcome) -> bool| {
        let outcome =
            |event: &&Event| matches!(event, Event::Ended { outcome, .. } if wanted(outcome));
        events.iter().filter(outcome).count()
    };
    assert_eq!(ended(&|outcome| matches!(outcome, Outcome::Failed(_))), 1);
    assert!(ended(&|outcome| *outcome == Outcome::Cancelled) >= 1);
    assert!(matches!(events.last(), Some(Event::Failed { code: Some(3), .. })));
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn layers_that_are_plain_folders_do_as_well() {
    let workshop = workshop_on("vfs");
    let request = workshop.request(
        "FROM busybox AS made\nRUN echo a >/a && rm /bin/false\nWORKDIR /w\nFROM made\nCOPY --from=made /a /w/\n\
         RUN --mount=from=made,source=/a,target=/m cat /m >b\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "w/a"), "a\n");
    assert_eq!(workshop.text(&image, "w/b"), "a\n");
    assert!(!workshop.look(&image, |root| root.join("bin/false").exists()));
    workshop.runs();
    workshop.image(&request);
    assert_eq!(workshop.runs(), 0);
}

#[test]
fn a_trigger_takes_files_of_stages_and_contexts_of_the_file_that_it_runs_in() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nONBUILD COPY --from=tools /a /copied\n\
         ONBUILD RUN --mount=from=tools,source=/a,target=/m --mount=from=given,target=/g cat /m /g/x >/mounted\n",
    );
    request.tags = vec!["triggers".parse().unwrap()];
    workshop.image(&request);
    let given = workshop.root.path().join("given");
    std::fs::create_dir(&given).unwrap();
    std::fs::write(given.join("x"), "given\n").unwrap();
    // Nothing of the file itself needs the first two stages.
    let mut request = workshop.request(
        "FROM busybox AS below\nRUN echo below >/below\nFROM below AS tools\nRUN cat /below >/a\n\
         FROM triggers AS one\nFROM triggers\nCOPY --from=one /mounted /of-one\n",
    );
    request.named_contexts.insert("given".to_owned(), NamedContext::Folder(given));
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "copied"), "below\n");
    assert_eq!(workshop.text(&image, "mounted"), "below\ngiven\n");
    assert_eq!(workshop.text(&image, "of-one"), "below\ngiven\n");
    let request = workshop.request("FROM triggers\n");
    let error = workshop.build(&request).unwrap_err().chain();
    assert!(error.contains("cannot get image tools"), "{error}");
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_trigger_does_not_wait_for_what_waits_for_its_stage() {
    let workshop = workshop();
    for (name, context) in [("triggers", "x"), ("others", "y")] {
        let text = format!("FROM busybox\nONBUILD COPY --from={context} /a /copied\n");
        let mut request = workshop.request(&text);
        request.tags = vec![name.parse().unwrap()];
        workshop.image(&request);
    }
    let circular = |text: &str, contexts: &[(&str, &str)]| {
        let mut request = workshop.request(text);
        for (name, stage) in contexts {
            let stage = NamedContext::Stage((*stage).to_owned());
            request.named_contexts.insert((*name).to_owned(), stage);
        }
        let error = workshop.build(&request).unwrap_err().chain();
        assert!(error.contains("circular dependency detected on stage: "), "{error}");
    };
    // A stage that runs already, and one that the trigger begins.
    circular("FROM triggers AS a\nFROM a AS b\n", &[("x", "b")]);
    let text = "FROM triggers AS a\nRUN true\nFROM busybox AS b\nCOPY --from=a /a /b\nFROM a\n";
    circular(text, &[("x", "b")]);
    circular("FROM triggers AS a\n", &[("x", "a")]);
    // Two whose triggers name each other.
    let text = "FROM triggers AS a\nFROM others AS b\nFROM busybox\nCOPY --from=a /a /b\n";
    circular(text, &[("x", "b"), ("y", "a")]);
    // Two that need each other, neither of them the trigger's.
    let text = "FROM busybox AS c\nCOPY --from=z /a /b\nFROM c AS d\nFROM triggers\n";
    circular(text, &[("x", "d"), ("z", "d")]);
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_stage_that_only_a_trigger_needs_fails_the_build() {
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nONBUILD COPY --from=tools /a /copied\n");
    request.tags = vec!["triggers".parse().unwrap()];
    workshop.image(&request);
    let request = workshop.request("FROM busybox AS tools\nRUN exit 4\nFROM triggers\nRUN true\n");
    let error = workshop.build(&request).unwrap_err();
    assert_eq!(error.code(), Some(4), "{error:?}");
}
