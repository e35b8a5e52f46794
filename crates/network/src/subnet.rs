//! Which subnet a bridge gets: what was asked for, or the first of Docker's default pools that is free on the host.

use std::net::IpAddr;

use barge_netlink::{Socket, address, link, route};
use ipnet::Ipv4Net;

use crate::error::{NetworkError, Result};

/// A subnet that the host uses already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    /// The address with its prefix, or the route's destination.
    pub(crate) subnet: Ipv4Net,
    /// Of which interface.
    pub(crate) interface: String,
}

/// The pools in the order they are tried, each with the bridge's address.
fn default_pools() -> impl Iterator<Item = Ipv4Net> {
    let large = (17..=31).map(|second| [172, second, 0, 1]).map(|octets| (octets, 16));
    let small = (0..16).map(|sixteenth| [192, 168, sixteenth * 16, 1]).map(|octets| (octets, 20));
    large.chain(small).filter_map(|(octets, prefix)| Ipv4Net::new(octets.into(), prefix).ok())
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The address for a bridge.
pub(crate) fn choose(
    wanted: Option<Ipv4Net>,
    before: Option<Ipv4Net>,
    taken: &[Taken],
) -> Result<Ipv4Net> {
    let collision = |subnet: &Ipv4Net| taken.iter().find(|taken| overlap(&taken.subnet, subnet));
    if let Some(wanted) = wanted {
        return match collision(&wanted) {
            None => Ok(wanted),
            Some(taken) => Err(NetworkError::SubnetCollides {
                wanted: wanted.to_string(),
                existing: format!("{} ({})", taken.subnet, taken.interface),
            }),
        };
    }
    before
        .into_iter()
        .chain(default_pools())
        .find(|pool| collision(pool).is_none())
        .ok_or(NetworkError::NoFreePool)
}

/// What the host uses, without what belongs to the link with this number.
pub(crate) fn taken(socket: &mut Socket, without: Option<u32>) -> Result<Vec<Taken>> {
    let fail = || NetworkError::netlink("find out which subnets are in use");
    let links = link::list(socket).map_err(fail())?;
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or_else(|| format!("link {index}"), |link| link.name.clone())
    };
    let addresses = address::list(socket).map_err(fail())?;
    let routes = route::list(socket).map_err(fail())?;
    let of_addresses =
        addresses.iter().map(|address| (Some(address.link), address.address, address.prefix));
    let of_routes = routes.iter().filter_map(|route| {
        let (address, prefix) = route.destination?;
        Some((route.link, address, prefix))
    });
    Ok(of_addresses
        .chain(of_routes)
        .filter(|(link, ..)| link.is_none() || *link != without)
        .filter_map(|(link, address, prefix)| match address {
            IpAddr::V4(address) if prefix > 0 => Some(Taken {
                subnet: Ipv4Net::new(address, prefix).ok()?,
                interface: link.map_or_else(|| "several interfaces".to_owned(), name),
            }),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn used(subnets: &[&str]) -> Vec<Taken> {
        subnets
            .iter()
            .map(|subnet| Taken { subnet: net(subnet), interface: "eth0".to_owned() })
            .collect()
    }

    #[test]
    fn the_first_free_pool_is_taken() {
        assert_eq!(choose(None, None, &[]).unwrap(), net("172.17.0.1/16"));
        assert_eq!(choose(None, None, &used(&["172.17.9.9/24"])).unwrap(), net("172.18.0.1/16"));
        assert_eq!(choose(None, None, &used(&["172.16.0.0/12"])).unwrap(), net("192.168.0.1/20"));
        assert_eq!(
            choose(None, None, &used(&["172.16.0.0/12", "192.168.1.1/24"])).unwrap(),
            net("192.168.16.1/20")
        );
        let all = used(&["172.16.0.0/12", "192.168.0.0/16"]);
        assert!(matches!(choose(None, None, &all), Err(NetworkError::NoFreePool)));
    }

    #[test]
    fn what_it_was_before_is_kept_unless_it_is_taken_now() {
        let before = Some(net("172.20.0.1/16"));
        assert_eq!(choose(None, before, &[]).unwrap(), net("172.20.0.1/16"));
        assert_eq!(choose(None, before, &used(&["172.20.1.0/24"])).unwrap(), net("172.17.0.1/16"));
    }

    #[test]
    fn a_wanted_subnet_that_collides_is_refused_and_both_are_named() {
        let error = choose(Some(net("10.1.0.1/16")), None, &used(&["10.0.0.5/8"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bridge address 10.1.0.1/16 overlaps with 10.0.0.5/8 (eth0) of the host"
        );
        assert_eq!(
            choose(Some(net("10.1.0.1/16")), None, &used(&["10.2.0.0/16"])).unwrap(),
            net("10.1.0.1/16")
        );
    }
}
