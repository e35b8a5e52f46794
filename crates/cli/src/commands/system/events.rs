//! `barge events`

use barge_api_types::EventMessage;
use barge_client::EventsOptions;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters::{self, filter};
use crate::flags::Order;
use crate::format::template::{Purpose, Template, go_escaped};
use crate::format::{INSPECT_HELP, json, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "events",
    about: "Get real time events from the server",
    usage: "[OPTIONS]",
    aliases: &["system events", "events"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = INSPECT_HELP)]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let template = match flags.format.as_deref() {
        None | Some("") => None,
        Some("json") => Some(Template::parse("{{json .}}", Purpose::Event)?),
        Some(format) => Some(Template::parse(format, Purpose::Event)?),
    };
    if let Some(template) = &template {
        // What no event has is told at once.
        let event = EventMessage {
            scope: "local".to_owned(),
            time: 1,
            time_nano: 1,
            ..EventMessage::default()
        };
        template.execute_text(&json::text(&event)?)?;
    }
    let time = |text: Option<String>| text.as_deref().map(time::api_time).transpose();
    let options = EventsOptions {
        since: time(flags.since)?,
        until: time(flags.until)?,
        filters: filters::collect(flags.filter),
    };
    let mut events = session.client().await?.system().events(&options).await?;
    while let Some(event) = events.next().await? {
        session.streams.line(match &template {
            None => line(&event),
            Some(template) => {
                let value = json::text(&event)?;
                if flags.format.as_deref() == Some("json") {
                    go_escaped(&value)
                } else {
                    template.execute_text(&value)?
                }
            }
        })?;
    }
    Ok(())
}

fn line(event: &EventMessage) -> String {
    let nanoseconds = if event.time_nano == 0 {
        event.time.saturating_mul(1_000_000_000)
    } else {
        event.time_nano
    };
    let mut line = format!(
        "{} {} {} {}",
        time::rfc3339_nano(nanoseconds),
        event.kind,
        event.action,
        event.actor.id
    );
    if !event.actor.attributes.is_empty() {
        let attributes: Vec<String> =
            event.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event: EventMessage = serde_json::from_str(
            r#"{"Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"name":"x","image":"i"}},
                "scope":"local","time":1704067200,"timeNano":1704067200000000005}"#,
        )
        .unwrap();
        let line = line(&event);
        assert!(line.contains(".000000005"), "{line}");
        assert!(line.ends_with(" container start abc (image=i, name=x)"), "{line}");
    }
}
