//! What a Dockerfile offers to whoever builds it (`--call=targets`, `--call=outline`): its stages, and the arguments,
//! secrets and agents that one of them uses. In the words of BuildKit's subrequests, so that programs that read theirs
//! read ours; nothing is built and nothing is fetched.

use std::collections::{BTreeMap, BTreeSet};

use barge_dockerfile::ast::{ArgWord, Instruction, Located, MountFlag, MountKind};
use barge_dockerfile::expand::Expander;
use barge_types::Platform;
use serde_json::{Map, Value, json};

use super::Running;
use crate::error::Result;
use crate::event::Event;
use crate::metadata;
use crate::plan::{Origin, Plan};

/// Something that is listed, by its line and its name.
type Listed = BTreeMap<String, (u32, Map<String, Value>)>;

/// What the stages that are needed use.
#[derive(Debug, Default)]
struct Outline {
    args: Listed,
    secrets: Listed,
    agents: Listed,
}

/// The variables of a stage.
#[derive(Clone, Debug, Default)]
struct Scope(Vec<String>);

impl Scope {
    fn value(&self, name: &str) -> Option<String> {
        metadata::env(&self.0, name).map(str::to_owned)
    }

    fn set(&mut self, name: &str, value: &str) {
        metadata::set_env(&mut self.0, name, value);
    }
}

impl Running<'_> {
    /// Lists the stages.
    pub(crate) fn tell_targets(&self) {
        let file = &self.source.parsed;
        let last = file.stages.len().saturating_sub(1);
        let targets = file.stages.iter().enumerate().map(|(index, stage)| {
            let name = stage.name.as_deref().unwrap_or_default();
            let mut target = Map::new();
            set(&mut target, "name", name);
            if index == last {
                target.insert("default".to_owned(), true.into());
            }
            set(&mut target, "description", file.description(stage.from.first_line, name));
            set(&mut target, "base", &stage.from.value.image);
            set(&mut target, "platform", stage.from.value.platform.as_deref().unwrap_or_default());
            target.insert("location".to_owned(), location(&stage.from));
            target
        });
        let targets: Vec<_> = targets.collect();
        self.tell(Event::Described { value: json!({ "targets": targets }) });
    }

    /// Lists what the target uses.
    pub(crate) fn tell_outline(&self) -> Result<()> {
        let file = &self.source.parsed;
        let host = Platform::host();
        let platform = self.request.platforms.first().unwrap_or(&host);
        let plan = Plan::new(file, self.request, platform, &|lines, error| {
            self.source.at_lines(lines, error)
        })?;
        let mut scopes: BTreeMap<usize, Scope> = BTreeMap::new();
        let mut outlines: BTreeMap<usize, Outline> = BTreeMap::new();
        for &index in &plan.needed {
            let mut scope = self.first_scope(&plan.stages[index].base, &scopes);
            outlines.insert(index, self.of_stage(&plan, index, &mut scope)?);
            scopes.insert(index, scope);
        }
        // What the target says counts before what it stands on.
        let mut whole = outlines.remove(&plan.target).unwrap_or_default();
        for other in outlines.into_values().rev() {
            whole.add(other);
        }
        let stage = &file.stages[plan.target];
        let name = stage.name.as_deref().unwrap_or_default();
        let mut value = Map::new();
        set(&mut value, "name", name);
        set(&mut value, "description", file.description(stage.from.first_line, name));
        for (key, listed) in
            [("args", whole.args), ("secrets", whole.secrets), ("ssh", whole.agents)]
        {
            let mut listed: Vec<_> = listed.into_values().collect();
            listed.sort_by_key(|(line, _)| *line);
            if !listed.is_empty() {
                let listed = listed.into_iter().map(|(_, one)| Value::Object(one));
                value.insert(key.to_owned(), listed.collect());
            }
        }
        self.tell(Event::Described { value: value.into() });
        Ok(())
    }

    /// What is set where a stage begins; of an image that is not here nothing is known.
    fn first_scope(&self, base: &Origin, scopes: &BTreeMap<usize, Scope>) -> Scope {
        if let Origin::Image(name) = base
            && let Ok(image) = self.shop.parts.images.get(name)
        {
            return Scope(
                image.config.config.as_ref().map_or_else(Vec::new, |config| config.env.clone()),
            );
        }
        base.stage().and_then(|stage| scopes.get(&stage).cloned()).unwrap_or_default()
    }

    fn of_stage(&self, plan: &Plan, index: usize, scope: &mut Scope) -> Result<Outline> {
        let stage = &self.source.parsed.stages[index];
        let mut outline = Outline::default();
        let from = [Some(&stage.from.value.image), stage.from.value.platform.as_ref()];
        for text in from.into_iter().flatten() {
            self.add_globals(plan, self.names_in(text), &mut outline);
        }
        for line in &stage.instructions {
            self.of_line(plan, (line, scope), &mut outline)
                .map_err(|error| self.source.at(line, error))?;
        }
        Ok(outline)
    }

    fn of_line(
        &self,
        plan: &Plan,
        (line, scope): (&Located<Instruction>, &mut Scope),
        outline: &mut Outline,
    ) -> Result<()> {
        if let Instruction::Arg(words) = &line.value {
            for word in words {
                self.add_arg(plan, (word, line, scope), outline)?;
            }
        } else if let Instruction::Env(pairs) = &line.value {
            let words = plan.globals.words();
            let before = scope.clone();
            for (name, value) in pairs {
                let value = words.one(value, &|name| before.value(name))?;
                scope.set(&words.one(name, &|name| before.value(name))?, &value);
            }
        } else if let Instruction::Run(run) = &line.value {
            let words = plan.globals.words();
            for mount in &run.mounts {
                let mount: MountFlag = barge_dockerfile::expand_mount(&mount.text, &mut |text| {
                    words.one(text, &|name| scope.value(name))
                })?;
                outline.add_mount(&mount, location(line), line.first_line);
            }
        }
        Ok(())
    }

    /// `ARG` of a stage; one that takes over a global one is that.
    fn add_arg(
        &self,
        plan: &Plan,
        (word, line, scope): (&ArgWord, &Located<Instruction>, &mut Scope),
        outline: &mut Outline,
    ) -> Result<()> {
        let value = plan.globals.arg(word, &|name| scope.value(name))?;
        let is_given = self.request.build_args.get(&word.name).is_some_and(Option::is_some);
        let is_taken_over = word.default.is_none() && !is_given && value.is_some();
        if is_taken_over {
            self.add_globals(plan, BTreeSet::from([word.name.clone()]), outline);
        } else {
            let described = self.described(word, line, value.as_deref());
            outline.args.insert(word.name.clone(), (line.first_line, described));
        }
        if let Some(value) = value
            && scope.value(&word.name).is_none()
        {
            scope.set(&word.name, &value);
        }
        Ok(())
    }

    /// Adds arguments from before the first `FROM`, with those that their defaults use.
    fn add_globals(&self, plan: &Plan, mut names: BTreeSet<String>, outline: &mut Outline) {
        // The last definition counts, and uses those before it.
        for line in self.source.parsed.global_args.iter().rev() {
            for word in line.value.iter().rev().filter(|word| word.default.is_some()) {
                if names.remove(&word.name) {
                    let value = plan.globals.value(&word.name);
                    let described = self.described(word, line, value.as_deref());
                    let listed = (line.first_line, described);
                    outline.args.entry(word.name.clone()).or_insert(listed);
                    names.extend(self.names_in(word.default.as_deref().unwrap_or_default()));
                }
            }
        }
    }

    fn described<T>(
        &self,
        word: &ArgWord,
        line: &Located<T>,
        value: Option<&str>,
    ) -> Map<String, Value> {
        let mut arg = Map::new();
        arg.insert("name".to_owned(), word.name.as_str().into());
        set(&mut arg, "description", self.source.parsed.description(line.first_line, &word.name));
        set(&mut arg, "value", value.unwrap_or_default());
        arg.insert("location".to_owned(), location(line));
        arg
    }

    /// Variables that a text asks for.
    fn names_in(&self, text: &str) -> BTreeSet<String> {
        let asked = std::cell::RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            Some(String::new())
        };
        // What cannot be expanded was told by the plan.
        Expander::new(self.source.parsed.directives.escape, &lookup).word(text).ok();
        asked.into_inner()
    }
}

