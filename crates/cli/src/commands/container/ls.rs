//! `barge ps`

use barge_api_types::{ContainerSummary, PortSummary};
use barge_client::ListOptions;
use barge_types::size::human_decimal_short;
use clap::Args as _;
use serde_json::Value;

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters::{self, filter};
use crate::flags::{Order, integer};
use crate::format::listing::{self, Detail, Field, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::format::{LIST_HELP, duration, ellipsis, short_id, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "ls",
    about: "List containers",
    usage: "[OPTIONS]",
    aliases: &["container ls", "container list", "container ps", "ps"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
struct Flags {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Show n last created containers (includes all states) (default -1)
    #[arg(short = 'n', long, value_name = "int", value_parser = integer)]
    last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

const FIELDS: &[Field] = &[
    field(("Command", "COMMAND")),
    field(("CreatedAt", "CREATED AT")),
    field(("ID", "CONTAINER ID")),
    field(("Image", "IMAGE")),
    field(("Labels", "LABELS")),
    field(("LocalVolumes", "LOCAL VOLUMES")),
    field(("Mounts", "MOUNTS")),
    field(("Names", "NAMES")),
    field(("Networks", "NETWORKS")),
    field(("Platform", "PLATFORM")),
    field(("Ports", "PORTS")),
    field(("RunningFor", "CREATED")),
    field(("Size", "SIZE")),
    field(("State", "STATE")),
    field(("Status", "STATUS")),
];

const COLUMNS: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
const COLUMNS_SIZE: &[&str] =
    &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];
const RAW_SIZE: &[(&str, &str)] = &[
    ("container_id", "ID"),
    ("image", "Image"),
    ("command", "Command"),
    ("created_at", "CreatedAt"),
    ("state", "State"),
    ("status", "Status"),
    ("names", "Names"),
    ("labels", "?Labels"),
    ("ports", "?Ports"),
    ("size", "Size"),
];
const RAW: &[(&str, &str)] = RAW_SIZE.split_at(RAW_SIZE.len() - 1).0;

/// Containers, as every listing shows them.
pub(in crate::commands) const KIND: Kind =
    Kind { fields: FIELDS, columns: COLUMNS, raw: RAW, quiet: "ID", purpose: Purpose::Container };

/// Whether long values are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Width {
    Cut,
    Whole,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let limit = if flags.latest { Some(1) } else { flags.last };
    let detail = if flags.quiet { Detail::Quiet } else { Detail::Whole };
    let format = Format::choose(session, (wanted(session, &flags), detail), "psFormat")?;
    let options = ListOptions {
        all: flags.all,
        size: flags.size || (!flags.quiet && format.uses("Size")),
        limit: limit.and_then(|limit| u32::try_from(limit).ok()).filter(|&limit| limit > 0),
        filters: filters::collect(flags.filter),
    };
    let width = if flags.no_trunc { Width::Whole } else { Width::Cut };
    let containers = session.client().await?.containers().list(&options).await?;
    let kind =
        if flags.size { Kind { columns: COLUMNS_SIZE, raw: RAW_SIZE, ..KIND } } else { KIND };
    let rows: Vec<Row> = containers.iter().map(|container| row(container, width)).collect();
    session.streams.write(listing::show(&kind, &format, rows)?)
}

/// The format of the flags. As in Docker, `--quiet` leaves none but `raw`.
fn wanted<'a>(session: &Session, flags: &'a Flags) -> Option<&'a str> {
    let format = flags.format.as_deref().filter(|format| !format.is_empty())?;
    if flags.quiet {
        session
            .streams
            .note("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
    Some(format).filter(|format| !flags.quiet || *format == "raw")
}

/// A row as `system df -v` has it: sizes without the image's.
pub(in crate::commands) fn summary_row(container: &ContainerSummary, width: Width) -> Row {
    let mut row = row(container, width);
    let own = human_decimal_short(u64::try_from(container.size_rw).unwrap_or(0));
    row.insert("Size".to_owned(), own.into());
    row
}

fn id(container: &ContainerSummary, width: Width) -> &str {
    match width {
        Width::Cut => short_id(&container.id),
        Width::Whole => &container.id,
    }
}

fn row(container: &ContainerSummary, width: Width) -> Row {
    let command = match width {
        Width::Cut => ellipsis(&container.command, 20),
        Width::Whole => container.command.clone(),
    };
    let age = duration::human(time::now() - container.created);
    let networks: Vec<&str> =
        container.network_settings.networks.keys().map(String::as_str).collect();
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let values = [
        ("Command", format!("{command:?}")),
        ("CreatedAt", time::go_time(container.created)),
        ("ID", id(container, width).to_owned()),
        ("Image", image(container, width)),
        ("Labels", labels(&container.labels)),
        ("LocalVolumes", local.to_string()),
        ("Mounts", mounts(container, width)),
        ("Names", names(container, width)),
        ("Networks", networks.join(",")),
        ("Ports", ports(&container.ports)),
        ("RunningFor", format!("{age} ago")),
        ("Size", size(container)),
        ("State", container.state.clone()),
        ("Status", container.status.clone()),
    ];
    let mut row: Row =
        values.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    // Docker tells it where the daemon does, with its containerd image store only.
    row.insert("Platform".to_owned(), Value::Null);
    row.insert(listing::LABELS.to_owned(), listing::label_values(&container.labels));
    row
}

/// `a=1,b=2`
pub(in crate::commands) fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(",")
}

fn image(container: &ContainerSummary, width: Width) -> String {
    let image = &container.image;
    if image.is_empty() {
        return "<no image>".to_owned();
    }
    match width {
        Width::Whole => image.clone(),
        Width::Cut if short_id(image) == short_id(&container.image_id) => {
            short_id(image).to_owned()
        }
        // A digest after a tag is left out.
        Width::Cut => match image.split_once('@') {
            Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
                name.to_owned()
            }
            Some(_) | None => image.clone(),
        },
    }
}

