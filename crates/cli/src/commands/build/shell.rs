//! `--on-failure shell`: a container of the failed step's files, gone again when it is left.

use clap::Command;

use crate::commands::container;
use crate::commands::{Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::{self, ARGUMENTS};
use crate::progress::build::Failure;
use crate::session::Session;
use crate::terminal;

use barge_client::ImageRemoveOptions;

/// What runs commands where the image says nothing.
const SHELL: &str = "/bin/sh";

/// Opens the shell, if the daemon has kept the files.
pub(super) async fn open(session: &Session, failure: &Failure) -> Result<()> {
    let Some(image) = &failure.image else {
        session.streams.note("no step has failed that a shell could be opened in");
        return Ok(());
    };
    let client = session.client().await?;
    let ran = match client.images().inspect_raw(image, None).await {
        Ok(bytes) => {
            let shell = shell(&bytes);
            session.streams.note(format!(
                "{shell} in the state of the failed step; leave it to end the build"
            ));
            run(session, &words(image, &shell)).await
        }
        Err(error) => Err(error.into()),
    };
    let options = ImageRemoveOptions { force: true, ..ImageRemoveOptions::default() };
    let removed = client.images().remove(image, &options).await;
    match ran {
        // How the shell was left says nothing about the build.
        Ok(()) | Err(CliError::Exit(_)) => {}
        Err(error) => return Err(error),
    }
    removed?;
    Ok(())
}

/// The program of the image's `SHELL`.
fn shell(image: &[u8]) -> String {
    let image: serde_json::Value = serde_json::from_slice(image).unwrap_or_default();
    image["Config"]["Shell"][0].as_str().unwrap_or(SHELL).to_owned()
}

fn words(image: &str, shell: &str) -> Vec<String> {
    let mut words = vec!["--rm", "--interactive", "--pull=never"];
    if terminal::stdin_is_terminal() && terminal::stdout_is_terminal() {
        words.push("--tty");
    }
    words.extend(["--entrypoint", shell, image]);
    words.into_iter().map(str::to_owned).collect()
}

/// `barge run` with these words.
async fn run(session: &Session, words: &[String]) -> Result<()> {
    let verb: &Verb = &container::run::VERB;
    let mut command = flags::shape((verb.flags)(Command::new(verb.name)), verb.order);
    let matches = command
        .try_get_matches_from_mut(words)
        .map_err(|error| CliError::Invalid(error.to_string()))?;
    let arguments = matches.get_many::<String>(ARGUMENTS).into_iter().flatten().cloned().collect();
    (verb.run)(session, Input { matches, arguments }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_the_images() {
        assert_eq!(shell(br#"{"Config":{"Shell":["/bin/bash","-c"]}}"#), "/bin/bash");
        assert_eq!(shell(br#"{"Config":{}}"#), "/bin/sh");
        let words = words("sha256:1", "/bin/sh");
        assert_eq!(words[words.len() - 3..], ["--entrypoint", "/bin/sh", "sha256:1"]);
    }
}
