//! `barge create`, and the making of a container for `run`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use barge_api_types::ContainerCreateRequest;
use barge_client::{Client, ClientError, PullOptions};
use barge_types::{Reference, ReferenceError};
use clap::Args as _;

use super::config::{self, ContainerFlags};
use crate::commands::image;
use crate::commands::{Arity, Input, Verb};
use crate::credentials;
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Progress, Show};
use crate::session::Session;
use crate::streams::Streams;
use crate::terminal::{self, Size};

pub(crate) const VERB: Verb = Verb {
    name: "create",
    about: "Create a new container",
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    aliases: &["container create", "create"],
    arity: Arity::AtLeast(1),
    order: Order::FlagsFirst,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[command(flatten)]
    container: ContainerFlags,
    #[command(flatten)]
    create: CreateFlags,
}

/// Of `run` and `create`: about the making, not about what is made.
#[derive(clap::Args, Debug)]
pub(super) struct CreateFlags {
    /// Skip image verification (default true)
    #[arg(long, default_value = "true", hide = true)]
    disable_content_trust: bool,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Pull image before running ("always", "missing", "never") (default "missing")
    #[arg(long, value_name = "string", default_value = "missing")]
    pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
}

/// When to fetch the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    Always,
    Missing,
    Never,
}

/// All that making a container takes.
#[derive(Debug)]
pub(super) struct Plan {
    request: ContainerCreateRequest,
    name: Option<String>,
    platform: Option<String>,
    pull: Pull,
    quiet: bool,
    id_file: Option<IdFile>,
    config_folder: PathBuf,
}

/// A file that gets the id of the container; it goes again when there is none.
#[derive(Debug)]
struct IdFile {
    path: PathBuf,
    file: File,
    content: Content,
}

/// What is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Id,
}

