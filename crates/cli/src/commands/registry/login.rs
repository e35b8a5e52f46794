//! `barge login`

use std::io::{self, BufRead as _, Read as _};

use barge_api_types::AuthConfig;
use clap::Args as _;

use super::key;
use crate::commands::{Arity, Input, Verb};
use crate::config_file::ConfigFile;
use crate::credentials::{HUB, Store};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::streams::Streams;
use crate::terminal;

pub(crate) const VERB: Verb = Verb {
    name: "login",
    about: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    usage: "[OPTIONS] [SERVER]",
    aliases: &[],
    arity: Arity::AtMost(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
}

/// Who wants to log in where.
#[derive(Debug)]
struct Attempt {
    key: String,
    username: String,
    password: String,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let mut attempt = Attempt {
        key: key(input.argument(0)),
        username: flags.username.unwrap_or_default(),
        password: flags.password.clone().unwrap_or_default(),
    };
    if flags.password_stdin {
        if flags.password.is_some() {
            return Err(CliError::Invalid(
                "conflicting options: cannot specify both --password and --password-stdin"
                    .to_owned(),
            ));
        }
        if attempt.username.is_empty() {
            return Err(CliError::Invalid(
                "the --password-stdin option requires --username to be set".to_owned(),
            ));
        }
        attempt.password = from_stdin()?;
    } else if flags.password.is_some() {
        Streams.note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let mut config = ConfigFile::open(&session.config_folder())?;
    let store = Store::of(&config, &attempt.key);
    let kept = store.get(&config, &attempt.key)?;
    if let Some(kept) = kept.as_ref().filter(|kept| is_enough(kept) && attempt.is_open()) {
        match again(session, kept).await {
            Ok(status) => return session.streams.line(status),
            Err(error) => Streams
                .note(format!("Login did not succeed, error: {}", crate::error::chain(&error))),
        }
    }
    attempt.ask(kept.map(|kept| kept.username).unwrap_or_default())?;
    let credentials = AuthConfig {
        username: attempt.username,
        password: attempt.password,
        server_address: attempt.key.clone(),
        ..AuthConfig::default()
    };
    let answer = session.client().await?.registry().login(&credentials).await?;
    let mut kept = credentials;
    if !answer.identity_token.is_empty() {
        kept.password = String::new();
        kept.identity_token = answer.identity_token;
    }
    store.put(&mut config, (&attempt.key, &kept))?;
    if store == Store::File {
        Streams.note(format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to \
             remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            config.path().display()
        ));
    }
    session.streams.line(status_or_default(answer.status))
}

/// Logs in with what is kept.
async fn again(session: &Session, kept: &AuthConfig) -> Result<String> {
    let who = if kept.username.is_empty() {
        String::new()
    } else {
        format!(" [Username: {}]", kept.username)
    };
    Streams.note(format!("Authenticating with existing credentials...{who}"));
    Streams.note(
        "\n Info -> To login with a different account, run 'barge logout' followed by 'barge login'\n",
    );
    let answer = session.client().await?.registry().login(kept).await?;
    Ok(status_or_default(answer.status))
}

fn status_or_default(status: String) -> String {
    if status.is_empty() { "Login Succeeded".to_owned() } else { status }
}

fn is_enough(kept: &AuthConfig) -> bool {
    !kept.identity_token.is_empty() || (!kept.username.is_empty() && !kept.password.is_empty())
}

impl Attempt {
    /// Nothing was given: what is kept will do.
    fn is_open(&self) -> bool {
        self.username.is_empty() && self.password.is_empty()
    }

    /// Asks for what is missing; `before` is who logged in the last time.
    fn ask(&mut self, before: String) -> Result<()> {
        if !self.username.is_empty() && !self.password.is_empty() {
            return Ok(());
        }
        if !terminal::stdin_is_terminal() {
            return Err(CliError::Invalid(
                "Error: Cannot perform an interactive login from a non TTY device".to_owned(),
            ));
        }
        if self.username.is_empty() {
            if self.key == HUB {
                Streams.line(
                    "Log in with your Docker ID or email address to push and pull images from Docker Hub.",
                )?;
            }
            let default = if before.is_empty() { String::new() } else { format!(" ({before})") };
            Streams.write(format!("Username{default}: "))?;
            self.username = line()?;
            if self.username.is_empty() {
                self.username = before;
            }
            if self.username.is_empty() {
                return Err(CliError::Invalid("username is required".to_owned()));
            }
        }
        if self.password.is_empty() {
            let hidden = terminal::Hidden::enter().map_err(CliError::stdio("hide the password"))?;
            Streams.write("Password: ")?;
            let typed = secret(io::stdin().lock());
            drop(hidden);
            Streams.line("")?;
            self.password = typed?;
            if self.password.is_empty() {
                return Err(CliError::Invalid("password is required".to_owned()));
            }
        }
        Ok(())
    }
}

fn line() -> Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).map_err(CliError::stdio("read the answer"))?;
    Ok(text.trim_matches(['\r', '\n']).to_owned())
}

/// A line typed on a terminal that gives every key; Ctrl-C ends us as it would have.
fn secret(from: impl io::BufRead) -> Result<String> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const KILL: u8 = 0x15;
    let mut typed = Vec::new();
    for byte in from.bytes() {
        match byte.map_err(CliError::stdio("read the password"))? {
            b'\r' | b'\n' | END => break,
            INTERRUPT => return Err(CliError::Exit(130)),
            KILL => typed.clear(),
            // The key Backspace; what is taken away is a character, not a byte.
            0x7f | 8 => while typed.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {},
            byte => typed.push(byte),
        }
    }
    String::from_utf8(typed).map_err(|_| CliError::Invalid("the password is not UTF-8".to_owned()))
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map_err(CliError::stdio("read the password"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_can_be_corrected_while_it_is_typed() {
        assert_eq!(secret(&b"secrer\x7ft\rrest"[..]).unwrap(), "secret");
        assert_eq!(secret("wü\u{7f}ord\n".as_bytes()).unwrap(), "word");
        assert_eq!(secret(&b"wrong\x15right\n"[..]).unwrap(), "right");
        assert_eq!(secret(&b"abc\x03"[..]).unwrap_err().code(), 130);
    }
}
