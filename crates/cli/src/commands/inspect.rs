//! `barge inspect`: whatever has that name, containers first; and the showing of what was found,
//! for all nouns.

use barge_client::{Client, ClientError, Sizes};
use bytes::Bytes;
use clap::Args as _;

use super::container::origin::{self, Form};
use super::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::format::template::{Purpose, Template};
use crate::format::{INSPECT_HELP, json};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "inspect",
    about: "Return low-level information on Docker objects",
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    aliases: &[],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Print what makes a container as it is now, as a command ("run") or a file ("compose"), or the request that made
    /// it ("request")
    #[arg(long = "as", value_name = "form", value_parser = origin::form, conflicts_with_all = ["format", "size"])]
    form: Option<Form>,
    #[arg(short, long, value_name = "string", help = INSPECT_HELP)]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
}

/// What can be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
    /// What only managers of a swarm have, and plugins: the daemon says no, in Docker's words.
    Foreign(&'static str),
}

/// In this order a name is looked up.
const KINDS: [Kind; 4] = [Kind::Container, Kind::Image, Kind::Network, Kind::Volume];

impl Kind {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "container" => Ok(Self::Container),
            "image" => Ok(Self::Image),
            "network" => Ok(Self::Network),
            "volume" => Ok(Self::Volume),
            "config" => Ok(Self::Foreign("configs")),
            "node" => Ok(Self::Foreign("nodes")),
            "plugin" => Ok(Self::Foreign("plugins")),
            "secret" => Ok(Self::Foreign("secrets")),
            "service" => Ok(Self::Foreign("services")),
            "task" => Ok(Self::Foreign("tasks")),
            _ => Err(CliError::Invalid(format!(
                "unknown type: {text:?}: must be one of \"config\", \"container\", \"image\", \
                 \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
            ))),
        }
    }

    async fn fetch(
        self,
        client: &Client,
        (name, sizes): (&str, Sizes),
    ) -> barge_client::Result<Bytes> {
        match self {
            Self::Container => client.containers().inspect_raw(name, sizes).await,
            Self::Image => client.images().inspect_raw(name, None).await,
            Self::Network => client.networks().inspect_raw(name).await,
            Self::Volume => client.volumes().inspect_raw(name).await,
            Self::Foreign(kind) => client.system().inspect_foreign(kind, name).await,
        }
    }

    /// The word of `--type`, where sizes mean nothing.
    fn without_size(self) -> Option<&'static str> {
        match self {
            Self::Container => None,
            Self::Image => Some("image"),
            Self::Network => Some("network"),
            Self::Volume => Some("volume"),
            Self::Foreign(kind) => kind.strip_suffix('s'),
        }
    }
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if let Some(form) = flags.form {
        return origin::show(session, &input.arguments, form).await;
    }
    let kind = flags.kind.as_deref().filter(|kind| !kind.is_empty());
    let kind = kind.map(Kind::parse).transpose()?;
    let sizes = if flags.size { Sizes::Include } else { Sizes::Omit };
    let client = session.client().await?;
    show(session, (&input.arguments, flags.format.as_deref()), |name| async move {
        let (kind, found) = match kind {
            Some(kind) => (kind, kind.fetch(client, (name, sizes)).await?),
            None => any(client, (name, sizes)).await?,
        };
        if let Some(kind) = kind.without_size().filter(|_| sizes == Sizes::Include) {
            session.streams.note(format!("WARNING: --size ignored for {kind}"));
        }
        Ok(found)
    })
    .await
}

async fn any(client: &Client, (name, sizes): (&str, Sizes)) -> Result<(Kind, Bytes)> {
    for kind in KINDS {
        match kind.fetch(client, (name, sizes)).await {
            Ok(found) => return Ok((kind, found)),
            Err(error) if means_another_kind(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CliError::Invalid(format!("Error: No such object: {name}")))
}

/// Not there, or a name that cannot be one of this kind's, or a kind that the daemon does not have.
fn means_another_kind(error: &ClientError) -> bool {
    matches!(error.status().map(|status| status.as_u16()), Some(400 | 404 | 501))
}

/// Fetches all `names` and shows what was found; then tells what was not.
pub(super) async fn show<'a, F>(
    session: &Session,
    (names, format): (&'a [String], Option<&str>),
    fetch: impl Fn(&'a str) -> F,
) -> Result<()>
where
    F: Future<Output = Result<Bytes>>,
{
    let template = match format {
        None | Some("" | "json") => None,
        Some(format) => Some(Template::parse(format, Purpose::Object)?),
    };
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for name in names {
        match fetch(name).await {
            Ok(bytes) => found.push(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(error) => errors.push(error),
        }
    }
    match (&template, format) {
        // As in Docker, nothing is an empty line.
        (Some(_), _) if found.is_empty() => session.streams.line("")?,
        (Some(template), _) => {
            for (position, text) in found.iter().enumerate() {
                match template.execute_text(text) {
                    Ok(text) => session.streams.line(text)?,
                    Err(error) => {
                        if position == 0 {
                            session.streams.line("")?;
                        }
                        return Err(error);
                    }
                }
            }
        }
        (None, Some("json")) => session.streams.line(format!("[{}]", found.join(",")))?,
        (None, None | Some(_)) => {
            session.streams.line(json::indent(&format!("[{}]", found.join(","))))?;
        }
    }
    CliError::collect(errors)
}
