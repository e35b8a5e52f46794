//! The steps of a build as they are known: what each is called, how far it is, what it wrote.
//!
//! Pure: takes events and points in time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use barge_api_types::{BuildEvent, BuildOutcome, BuildStep};

use crate::progress::cells::clean;

/// Lines of a step that are kept, to be shown when it fails.
const KEPT: usize = 200;

/// Which step: one of the daemon's, or something that we do ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Daemon(u32),
    Own(u32),
}

/// All steps, in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Steps {
    list: Vec<Step>,
    /// Those that have begun, in that order.
    seen: Vec<Key>,
    own: u32,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) key: Key,
    line: BuildStep,
    pub(super) state: State,
    pub(super) log: Log,
    pub(super) transfers: Vec<Transfer>,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running { since: Duration },
    Ended { since: Duration, at: Duration, outcome: BuildOutcome },
}

/// Bytes moved within a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) what: String,
    pub(super) current: u64,
    pub(super) total: u64,
    pub(super) since: Duration,
    /// When it was complete.
    pub(super) ended: Option<Duration>,
}

/// What a step's process wrote.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<(Duration, String)>,
    /// Older lines that are not kept.
    pub(super) dropped: usize,
    /// Lines that have no end yet, of standard output and error.
    begun: [String; 2],
}

/// What an event came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Begun(Key),
    /// Whole lines, with the time since the step began.
    Wrote(Key, Vec<(Duration, String)>),
    /// Lines of ours.
    Said(Key, Vec<String>),
    /// A transfer, by its place in the step, is complete.
    Moved(Key, usize),
    /// With the lines that had no end.
    Ended(Key, Vec<(Duration, String)>),
    /// Nothing to tell.
    Nothing,
}

impl Steps {
    /// Takes note of an event.
    pub(super) fn apply(&mut self, event: &BuildEvent, now: Duration) -> Happening {
        match event {
            BuildEvent::Planned { steps } => {
                for line in steps {
                    self.plan(line);
                }
                Happening::Nothing
            }
            BuildEvent::Started { step } => self.begin(Key::Daemon(*step), now),
            BuildEvent::Output { step, stream, text } => {
                let key = Key::Daemon(*step);
                let step = self.step_mut(key);
                let since = step.began().unwrap_or(now);
                let lines = step.log.push((usize::from(*stream == 2), text), now - since);
                self.note(key);
                Happening::Wrote(key, lines)
            }
            BuildEvent::Advanced { step, what, current, total } => {
                self.advance(Key::Daemon(*step), (what, *current, *total), now)
            }
            BuildEvent::Ended { step, outcome } => {
                self.end(Key::Daemon(*step), outcome.clone(), now)
            }
            BuildEvent::Warning(_)
            | BuildEvent::Described { .. }
            | BuildEvent::Image { .. }
            | BuildEvent::Pushed { .. }
            | BuildEvent::Ready { .. }
            | BuildEvent::Failed { .. } => Happening::Nothing,
        }
    }

    /// Something that we do ourselves begins.
    pub(super) fn begin_own(&mut self, text: &str, now: Duration) -> (Key, Happening) {
        let key = Key::Own(self.own);
        self.own += 1;
        let line = BuildStep { text: text.to_owned(), ..BuildStep::default() };
        self.list.push(Step::new(key, line));
        (key, self.begin(key, now))
    }

    /// Something of ours that is over at once, and what there is to say of it.
    pub(super) fn all_of_own(
        &mut self,
        text: &str,
        lines: Vec<String>,
        now: Duration,
    ) -> [Happening; 3] {
        let (key, begun) = self.begin_own(text, now);
        [begun, Happening::Said(key, lines), self.end(key, BuildOutcome::Done, now)]
    }

    fn plan(&mut self, line: &BuildStep) {
        let key = Key::Daemon(line.step);
        match self.list.iter_mut().find(|step| step.key == key) {
            Some(step) => step.line.clone_from(line),
            None => self.list.push(Step::new(key, line.clone())),
        }
    }

