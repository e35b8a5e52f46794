//! `barge version`

use barge_api_types::SystemVersion;
use clap::Args as _;
use serde_json::Value;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::format::template::{Purpose, Template, go_escaped};
use crate::format::{INSPECT_HELP, json};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "version",
    about: "Show the version information",
    usage: "[OPTIONS]",
    aliases: &[],
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

const PURPOSE: Purpose = Purpose::Only { name: "version", go_type: "system.versionInfo" };

/// The architecture by the name that Docker gives it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let format = match flags.format.as_deref() {
        None | Some("") => None,
        Some("json") => Some(None),
        Some(format) => Some(Some(Template::parse(format, PURPOSE)?)),
    };
    let server =
        async { Ok::<_, CliError>(session.client().await?.system().version().await?) }.await;
    let context = session.context_name();
    let text = match format {
        None => {
            let server = server.as_ref().map(server_text).unwrap_or_default();
            client_text(&context) + &server
        }
        Some(template) => {
            let value = value(&context, server.as_ref().ok())?;
            match template {
                None => go_escaped(&value) + "\n",
                Some(template) => match template.execute_text(&value) {
                    Ok(text) => text + "\n",
                    // As in Docker, the end of the line comes nevertheless.
                    Err(error) => {
                        session.streams.line("")?;
                        return Err(error);
                    }
                },
            }
        }
    };
    session.streams.write(text)?;
    server.map(drop)
}

/// Both sides, in Docker's order.
fn value(context: &str, server: Option<&SystemVersion>) -> Result<String> {
    let newest = barge_client::ApiVersion::NEWEST.to_string();
    let client = [
        ("Version", env!("CARGO_PKG_VERSION")),
        ("ApiVersion", &newest),
        ("DefaultAPIVersion", &newest),
        ("Os", std::env::consts::OS),
        ("Arch", architecture()),
        ("Context", context),
    ];
    let client: Vec<String> =
        client.iter().map(|(name, value)| format!("{name:?}:{}", Value::from(*value))).collect();
    let server = json::text(&server)?;
    Ok(format!("{{\"Client\":{{{}}},\"Server\":{server}}}", client.join(",")))
}

fn client_text(context: &str) -> String {
    format!(
        "Client:\n Version:           {}\n API version:       {}\n OS/Arch:           {}/{}\n \
         Context:           {context}\n",
        env!("CARGO_PKG_VERSION"),
        barge_client::ApiVersion::NEWEST,
        std::env::consts::OS,
        architecture(),
    )
}

fn server_text(server: &SystemVersion) -> String {
    let mut lines = vec![
        format!("\nServer: {}", server.platform.name),
        " Engine:".to_owned(),
        format!("  Version:          {}", server.version),
        format!(
            "  API version:      {} (minimum version {})",
            server.api_version, server.min_api_version
        ),
    ];
    let known = [
        ("Git commit:", &server.git_commit),
        ("Built:", &server.build_time),
        ("Kernel version:", &server.kernel_version),
    ];
    for (name, value) in known.into_iter().filter(|(_, value)| !value.is_empty()) {
        lines.push(format!("  {name:17} {value}"));
    }
    lines.push(format!("  OS/Arch:          {}/{}", server.os, server.arch));
    lines.push(format!("  Experimental:     {}", server.experimental));
    for part in server.components.iter().filter(|part| part.name != "Engine") {
        lines.push(format!(" {}:", part.name));
        lines.push(format!("  Version:          {}", part.version));
        if let Some(commit) = part.details.get("GitCommit").filter(|commit| !commit.is_empty()) {
            lines.push(format!("  GitCommit:        {commit}"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
