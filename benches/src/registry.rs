//! A registry on the loopback: Debian's `docker-registry`, with a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::peers::rest;

const PATIENCE: Duration = Duration::from_secs(30);

/// Ends when it is dropped; [`Registry::remove`] removes its folder too.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Registry {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            folder.join("storage").display()
        );
        fs::write(&config, text)?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start docker-registry")?;
        let mut registry = Self { child, folder: folder.to_owned(), port };
        let before = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if before.elapsed() > PATIENCE || registry.child.try_wait()?.is_some() {
                bail!("docker-registry does not come up: see {}", folder.join("log").display());
            }
            rest(Duration::from_millis(1));
        }
        Ok(registry)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn remove(self) -> anyhow::Result<()> {
        let folder = self.folder.clone();
        drop(self);
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Process 1 of the namespace goes soon, and takes with it what does not end now.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
