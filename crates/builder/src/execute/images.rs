//! The images that a build needs, asked for together: a build whose last step wants an image that nobody has ends before
//! its first one runs.
//!
//! Steps begin once every image is known to be there; what is still to come of one goes on while they run. Images that only
//! the triggers of others name are not known yet, and are asked for when their turn comes. A few names are asked for at
//! once, and the platforms of one name one after the other: each pull moves the name to what it brought.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

use barge_image::Held;
use barge_types::{Platform, Reference};

use super::Running;
use super::graph::Graph;
use crate::error::{BuildError, Result};
use crate::event::Event;
use crate::plan::Origin;
use crate::runner::{Cancel, RunError};
use crate::sources::{ImageNews, ImageWant};

/// How often somebody who waits looks whether the build was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// How many names are asked for at once: each is a thread and a dialogue with a registry.
pub(crate) const AT_ONCE: usize = 8;

/// A name, and the platform if one was asked for.
pub(super) type Wish = (String, Option<Platform>);

/// The images of one build.
#[derive(Debug, Default)]
pub(crate) struct Images {
    places: Mutex<HashMap<Wish, Place>>,
    changed: Condvar,
    /// What nobody has asked for yet: for each name the platforms that are wanted of it.
    queue: Mutex<VecDeque<Vec<Wish>>>,
}

#[derive(Debug)]
struct Place {
    first: User,
    /// The step that shows how it goes on: one that has begun.
    watcher: Option<u32>,
    state: State,
}

#[derive(Debug)]
enum State {
    Asked,
    /// It is there to be had.
    Found,
    Here(Arc<Held>),
    /// With the reason until somebody has told it.
    Failed(Option<RunError>),
}

/// Who wants an image.
#[derive(Clone, Debug)]
struct User {
    stage: usize,
    step: u32,
    lines: RangeInclusive<u32>,
}

impl Images {
    fn places(&self) -> MutexGuard<'_, HashMap<Wish, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Vec<Wish>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts everything into the queue, what is needed first at its front; returns how many names there are.
    fn line_up(&self) -> usize {
        let places = self.places();
        let mut wishes: Vec<_> = places.iter().collect();
        wishes.sort_by_key(|(_, place)| place.first.step);
        let mut names: Vec<Vec<Wish>> = Vec::new();
        let mut of_name = HashMap::new();
        for (wish, _) in wishes {
            // `busybox` and `docker.io/library/busybox:latest` are one.
            let name =
                wish.0.parse::<Reference>().map_or_else(|_| wish.0.clone(), |it| it.to_string());
            let at = *of_name.entry(name).or_insert(names.len());
            if at == names.len() {
                names.push(Vec::new());
            }
            names[at].push(wish.clone());
        }
        for wishes in &mut names {
            // Whoever names no platform gets what is here: not what another of this build is about to pull.
            wishes.sort_by_key(|wish| wish.1.is_some());
        }
        *self.queue() = names.into();
        self.queue().len()
    }

    fn set(&self, wish: &Wish, state: State) {
        if let Some(place) = self.places().get_mut(wish) {
            place.state = state;
        }
        self.changed.notify_all();
    }

    /// Looks until there is something to be seen.
    fn wait<T>(
        &self,
        cancel: &Cancel,
        look: &mut dyn FnMut(&mut HashMap<Wish, Place>) -> Option<T>,
    ) -> Result<T> {
        let mut places = self.places();
        loop {
            if let Some(seen) = look(&mut places) {
                return Ok(seen);
            }
            if cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            let woken = self.changed.wait_timeout(places, LOOK);
            places = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A wish that somebody is at. Whoever waits for it is told what became of it, also when that is a panic.
struct Asked<'a> {
    images: &'a Images,
    wish: &'a Wish,
    outcome: State,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, State::Failed(None));
        self.images.set(self.wish, outcome);
    }
}

/// What became of all of them.
type Outlook = Option<(Wish, User, Option<RunError>)>;

