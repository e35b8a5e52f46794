//! `barge cp`: what is copied where, in the words of Docker's manual.

use barge_client::ClientError;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Counter, Moving, Progress, Show};
use crate::session::Session;

mod download;
mod paths;
mod pipe;
mod upload;

pub(crate) const VERB: Verb = Verb {
    name: "cp",
    about: "Copy files/folders between a container and the local filesystem\n\n\
            Use '-' as the source to read a tar archive from stdin\n\
            and extract it to a directory destination in a container.\n\
            Use '-' as the destination to stream a tar archive of a\n\
            container source to stdout.",
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
    aliases: &["container cp", "cp"],
    arity: Arity::Exactly(2),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
}

/// A path of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remote {
    container: String,
    path: String,
}

/// What to copy.
struct Copy {
    flags: Flags,
    remote: Remote,
    /// A path of ours, or `-`.
    local: String,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let (source, destination) = (input.argument(0), input.argument(1));
    for (text, what) in [(source, "source"), (destination, "destination")] {
        if text.is_empty() {
            return Err(CliError::Invalid(format!("{what} can not be empty")));
        }
    }
    match (remote(source), remote(destination)) {
        (Some(_), Some(_)) => {
            Err(CliError::Invalid("copying between containers is not supported".to_owned()))
        }
        (None, None) => {
            Err(CliError::Invalid("must specify at least one container source".to_owned()))
        }
        (Some(remote), None) => {
            let copy = Copy { flags, remote, local: destination.to_owned() };
            download::run(session, &copy).await.map_err(|error| copy.named(error))
        }
        (None, Some(remote)) => {
            let copy = Copy { flags, remote, local: source.to_owned() };
            upload::run(session, &copy).await.map_err(|error| copy.named(error))
        }
    }
}

/// What `NAME:PATH` means; a path of ours that has a colon begins with a slash or a dot.
fn remote(argument: &str) -> Option<Remote> {
    if argument.starts_with('/') {
        return None;
    }
    let (container, path) = argument.split_once(':')?;
    if container.starts_with('.') {
        return None;
    }
    Some(Remote { container: container.to_owned(), path: path.to_owned() })
}

impl Copy {
    /// As its user names the container's side.
    fn place(&self) -> String {
        format!("{}:{}", self.remote.container, self.remote.path)
    }

    /// Whoever copies in a loop wants to know in which container it failed; the daemon does not always say.
    fn named(&self, error: CliError) -> CliError {
        if let CliError::Client(ClientError::Daemon { status, message }) = &error
            && !message.contains(&self.remote.container)
        {
            let message = format!("{message} (container {})", self.remote.container);
            return ClientError::Daemon { status: *status, message }.into();
        }
        error
    }

    /// Shows how far `work` is, and in the end how much it was; to a person only.
    async fn shown<T>(
        &self,
        (to, counter): (&str, &Counter),
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let show = if self.flags.quiet { Show::Nothing } else { Show::OnStderr };
        let name = self.remote.container.clone();
        let moving = Moving { name, status: "Copying", total: None, counter: counter.clone() };
        let progress = Progress::new(show).with(moving);
        let is_drawn = progress.is_drawn();
        let done = progress.during(work).await?;
        if is_drawn {
            let size = barge_types::size::human_decimal(counter.bytes());
            crate::streams::Streams.note(format!("Successfully copied {size} to {to}"));
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_named_once() {
        let remote = Remote { container: "web".to_owned(), path: "/x".to_owned() };
        let flags = Flags { archive: false, follow_link: false, quiet: true };
        let copy = Copy { flags, remote, local: "-".to_owned() };
        for (message, text) in [
            (
                "extraction point is not a directory",
                "extraction point is not a directory (container web)",
            ),
            ("No such container: web", "No such container: web"),
        ] {
            let status = barge_client::StatusCode::BAD_REQUEST;
            let error = ClientError::Daemon { status, message: message.to_owned() };
            let named = copy.named(error.into()).to_string();
            assert_eq!(named, format!("Error response from daemon: {text}"));
        }
    }

    #[test]
    fn a_colon_makes_a_container_unless_the_path_is_plainly_ours() {
        let found = |text: &str| remote(text).map(|it| (it.container, it.path));
        let of = |container: &str, path: &str| Some((container.to_owned(), path.to_owned()));
        assert_eq!(found("c:/a:b"), of("c", "/a:b"));
        assert_eq!(found("c:"), of("c", ""));
        for ours in ["/c:/a", "./c:a", ".:a", "../c:a", "file", "-"] {
            assert_eq!(found(ours), None, "{ours}");
        }
    }
}
