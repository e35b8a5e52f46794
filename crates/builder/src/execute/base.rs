//! What a stage stands on.

use std::path::Path;
use std::sync::Arc;

use barge_image::{Held, LayoutName, LoadProgress};
use barge_types::Platform;

use super::graph::Graph;
use super::state::StageState;
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome};
use crate::files::Tree;
use crate::plan::Origin;
use crate::sources::{ImageNews, ImageWant};

impl Graph<'_> {
    /// `FROM`, with the `ONBUILD` triggers of what it names.
    pub(crate) fn base(&self, stage: usize, number: u32) -> Result<(StageState, Vec<String>)> {
        let running = self.running;
        let line = &running.source.parsed.stages[stage].from;
        let plan = &self.plan.stages[stage];
        let other = plan.base.stage();
        let ready = other.map(|other| self.slots.wait(other, running.cancel)).transpose()?;
        running.start(number);
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
                    (StageState::image(Arc::new(held), &running.salt()), Outcome::Done)
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
            Err(error) => Err(match running.finish(number, Err(error)) {
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

    /// An image of the store, pulled when it has to be: as a rule it was asked for before.
    pub(crate) fn get_image(&self, name: &str, stage: usize, number: u32) -> Result<Arc<Held>> {
        let wish = self.wish(stage, name);
        match self.running.image(&wish, (stage, number)) {
            Some(found) => {
                let held = found?;
                self.note_image(name, &held);
                Ok(held)
            }
            None => self.pull_image((&wish.0, wish.1.as_ref()), stage, number),
        }
    }

    /// The same for a platform, the daemon's own when there is none, and of which nobody knew.
    pub(crate) fn pull_image(
        &self,
        (name, platform): (&str, Option<&Platform>),
        stage: usize,
        number: u32,
    ) -> Result<Arc<Held>> {
        let running = self.running;
        let want = ImageWant {
            reference: name,
            platform,
            pull: running.request.pull,
            client: &running.request.client,
        };
        let mut told = |news: ImageNews<'_>| match news {
            ImageNews::Found => {}
            ImageNews::Advanced { what, current, total } => {
                let what = what.to_owned();
                running.tell(Event::Advanced { step: number, what, current, total });
            }
        };
        let held = running.shop.parts.sources.image(&want, &mut told, running.cancel);
        let held = held.map_err(|source| running.no_image(stage, name, Some(source)))?;
        self.note_image(name, &held);
        Ok(Arc::new(held))
    }
}
