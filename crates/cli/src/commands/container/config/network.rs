//! Networks: which to connect to and as what, names and addresses of others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use barge_api_types::{EndpointIpamConfig, EndpointSettings};

use super::flags::ContainerFlags;
use super::mounts::fields;
use super::text::Refused;
use crate::error::{CliError, Result};

type Parsed<T> = std::result::Result<T, Refused>;

/// One `--network`: a name, or `name=x,alias=y,ip=z`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NetworkAttachment {
    pub(super) name: String,
    aliases: Vec<String>,
    links: Vec<String>,
    ipv4: String,
    ipv6: String,
    link_local: Vec<String>,
    mac: String,
    driver_opts: BTreeMap<String, String>,
    gw_priority: i64,
}

/// `--network`
pub(super) fn attachment(text: &str) -> Parsed<NetworkAttachment> {
    let mut network = NetworkAttachment::default();
    if !text.contains('=') {
        text.clone_into(&mut network.name);
        return Ok(network);
    }
    for field in fields(text) {
        let (key, value) =
            field.split_once('=').ok_or_else(|| Refused(format!("invalid field {field}")))?;
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut network.name),
            "alias" => network.aliases.push(value.to_owned()),
            "ip" => value.clone_into(&mut network.ipv4),
            "ip6" => value.clone_into(&mut network.ipv6),
            "mac-address" => value.clone_into(&mut network.mac),
            "link-local-ip" => network.link_local.push(value.to_owned()),
            "driver-opt" => {
                let (name, value) = value.split_once('=').ok_or_else(|| {
                    Refused("invalid key value pair format in driver options".to_owned())
                })?;
                network.driver_opts.insert(name.to_ascii_lowercase(), value.to_ascii_lowercase());
            }
            "gw-priority" => {
                network.gw_priority = value.parse().map_err(|_| {
                    Refused(format!("invalid gw-priority ({value}): invalid syntax"))
                })?;
            }
            key => return Err(Refused(format!("invalid field key {key}"))),
        }
    }
    Ok(network)
}

impl NetworkAttachment {
    fn is_user_defined(&self) -> bool {
        !matches!(self.name.as_str(), "" | "default" | "bridge" | "host" | "none")
            && !self.name.starts_with("container:")
    }

    fn into_endpoint(self) -> EndpointSettings {
        let has_addresses =
            !self.ipv4.is_empty() || !self.ipv6.is_empty() || !self.link_local.is_empty();
        EndpointSettings {
            ipam_config: has_addresses.then_some(EndpointIpamConfig {
                ipv4_address: self.ipv4,
                ipv6_address: self.ipv6,
                link_local_ips: self.link_local,
            }),
            links: self.links,
            aliases: self.aliases,
            mac_address: self.mac,
            driver_opts: self.driver_opts,
            gw_priority: self.gw_priority,
            ..EndpointSettings::default()
        }
    }
}

/// The network mode and the endpoints that the flags describe.
pub(super) fn endpoints(
    flags: &ContainerFlags,
) -> Result<(String, BTreeMap<String, Option<EndpointSettings>>)> {
    let mut networks = flags.network.clone();
    if networks.is_empty() {
        networks
            .push(NetworkAttachment { name: "default".to_owned(), ..NetworkAttachment::default() });
    }
    let mixed = networks.iter().any(NetworkAttachment::is_user_defined)
        && networks.iter().any(|network| !network.is_user_defined());
    if let Some(first) = networks.first_mut() {
        add_flags(first, flags)?;
    }
    let mode = networks.first().map(|network| network.name.clone()).unwrap_or_default();
    let mut endpoints = BTreeMap::new();
    for network in networks {
        if network.name.is_empty() {
            return Err(CliError::Invalid("no name set for network".to_owned()));
        }
        if !network.is_user_defined() && !network.aliases.is_empty() {
            return Err(CliError::Invalid(
                "network-scoped aliases are only supported for user-defined networks".to_owned(),
            ));
        }
        if endpoints.contains_key(&network.name) {
            return Err(CliError::Invalid(format!(
                "network {:?} is specified multiple times",
                network.name
            )));
        }
        if !network.mac.is_empty() && !is_mac_address(&network.mac) {
            return Err(CliError::Invalid(format!("{} is not a valid mac address", network.mac)));
        }
        endpoints.insert(network.name.clone(), Some(network.into_endpoint()));
    }
    if mixed {
        return Err(CliError::Invalid(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                .to_owned(),
        ));
    }
    Ok((mode, endpoints))
}

/// What single flags say about the first network.
fn add_flags(first: &mut NetworkAttachment, flags: &ContainerFlags) -> Result<()> {
    let clash = |flag: &str, own: &str| {
        Err(CliError::Invalid(format!(
            "conflicting options: cannot specify both --{flag} and per-network {own}"
        )))
    };
    if !flags.network_alias.is_empty() && !first.aliases.is_empty() {
        return clash("network-alias", "alias");
    }
    first.aliases.extend(flags.network_alias.iter().cloned());
    if first.is_user_defined() {
        first.links.clone_from(&flags.link);
    }
    for (flag, value, own, what) in [
        ("ip", &flags.ip, &mut first.ipv4, "IPv4 address"),
        ("ip6", &flags.ip6, &mut first.ipv6, "IPv6 address"),
        ("mac-address", &flags.mac_address, &mut first.mac, "MAC address"),
    ] {
        if value.is_empty() {
            continue;
        }
        if !own.is_empty() {
            return clash(flag, what);
        }
        own.clone_from(value);
    }
    if !flags.link_local_ip.is_empty() && !first.link_local.is_empty() {
        return clash("link-local-ip", "link-local IP addresses");
    }
    first.link_local.extend(flags.link_local_ip.iter().cloned());
    Ok(())
}

