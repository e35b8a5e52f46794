//! `barge volume ls`

use barge_api_types::Volume;
use barge_types::size::human_decimal;
use clap::Args as _;
use serde_json::json;

use crate::commands::container::ls::labels;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters::{self, filter};
use crate::flags::Order;
use crate::format::LIST_HELP;
use crate::format::listing::{self, Detail, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "ls",
    about: "List volumes",
    usage: "[OPTIONS]",
    aliases: &["volume ls", "volume list"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

pub(in crate::commands) const KIND: Kind = Kind {
    fields: &[
        field(("Availability", "AVAILABILITY")),
        field(("Driver", "DRIVER")),
        field(("Group", "GROUP")),
        field(("Labels", "LABELS")),
        field(("Links", "LINKS")),
        field(("Mountpoint", "MOUNTPOINT")),
        field(("Name", "VOLUME NAME")),
        field(("Scope", "SCOPE")),
        field(("Size", "SIZE")),
        field(("Status", "STATUS")),
    ],
    columns: &["Driver", "Name"],
    raw: &[("name", "Name"), ("driver", "Driver")],
    quiet: "Name",
    purpose: Purpose::Row("*formatter.volumeContext"),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let filters = filters::collect(flags.filter);
    let mut volumes = session.client().await?.volumes().list(&filters).await?.volumes;
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let detail = if flags.quiet { Detail::Quiet } else { Detail::Whole };
    let format = Format::choose(session, (flags.format.as_deref(), detail), "volumesFormat")?;
    let rows: Vec<Row> = volumes.iter().map(row).collect();
    session.streams.write(listing::show(&KIND, &format, rows)?)
}

/// A row of the listing.
pub(in crate::commands) fn row(volume: &Volume) -> Row {
    let usage = volume.usage_data.as_ref();
    let unknown = || "N/A".to_owned();
    let values = json!({
        // These three are of cluster volumes.
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
        "Driver": volume.driver,
        "Labels": labels(&volume.labels),
        "Links": usage.map_or_else(unknown, |usage| usage.ref_count.to_string()),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": volume.scope,
        "Size": usage.map_or_else(unknown, |usage| human_decimal(u64::try_from(usage.size).unwrap_or(0))),
    });
    let mut row = values.as_object().cloned().unwrap_or_default();
    row.insert(listing::LABELS.to_owned(), listing::label_values(&volume.labels));
    row
}
