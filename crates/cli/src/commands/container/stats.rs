//! `barge stats`: what containers use, as it changes.

mod figures;

use std::collections::BTreeMap;
use std::time::Duration;

use barge_api_types::{EventMessage, StatsResponse};
use barge_client::{ClientError, EventsOptions, JsonStream, ListOptions};
use clap::Args as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::so_many_at_once;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::filters;
use crate::flags::Order;
use crate::format::listing::{self, Detail, Field, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::format::{LIST_HELP, short_id};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "stats",
    about: "Display a live stream of container(s) resource usage statistics",
    usage: "[OPTIONS] [CONTAINER...]",
    aliases: &["container stats", "stats"],
    arity: Arity::AtLeast(0),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
}

const FIELDS: &[Field] = &[
    field(("BlockIO", "BLOCK I/O")),
    field(("CPUPerc", "CPU %")),
    field(("Container", "CONTAINER")),
    field(("ID", "CONTAINER ID")),
    field(("MemPerc", "MEM %")),
    field(("MemUsage", "MEM USAGE / LIMIT")),
    field(("Name", "NAME")),
    field(("NetIO", "NET I/O")),
    field(("PIDs", "PIDS")),
];

const COLUMNS: &[&str] =
    &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/// Each takes a second, most of it waiting: how many may wait together, and open a connection each.
const SAMPLES: usize = 500;
/// Between two pictures, as in Docker.
const REFRESH: Duration = Duration::from_millis(500);

async fn run(session: &Session, input: Input) -> Result<()> {
    let mut flags: Flags = input.flags()?;
    let format = Format::choose(session, (flags.format.as_deref(), Detail::Whole), "statsFormat")?;
    flags.format = format.text().map(str::to_owned);
    let client = session.client().await?.containers();
    let is_given = !input.arguments.is_empty();
    let names = if is_given {
        input.arguments
    } else {
        let options = ListOptions { all: flags.all, ..ListOptions::default() };
        client.list(&options).await?.into_iter().map(|container| container.id).collect()
    };
    if flags.no_stream {
        let mut rows = Vec::new();
        let mut failures = Vec::new();
        let mut samples = so_many_at_once(SAMPLES, &names, |name| client.stats_once(name));
        while let Some((name, sample)) = samples.next().await {
            match sample {
                Ok(sample) => rows.push(row(name, &sample, &flags)),
                // It was removed since it was listed.
                Err(error) if error.is_not_found() && !is_given => {}
                Err(error) => failures.push(error.to_string()),
            }
        }
        session.streams.write(show(&flags, rows)?)?;
        return if failures.is_empty() {
            Ok(())
        } else {
            Err(CliError::Invalid(failures.join("\n")))
        };
    }
    let mut watch =
        Watch { session, flags, rows: BTreeMap::new(), samples: FuturesUnordered::new() };
    for name in names {
        watch.add(name, is_given).await?;
    }
    if is_given {
        watch.follow(None).await
    } else {
        watch.follow(Some(events(session).await?)).await
    }
}

fn show(flags: &Flags, rows: Vec<Row>) -> Result<String> {
    let purpose = Purpose::Row("*container.statsContext");
    let kind = Kind { fields: FIELDS, columns: COLUMNS, purpose, ..Kind::PLAIN };
    listing::show(&kind, &Format::of(flags.format.as_deref()), rows)
}

fn row(given: &str, sample: &StatsResponse, flags: &Flags) -> Row {
    let id = if flags.no_trunc { &sample.id } else { short_id(&sample.id) };
    let name = sample.name.trim_start_matches('/');
    let mut row = figures::of(sample);
    row.insert("Container".to_owned(), given.into());
    row.insert("ID".to_owned(), id.into());
    row.insert("Name".to_owned(), name.into());
    row
}

/// Which containers come and go.
async fn events(session: &Session) -> Result<JsonStream<EventMessage>> {
    let wanted = ["create", "start", "die", "destroy"].map(|action| ("event", action));
    let pairs = wanted.into_iter().chain([("type", "container")]);
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let options = EventsOptions { filters: filters::collect(pairs), ..EventsOptions::default() };
    Ok(session.client().await?.system().events(&options).await?)
}

type Samples = JsonStream<StatsResponse>;
type Next = (String, Samples, std::result::Result<Option<StatsResponse>, ClientError>);

struct Watch<'a> {
    session: &'a Session,
    flags: Flags,
    /// In the order in which they were named or found; none of those that have no sample yet.
    rows: BTreeMap<String, Option<Row>>,
    samples: FuturesUnordered<BoxFuture<'static, Next>>,
}

impl Watch<'_> {
    async fn add(&mut self, name: String, is_given: bool) -> Result<()> {
        if self.rows.contains_key(&name) {
            return Ok(());
        }
        match self.session.client().await?.containers().stats(&name).await {
            Ok(samples) => {
                self.rows.insert(name.clone(), None);
                self.samples.push(next(name, samples));
                Ok(())
            }
            Err(error) if error.is_not_found() && !is_given => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Draws what comes until there is nothing more to come.
    async fn follow(mut self, mut events: Option<JsonStream<EventMessage>>) -> Result<()> {
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.tick().await;
        loop {
            tokio::select! {
                Some((name, samples, sample)) = self.samples.next() => match sample? {
                    Some(sample) => {
                        let row = row(&name, &sample, &self.flags);
                        if let Some(place) = self.rows.get_mut(&name) {
                            *place = Some(row);
                            self.samples.push(next(name, samples));
                        }
                    }
                    None => {
                        self.rows.remove(&name);
                    }
                },
                event = next_event(&mut events) => match event? {
                    Some(event) => self.change(&event).await?,
                    // The daemon stops.
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.draw()?,
            }
            if events.is_none() && self.rows.is_empty() {
                return Ok(());
            }
        }
    }

    async fn change(&mut self, event: &EventMessage) -> Result<()> {
        match event.action.as_str() {
            "create" if !self.flags.all => Ok(()),
            "create" | "start" => self.add(event.actor.id.clone(), false).await,
            "die" if self.flags.all => Ok(()),
            _ => {
                self.rows.remove(&event.actor.id);
                Ok(())
            }
        }
    }

    /// From the upper left corner, each line to its end, and nothing of before below.
    fn draw(&self) -> Result<()> {
        let rows = self.rows.values().flatten().cloned().collect();
        let text = show(&self.flags, rows)?;
        let mut frame = String::from("\x1b[H");
        for line in text.lines() {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.session.streams.write(frame)
    }
}

fn next(name: String, mut samples: Samples) -> BoxFuture<'static, Next> {
    Box::pin(async move {
        let sample = samples.next().await;
        (name, samples, sample)
    })
}

async fn next_event(events: &mut Option<JsonStream<EventMessage>>) -> Result<Option<EventMessage>> {
    match events {
        Some(events) => Ok(events.next().await?),
        None => std::future::pending().await,
    }
}
