//! A build as the lines of Docker's classic builder, which the stock client and docker-py read.
//!
//! Stages run side by side here; their lines come one step after the other as if they had not. What a later step says is
//! kept until the earlier ones have ended.
//!
//! `--->` names the image in the end, and bases; in between it names what a step came to, as Docker does, of which there
//! is no image here. What a step ran in is always removed.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

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
    steps: HashMap<u32, Step>,
    /// The steps in the order in which they are told.
    order: Vec<u32>,
    /// The place in it of the step whose lines go out as they come.
    current: Option<usize>,
    /// Warnings that came while steps went on: told with the image.
    late: Vec<ProgressMessage>,
    image: Option<String>,
}

/// A step and what it said before its turn.
#[derive(Debug)]
struct Step {
    /// What it begins with.
    title: Title,
    stage: String,
    kept: Vec<ProgressMessage>,
    bytes: usize,
    /// The container, as Docker calls what a step runs in.
    process: Option<String>,
    made: Option<String>,
    progress: StepProgress,
}

/// How far a step is. Until it has started, triggers may come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepProgress {
    Waiting,
    Started,
    Done,
    Failed,
}

#[derive(Debug)]
enum Title {
    /// `Step 1/3 : …`
    Instruction { text: String, number: usize },
    /// The first one of so many triggers of a base.
    Triggers(usize),
    /// A trigger after the first one.
    Trigger,
}

impl Classic {
    pub(super) fn new(volume: Volume) -> Self {
        Self {
            volume,
            steps: HashMap::new(),
            order: Vec::new(),
            current: None,
            late: Vec::new(),
            image: None,
        }
    }

