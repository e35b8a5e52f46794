//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reads the configuration file again, SIGUSR1 has the threads
//! logged. SIGUSR2 does nothing: no daemon of Docker's ends by it.

use std::io;
use std::time::Duration;

use barge_engine::Engine;
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
    first_user: Signal,
    second_user: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            first_user: signal(SignalKind::user_defined1())?,
            second_user: signal(SignalKind::user_defined2())?,
        })
    }

    /// Reloads as often as asked to, until the daemon is to stop; says how long requests under way may then take.
    pub(crate) async fn until_stop(mut self, mut reloading: Reloading) -> Duration {
        let name = loop {
            tokio::select! {
                _ = self.terminate.recv() => break "terminated",
                _ = self.interrupt.recv() => break "interrupt",
                _ = self.hang_up.recv() => reloading.reload(),
                _ = self.first_user.recv() => crate::threads::log(),
                _ = self.second_user.recv() => {}
            }
        };
        tracing::info!("Processing signal '{name}'");
        tracing::info!("the daemon stops; containers go on running without it");
        reloading.settings.shutdown_timeout
    }
}

/// What a reload works on.
#[derive(Debug)]
pub(crate) struct Reloading {
    pub(crate) flags: Flags,
    pub(crate) settings: Settings,
    pub(crate) level: LogLevel,
    pub(crate) engine: Engine,
}

impl Reloading {
    /// Takes over what can change. A file that is wrong changes nothing.
    fn reload(&mut self) {
        let taken =
            Settings::load(self.flags.clone()).map_err(anyhow::Error::from).and_then(|new| {
                let settings = self.settings.reloaded(&new);
                self.engine.system.reload(&settings.registries)?;
                Ok((settings, new))
            });
        let (settings, new) = match taken {
            Ok(taken) => taken,
            Err(error) => return tracing::error!("{error:#}; nothing is reloaded"),
        };
        self.level.set(settings.log_level);
        self.settings = settings;
        tracing::info!(
            "reloaded configuration: log-level, debug, shutdown-timeout, registry-mirrors, insecure-registries and the limits of downloads and uploads"
        );
        if self.settings != new {
            tracing::warn!(
                "other settings have changed in the configuration file; they take effect when barged is restarted"
            );
        }
    }
}