    fn begin(&mut self, key: Key, now: Duration) -> Happening {
        let step = self.step_mut(key);
        step.state = State::Running { since: now };
        if self.note(key) { Happening::Begun(key) } else { Happening::Nothing }
    }

    pub(super) fn advance(
        &mut self,
        key: Key,
        (what, current, total): (&str, u64, u64),
        now: Duration,
    ) -> Happening {
        self.note(key);
        let step = self.step_mut(key);
        let place = match step.transfers.iter().position(|transfer| transfer.what == what) {
            Some(place) => place,
            None => {
                step.transfers.push(Transfer {
                    what: what.to_owned(),
                    current: 0,
                    total,
                    since: now,
                    ended: None,
                });
                step.transfers.len() - 1
            }
        };
        let Some(transfer) = step.transfers.get_mut(place) else {
            return Happening::Nothing;
        };
        transfer.current = current;
        transfer.total = total;
        if total > 0 && current >= total && transfer.ended.is_none() {
            transfer.ended = Some(now);
            return Happening::Moved(key, place);
        }
        Happening::Nothing
    }

    pub(super) fn end(&mut self, key: Key, outcome: BuildOutcome, now: Duration) -> Happening {
        let step = self.step_mut(key);
        let since = step.began().unwrap_or(now);
        step.state = State::Ended { since, at: now, outcome };
        for transfer in &mut step.transfers {
            transfer.ended.get_or_insert(now);
        }
        let rest = step.log.flush(now - since);
        if self.note(key) { Happening::Ended(key, rest) } else { Happening::Nothing }
    }

    /// What still goes on when the build ends has been stopped.
    pub(super) fn stop(&mut self, now: Duration) -> Vec<Happening> {
        let is_running = |step: &&Step| matches!(step.state, State::Running { .. });
        let running: Vec<Key> = self.list.iter().filter(is_running).map(|step| step.key).collect();
        running.into_iter().map(|key| self.end(key, BuildOutcome::Cancelled, now)).collect()
    }

    /// The steps that have begun, in that order.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Step> {
        self.seen.iter().filter_map(|key| self.step(*key))
    }

    /// The number that people see: from 1, in the order in which steps begin.
    pub(super) fn number(&self, key: Key) -> usize {
        self.seen.iter().position(|seen| *seen == key).map_or(0, |place| place + 1)
    }

    /// How many have ended, of how many.
    pub(super) fn count(&self) -> (usize, usize) {
        let is_ended = |step: &&Step| matches!(step.state, State::Ended { .. });
        let counted = || self.list.iter().filter(|step| !step.is_silent());
        (counted().filter(is_ended).count(), counted().count())
    }

    pub(super) fn step(&self, key: Key) -> Option<&Step> {
        self.list.iter().find(|step| step.key == key)
    }

    /// The one that failed.
    pub(super) fn failed(&self) -> Option<&Step> {
        self.list.iter().find(|step| step.has_failed())
    }

    /// `[build 2/5] RUN make`.
    pub(super) fn name(&self, step: &Step) -> String {
        let line = &step.line;
        let text = line.shown.as_deref().unwrap_or(&line.text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = clean(&text);
        if line.stage.is_empty() {
            // Steps around the stages; what comes from elsewhere and goes there is no internal matter.
            let is_told = ["exporting", "importing", "pushing"];
            let is_told = is_told.iter().any(|word| text.starts_with(word));
            return if is_told { text } else { format!("[internal] {text}") };
        }
        let stages: BTreeSet<&str> = self
            .list
            .iter()
            .map(|step| step.line.stage.as_str())
            .filter(|stage| !stage.is_empty())
            .collect();
        let number = line.stage.strip_prefix("stage-").unwrap_or(&line.stage);
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let stage = match (is_number, stages.len()) {
            (true, ..=1) => String::new(),
            (true, _) => format!("stage-{number} "),
            (false, _) => format!("{} ", clean(&line.stage)),
        };
        if step.is_silent() && stage.is_empty() {
            return text;
        }
        if step.is_silent() {
            return format!("[{}] {text}", stage.trim_end());
        }
        format!("[{stage}{}/{}] {text}", line.position, line.of)
    }

    /// One that nobody planned is there all the same.
    fn step_mut(&mut self, key: Key) -> &mut Step {
        let place = self.list.iter().position(|step| step.key == key).unwrap_or_else(|| {
            self.list.push(Step::new(key, BuildStep::default()));
            self.list.len() - 1
        });
        &mut self.list[place]
    }

    /// Lists it among those that have begun; one that makes no files only when it goes wrong.
    fn note(&mut self, key: Key) -> bool {
        let is_told = self.step(key).is_none_or(|step| !step.is_silent() || step.has_failed());
        if is_told && !self.seen.contains(&key) {
            self.seen.push(key);
        }
        is_told
    }
}

