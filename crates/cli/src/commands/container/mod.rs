//! `barge container …`, and the same verbs at the top level.

use futures_util::stream::{self, Stream, StreamExt as _};

use super::{Noun, verb, verb_also};
use crate::error::{CliError, Result};
use crate::session::Session;

pub(super) mod attach;
mod attached;
pub(super) mod commit;
pub(super) mod config;
pub(super) mod cp;
pub(super) mod create;
pub(super) mod diff;
pub(super) mod exec;
pub(super) mod export;
pub(super) mod inspect;
pub(super) mod kill;
mod log_position;
pub(super) mod logs;
pub(super) mod ls;
pub(super) mod origin;
pub(super) mod pause;
pub(super) mod port;
mod prune;
pub(super) mod rename;
pub(super) mod restart;
pub(super) mod rm;
pub(super) mod run;
mod signals;
pub(super) mod start;
pub(super) mod stats;
pub(super) mod stop;
pub(super) mod top;
pub(super) mod unpause;
pub(super) mod update;
pub(super) mod wait;

/// How many containers are worked on at once, as Docker's client has it.
const AT_ONCE: usize = 50;

/// `barge container`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage containers",
    verbs: &[
        verb("attach", &attach::VERB),
        verb("commit", &commit::VERB),
        verb("cp", &cp::VERB),
        verb("create", &create::VERB),
        verb("diff", &diff::VERB),
        verb("exec", &exec::VERB),
        verb("export", &export::VERB),
        verb("inspect", &inspect::VERB),
        verb("kill", &kill::VERB),
        verb("logs", &logs::VERB),
        verb_also("ls", &["list", "ps"], &ls::VERB),
        verb("pause", &pause::VERB),
        verb("port", &port::VERB),
        verb("prune", &prune::VERB),
        verb("rename", &rename::VERB),
        verb("restart", &restart::VERB),
        verb_also("rm", &["remove"], &rm::VERB),
        verb("run", &run::VERB),
        verb("start", &start::VERB),
        verb("stats", &stats::VERB),
        verb("stop", &stop::VERB),
        verb("top", &top::VERB),
        verb("unpause", &unpause::VERB),
        verb("update", &update::VERB),
        verb("wait", &wait::VERB),
    ],
};

/// Does the same to all `names` at once; the results come in order.
fn at_once<'a, F>(
    names: &'a [String],
    act: impl Fn(&'a str) -> F,
) -> impl Stream<Item = (&'a str, F::Output)> + Unpin
where
    F: Future,
{
    so_many_at_once(AT_ONCE, names, act)
}

/// The same for `limit` of them.
fn so_many_at_once<'a, F>(
    limit: usize,
    names: &'a [String],
    act: impl Fn(&'a str) -> F,
) -> impl Stream<Item = (&'a str, F::Output)> + Unpin
where
    F: Future,
{
    let acting = stream::iter(names).map(move |name| {
        let acting = act(name);
        async move { (name.as_str(), acting.await) }
    });
    Box::pin(acting.buffered(limit))
}

/// Does the same to all `names`; prints each when it is done, in order, and goes on after an error.
async fn each<'a, F>(
    session: &Session,
    names: &'a [String],
    act: impl Fn(&'a str) -> F,
) -> Result<()>
where
    F: Future<Output = barge_client::Result<()>>,
{
    let mut results = at_once(names, act);
    let mut errors = Vec::new();
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(()) => session.streams.line(name)?,
            Err(error) => errors.push(CliError::from(error)),
        }
    }
    CliError::collect(errors)
}
