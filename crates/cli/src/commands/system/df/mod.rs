//! `barge system df`

use barge_api_types::{ContainerSummary, ContentUsage, DiskUsage, ImageSummary, LogsUsage, Volume};
use barge_types::size::human_decimal;
use clap::Args as _;
use serde_json::{Value, json};

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::LIST_HELP;
use crate::format::listing::{self, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::session::Session;

mod verbose;

pub(crate) const VERB: Verb = Verb {
    name: "df",
    about: "Show disk usage",
    usage: "[OPTIONS]",
    aliases: &[],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

const KIND: Kind = Kind {
    fields: &[
        field(("Active", "ACTIVE")),
        field(("Reclaimable", "RECLAIMABLE")),
        field(("Size", "SIZE")),
        field(("TotalCount", "TOTAL")),
        field(("Type", "TYPE")),
    ],
    columns: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
    raw: &[
        ("type", "Type"),
        ("total", "TotalCount"),
        ("active", "Active"),
        ("size", "Size"),
        ("reclaimable", "Reclaimable"),
    ],
    quiet: "Type",
    purpose: Purpose::Row("*formatter.diskUsageImagesContext"),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let usage = session.client().await?.system().disk_usage().await?;
    let format = flags.format.as_deref();
    session.streams.write(if flags.verbose {
        verbose::show(&usage, format)?
    } else {
        listing::show(&KIND, &Format::of(format), rows(&usage))?
    })
}

/// One line's figures.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    share: Share,
}

/// Whether the share that could be reclaimed is told, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Share {
    #[default]
    Told,
    Untold,
}

fn rows(usage: &DiskUsage) -> Vec<Row> {
    let images = images(usage.images.as_deref().unwrap_or_default(), usage.layers_size);
    let mut rows = vec![
        row("Images", images),
        row("Containers", containers(usage.containers.as_deref().unwrap_or_default())),
        row("Local Volumes", volumes(usage.volumes.as_deref().unwrap_or_default())),
        row("Build Cache", builds(usage.build_cache.as_deref().unwrap_or_default())),
    ];
    // Docker's daemon does not count them.
    rows.extend(usage.logs_usage.as_ref().map(|usage| row("Logs", logs(usage))));
    rows.extend(usage.content_usage.as_ref().map(|usage| row("Layer Archives", archives(usage))));
    rows
}

fn images(images: &[ImageSummary], layers: i64) -> Sum {
    let used: i64 = images
        .iter()
        .filter(|image| image.containers != 0 && image.size >= 0 && image.shared_size >= 0)
        .map(|image| image.size - image.shared_size)
        .sum();
    Sum {
        total: images.len(),
        active: images.iter().filter(|image| image.containers > 0).count(),
        size: layers,
        reclaimable: (layers - used).max(0),
        share: Share::Told,
    }
}

fn containers(containers: &[ContainerSummary]) -> Sum {
    let is_active = |container: &ContainerSummary| {
        matches!(&*container.state, "running" | "paused" | "restarting")
    };
    let size = |active: bool| -> i64 {
        let wanted = containers.iter().filter(|container| is_active(container) == active);
        wanted.map(|container| container.size_rw).sum()
    };
    Sum {
        total: containers.len(),
        active: containers.iter().filter(|container| is_active(container)).count(),
        size: size(true) + size(false),
        reclaimable: size(false),
        share: Share::Told,
    }
}

fn volumes(volumes: &[Volume]) -> Sum {
    let mut sum = Sum { total: volumes.len(), ..Sum::default() };
    for usage in volumes.iter().filter_map(|volume| volume.usage_data.as_ref()) {
        let size = usage.size.max(0);
        sum.size += size;
        if usage.ref_count > 0 {
            sum.active += 1;
        } else {
            sum.reclaimable += size;
        }
    }
    sum
}

/// Records that others share are not counted twice.
fn builds(records: &[Value]) -> Sum {
    let is = |record: &Value, name: &str| record[name].as_bool().unwrap_or(false);
    let mut sum = Sum { total: records.len(), share: Share::Untold, ..Sum::default() };
    for record in records {
        let size = if is(record, "Shared") { 0 } else { record["Size"].as_i64().unwrap_or(0) };
        sum.size += size;
        if is(record, "InUse") {
            sum.active += 1;
        } else {
            sum.reclaimable += size;
        }
    }
    sum
}

/// What images are pushed and saved from: it goes with them.
fn archives(usage: &ContentUsage) -> Sum {
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    Sum {
        total: count(usage.total_count + usage.partial_count),
        active: count(usage.total_count),
        size: usage.total_size + usage.partial_size,
        reclaimable: usage.reclaimable,
        share: Share::Told,
    }
}

fn logs(usage: &LogsUsage) -> Sum {
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    Sum {
        total: count(usage.total_count),
        active: count(usage.active_count),
        size: usage.total_size,
        reclaimable: usage.reclaimable,
        share: Share::Told,
    }
}

fn row(kind: &str, sum: Sum) -> Row {
    let human = |bytes: i64| human_decimal(u64::try_from(bytes).unwrap_or(0));
    let mut reclaimable = human(sum.reclaimable);
    if sum.size > 0 && sum.share == Share::Told {
        reclaimable.push_str(&format!(" ({}%)", sum.reclaimable * 100 / sum.size));
    }
    let values = json!({
        "Type": kind,
        "TotalCount": sum.total.to_string(),
        "Active": sum.active.to_string(),
        "Size": human(sum.size),
        "Reclaimable": reclaimable,
    });
    values.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_can_be_reclaimed() {
        let usage = DiskUsage {
            layers_size: 1000,
            images: Some(vec![
                ImageSummary { containers: 1, size: 600, ..ImageSummary::default() },
                ImageSummary {
                    containers: 1,
                    size: 50,
                    shared_size: -1,
                    ..ImageSummary::default()
                },
                ImageSummary { size: 400, ..ImageSummary::default() },
            ]),
            containers: Some(vec![ContainerSummary {
                state: "exited".to_owned(),
                size_rw: 10,
                ..ContainerSummary::default()
            }]),
            ..DiskUsage::default()
        };
        let rows = rows(&usage);
        assert_eq!(rows[0]["Reclaimable"], "400B (40%)");
        assert_eq!(rows[0]["Active"], "2");
        assert_eq!(rows[1]["Reclaimable"], "10B (100%)");
        assert_eq!(rows[2]["Reclaimable"], "0B");
        assert_eq!(rows.len(), 4, "no line for what the daemon does not tell");
    }

    #[test]
    fn shared_build_records_and_logs_are_counted() {
        let usage = DiskUsage {
            build_cache: Some(vec![
                json!({ "ID": "a", "Shared": true, "InUse": false, "Size": 5000 }),
                json!({ "ID": "b", "Shared": false, "InUse": true, "Size": 700 }),
                json!({ "ID": "c", "Shared": false, "InUse": false, "Size": 11 }),
            ]),
            logs_usage: Some(LogsUsage {
                total_count: 2,
                active_count: 1,
                total_size: 100,
                reclaimable: 40,
                items: Vec::new(),
            }),
            ..DiskUsage::default()
        };
        let rows = rows(&usage);
        assert_eq!((&rows[3]["Size"], &rows[3]["Reclaimable"]), (&json!("711B"), &json!("11B")));
        assert_eq!(rows[4]["Type"], "Logs");
        assert_eq!(rows[4]["Reclaimable"], "40B (40%)");
    }
}