impl Step {
    fn new(key: Key, line: BuildStep) -> Self {
        Self { key, line, state: State::Waiting, log: Log::default(), transfers: Vec::new() }
    }

    fn began(&self) -> Option<Duration> {
        match self.state {
            State::Waiting => None,
            State::Running { since } | State::Ended { since, .. } => Some(since),
        }
    }

    /// How long it has been going on, or went on.
    pub(super) fn took(&self, now: Duration) -> Duration {
        match self.state {
            State::Waiting => Duration::ZERO,
            State::Running { since } => now.saturating_sub(since),
            State::Ended { since, at, .. } => at.saturating_sub(since),
        }
    }

    fn has_failed(&self) -> bool {
        matches!(&self.state, State::Ended { outcome: BuildOutcome::Failed(_), .. })
    }

    /// `ENV`, `CMD` and the like: they make no files and take no time, and BuildKit's users do not
    /// see them.
    pub(super) fn is_silent(&self) -> bool {
        !self.line.stage.is_empty() && self.line.position == 0
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}

impl Log {
    /// Adds text; gives the lines that it ended.
    fn push(&mut self, (stream, text): (usize, &str), at: Duration) -> Vec<(Duration, String)> {
        let mut ended = Vec::new();
        let begun = &mut self.begun[stream & 1];
        for part in text.split_inclusive('\n') {
            begun.push_str(part.trim_end_matches('\n'));
            if part.ends_with('\n') {
                ended.push((at, std::mem::take(begun)));
            }
        }
        self.keep(&ended);
        ended
    }

    fn flush(&mut self, at: Duration) -> Vec<(Duration, String)> {
        let begun = self.begun.iter_mut().filter(|line| !line.is_empty());
        let ended: Vec<_> = begun.map(|line| (at, std::mem::take(line))).collect();
        self.keep(&ended);
        ended
    }

    fn keep(&mut self, lines: &[(Duration, String)]) {
        self.lines.extend(lines.iter().cloned());
        while self.lines.len() > KEPT {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }

    /// What is kept.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &(Duration, String)> {
        self.lines.iter()
    }

    /// The last `count` lines as a terminal would show them, those without an end included.
    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let begun = self.begun.iter().filter(|line| !line.is_empty());
        let lines = self.lines.iter().map(|(_, line)| line).chain(begun);
        let mut tail: VecDeque<String> = VecDeque::new();
        for line in lines {
            if tail.len() == count {
                tail.pop_front();
            }
            tail.push_back(clean(line));
        }
        tail.truncate(count);
        tail.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn line(step: u32, stage: &str, position: u32) -> BuildStep {
        BuildStep {
            step,
            stage: stage.to_owned(),
            position,
            of: 3,
            text: "RUN a \\\n  b".to_owned(),
            shown: None,
        }
    }

    fn names(lines: Vec<BuildStep>) -> Vec<String> {
        let mut steps = Steps::default();
        steps.apply(&BuildEvent::Planned { steps: lines }, at(0));
        steps.list.iter().map(|step| steps.name(step)).collect()
    }

