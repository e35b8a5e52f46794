//! `barge build`: what is asked, put together; the build watched; what it made put where it belongs.

use std::fs;
use std::path::Path;

use barge_api_types::BuildEvent;
use barge_client::{Client, ClientError, Host, JsonStream};
use clap::Args as _;

use self::context::{Located, Source};
use self::fields::wrong;
use self::flags::BuildFlags;
use self::folders::Reach;
use self::outputs::{Delivery, Output};
use self::request::{Call, Proxies, Request};
use super::{Arity, Input, Noun, Verb, verb, verb_also};
use crate::config_file::ConfigFile;
use crate::credentials;
use crate::error::{CliError, Result, chain};
use crate::flags::Order;
use crate::progress::Counter;
use crate::progress::build::{BuildProgress, Failure, Outcome, Own, View};
use crate::session::Session;
use crate::streams::Streams;

mod agents;
mod annotations;
mod attestations;
mod check;
mod context;
mod described;
mod du;
mod fields;
mod flags;
mod folders;
mod outputs;
mod pack;
mod prune;
mod receive;
mod remotes;
mod request;
mod secrets;
mod shell;
mod unpack;

pub(crate) const VERB: Verb = Verb {
    name: "build",
    about: "Build an image from a Dockerfile",
    usage: "[OPTIONS] PATH | URL | -",
    aliases: &["image build", "builder build", "buildx build", "buildx b", "build"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: BuildFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

/// `barge builder`.
pub(crate) const BUILDER: Noun =
    Noun { about: "Manage builds", verbs: &[verb("build", &VERB), verb("prune", &prune::VERB)] };

/// `barge buildx`: the names under which Docker's plugin has the same.
pub(crate) const BUILDX: Noun = Noun {
    about: "Build images, with the names of Docker Buildx",
    verbs: &[verb_also("build", &["b"], &VERB), verb("du", &du::VERB), verb("prune", &prune::VERB)],
};

/// What a daemon says that cannot open our folders.
const SEND_AN_ARCHIVE: &str = "send it as an archive";

/// What programs end with whom Ctrl-C ends.
const INTERRUPTED: u8 = 130;

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: BuildFlags = input.flags()?;
    build(session, (&flags, input.argument(0))).await.map_err(failed)
}

/// The words of Docker's client for a build that failed on our side.
fn failed(error: CliError) -> CliError {
    let is_ours =
        matches!(error, CliError::Invalid(_) | CliError::File { .. } | CliError::Stdio { .. });
    if let CliError::Client(ClientError::Daemon { message, .. }) = &error {
        return wrong(format!("ERROR: failed to build: {message}"));
    }
    if is_ours && !error.is_broken_pipe() {
        return wrong(format!("ERROR: failed to build: {}", chain(&error)));
    }
    error
}

async fn build(session: &Session, (flags, argument): (&BuildFlags, &str)) -> Result<()> {
    let view = view(flags)?;
    let endpoint = session.host()?;
    let config = ConfigFile::open(&session.config_folder())?;
    let request = Request::new(flags, &Proxies::of(&config, &endpoint.to_string()))?;
    receive::check(&request.outputs)?;
    receive::check_files(&[&flags.iidfile, &flags.metadata_file])?;
    let mut located = context::locate(argument, &flags.file, std::io::stdin())?;
    let client = session.client().await?;
    let mut progress =
        BuildProgress::new(if request.call == Call::Build { view } else { View::Quiet });
    let asked = Asked { flags, request: &request, client, view };
    let followed = tokio::select! {
        followed = asked.watch(session, &mut located, &mut progress) => followed,
        interrupted = interrupted() => interrupted,
    };
    progress.finish();
    let Some(outcome) = followed? else {
        // The daemon ends the build when its connection is gone.
        Streams.note("ERROR: failed to build: context canceled");
        return Err(CliError::Exit(INTERRUPTED));
    };
    if let Call::Check(format) = request.call {
        return check::show(session, (&located, format), &outcome);
    }
    if let Call::Targets(format) | Call::Outline(format) = request.call
        && outcome.failure.is_none()
    {
        return described::show(session, (&located, format), &outcome);
    }
    // One is for programs; the other has room for errors only.
    if !matches!(view, View::RawJson | View::Quiet) {
        let is_debugging = flags.debug || session.is_debugging();
        check::note(&outcome.warnings, is_debugging.then_some(&located));
    }
    if let Some(failure) = &outcome.failure {
        tell(failure, &progress);
        if flags.on_failure == "shell" {
            shell::open(session, failure).await?;
        }
        return Err(wrong(format!("failed to solve: {}", failure.message)));
    }
    finish(&asked, &outcome, &mut progress)
}

/// Waits for Ctrl-C, which is no outcome.
async fn interrupted() -> Result<Option<Outcome>> {
    tokio::signal::ctrl_c().await.map_err(CliError::stdio("listen for signals"))?;
    Ok(None)
}

/// A build, being asked for.
struct Asked<'a> {
    flags: &'a BuildFlags,
    request: &'a Request,
    client: &'a Client,
    view: View,
}

