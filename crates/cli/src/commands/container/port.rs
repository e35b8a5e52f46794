//! `barge port`

use barge_api_types::{PortBinding, PortMap};
use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "port",
    about: "List port mappings or a specific mapping for the container",
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    aliases: &["container port", "port"],
    arity: Arity::Between(1, 2),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let client = session.client().await?;
    let container = client.containers().inspect(input.argument(0)).await?;
    let ports = container.network_settings.ports;
    let text = match input.arguments.get(1) {
        Some(port) => one(&ports, port).ok_or_else(|| {
            CliError::Invalid(format!(
                "Error: No public port '{port}' published for {}",
                input.argument(0)
            ))
        })?,
        None => all(&ports),
    };
    session.streams.write(text)
}

fn one(ports: &PortMap, port: &str) -> Option<String> {
    let key = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    let bindings = ports.get(&key)?.as_deref().filter(|bindings| !bindings.is_empty())?;
    Some(bindings.iter().map(|binding| format!("{}\n", address(binding))).collect())
}

fn all(ports: &PortMap) -> String {
    let mut keys: Vec<&String> = ports.keys().collect();
    keys.sort_by_key(|key| {
        let number = key.split('/').next().and_then(|number| number.parse::<u16>().ok());
        (number, key.as_str())
    });
    keys.into_iter()
        .flat_map(|key| {
            let bindings = ports.get(key).and_then(Option::as_deref).unwrap_or_default();
            bindings.iter().map(move |binding| format!("{key} -> {}\n", address(binding)))
        })
        .collect()
}

/// `address:port`, an IPv6 address in brackets.
fn address(binding: &PortBinding) -> String {
    if binding.host_ip.contains(':') {
        format!("[{}]:{}", binding.host_ip, binding.host_port)
    } else {
        format!("{}:{}", binding.host_ip, binding.host_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(ip: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: ip.to_owned(), host_port: port.to_owned() }
    }

    #[test]
    fn ports_are_listed_by_number() {
        let ports = PortMap::from([
            ("8080/tcp".to_owned(), Some(vec![binding("0.0.0.0", "80"), binding("::", "80")])),
            ("53/udp".to_owned(), Some(vec![binding("127.0.0.1", "5353")])),
            ("443/tcp".to_owned(), None),
        ]);
        assert_eq!(
            all(&ports),
            "53/udp -> 127.0.0.1:5353\n8080/tcp -> 0.0.0.0:80\n8080/tcp -> [::]:80\n"
        );
        assert_eq!(one(&ports, "8080").unwrap(), "0.0.0.0:80\n[::]:80\n");
        assert_eq!(one(&ports, "443"), None);
        assert_eq!(one(&ports, "53"), None);
    }
}
