//! `barge system df -v`: what makes up the sums.

use barge_api_types::{ContainerSummary, DiskUsage, ImageSummary, LogsUsage, Volume};
use barge_types::size::human_decimal;
use serde_json::{Value, json};

use crate::commands::container::ls::Width;
use crate::commands::{container, image, volume};
use crate::error::Result;
use crate::format::listing::{self, Format, Kind, Row, field};
use crate::format::template::{Purpose, Template, go_json};
use crate::format::{duration, short_id, time};

const IMAGES: &[&str] =
    &["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];
const CONTAINERS: &[&str] =
    &["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];
const VOLUMES: &[&str] = &["Name", "Links", "Size"];
const BUILDS: Kind = Kind {
    fields: &[
        field(("ID", "CACHE ID")),
        field(("CacheType", "CACHE TYPE")),
        field(("Size", "SIZE")),
        field(("CreatedSince", "CREATED")),
        field(("LastUsedSince", "LAST USED")),
        field(("UsageCount", "USAGE")),
        field(("Shared", "SHARED")),
    ],
    columns: &["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
    ..Kind::PLAIN
};
const LOGS: Kind = Kind {
    fields: &[
        field(("ContainerID", "CONTAINER ID")),
        field(("Names", "NAMES")),
        field(("Driver", "DRIVER")),
        field(("Size", "SIZE")),
    ],
    columns: &["ContainerID", "Names", "Driver", "Size"],
    ..Kind::PLAIN
};

/// The tables, or all of it through a template or as JSON.
pub(super) fn show(usage: &DiskUsage, format: Option<&str>) -> Result<String> {
    match format.map(str::trim) {
        None | Some("" | "table") => tables(usage),
        Some("json") => Ok(json(&value(usage))),
        Some(format) => {
            let purpose = Purpose::Only { name: "", go_type: "*formatter.diskUsageContext" };
            Template::parse(format, purpose)?.execute(&value(usage))
        }
    }
}

fn tables(usage: &DiskUsage) -> Result<String> {
    let table = |kind: &Kind, rows: Vec<Row>| listing::show(kind, &Format::of(None), rows);
    let (images, containers) = (images(usage), containers(usage));
    let mut text = String::from("Images space usage:\n\n");
    let rows = images.map(|image| image::ls::summary_row(image, short_id(&image.id))).collect();
    text += &table(&Kind { fields: image::ls::FIELDS, columns: IMAGES, ..Kind::PLAIN }, rows)?;
    text += "\nContainers space usage:\n\n";
    let rows = containers.map(|container| container::ls::summary_row(container, Width::Cut));
    let kind = Kind { columns: CONTAINERS, ..container::ls::KIND };
    text += &table(&kind, rows.collect())?;
    text += "\nLocal Volumes space usage:\n\n";
    let kind = Kind { columns: VOLUMES, ..volume::ls::KIND };
    text += &table(&kind, volumes(usage).map(volume::ls::row).collect())?;
    let builds: Vec<Row> = builds(usage)
        .into_iter()
        .map(build_row)
        .map(|mut row| {
            cut_id(&mut row);
            row
        })
        .collect();
    let records = usage.build_cache.as_deref().unwrap_or_default();
    let size = u64::try_from(super::builds(records).size).unwrap_or(0);
    text += &format!("\nBuild cache usage: {}\n\n", human_decimal(size));
    text += &table(&BUILDS, builds)?;
    if let Some(usage) = &usage.content_usage {
        let bytes = |bytes: i64| human_decimal(u64::try_from(bytes).unwrap_or(0));
        text += &format!(
            "\nLayer archives usage: {} in {} files, {} reclaimable\n",
            bytes(usage.total_size + usage.partial_size),
            usage.total_count + usage.partial_count,
            bytes(usage.reclaimable),
        );
    }
    if let Some(logs) = &usage.logs_usage {
        text += "\nLogs space usage:\n\n";
        text += &table(&LOGS, log_rows(logs))?;
    }
    Ok(text)
}

/// The kinds in the order of the tables.
fn json(value: &Value) -> String {
    let kinds = ["Images", "Containers", "Volumes", "BuildCache", "Logs"];
    let parts: Vec<String> = kinds
        .iter()
        .filter_map(|kind| Some(format!("{kind:?}:{}", go_json(value.get(kind)?))))
        .collect();
    format!("{{{}}}\n", parts.join(","))
}

fn value(usage: &DiskUsage) -> Value {
    let whole = |rows: Vec<Row>| -> Vec<Row> {
        rows.into_iter()
            .map(|mut row| {
                row.remove(listing::LABELS);
                row
            })
            .collect()
    };
    let mut value = json!({
        "Images": images(usage).map(|image| image::ls::summary_row(image, &image.id)).collect::<Vec<_>>(),
        "Containers": whole(containers(usage)
            .map(|container| container::ls::summary_row(container, Width::Whole))
            .collect()),
        "Volumes": whole(volumes(usage).map(volume::ls::row).collect()),
        "BuildCache": builds(usage).into_iter().map(build_row).collect::<Vec<_>>(),
    });
    if let Some(logs) = &usage.logs_usage {
        value["Logs"] = json!(log_rows(logs));
    }
    value
}

fn images(usage: &DiskUsage) -> impl Iterator<Item = &ImageSummary> {
    usage.images.iter().flatten()
}

fn containers(usage: &DiskUsage) -> impl Iterator<Item = &ContainerSummary> {
    usage.containers.iter().flatten()
}

fn volumes(usage: &DiskUsage) -> impl Iterator<Item = &Volume> {
    usage.volumes.iter().flatten()
}

/// Never used first, then by last use, the newest first.
fn builds(usage: &DiskUsage) -> Vec<&Value> {
    let mut records: Vec<&Value> = usage.build_cache.iter().flatten().collect();
    records.sort_by_key(|record| {
        std::cmp::Reverse(
            record["LastUsedAt"].as_str().and_then(time::seconds_of).unwrap_or(i64::MAX),
        )
    });
    records
}

fn build_row(record: &Value) -> Row {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let since = |name: &str| {
        time::seconds_of(text(name))
            .map_or_else(String::new, |then| format!("{} ago", duration::human(time::now() - then)))
    };
    let is = |name: &str| record[name].as_bool().unwrap_or(false);
    let in_use = if is("InUse") { "*" } else { "" };
    let values = json!({
        "ID": format!("{}{in_use}", text("ID")),
        "Parent": text("Parent"),
        "CacheType": text("Type"),
        "Description": text("Description"),
        "Size": human_decimal(record["Size"].as_u64().unwrap_or(0)),
        "CreatedAt": time::go_time_utc(text("CreatedAt")),
        "CreatedSince": since("CreatedAt"),
        "LastUsedAt": time::go_time_utc(text("LastUsedAt")),
        "LastUsedSince": since("LastUsedAt"),
        "UsageCount": record["UsageCount"].as_i64().unwrap_or(0).to_string(),
        "InUse": is("InUse").to_string(),
        "Shared": is("Shared").to_string(),
    });
    values.as_object().cloned().unwrap_or_default()
}

fn log_rows(usage: &LogsUsage) -> Vec<Row> {
    let rows = usage.items.iter().map(|log| {
        let names: Vec<&str> = log.names.iter().map(|name| name.trim_start_matches('/')).collect();
        let values = json!({
            "ContainerID": short_id(&log.container_id),
            "Names": names.join(","),
            "Driver": log.driver,
            "Size": human_decimal(u64::try_from(log.size).unwrap_or(0)),
        });
        values.as_object().cloned().unwrap_or_default()
    });
    rows.collect()
}

/// Twelve digits of a row's id, and the mark behind it.
fn cut_id(row: &mut Row) {
    if let Some(Value::String(id)) = row.get_mut("ID") {
        let mark = if id.ends_with('*') { "*" } else { "" };
        *id = format!("{}{mark}", short_id(id.trim_end_matches('*')));
    }
}

#[cfg(test)]
mod tests {
    use barge_api_types::{LogUsage, LogsUsage};

    use super::*;

    fn usage() -> DiskUsage {
        DiskUsage {
            images: Some(vec![ImageSummary {
                id: format!("sha256:{}", "1".repeat(64)),
                repo_tags: vec!["a:1".to_owned(), "a:2".to_owned()],
                size: 7_000_000,
                shared_size: 2_000_000,
                containers: 1,
                ..ImageSummary::default()
            }]),
            build_cache: Some(vec![json!({
                "ID": "abcdefghijklmnop", "Type": "regular", "Size": 5000, "InUse": true,
                "Shared": true, "UsageCount": 3,
            })]),
            logs_usage: Some(LogsUsage {
                items: vec![LogUsage {
                    container_id: "c".repeat(64),
                    names: vec!["/web".to_owned()],
                    driver: "json-file".to_owned(),
                    size: 30_000,
                }],
                ..LogsUsage::default()
            }),
            ..DiskUsage::default()
        }
    }

    #[test]
    fn every_kind_has_its_table() {
        let text = show(&usage(), None).unwrap();
        for part in [
            "Images space usage:\n\nREPOSITORY   TAG       IMAGE ID       CREATED   SIZE      \
             SHARED SIZE   UNIQUE SIZE   CONTAINERS\n\
             a            1         111111111111   N/A       7MB       2MB           5MB           1\n\n",
            "Containers space usage:\n\nCONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES",
            "Local Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\n\n",
            "Build cache usage: 0B\n\nCACHE ID        CACHE TYPE   SIZE      CREATED   LAST USED   \
             USAGE     SHARED\nabcdefghijkl*   regular      5kB ",
            "Logs space usage:\n\nCONTAINER ID   NAMES     DRIVER      SIZE\n\
             cccccccccccc   web       json-file   30kB\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn all_of_it_goes_through_a_template() {
        assert_eq!(
            show(&usage(), Some("{{range .Images}}{{.Repository}} {{.UniqueSize}}{{end}}"))
                .unwrap(),
            "a 5MB"
        );
        let json: Value = serde_json::from_str(&show(&usage(), Some("json")).unwrap()).unwrap();
        assert_eq!(json["Logs"][0]["Size"], "30kB");
        assert_eq!(json["Images"][0]["ID"].as_str().unwrap().len(), 71);
    }
}
