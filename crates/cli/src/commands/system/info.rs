//! `barge info`

use barge_api_types::SystemInfo;
use barge_types::size::human_binary;
use clap::Args as _;
use serde_json::json;

use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::template::{Purpose, Template, go_escaped};
use crate::format::{INSPECT_HELP, json};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "info",
    about: "Display system-wide information",
    usage: "[OPTIONS]",
    aliases: &["system info", "info"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[arg(short, long, value_name = "string", help = INSPECT_HELP)]
    format: Option<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let format = flags.format.as_deref().filter(|format| !format.is_empty());
    let template = match format {
        None | Some("json") => None,
        Some(format) => {
            let purpose = Purpose::Only { name: "", go_type: "system.dockerInfo" };
            Some(Template::parse(format, purpose)?)
        }
    };
    let info = session.client().await?.system().info().await?;
    if format.is_none() {
        session.streams.write(text(&session.context_name(), &info))?;
        for warning in &info.warnings {
            session.streams.note(warning);
        }
        return Ok(());
    }
    let client = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Context": session.context_name(),
        "Debug": false,
        "Plugins": [],
        "Warnings": null,
    });
    let server = json::text(&info)?;
    let fields = server.strip_suffix('}').unwrap_or(&server);
    let value = format!("{fields},\"ClientInfo\":{client}}}");
    match template.map(|template| template.execute_text(&value)) {
        None => session.streams.line(go_escaped(&value)),
        Some(Ok(text)) => session.streams.line(text),
        // As in Docker, the end of the line comes nevertheless.
        Some(Err(error)) => session.streams.line("").and(Err(error)),
    }
}

fn text(context: &str, info: &SystemInfo) -> String {
    let mut text = format!(
        "Client:\n Version:    {}\n Context:    {context}\n Debug Mode: false\n\nServer:\n",
        env!("CARGO_PKG_VERSION")
    );
    // A name without a value is what the lines below it are about.
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let value = value.to_string();
        let between = if value.is_empty() && name.starts_with(' ') { "" } else { ": " };
        text.push_str(&format!(" {name}{between}{value}\n"));
    };
    line("Containers", &info.containers);
    line(" Running", &info.containers_running);
    line(" Paused", &info.containers_paused);
    line(" Stopped", &info.containers_stopped);
    line("Images", &info.images);
    line("Server Version", &info.server_version);
    line("Storage Driver", &info.driver);
    for [name, value] in &info.driver_status {
        line(&format!(" {name}"), value);
    }
    line("Logging Driver", &info.logging_driver);
    line("Cgroup Driver", &info.cgroup_driver);
    line("Cgroup Version", &info.cgroup_version);
    line("Plugins", &"");
    line(" Volume", &info.plugins.volume.join(" "));
    line(" Network", &info.plugins.network.join(" "));
    line(" Log", &info.plugins.log.join(" "));
    line("Swarm", &info.swarm.local_node_state);
    let runtimes: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
    line("Runtimes", &runtimes.join(" "));
    line("Default Runtime", &info.default_runtime);
    if !info.security_options.is_empty() {
        line("Security Options", &"");
        for option in &info.security_options {
            // `name=seccomp,profile=builtin`
            let mut words = option.split(',');
            line(
                &format!(" {}", words.next().unwrap_or_default().trim_start_matches("name=")),
                &"",
            );
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                line(&format!("  {}{rest}", first.to_uppercase()), &value);
            }
        }
    }
    line("Kernel Version", &info.kernel_version);
    line("Operating System", &info.operating_system);
    line("OSType", &info.os_type);
    line("Architecture", &info.architecture);
    line("CPUs", &info.ncpu);
    line("Total Memory", &human_binary(u64::try_from(info.mem_total).unwrap_or(0)));
    line("Name", &info.name);
    line("ID", &info.id);
    line("Docker Root Dir", &info.docker_root_dir);
    line("Debug Mode", &info.debug);
    line("Experimental", &info.experimental_build);
    line("Live Restore Enabled", &info.live_restore_enabled);
    text.replace(": \n", ":\n")
}
