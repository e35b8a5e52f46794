//! What a build will do: the Dockerfile's stages as a graph, those that nobody needs left out.
//!
//! Only names are resolved here. What instructions say depends on the environment of base images, so their words are
//! expanded when a stage runs.

pub(crate) mod circle;
mod early;
mod origin;
pub(crate) mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use barge_dockerfile::ast::{Dockerfile, Instruction, Located, Stage};
use barge_types::{Platform, Reference};

use crate::entitlements;
use crate::error::{BuildError, Result};
use crate::request::{BuildRequest, Purpose};
use origin::Names;
pub(crate) use origin::{Origin, stage_hint, suggestion};
use scope::Globals;

/// A build for one platform.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What it is for.
    pub(crate) platform: Platform,
    /// Variables before the first `FROM`.
    pub(crate) globals: Globals,
    /// As many as the Dockerfile has.
    pub(crate) stages: Vec<StagePlan>,
    /// Which one becomes the image.
    pub(crate) target: usize,
    /// Those that the target needs, itself included.
    pub(crate) needed: BTreeSet<usize>,
}

/// One stage.
#[derive(Debug)]
pub(crate) struct StagePlan {
    /// Its name, or its number.
    pub(crate) label: String,
    /// What it stands on.
    pub(crate) base: Origin,
    /// `--platform`, or the build's.
    pub(crate) platform: Platform,
    /// Other stages that its own instructions need, and the line of the first that does.
    needs: BTreeMap<usize, u32>,
    /// What no build of it can get over.
    refused: Option<Refused>,
}

/// What is wrong with some lines of the Dockerfile.
type Refused = (RangeInclusive<u32>, BuildError);

impl Plan {
    /// Looks at the stages from the target on; `at` adds to an error the lines that it is about.
    pub(crate) fn new(
        dockerfile: &Dockerfile,
        request: &BuildRequest,
        platform: &Platform,
        at: &dyn Fn(RangeInclusive<u32>, BuildError) -> BuildError,
    ) -> Result<Self> {
        let target = find_target(dockerfile, request.target.as_deref())?;
        let label = label(&dockerfile.stages[target], target);
        let globals = Globals::new(dockerfile, request, (platform, &label))?;
        let names = Names { stages: &dockerfile.stages, contexts: &request.named_contexts };
        let mut stages = Vec::new();
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            let plan = StagePlan::new((index, stage), &globals, &names, platform);
            stages.push(plan.map_err(|(lines, error)| at(lines, error))?);
        }
        let mut plan =
            Self { platform: platform.clone(), globals, stages, target, needed: BTreeSet::new() };
        plan.refuse_circles(at)?;
        plan.need(target);
        // A check without a target is about all of them.
        let is_whole = request.purpose == Purpose::Check && request.target.is_none();
        for index in 0..plan.stages.len() {
            if (is_whole || plan.needed.contains(&index))
                && let Some((lines, error)) = plan.stages[index].refused.take()
            {
                return Err(at(lines, error));
            }
        }
        if request.purpose == Purpose::Build {
            plan.refuse_unallowed(dockerfile, request, at)?;
        }
        Ok(plan)
    }

    /// No needed stage may ask for what whoever builds did not agree to.
    fn refuse_unallowed(
        &self,
        dockerfile: &Dockerfile,
        request: &BuildRequest,
        at: &dyn Fn(RangeInclusive<u32>, BuildError) -> BuildError,
    ) -> Result<()> {
        let instructions =
            self.needed.iter().flat_map(|&stage| &dockerfile.stages[stage].instructions);
        for line in instructions {
            entitlements::check(&line.value, request).map_err(|error| at(lines(line), error))?;
        }
        Ok(())
    }

    /// No stage may need itself, wanted or not.
    fn refuse_circles(
        &self,
        at: &dyn Fn(RangeInclusive<u32>, BuildError) -> BuildError,
    ) -> Result<()> {
        let needs = |stage: usize| self.stages[stage].needs().collect();
        let found = (0..self.stages.len()).find_map(|stage| circle::find(stage, &needs));
        let Some(way) = found else { return Ok(()) };
        let line = |stage: usize, other: usize| self.stages[stage].needs.get(&other).copied();
        let first = line(way[0], way.get(1).copied().unwrap_or(way[0])).unwrap_or_default();
        Err(at(first..=first, circular(&self.labels(&way))))
    }

    /// `FROM` of a stage with what it stands on in full, as BuildKit shows it.
    pub(crate) fn shown_base(&self, stage: usize) -> Option<String> {
        let base = match &self.stages[stage].base {
            Origin::Scratch => "scratch".to_owned(),
            Origin::Stage(other) => self.stages[*other].label.clone(),
            Origin::Image(name) => {
                name.parse::<Reference>().map_or_else(|_| name.clone(), |name| name.to_string())
            }
            // As it is called in the file: an address may have a secret in it.
            Origin::Folder(..) | Origin::Url(_) | Origin::Layout { .. } => return None,
        };
        Some(format!("FROM {base}"))
    }

    /// The names of stages.
    pub(crate) fn labels(&self, stages: &[usize]) -> Vec<String> {
        stages.iter().map(|&stage| self.stages[stage].label.clone()).collect()
    }

    /// Takes a stage and all that it needs.
    fn need(&mut self, index: usize) {
        if self.needed.insert(index) {
            let needs: Vec<usize> = self.stages[index].needs().collect();
            needs.into_iter().for_each(|other| self.need(other));
        }
    }
}

