//! The stages of a plan as threads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_dockerfile::ast::{Instruction, Located, Stage};

use super::Running;
use super::slots::Slots;
use super::state::StageState;
use crate::error::{BuildError, Result};
use crate::event::StepLine;
use crate::plan::{Plan, circle, circular};
use crate::provenance::Evidence;

/// A plan on its way.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) running: &'a Running<'a>,
    pub(crate) plan: Plan,
    pub(crate) slots: Slots,
    /// Stages that run or ran, with the numbers of their first steps.
    begun: Mutex<BTreeMap<usize, u32>>,
    /// Stages that wait for others, as their instructions and triggers came to it.
    asked: Mutex<BTreeSet<(usize, usize)>>,
    /// Before each stage's name, when there are several platforms.
    prefix: String,
    error: Mutex<Option<BuildError>>,
    evidence: Mutex<Evidence>,
}

impl<'a> Graph<'a> {
    /// Gives numbers to the steps; returns their lines, to be announced.
    pub(crate) fn new(running: &'a Running<'a>, plan: Plan) -> (Self, Vec<StepLine>) {
        let prefix = match running.request.platforms.len() {
            0 | 1 => String::new(),
            _ => format!("{} ", plan.platform),
        };
        let slots = Slots::new(plan.stages.len());
        let (begun, asked, error) = (Mutex::default(), Mutex::default(), Mutex::new(None));
        let evidence = Mutex::default();
        let graph = Self { running, plan, slots, begun, asked, prefix, error, evidence };
        let lines = graph.plan.needed.iter().flat_map(|&index| graph.begin(index)).collect();
        (graph, lines)
    }

    /// Remembers what the result is made from.
    pub(crate) fn note<T>(&self, add: impl FnOnce(&mut Evidence) -> T) -> T {
        add(&mut self.evidence.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the result was made from.
    pub(crate) fn evidence(&self) -> Evidence {
        self.note(|evidence| evidence.clone())
    }

    /// The number of the first step of a stage that runs.
    pub(crate) fn first_step(&self, stage: usize) -> u32 {
        self.begun().get(&stage).copied().unwrap_or_default()
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<usize, u32>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives numbers to the steps of a stage that is to run; none when it does already.
    fn begin(&self, index: usize) -> Vec<StepLine> {
        let mut begun = self.begun();
        let Entry::Vacant(place) = begun.entry(index) else { return Vec::new() };
        let stage = &self.running.source.parsed.stages[index];
        let first = self.running.number(stage.instructions.len() + 1);
        place.insert(first);
        self.lines((index, first), stage)
    }

    /// Runs a stage that nobody was known to need: a trigger of an image may name any stage before its own, and through a
    /// named context any at all. Others wait for it as for all. Refuses one that would wait for who asks.
    pub(crate) fn ensure(&self, asking: usize, index: usize) -> Result<()> {
        // Of two that ask for each other the second sees what the first noted.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert((asking, index));
        let needs = |stage: usize| {
            let own = asked.range((stage, 0)..=(stage, usize::MAX)).map(|&(_, other)| other);
            self.plan.stages[stage].needs().chain(own).collect()
        };
        if let Some(way) = circle::find(asking, &needs) {
            return Err(circular(&self.plan.labels(&way)));
        }
        drop(asked);
        self.run_missing(index);
        Ok(())
    }

    fn run_missing(&self, index: usize) {
        let lines = self.begin(index);
        if lines.is_empty() {
            return;
        }
        self.running.announce(lines);
        self.plan.stages[index].needs().for_each(|other| self.run_missing(other));
        self.run_stage(index);
    }

    fn lines(&self, (index, first): (usize, u32), stage: &Stage) -> Vec<StepLine> {
        let from = std::iter::once((true, stage.from.text.as_str()));
        let rest =
            stage.instructions.iter().map(|line| (is_shown(&line.value), line.text.as_str()));
        let of = 1 + stage.instructions.iter().filter(|line| is_shown(&line.value)).count();
        let mut position = 0;
        let mut lines = Vec::new();
        for (step, (is_shown, text)) in (first..).zip(from.chain(rest)) {
            position += u32::from(is_shown);
            lines.push(StepLine {
                step,
                stage: self.stage_name(index),
                position: if is_shown { position } else { 0 },
                of: u32::try_from(of).unwrap_or(u32::MAX),
                text: text.to_owned(),
                shown: (step == first).then(|| self.plan.shown_base(index)).flatten(),
            });
        }
        lines
    }

    /// A stage's name as it is shown.
    pub(crate) fn stage_name(&self, index: usize) -> String {
        format!("{}{}", self.prefix, self.plan.stages[index].label)
    }

    /// Runs what the target needs, to its end.
    pub(crate) fn run(&self) -> Result<StageState> {
        std::thread::scope(|scope| {
            for &index in self.plan.needed.iter().filter(|&&index| index != self.plan.target) {
                scope.spawn(move || self.run_stage(index));
            }
            self.run_stage(self.plan.target);
        });
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        match error {
            Some(error) => Err(error),
            None => self.slots.wait(self.plan.target, self.running.cancel),
        }
    }

    /// What every stage that was needed came to.
    pub(crate) fn states(&self) -> Vec<StageState> {
        let begun: Vec<usize> = self.begun().keys().copied().collect();
        begun
            .into_iter()
            .filter_map(|index| self.slots.wait(index, self.running.cancel).ok())
            .collect()
    }

    fn run_stage(&self, index: usize) {
        match self.stage(index) {
            Ok(state) => self.slots.put(index, Some(state)),
            Err(error) => {
                self.fail(error);
                self.slots.put(index, None);
            }
        }
    }

    /// The first error counts, and ends the others; that something was ended is no error of its own.
    fn fail(&self, error: BuildError) {
        let is_echo = |error: &BuildError| {
            matches!(error.cause(), BuildError::Cancelled | BuildError::Elsewhere)
        };
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|first| is_echo(first) && !is_echo(&error)) {
            *first = Some(error);
        }
        drop(first);
        self.running.cancel.cancel();
    }

    fn stage(&self, index: usize) -> Result<StageState> {
        let stage = &self.running.source.parsed.stages[index];
        let first = self.first_step(index);
        let (mut state, triggers) = self.base(index, first)?;
        let from = |error| self.running.source.at(&stage.from, error);
        self.running.weight.grow(0, &state).map_err(from)?;
        self.triggers(&mut state, index, &triggers)?;
        for (step, line) in (first + 1..).zip(&stage.instructions) {
            self.step(&mut state, index, (step, line))?;
        }
        Ok(state)
    }

    /// Runs the `ONBUILD`s of the base.
    fn triggers(&self, state: &mut StageState, index: usize, triggers: &[String]) -> Result<()> {
        if triggers.is_empty() {
            return Ok(());
        }
        let first = self.running.number(triggers.len());
        let step = |(step, trigger): (u32, &String)| StepLine {
            step,
            stage: self.stage_name(index),
            position: 1,
            of: 1,
            text: format!("ONBUILD {trigger}"),
            shown: None,
        };
        self.running.announce((first..).zip(triggers).map(step).collect());
        for (step, trigger) in (first..).zip(triggers) {
            let line: Located<Instruction> = super::text::parse_trigger(trigger)?;
            self.step(state, index, (step, &line))?;
        }
        Ok(())
    }
}

/// Whether an instruction is a step of its own in BuildKit's view.
fn is_shown(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) | Instruction::Workdir(_)
    )
}
