//! `barge save`

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use barge_client::ByteStream;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::terminal;

pub(crate) const VERB: Verb = Verb {
    name: "save",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    aliases: &["image save", "save"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Save only the given platform(s)
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if flags.output.is_none() && terminal::stdout_is_terminal() {
        return Err(CliError::Invalid(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect".to_owned(),
        ));
    }
    let client = session.client().await?;
    let mut archive = client.images().save(&input.arguments, &flags.platform).await?;
    match &flags.output {
        None => copy(&mut archive, &mut std::io::stdout().lock()).await,
        Some(path) => save_to(&mut archive, path).await,
    }
}

/// Writes beside the file and renames: an archive that is not whole is never seen under its name.
async fn save_to(archive: &mut ByteStream, path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        let mut device =
            File::options().write(true).open(path).map_err(CliError::file("open", path))?;
        return copy(archive, &mut device).await;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = File::create_new(&beside).map_err(CliError::file("open", &beside))?;
    let result = match copy(archive, &mut file).await {
        Ok(()) => fs::rename(&beside, path).map_err(CliError::file("rename", path)),
        Err(error) => Err(error),
    };
    if result.is_err() {
        // The first error is the one to tell.
        fs::remove_file(&beside).ok();
    }
    result
}

async fn copy(archive: &mut ByteStream, to: &mut impl Write) -> Result<()> {
    while let Some(bytes) = archive.next().await? {
        to.write_all(&bytes).map_err(CliError::stdio("write the archive"))?;
    }
    to.flush().map_err(CliError::stdio("write the archive"))
}
