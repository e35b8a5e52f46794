//! The flags before the command, and the tables of commands.

use clap::{Args, Command};

use crate::commands::{self, Entry};

/// The flags before the command.
#[derive(Args, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
pub(crate) struct GlobalFlags {
    /// Location of client config files (default "~/.docker")
    #[arg(long, value_name = "string")]
    pub(crate) config: Option<String>,
    /// Name of the context to use to connect to the daemon (overrides BARGE_HOST and DOCKER_HOST
    /// env vars and default context set with "docker context use")
    #[arg(short, long, value_name = "string")]
    pub(crate) context: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Daemon socket to connect to
    #[arg(short = 'H', long, value_name = "list")]
    pub(crate) host: Vec<String>,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    #[arg(short, long, value_name = "string")]
    pub(crate) log_level: Option<String>,
    /// Use TLS; implied by --tlsverify
    #[arg(long)]
    pub(crate) tls: bool,
    /// Use TLS and verify the remote
    #[arg(long)]
    pub(crate) tlsverify: bool,
    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
}

impl GlobalFlags {
    /// Whether the user wants to see what the client decides.
    pub(crate) fn is_debugging(&self) -> bool {
        self.debug || matches!(self.log_level.as_deref(), Some("debug" | "trace"))
    }
}

/// The root command: flags only, and the command with its words as arguments.
pub(crate) fn command() -> Command {
    GlobalFlags::augment_args(Command::new(crate::PROGRAM))
}

/// The text of `barge --help`.
pub(crate) fn help() -> String {
    let mut text = format!(
        "Usage:  {0} [OPTIONS] COMMAND\n\nA container engine: isolated processes on layered images\n",
        crate::PROGRAM
    );
    section(&mut text, "Common Commands", commands::COMMON);
    section(&mut text, "Management Commands", commands::NOUNS);
    section(&mut text, "Commands", commands::VERBS);
    let command = crate::flags::shape(command(), crate::flags::Order::FlagsFirst);
    text.push_str("\nGlobal Options:\n");
    text.push_str(&crate::help::options(&command, crate::help::columns()));
    text.push_str("\nRun '");
    text.push_str(crate::PROGRAM);
    text.push_str(" COMMAND --help' for more information on a command.\n");
    text
}

/// One list of commands with what they do.
pub(crate) fn section(text: &mut String, title: &str, entries: &[Entry]) {
    text.push_str(&format!("\n{title}:\n"));
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0).max(11);
    for entry in entries {
        let Entry { name, what, .. } = entry;
        // Its first sentence: the rest is for the command's own help.
        let about = what.about().lines().next().unwrap_or_default().trim_end_matches('.');
        text.push_str(&format!("  {name:width$} {about}\n"));
    }
}
