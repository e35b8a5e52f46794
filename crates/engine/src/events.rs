//! Events: what happened to which object, told to those who listen and kept for those who ask later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use barge_api_types::{EventActor, EventMessage, Filters};
use barge_types::Reference;
use tokio::sync::broadcast;

use crate::error::{EngineError, Result};
use crate::time;

/// How many events are kept, as many as Docker keeps.
const KEPT: usize = 256;
/// How many events a listener may lag behind before it misses the oldest.
const LAG: usize = 1024;

/// Tells what happened.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<EventMessage>>,
    live: broadcast::Sender<EventMessage>,
}

/// What a listener asks for.
#[derive(Clone, Debug, Default)]
pub struct EventsOptions {
    /// From this moment on.
    pub since: Option<String>,
    /// Up to this moment; without it the listener hears what is to come.
    pub until: Option<String>,
    /// Which of them.
    pub filters: Filters,
}

/// Events on their way to one listener.
#[derive(Debug)]
pub struct EventStream {
    past: VecDeque<EventMessage>,
    live: broadcast::Receiver<EventMessage>,
    until: Option<SystemTime>,
    filters: Filters,
}

/// Kinds of objects, each of which is a filter too.
const KINDS: [&str; 9] =
    ["config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"];
/// The other filters.
const OTHERS: [&str; 5] = ["event", "image", "label", "scope", "type"];

impl Events {
    /// With nothing kept.
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(LAG) }
    }

    /// Tells that `action` happened to the object `id` of a kind.
    pub(crate) fn tell(
        &self,
        kind: &str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        self.tell_of(SystemTime::now(), (kind, action), id, attributes);
    }

    /// The same of what happened at another moment, while nobody was there to tell it. It is kept in its place.
    pub(crate) fn tell_of(
        &self,
        moment: SystemTime,
        (kind, action): (&str, &str),
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let is_container = kind == "container";
        let message = EventMessage {
            // The fields of the API before 1.22, which clients still read.
            status: if is_container || kind == "image" { action.to_owned() } else { String::new() },
            id: if is_container || kind == "image" { id.to_owned() } else { String::new() },
            from: if is_container {
                attributes.get("image").cloned().unwrap_or_default()
            } else {
                String::new()
            },
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: EventActor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: time::unix_seconds(moment),
            time_nano: time::unix_nanos(moment),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let is_earlier = |event: &EventMessage| event.time_nano <= message.time_nano;
        let place = kept.iter().rposition(is_earlier).map_or(0, |last| last + 1);
        kept.insert(place, message.clone());
        // No listener is no failure. Sent under the lock, so that a new listener gets each event once.
        self.live.send(message).ok();
    }

    /// Begins to listen.
    pub fn subscribe(&self, options: EventsOptions) -> Result<EventStream> {
        options
            .filters
            .check_keys(&[&KINDS[..], &OTHERS[..]].concat())
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        let moment = |text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => time::parse(text).map(Some).ok_or_else(|| {
                EngineError::Invalid(format!(
                    "failed to parse value as time or duration: value {text:?}"
                ))
            }),
        };
        let since = moment(&options.since)?;
        let until = moment(&options.until)?;
        if let (Some(from), Some(to)) = (since, until)
            && from > to
        {
            return Err(EngineError::Invalid(format!(
                "`since` time ({}) cannot be after `until` time ({})",
                options.since.unwrap_or_default(),
                options.until.unwrap_or_default()
            )));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // `until` alone means: all that is kept, up to then.
        let past = match (since, until) {
            (None, None) => VecDeque::new(),
            (since, _) => {
                let from = since.map_or(0, time::unix_nanos);
                kept.iter().filter(|event| event.time_nano >= from).cloned().collect()
            }
        };
        Ok(EventStream { past, live: self.live.subscribe(), until, filters: options.filters })
    }
}

impl EventStream {
    /// The next event; `None` when there will be none.
    pub async fn next(&mut self) -> Option<EventMessage> {
        loop {
            let event = match self.past.pop_front() {
                Some(event) => event,
                None => self.next_live().await?,
            };
            if self.until.is_some_and(|until| event.time_nano > time::unix_nanos(until)) {
                return None;
            }
            if is_wanted(&event, &self.filters) {
                return Some(event);
            }
        }
    }

