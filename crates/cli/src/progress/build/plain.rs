//! The steps as lines, for logs and pipes: BuildKit's form, which scripts read.

use std::fmt::Write as _;
use std::time::Duration;

use barge_api_types::BuildOutcome;

use super::live::bytes;
use super::steps::{Happening, Key, State, Steps};

/// Lines of several steps, each begun by a header when the step changes.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Whose lines stood last.
    current: Option<Key>,
}

impl Plain {
    /// The lines of what happened.
    pub(super) fn tell(&mut self, steps: &Steps, happening: &Happening) -> String {
        let mut text = String::new();
        match happening {
            Happening::Nothing => {}
            Happening::Begun(key) => self.head(steps, *key, &mut text),
            Happening::Wrote(key, lines) => self.lines(steps, (*key, lines), &mut text),
            Happening::Said(key, lines) => {
                self.head(steps, *key, &mut text);
                for line in lines {
                    writeln!(text, "#{} {line}", steps.number(*key)).ok();
                }
            }
            Happening::Moved(key, place) => {
                self.head(steps, *key, &mut text);
                let transfer = steps.step(*key).and_then(|step| step.transfers.get(*place));
                if let Some(transfer) = transfer {
                    let took = transfer.ended.unwrap_or_default().saturating_sub(transfer.since);
                    let (number, what) = (steps.number(*key), &transfer.what);
                    let time = took.as_secs_f64();
                    // Writing to a string cannot fail.
                    writeln!(text, "#{number} {what} {} {time:.1}s done", bytes(transfer)).ok();
                }
            }
            Happening::Ended(key, lines) => {
                self.lines(steps, (*key, lines), &mut text);
                self.head(steps, *key, &mut text);
                let number = steps.number(*key);
                if let Some(end) = steps.step(*key).and_then(|step| end(&step.state)) {
                    writeln!(text, "#{number} {end}").ok();
                }
            }
        }
        text
    }

    fn lines(
        &mut self,
        steps: &Steps,
        (key, lines): (Key, &[(Duration, String)]),
        text: &mut String,
    ) {
        if lines.is_empty() {
            return;
        }
        self.head(steps, key, text);
        let number = steps.number(key);
        for (at, line) in lines {
            let line = line.trim_end_matches('\r');
            writeln!(text, "#{number} {:.3} {line}", at.as_secs_f64()).ok();
        }
    }

    /// Says whose lines follow, when others stood before.
    fn head(&mut self, steps: &Steps, key: Key, text: &mut String) {
        if self.current == Some(key) {
            return;
        }
        if let Some(last) = self.current.replace(key) {
            if steps.step(last).is_some_and(super::steps::Step::is_running) {
                // It goes on later.
                writeln!(text, "#{} ...", steps.number(last)).ok();
            }
            text.push('\n');
        }
        if let Some(step) = steps.step(key) {
            writeln!(text, "#{} {}", steps.number(key), steps.name(step)).ok();
        }
    }
}

fn end(state: &State) -> Option<String> {
    let State::Ended { since, at, outcome } = state else {
        return None;
    };
    Some(match outcome {
        BuildOutcome::Done => format!("DONE {:.1}s", at.saturating_sub(*since).as_secs_f64()),
        BuildOutcome::Cached => "CACHED".to_owned(),
        BuildOutcome::Cancelled => "CANCELED".to_owned(),
        BuildOutcome::Failed(message) => format!("ERROR: {message}"),
    })
}

#[cfg(test)]
mod tests {
    use barge_api_types::{BuildEvent, BuildStep};

    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The lines of events at their times.
    fn told(events: &[(u64, BuildEvent)]) -> String {
        let (mut steps, mut plain) = (Steps::default(), Plain::default());
        let lines = events.iter().map(|(now, event)| {
            let happening = steps.apply(event, at(*now));
            plain.tell(&steps, &happening)
        });
        lines.collect()
    }

    fn planned() -> (u64, BuildEvent) {
        let step = |step, text: &str| BuildStep {
            step,
            stage: "0".to_owned(),
            position: step + 1,
            of: 3,
            text: text.to_owned(),
            shown: None,
        };
        let steps = vec![step(0, "FROM busybox"), step(1, "RUN make"), step(2, "COPY . .")];
        (0, BuildEvent::Planned { steps })
    }

    fn output(step: u32, text: &str) -> BuildEvent {
        BuildEvent::Output { step, stream: 1, text: text.to_owned() }
    }

    fn ended(step: u32, outcome: BuildOutcome) -> BuildEvent {
        BuildEvent::Ended { step, outcome }
    }

    #[test]
    fn lines_are_as_buildkits() {
        let text = told(&[
            planned(),
            (10, ended(0, BuildOutcome::Cached)),
            (20, BuildEvent::Started { step: 1 }),
            (143, output(1, "one\ntwo\r\nthr")),
            (200, output(1, "ee")),
            (220, ended(1, BuildOutcome::Done)),
        ]);
        assert_eq!(
            text,
            "#1 [1/3] FROM busybox\n#1 CACHED\n\n#2 [2/3] RUN make\n#2 0.123 one\n#2 0.123 two\n\
             #2 0.200 three\n#2 DONE 0.2s\n"
        );
    }

    #[test]
    fn steps_side_by_side_say_whose_lines_follow() {
        let failed = BuildOutcome::Failed("exit code: 1".to_owned());
        let text = told(&[
            planned(),
            (0, BuildEvent::Started { step: 1 }),
            (0, BuildEvent::Started { step: 2 }),
            (0, output(1, "a\n")),
            (0, output(1, "b\n")),
            (0, ended(2, failed)),
            (0, ended(1, BuildOutcome::Cancelled)),
        ]);
        assert_eq!(
            text,
            "#1 [2/3] RUN make\n#1 ...\n\n#2 [3/3] COPY . .\n#2 ...\n\n#1 [2/3] RUN make\n\
             #1 0.000 a\n#1 0.000 b\n#1 ...\n\n#2 [3/3] COPY . .\n#2 ERROR: exit code: 1\n\n\
             #1 [2/3] RUN make\n#1 CANCELED\n"
        );
    }

    #[test]
    fn what_becomes_of_the_result_is_a_step_too() {
        let (mut steps, mut plain) = (Steps::default(), Plain::default());
        let mut shown = plain.tell(&steps, &Happening::Nothing);
        let lines = vec!["writing image sha256:1 done".to_owned(), "naming to a:1 done".to_owned()];
        for happening in steps.all_of_own("exporting to image", lines, at(5)) {
            shown.push_str(&plain.tell(&steps, &happening));
        }
        assert_eq!(
            shown,
            "#1 exporting to image\n#1 writing image sha256:1 done\n#1 naming to a:1 done\n#1 DONE 0.0s\n"
        );
    }

    #[test]
    fn bytes_are_told_when_they_are_all_there() {
        let advanced = |current| BuildEvent::Advanced {
            step: 0,
            what: "sha256:abc".to_owned(),
            current,
            total: 3_000_000,
        };
        let text = told(&[
            planned(),
            (0, BuildEvent::Started { step: 0 }),
            (100, advanced(1000)),
            (400, advanced(3_000_000)),
            (500, ended(0, BuildOutcome::Done)),
        ]);
        assert_eq!(
            text,
            "#1 [1/3] FROM busybox\n#1 sha256:abc 3MB / 3MB 0.3s done\n#1 DONE 0.5s\n"
        );
    }
}
