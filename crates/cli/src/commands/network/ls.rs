//! `barge network ls`

use barge_api_types::Network;
use clap::Args as _;
use serde_json::json;

use crate::commands::container::ls::labels;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters::{self, filter};
use crate::flags::Order;
use crate::format::listing::{self, Detail, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::format::{LIST_HELP, short_id, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "ls",
    about: "List networks",
    usage: "[OPTIONS]",
    aliases: &["network ls", "network list"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const KIND: Kind = Kind {
    fields: &[
        field(("CreatedAt", "CREATED AT")),
        field(("Driver", "DRIVER")),
        field(("ID", "NETWORK ID")),
        field(("IPv4", "IPV4")),
        field(("IPv6", "IPV6")),
        field(("Internal", "INTERNAL")),
        field(("Labels", "LABELS")),
        field(("Name", "NAME")),
        field(("Scope", "SCOPE")),
    ],
    columns: &["ID", "Name", "Driver", "Scope"],
    raw: &[("network_id", "ID"), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope")],
    quiet: "ID",
    purpose: Purpose::Row("*network.networkContext"),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let filters = filters::collect(flags.filter);
    let mut networks = session.client().await?.networks().list(&filters).await?;
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let id = |network: &Network| {
        if flags.no_trunc { network.id.clone() } else { short_id(&network.id).to_owned() }
    };
    let detail = if flags.quiet { Detail::Quiet } else { Detail::Whole };
    let format = Format::choose(session, (flags.format.as_deref(), detail), "networksFormat")?;
    let rows: Vec<Row> = networks.iter().map(|network| row(&id(network), network)).collect();
    session.streams.write(listing::show(&KIND, &format, rows)?)
}

fn row(id: &str, network: &Network) -> Row {
    let values = json!({
        "CreatedAt": time::go_time_utc(&network.created),
        "Driver": network.driver,
        "ID": id,
        "IPv4": network.enable_ipv4.to_string(),
        "IPv6": network.enable_ipv6.to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels(&network.labels),
        "Name": network.name,
        "Scope": network.scope,
    });
    let mut row = values.as_object().cloned().unwrap_or_default();
    row.insert(listing::LABELS.to_owned(), listing::label_values(&network.labels));
    row
}
