//! `barge system df`

use barge_api_types::{ContainerSummary, DiskUsage, ImageSummary, Volume};
use barge_types::size::human_decimal;
use clap::Args as _;
use serde_json::json;

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::LIST_HELP;
use crate::format::listing::{self, Kind, Row, field};
use crate::session::Session;

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
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let usage = session.client().await?.system().disk_usage().await?;
    session.streams.write(listing::show(&KIND, flags.format.as_deref(), rows(&usage))?)
}

/// One line's figures.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
}

fn rows(usage: &DiskUsage) -> Vec<Row> {
    let images = images(usage.images.as_deref().unwrap_or_default(), usage.layers_size);
    vec![
        row("Images", images),
        row("Containers", containers(usage.containers.as_deref().unwrap_or_default())),
        row("Local Volumes", volumes(usage.volumes.as_deref().unwrap_or_default())),
        row("Build Cache", Sum::default()),
    ]
}

fn images(images: &[ImageSummary], layers: i64) -> Sum {
    let used: i64 = images
        .iter()
        .filter(|image| image.containers > 0)
        .map(|image| image.size - image.shared_size.max(0))
        .sum();
    Sum {
        total: images.len(),
        active: images.iter().filter(|image| image.containers > 0).count(),
        size: layers,
        reclaimable: (layers - used).max(0),
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

fn row(kind: &str, sum: Sum) -> Row {
    let human = |bytes: i64| human_decimal(u64::try_from(bytes).unwrap_or(0));
    let mut reclaimable = human(sum.reclaimable);
    if sum.size > 0 {
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
        assert_eq!(rows[0]["Active"], "1");
        assert_eq!(rows[1]["Reclaimable"], "10B (100%)");
        assert_eq!(rows[2]["Reclaimable"], "0B");
    }
}