    /// The lines of an event.
    pub(super) fn lines(&mut self, event: Event) -> Vec<ProgressMessage> {
        let mut out = Vec::new();
        match event {
            Event::Planned { steps } => self.plan(steps),
            Event::Started { step } => self.advance(step, &mut out),
            Event::Running { step, process } => {
                let line = format!(" ---> Running in {}\n", short(&process));
                self.say(step, ProgressMessage::stream(line), &mut out);
                self.note(step, |step| step.process = Some(process));
            }
            Event::Made { step, id } => self.note(step, |step| step.made = Some(id)),
            Event::Output { step, stream, text } if self.steps.contains_key(&step) => {
                // Docker's classic builder shows errors in red.
                let text = if stream == 2 { format!("\u{1b}[91m{text}\u{1b}[0m") } else { text };
                self.say(step, ProgressMessage::stream(text), &mut out);
            }
            Event::Advanced { step, what, current, total } if self.steps.contains_key(&step) => {
                self.say(step, bar(what, (current, total)), &mut out);
            }
            Event::Ended { step, outcome } => self.end(step, &outcome, &mut out),
            Event::Warning(warning) => {
                let line = ProgressMessage::stream(format!("[Warning] {}\n", warning.detail));
                if self.current.is_none() { out.push(line) } else { self.late.push(line) }
            }
            Event::Image { id, names } => out.extend(self.image(id, &names)),
            Event::Failed { message, code, .. } => {
                self.flush(&mut out);
                return self.loud(out).into_iter().chain([failure(message, code)]).collect();
            }
            // Fetched by barge's own client, which hears events.
            Event::Ready { .. } | Event::Described { .. } | Event::Pushed { .. } => {}
            // What goes on around the steps dockerd does not tell.
            Event::Advanced { .. } | Event::Output { .. } => {}
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

    /// Steps that are told of once others are known are the triggers of a base.
    fn plan(&mut self, mut lines: Vec<StepLine>) {
        // What goes on around the stages has no place among the steps of a Dockerfile.
        lines.retain(|line| !line.stage.is_empty());
        if lines.is_empty() {
            return;
        }
        if self.order.is_empty() {
            for (number, line) in (1..).zip(lines) {
                let title = Title::Instruction { text: line.text, number };
                self.add((self.order.len(), line.step), line.stage, title);
            }
            return;
        }
        let Some(stage) = lines.first().map(|line| line.stage.clone()) else { return };
        let of_stage = |step: &u32| self.steps.get(step).is_some_and(|step| step.stage == stage);
        // Right after `FROM`.
        let first = self.order.iter().position(of_stage).unwrap_or_default() + 1;
        let count = lines.len();
        for (index, line) in lines.into_iter().enumerate() {
            let title = if index == 0 { Title::Triggers(count) } else { Title::Trigger };
            self.add((first + index, line.step), line.stage, title);
        }
        if let Some(current) = self.current.as_mut().filter(|current| **current >= first) {
            *current += count;
        }
    }

    fn add(&mut self, (at, step): (usize, u32), stage: String, title: Title) {
        self.order.insert(at, step);
        let new = Step {
            title,
            stage,
            kept: Vec::new(),
            bytes: 0,
            process: None,
            made: None,
            progress: StepProgress::Waiting,
        };
        self.steps.insert(step, new);
    }

    fn note(&mut self, step: u32, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(&step) {
            change(step);
        }
    }

    /// A step starts, and is told of when its turn has come.
    fn advance(&mut self, step: u32, out: &mut Vec<ProgressMessage>) {
        self.note(step, |step| step.progress = StepProgress::Started);
        self.go_on(out);
    }

    fn end(&mut self, number: u32, outcome: &Outcome, out: &mut Vec<ProgressMessage>) {
        let is_good = matches!(outcome, Outcome::Done | Outcome::Cached);
        if matches!(outcome, Outcome::Failed(_)) {
            self.note(number, |step| step.progress = StepProgress::Failed);
        }
        let is_last = self.order.last() == Some(&number);
        let Some(step) = self.steps.get_mut(&number) else { return };
        let mut lines = Vec::new();
        if *outcome == Outcome::Cached {
            lines.push(" ---> Using cache\n".to_owned());
        }
        if is_good {
            step.progress = StepProgress::Done;
            if let Some(process) = step.process.take() {
                let process = short(&process);
                lines.push(format!("Removing intermediate container {process}\n"));
            }
            // The last one is the image, whose id is not known yet.
            if let Some(made) = step.made.take_if(|_| !is_last) {
                lines.push(arrow(&made));
            }
        }
        for line in lines {
            self.say(number, ProgressMessage::stream(line), out);
        }
        self.go_on(out);
    }

    fn begin(&mut self, place: usize, out: &mut Vec<ProgressMessage>) {
        self.current = Some(place);
        let count = self.steps.values().filter(|step| step.is_instruction()).count();
        if let Some(step) = self.order.get(place).and_then(|step| self.steps.get_mut(step)) {
            match &step.title {
                Title::Instruction { text, number } => {
                    out.push(ProgressMessage::stream(format!("Step {number}/{count} : {text}")));
                    out.push(ProgressMessage::stream("\n"));
                }
                Title::Triggers(count) => {
                    let plural = if *count == 1 { "" } else { "s" };
                    let line = format!("# Executing {count} build trigger{plural}\n");
                    out.push(ProgressMessage::stream(line));
                }
                Title::Trigger => {}
            }
            out.append(&mut step.kept);
        }
    }

    fn progress(&self, place: usize) -> Option<StepProgress> {
        let step = self.order.get(place).and_then(|step| self.steps.get(step));
        step.map(|step| step.progress)
    }

    /// Shows those whose turn has come.
    fn go_on(&mut self, out: &mut Vec<ProgressMessage>) {
        loop {
            let next = match self.current {
                None => 0,
                Some(current) if self.progress(current) == Some(StepProgress::Done) => current + 1,
                Some(_) => return,
            };
            match self.progress(next) {
                None | Some(StepProgress::Waiting) => return,
                Some(StepProgress::Started | StepProgress::Done | StepProgress::Failed) => {
                    self.begin(next, out);
                }
            }
        }
    }

    fn say(&mut self, step: u32, line: ProgressMessage, out: &mut Vec<ProgressMessage>) {
        let place = self.order.iter().position(|other| *other == step);
        let is_told = place.zip(self.current).is_some_and(|(place, current)| place <= current);
        match self.steps.get_mut(&step) {
            Some(step) if !is_told => step.keep(line),
            Some(_) | None => out.push(line),
        }
    }

    /// A build that failed shows the step that did, whatever its turn, and those of the same stage that led to it. Where none
    /// is known to have failed, it may be any that said something.
    fn flush(&mut self, out: &mut Vec<ProgressMessage>) {
        let next = self.current.map_or(0, |current| current + 1);
        let failed = self.steps.values().find(|step| step.progress == StepProgress::Failed);
        let stage = failed.map(|step| step.stage.clone());
        for place in next..self.order.len() {
            let is_shown = self.steps.get(&self.order[place]).is_some_and(|step| match &stage {
                Some(stage) => step.stage == *stage && step.progress != StepProgress::Waiting,
                None => !step.kept.is_empty(),
            });
            if is_shown {
                self.begin(place, out);
            }
        }
    }

    fn image(&mut self, id: String, names: &[String]) -> Vec<ProgressMessage> {
        let mut lines = Vec::new();
        let last = self.order.last().and_then(|step| self.steps.get_mut(step));
        if last.is_some_and(|step| step.made.take().is_some()) {
            lines.push(ProgressMessage::stream(arrow(&id)));
        }
        lines.push(ProgressMessage {
            aux: serde_json::to_value(BuildResult { id: id.clone() }).ok(),
            ..ProgressMessage::default()
        });
        lines.append(&mut self.late);
        lines.push(ProgressMessage::stream(format!("Successfully built {}\n", short(&id))));
        let tagged = names.iter().map(|name| format!("Successfully tagged {}\n", familiar(name)));
        lines.extend(tagged.map(ProgressMessage::stream));
        self.image = Some(id);
        lines
    }
}

impl Step {
    fn is_instruction(&self) -> bool {
        matches!(self.title, Title::Instruction { .. })
    }

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

fn arrow(id: &str) -> String {
    format!(" ---> {}\n", short(id))
}

/// An id as people are shown it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
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
