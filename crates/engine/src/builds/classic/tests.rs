//! Lines of events.

use super::*;

fn line(step: u32, text: &str) -> StepLine {
    StepLine { step, stage: "0".to_owned(), position: 1, of: 1, text: text.to_owned(), shown: None }
}

fn planned() -> Classic {
    let mut classic = Classic::new(Volume::Normal);
    let steps = vec![line(0, "FROM a"), line(1, "RUN b"), line(2, "FROM c"), line(3, "RUN d")];
    assert!(classic.lines(Event::Planned { steps }).is_empty());
    classic
}

fn text(classic: &mut Classic, events: Vec<Event>) -> String {
    let lines = events.into_iter().flat_map(|event| classic.lines(event));
    lines.map(|line| if line.error.is_empty() { line.stream } else { line.error }).collect()
}

fn output(step: u32, text: &str) -> Event {
    Event::Output { step, stream: 1, text: text.to_owned() }
}

fn made(step: u32, digit: &str) -> Event {
    Event::Made { step, id: digit.repeat(64) }
}

fn done(step: u32) -> Event {
    Event::Ended { step, outcome: Outcome::Done }
}

#[test]
fn steps_that_run_side_by_side_are_told_one_after_the_other() {
    let mut classic = planned();
    let early = text(
        &mut classic,
        vec![
            Event::Started { step: 2 },
            Event::Started { step: 0 },
            done(2),
            Event::Started { step: 3 },
            output(3, "late\n"),
        ],
    );
    assert_eq!(early, "Step 1/4 : FROM a\n");
    let rest = text(
        &mut classic,
        vec![done(0), Event::Ended { step: 1, outcome: Outcome::Cached }, done(3)],
    );
    assert_eq!(
        rest,
        "Step 2/4 : RUN b\n ---> Using cache\nStep 3/4 : FROM c\nStep 4/4 : RUN d\nlate\n"
    );
}

#[test]
fn what_steps_came_to_is_named_and_in_the_end_it_is_the_image() {
    let mut classic = planned();
    let ran = text(
        &mut classic,
        vec![
            Event::Started { step: 0 },
            made(0, "a"),
            done(0),
            Event::Started { step: 1 },
            Event::Running { step: 1, process: "b".repeat(64) },
            output(1, "hi\n"),
            made(1, "c"),
            done(1),
        ],
    );
    assert_eq!(
        ran,
        "Step 1/4 : FROM a\n ---> aaaaaaaaaaaa\nStep 2/4 : RUN b\n ---> Running in bbbbbbbbbbbb\nhi\n\
         Removing intermediate container bbbbbbbbbbbb\n ---> cccccccccccc\n"
    );
    let warning = Event::Warning(barge_builder::event::Warning {
        rule: "UnusedBuildArg".to_owned(),
        description: String::new(),
        detail: "not consumed".to_owned(),
        url: String::new(),
        line: 0,
    });
    let image = Event::Image { id: format!("sha256:{}", "f".repeat(64)), names: Vec::new() };
    let end = vec![
        // Nothing has no id.
        Event::Made { step: 2, id: String::new() },
        done(2),
        made(3, "e"),
        Event::Ended { step: 3, outcome: Outcome::Cached },
        warning,
        image,
    ];
    assert_eq!(
        text(&mut classic, end),
        "Step 3/4 : FROM c\n ---> \nStep 4/4 : RUN d\n ---> Using cache\n ---> ffffffffffff\n\
         [Warning] not consumed\nSuccessfully built ffffffffffff\n"
    );
}

#[test]
fn triggers_of_a_base_come_after_it_and_count_as_no_steps() {
    let mut classic = planned();
    let steps = vec![line(4, "ONBUILD RUN x"), line(5, "ONBUILD ENV y")];
    let told = text(
        &mut classic,
        vec![
            Event::Started { step: 0 },
            done(0),
            Event::Planned { steps },
            Event::Started { step: 4 },
            output(4, "x\n"),
            made(4, "a"),
            done(4),
            made(5, "b"),
            done(5),
        ],
    );
    assert_eq!(
        told,
        "Step 1/4 : FROM a\n# Executing 2 build triggers\nx\n ---> aaaaaaaaaaaa\n\
         \x20---> bbbbbbbbbbbb\n"
    );
    assert_eq!(text(&mut classic, vec![Event::Started { step: 1 }]), "Step 2/4 : RUN b\n");
}

