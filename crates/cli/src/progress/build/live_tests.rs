//! Pictures of builds, in windows of several sizes.

use barge_api_types::{BuildEvent, BuildStep};

use super::*;
use crate::progress::painter::Painter;
use crate::progress::screen::Screen;

fn at(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

fn canvas((width, height): (u16, u16), now: Duration) -> Canvas {
    Canvas { window: Size { height, width }, colours: Colours::Off, now }
}

fn planned(texts: &[&str]) -> Steps {
    let of = u32::try_from(texts.len()).unwrap();
    let steps = (0..of).zip(texts).map(|(step, text)| BuildStep {
        step,
        stage: "0".to_owned(),
        position: step + 1,
        of,
        text: (*text).to_owned(),
        shown: None,
    });
    let mut all = Steps::default();
    all.apply(&BuildEvent::Planned { steps: steps.collect() }, at(0));
    all
}

fn tell(steps: &mut Steps, event: &BuildEvent, now: u64) {
    steps.apply(event, at(now));
}

fn output(step: u32, text: &str) -> BuildEvent {
    BuildEvent::Output { step, stream: 1, text: text.to_owned() }
}

fn ended(step: u32, outcome: BuildOutcome) -> BuildEvent {
    BuildEvent::Ended { step, outcome }
}

/// One step cached, one with output going on, one not begun.
fn middle() -> Steps {
    let mut steps = planned(&["FROM busybox", "RUN make all", "COPY . ."]);
    tell(&mut steps, &ended(0, BuildOutcome::Cached), 1);
    tell(&mut steps, &BuildEvent::Started { step: 1 }, 2);
    let text: String = (1..=8).map(|number| format!("line {number}\n")).collect();
    tell(&mut steps, &output(1, &text), 3);
    steps
}

#[test]
fn a_running_step_shows_its_time_and_the_end_of_its_output() {
    let lines = lines(&middle(), canvas((40, 24), at(32)));
    assert_eq!(
        lines.join("\n"),
        "[+] Building 3.2s (1/3)\n \
         => CACHED [1/3] FROM busybox      0.0s\n \
         => [2/3] RUN make all             3.0s\n \
         => => # line 3\n \
         => => # line 4\n \
         => => # line 5\n \
         => => # line 6\n \
         => => # line 7\n \
         => => # line 8"
    );
}

#[test]
fn at_the_end_all_steps_stay_without_output() {
    let mut steps = middle();
    let failed = BuildOutcome::Failed("exit code: 1".to_owned());
    tell(&mut steps, &ended(1, failed), 40);
    let lines = last_lines(&steps, canvas((40, 24), at(41)));
    assert_eq!(
        lines.join("\n"),
        "[+] Building 4.1s (2/3) FINISHED\n \
         => CACHED [1/3] FROM busybox      0.0s\n \
         => ERROR [2/3] RUN make all       3.8s"
    );
}

#[test]
fn bytes_stand_below_their_step() {
    let mut steps = planned(&["FROM busybox"]);
    tell(&mut steps, &BuildEvent::Started { step: 0 }, 0);
    let advanced = |what: &str, current, total| BuildEvent::Advanced {
        step: 0,
        what: what.to_owned(),
        current,
        total,
    };
    tell(&mut steps, &advanced("sha256:abc", 1_500_000, 3_000_000), 5);
    tell(&mut steps, &advanced("context", 10, 0), 5);
    let lines = lines(&steps, canvas((50, 24), at(10)));
    assert_eq!(
        lines[1..].join("\n"),
        " => [1/1] FROM busybox                       1.0s\n \
         => => sha256:abc 1.5MB / 3MB                0.5s\n \
         => => context 10B                           0.5s"
    );
    // All times end in the last column but one.
    assert!(lines[1..].iter().all(|line| cells(line) == 49), "{lines:#?}");
}

#[test]
fn rows_are_cut_to_the_window_by_what_a_terminal_shows() {
    let steps = {
        let mut steps = planned(&["RUN echo 日本語日本語日本語日本語日本語"]);
        tell(&mut steps, &BuildEvent::Started { step: 0 }, 0);
        tell(&mut steps, &output(0, "日本語日本語日本語日本語日本語\n\x1b[2Jwild\tend\n"), 0);
        steps
    };
    for width in [8, 20, 21, 30, 200] {
        for line in lines(&steps, canvas((width, 24), at(0))) {
            assert!(cells(&line) < usize::from(width), "{width}: {line:?}");
            assert!(!line.contains('\x1b'), "{line:?}");
        }
    }
}

#[test]
fn in_a_low_window_what_goes_on_is_seen() {
    let texts: Vec<String> = (0..40).map(|number| format!("RUN step {number}")).collect();
    let mut steps = planned(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    for step in 0..30 {
        tell(&mut steps, &ended(step, BuildOutcome::Done), 1);
    }
    for step in 30..33 {
        tell(&mut steps, &BuildEvent::Started { step }, 2);
        tell(&mut steps, &output(step, "1\n2\n3\n4\n5\n6\n7\n"), 2);
    }
    for height in [1, 2, 3, 5, 8, 12, 24, 60] {
        let lines = lines(&steps, canvas((60, height), at(3)));
        let most = usize::from(height).saturating_sub(1).max(2);
        assert!(lines.len() <= most, "{height}: {lines:#?}");
        if height >= 5 {
            for number in 31..34 {
                let row = format!("[{number}/40]");
                assert!(lines.iter().any(|line| line.contains(&row)), "{height}: {lines:#?}");
            }
        }
    }
    let low = lines(&steps, canvas((60, 8), at(3)));
    assert_eq!(low.iter().filter(|line| line.contains("=> => #")).count(), 3, "{low:#?}");
}

#[test]
fn colours_do_not_disturb_the_picture() {
    let window = Size { height: 12, width: 30 };
    let mut painter = Painter::default();
    let mut screen = Screen::new(30, 12);
    let mut steps = middle();
    for now in 30..34 {
        let canvas = Canvas { window, colours: Colours::On, now: at(now) };
        screen.feed(&painter.paint(&lines(&steps, canvas), 30));
    }
    tell(&mut steps, &ended(1, BuildOutcome::Done), 35);
    let canvas = Canvas { window, colours: Colours::On, now: at(36) };
    let last = last_lines(&steps, canvas);
    assert!(last[1].starts_with("\x1b[34m"), "{last:?}");
    screen.feed(&painter.paint(&last, 30));
    assert_eq!(
        screen.text(),
        "[+] Building 3.6s (2/3) FINIS\n => CACHED [1/3] FROM bu 0.0s\n \
         => [2/3] RUN make all   3.3s\n"
    );
}
