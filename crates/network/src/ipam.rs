//! Which addresses of a subnet are in use: a bitmap.
//!
//! Addresses are handed out in rising order and not again until the end of the range was reached, as Docker does: who
//! still holds a connection to a container that is gone does not meet the next one.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Why no address is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All are in use.
    Exhausted,
    /// This one is in use.
    InUse,
    /// This one is not of the subnet, or is no host's address.
    Outside,
}

/// The addresses of a subnet.
#[derive(Debug)]
pub(crate) struct AddressPool {
    subnet: Ipv4Net,
    /// The first and the last address that are handed out unasked.
    range: (u32, u32),
    /// Where the search goes on.
    next: u32,
    /// One bit for each address from the subnet's first on; grown as needed.
    used: Vec<u64>,
}

impl AddressPool {
    /// All addresses of the subnet but its first, its last and the gateway; unasked only those of `range`.
    pub(crate) fn new(subnet: Ipv4Net, range: Option<Ipv4Net>, gateway: Ipv4Addr) -> Self {
        let (first, last) = hosts(subnet);
        let range = range.map_or((first, last), |range| {
            (range.network().to_bits().max(first), range.broadcast().to_bits().min(last))
        });
        let mut pool = Self { subnet: subnet.trunc(), range, next: range.0, used: Vec::new() };
        pool.set(gateway.to_bits());
        pool
    }

    fn place(&self, address: u32) -> (usize, u64) {
        let offset = address - self.subnet.network().to_bits();
        ((offset / 64) as usize, 1 << (offset % 64))
    }

    fn is_used(&self, address: u32) -> bool {
        let (word, bit) = self.place(address);
        self.used.get(word).is_some_and(|used| used & bit != 0)
    }

    fn set(&mut self, address: u32) {
        if self.subnet.contains(&Ipv4Addr::from_bits(address)) {
            let (word, bit) = self.place(address);
            if self.used.len() <= word {
                self.used.resize(word + 1, 0);
            }
            self.used[word] |= bit;
        }
    }

    /// The next free address.
    pub(crate) fn allocate(&mut self) -> Result<Ipv4Addr, Refused> {
        let (first, last) = self.range;
        let found = (self.next..=last)
            .chain(first..self.next)
            .find(|address| !self.is_used(*address))
            .ok_or(Refused::Exhausted)?;
        self.set(found);
        self.next = if found >= last { first } else { found + 1 };
        Ok(Ipv4Addr::from_bits(found))
    }

    /// This very address.
    pub(crate) fn reserve(&mut self, address: Ipv4Addr) -> Result<(), Refused> {
        let (first, last) = hosts(self.subnet);
        if !(first..=last).contains(&address.to_bits()) {
            Err(Refused::Outside)
        } else if self.is_used(address.to_bits()) {
            Err(Refused::InUse)
        } else {
            self.set(address.to_bits());
            self.next = self
                .next
                .max(address.to_bits().saturating_add(1).min(self.range.1))
                .max(self.range.0);
            Ok(())
        }
    }

    /// Gives an address back; one that is not ours is none of our business.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        if self.subnet.contains(&address) {
            let (word, bit) = self.place(address.to_bits());
            if let Some(used) = self.used.get_mut(word) {
                *used &= !bit;
            }
        }
    }
}

/// The first and the last address that a host can have.
fn hosts(subnet: Ipv4Net) -> (u32, u32) {
    let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
    if subnet.prefix_len() >= 31 { (first, last) } else { (first + 1, last - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, range: Option<&str>) -> AddressPool {
        let subnet: Ipv4Net = subnet.parse().unwrap();
        AddressPool::new(subnet.trunc(), range.map(|range| range.parse().unwrap()), subnet.addr())
    }

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_rise_and_are_not_given_again_at_once() {
        let mut pool = pool("172.17.0.1/16", None);
        assert_eq!(pool.allocate(), Ok(address("172.17.0.2")));
        pool.release(address("172.17.0.2"));
        assert_eq!(pool.allocate(), Ok(address("172.17.0.3")));
    }

    #[test]
    fn after_the_last_the_first_free_one_follows() {
        let mut pool = pool("10.0.0.1/29", None);
        let all: Vec<_> = (0..5).map(|_| pool.allocate().unwrap().to_string()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(pool.allocate(), Err(Refused::Exhausted));
        pool.release(address("10.0.0.4"));
        assert_eq!(pool.allocate(), Ok(address("10.0.0.4")));
    }

    #[test]
    fn a_wanted_address_is_given_once_and_must_belong_to_the_subnet() {
        let mut pool = pool("10.0.0.1/24", None);
        assert_eq!(pool.reserve(address("10.0.0.77")), Ok(()));
        assert_eq!(pool.reserve(address("10.0.0.77")), Err(Refused::InUse));
        for outside in ["10.0.0.0", "10.0.0.255", "10.0.1.5"] {
            assert_eq!(pool.reserve(address(outside)), Err(Refused::Outside), "{outside}");
        }
        assert_eq!(pool.reserve(address("10.0.0.1")), Err(Refused::InUse));
    }

    #[test]
    fn a_range_limits_what_is_given_unasked() {
        let mut pool = pool("10.0.0.1/24", Some("10.0.0.128/30"));
        assert_eq!(pool.allocate(), Ok(address("10.0.0.128")));
        assert_eq!(pool.reserve(address("10.0.0.5")), Ok(()));
        assert_eq!(pool.allocate(), Ok(address("10.0.0.129")));
    }

    #[test]
    fn a_large_subnet_costs_what_is_used_of_it() {
        let mut pool = pool("10.0.0.1/8", None);
        pool.allocate().unwrap();
        assert_eq!(pool.used.len(), 1);
    }
}