#[test]
fn errors_are_red_and_a_failure_is_the_last_line() {
    let mut classic = planned();
    text(&mut classic, vec![Event::Started { step: 0 }, done(0), Event::Started { step: 1 }]);
    let red = classic.lines(Event::Output { step: 1, stream: 2, text: "no\n".to_owned() });
    assert_eq!(red[0].stream, "\u{1b}[91mno\n\u{1b}[0m");
    let failed = Event::Failed {
        message: "it failed".to_owned(),
        code: Some(3),
        excerpt: String::new(),
        image: None,
    };
    let last = classic.lines(failed).pop().unwrap();
    assert_eq!(
        serde_json::to_string(&last).unwrap(),
        r#"{"errorDetail":{"code":3,"message":"it failed"},"error":"it failed"}"#
    );
}

#[test]
fn what_a_step_that_failed_out_of_turn_said_is_shown() {
    let mut classic = planned();
    let failed = Event::Failed {
        message: "no".to_owned(),
        code: Some(1),
        excerpt: String::new(),
        image: None,
    };
    let shown = text(
        &mut classic,
        vec![
            Event::Started { step: 0 },
            Event::Started { step: 3 },
            output(3, "why\n"),
            Event::Ended { step: 3, outcome: Outcome::Failed("no".to_owned()) },
            failed,
        ],
    );
    assert_eq!(shown, "Step 1/4 : FROM a\nStep 4/4 : RUN d\nwhy\nno");
}

#[test]
fn a_step_that_failed_in_silence_is_named_and_those_of_other_stages_are_not() {
    let mut classic = Classic::new(Volume::Normal);
    let of = |stage: &str, line: StepLine| StepLine { stage: stage.to_owned(), ..line };
    let steps = vec![
        of("a", line(0, "FROM a")),
        of("a", line(1, "RUN b")),
        of("b", line(2, "FROM c")),
        of("b", line(3, "RUN d")),
        of("c", line(4, "FROM e")),
    ];
    classic.lines(Event::Planned { steps });
    let failed =
        Event::Failed { message: "no".to_owned(), code: None, excerpt: String::new(), image: None };
    let shown = text(
        &mut classic,
        vec![
            Event::Started { step: 0 },
            Event::Started { step: 4 },
            output(4, "of another\n"),
            done(4),
            Event::Started { step: 2 },
            done(2),
            Event::Started { step: 3 },
            Event::Ended { step: 3, outcome: Outcome::Failed("no".to_owned()) },
            failed,
        ],
    );
    assert_eq!(shown, "Step 1/5 : FROM a\nStep 3/5 : FROM c\nStep 4/5 : RUN d\nno");
}

#[test]
fn a_quiet_build_says_its_id_alone() {
    let mut classic = Classic::new(Volume::Quiet);
    let id = format!("sha256:{}", "ab".repeat(32));
    let events = vec![
        Event::Planned { steps: vec![line(0, "FROM a")] },
        Event::Started { step: 0 },
        done(0),
        Event::Image { id: id.clone(), names: vec!["x:latest".to_owned()] },
    ];
    assert_eq!(text(&mut classic, events), "");
    assert_eq!(classic.last().unwrap().stream, format!("{id}\n"));
}

#[test]
fn what_waits_for_its_turn_is_bounded() {
    let mut classic = planned();
    classic.lines(Event::Started { step: 0 });
    let piece = "x".repeat(1000);
    for _ in 0..3000 {
        classic.lines(output(3, &piece));
    }
    assert!(classic.steps[&3].bytes <= KEPT);
}

#[test]
fn what_goes_on_around_the_steps_is_not_told() {
    let mut classic = planned();
    let mut around = line(4, "importing cache");
    around.stage.clear();
    assert!(classic.lines(Event::Planned { steps: vec![around] }).is_empty());
    let what = "sha256:1".to_owned();
    let told = text(
        &mut classic,
        vec![
            Event::Started { step: 4 },
            output(4, "WARNING: there is none\n"),
            Event::Advanced { step: 4, what, current: 1, total: 2 },
            done(4),
            Event::Started { step: 0 },
        ],
    );
    assert_eq!(told, "Step 1/4 : FROM a\n");
}
