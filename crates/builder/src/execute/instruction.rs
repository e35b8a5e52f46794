//! One instruction after the other: words expanded, then done.

use barge_dockerfile::ast::{ArgWord, Instruction, Located};

use super::graph::Graph;
use super::state::StageState;
use super::transfer::Kind;
use super::weight::{self, together};
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome};
use crate::metadata::{self, CmdOf};

impl Graph<'_> {
    /// One instruction, from the event that it began to the one that it ended.
    pub(crate) fn step(
        &self,
        state: &mut StageState,
        stage: usize,
        (number, line): (u32, &Located<Instruction>),
    ) -> Result<()> {
        self.wait_for_needs(stage, line)?;
        self.running.tell(Event::Started { step: number });
        let before = weight::of(state);
        let done = match self.running.cancel.is_cancelled() {
            true => Err(BuildError::Cancelled),
            false => self.apply(state, stage, (number, line)),
        };
        let done =
            done.and_then(|outcome| self.running.weight.grow(before, state).map(|()| outcome));
        if done.is_ok() {
            self.running.tell(Event::Made { step: number, id: state.id().to_string() });
        }
        if done.is_err()
            && let Some(image) = self.running.image_of_failure(state)
        {
            let kept = &self.running.failed_image;
            *kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(image);
        }
        self.running.finish(number, done.map_err(|error| self.running.source.at(line, error)))
    }

    /// Waits for the stages whose files an instruction uses: only then it begins.
    fn wait_for_needs(&self, stage: usize, line: &Located<Instruction>) -> Result<()> {
        for word in crate::plan::sources_of(&line.value) {
            let origin =
                self.origin(stage, word).map_err(|error| self.running.source.at(line, error))?;
            if let Some(other) = origin.stage() {
                let ready = self.ensure(stage, other);
                ready.map_err(|error| self.running.source.at(line, error))?;
                self.slots.wait(other, self.running.cancel)?;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        state: &mut StageState,
        stage: usize,
        (number, line): (u32, &Located<Instruction>),
    ) -> Result<Outcome> {
        match &line.value {
            Instruction::Run(run) => self.run_step(state, stage, (number, run, &line.text)),
            Instruction::Copy(transfer) => {
                self.transfer(state, stage, (Kind::Copy, transfer, number))
            }
            Instruction::Add(transfer) => {
                self.transfer(state, stage, (Kind::Add, transfer, number))
            }
            Instruction::Workdir(path) => self.workdir(state, stage, path),
            Instruction::Arg(_)
            | Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::Env(_)
            | Instruction::Expose(_)
            | Instruction::Healthcheck(_)
            | Instruction::Label(_)
            | Instruction::Maintainer(_)
            | Instruction::Onbuild(_)
            | Instruction::Shell(_)
            | Instruction::Stopsignal(_)
            | Instruction::User(_)
            | Instruction::Volume(_) => {
                if let Some(line) = self.change(state, &line.value)? {
                    state.record(line);
                }
                Ok(Outcome::Done)
            }
        }
    }

    /// What changes the configuration only; says the line of the history, if there is one.
    fn change(&self, state: &mut StageState, instruction: &Instruction) -> Result<Option<String>> {
        let globals = &self.plan.globals;
        let expand = |state: &StageState, texts: &[String]| -> Result<Vec<String>> {
            together(texts.iter().map(|text| state.word(globals, text)), String::len)
        };
        let line = match instruction {
            Instruction::Arg(words) => self.declare(state, words)?,
            Instruction::Cmd(command) => {
                state.cmd = CmdOf::Stage;
                metadata::cmd(&mut state.config, command)
            }
            Instruction::Entrypoint(command) => {
                let cmd = state.cmd;
                metadata::entrypoint(&mut state.config, command, cmd)
            }
            Instruction::Env(pairs) => {
                let pairs = self.pairs(state, pairs)?;
                metadata::set_all_env(&mut state.config, &pairs)
            }
            Instruction::Label(pairs) => {
                let pairs = self.pairs(state, pairs)?;
                metadata::label(&mut state.config, pairs)
            }
            Instruction::Expose(texts) => {
                let words = texts.iter().map(|text| state.words(globals, text));
                let words = together(words, |words| words.iter().map(String::len).sum())?;
                metadata::expose(&mut state.config, &words.concat())?
            }
            Instruction::Healthcheck(check) => metadata::healthcheck(&mut state.config, check),
            Instruction::Maintainer(name) => metadata::maintainer(&mut state.config, name),
            Instruction::Onbuild(text) => {
                metadata::inner(&mut state.config).on_build.push(text.clone());
                return Ok(None);
            }
            Instruction::Shell(words) => metadata::shell(&mut state.config, words),
            Instruction::Stopsignal(text) => {
                let signal = state.word(globals, text)?;
                metadata::stop_signal(&mut state.config, &signal)?
            }
            Instruction::User(text) => {
                let user = state.word(globals, text)?;
                metadata::user(&mut state.config, &user)
            }
            Instruction::Volume(texts) => {
                let paths = expand(state, texts)?;
                metadata::volume(&mut state.config, &paths)?
            }
            Instruction::Add(_)
            | Instruction::Copy(_)
            | Instruction::Run(_)
            | Instruction::Workdir(_) => return Ok(None),
        };
        Ok(Some(line))
    }

    /// All values of one instruction see the variables as they were before it.
    fn pairs(
        &self,
        state: &StageState,
        pairs: &[(String, String)],
    ) -> Result<Vec<(String, String)>> {
        let globals = &self.plan.globals;
        let expand = |(name, value): &(String, String)| {
            Ok((state.word(globals, name)?, state.word(globals, value)?))
        };
        together(pairs.iter().map(expand), |(name, value)| name.len() + value.len())
    }

    fn declare(&self, state: &mut StageState, words: &[ArgWord]) -> Result<String> {
        let mut declare = |word: &ArgWord| {
            let value = self.plan.globals.arg(word, &|name| state.value(name))?;
            // The default only: what is given may be a secret.
            let shown = match &word.default {
                Some(text) => format!("{}={}", word.name, state.word(&self.plan.globals, text)?),
                None => word.name.clone(),
            };
            state.declare(&word.name, value);
            Ok(shown)
        };
        let shown = together(words.iter().map(&mut declare), String::len)?;
        Ok(format!("ARG {}", shown.join(" ")))
    }
}
