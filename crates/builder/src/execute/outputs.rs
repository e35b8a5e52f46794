//! What a build hands out: images with their names, and archives to be fetched.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use barge_dockerfile::lint;
use barge_types::{ImageId, Reference};

use super::Running;
use super::state::StageState;
use crate::builder::{Built, ResultFile};
use crate::error::{BuildError, Result};
use crate::event::{Event, Warning};
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

    /// Makes everything that was asked for.
    pub(crate) fn outputs(&self, states: &[StageState], built: &mut Built) -> Result<()> {
        let outputs = &self.request.outputs;
        let is_image = |output: &Output| output.kind != OutputKind::Files;
        if outputs.is_empty() || outputs.iter().any(is_image) {
            self.images(states, built)?;
        }
        for (number, output) in (0..).zip(outputs) {
            let result = match output.kind {
                OutputKind::Image | OutputKind::Registry => continue,
                OutputKind::Files => self.files(states, number)?,
                OutputKind::Oci | OutputKind::Docker => self.archive(built, output, number)?,
            };
            built.results.push(result);
            self.tell(Event::Ready { build: built.id.clone(), output: number });
        }
        Ok(())
    }

    fn images(&self, states: &[StageState], built: &mut Built) -> Result<()> {
        let mut names = self.request.tags.clone();
        for output in &self.request.outputs {
            if matches!(output.kind, OutputKind::Image | OutputKind::Registry) {
                names.extend(output.names.iter().cloned());
            }
        }
        names.dedup();
        let last = states.len() - 1;
        for (number, state) in states.iter().enumerate() {
            // The names are the last one's: where there are several platforms, an index joins them.
            let names = if number == last { names.clone() } else { Vec::new() };
            let id = self.publish(state, names.clone())?;
            built.images.push(id);
            let names = names.iter().map(Reference::to_string).collect();
            self.tell(Event::Image { id: id.to_string(), names });
        }
        Ok(())
    }

    fn result_path(&self, number: u32) -> PathBuf {
        let folder = self.shop.parts.folder.join("outputs");
        folder.join(format!("{}-{number}.tar", self.place.id))
    }

    /// The whole tree of the result, as an archive.
    fn files(&self, states: &[StageState], number: u32) -> Result<ResultFile> {
        let [state] = states else {
            return Err(BuildError::Unsupported(
                "the files of several platforms as one output".to_owned(),
            ));
        };
        self.result(number, &mut |out| match state.top() {
            Some(top) => {
                let storage = &self.shop.parts.storage;
                storage.diff(&top, None, out).map_err(BuildError::storage("write the files"))
            }
            None => barge_archive::tar::Writer::new(out).finish().map(drop).map_err(|error| {
                BuildError::Source { what: "the files".to_owned(), source: error.into() }
            }),
        })
    }

    /// An archive that `load` reads: an OCI layout with Docker's manifest in it.
    fn archive(&self, built: &Built, output: &Output, number: u32) -> Result<ResultFile> {
        let names: Vec<String> = match output.names.as_slice() {
            [] => built.images.iter().map(ImageId::to_string).collect(),
            names => names.iter().map(Reference::to_string).collect(),
        };
        for name in &output.names {
            let id = built.images.last().copied();
            let Some(id) = id else { continue };
            let images = &self.shop.parts.images;
            images.tag(&id, name).map_err(BuildError::image("name the image"))?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.result(number, &mut |out| {
            let images = &self.shop.parts.images;
            let save = images.save(&names).map_err(BuildError::image("save the image"))?;
            save.write(out).map_err(BuildError::image("save the image"))
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