    async fn next_live(&mut self) -> Option<EventMessage> {
        let left = match self.until {
            Some(until) => Some(until.duration_since(SystemTime::now()).ok()?),
            None => None,
        };
        loop {
            let received = match left {
                Some(left) => tokio::time::timeout(left, self.live.recv()).await.ok()?,
                None => self.live.recv().await,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn is_wanted(event: &EventMessage, filters: &Filters) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    // By id or name, or the beginning of one, as dockerd.
    let is_object = |kind: &str| {
        !filters.contains(kind)
            || (event.kind == kind
                && filters
                    .values(kind)
                    .any(|wanted| event.actor.id.starts_with(wanted) || name.starts_with(wanted)))
    };
    // An action with an argument (`exec_create: ls`) is named by the part before the colon.
    let action = event.action.split(':').next().unwrap_or_default();
    (filters.matches("event", &event.action) || filters.matches("event", action))
        && filters.matches("type", &event.kind)
        && filters.matches("scope", &event.scope)
        && filters.matches_labels("label", &event.actor.attributes)
        && KINDS.into_iter().all(is_object)
        && is_of_image(event, filters)
}

/// Whether an event is of an image that is asked for, or of a container of it: by id or name, with or without the tag.
fn is_of_image(event: &EventMessage, filters: &Filters) -> bool {
    if !filters.contains("image") {
        return true;
    }
    let attribute = if event.kind == "image" { "name" } else { "image" };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    let id = event.actor.id.as_str();
    filters.values("image").any(|wanted| {
        [id, name].contains(&wanted)
            || [id, name].into_iter().any(|text| without_tag(text).as_deref() == Some(wanted))
    })
}

fn without_tag(name: &str) -> Option<String> {
    name.parse::<Reference>().ok().map(|reference| reference.familiar_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Filters {
        Filters::parse(text).unwrap()
    }

    #[tokio::test]
    async fn kept_events_come_before_live_ones_and_each_once() {
        let events = Events::new();
        events.tell("container", "create", "a", BTreeMap::new());
        let since = Some("1".to_owned());
        let mut stream =
            events.subscribe(EventsOptions { since, ..EventsOptions::default() }).unwrap();
        events.tell("container", "start", "a", BTreeMap::new());
        assert_eq!(stream.next().await.unwrap().action, "create");
        assert_eq!(stream.next().await.unwrap().action, "start");
    }

    #[tokio::test]
    async fn what_is_told_late_is_kept_in_its_place() {
        let events = Events::new();
        let moment = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for (seconds, action) in [(20, "start"), (10, "create"), (15, "attach")] {
            events.tell_of(moment(seconds), ("container", action), "a", BTreeMap::new());
        }
        let since = Some("12".to_owned());
        let mut stream =
            events.subscribe(EventsOptions { since, ..EventsOptions::default() }).unwrap();
        for (time, action) in [(15, "attach"), (20, "start")] {
            let event = stream.next().await.unwrap();
            assert_eq!((event.time, event.action.as_str()), (time, action));
        }
    }

    #[tokio::test]
    async fn a_stream_until_the_past_ends() {
        let events = Events::new();
        events.tell("container", "create", "a", BTreeMap::new());
        let options = EventsOptions { until: Some("1".to_owned()), ..EventsOptions::default() };
        assert!(events.subscribe(options).unwrap().next().await.is_none());
    }

    #[test]
    fn filters_choose_by_kind_object_and_action() {
        let events = Events::new();
        let attributes = BTreeMap::from([("name".to_owned(), "web".to_owned())]);
        events.tell("container", "exec_create: ls", "abc", attributes);
        let event = events.kept.lock().unwrap()[0].clone();
        assert!(is_wanted(&event, &filters(r#"{"container":["web"],"event":["exec_create"]}"#)));
        assert!(is_wanted(&event, &filters(r#"{"container":["ab"],"type":["container"]}"#)));
        assert!(!is_wanted(&event, &filters(r#"{"container":["db"]}"#)));
        assert!(!is_wanted(&event, &filters(r#"{"type":["image"]}"#)));
        assert!(is_wanted(&event, &filters(r#"{"container":["we"]}"#)));
        assert!(!is_wanted(&event, &filters(r#"{"network":["web"]}"#)));
        assert!(!is_wanted(&event, &filters(r#"{"service":["web"]}"#)));
    }

    #[test]
    fn an_image_is_meant_with_its_tag_and_without_and_with_its_containers() {
        let events = Events::new();
        let attribute = |key: &str| BTreeMap::from([(key.to_owned(), "registry/app:1".to_owned())]);
        events.tell("image", "tag", "sha256:ab", attribute("name"));
        events.tell("container", "start", "cd", attribute("image"));
        events.tell("volume", "create", "registry/app:1", BTreeMap::new());
        let kept = events.kept.lock().unwrap();
        let told = |text: &str| {
            let filters = filters(text);
            kept.iter().map(|event| is_wanted(event, &filters)).collect::<Vec<_>>()
        };
        assert_eq!(told(r#"{"image":["registry/app:1"]}"#)[..2], [true, true]);
        assert_eq!(told(r#"{"image":["registry/app"]}"#)[..2], [true, true]);
        assert_eq!(told(r#"{"image":["sha256:ab"]}"#), [true, false, false]);
        assert_eq!(told(r#"{"image":["app"]}"#), [false, false, false]);
    }

    #[test]
    fn what_would_end_before_it_began_is_refused() {
        let options = EventsOptions {
            since: Some("20".to_owned()),
            until: Some("10".to_owned()),
            ..EventsOptions::default()
        };
        assert_eq!(
            Events::new().subscribe(options).unwrap_err().to_string(),
            "`since` time (20) cannot be after `until` time (10)"
        );
    }

    #[test]
    fn an_unknown_filter_is_named() {
        let options =
            EventsOptions { filters: filters(r#"{"colour":["red"]}"#), ..EventsOptions::default() };
        assert_eq!(
            Events::new().subscribe(options).unwrap_err().to_string(),
            "invalid filter 'colour'"
        );
    }
}
