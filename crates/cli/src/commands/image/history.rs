//! `barge history`

use barge_api_types::ImageHistoryItem;
use barge_client::ApiVersion;
use barge_types::size::human_decimal_short;
use clap::Args as _;
use serde_json::json;

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::listing::{self, Detail, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::format::{LIST_HELP, duration, ellipsis, short_id, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "history",
    about: "Show the history of an image",
    usage: "[OPTIONS] IMAGE",
    aliases: &["image history", "history"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Print sizes and dates in human readable format (default true)
    #[arg(short = 'H', long, default_value = "true")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
}

const FIELDS: &[listing::Field] = &[
    field(("Comment", "COMMENT")),
    field(("CreatedAt", "CREATED AT")),
    field(("CreatedBy", "CREATED BY")),
    field(("CreatedSince", "CREATED")),
    field(("ID", "IMAGE")),
    field(("Size", "SIZE")),
];

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let platform = flags.platform.iter().cloned().collect::<Vec<_>>();
    let platform = session.platforms(&platform, ApiVersion::new(48)).await?.pop();
    let images = session.client().await?.images();
    let history = images.history(input.argument(0), platform.as_deref()).await?;
    let rows: Vec<Row> = history.iter().map(|item| row(item, &flags)).collect();
    let kind = Kind {
        fields: FIELDS,
        columns: if flags.human {
            &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
        } else {
            &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"]
        },
        purpose: Purpose::Row("*image.historyContext"),
        ..Kind::PLAIN
    };
    let detail = if flags.quiet { Detail::Quiet } else { Detail::Whole };
    let format = Format::of(flags.format.as_deref()).with(detail);
    session.streams.write(listing::show(&kind, &format, rows)?)
}

fn row(item: &ImageHistoryItem, flags: &Flags) -> Row {
    let by = item.created_by.replace('\t', " ");
    let size = u64::try_from(item.size).unwrap_or(0);
    let values = json!({
        "Comment": item.comment,
        "CreatedAt": time::rfc3339(item.created),
        "CreatedBy": if flags.no_trunc { by } else { ellipsis(&by, 45) },
        "CreatedSince": if item.created == 0 {
            "N/A".to_owned()
        } else {
            format!("{} ago", duration::human(time::now() - item.created))
        },
        "ID": if flags.no_trunc { item.id.as_str() } else { short_id(&item.id) },
        "Size": if flags.human { human_decimal_short(size) } else { size.to_string() },
    });
    values.as_object().cloned().unwrap_or_default()
}
