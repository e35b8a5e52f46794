//! `barge images`

use std::collections::BTreeMap;

use barge_api_types::ImageSummary;
use barge_client::{ApiVersion, ImageListOptions};
use barge_types::size::{human_decimal, human_decimal_short};
use clap::Args as _;
use serde_json::json;

use super::tree;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::filters::{self, filter};
use crate::flags::Order;
use crate::format::listing::{self, Detail, Format, Kind, Row, field};
use crate::format::template::Purpose;
use crate::format::{LIST_HELP, duration, short_id, time};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "ls",
    about: "List images",
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    aliases: &["image ls", "image list", "images"],
    arity: Arity::AtMost(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
struct Flags {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, value_name = "string", help = LIST_HELP)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List multi-platform images as a tree
    #[arg(long)]
    tree: bool,
}

pub(in crate::commands) const FIELDS: &[listing::Field] = &[
    field(("Containers", "CONTAINERS")),
    field(("CreatedAt", "CREATED AT")),
    field(("CreatedSince", "CREATED")),
    field(("Digest", "DIGEST")),
    field(("ID", "IMAGE ID")),
    field(("Repository", "REPOSITORY")),
    field(("SharedSize", "SHARED SIZE")),
    field(("Size", "SIZE")),
    field(("Tag", "TAG")),
    field(("UniqueSize", "UNIQUE SIZE")),
    field(("VirtualSize", "VIRTUAL SIZE")),
];

const RAW: &[(&str, &str)] = &[
    ("repository", "Repository"),
    ("tag", "Tag"),
    ("image_id", "ID"),
    ("created_at", "CreatedAt"),
    ("virtual_size", "Size"),
];
const RAW_DIGESTS: &[(&str, &str)] = &[
    ("repository", "Repository"),
    ("tag", "Tag"),
    ("digest", "Digest"),
    ("image_id", "ID"),
    ("created_at", "CreatedAt"),
    ("virtual_size", "Size"),
];

const NONE: &str = "<none>";

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if flags.tree {
        check_tree(&flags)?;
        session.require("tree", ApiVersion::new(47)).await?;
    }
    let mut filters = filters::collect(flags.filter);
    if let Some(name) = input.arguments.first() {
        filters.add("reference", name);
    }
    let detail = if flags.quiet { Detail::Quiet } else { Detail::Whole };
    let format = Format::choose(session, (flags.format.as_deref(), detail), "imagesFormat")?;
    let options = ImageListOptions {
        all: flags.all,
        shared_size: [".SharedSize", ".UniqueSize"]
            .iter()
            .any(|name| format.text().is_some_and(|text| text.contains(name))),
        manifests: flags.tree,
        filters,
    };
    let images = session.client().await?.images().list(&options).await?;
    if flags.tree {
        let which = if flags.all { tree::Unnamed::Shown } else { tree::Unnamed::Hidden };
        return session.streams.write(tree::show(&images, which));
    }
    let id = |image: &ImageSummary| {
        if flags.no_trunc { image.id.clone() } else { short_id(&image.id).to_owned() }
    };
    let digests = if flags.digests || format.text().is_some_and(|text| text.contains(".Digest")) {
        Digests::Shown
    } else {
        Digests::Hidden
    };
    let mut rows = Vec::new();
    for image in &images {
        for name in names(image, digests) {
            rows.push(row(&id(image), image, &name));
        }
    }
    let kind = Kind {
        fields: FIELDS,
        columns: if flags.digests {
            &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
        } else {
            &["Repository", "Tag", "ID", "CreatedSince", "Size"]
        },
        raw: if flags.digests { RAW_DIGESTS } else { RAW },
        quiet: "ID",
        purpose: Purpose::Row("*formatter.imageContext"),
    };
    session.streams.write(listing::show(&kind, &format, rows)?)
}

/// What the tree does not show yet, in the words of Docker's client.
fn check_tree(flags: &Flags) -> Result<()> {
    let refused = [
        (flags.quiet, "--quiet"),
        (flags.no_trunc, "--no-trunc"),
        (flags.digests, "--show-digest"),
        (flags.format.is_some(), "--format"),
    ];
    match refused.into_iter().find(|(is_set, _)| *is_set) {
        Some((_, flag)) => {
            Err(CliError::Invalid(format!("{flag} is not yet supported with --tree")))
        }
        None => Ok(()),
    }
}

