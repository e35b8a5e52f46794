//! Repositories, by the `git` program of the host: it has its own proxies, keys and certificates.
//!
//! What an URL or a reference says comes from a Dockerfile. It reaches git as arguments behind `--`, and only transports
//! that lead over a network are allowed: nothing of the host's files, no commands (`ext::`).

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use barge_builder::runner::Cancel;
use barge_builder::sources::{GitAccess, GitWant};

use super::GLANCE;
use crate::error::{EngineError, Result};

/// How much of git's complaints is kept.
const COMPLAINTS: u64 = 16 << 10;

/// Whether a context or a source of `ADD` means a repository (Docker's `IsGitURL`).
pub(crate) fn is_repository(url: &str) -> bool {
    let without_fragment = url.split('#').next().unwrap_or_default();
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    (is_web && without_fragment.ends_with(".git"))
        || ["git://", "github.com/", "git@", "ssh://"].iter().any(|start| url.starts_with(start))
}

/// Checks out a branch, tag or commit into an empty folder; says the commit.
pub(super) fn check_out(want: &GitWant<'_>, into: &Path, cancel: &Cancel) -> Result<String> {
    let url = match want.url.strip_prefix("github.com/") {
        Some(rest) => format!("https://github.com/{rest}"),
        None => want.url.to_owned(),
    };
    let lent = lent(&want.access, &url);
    let reference = want.reference.filter(|reference| !reference.is_empty()).unwrap_or("HEAD");
    let git = |arguments: &[&str]| run(arguments, (into, &lent), cancel);
    git(&["init", "--quiet"])?;
    git(&["remote", "add", "--", "origin", &url])?;
    let shallow = git(&["fetch", "--quiet", "--depth", "1", "--", "origin", reference]);
    // A server that only hands out files gives no part of a history.
    let fetched = match shallow {
        Err(first) if !matches!(first, EngineError::Cancelled) => {
            git(&["fetch", "--quiet", "--", "origin", reference]).map_err(|_| first)
        }
        fetched => fetched,
    };
    match fetched {
        Ok(_) => git(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])?,
        Err(EngineError::Cancelled) => return Err(EngineError::Cancelled),
        // Not every server gives single commits, and none gives abbreviated ones: then all of it.
        Err(first) => {
            let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
            if git(&["fetch", "--quiet", "--", "origin", all[0], all[1]]).is_err() {
                return Err(first);
            }
            let commit = git(&["rev-parse", "--verify", "--end-of-options", reference]);
            let commit = commit.map_err(|_| {
                EngineError::NotFound(format!(
                    "the repository has no branch, tag or commit {reference:?}: {}",
                    first.message()
                ))
            })?;
            git(&["checkout", "--quiet", "--detach", commit.trim()])?
        }
    };
    git(&["submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1"])?;
    Ok(git(&["rev-parse", "HEAD"])?.trim().to_owned())
}

/// What the client lends, as git finds it: in its environment, where no other user sees it.
fn lent(access: &GitAccess, url: &str) -> Vec<(&'static str, OsString)> {
    let mut all = Vec::new();
    if let Some(agent) = &access.agent {
        all.push(("SSH_AUTH_SOCK", agent.clone().into_os_string()));
    }
    if let Some(value) = &access.authorization {
        // For this host alone: submodules may be elsewhere.
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let key = format!("http.{scheme}://{host}/.extraHeader");
        all.push(("GIT_CONFIG_COUNT", "1".into()));
        all.push(("GIT_CONFIG_KEY_0", key.into()));
        all.push(("GIT_CONFIG_VALUE_0", format!("Authorization: {value}").into()));
    }
    all
}

