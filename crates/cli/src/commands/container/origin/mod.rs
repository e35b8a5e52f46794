//! `inspect --as run|compose`: the command, or the Compose file, that makes a container like this one.
//!
//! Both are written from the request that the daemon kept. What a form cannot say is told in a comment rather than left
//! out: the fields that were said are taken out of the request, and what is left that means something is named.

mod compose;
mod fields;
mod run;
mod words;
mod yaml;

use barge_api_types::ContainerOrigin;

use crate::error::{CliError, Result};
use crate::session::Session;

/// How a container's request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Form {
    /// A line for the shell.
    Run,
    /// A Compose file.
    Compose,
}

/// `--as`
pub(in crate::commands) fn form(text: &str) -> std::result::Result<Form, String> {
    match text {
        "run" => Ok(Form::Run),
        "compose" => Ok(Form::Compose),
        _ => Err(format!("unknown form {text:?}: must be \"run\" or \"compose\"")),
    }
}

/// Shows what made each of these containers; then tells which are not known.
pub(in crate::commands) async fn show(
    session: &Session,
    names: &[String],
    form: Form,
) -> Result<()> {
    let client = session.client().await?;
    let (mut origins, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match client.containers().origin(name).await {
            Ok(origin) => origins.push(origin),
            Err(error) => errors.push(CliError::from(error)),
        }
    }
    if !origins.is_empty() {
        let text = match form {
            Form::Run => origins.iter().map(run::text).collect::<Result<String>>()?,
            Form::Compose => compose::text(&origins)?,
        };
        session.streams.line(text.trim_end())?;
    }
    CliError::collect(errors)
}

/// What the reader has to know beside the text itself.
fn notes(origin: &ContainerOrigin, unsaid: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if origin.is_edited {
        notes.push(format!(
            "{} was changed since by `barge update`; this is what made it",
            origin.name
        ));
    }
    if !unsaid.is_empty() {
        notes.push(format!("not said here: {}", unsaid.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests;
