//! `inspect --as run|compose`: the command, or the Compose file, that makes a container as this one is now.
//!
//! Both are written from the request that the daemon kept, with every later change in it; `--as request` is that request
//! as it was, before any change. What a form cannot say is told in a comment rather than left
//! out: the fields that were said are taken out of the request, and what is left that means something is named.

mod compose;
mod devices;
mod fields;
mod run;
mod words;
mod yaml;

use barge_api_types::{ContainerCreateRequest, ContainerOrigin};

use crate::error::{CliError, Result};
use crate::format::json;
use crate::session::Session;

/// How a container's request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Form {
    /// A line for the shell.
    Run,
    /// A Compose file.
    Compose,
    /// The body of the request that made it.
    Request,
}

/// `--as`
pub(in crate::commands) fn form(text: &str) -> std::result::Result<Form, String> {
    match text {
        "run" => Ok(Form::Run),
        "compose" => Ok(Form::Compose),
        "request" => Ok(Form::Request),
        _ => Err(format!("unknown form {text:?}: must be \"run\", \"compose\" or \"request\"")),
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
            Form::Request => origins.iter().map(body).collect::<Result<String>>()?,
        };
        session.streams.line(text.trim_end())?;
    }
    CliError::collect(errors)
}

/// What was sent, to be sent again.
fn body(origin: &ContainerOrigin) -> Result<String> {
    let text = serde_json::to_string(&origin.request);
    let text = text.map_err(|error| CliError::Invalid(format!("cannot be written: {error}")))?;
    Ok(json::indent(&text) + "\n")
}

/// What makes a container as this one is now.
fn request(origin: &ContainerOrigin) -> &ContainerCreateRequest {
    origin.edited.as_ref().unwrap_or(&origin.request)
}

/// What the reader has to know beside the text itself.
fn notes(origin: &ContainerOrigin, unsaid: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if origin.edited.is_some() {
        let text = "changed since it was made, and so is this; --as request prints what made it";
        notes.push(text.to_owned());
    }
    notes.extend(origin.differences.iter().map(|what| format!("other than this makes: {what}")));
    if !unsaid.is_empty() {
        notes.push(format!("not said here: {}", unsaid.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests;