impl IdFile {
    fn write(&mut self, id: &str) -> Result<()> {
        self.file.write_all(id.as_bytes()).map_err(CliError::file("write", &self.path))?;
        self.content = Content::Id;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if self.content == Content::Nothing {
            // It is ours and empty; there is another error to tell.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let request = config::request(&flags.container, &input).map_err(not_run("create"))?;
    let plan = Plan::new(request, flags.create).map_err(not_run("create"))?;
    let plan =
        plan.with_credentials_in(session.config_folder()).with_id_file(&flags.container.cidfile)?;
    let client = session.client().await?;
    let id = plan.make(client).await?;
    session.streams.line(id)
}

/// For `map_err`: the container was never run.
pub(super) fn not_run(verb: &'static str) -> impl FnOnce(CliError) -> CliError {
    move |cause| {
        if let CliError::Exit(code) = cause {
            return CliError::Exit(code);
        }
        // No help is about that.
        if let CliError::Lost { text, .. } = cause {
            return CliError::Lost { text, code: 125 };
        }
        if let CliError::Client(error) = &cause
            && error.is_gone()
        {
            return CliError::Lost { text: error.to_string(), code: 125 };
        }
        CliError::NotRun { cause: Box::new(cause), verb, code: 125 }
    }
}

impl Plan {
    pub(super) fn new(mut request: ContainerCreateRequest, flags: CreateFlags) -> Result<Self> {
        image::check_trust(flags.disable_content_trust)?;
        let pull = match flags.pull.as_str() {
            "always" => Pull::Always,
            "missing" | "" => Pull::Missing,
            "never" => Pull::Never,
            other => {
                return Err(CliError::Invalid(format!(
                    "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
                )));
            }
        };
        if request.config.tty
            && let Some(Size { height, width }) = terminal::size()
        {
            request.host_config.console_size = [height, width];
        }
        Ok(Self {
            request,
            name: flags.name.filter(|name| !name.is_empty()),
            platform: flags.platform.filter(|platform| !platform.is_empty()),
            pull,
            quiet: flags.quiet,
            id_file: None,
            config_folder: PathBuf::new(),
        })
    }

    /// What the container is to be called, if the user says so.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Names the folder where credentials for a pull are found.
    pub(super) fn with_credentials_in(mut self, folder: PathBuf) -> Self {
        self.config_folder = folder;
        self
    }

    /// Makes the file for the id, which must not be there yet.
    pub(super) fn with_id_file(mut self, path: &str) -> Result<Self> {
        if path.is_empty() {
            return Ok(self);
        }
        let file = File::create_new(path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::AlreadyExists {
                CliError::Invalid(format!(
                    "container ID file found, make sure the other container isn't running or delete {path}"
                ))
            } else {
                CliError::file("failed to create the container ID file: open", path)(source)
            }
        })?;
        self.id_file = Some(IdFile { path: PathBuf::from(path), file, content: Content::Nothing });
        Ok(self)
    }

    /// Makes the container; fetches its image if need be.
    pub(super) async fn make(mut self, client: &Client) -> Result<String> {
        check_platform(self.platform.as_deref().unwrap_or_default())?;
        let id = self.create(client).await?;
        if let Some(id_file) = &mut self.id_file {
            id_file.write(&id)?;
        }
        Ok(id)
    }

    async fn create(&self, client: &Client) -> Result<String> {
        let image = &self.request.config.image;
        check_image(image)?;
        if self.pull == Pull::Always {
            self.fetch(client, image).await?;
        }
        let created = match self.ask(client).await {
            Err(error) if self.pull == Pull::Missing && is_missing_image(&error) => {
                let familiar = image
                    .parse::<Reference>()
                    .map_or_else(|_| image.clone(), |name| name.familiar());
                Streams.note(format!("Unable to find image '{familiar}' locally"));
                self.fetch(client, image).await?;
                self.ask(client).await?
            }
            result => result?,
        };
        for warning in &created.warnings {
            Streams.note(format!("WARNING: {warning}"));
        }
        Ok(created.id)
    }

    async fn ask(
        &self,
        client: &Client,
    ) -> std::result::Result<barge_api_types::ContainerCreateResponse, ClientError> {
        let (name, platform) = (self.name.as_deref(), self.platform.as_deref());
        client.containers().create(name, platform, &self.request).await
    }

    async fn fetch(&self, client: &Client, image: &str) -> Result<()> {
        let name: Reference =
            image.parse().map_err(|error: ReferenceError| CliError::Invalid(error.to_string()))?;
        let options = PullOptions {
            repository: name.familiar_name(),
            tag: Some(image::tag_or_digest(&name)),
            platform: self.platform.clone(),
            auth: credentials::for_image(&self.config_folder, &name)?,
        };
        let show = if self.quiet { Show::Nothing } else { Show::OnStderr };
        Progress::new(show).follow(client.images().pull(&options).await?).await?;
        Ok(())
    }
}

/// `os[/architecture[/variant]]`
fn check_platform(platform: &str) -> Result<()> {
    let parts: Vec<&str> = platform.split('/').collect();
    if parts.len() > 3 || (!platform.is_empty() && parts.iter().any(|part| part.is_empty())) {
        return Err(CliError::Invalid(format!(
            "error parsing specified platform: {platform:?}: cannot parse platform specifier: invalid argument"
        )));
    }
    Ok(())
}

/// The same words as the daemon's, without a round trip; an id is no name, but will do.
fn check_image(image: &str) -> Result<()> {
    match image.parse::<Reference>() {
        Ok(_) | Err(ReferenceError::LooksLikeId(_)) => Ok(()),
        Err(_) if image.starts_with("sha256:") => Ok(()),
        Err(error) => Err(CliError::Invalid(error.to_string())),
    }
}

fn is_missing_image(error: &ClientError) -> bool {
    matches!(error, ClientError::Daemon { message, .. } if error.is_not_found() && message.starts_with("No such image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pull: &str, platform: &str) -> Result<Plan> {
        let flags = CreateFlags {
            disable_content_trust: true,
            name: None,
            platform: Some(platform.to_owned()),
            pull: pull.to_owned(),
            quiet: false,
        };
        Plan::new(ContainerCreateRequest::default(), flags)
    }

    #[test]
    fn an_id_file_that_is_there_is_refused_and_one_of_ours_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cid");
        let text = path.to_string_lossy().into_owned();
        std::fs::write(&path, "old").unwrap();
        let error = plan("never", "").unwrap().with_id_file(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "container ID file found, make sure the other container isn't running or delete {text}"
            )
        );
        std::fs::remove_file(&path).unwrap();
        let plan = plan("never", "").unwrap().with_id_file(&text).unwrap();
        assert!(path.exists());
        let client = Client::new("unix:///nonexist/none.sock".parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(plan.make(&client)).unwrap_err();
        assert!(!path.exists());
    }

    #[test]
    fn an_image_has_a_name_or_an_id() {
        assert!(check_image("a/b:c").is_ok());
        assert!(check_image(&"0123456789abcdef".repeat(4)).is_ok());
        assert!(check_image("sha256:0123").is_ok());
        assert_eq!(
            check_image("X").unwrap_err().to_string(),
            "invalid reference format: repository name (library/X) must be lowercase"
        );
    }

    #[test]
    fn wrong_words_are_refused() {
        assert_eq!(
            plan("foo", "").unwrap_err().to_string(),
            "invalid pull option: 'foo': must be one of \"always\", \"missing\" or \"never\""
        );
        assert_eq!(
            check_platform("foo/bar/baz/qux").unwrap_err().to_string(),
            "error parsing specified platform: \"foo/bar/baz/qux\": cannot parse platform specifier: \
             invalid argument"
        );
        assert!(check_platform("linux/arm/v7").is_ok() && check_platform("").is_ok());
    }
}
