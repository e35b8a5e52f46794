//! `barge buildx du`: the build cache, record by record.

use barge_api_types::BuildCacheRecord;
use barge_types::size::human_decimal;
use clap::Args as _;
use serde_json::json;

use super::fields::wrong;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters::filter;
use crate::flags::{Order, boolean};
use crate::format::LIST_HELP;
use crate::format::listing::{self, Format, Kind, Row, field};
use crate::format::{duration, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "du",
    about: "Disk usage",
    usage: "[OPTIONS]",
    aliases: &[],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Override the configured builder instance; there is one, called "default"
    #[arg(long, value_name = "string", default_value = "")]
    builder: String,
    /// Provide filter values (description, id, inuse, private, shared, type)
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

const KIND: Kind = Kind {
    fields: &[
        field(("CreatedAt", "CREATED AT")),
        field(("Description", "DESCRIPTION")),
        field(("ID", "ID")),
        field(("LastAccessed", "LAST ACCESSED")),
        field(("Reclaimable", "RECLAIMABLE")),
        field(("Shared", "SHARED")),
        field(("Size", "SIZE")),
        field(("Type", "TYPE")),
        field(("UsageCount", "USAGE COUNT")),
    ],
    columns: &["ID", "Reclaimable", "Size", "LastAccessed"],
    ..Kind::PLAIN
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    super::request::check_builder(&flags.builder)?;
    let mut records = session.client().await?.builds().records().await?;
    for (name, value) in &flags.filter {
        check(name, value)?;
        records.retain(|record| fits(record, (name, value)));
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    let text = if flags.verbose && flags.format.is_none() {
        verbose(&records)
    } else {
        let format = Format::of(flags.format.as_deref());
        listing::show(&KIND, &format, records.iter().map(row).collect())?
    };
    session.streams.write(text)?;
    if flags.format.is_some() { Ok(()) } else { session.streams.write(sums(&records)) }
}

fn check(name: &str, value: &str) -> Result<()> {
    match name {
        "id" | "type" | "description" => Ok(()),
        "inuse" | "shared" | "private" => boolean(value)
            .map(drop)
            .map_err(|error| wrong(format!("invalid filter {name}={value}: {error}"))),
        _ => Err(wrong(format!(
            "unsupported filter {name:?}: there are description, id, inuse, private, shared and type"
        ))),
    }
}

fn fits(record: &BuildCacheRecord, (name, value): (&str, &str)) -> bool {
    let is = |what: bool| boolean(value) == Ok(what);
    match name {
        "id" => record.id.starts_with(value),
        "type" => record.kind == value,
        "description" => record.description.contains(value),
        "inuse" => is(record.in_use),
        "shared" => is(record.shared),
        _ => is(!record.shared),
    }
}

fn human(bytes: i64) -> String {
    human_decimal(u64::try_from(bytes).unwrap_or(0))
}

fn accessed(record: &BuildCacheRecord) -> String {
    let then = record.last_used_at.as_deref().and_then(time::seconds_of);
    then.map_or_else(String::new, |then| format!("{} ago", duration::human(time::now() - then)))
}

fn row(record: &BuildCacheRecord) -> Row {
    let values = json!({
        "CreatedAt": record.created_at,
        "Description": record.description,
        "ID": record.id,
        "LastAccessed": accessed(record),
        "Reclaimable": (!record.in_use).to_string(),
        "Shared": record.shared.to_string(),
        "Size": human(record.size),
        "Type": record.kind,
        "UsageCount": record.usage_count.to_string(),
    });
    values.as_object().cloned().unwrap_or_default()
}

fn verbose(records: &[BuildCacheRecord]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&format!("ID:\t\t{}\n", record.id));
        if !record.parents.is_empty() {
            text.push_str(&format!("Parents:\t{}\n", record.parents.join(", ")));
        }
        text.push_str(&format!(
            "Created at:\t{}\nReclaimable:\t{}\nShared:\t\t{}\nSize:\t\t{}\nDescription:\t{}\n\
             Usage count:\t{}\nLast used:\t{}\nType:\t\t{}\n\n",
            record.created_at,
            !record.in_use,
            record.shared,
            human(record.size),
            record.description,
            record.usage_count,
            accessed(record),
            record.kind,
        ));
    }
    text
}

fn sums(records: &[BuildCacheRecord]) -> String {
    let sum = |which: &dyn Fn(&BuildCacheRecord) -> bool| -> String {
        human(records.iter().filter(|record| which(record)).map(|record| record.size).sum())
    };
    let mut text = String::new();
    if records.iter().any(|record| record.shared) {
        text.push_str(&format!(
            "Shared:\t\t{}\nPrivate:\t{}\n",
            sum(&|record| record.shared),
            sum(&|record| !record.shared)
        ));
    }
    text.push_str(&format!(
        "Reclaimable:\t{}\nTotal:\t\t{}\n",
        sum(&|record| !record.in_use),
        sum(&|_| true)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<BuildCacheRecord> {
        let record = |id: &str, size: i64| BuildCacheRecord {
            id: id.to_owned(),
            kind: "regular".to_owned(),
            size,
            ..BuildCacheRecord::default()
        };
        vec![
            BuildCacheRecord { shared: true, ..record("abc", 5000) },
            BuildCacheRecord { in_use: true, ..record("def", 700) },
        ]
    }

    #[test]
    fn records_are_listed_and_summed_up() {
        let rows = records().iter().map(row).collect();
        let text = listing::show(&KIND, &Format::of(None), rows).unwrap();
        assert!(text.starts_with("ID        RECLAIMABLE   SIZE"), "{text}");
        assert_eq!(
            sums(&records()),
            "Shared:\t\t5kB\nPrivate:\t700B\nReclaimable:\t5kB\nTotal:\t\t5.7kB\n"
        );
        assert!(verbose(&records()).contains("ID:\t\tdef\nCreated at:\t\nReclaimable:\tfalse\n"));
    }

    #[test]
    fn filters_are_known_by_name() {
        let left = |name: &str, value: &str| {
            let mut all = records();
            check(name, value).unwrap();
            all.retain(|record| fits(record, (name, value)));
            all.into_iter().map(|record| record.id).collect::<Vec<_>>()
        };
        assert_eq!(left("id", "ab"), ["abc"]);
        assert_eq!(left("inuse", "true"), ["def"]);
        assert_eq!(left("private", "1"), ["def"]);
        assert_eq!(left("type", "regular").len(), 2);
        assert!(check("until", "1h").is_err());
        assert!(check("shared", "maybe").is_err());
    }
}
