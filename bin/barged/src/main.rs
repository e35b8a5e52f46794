//! The daemon: reads flags and configuration file, opens the engine and serves its API.

mod config_file;
mod daemon;
mod engine_config;
mod flags;
mod group;
mod idle;
mod isolation;
mod logging;
mod pidfile;
mod runtimes;
mod settings;
mod signals;
mod threads;
mod ulimit;

use std::io;
use std::process::ExitCode;

use barge_engine::EngineConfig;

use flags::{Flags, Parsed};
use settings::Settings;

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
    let (settings, config) = match prepare(&flags) {
        Ok(prepared) => prepared,
        Err(error) => return say(&mut io::stderr(), &format!("{error:#}"), ExitCode::FAILURE),
    };
    if flags.validate {
        return say(&mut io::stderr(), "configuration OK", ExitCode::SUCCESS);
    }
    let level = logging::start(settings.log_level);
    let pidfile = settings.pidfile.clone();
    match daemon::start(&pidfile, daemon::run(config, flags, settings, level)) {
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

fn prepare(flags: &Flags) -> anyhow::Result<(Settings, EngineConfig)> {
    let settings = Settings::load(flags.clone())?;
    let config = engine_config::from(&settings)?;
    if flags.validate {
        config.check()?;
    }
    Ok((settings, config))
}
