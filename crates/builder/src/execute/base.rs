//! What a stage stands on.

use std::path::Path;

use barge_image::{Held, LayoutName, LoadProgress};
use barge_types::Platform;

use super::graph::Graph;
use super::state::StageState;
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome};
use crate::files::Tree;
use crate::plan::Origin;
use crate::sources::ImageWant;

impl Graph<'_> {
    /// `FROM`, with the `ONBUILD` triggers of what it names.
    pub(crate) fn base(&self, stage: usize, number: u32) -> Result<(StageState, Vec<String>)> {
        let running = self.running;
        let line = &running.source.parsed.stages[stage].from;
        let plan = &self.plan.stages[stage];
        let other = plan.base.stage();
        let ready = other.map(|other| self.slots.wait(other, running.cancel)).transpose()?;
        running.tell(Event::Started { step: number });
        // Nothing has no id.
        let mut id = String::new();
        let found = match (&plan.base, ready) {
            (_, Some(below)) => {
                id = below.id().to_string();
                Ok((StageState::on(&below), Outcome::Done))
            }
            (Origin::Scratch | Origin::Stage(_), None) => {
                let state = StageState::scratch(&plan.platform, &running.salt());
                Ok(((state, Vec::new()), Outcome::Done))
            }
            (Origin::Image(name), None) => self.get_image(name, stage, number).map(|held| {
                id = held.id.to_string();
                (StageState::image(held, &running.salt()), Outcome::Done)
            }),
            (Origin::Layout { name, folder, image }, None) => {
                let held = self.get_layout((stage, number), name, (folder, image));
                held.map(|held| {
                    id = held.id.to_string();
                    (StageState::image(held, &running.salt()), Outcome::Done)
                })
            }
            (Origin::Folder(name, path), None) => {
                self.folder_tree(name, path).and_then(|tree| self.context(stage, (name, &tree)))
            }
            (Origin::Url(url), None) => {
                self.url_tree(url).and_then(|tree| self.context(stage, (url, &tree)))
            }
        };
        let found = found.map_err(|error| running.source.at(line, error));
        match found {
            Ok((found, outcome)) => {
                running.tell(Event::Made { step: number, id });
                running.ended(number, outcome);
                Ok(found)
            }
            Err(error) => Err(match self.finish(number, Err(error)) {
                Err(error) => error,
                Ok(()) => BuildError::Elsewhere,
            }),
        }
    }

    /// Files that are no image have no triggers.
    fn context(
        &self,
        stage: usize,
        files: (&str, &Tree),
    ) -> Result<((StageState, Vec<String>), Outcome)> {
        let (state, outcome) = self.on_tree(stage, files)?;
        Ok(((state, Vec::new()), outcome))
    }

    /// An image of an OCI layout, loaded when it is not here.
    pub(crate) fn get_layout(
        &self,
        (stage, number): (usize, u32),
        name: &str,
        (folder, image): (&Path, &LayoutName),
    ) -> Result<Held> {
        let running = self.running;
        let mut told = |progress: LoadProgress| {
            if let LoadProgress::Unpacking { diff_id, current, total } = progress {
                let what = diff_id.map_or_else(|| name.to_owned(), |id| id.to_string());
                running.tell(Event::Advanced { step: number, what, current, total });
            }
        };
        let platform = &self.plan.stages[stage].platform;
        let images = &running.shop.parts.images;
        let held = images.load_layout(folder, (image, platform), &mut told).map_err(|error| {
            BuildError::Source { what: format!("the OCI layout {name}"), source: error.into() }
        })?;
        self.note_image("", &held);
        Ok(held)
    }

    /// An image of the store, pulled when it has to be.
    pub(crate) fn get_image(&self, name: &str, stage: usize, number: u32) -> Result<Held> {
        let running = self.running;
        let platform = &self.plan.stages[stage].platform;
        let is_asked = !running.request.platforms.is_empty()
            || running.source.parsed.stages[stage].from.value.platform.is_some();
        self.get_image_for(is_asked.then_some(platform), name, number)
    }

    /// The same for a platform, the daemon's own when there is none.
    pub(crate) fn get_image_for(
        &self,
        platform: Option<&Platform>,
        name: &str,
        number: u32,
    ) -> Result<Held> {
        let running = self.running;
        let want = ImageWant {
            reference: name,
            platform,
            pull: running.request.pull,
            client: &running.request.client,
        };
        let mut told = |what: &str, current, total| {
            let what = what.to_owned();
            running.tell(Event::Advanced { step: number, what, current, total });
        };
        let held = running.shop.parts.sources.image(&want, &mut told, running.cancel);
        let held = held.map_err(|source| match running.cancel.is_cancelled() {
            true => BuildError::Cancelled,
            false => {
                let stages = running.source.parsed.stages.iter();
                let names = stages.filter_map(|stage| stage.name.as_deref());
                let hint = crate::plan::suggestion(name, names);
                BuildError::Source { what: format!("image {name}{hint}"), source }
            }
        })?;
        self.note_image(name, &held);
        Ok(held)
    }
}
