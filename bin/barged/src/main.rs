//! The daemon: reads flags and configuration file, opens the engine and serves its API.

mod config_file;
mod engine_config;
mod flags;
mod group;
mod logging;
mod pidfile;
mod settings;
mod signals;
mod ulimit;

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use barge_api_server::Listener;
use barge_engine::Engine;

use flags::{Flags, Parsed};
use logging::LogLevel;
use pidfile::Pidfile;
use settings::Settings;
use signals::Signals;

fn main() -> ExitCode {
    let flags = match Flags::read(std::env::args_os()) {
        Parsed::Flags(flags) => *flags,
        Parsed::Help(text) => return say(&mut io::stdout(), text.trim_end(), ExitCode::SUCCESS),
        Parsed::Wrong(text) => return say(&mut io::stderr(), &text, ExitCode::from(125)),
    };
    if flags.version {
        let text = concat!("Barge version ", env!("CARGO_PKG_VERSION"));
        return say(&mut io::stdout(), text, ExitCode::SUCCESS);
    }
    let settings = match Settings::load(flags.clone()) {
        Ok(settings) => settings,
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            return say(&mut io::stderr(), &text, ExitCode::FAILURE);
        }
    };
    if flags.validate {
        return say(&mut io::stderr(), "configuration OK", ExitCode::SUCCESS);
    }
    let level = logging::start(settings.log_level);
    match start(flags, settings, level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("failed to start daemon: {error:#}");
            say(&mut io::stderr(), &text, ExitCode::FAILURE)
        }
    }
}

/// Writes a line; when that fails there is nobody left to tell.
fn say(out: &mut dyn io::Write, text: &str, code: ExitCode) -> ExitCode {
    writeln!(out, "{text}").ok();
    code
}

fn start(flags: Flags, settings: Settings, level: LogLevel) -> anyhow::Result<()> {
    // Before anything is touched: two daemons with one root would take each other's containers.
    let _pidfile = Pidfile::write(&settings.pidfile)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("barged")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(run(flags, settings, level));
    // What still runs on other threads follows a log or waits for a container; it ends with the process.
    runtime.shutdown_background();
    result
}

async fn run(flags: Flags, settings: Settings, level: LogLevel) -> anyhow::Result<()> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    // Sockets first: clients that come early wait, and a second daemon is refused before it has opened anything.
    let mut listeners = Vec::new();
    for endpoint in &settings.hosts {
        listeners.push(Listener::open(endpoint, settings.group).await?);
    }
    let engine = Engine::open(engine_config::from(&settings)?).await?;
    for listener in &listeners {
        tracing::info!("API listen on {}", listener.address());
    }
    tracing::info!("Daemon has completed initialization");
    let stop = signals.until_stop(flags, settings, level);
    barge_api_server::serve(engine, listeners, stop).await;
    tracing::info!("Daemon shutdown complete");
    Ok(())
}