impl Running<'_> {
    /// Asks for all images; returns when each of them is known to be there.
    pub(crate) fn seek<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        graphs: &'env [Graph<'env>],
    ) -> Result<()> {
        for graph in graphs {
            let mut places = self.images.places();
            for (wish, user) in graph.wishes() {
                let state = State::Asked;
                places.entry(wish).or_insert(Place { first: user, watcher: None, state });
            }
        }
        // Graphs go one after the other: the time of what the later ones wait for is not the step's own.
        let begun = graphs.first().map(Graph::first_steps).unwrap_or_default();
        for step in &begun {
            self.start(*step);
        }
        for place in self.images.places().values_mut() {
            place.watcher = begun.contains(&place.first.step).then_some(place.first.step);
        }
        if let Err(error) = self.send_out(scope) {
            self.end(&begun);
            return Err(error);
        }
        let failed = self.images.wait(self.cancel, &mut |places| outlook(places));
        let (wish, user, source) = match failed {
            Ok(None) => return Ok(()),
            Ok(Some(failed)) => failed,
            Err(error) => {
                self.end(&begun);
                return Err(error);
            }
        };
        self.start(user.step);
        let error = self.no_image(user.stage, &wish.0, source);
        let error = self.source.at_lines(user.lines, error);
        let begun: Vec<u32> = begun.into_iter().filter(|step| *step != user.step).collect();
        let ended = self.finish(user.step, Err(error));
        self.end(&begun);
        ended
    }

    /// Starts those who ask. When the system has threads for some of them only, these do it all.
    fn send_out<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Result<()> {
        for started in 0..self.images.line_up().min(AT_ONCE) {
            let ask = || {
                while let Some(wishes) = self.next() {
                    wishes.iter().for_each(|wish| self.fetch(wish));
                }
            };
            match Builder::new().name("images".to_owned()).spawn_scoped(scope, ask) {
                Err(error) if started == 0 => {
                    return Err(BuildError::io("start", Path::new("a thread for images"))(error));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The wishes of the next name; nothing when all were taken.
    fn next(&self) -> Option<Vec<Wish>> {
        self.images.queue().pop_front()
    }

    fn end(&self, steps: &[u32]) {
        for step in steps {
            self.ended(*step, crate::event::Outcome::Cancelled);
        }
    }

    fn fetch(&self, wish: &Wish) {
        let mut asked = Asked { images: &self.images, wish, outcome: State::Failed(None) };
        if self.cancel.is_cancelled() {
            return;
        }
        asked.outcome = State::Failed(Some("whoever fetched it broke off".into()));
        let want = ImageWant {
            reference: &wish.0,
            platform: wish.1.as_ref(),
            pull: self.request.pull,
            client: &self.request.client,
        };
        let mut told = |news: ImageNews<'_>| match news {
            ImageNews::Found => self.images.set(wish, State::Found),
            ImageNews::Advanced { what, current, total } => {
                let watcher = self.images.places().get(wish).and_then(|place| place.watcher);
                if let Some(step) = watcher {
                    let what = what.to_owned();
                    self.tell(Event::Advanced { step, what, current, total });
                }
            }
        };
        asked.outcome = match self.shop.parts.sources.image(&want, &mut told, self.cancel) {
            Ok(held) => State::Here(Arc::new(held)),
            Err(_) if self.cancel.is_cancelled() => State::Failed(None),
            Err(error) => State::Failed(Some(error)),
        };
    }

    /// An image that was asked for; nothing when it was not.
    pub(super) fn image(
        &self,
        wish: &Wish,
        (stage, step): (usize, u32),
    ) -> Option<Result<Arc<Held>>> {
        if let Some(place) = self.images.places().get_mut(wish) {
            place.watcher.get_or_insert(step);
        }
        let found = self.images.wait(self.cancel, &mut |places| match places.get_mut(wish) {
            None => Some(None),
            Some(place) => match &mut place.state {
                State::Asked | State::Found => None,
                State::Here(held) => Some(Some(Ok(Arc::clone(held)))),
                State::Failed(source) => Some(Some(Err(source.take()))),
            },
        });
        match found {
            Ok(found) => {
                found.map(|found| found.map_err(|source| self.no_image(stage, &wish.0, source)))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Why an image cannot be had. Without a reason somebody else has told it.
    pub(super) fn no_image(
        &self,
        stage: usize,
        name: &str,
        source: Option<RunError>,
    ) -> BuildError {
        match source {
            _ if self.cancel.is_cancelled() => BuildError::Cancelled,
            None => BuildError::Elsewhere,
            Some(source) => {
                let hint = crate::plan::stage_hint(&self.source.parsed.stages, stage, name);
                BuildError::Source { what: format!("image {name}{hint}"), source }
            }
        }
    }
}

/// Whether all images are there, or the first that is not; nothing as long as it is not known.
fn outlook(places: &mut HashMap<Wish, Place>) -> Option<Outlook> {
    let failed = places.iter_mut().filter(|(_, place)| matches!(place.state, State::Failed(_)));
    if let Some((wish, place)) = failed.min_by_key(|(_, place)| place.first.step) {
        let source = match &mut place.state {
            State::Failed(source) => source.take(),
            State::Asked | State::Found | State::Here(_) => None,
        };
        return Some(Some((wish.clone(), place.first.clone(), source)));
    }
    places.values().all(|place| !matches!(place.state, State::Asked)).then_some(None)
}

impl Graph<'_> {
    /// An image as a stage asks for it.
    pub(super) fn wish(&self, stage: usize, name: &str) -> Wish {
        let running = self.running;
        let is_asked = !running.request.platforms.is_empty()
            || running.source.parsed.stages[stage].from.value.platform.is_some();
        (name.to_owned(), is_asked.then(|| self.plan.stages[stage].platform.clone()))
    }

    /// The images that the stages stand on and that their instructions name.
    fn wishes(&self) -> Vec<(Wish, User)> {
        let mut wishes = Vec::new();
        for &stage in &self.plan.needed {
            let lines = &self.running.source.parsed.stages[stage];
            let first = self.first_step(stage);
            if let Origin::Image(name) = &self.plan.stages[stage].base {
                let lines = lines.from.first_line..=lines.from.last_line;
                wishes.push((self.wish(stage, name), User { stage, step: first, lines }));
            }
            for (step, line) in (first + 1..).zip(&lines.instructions) {
                for word in crate::plan::sources_of(&line.value) {
                    if let Ok(Origin::Image(name)) = self.origin(stage, word) {
                        let lines = line.first_line..=line.last_line;
                        wishes.push((self.wish(stage, &name), User { stage, step, lines }));
                    }
                }
            }
        }
        wishes
    }

    /// The steps of the `FROM`s of images.
    fn first_steps(&self) -> Vec<u32> {
        let of_image = |stage: &&usize| matches!(self.plan.stages[**stage].base, Origin::Image(_));
        let stages = self.plan.needed.iter().filter(of_image);
        stages.map(|&stage| self.first_step(stage)).collect()
    }
}
