//! `--ssh`: the socket of an agent, or keys.
//!
//! Keys go into an agent of their own (OpenSSH's), which runs as long as the build: the daemon sees its socket, never a
//! key. That agent ends with us however we end, since what it runs waits for the end of a pipe of ours.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use barge_api_types::SshAgent;

use super::fields::wrong;
use crate::error::{CliError, Result};

/// The largest key, as in buildx.
const LARGEST: u64 = 100 << 10;

/// What the agent runs: it says that the agent is there, waits for our end, and takes the agent with it.
const SCRIPT: &str = "echo; cat >/dev/null; kill \"$SSH_AGENT_PID\"; rm -rf -- \"$1\"";

/// All of `--ssh`, and what has to be kept while they are used.
#[derive(Debug, Default)]
pub(super) struct Agents {
    /// By id.
    pub(super) wire: BTreeMap<String, SshAgent>,
    /// Dropped, they end.
    own: Vec<KeyAgent>,
}

/// An agent with keys of one `--ssh`; ends when it is dropped.
#[derive(Debug)]
struct KeyAgent {
    child: Child,
    socket: PathBuf,
    folder: PathBuf,
}

impl Agents {
    pub(super) fn new(texts: &[String]) -> Result<Self> {
        let default = || env::var("SSH_AUTH_SOCK").ok().filter(|path| !path.is_empty());
        let mut agents = Self::default();
        for text in texts {
            let (id, paths) = parse(text, default())?;
            if agents.wire.contains_key(&id) {
                return Err(wrong(format!(
                    "--ssh {text}: there are two agents with the id {id:?}"
                )));
            }
            let path = match agent(&id, &paths)? {
                Found::Socket(path) => path,
                Found::Keys(paths) => {
                    let own = KeyAgent::start(&id)?;
                    paths.iter().try_for_each(|path| own.add(&id, path))?;
                    let socket = own.socket.clone();
                    agents.own.push(own);
                    socket
                }
            };
            let path = path.to_string_lossy().into_owned();
            agents.wire.insert(id, SshAgent { path });
        }
        Ok(agents)
    }
}

/// `default`, `id`, `id=path` or `id=path,path`.
fn parse(text: &str, default: Option<String>) -> Result<(String, Vec<PathBuf>)> {
    let (id, paths) = match text.split_once('=') {
        Some((id, paths)) => (id, paths.split(',').map(PathBuf::from).collect()),
        None => {
            let path = default.ok_or_else(|| {
                wrong("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
            })?;
            (text, vec![PathBuf::from(path)])
        }
    };
    let id = if id.is_empty() { "default" } else { id };
    Ok((id.to_owned(), paths))
}

/// What paths lead to.
#[derive(Debug)]
enum Found<'a> {
    Socket(PathBuf),
    Keys(&'a [PathBuf]),
}

fn agent<'a>(id: &str, paths: &'a [PathBuf]) -> Result<Found<'a>> {
    let mut sockets = 0;
    for path in paths {
        let metadata = path.metadata().map_err(CliError::file("failed to stat", path))?;
        sockets += usize::from(metadata.file_type().is_socket());
    }
    match (sockets, paths) {
        (0, keys) => Ok(Found::Keys(keys)),
        (1, [path]) => {
            let path = std::path::absolute(path).map_err(CliError::file("find", path))?;
            Ok(Found::Socket(path))
        }
        _ => Err(wrong(format!(
            "--ssh {id}: either one socket of an agent, or keys: there is no way to use both as one"
        ))),
    }
}

impl KeyAgent {
    fn start(id: &str) -> Result<Self> {
        let failed = |error: &io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                wrong(format!(
                    "--ssh {id}: keys need the programs ssh-agent and ssh-add in PATH: give the socket of an agent"
                ))
            } else {
                wrong(format!("--ssh {id}: cannot start ssh-agent: {error}"))
            }
        };
        let folder = private_folder()?;
        let socket = folder.join("agent");
        let child = Command::new("ssh-agent")
            .arg("-a")
            .arg(&socket)
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(&folder)
            // Who interrupts us ends it by our end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let child = child.map_err(|error| {
            std::fs::remove_dir_all(&folder).ok();
            failed(&error)
        })?;
        let mut agent = Self { child, socket, folder };
        let mut said = [0];
        let out = agent.child.stdout.as_mut();
        match out.map(|out| out.read(&mut said)) {
            Some(Ok(1)) => Ok(agent),
            _ => Err(wrong(format!("--ssh {id}: ssh-agent ended before it began"))),
        }
    }

    /// Adds a key. It is piped: whose file it is and who may read it does not matter, and ssh-add asks for a pass phrase
    /// on the terminal.
    fn add(&self, id: &str, path: &Path) -> Result<()> {
        let key = read(path)?;
        let failed = |what: &dyn std::fmt::Display| {
            wrong(format!("--ssh {id}: failed to parse {}: {what}", path.display()))
        };
        let mut child = Command::new("ssh-add")
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends before says why.
            stdin.write_all(&key).ok();
        }
        let output = child.wait_with_output().map_err(|error| failed(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(&said.trim()))
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        // The end of the pipe is what it waits for.
        drop(self.child.stdin.take());
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A new folder that nobody else can look into.
fn private_folder() -> Result<PathBuf> {
    let base = env::temp_dir();
    let folder = tempfile::Builder::new().prefix("barge-ssh-").tempdir_in(&base);
    folder.map(tempfile::TempDir::keep).map_err(CliError::file("make a folder in", &base))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = || CliError::file("failed to open", path);
    let mut key = Vec::new();
    let file = File::open(path).map_err(failed())?;
    file.take(LARGEST + 1).read_to_end(&mut key).map_err(failed())?;
    if key.len() as u64 > LARGEST {
        return Err(wrong(format!("{} is larger than any key", path.display())));
    }
    // Copied and pasted ones lack it, and OpenSSH wants it.
    if key.last() != Some(&b'\n') {
        key.push(b'\n');
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let text = socket.to_string_lossy().into_owned();
        let of = |text: &str, default: Option<String>| parse(text, default).unwrap();
        assert_eq!(of("default", Some(text.clone())), ("default".to_owned(), vec![socket.clone()]));
        assert_eq!(of("gh=/a,/b", None), ("gh".to_owned(), vec!["/a".into(), "/b".into()]));
        assert!(parse("default", None).unwrap_err().to_string().contains("SSH_AUTH_SOCK"));
        let agents = Agents::new(&[format!("gh={text}")]).unwrap();
        assert_eq!(agents.wire["gh"], SshAgent { path: text.clone() });
        let key = folder.path().join("id");
        std::fs::write(&key, "key").unwrap();
        for (texts, message) in [
            (vec![format!("gh={text},{}", key.display())], "either one socket"),
            (vec![format!("gh={text}"), format!("gh={text}")], "two agents with the id \"gh\""),
            (vec!["gh=/nonexist".to_owned()], "failed to stat"),
        ] {
            let error = Agents::new(&texts).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