impl StagePlan {
    /// Stages that it stands on or takes files from.
    pub(crate) fn needs(&self) -> impl Iterator<Item = usize> + '_ {
        self.needs.keys().copied()
    }

    fn new(
        (index, stage): (usize, &Stage),
        globals: &Globals,
        names: &Names<'_>,
        platform: &Platform,
    ) -> std::result::Result<Self, Refused> {
        let from = &stage.from.value;
        let base = globals.base_name(from).and_then(|name| names.base(index, &name));
        let base = base.map_err(|error| (lines(&stage.from), error))?;
        let own = globals.platform(from).map_err(|error| (lines(&stage.from), error))?;
        let platform = own.unwrap_or_else(|| platform.clone());
        let mut needs = BTreeMap::new();
        needs.extend(base.stage().map(|other| (other, stage.from.first_line)));
        let mut refused = None;
        for instruction in &stage.instructions {
            for word in sources_of(&instruction.value) {
                let origin = names.find(index, word);
                if let Some(other) = origin.map_err(|error| (lines(instruction), error))?.stage() {
                    needs.entry(other).or_insert(instruction.first_line);
                }
                if let Err(error) = names.resolve(index, word) {
                    refused.get_or_insert((lines(instruction), error));
                }
            }
            if let Err(error) = early::check(&instruction.value, globals.words()) {
                refused.get_or_insert((lines(instruction), error));
            }
        }
        Ok(Self { label: label(stage, index), base, platform, needs, refused })
    }
}

/// The error of stages of which each needs the next one, and the last one the first.
pub(crate) fn circular(labels: &[String]) -> BuildError {
    let first = labels.first().map_or("", String::as_str);
    let way = match labels.len() {
        0 | 1 => "it needs itself".to_owned(),
        _ => {
            let next = labels.iter().cycle().skip(1);
            let needs = labels.iter().zip(next).map(|(one, next)| format!("{one} needs {next}"));
            needs.collect::<Vec<_>>().join(", ")
        }
    };
    // The first part is BuildKit's words.
    BuildError::Invalid(format!("circular dependency detected on stage: {first} ({way})"))
}

fn lines<T>(located: &Located<T>) -> RangeInclusive<u32> {
    located.first_line..=located.last_line
}

/// What a word after `--from` of an instruction of a stage means.
pub(crate) fn resolve(
    dockerfile: &Dockerfile,
    request: &BuildRequest,
    (stage, word): (usize, &str),
) -> Result<Origin> {
    let names = Names { stages: &dockerfile.stages, contexts: &request.named_contexts };
    names.resolve(stage, word)
}

/// The words after `--from` of an instruction.
pub(crate) fn sources_of(instruction: &Instruction) -> Vec<&str> {
    if let Instruction::Add(transfer) | Instruction::Copy(transfer) = instruction {
        transfer.from.iter().map(String::as_str).collect()
    } else if let Instruction::Run(run) = instruction {
        run.mounts.iter().filter_map(|mount| mount.from.as_deref()).collect()
    } else {
        Vec::new()
    }
}

fn label(stage: &Stage, index: usize) -> String {
    stage.name.clone().unwrap_or_else(|| format!("stage-{index}"))
}

fn find_target(dockerfile: &Dockerfile, target: Option<&str>) -> Result<usize> {
    let stages = &dockerfile.stages;
    let Some(last) = stages.len().checked_sub(1) else {
        return Err(BuildError::Invalid("no build stage in current context".to_owned()));
    };
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Ok(last);
    };
    let lower = target.to_lowercase();
    if let Some(found) = stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower)) {
        return Ok(found);
    }
    if let Ok(number) = target.parse::<usize>()
        && number <= last
    {
        return Ok(number);
    }
    let names = stages.iter().filter_map(|stage| stage.name.as_deref());
    let hint = suggestion(&lower, names);
    Err(BuildError::Invalid(format!("target stage \"{target}\" could not be found{hint}")))
}
