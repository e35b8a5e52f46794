//! The settings in the engine's own terms.

use anyhow::Context as _;
use barge_engine::{ContainerDefaults, EngineConfig};
use barge_network::{BridgeConfig, FirewallChoice, InterfaceName, NetworkConfig, parse_cidr};
use tracing_subscriber::filter::LevelFilter;

use crate::settings::{NetworkSettings, Settings};

/// The name that is taken when none is given.
const BRIDGE: &str = "barge0";
const CGROUP_PARENT: &str = "barge";

/// Parses what the engine wants parsed.
pub(crate) fn from(settings: &Settings) -> anyhow::Result<EngineConfig> {
    let mut config = EngineConfig::new(settings.data_root.clone(), settings.exec_root.clone());
    set_network(&mut config.network, &settings.network)?;
    let containers = settings.containers.clone();
    config.defaults = ContainerDefaults {
        cgroup_parent: containers.cgroup_parent.unwrap_or_else(|| CGROUP_PARENT.to_owned()),
        log: containers.log,
        ulimits: containers.ulimits,
        dns: containers.dns,
        dns_search: containers.dns_search,
        dns_options: containers.dns_opts,
        shm_size: containers.shm_size,
        ipc_mode: settings.isolation.ipc_mode.clone(),
        cgroupns_mode: settings.isolation.cgroupns_mode.clone(),
        init: settings.isolation.init,
        security: settings.isolation.security.clone(),
        realtime: settings.isolation.realtime,
    };
    config.storage_driver.clone_from(&settings.storage_driver);
    config.storage_options.clone_from(&settings.storage_opts);
    settings.registries.check()?;
    config.registries.clone_from(&settings.registries);
    config.labels.clone_from(&settings.labels);
    config.userns_remap.clone_from(&settings.isolation.userns_remap);
    config.runtimes.clone_from(&settings.runtimes.runtimes);
    config.default_runtime.clone_from(&settings.runtimes.default);
    if !settings.runtimes.cdi_folders.is_empty() {
        config.cdi_folders.clone_from(&settings.runtimes.cdi_folders);
    }
    config.debug = settings.log_level >= LevelFilter::DEBUG;
    Ok(config)
}

fn set_network(config: &mut NetworkConfig, settings: &NetworkSettings) -> anyhow::Result<()> {
    if settings.iptables == Some(false) {
        config.firewall = FirewallChoice::None;
    }
    if let Some(forward) = settings.ip_forward {
        config.ip_forward = forward.into();
    }
    let name = settings.bridge.as_deref().filter(|name| !name.is_empty()).unwrap_or(BRIDGE);
    if name == "none" {
        config.bridge = None;
        return Ok(());
    }
    if name != BRIDGE {
        config.table = table_name(name).parse()?;
    }
    let mut bridge = BridgeConfig::new(name.parse::<InterfaceName>()?);
    bridge.address = settings.bip.as_deref().map(parse_cidr).transpose().context("bip")?;
    bridge.fixed_cidr =
        settings.fixed_cidr.as_deref().map(parse_cidr).transpose().context("fixed-cidr")?;
    bridge.gateway = settings
        .gateway
        .as_deref()
        .map(|text| text.parse().with_context(|| format!("default-gateway: {text:?}")))
        .transpose()?;
    bridge.mtu = settings.mtu;
    if let Some(icc) = settings.icc {
        bridge.icc = icc.into();
    }
    if let Some(masquerade) = settings.ip_masq {
        bridge.masquerade = masquerade.into();
    }
    if let Some(text) = settings.ip.as_deref() {
        bridge.default_binding = text.parse().with_context(|| format!("ip: {text:?}"))?;
    }
    config.bridge = Some(bridge);
    Ok(())
}

/// Two daemons with a bridge each also have a table of rules each.
fn table_name(bridge: &str) -> String {
    let legal = |character: char| {
        let is_legal = character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
        if is_legal { character } else { '_' }
    };
    format!("barge-{}", bridge.chars().map(legal).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(settings: &NetworkSettings) -> anyhow::Result<NetworkConfig> {
        let mut config = NetworkConfig::new("/d".into(), "/e".into());
        set_network(&mut config, settings).map(|()| config)
    }

    #[test]
    fn nothing_said_is_the_networks_default() {
        let config = network(&NetworkSettings::default()).unwrap();
        assert_eq!(config.bridge.unwrap().name.as_str(), "barge0");
        assert_eq!(config.table.as_str(), "barge");
        assert_eq!(config.firewall, FirewallChoice::Nftables);
    }

    #[test]
    fn everything_said_is_taken_over() {
        let text = |text: &str| Some(text.to_owned());
        let config = network(&NetworkSettings {
            bridge: text("br@1"),
            bip: text("10.1.0.1/16"),
            fixed_cidr: text("10.1.2.0/24"),
            gateway: text("10.1.0.9"),
            mtu: Some(1400),
            ip: text("127.0.0.1"),
            icc: Some(false),
            ip_forward: Some(false),
            ip_masq: Some(false),
            iptables: Some(false),
        })
        .unwrap();
        assert_eq!(config.table.as_str(), "barge-br_1");
        assert_eq!(config.firewall, FirewallChoice::None);
        assert!(!config.ip_forward.is_on());
        let bridge = config.bridge.unwrap();
        assert_eq!(bridge.address.unwrap().to_string(), "10.1.0.1/16");
        assert_eq!(bridge.fixed_cidr.unwrap().to_string(), "10.1.2.0/24");
        assert_eq!(bridge.gateway.unwrap().to_string(), "10.1.0.9");
        assert_eq!(bridge.mtu, Some(1400));
        assert_eq!(bridge.default_binding.to_string(), "127.0.0.1");
        assert!(!bridge.icc.is_on() && !bridge.masquerade.is_on());
    }

    #[test]
    fn no_bridge_is_no_default_network() {
        let bridge = Some("none".to_owned());
        assert!(
            network(&NetworkSettings { bridge, ..NetworkSettings::default() })
                .unwrap()
                .bridge
                .is_none()
        );
    }

    #[test]
    fn bad_values_are_named() {
        for (settings, name) in [
            (NetworkSettings { bip: Some("x".into()), ..NetworkSettings::default() }, "bip"),
            (NetworkSettings { ip: Some("x".into()), ..NetworkSettings::default() }, "ip"),
            (
                NetworkSettings { gateway: Some("x".into()), ..NetworkSettings::default() },
                "default-gateway",
            ),
            (NetworkSettings { bridge: Some("a/b".into()), ..NetworkSettings::default() }, "a/b"),
        ] {
            let error = format!("{:#}", network(&settings).unwrap_err());
            assert!(error.contains(name), "{error}");
        }
    }
}
