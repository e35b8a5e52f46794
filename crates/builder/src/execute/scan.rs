//! SBOMs: a scanner image looks at the result, as BuildKit's scanning protocol has it.
//!
//! The scanner runs as a step does, on a layer of its own that is thrown away. What it writes is the layer of a step like
//! any other, so that the same result is not looked at twice. It may write what it likes there: nothing of it is followed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use barge_image::{Held, Predicate};
use barge_sys::openat2;
use rustix::fs::{FileType, OFlags};
use serde::Deserialize;

use super::graph::Graph;
use super::layer::LayerWork;
use super::state::StageState;
use crate::cache::key::KeyMaker;
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome, StepLine};
use crate::metadata;
use crate::provenance::Document;
use crate::request::Sbom;
use crate::runner::{RunStep, StepMount, StepSource};

/// Where a scanner finds the files and where it writes, as with BuildKit.
const SOURCE: &str = "/run/src/core/sbom";
const DESTINATION: &str = "/run/out/";
/// What a document without a statement around it is.
const SPDX: &str = "https://spdx.dev/Document";
/// How long a document may be, so that with what is put around it an image with it can be loaded again.
const LONGEST: u64 = barge_image::LONGEST_DOCUMENT / 2;
/// Arguments that ask for more than the result to be looked at.
const MORE: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// A statement as scanners write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundled {
    predicate_type: String,
    predicate: serde_json::Value,
}

impl Graph<'_> {
    /// Looks at what the stages came to; what is found is part of the evidence.
    pub(crate) fn scan(&self, sbom: &Sbom, state: &StageState) -> Result<()> {
        self.states().iter().try_for_each(check_arguments)?;
        let running = self.running;
        let number = running.number(1);
        running.announce(vec![StepLine {
            step: number,
            stage: self.stage_name(self.plan.target),
            position: 1,
            of: 1,
            text: format!("generating sbom using {}", sbom.generator),
            shown: None,
        }]);
        running.tell(Event::Started { step: number });
        match self.scan_step(number, sbom, state) {
            Ok((documents, outcome)) => {
                self.note(|evidence| evidence.documents = documents);
                running.ended(number, outcome);
                Ok(())
            }
            Err(error) => self.running.finish(number, Err(error)),
        }
    }

    fn scan_step(
        &self,
        number: u32,
        sbom: &Sbom,
        state: &StageState,
    ) -> Result<(Vec<Document>, Outcome)> {
        let running = self.running;
        let scanner = self.pull_image((&sbom.generator, None), self.plan.target, number)?;
        let step = self.scanner_step(sbom, &scanner)?;
        let key = KeyMaker::new("sbom")
            .digest(&scanner.id.digest())
            .digest(&state.key)
            .words(step.env.iter().map(String::as_str))
            .finish();
        let label = &self.plan.stages[self.plan.target].label;
        let description = "an SBOM";
        let users = running.users((step.network, step.security));
        let (reuse, owners) = (running.reuse(label), users.owners());
        let step = RunStep { users: users.of_step(), ..step };
        let work = LayerWork { key, parent: None, description, reuse, owners };
        let (layer, outcome) = running.layer(&work, &mut |out| {
            running.with_view_for(state.top().as_ref(), owners, &mut |files| {
                let mounts = [(SOURCE, files, true), (DESTINATION, out, false)];
                let mounts = mounts.map(|(target, path, is_read_only)| StepMount {
                    target: target.to_owned(),
                    source: StepSource::Path(path.to_owned()),
                    is_read_only,
                });
                let step = RunStep { mounts: mounts.to_vec(), ..step.clone() };
                running.on_layer(scanner.top_layer.as_ref(), owners, &mut |root| {
                    self.run_process(number, RunStep { rootfs: root.to_owned(), ..step.clone() })
                })
            })
        })?;
        let read = |root: &Path| documents(root).map_err(|error| named(&sbom.generator, error));
        Ok((running.with_view(Some(&layer.id), &mut |root| read(root))?, outcome))
    }

    fn scanner_step(&self, sbom: &Sbom, scanner: &Held) -> Result<RunStep> {
        let mut config = scanner.config.as_ref().clone();
        let config = metadata::inner(&mut config);
        let mut args = config.entrypoint.clone().unwrap_or_default();
        args.extend(config.cmd.clone().unwrap_or_default());
        if args.is_empty() {
            let text = format!("scanner {} does not have cmd", sbom.generator);
            return Err(BuildError::Invalid(text));
        }
        let mut env = config.env.clone();
        env.push(format!("BUILDKIT_SCAN_DESTINATION={DESTINATION}"));
        env.push(format!("BUILDKIT_SCAN_SOURCE={SOURCE}"));
        let workdir = Some(config.working_dir.clone()).filter(|path| !path.is_empty());
        let request = self.running.request;
        Ok(RunStep {
            args,
            env,
            workdir: workdir.unwrap_or_else(|| "/".to_owned()),
            user: config.user.clone(),
            network: request.network,
            hostname: super::run::HOSTNAME.to_owned(),
            extra_hosts: request.extra_hosts.clone(),
            limits: request.limits.clone(),
            ..RunStep::default()
        })
    }
}

