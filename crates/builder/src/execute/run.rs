//! `RUN`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barge_dockerfile::ast::{Command, Run};

use super::graph::Graph;
use super::layer::LayerWork;
use super::run_mounts::Prepared;
use super::state::StageState;
use super::text::Utf8;
use crate::cache::key::KeyMaker;
use crate::entitlements;
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome, Warning};
use crate::metadata;
use crate::runner::{RunStep, StepNetwork, StepSecurity, Stream};

/// Where the script of a heredoc with an interpreter of its own is, as BuildKit has it.
const SCRIPTS: &str = "/dev/pipes";

/// The host's name in a step.
pub(super) const HOSTNAME: &str = "buildkitsandbox";

/// What to run, before any mount.
struct Plan {
    args: Vec<String>,
    /// A script that is mounted: its name and its text.
    script: Option<(String, String)>,
}

impl Graph<'_> {
    /// `RUN`, from the cache or for real.
    pub(crate) fn run_step(
        &self,
        state: &mut StageState,
        stage: usize,
        (number, run, text): (u32, &Run, &str),
    ) -> Result<Outcome> {
        let plan = plan(state, run);
        let network = network(run, self.running.request.network)?;
        if network != StepNetwork::None {
            self.note(|evidence| evidence.has_network = true);
        }
        let security = entitlements::security(run, self.running.request)?;
        let devices = entitlements::devices(run, self.running.request)?;
        let users = self.running.users((network, security));
        let mounts = self.mounts(state, stage, (number, run))?;
        let env = state.process_env();
        let user = metadata::inner(&mut state.config).user.clone();
        let workdir = state.workdir().to_owned();
        let hostname = self.running.request.hostname();
        let key = KeyMaker::new("run")
            .digest(&state.key)
            .words(plan.args.iter().map(String::as_str))
            .maybe(plan.script.as_ref().map(|(_, text)| text.as_str()))
            .words(env.iter().map(String::as_str))
            .word(&workdir)
            .word(&user)
            .words(mounts.key_words())
            .words(hostname)
            .word(match network {
                StepNetwork::Default => "default",
                StepNetwork::None => "none",
                StepNetwork::Host => "host",
            })
            .word(match security {
                StepSecurity::Sandbox => "sandbox",
                StepSecurity::Insecure => "insecure",
            });
        let names = devices.iter().map(|device| device.name.as_str());
        let key = if devices.is_empty() { key } else { key.words(names) }.finish();
        let step = RunStep {
            args: plan.args.clone(),
            env: self.whole_env(env),
            workdir,
            user,
            network,
            security,
            users: users.of_step(),
            devices,
            hostname: hostname.unwrap_or(HOSTNAME).to_owned(),
            extra_hosts: self.running.request.extra_hosts.clone(),
            limits: self.running.request.limits.clone(),
            ..RunStep::default()
        };
        let work = LayerWork {
            key,
            parent: state.top(),
            description: text,
            reuse: self.running.reuse(&self.plan.stages[stage].label),
            owners: users.owners(),
        };
        let line = history_line(state, &plan.args);
        let outcome = self.running.add_layer(state, &work, &mut |root| {
            let prepared = mounts.prepare(self.running, (root, &users), plan.script.as_ref())?;
            self.process(number, root, (&step, prepared))
        })?;
        state.record_layer(line);
        Ok(outcome)
    }

    /// With proxies, of which the cache must not know.
    fn whole_env(&self, mut env: Vec<String>) -> Vec<String> {
        for (name, value) in self.plan.globals.proxies() {
            if metadata::env(&env, name).is_none() {
                env.push(format!("{name}={value}"));
            }
        }
        env
    }

    fn process(&self, number: u32, root: &Path, step: (&RunStep, Prepared)) -> Result<()> {
        let (step, mut prepared) = step;
        let mut step = step.clone();
        root.clone_into(&mut step.rootfs);
        let (before, command) = (root_of(root)?, step.args.join(" "));
        step.mounts = prepared.take_mounts();
        step.env.extend(prepared.take_env());
        let ended = self.run_process(number, step);
        let cleared = prepared.clear();
        if ended.is_ok() && root_of(root)? != before {
            self.warn_of_root(&command);
        }
        // Why it failed is more than what was left of it.
        ended.and(cleared)
    }

    /// Overlay file systems take the root's mode and owner from the topmost layer, and an image has no place for them that
    /// Docker would heed: both of its builders forget them without a word.
    fn warn_of_root(&self, command: &str) {
        self.running.tell(Event::Warning(Warning {
            rule: "RootFolderChanged".to_owned(),
            description: "No image keeps the mode and the owner of the root folder".to_owned(),
            detail: format!(
                "what {command:?} changed of the mode or the owner of / is lost: as with Docker, no image keeps it"
            ),
            url: String::new(),
            line: 0,
        }));
    }

    /// Runs a process to its end and tells what it writes.
    pub(super) fn run_process(&self, number: u32, mut step: RunStep) -> Result<()> {
        let running = self.running;
        let mut texts = [Utf8::default(), Utf8::default()];
        let tell = |stream: u8, text: String| {
            if !text.is_empty() {
                running.tell(Event::Output { step: number, stream, text });
            }
        };
        let mut output = |stream: Stream, bytes: &[u8]| {
            let (index, shown) = if stream == Stream::Out { (0, 1) } else { (1, 2) };
            tell(shown, texts[index].push(bytes));
        };
        step.id = barge_sys::random::hex::<32>()
            .map_err(BuildError::io("read random bytes for", Path::new("a step")))?;
        running.tell(Event::Running { step: number, process: step.id.clone() });
        barge_sys::fault::point("builder: step to run");
        let ended = running.shop.parts.runner.run(&step, &mut output, running.cancel);
        for (text, shown) in texts.iter_mut().zip([1, 2]) {
            tell(shown, text.rest());
        }
        let command = step.args.join(" ");
        if running.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        match ended {
            Ok(0) => Ok(()),
            Ok(code) => Err(BuildError::Process { command, code }),
            Err(source) => Err(BuildError::Run { command, source }),
        }
    }
}