impl Outline {
    fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.args, other.args),
            (&mut self.secrets, other.secrets),
            (&mut self.agents, other.agents),
        ] {
            for (name, one) in theirs {
                mine.entry(name).or_insert(one);
            }
        }
    }

    fn add_mount(&mut self, mount: &MountFlag, location: Value, line: u32) {
        let (listed, name) = match mount.kind {
            MountKind::Secret => (&mut self.secrets, secret_id(mount)),
            MountKind::Ssh => (&mut self.agents, Some(agent_id(mount))),
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => return,
        };
        let Some(name) = name else { return };
        let fresh = || (line, Map::from_iter([("name".to_owned(), name.into())]));
        let (_, one) = listed.entry(name.to_owned()).or_insert_with(fresh);
        if mount.is_required {
            one.insert("required".to_owned(), true.into());
        }
        one.entry("location").or_insert(location);
    }
}

/// Which secret a mount means: BuildKit takes `source` before `id`.
pub(super) fn secret_id(mount: &MountFlag) -> Option<&str> {
    let of_target = || mount.target.as_deref().and_then(|target| target.rsplit('/').next());
    let named = mount.source.as_deref().or(mount.id.as_deref());
    named.or_else(of_target).filter(|id| !id.is_empty())
}

/// Which agent a mount means.
pub(super) fn agent_id(mount: &MountFlag) -> &str {
    let named = mount.source.as_deref().or(mount.id.as_deref());
    named.filter(|id| !id.is_empty()).unwrap_or("default")
}

/// Sets what is not empty.
fn set(map: &mut Map<String, Value>, key: &str, value: &str) {
    if !value.is_empty() {
        map.insert(key.to_owned(), value.into());
    }
}

fn location<T>(line: &Located<T>) -> Value {
    json!({ "ranges": [{ "start": { "line": line.first_line }, "end": { "line": line.last_line } }] })
}