/// As Go's `net.ParseMAC`: 6, 8 or 20 bytes, separated by `:` or `-`, or two at a time by `.`.
pub(super) fn is_mac_address(text: &str) -> bool {
    let fits = |separator: char, digits: usize| {
        let groups: Vec<&str> = text.split(separator).collect();
        let is_group = |group: &&str| {
            group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        [6, 8, 20].contains(&(groups.len() * digits / 2)) && groups.iter().all(is_group)
    };
    fits(':', 2) || fits('-', 2) || fits('.', 4)
}

/// `--add-host name:address`, also with `=`.
pub(in crate::commands) fn extra_host(text: &str) -> Parsed<String> {
    let bad = || Refused(format!("bad format for add-host: {text:?}"));
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(bad)?;
    if address == "host-gateway" {
        return Ok(format!("{name}:{address}"));
    }
    let address =
        address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    if address.trim().parse::<IpAddr>().is_err() {
        return Err(Refused(format!("invalid IP address in add-host: {address:?}")));
    }
    Ok(format!("{name}:{address}"))
}

/// `--dns`
pub(super) fn dns_server(text: &str) -> Parsed<String> {
    let address: IpAddr = text
        .trim()
        .parse()
        .map_err(|_| Refused(format!("IP address is not correctly formatted: {text}")))?;
    Ok(address.to_string())
}

/// `--dns-search`; `.` is none.
pub(super) fn dns_search(text: &str) -> Parsed<String> {
    let name = text.trim();
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    let has_letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    if name == "." || (has_letter && name.len() < 255 && labels.split('.').all(is_label)) {
        Ok(name.to_owned())
    } else {
        Err(Refused(format!("{name} is not a valid domain")))
    }
}

/// `--link container[:alias]`
pub(super) fn link(text: &str) -> Parsed<String> {
    match text.split(':').count() {
        _ if text.is_empty() => Err(Refused("empty string specified for links".to_owned())),
        1 | 2 => Ok(text.to_owned()),
        _ => Err(Refused(format!("bad format for links: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(flags: &ContainerFlags) -> String {
        endpoints(flags).unwrap_err().to_string()
    }

    fn networks(texts: &[&str]) -> ContainerFlags {
        ContainerFlags {
            network: texts.iter().map(|text| attachment(text).unwrap()).collect(),
            ..ContainerFlags::default()
        }
    }

    #[test]
    fn flags_describe_the_first_network() {
        let mut flags = networks(&["a", "name=b,alias=x,driver-opt=k=v,gw-priority=5"]);
        flags.ip = "10.0.0.9".to_owned();
        flags.network_alias = vec!["web".to_owned()];
        flags.mac_address = "92:d0:c6:0a:29:33".to_owned();
        let (mode, endpoints) = endpoints(&flags).unwrap();
        assert_eq!(mode, "a");
        let a = endpoints["a"].clone().unwrap();
        assert_eq!(a.ipam_config.unwrap().ipv4_address, "10.0.0.9");
        assert_eq!(a.aliases, ["web"]);
        assert_eq!(a.mac_address, "92:d0:c6:0a:29:33");
        let b = endpoints["b"].clone().unwrap();
        assert_eq!((b.aliases, b.gw_priority), (vec!["x".to_owned()], 5));
        assert_eq!(b.driver_opts["k"], "v");
    }

    #[test]
    fn without_a_network_it_is_the_default_one() {
        let (mode, endpoints) = endpoints(&ContainerFlags::default()).unwrap();
        assert_eq!(mode, "default");
        assert_eq!(endpoints["default"], Some(EndpointSettings::default()));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert_eq!(refused(&networks(&[""])), "no name set for network");
        assert_eq!(refused(&networks(&["a", "a"])), "network \"a\" is specified multiple times");
        assert_eq!(
            refused(&networks(&["host", "a"])),
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        );
        let mut flags = networks(&["bridge"]);
        flags.network_alias = vec!["x".to_owned()];
        assert_eq!(
            refused(&flags),
            "network-scoped aliases are only supported for user-defined networks"
        );
        let mut flags = networks(&["name=a,ip=1.2.3.4"]);
        flags.ip = "1.2.3.5".to_owned();
        assert_eq!(
            refused(&flags),
            "conflicting options: cannot specify both --ip and per-network IPv4 address"
        );
    }

    #[test]
    fn names_and_addresses_are_checked_in_dockers_words() {
        let text = |result: Parsed<String>| match result {
            Ok(text) | Err(Refused(text)) => text,
        };
        assert_eq!(text(extra_host("a:1.2.3.4")), "a:1.2.3.4");
        assert_eq!(text(extra_host("a=[::1]")), "a:::1");
        assert_eq!(text(extra_host("a:host-gateway")), "a:host-gateway");
        assert_eq!(text(extra_host("x")), "bad format for add-host: \"x\"");
        assert_eq!(text(extra_host("a:b")), "invalid IP address in add-host: \"b\"");
        assert_eq!(text(dns_server("x")), "IP address is not correctly formatted: x");
        assert_eq!(text(dns_search("example.com.")), "example.com.");
        assert_eq!(text(dns_search(".")), ".");
        assert_eq!(text(dns_search("=x")), "=x is not a valid domain");
        assert_eq!(text(link("a:b:c")), "bad format for links: a:b:c");
        assert!(is_mac_address("92:d0:c6:0a:29:33") && is_mac_address("92d0.c60a.2933"));
        assert!(!is_mac_address("x") && !is_mac_address("92:d0:c6:0a:29"));
    }
}
