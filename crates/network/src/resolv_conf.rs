//! The text of a container's `/etc/resolv.conf`.
//!
//! A name server on the host's loopback (systemd-resolved, dnsmasq) cannot be reached from another network namespace:
//! such lines are left out, and when none is left Docker's fallback takes their place. On a host with systemd-resolved
//! the file to read is the one that names the servers behind it ([`source_path`]).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

/// What is used when the host has no server that a container could reach.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// The host's own file.
const SYSTEM: &str = "/etc/resolv.conf";
/// The servers behind systemd-resolved.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// The address of systemd-resolved.
const RESOLVED_STUB: &str = "127.0.0.53";

/// Which name servers a container can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It lives in the host's network: the file as it is.
    Host,
    /// It has a network of its own, without IPv6.
    Own,
}

/// What the user asked for in place of the host's settings: `--dns`, `--dns-search`, `--dns-opt`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Name servers; empty takes the host's.
    pub servers: Vec<String>,
    /// Search domains; empty takes the host's, a single `.` means none.
    pub search: Vec<String>,
    /// Resolver options; empty takes the host's.
    pub options: Vec<String>,
}

/// The file of the host to start from: the one behind systemd-resolved when that is all `/etc/resolv.conf` names.
#[must_use]
pub fn source_path(system: &str) -> &'static Path {
    let mut servers = Parsed::of(system).servers.into_iter();
    match (servers.next(), servers.next()) {
        (Some(only), None) if only == RESOLVED_STUB => Path::new(RESOLVED),
        _ => Path::new(SYSTEM),
    }
}

/// The host's settings, followed through systemd-resolved; empty when there are none.
#[must_use]
pub fn read_host() -> String {
    let system = std::fs::read_to_string(SYSTEM).unwrap_or_default();
    let path = source_path(&system);
    if path == Path::new(SYSTEM) { system } else { std::fs::read_to_string(path).unwrap_or(system) }
}

struct Parsed<'a> {
    servers: Vec<&'a str>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Parsed<'a> {
    /// Later `search` lines replace earlier ones, as resolv.conf(5) says.
    fn of(text: &'a str) -> Self {
        let mut parsed = Self { servers: Vec::new(), search: Vec::new(), options: Vec::new() };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed.servers.extend(words.next()),
                Some("search" | "domain") => parsed.search = words.collect(),
                Some("options") => parsed.options.extend(words),
                Some(_) | None => {}
            }
        }
        parsed
    }
}

/// The file for a container, made of the host's.
#[must_use]
pub fn to_text(host: &str, asked: &DnsOptions, reach: Reach) -> String {
    if reach == Reach::Host && *asked == DnsOptions::default() {
        return host.to_owned();
    }
    let parsed = Parsed::of(host);
    let servers: Vec<String> = if asked.servers.is_empty() {
        reachable(&parsed.servers, reach)
    } else {
        asked.servers.clone()
    };
    let search: Vec<&str> = match asked.search.as_slice() {
        [] => parsed.search,
        [none] if none == "." => Vec::new(),
        some => some.iter().map(String::as_str).collect(),
    };
    let options: Vec<&str> = if asked.options.is_empty() {
        parsed.options
    } else {
        asked.options.iter().map(String::as_str).collect()
    };
    let mut text = String::new();
    for server in servers {
        writeln!(text, "nameserver {server}").ok();
    }
    for (word, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            writeln!(text, "{word} {}", values.join(" ")).ok();
        }
    }
    text
}

fn reachable(servers: &[&str], reach: Reach) -> Vec<String> {
    let own: Vec<String> = servers
        .iter()
        .filter(|server| match (reach, server.parse::<IpAddr>()) {
            (Reach::Host, _) => true,
            (Reach::Own, Ok(IpAddr::V4(address))) => !address.is_loopback(),
            (Reach::Own, Ok(IpAddr::V6(_)) | Err(_)) => false,
        })
        .map(|server| (*server).to_owned())
        .collect();
    if own.is_empty() && reach == Reach::Own { FALLBACK.map(str::to_owned).to_vec() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(host: &str) -> String {
        to_text(host, &DnsOptions::default(), Reach::Own)
    }

    #[test]
    fn the_hosts_settings_are_handed_on() {
        let host = "# made by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2 ; second\nsearch a.org b.org\noptions edns0\n";
        let expected =
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.org b.org\noptions edns0\n";
        assert_eq!(own(host), expected);
    }

    #[test]
    fn loopback_servers_cannot_be_reached() {
        assert_eq!(own("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"), "nameserver 10.0.0.1\n");
        let fallback = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
        assert_eq!(own("nameserver 127.0.0.1\n"), fallback);
        assert_eq!(own("nameserver ::1\nnameserver fe80::1%eth0\n"), fallback);
        assert_eq!(own(""), fallback);
    }

    #[test]
    fn in_the_hosts_network_the_file_is_the_hosts() {
        let host = "nameserver 127.0.0.53\noptions edns0 trust-ad\n";
        assert_eq!(to_text(host, &DnsOptions::default(), Reach::Host), host);
    }

    #[test]
    fn what_the_user_asks_for_replaces_the_hosts() {
        let asked = DnsOptions {
            servers: vec!["1.1.1.1".to_owned(), "::1".to_owned()],
            search: vec!["x.org".to_owned()],
            options: vec!["ndots:2".to_owned()],
        };
        let text =
            to_text("nameserver 10.0.0.1\nsearch a.org\noptions edns0\n", &asked, Reach::Own);
        assert_eq!(text, "nameserver 1.1.1.1\nnameserver ::1\nsearch x.org\noptions ndots:2\n");
    }

    #[test]
    fn a_dot_means_no_search_domain() {
        let asked = DnsOptions { search: vec![".".to_owned()], ..DnsOptions::default() };
        assert_eq!(
            to_text("nameserver 10.0.0.1\nsearch a.org\n", &asked, Reach::Own),
            "nameserver 10.0.0.1\n"
        );
    }

    #[test]
    fn behind_systemd_resolved_its_own_list_is_read() {
        assert_eq!(source_path("nameserver 127.0.0.53\n"), Path::new(RESOLVED));
        assert_eq!(source_path("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"), Path::new(SYSTEM));
        assert_eq!(source_path("nameserver 10.0.0.1\n"), Path::new(SYSTEM));
    }
}
