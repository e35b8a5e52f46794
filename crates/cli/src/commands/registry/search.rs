//! `barge search`

use barge_api_types::ImageSearchResult;
use barge_client::SearchOptions;
use clap::Args as _;
use serde_json::json;

use crate::commands::{Arity, Input, Verb};
use crate::credentials;
use crate::error::{CliError, Result};
use crate::filters::{self, filter};
use crate::flags::{Order, integer};
use crate::format::ellipsis;
use crate::format::listing::{self, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "search",
    about: "Search Docker Hub for images",
    usage: "[OPTIONS] TERM",
    aliases: &[],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0", hide_default_value = true)]
    limit: i64,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
}

const KIND: Kind = Kind {
    fields: &[
        field(("Description", "DESCRIPTION")),
        field(("IsOfficial", "OFFICIAL")),
        field(("Name", "NAME")),
        field(("StarCount", "STARS")),
    ],
    columns: &["Name", "Description", "StarCount", "IsOfficial"],
    purpose: Purpose::Row("*registry.searchContext"),
    ..Kind::PLAIN
};

/// How long a description is in the table.
const DESCRIPTION: usize = 45;

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let term = input.argument(0).to_owned();
    let filters = filters::collect(flags.filter.clone());
    if filters.contains("is-automated") {
        session.streams.note("WARNING: the \"is-automated\" filter is deprecated, and searching for \"is-automated=true\" will not yield any results in future.");
    }
    let limit = match flags.limit {
        0 => None,
        limit => Some(u32::try_from(limit).map_err(|_| {
            CliError::Invalid(format!("limit {limit} is outside the range of [1, 100]"))
        })?),
    };
    let registry = match term.split_once('/') {
        Some((domain, _)) if domain.contains(['.', ':']) || domain == "localhost" => domain,
        Some(_) | None => "docker.io",
    };
    let options = SearchOptions {
        auth: credentials::for_registry(&session.config_folder(), registry)?,
        term,
        limit,
        filters,
    };
    let found = session.client().await?.registry().search(&options).await?;
    let rows = found.iter().map(|found| row(found, &flags)).collect();
    session.streams.write(listing::show(&KIND, &Format::of(flags.format.as_deref()), rows)?)
}

fn row(found: &ImageSearchResult, flags: &Flags) -> Row {
    let description = found.description.replace(['\n', '\r'], " ");
    // For programs a word, for people a mark.
    let is_official = match (flags.format.as_deref().map(str::trim), found.is_official) {
        (Some("json"), is_official) => is_official.to_string(),
        (_, true) => "[OK]".to_owned(),
        (_, false) => String::new(),
    };
    let values = json!({
        "Description": if flags.no_trunc { description } else { ellipsis(&description, DESCRIPTION) },
        "IsOfficial": is_official,
        "Name": found.name,
        "StarCount": found.star_count.to_string(),
    });
    values.as_object().cloned().unwrap_or_default()
}