fn run(
    arguments: &[&str],
    (folder, lent): (&Path, &[(&'static str, OsString)]),
    cancel: &Cancel,
) -> Result<String> {
    let mut command = Command::new("git");
    command
        // Not by the process's folder: see `shims::spawn`.
        .arg("-C")
        .arg(folder)
        .args(arguments)
        // Git has helpers, which are killed with it.
        .process_group(0)
        // Nobody is there to be asked.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .env("LC_ALL", "C")
        .envs(lent.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            EngineError::NotFound(
                "repositories need the program git on the daemon's host, which is not in its PATH"
                    .to_owned(),
            )
        } else {
            EngineError::io("start", "git")(error)
        }
    })?;
    let (status, out, complaints) = finish(&mut child, cancel)?;
    if status.success() {
        return Ok(out);
    }
    let what = arguments.first().copied().unwrap_or_default();
    Err(EngineError::Conflict(format!("git {what} failed: {}", complaints.trim())))
}

/// Waits for git, killing it when the build ends before.
fn finish(child: &mut Child, cancel: &Cancel) -> Result<(ExitStatus, String, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let process = barge_sys::pidfd::open(i32::try_from(child.id()).unwrap_or(0))
        .map_err(EngineError::io("watch", "git"))?;
    thread::scope(|scope| {
        let out = scope.spawn(|| text(out));
        let err = scope.spawn(|| text(err));
        let mut is_cancelled = false;
        while !barge_sys::pidfd::wait_gone(&process, Some(GLANCE))
            .map_err(EngineError::io("wait for", "git"))?
        {
            if cancel.is_cancelled() && !is_cancelled {
                is_cancelled = true;
                kill_all(child);
            }
        }
        let status = child.wait().map_err(EngineError::io("wait for", "git"))?;
        if is_cancelled {
            return Err(EngineError::Cancelled);
        }
        // A thread that panicked has nothing to say.
        Ok((status, out.join().unwrap_or_default(), err.join().unwrap_or_default()))
    })
}

/// Kills git and its helpers, which are a process group.
fn kill_all(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // They may have ended meanwhile; the group's id is git's, which was not waited for.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
}

fn text(pipe: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read is missing from a message, nothing else.
        pipe.by_ref().take(COMPLAINTS).read_to_end(&mut bytes).ok();
        std::io::copy(&mut pipe, &mut std::io::sink()).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        for url in [
            "https://host/x.git",
            "http://host/x.git#main:sub",
            "git://host/x",
            "git@host:x.git",
            "github.com/a/b",
        ] {
            assert!(is_repository(url), "{url}");
        }
        for url in ["https://host/x.tar.gz", "https://host/x.git/y", "./x.git", "x"] {
            assert!(!is_repository(url), "{url}");
        }
    }

    #[test]
    fn neither_files_nor_commands_of_the_host_are_repositories() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for url in [from.path().to_str().unwrap(), "ext::sh -c true", "--upload-pack=x"] {
            let want = GitWant { url, reference: None, access: GitAccess::default() };
            let error = check_out(&want, into.path(), &Cancel::default()).unwrap_err();
            assert!(error.to_string().contains("git fetch failed"), "{error}");
            std::fs::remove_dir_all(into.path().join(".git")).unwrap();
        }
    }

    #[test]
    fn what_is_lent_reaches_its_host_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(std::result::Result::ok);
            let mine = lines.by_ref().take_while(|line| !line.is_empty());
            let found = mine.filter(|line| line.starts_with("Authorization: ")).collect();
            (&stream).write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").unwrap();
            let found: Vec<String> = found;
            found
        });
        let into = tempfile::tempdir().unwrap();
        let url = format!("http://{address}/x.git");
        let access = GitAccess { authorization: Some("Bearer hush".to_owned()), agent: None };
        let want = GitWant { url: &url, reference: None, access };
        let error = check_out(&want, into.path(), &Cancel::default()).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(server.join().unwrap(), ["Authorization: Bearer hush"]);
        let access = GitAccess { authorization: Some("x".to_owned()), ..GitAccess::default() };
        let [_, (_, key), _] = lent(&access, "https://u@h:1/r.git").try_into().unwrap();
        assert_eq!(key, "http.https://h:1/.extraHeader");
        let access = GitAccess { agent: Some("/agent".into()), ..GitAccess::default() };
        assert_eq!(lent(&access, "git@h:r"), [("SSH_AUTH_SOCK", OsString::from("/agent"))]);
    }
}
