//! What a build hands out: images with their names, and archives to be fetched.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use barge_dockerfile::lint;
use barge_image::{ArchiveForm, ExportOptions, LayerCompression};
use barge_types::{ImageId, Reference};

use super::Running;
use super::attest::Results;
use super::platform_files::{Joiner, Split};
use super::state::StageState;
use crate::builder::{Built, ResultFile};
use crate::error::{BuildError, Result};
use crate::event::{Event, Warning};
use crate::plan::scope::Globals;
use crate::request::{Output, OutputKind};

impl Running<'_> {
    /// What the checks find; nothing is built where the Dockerfile says that each is an error.
    pub(crate) fn check(&self) -> Result<Vec<Warning>> {
        let images = &self.shop.parts.images;
        let environment = |name: &str| {
            let image = images.get(name).ok()?;
            Some(image.config.config.as_ref().map_or_else(Vec::new, |config| config.env.clone()))
        };
        let options = lint::Options {
            build_args: &self.request.build_args,
            ignore: self.contexts.ignore(),
            environment: &environment,
        };
        let source = self.source;
        let found = lint::check(&source.text, &source.parsed, &options);
        let warnings: Vec<Warning> = found.iter().map(warning).collect();
        for warning in &warnings {
            self.tell(Event::Warning(warning.clone()));
        }
        if source.parsed.directives.check.is_error && !warnings.is_empty() {
            let mut rules: Vec<&str> =
                warnings.iter().map(|warning| warning.rule.as_str()).collect();
            rules.sort_unstable();
            rules.dedup();
            // BuildKit's words.
            let text = format!("lint violation found for rules: {}", rules.join(", "));
            return Err(BuildError::Invalid(text));
        }
        Ok(warnings)
    }

    /// Says which arguments nobody asked for.
    pub(crate) fn check_args(&self, globals: &Globals, states: &[StageState], built: &mut Built) {
        let declared = states.iter().flat_map(|state| &state.args).map(|(name, _)| name.as_str());
        let unused = globals.unused(&declared.collect());
        if !unused.is_empty() {
            let names = unused.join(" ");
            let warning = Warning {
                rule: "UnusedBuildArg".to_owned(),
                description: "Build arguments that no ARG declares have no effect".to_owned(),
                // Docker's words.
                detail: format!("One or more build-args [{names}] were not consumed"),
                url: String::new(),
                line: 0,
            };
            self.tell(Event::Warning(warning.clone()));
            built.warnings.push(warning);
        }
    }

    /// Makes everything that was asked for.
    pub(crate) fn outputs(&self, results: Results<'_>, built: &mut Built) -> Result<()> {
        let outputs = &self.request.outputs;
        let is_kept =
            |output: &Output| matches!(output.kind, OutputKind::Image | OutputKind::Registry);
        let is_kept = outputs.is_empty() || outputs.iter().any(is_kept);
        let is_image = is_kept || outputs.iter().any(|output| output.kind != OutputKind::Files);
        let before: HashSet<ImageId> =
            self.shop.parts.images.list().iter().map(|image| image.id).collect();
        if is_image {
            self.images(results, built, if is_kept { self.names() } else { Vec::new() })?;
        }
        for (number, output) in (0..).zip(outputs) {
            let result = match output.kind {
                OutputKind::Image | OutputKind::Registry => continue,
                OutputKind::Files => self.files(results, output, number)?,
                OutputKind::Oci | OutputKind::Docker => self.archive(built, output, number)?,
            };
            built.results.push(result);
            self.tell(Event::Ready { build: built.id.clone(), output: number });
        }
        if !is_kept {
            self.forget(built, &before)?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<Reference> {
        let mut names = self.request.tags.clone();
        for output in &self.request.outputs {
            if matches!(output.kind, OutputKind::Image | OutputKind::Registry) {
                names.extend(output.names.iter().cloned());
            }
        }
        names.dedup();
        names
    }

    fn images(&self, results: Results<'_>, built: &mut Built, names: Vec<Reference>) -> Result<()> {
        let shown: Vec<String> = names.iter().map(Reference::to_string).collect();
        if let [state] = results.states
            && !self.is_attested()
        {
            let id = self.publish(state, names)?;
            self.forget_attestations(&[id])?;
            built.images.push(id);
            self.tell(Event::Image { id: id.to_string(), names: shown });
            return Ok(());
        }
        for state in results.states {
            built.images.push(self.publish(state, Vec::new())?);
        }
        if self.is_attested() {
            // Before anybody knows them by name.
            self.attest(&built.images, results)?;
        } else {
            self.forget_attestations(&built.images)?;
        }
        let images = &self.shop.parts.images;
        let meant = images
            .publish_platforms(&built.images, &names)
            .map_err(BuildError::image("join the images of the platforms"))?;
        for id in &built.images {
            let names = if *id == meant { shown.clone() } else { Vec::new() };
            self.tell(Event::Image { id: id.to_string(), names });
        }
        Ok(())
    }

    /// Images that were made only to be handed out do not stay.
    fn forget(&self, built: &mut Built, before: &HashSet<ImageId>) -> Result<()> {
        for id in built.images.drain(..).filter(|id| !before.contains(id)) {
            self.shop.remove_image(&id)?;
        }
        Ok(())
    }

    fn result_path(&self, number: u32) -> PathBuf {
        let folder = self.shop.parts.folder.join("outputs");
        folder.join(format!("{}-{number}.tar", self.place.id))
    }

    /// The whole tree of the result, as an archive; of several platforms each in a folder.
    fn files(&self, results: Results<'_>, output: &Output, number: u32) -> Result<ResultFile> {
        let states = results.states;
        let split = output.options.get("platform-split").map(String::as_str);
        let count = if self.request.is_multi_platform() { 2 } else { states.len() };
        let split = Split::new(split, count);
        if let ([state], Split::Together, false) = (states, split, self.is_attested_beside()) {
            return self.result(number, &mut |out| self.tree(state, out));
        }
        self.result(number, &mut |out| {
            let mut joiner = Joiner::new(out, split);
            for (index, state) in states.iter().enumerate() {
                self.join(&mut joiner, (index, self.unnamed(state)?), results)?;
            }
            joiner.finish()
        })
    }

    /// The tree of one platform in a file that nobody sees.
    fn unnamed(&self, state: &StageState) -> Result<File> {
        let path = self.place.folder()?.join("files.tar");
        let options = File::options().read(true).write(true).create_new(true).open(&path);
        let file = options.map_err(BuildError::io("create", &path))?;
        std::fs::remove_file(&path).map_err(BuildError::io("remove", &path))?;
        let mut out = BufWriter::new(file);
        self.tree(state, &mut out)?;
        out.into_inner().map_err(|error| BuildError::io("write", &path)(error.into_error()))
    }

    fn tree(&self, state: &StageState, out: &mut dyn std::io::Write) -> Result<()> {
        let images = &self.shop.parts.images;
        images
            .write_files(state.top().as_ref(), self.epoch(), out)
            .map_err(BuildError::image("write the files"))
    }

    /// What `load` reads, or an OCI layout.
    fn archive(&self, built: &Built, output: &Output, number: u32) -> Result<ResultFile> {
        let compression = output.options.get("compression").map(String::as_str);
        let (form, usual) = match output.kind {
            OutputKind::Oci => (ArchiveForm::Oci, LayerCompression::Gzip),
            OutputKind::Docker | OutputKind::Image | OutputKind::Registry | OutputKind::Files => {
                (ArchiveForm::Docker, LayerCompression::Plain)
            }
        };
        let compression = match compression {
            None => usual,
            Some("uncompressed") => LayerCompression::Plain,
            Some("gzip") => LayerCompression::Gzip,
            Some(other) => {
                return Err(BuildError::Unsupported(format!("--output compression={other}")));
            }
        };
        let references = match output.names.as_slice() {
            [] => self.request.tags.clone(),
            names => names.to_vec(),
        };
        let options = ExportOptions { form, compression, references };
        let images = &self.shop.parts.images;
        self.result(number, &mut |out| {
            let save = images
                .export(&built.images, &options)
                .map_err(BuildError::image("write the image"))?;
            save.write(out).map_err(BuildError::image("write the image"))
        })
    }

    fn result(
        &self,
        number: u32,
        write: &mut dyn FnMut(&mut dyn std::io::Write) -> Result<()>,
    ) -> Result<ResultFile> {
        let path = self.result_path(number);
        let file = File::create(&path).map_err(BuildError::io("create", &path))?;
        // Removed with this, if what follows fails.
        let result = ResultFile { output: number, path };
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush().map_err(BuildError::io("write", &result.path))?;
        Ok(result)
    }
}

fn warning(found: &lint::Finding) -> Warning {
    Warning {
        rule: found.rule.name.to_owned(),
        description: found.rule.description.to_owned(),
        detail: found.detail.clone(),
        url: found.rule.url(),
        line: found.first_line,
    }
}
