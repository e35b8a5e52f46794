//! `barge import`

use std::fs::File;

use barge_client::ImportOptions;
use barge_types::Reference;
use clap::Args as _;

use super::upload;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Counter, Moving, Progress, Show};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "import",
    about: "Import the contents from a tarball to create a filesystem image",
    usage: "[OPTIONS] file|- [REPOSITORY[:TAG]]",
    aliases: &["image import", "import"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let source = input.argument(0);
    if source.starts_with("http://") || source.starts_with("https://") {
        return Err(CliError::Invalid(format!(
            "cannot import from {source}: fetch it first, then import the file or standard input"
        )));
    }
    let (repository, tag) = input.arguments.get(1).map(|name| split(name)).transpose()?.unzip();
    let options = ImportOptions {
        repository,
        tag: tag.flatten(),
        message: flags.message,
        changes: flags.change,
        platform: flags.platform,
    };
    let client = session.client().await?;
    let counter = Counter::default();
    let (archive, total) = if source == "-" {
        (upload(std::io::stdin(), counter.clone()), None)
    } else {
        let file = File::open(source).map_err(CliError::file("open", source))?;
        let total = file.metadata().ok().filter(std::fs::Metadata::is_file);
        (upload(file, counter.clone()), total.map(|metadata| metadata.len()))
    };
    let moving = Moving { name: source.to_owned(), status: "Importing", total, counter };
    let progress = Progress::new(Show::OnStdout).with(moving);
    progress.follow(client.images().import(archive, &options).await?).await?;
    Ok(())
}

/// The name and the tag of a reference that has been checked.
fn split(name: &str) -> Result<(String, Option<String>)> {
    name.parse::<Reference>().map_err(|error| CliError::Invalid(error.to_string()))?;
    Ok(match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => {
            (repository.to_owned(), Some(tag.to_owned()))
        }
        Some(_) | None => (name.to_owned(), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("h:5000/a").unwrap(), ("h:5000/a".to_owned(), None));
        assert_eq!(split("h:5000/a:b").unwrap(), ("h:5000/a".to_owned(), Some("b".to_owned())));
        assert!(split("UPPER").is_err());
    }
}