/// Refuses what would have no effect.
fn check_arguments(state: &StageState) -> Result<()> {
    let is_asked = |(name, value): &&(String, Option<String>)| {
        MORE.contains(&name.as_str())
            && !matches!(value.as_deref(), None | Some("" | "0" | "false"))
    };
    match state.args.iter().find(is_asked) {
        Some((name, _)) => Err(BuildError::Unsupported(name.clone())),
        None => Ok(()),
    }
}

fn named(generator: &str, error: BuildError) -> BuildError {
    BuildError::Source { what: format!("an SBOM of {generator}"), source: error.into() }
}

/// What a scanner wrote, sorted by name.
fn documents(root: &Path) -> Result<Vec<Document>> {
    let failed = || BuildError::io("read", root);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        return Err(BuildError::NotFound("the scanner wrote none".to_owned()));
    }
    let folder = openat2::open_root(root).map_err(failed())?;
    names
        .into_iter()
        .map(|name| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let open = openat2::open(&folder, Path::new(&name), flags);
            let open = open.map_err(BuildError::io("open", &root.join(&name)))?;
            Ok(Document { predicate: predicate(open.into(), &name)?, name })
        })
        .collect()
}

fn predicate(file: File, name: &str) -> Result<Predicate> {
    let wrong = |why: &str| BuildError::Invalid(format!("{name} of the scanner {why}"));
    let stat = rustix::fs::fstat(&file).map_err(BuildError::io("look at", Path::new(name)))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(wrong("is no file"));
    }
    let mut text = Vec::new();
    let read = file.take(LONGEST + 1).read_to_end(&mut text);
    if read.map_err(BuildError::io("read", Path::new(name)))? as u64 > LONGEST {
        return Err(wrong("is too long"));
    }
    if let Ok(Bundled { predicate_type, predicate }) = serde_json::from_slice(&text) {
        return Ok(Predicate { kind: predicate_type, body: predicate });
    }
    let body: serde_json::Value = serde_json::from_slice(&text).map_err(|_| wrong("is no JSON"))?;
    match body.get("spdxVersion") {
        Some(_) => Ok(Predicate { kind: SPDX.to_owned(), body }),
        None => Err(wrong("is neither a statement nor an SPDX document")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Vec<Document>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        documents(folder.path())
    }

    #[test]
    fn statements_and_documents_are_taken() {
        let statement = r#"{"_type":"x","predicateType":"k","predicate":{"a":1}}"#;
        let found = read(&[
            ("b.spdx.json", r#"{"spdxVersion":"SPDX-2.3"}"#),
            ("a.spdx.json", statement),
            ("notes.txt", "?"),
        ]);
        let found = found.unwrap();
        let kinds: Vec<&str> = found.iter().map(|one| one.predicate.kind.as_str()).collect();
        assert_eq!(kinds, ["k", SPDX]);
        assert_eq!(found[0].predicate.body["a"], 1);
        assert_eq!(found[1].name, "b.spdx.json");
    }

    #[test]
    fn what_is_no_sbom_is_refused() {
        let refusal = |files: &[(&str, &str)]| read(files).unwrap_err().to_string();
        assert_eq!(refusal(&[("a", "")]), "the scanner wrote none");
        assert_eq!(refusal(&[("a.json", "{")]), "a.json of the scanner is no JSON");
        assert!(refusal(&[("a.json", "{}")]).contains("neither a statement nor"));
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("a.json")).unwrap();
        assert!(documents(folder.path()).is_err());
        std::fs::remove_file(folder.path().join("a.json")).unwrap();
        std::fs::create_dir(folder.path().join("a.json")).unwrap();
        assert_eq!(
            documents(folder.path()).unwrap_err().to_string(),
            "a.json of the scanner is no file"
        );
    }
}