    #[test]
    fn steps_are_called_by_their_stage() {
        assert_eq!(names(vec![line(0, "0", 2)]), ["[2/3] RUN a \\ b"]);
        assert_eq!(
            names(vec![line(0, "build", 1), line(1, "1", 2)]),
            ["[build 1/3] RUN a \\ b", "[stage-1 2/3] RUN a \\ b"]
        );
        let internal = BuildStep { text: "load x".to_owned(), ..BuildStep::default() };
        let export =
            BuildStep { step: 1, text: "exporting to image".to_owned(), ..internal.clone() };
        assert_eq!(names(vec![internal, export]), ["[internal] load x", "exporting to image"]);
    }

    #[test]
    fn unnamed_stages_have_the_same_names_however_they_come() {
        assert_eq!(names(vec![line(0, "stage-0", 2)]), ["[2/3] RUN a \\ b"]);
        assert_eq!(
            names(vec![line(0, "stage-0", 1), line(1, "stage-1", 2)]),
            ["[stage-0 1/3] RUN a \\ b", "[stage-1 2/3] RUN a \\ b"]
        );
    }

    #[test]
    fn what_makes_no_files_is_told_only_when_it_goes_wrong() {
        let mut steps = Steps::default();
        let lines = vec![line(0, "a", 1), line(1, "a", 0), line(2, "a", 0)];
        steps.apply(&BuildEvent::Planned { steps: lines }, at(0));
        assert_eq!(steps.apply(&BuildEvent::Started { step: 1 }, at(0)), Happening::Nothing);
        assert_eq!(steps.end(Key::Daemon(1), BuildOutcome::Done, at(0)), Happening::Nothing);
        assert_eq!((steps.seen().count(), steps.count()), (0, (0, 1)));
        let failed = BuildOutcome::Failed("x".to_owned());
        let ended = steps.end(Key::Daemon(2), failed, at(0));
        assert_eq!(ended, Happening::Ended(Key::Daemon(2), Vec::new()));
        assert_eq!(steps.name(steps.failed().unwrap()), "[a] RUN a \\ b");
    }

    #[test]
    fn of_the_only_stage_what_makes_no_files_is_called_by_its_text() {
        assert_eq!(names(vec![line(0, "stage-0", 0)]), ["RUN a \\ b"]);
    }

    #[test]
    fn output_is_cut_into_lines_however_it_comes() {
        let mut steps = Steps::default();
        let mut write = |stream: u8, text: &str, now: u64| {
            let text = text.to_owned();
            let event = BuildEvent::Output { step: 0, stream, text };
            let Happening::Wrote(_, lines) = steps.apply(&event, at(now)) else {
                panic!("output is written")
            };
            lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>()
        };
        assert_eq!(write(1, "a\nb", 1), ["a"]);
        assert_eq!(write(2, "error\n", 2), ["error"]);
        assert_eq!(write(1, "c\n\nd", 3), ["bc", ""]);
        let ended = steps.end(Key::Daemon(0), BuildOutcome::Done, at(4));
        assert_eq!(ended, Happening::Ended(Key::Daemon(0), vec![(at(0), "d".to_owned())]));
        assert_eq!(steps.step(Key::Daemon(0)).unwrap().log.tail(2), ["", "d"]);
    }

    #[test]
    fn old_output_is_forgotten_but_counted() {
        let mut log = Log::default();
        for number in 0..KEPT + 5 {
            log.push((0, &format!("{number}\n")), at(0));
        }
        assert_eq!(log.dropped, 5);
        assert_eq!(log.lines().next().unwrap().1, "5");
        assert_eq!(log.tail(1), ["204"]);
    }

    #[test]
    fn a_transfer_is_complete_once() {
        let mut steps = Steps::default();
        let key = Key::Daemon(4);
        assert_eq!(steps.advance(key, ("x", 1, 2), at(1)), Happening::Nothing);
        assert_eq!(steps.advance(key, ("x", 2, 2), at(2)), Happening::Moved(key, 0));
        assert_eq!(steps.advance(key, ("x", 2, 2), at(3)), Happening::Nothing);
        assert_eq!(steps.advance(key, ("y", 5, 0), at(3)), Happening::Nothing);
        assert_eq!(steps.count(), (0, 1));
        steps.end(key, BuildOutcome::Done, at(5));
        assert_eq!(steps.count(), (1, 1));
    }
}
