//! Why a command ends otherwise than well, and with which exit code.
//!
//! 125 is Docker's code for "the container was never run", and for flags that cannot be understood;
//! everything else is 1 unless a container's own code is passed on.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use barge_client::ClientError;

use crate::PROGRAM;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// Why a command ends otherwise than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A flag that cannot be understood.
    #[error("{text}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information")]
    Flag { text: String, usage: String, path: String },
    /// Too few or too many arguments.
    #[error(
        "{PROGRAM}: '{path}' {text}\n\nUsage:  {usage}\n\n{hint} '{path} --help' for more information"
    )]
    Arguments { text: String, usage: String, path: String, hint: &'static str },
    /// No command of that name.
    #[error(
        "{PROGRAM}: unknown command: {path} {name}\n\n{suggestions}{usage}Run '{path} --help' for more \
         information",
        suggestions = suggestions(.similar)
    )]
    UnknownCommand { path: String, name: String, usage: String, similar: Vec<&'static str> },
    /// A command of Docker's that barge has not.
    #[error("{PROGRAM}: '{command}' is not supported by this version of barge: {what}")]
    Later { command: String, what: &'static str },
    /// The daemon could not be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something given makes no sense; found without asking the daemon.
    #[error("{0}")]
    Invalid(String),
    /// The endpoint cannot be told.
    #[error("Failed to initialize: unable to resolve barge endpoint: {0}")]
    Endpoint(String),
    /// A file could not be used. The text is Go's, as Docker prints it.
    #[error("{action} {path}: {}", reason(.source), path = .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Our own input or output broke.
    #[error("cannot {action}")]
    Stdio { action: &'static str, source: io::Error },
    /// The daemon went away while something was going on with it that goes on without it.
    #[error("{text}")]
    Lost { text: String, code: u8 },
    /// The daemon was started and does not answer.
    #[error("{0}")]
    Daemon(String),
    /// A template is wrong, or does not fit what it is given.
    #[error("{context}: {text}")]
    Template {
        context: &'static str,
        text: String,
        /// 64 where Docker's client has it: `inspect` with a template that cannot be parsed.
        code: u8,
    },
    /// Another error, told the way `run` and `create` tell theirs, with their exit code.
    #[error("{PROGRAM}: {}\n\nRun '{PROGRAM} {verb} --help' for more information", chain(.cause))]
    NotRun { cause: Box<CliError>, verb: &'static str, code: u8 },
    /// Several things went wrong, one after the other.
    #[error("{}", .0.iter().map(chain).collect::<Vec<_>>().join("\n"))]
    Several(Vec<CliError>),
    /// A code to end with; everything has been said.
    #[error("")]
    Exit(u8),
}

impl CliError {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Flag { .. } => 125,
            Self::NotRun { code, .. }
            | Self::Template { code, .. }
            | Self::Lost { code, .. }
            | Self::Exit(code) => *code,
            Self::Arguments { .. }
            | Self::UnknownCommand { .. }
            | Self::Later { .. }
            | Self::Client(_)
            | Self::Invalid(_)
            | Self::Endpoint(_)
            | Self::File { .. }
            | Self::Stdio { .. }
            | Self::Daemon(_)
            | Self::Several(_) => 1,
        }
    }

    /// Whether the reader of our output has gone: nobody is left to be told.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Stdio { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            Self::NotRun { cause, .. } => cause.is_broken_pipe(),
            Self::Several(errors) => errors.iter().any(Self::is_broken_pipe),
            Self::Flag { .. }
            | Self::Arguments { .. }
            | Self::UnknownCommand { .. }
            | Self::Later { .. }
            | Self::Client(_)
            | Self::Invalid(_)
            | Self::Endpoint(_)
            | Self::File { .. }
            | Self::Daemon(_)
            | Self::Lost { .. }
            | Self::Template { .. }
            | Self::Exit(_) => false,
        }
    }

    /// For `map_err`: a file that could not be used.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: our own input or output.
    pub(crate) fn stdio(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Stdio { action, source }
    }

    /// The error of a list of them: none, the one, or all.
    pub(crate) fn collect(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

/// The error with its causes, on one line, the way a user reads it.
pub(crate) fn chain(error: &CliError) -> String {
    let mut text = error.to_string();
    if let CliError::Client(
        ClientError::Unreachable { .. } | ClientError::Daemon { .. } | ClientError::Gone { .. },
    )
    | CliError::File { .. } = error
    {
        return text;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        write!(text, ": {error}").ok();
        cause = error.source();
    }
    text
}

/// "Did you mean this?", as `git` asks; nothing when there is nothing to propose.
fn suggestions(similar: &[&str]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    format!("Did you mean this?\n\t{}\n\n", similar.join("\n\t"))
}

/// The system's words as Go prints them: lower case, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}
