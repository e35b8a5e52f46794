//! `barge logout`

use clap::Args as _;

use super::key;
use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::config_file::ConfigFile;
use crate::credentials::Store;
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;
use crate::streams::Streams;

pub(crate) const VERB: Verb = Verb {
    name: "logout",
    about: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    usage: "[SERVER]",
    aliases: &[],
    arity: Arity::AtMost(1),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let key = key(input.argument(0));
    let mut config = ConfigFile::open(&session.config_folder())?;
    session.streams.line(format!("Removing login credentials for {key}"))?;
    // Older clients filed them under addresses with a scheme.
    let names = [key.clone(), format!("http://{key}"), format!("https://{key}")];
    let mut wrong = Vec::new();
    for name in &names {
        if let Err(error) = Store::of(&config, &key).erase(&mut config, name) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    // Removing what is not there is no error of a store: only if all fail, something is wrong.
    if wrong.len() == names.len() {
        Streams.note("WARNING: could not erase credentials:");
        for text in wrong {
            Streams.note(text);
        }
    }
    Ok(())
}
