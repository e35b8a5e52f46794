//! A build as the lines of Docker's classic builder, which the stock client and docker-py read.
//!
//! Stages run side by side here; their lines come one step after the other as if they had not. What a later step says is
//! kept until the earlier ones have ended. There are no intermediate images and containers, so no line names one.

use std::collections::BTreeMap;

use barge_api_types::{BuildResult, ProgressDetail, ProgressError, ProgressMessage};
use barge_builder::event::{Event, Outcome, StepLine};
use barge_types::Reference;

/// How much of what a step says early is kept; its beginning and, from then on, its end are what people look for.
const KEPT: usize = 1 << 20;

/// Which lines a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    /// All.
    Normal,
    /// The image's id alone (`q`).
    Quiet,
}

/// The lines of one build.
#[derive(Debug)]
pub(super) struct Classic {
    volume: Volume,
    steps: BTreeMap<u32, Step>,
    /// The step whose lines go out as they come.
    current: Option<u32>,
    image: Option<String>,
}

/// A step and what it said before its turn.
#[derive(Debug)]
struct Step {
    text: String,
    kept: Vec<ProgressMessage>,
    bytes: usize,
    is_done: bool,
}

impl Classic {
    pub(super) fn new(volume: Volume) -> Self {
        Self { volume, steps: BTreeMap::new(), current: None, image: None }
    }

    /// The lines of an event.
    pub(super) fn lines(&mut self, event: Event) -> Vec<ProgressMessage> {
        let mut out = Vec::new();
        match event {
            Event::Planned { steps } => self.plan(steps),
            Event::Started { step } => self.advance(step, &mut out),
            Event::Output { step, stream, text } => {
                // Docker's classic builder shows errors in red.
                let text = if stream == 2 { format!("\u{1b}[91m{text}\u{1b}[0m") } else { text };
                self.say(step, ProgressMessage::stream(text), &mut out);
            }
            Event::Advanced { step, what, current, total } => {
                self.say(step, bar(what, (current, total)), &mut out);
            }
            Event::Ended { step, outcome } => {
                if outcome == Outcome::Cached {
                    self.say(step, ProgressMessage::stream(" ---> Using cache\n"), &mut out);
                }
                let is_good = matches!(outcome, Outcome::Done | Outcome::Cached);
                if let Some(step) = self.steps.get_mut(&step) {
                    step.is_done = is_good;
                }
                self.go_on(&mut out);
            }
            Event::Warning(warning) => {
                out.push(ProgressMessage::stream(format!("[Warning] {}\n", warning.detail)));
            }
            Event::Image { id, names } => out.extend(self.image(id, &names)),
            Event::Failed { message, code, .. } => {
                self.flush(&mut out);
                return self.loud(out).into_iter().chain([failure(message, code)]).collect();
            }
            // Fetched by barge's own client, which hears events.
            Event::Ready { .. } => {}
        }
        self.loud(out)
    }

    fn loud(&self, lines: Vec<ProgressMessage>) -> Vec<ProgressMessage> {
        match self.volume {
            Volume::Normal => lines,
            Volume::Quiet => Vec::new(),
        }
    }

    /// The last line of a quiet build.
    pub(super) fn last(&mut self) -> Option<ProgressMessage> {
        let id = self.image.take()?;
        (self.volume == Volume::Quiet).then(|| ProgressMessage::stream(format!("{id}\n")))
    }

    fn plan(&mut self, steps: Vec<StepLine>) {
        for line in steps {
            let step = Step { text: line.text, kept: Vec::new(), bytes: 0, is_done: false };
            self.steps.insert(line.step, step);
        }
    }

    /// Begins with the first step when nothing has begun.
    fn advance(&mut self, step: u32, out: &mut Vec<ProgressMessage>) {
        if self.current.is_none() {
            let first = self.steps.keys().next().copied().unwrap_or(step);
            self.begin(first, out);
            self.go_on(out);
        }
    }

    fn begin(&mut self, step: u32, out: &mut Vec<ProgressMessage>) {
        self.current = Some(step);
        let position = self.steps.range(..=step).count();
        let count = self.steps.len();
        if let Some(step) = self.steps.get_mut(&step) {
            out.push(ProgressMessage::stream(format!("Step {position}/{count} : {}", step.text)));
            out.push(ProgressMessage::stream("\n"));
            out.append(&mut step.kept);
        }
    }

    /// Shows those whose turn has come.
    fn go_on(&mut self, out: &mut Vec<ProgressMessage>) {
        while let Some(current) = self.current
            && self.steps.get(&current).is_none_or(|step| step.is_done)
            && let Some(next) = self.steps.range(current.saturating_add(1)..).next()
        {
            let next = *next.0;
            self.begin(next, out);
        }
    }

    fn say(&mut self, step: u32, line: ProgressMessage, out: &mut Vec<ProgressMessage>) {
        if self.current == Some(step) {
            out.push(line);
            return;
        }
        let is_past = self.current.is_some_and(|current| step < current);
        match self.steps.get_mut(&step) {
            Some(step) if !is_past => step.keep(line),
            Some(_) | None => out.push(line),
        }
    }

    /// A build that failed shows what its other steps said so far: the one that failed may be among them.
    fn flush(&mut self, out: &mut Vec<ProgressMessage>) {
        let current = self.current.map_or(0, |current| current.saturating_add(1));
        let said: Vec<u32> = self
            .steps
            .range(current..)
            .filter(|(_, step)| !step.kept.is_empty())
            .map(|(number, _)| *number)
            .collect();
        for step in said {
            self.begin(step, out);
        }
    }

    fn image(&mut self, id: String, names: &[String]) -> Vec<ProgressMessage> {
        let mut lines = Vec::new();
        let short: String = id.trim_start_matches("sha256:").chars().take(12).collect();
        lines.push(ProgressMessage {
            aux: serde_json::to_value(BuildResult { id: id.clone() }).ok(),
            ..ProgressMessage::default()
        });
        lines.push(ProgressMessage::stream(format!("Successfully built {short}\n")));
        let tagged = names.iter().map(|name| format!("Successfully tagged {}\n", familiar(name)));
        lines.extend(tagged.map(ProgressMessage::stream));
        self.image = Some(id);
        lines
    }
}

impl Step {
    fn keep(&mut self, line: ProgressMessage) {
        // A bar that nobody saw is of no use later.
        if line.progress_detail.is_some() {
            return;
        }
        self.bytes += line.stream.len();
        self.kept.push(line);
        while self.bytes > KEPT && self.kept.len() > 1 {
            self.bytes -= self.kept.remove(0).stream.len();
        }
    }
}

/// A name as people write it.
fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}

fn bar(id: String, (current, total): (u64, u64)) -> ProgressMessage {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let detail = ProgressDetail {
        current: signed(current),
        total: signed(total),
        ..ProgressDetail::default()
    };
    ProgressMessage { id, progress_detail: Some(detail), ..ProgressMessage::status("Downloading") }
}

fn failure(message: String, code: Option<i32>) -> ProgressMessage {
    let detail = ProgressError { code: code.map_or(0, i64::from), message: message.clone() };
    ProgressMessage { error_detail: Some(detail), error: message, ..ProgressMessage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u32, text: &str) -> StepLine {
        StepLine { step, stage: String::new(), position: 1, of: 1, text: text.to_owned() }
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
}