/// Mode and owner of a mounted root.
fn root_of(root: &Path) -> Result<(u32, u32, u32)> {
    let found = std::fs::metadata(root).map_err(BuildError::io("look at", root))?;
    Ok((found.mode(), found.uid(), found.gid()))
}

fn network(run: &Run, of_the_build: StepNetwork) -> Result<StepNetwork> {
    match run.network.as_deref() {
        None | Some("" | "default") => Ok(of_the_build),
        Some("none") => Ok(StepNetwork::None),
        Some("host") => Ok(StepNetwork::Host),
        Some(other) => Err(BuildError::Invalid(format!("invalid network mode {other:?}"))),
    }
}

/// A lone heredoc that names its interpreter is a script of its own; everything else is the shell's.
fn plan(state: &mut StageState, run: &Run) -> Plan {
    if let [heredoc] = run.heredocs.as_slice()
        && matches!(run.command, Command::Shell(_))
        && heredoc.content.starts_with("#!")
    {
        let script = (heredoc.name.clone(), heredoc.content.clone());
        return Plan { args: vec![format!("{SCRIPTS}/{}", heredoc.name)], script: Some(script) };
    }
    Plan { args: metadata::with_shell(&mut state.config, &run.command), script: None }
}

/// `RUN |1 NAME=value /bin/sh -c … # buildkit`.
fn history_line(state: &StageState, args: &[String]) -> String {
    let mut words = vec!["RUN".to_owned()];
    if !state.args.is_empty() {
        words.push(format!("|{}", state.args.len()));
        for (name, value) in &state.args {
            words.push(format!("{name}={}", value.as_deref().unwrap_or_default()));
        }
    }
    words.extend(args.iter().cloned());
    words.push("# buildkit".to_owned());
    words.join(" ")
}