impl<'a> Asked<'a> {
    /// Starts it and shows it to its end.
    async fn watch(
        &self,
        session: &Session,
        located: &mut Located,
        progress: &mut BuildProgress,
    ) -> Result<Option<Outcome>> {
        let (events, _folders) = self.start(session, located, progress).await?;
        let fetch = |build: String, number: u32| self.fetch(build, number);
        progress.follow(events, fetch).await.map(Some)
    }

    /// Starts it. A daemon that cannot open our folders gets an archive.
    async fn start(
        &self,
        session: &Session,
        located: &mut Located,
        progress: &mut BuildProgress,
    ) -> Result<(JsonStream<BuildEvent>, folders::Folders)> {
        let builds = self.client.builds();
        let mut reach = match self.client.host() {
            Host::Unix(_) => Reach::Descriptors,
            Host::Tcp { .. } => Reach::Archives,
        };
        let (id, folders) = loop {
            let (inputs, folders) = self.request.inputs(self.flags, located, reach)?;
            match builds.prepare(&inputs).await {
                Ok(id) => break (id, folders),
                Err(error) if reach == Reach::Descriptors && wants_archive(&error) => {
                    reach = Reach::Archives;
                }
                Err(error) => return Err(error.into()),
            }
        };
        if self.view != View::Quiet {
            folders.warnings().iter().for_each(|warning| Streams.note(warning));
        }
        let options = self.request.options(located);
        let counter = Counter::default();
        let archive = match std::mem::replace(&mut located.source, Source::Nothing) {
            Source::Archive(archive) => Some(super::image::upload(archive, counter.clone())),
            Source::Folder(path) if reach == Reach::Archives => {
                let compression = pack::Packing::from(self.flags.compress);
                let dockerfile = located.dockerfile.as_ref();
                let ignore = pack::ignore(&path, dockerfile)?;
                located.source = Source::Folder(path.clone());
                Some(pack::upload(path, (ignore, compression), counter.clone()))
            }
            kept @ (Source::Folder(_) | Source::Remote(_) | Source::Nothing) => {
                located.source = kept;
                None
            }
        };
        let credentials = credentials::all(&session.config_folder())?;
        let Some(archive) = archive else {
            return Ok((builds.start(&id, &options, (&credentials, None)).await?, folders));
        };
        let work = async { Ok(builds.start(&id, &options, (&credentials, Some(archive))).await?) };
        let own = Own {
            text: "load build context".to_owned(),
            what: "transferring context:",
            counter,
            work: Box::pin(work),
        };
        Ok((progress.during(own).await?, folders))
    }

    /// Gets an output that is for us.
    fn fetch(&self, build: String, number: u32) -> Option<Own<'a, ()>> {
        let output: &'a Output = self.request.outputs.get(usize::try_from(number).ok()?)?;
        let text = match &output.delivery {
            Delivery::Daemon => return None,
            Delivery::Folder(_) => "exporting to client directory",
            Delivery::File(_) | Delivery::Stdout => "exporting to client tarball",
        };
        let counter = Counter::default();
        let (client, counted) = (self.client, counter.clone());
        let work = async move {
            let archive = client.builds().output(&build, number).await?;
            receive::deliver(archive, &output.delivery, counted).await
        };
        Some(Own { text: text.to_owned(), what: "copying files", counter, work: Box::pin(work) })
    }
}

