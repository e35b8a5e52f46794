//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reads the configuration file again.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::flags::Flags;
use crate::logging::LogLevel;
use crate::settings::Settings;

/// The signals that are listened to, from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads as often as asked to, until the daemon is to stop; says how long requests under way may then take.
    pub(crate) async fn until_stop(
        mut self,
        flags: Flags,
        mut settings: Settings,
        level: LogLevel,
    ) -> Duration {
        let name = loop {
            tokio::select! {
                _ = self.terminate.recv() => break "terminated",
                _ = self.interrupt.recv() => break "interrupt",
                _ = self.hang_up.recv() => reload(&flags, &mut settings, &level),
            }
        };
        tracing::info!("Processing signal '{name}'");
        tracing::info!("the daemon stops; containers go on running without it");
        settings.shutdown_timeout
    }
}

/// Takes over what can change. A file that is wrong changes nothing.
fn reload(flags: &Flags, settings: &mut Settings, level: &LogLevel) {
    let new = match Settings::load(flags.clone()) {
        Ok(new) => new,
        Err(error) => {
            return tracing::error!("{:#}; nothing is reloaded", anyhow::Error::from(error));
        }
    };
    *settings = settings.reloaded(&new);
    level.set(settings.log_level);
    tracing::info!("reloaded configuration: log-level, debug and shutdown-timeout");
    if *settings != new {
        tracing::warn!(
            "other settings have changed in the configuration file; they take effect when barged is restarted"
        );
    }
}