/// What an image is called in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: String,
    digest: String,
}

/// Whether digests are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digests {
    Shown,
    Hidden,
}

/// One row per tag; digests make rows only where they are shown, or where there is no tag.
fn names(image: &ImageSummary, shown: Digests) -> Vec<Name> {
    let mut repositories: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for tag in &image.repo_tags {
        if let Some((repository, tag)) = tag.rsplit_once(':') {
            repositories.entry(repository).or_default().0.push(tag);
        }
    }
    for digest in &image.repo_digests {
        if let Some((repository, digest)) = digest.split_once('@') {
            repositories.entry(repository).or_default().1.push(digest);
        }
    }
    repositories.remove(NONE);
    let name = |repository: &str, tag: &str, digest: &str| Name {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut names = Vec::new();
    for (repository, (tags, digests)) in repositories {
        let digests =
            if digests.is_empty() || shown == Digests::Hidden { vec![NONE] } else { digests };
        let tags = if tags.is_empty() { vec![NONE] } else { tags };
        for tag in tags {
            names.extend(digests.iter().map(|digest| name(repository, tag, digest)));
        }
    }
    if names.is_empty() {
        names.push(name(NONE, NONE, NONE));
    }
    names
}

/// The one row of an image in `system df -v`: with its first name.
pub(in crate::commands) fn summary_row(image: &ImageSummary, id: &str) -> Row {
    let mut names = names(image, Digests::Hidden);
    let first = image.repo_tags.first().and_then(|tag| tag.rsplit_once(':'));
    let position = first.and_then(|(repository, tag)| {
        names.iter().position(|name| name.repository == repository && name.tag == tag)
    });
    let mut row = row(id, image, &names.swap_remove(position.unwrap_or(0)));
    row.insert("Digest".to_owned(), String::new().into());
    row
}

fn row(id: &str, image: &ImageSummary, name: &Name) -> Row {
    let human = |bytes: i64| human_decimal_short(u64::try_from(bytes).unwrap_or(0));
    let known = |number: i64, text: String| if number < 0 { "N/A".to_owned() } else { text };
    // Docker is more exact here than with the size itself.
    let exact = |bytes: i64| human_decimal(u64::try_from(bytes).unwrap_or(0));
    let unique = image.size - image.shared_size;
    let values = json!({
        "Containers": known(image.containers, image.containers.to_string()),
        "CreatedAt": time::go_time(image.created),
        "CreatedSince": if image.created == 0 {
            "N/A".to_owned()
        } else {
            format!("{} ago", duration::human(time::now() - image.created))
        },
        "Digest": name.digest,
        "ID": id,
        "Repository": name.repository,
        "SharedSize": known(image.shared_size, exact(image.shared_size)),
        "Size": human(image.size),
        "Tag": name.tag,
        "UniqueSize": known(image.shared_size, exact(unique)),
        "VirtualSize": human_decimal(u64::try_from(image.size).unwrap_or(0)),
    });
    values.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tags: &[&str], digests: &[&str], seen: Digests) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let image = ImageSummary {
            repo_tags: own(tags),
            repo_digests: own(digests),
            ..ImageSummary::default()
        };
        names(&image, seen)
            .into_iter()
            .map(|name| format!("{} {} {}", name.repository, name.tag, name.digest))
            .collect()
    }

    #[test]
    fn every_name_is_a_row() {
        assert_eq!(
            shown(&["a:1", "h:5/b:2", "a:3"], &[], Digests::Hidden),
            ["a 1 <none>", "a 3 <none>", "h:5/b 2 <none>"]
        );
        assert_eq!(shown(&["a:1"], &["a@sha256:x"], Digests::Hidden), ["a 1 <none>"]);
        assert_eq!(shown(&["a:1"], &["a@sha256:x"], Digests::Shown), ["a 1 sha256:x"]);
        assert_eq!(shown(&[], &["a@sha256:x"], Digests::Shown), ["a <none> sha256:x"]);
        assert_eq!(shown(&[], &[], Digests::Hidden), ["<none> <none> <none>"]);
        assert_eq!(
            shown(&["<none>:<none>"], &["<none>@<none>"], Digests::Hidden),
            ["<none> <none> <none>"]
        );
    }
}