fn wants_archive(error: &ClientError) -> bool {
    matches!(error, ClientError::Daemon { message, .. } if message.contains(SEND_AN_ARCHIVE))
}

/// How the build is shown.
fn view(flags: &BuildFlags) -> Result<View> {
    let environment = std::env::var("BUILDKIT_PROGRESS").ok();
    if !flags.quiet {
        return View::choose(&flags.progress, environment.as_deref());
    }
    match flags.progress.as_str() {
        "" | "auto" | "quiet" | "none" => Ok(View::Quiet),
        other => Err(wrong(format!("progress={other} and quiet cannot be used together"))),
    }
}

/// What the failed step wrote, and where it stands in the Dockerfile.
fn tell(failure: &Failure, progress: &BuildProgress) {
    if let Some(text) = progress.failed_step() {
        Streams.aside(text);
    }
    if !failure.excerpt.is_empty() {
        Streams.note(failure.excerpt.trim_end());
    }
}

/// What is left to do after a build that went well: tell its result, and write it where wanted.
fn finish(asked: &Asked<'_>, outcome: &Outcome, progress: &mut BuildProgress) -> Result<()> {
    let flags = asked.flags;
    if outcome.image.is_none() && outcome.received == 0 {
        return Err(wrong("the daemon ended the build without a result"));
    }
    let id = outcome.image.as_deref().unwrap_or_default();
    if !flags.iidfile.is_empty() {
        write(&flags.iidfile, id)?;
    }
    if !flags.metadata_file.is_empty() {
        write(&flags.metadata_file, &metadata(outcome))?;
    }
    let is_stdout_taken =
        asked.request.outputs.iter().any(|output| output.delivery == Delivery::Stdout);
    match asked.view {
        View::Quiet if !is_stdout_taken && !id.is_empty() => Streams.line(id)?,
        View::Quiet | View::RawJson => {}
        View::Plain | View::Live => progress.tell_image(outcome),
    }
    Ok(())
}

/// Of a build, in buildx's names.
fn metadata(outcome: &Outcome) -> String {
    let mut value = serde_json::Map::new();
    if let Some(id) = &outcome.image {
        value.insert("containerimage.config.digest".to_owned(), id.as_str().into());
        // What a registry knows it by, which is what others ask for.
        let digest = outcome.pushed.as_ref().unwrap_or(id);
        value.insert("containerimage.digest".to_owned(), digest.as_str().into());
    }
    if !outcome.names.is_empty() {
        value.insert("image.name".to_owned(), outcome.names.join(",").into());
    }
    // A map of texts can always be written.
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn write(path: &str, text: &str) -> Result<()> {
    // Beside it and renamed: who waits for the file finds it whole.
    let target = Path::new(path);
    if target.exists() && !target.is_file() {
        return fs::write(target, text).map_err(CliError::file("write", target));
    }
    let mut beside = target.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    fs::write(&beside, text).map_err(CliError::file("open", target))?;
    fs::rename(&beside, target).map_err(CliError::file("rename", target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_buildxs_names() {
        let outcome = Outcome {
            image: Some("sha256:1".to_owned()),
            names: vec!["docker.io/library/a:1".to_owned(), "b:2".to_owned()],
            ..Outcome::default()
        };
        let value: serde_json::Value = serde_json::from_str(&metadata(&outcome)).unwrap();
        assert_eq!(value["containerimage.digest"], "sha256:1");
        assert_eq!(value["image.name"], "docker.io/library/a:1,b:2");
        let pushed = Outcome { pushed: Some("sha256:2".to_owned()), ..outcome };
        let value: serde_json::Value = serde_json::from_str(&metadata(&pushed)).unwrap();
        assert_eq!(value["containerimage.digest"], "sha256:2");
        assert_eq!(value["containerimage.config.digest"], "sha256:1");
        assert_eq!(metadata(&Outcome::default()), "{}");
    }

    #[test]
    fn quiet_and_a_progress_view_exclude_each_other() {
        let flags = |progress: &str| BuildFlags {
            quiet: true,
            progress: progress.to_owned(),
            ..BuildFlags::default()
        };
        assert_eq!(view(&flags("auto")).unwrap(), View::Quiet);
        assert_eq!(
            view(&flags("plain")).unwrap_err().to_string(),
            "progress=plain and quiet cannot be used together"
        );
    }
}