fn names(container: &ContainerSummary, width: Width) -> String {
    let names: Vec<&str> = container
        .names
        .iter()
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        // Names with a slash are links, of interest only when all is shown.
        .filter(|name| width == Width::Whole || !name.contains('/'))
        .collect();
    names.join(",")
}

fn mounts(container: &ContainerSummary, width: Width) -> String {
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| match width {
            Width::Cut => ellipsis(name, 15),
            Width::Whole => name.clone(),
        })
        .collect();
    mounts.join(",")
}

fn size(container: &ContainerSummary) -> String {
    let human = |bytes: i64| human_decimal_short(u64::try_from(bytes).unwrap_or(0));
    let own = human(container.size_rw);
    if container.size_root_fs > 0 {
        format!("{own} (virtual {})", human(container.size_root_fs))
    } else {
        own
    }
}

/// Address and protocol, first and last port.
type PortGroup<'a> = ((&'a str, &'a str), (u16, u16));

/// Ports as Docker shows them: neighbours are put together, mappings to another number come last.
fn ports(ports: &[PortSummary]) -> String {
    let mut ports: Vec<&PortSummary> = ports.iter().collect();
    ports.sort_by_key(|port| (port.private_port, &port.ip, port.public_port, &port.protocol));
    let mut shown = Vec::new();
    let mut mapped = Vec::new();
    let mut groups: Vec<PortGroup<'_>> = Vec::new();
    for port in ports {
        let number = port.private_port;
        if !port.ip.is_empty() && port.public_port != number {
            let host = join_host(&port.ip, &port.public_port.to_string());
            mapped.push(format!("{host}->{number}/{}", port.protocol));
            continue;
        }
        let key = (port.ip.as_str(), port.protocol.as_str());
        match groups.iter_mut().find(|(group, _)| *group == key) {
            None => groups.push((key, (number, number))),
            Some((_, (_, last))) if number == last.saturating_add(1) => *last = number,
            Some((_, range)) => {
                shown.push(group(key, *range));
                *range = (number, number);
            }
        }
    }
    shown.extend(groups.into_iter().map(|(key, range)| group(key, range)));
    shown.extend(mapped);
    shown.join(", ")
}

fn group((ip, protocol): (&str, &str), (first, last): (u16, u16)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if ip.is_empty() {
        format!("{range}/{protocol}")
    } else {
        format!("{}->{range}/{protocol}", join_host(ip, &range))
    }
}

fn join_host(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port((ip, public, private): (&str, u16, u16)) -> PortSummary {
        PortSummary {
            ip: ip.to_owned(),
            private_port: private,
            public_port: public,
            protocol: "tcp".to_owned(),
        }
    }

    #[test]
    fn ports_are_put_together_as_in_docker() {
        for (list, text) in [
            (&[][..], ""),
            (&[("", 0, 80)], "80/tcp"),
            (&[("", 0, 81), ("", 0, 80), ("", 0, 83)], "80-81/tcp, 83/tcp"),
            (&[("0.0.0.0", 8080, 80), ("::", 8080, 80)], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
            (&[("1.2.3.4", 80, 80), ("1.2.3.4", 81, 81)], "1.2.3.4:80-81->80-81/tcp"),
        ] {
            let list: Vec<PortSummary> = list.iter().copied().map(port).collect();
            assert_eq!(ports(&list), text);
        }
    }

    #[test]
    fn a_row_is_cut_unless_all_is_wanted() {
        let container = ContainerSummary {
            id: "0123456789abcdef".to_owned(),
            names: vec!["/web".to_owned(), "/other/link".to_owned()],
            image: "busybox:1@sha256:aa".to_owned(),
            command: "sh -c 'sleep 1000000'".to_owned(),
            size_rw: 12,
            size_root_fs: 1_085_345,
            ..ContainerSummary::default()
        };
        let cut = row(&container, Width::Cut);
        assert_eq!(cut["ID"], "0123456789ab");
        assert_eq!(cut["Names"], "web");
        assert_eq!(cut["Image"], "busybox:1");
        assert_eq!(cut["Command"], "\"sh -c 'sleep 100000…\"");
        assert_eq!(cut["Size"], "12B (virtual 1.09MB)");
        let whole = row(&container, Width::Whole);
        assert_eq!(whole["ID"], "0123456789abcdef");
        assert_eq!(whole["Names"], "web,other/link");
        assert_eq!(whole["Image"], "busybox:1@sha256:aa");
    }
}
