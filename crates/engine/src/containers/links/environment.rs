//! What a container is told of one that it is linked to, as variables: Docker's "legacy container links".

use std::net::Ipv4Addr;

use barge_types::{Port, Protocol};

/// The other end of a link.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    /// Whole: `/web/db`.
    pub(super) name: &'a str,
    pub(super) alias: &'a str,
    pub(super) address: Ipv4Addr,
    /// Those it exposes.
    pub(super) ports: Vec<Port>,
    /// Its own variables.
    pub(super) env: &'a [String],
}

/// Variables of the other end that are about it alone.
const PRIVATE: [&str; 2] = ["HOME", "PATH"];

/// All variables of one link, in Docker's order.
pub(super) fn variables(mut peer: Peer<'_>) -> Vec<String> {
    let prefix = peer.alias.to_uppercase().replace('-', "_");
    peer.ports.sort_by_key(|port| (port.number, port.protocol != Protocol::Tcp, *port));
    let address = peer.address;
    let mut all = Vec::new();
    if let Some(first) = peer.ports.first() {
        all.push(format!("{prefix}_PORT={}", url(address, *first)));
    }
    for run in runs(&peer.ports) {
        all.extend(range(&prefix, address, run));
    }
    for port in &peer.ports {
        let (own, protocol) = (name(&prefix, *port), port.protocol);
        all.push(format!("{own}={}", url(address, *port)));
        all.push(format!("{own}_ADDR={address}"));
        all.push(format!("{own}_PORT={}", port.number));
        all.push(format!("{own}_PROTO={protocol}"));
    }
    all.push(format!("{prefix}_NAME={}", peer.name));
    let told = peer.env.iter().filter_map(|variable| variable.split_once('='));
    let told = told.filter(|(name, _)| !PRIVATE.contains(name));
    all.extend(told.map(|(name, value)| format!("{prefix}_ENV_{name}={value}")));
    all
}

/// Ports that follow each other without a gap, where there is more than one. As Docker counts, one that comes with two
/// protocols makes up for one that is missing.
fn runs(ports: &[Port]) -> Vec<&[Port]> {
    let mut runs = Vec::new();
    let mut rest = ports;
    while let Some(first) = rest.first() {
        let follows = |(distance, port): &(usize, &Port)| {
            usize::from(port.number) <= usize::from(first.number) + distance
        };
        let length = rest.iter().enumerate().take_while(follows).count();
        let (run, others) = rest.split_at(length);
        if length > 1 {
            runs.push(run);
        }
        rest = others;
    }
    runs
}

fn range(prefix: &str, address: Ipv4Addr, run: &[Port]) -> Vec<String> {
    let [first, .., last] = run else { return Vec::new() };
    let own = name(prefix, *first);
    // Under the number of the first, with the protocol of the last.
    let end = name(prefix, Port { protocol: last.protocol, ..*first });
    vec![
        format!("{own}_START={}", url(address, *first)),
        format!("{own}_ADDR={address}"),
        format!("{own}_PROTO={}", first.protocol),
        format!("{own}_PORT_START={}", first.number),
        format!("{end}_END={}", url(address, *last)),
        format!("{end}_PORT_END={}", last.number),
    ]
}

fn name(prefix: &str, port: Port) -> String {
    format!("{prefix}_PORT_{}_{}", port.number, port.protocol.to_string().to_uppercase())
}

fn url(address: Ipv4Addr, port: Port) -> String {
    format!("{}://{address}:{}", port.protocol, port.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ports: &[&str], env: &[&str]) -> Vec<String> {
        let env: Vec<String> = env.iter().map(|&variable| variable.to_owned()).collect();
        let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
        let address = Ipv4Addr::new(172, 17, 0, 2);
        variables(Peer { name: "/web/my-db", alias: "my-db", address, ports, env: &env })
    }

    #[test]
    fn a_port_has_five_variables_and_the_link_a_name() {
        assert_eq!(
            told(&["5432/tcp"], &["A=1=2", "HOME=/x", "PATH=/bin", "EMPTY=", "NONE"]),
            [
                "MY_DB_PORT=tcp://172.17.0.2:5432",
                "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
                "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_5432_TCP_PORT=5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_A=1=2",
                "MY_DB_ENV_EMPTY=",
            ]
        );
    }

    #[test]
    fn without_ports_only_the_name_is_told() {
        assert_eq!(told(&[], &[]), ["MY_DB_NAME=/web/my-db"]);
    }

    #[test]
    fn the_lowest_port_is_the_ports_and_neighbours_are_a_range() {
        let all = told(&["82/tcp", "81/udp", "90/tcp", "80/tcp", "81/tcp", "53/udp"], &[]);
        assert_eq!(all[0], "MY_DB_PORT=udp://172.17.0.2:53");
        assert_eq!(
            all[1..7],
            [
                "MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80",
                "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_80_TCP_PORT_START=80",
                "MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:82",
                "MY_DB_PORT_80_TCP_PORT_END=82",
            ]
        );
        let singles: Vec<&str> =
            all[7..].iter().map(|line| line.split('=').next().unwrap()).collect();
        let ports = ["53_UDP", "80_TCP", "81_TCP", "81_UDP", "82_TCP", "90_TCP"];
        let names = ports.map(|port| format!("MY_DB_PORT_{port}"));
        assert!(names.iter().all(|name| singles.contains(&name.as_str())), "{singles:?}");
        assert_eq!(singles.len(), 6 * 4 + 1);
    }

    #[test]
    fn the_end_of_a_range_has_its_own_protocol() {
        let all = told(&["80/tcp", "81/udp"], &[]);
        assert_eq!(all[5], "MY_DB_PORT_80_UDP_END=udp://172.17.0.2:81");
        assert_eq!(all[6], "MY_DB_PORT_80_UDP_PORT_END=81");
    }
}
