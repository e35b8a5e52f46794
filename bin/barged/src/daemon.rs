//! The daemon's life: pid file, sockets, engine, requests until a signal ends it.

use std::path::Path;

use anyhow::Context as _;
use barge_api_server::Listener;
use barge_engine::{Engine, EngineConfig};

use crate::flags::Flags;
use crate::logging::LogLevel;
use crate::pidfile::Pidfile;
use crate::settings::Settings;
use crate::signals::{Reloading, Signals};

/// Runs `run` on threads of its own, for as long as the pid file is ours.
pub(crate) fn start(
    pidfile: &Path,
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    // Before anything is touched: two daemons with one root would take each other's containers.
    let _pidfile = Pidfile::write(pidfile)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("barged")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(run);
    // What still runs on other threads follows a log or waits for a container; it ends with the process.
    runtime.shutdown_background();
    result
}

/// Opens everything and serves until a signal says stop.
pub(crate) async fn run(
    config: EngineConfig,
    flags: Flags,
    settings: Settings,
    level: LogLevel,
) -> anyhow::Result<()> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    // Sockets first: clients that come early wait, and a second daemon is refused before it has opened anything.
    let mut listeners = Vec::new();
    for endpoint in &settings.hosts {
        listeners.push(Listener::open(endpoint, settings.group).await?);
    }
    let engine = Engine::open(config).await?;
    for listener in &listeners {
        tracing::info!("API listen on {}", listener.address());
    }
    tracing::info!("Daemon has completed initialization");
    let reloading = Reloading { flags, settings, level, engine: engine.clone() };
    tokio::spawn(crate::idle::watch());
    let stop = signals.until_stop(reloading);
    let builds = std::sync::Arc::clone(&engine.builds);
    let open = engine.clone();
    barge_api_server::serve(engine, listeners, stop).await;
    builds.end().await;
    open.close();
    tracing::info!("Daemon shutdown complete");
    Ok(())
}
