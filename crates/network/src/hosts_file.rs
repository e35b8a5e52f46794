//! The text of a container's `/etc/hosts`.
//!
//! Pure: the engine writes it into the container's folder, from where it is mounted; it never becomes part of an image.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// What Docker's files begin with.
const DEFAULT_LINES: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// What stands for the host in `--add-host name:host-gateway`.
const HOST_GATEWAY: &str = "host-gateway";

/// `--add-host` is not `name:address`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtraHostError {
    /// There is no name, or no address.
    #[error("bad format for add-host: \"{0}\"")]
    Format(String),
    /// The address is none.
    #[error("invalid IP address in add-host: \"{0}\"")]
    Address(String),
}

/// A line that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// Where it leads.
    pub target: HostTarget,
}

/// Where an extra name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostTarget {
    /// To this address.
    Address(IpAddr),
    /// To the host, at the address it has for containers.
    Gateway,
}

impl ExtraHost {
    /// Parses `name:address` or `name=address`, with brackets around an IPv6 address or without.
    ///
    /// # Errors
    /// In the words of Docker's client.
    pub fn parse(text: &str) -> Result<Self, ExtraHostError> {
        let separator =
            text.find([':', '=']).ok_or_else(|| ExtraHostError::Format(text.to_owned()))?;
        let (name, address) = (&text[..separator], &text[separator + 1..]);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(ExtraHostError::Format(text.to_owned()));
        }
        let target = if address == HOST_GATEWAY {
            HostTarget::Gateway
        } else {
            let bare = address
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(address);
            HostTarget::Address(
                bare.parse().map_err(|_| ExtraHostError::Address(address.to_owned()))?,
            )
        };
        Ok(Self { name: name.to_owned(), target })
    }

    /// The address, when the host's is known or not needed.
    #[must_use]
    pub fn address(&self, gateway: Option<Ipv4Addr>) -> Option<IpAddr> {
        match self.target {
            HostTarget::Address(address) => Some(address),
            HostTarget::Gateway => gateway.map(IpAddr::V4),
        }
    }
}

/// A container that this one is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedHost {
    /// Where it is.
    pub address: Ipv4Addr,
    /// What it is called here.
    pub alias: String,
    /// Its other names.
    pub names: Vec<String>,
}

/// What a container's file is made of.
#[derive(Debug, Clone, Copy)]
pub struct HostsFile<'a> {
    /// The container's host name.
    pub hostname: &'a str,
    /// Its domain, or nothing.
    pub domainname: &'a str,
    /// Its address; without one it is not named in the file, as in Docker.
    pub address: Option<Ipv4Addr>,
    /// What `host-gateway` means: the bridge's address.
    pub gateway: Option<Ipv4Addr>,
    /// `--add-host`.
    pub extra: &'a [ExtraHost],
    /// `--link`.
    pub linked: &'a [LinkedHost],
}

impl HostsFile<'_> {
    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = DEFAULT_LINES.to_owned();
        for host in self.extra {
            if let Some(address) = host.address(self.gateway) {
                writeln!(text, "{address}\t{}", host.name).ok();
            }
        }
        for LinkedHost { address, alias, names } in self.linked {
            let names: Vec<&str> =
                std::iter::once(alias).chain(names).map(String::as_str).collect();
            writeln!(text, "{address}\t{}", names.join(" ")).ok();
        }
        if let Some(address) = self.address {
            if self.domainname.is_empty() {
                writeln!(text, "{address}\t{}", self.hostname).ok();
            } else {
                writeln!(text, "{address}\t{0}.{1} {0}", self.hostname, self.domainname).ok();
            }
        }
        text
    }
}

/// The file with another address on the lines of a linked container, by its alias; whatever else the container has made of
/// its file stays.
#[must_use]
pub fn move_linked(text: &str, alias: &str, address: Ipv4Addr) -> String {
    let moved = |line: &str| match line.split_once('\t') {
        Some((_, names)) if is_of(names, alias) => format!("{address}\t{names}"),
        Some(_) | None => line.to_owned(),
    };
    text.split_inclusive('\n').map(moved).collect()
}

/// The file without the lines of a linked container.
#[must_use]
pub fn remove_linked(text: &str, alias: &str) -> String {
    let stays = |line: &&str| line.split_once('\t').is_none_or(|(_, names)| !is_of(names, alias));
    text.split_inclusive('\n').filter(stays).collect()
}

/// Whether the names of a line begin with this one.
fn is_of(names: &str, alias: &str) -> bool {
    names.split_whitespace().next() == Some(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: HostsFile<'_> = HostsFile {
        hostname: "web",
        domainname: "",
        address: None,
        extra: &[],
        gateway: None,
        linked: &[],
    };

    #[test]
    fn without_an_address_only_the_defaults_are_there() {
        assert_eq!(EMPTY.to_text(), DEFAULT_LINES);
    }

    #[test]
    fn the_container_is_named_last() {
        let address = Some(Ipv4Addr::new(172, 17, 0, 2));
        let text = HostsFile { address, ..EMPTY }.to_text();
        assert_eq!(text, format!("{DEFAULT_LINES}172.17.0.2\tweb\n"));
        let text = HostsFile { address, domainname: "example.org", ..EMPTY }.to_text();
        assert!(text.ends_with("\n172.17.0.2\tweb.example.org web\n"), "{text}");
    }

    #[test]
    fn extra_hosts_and_the_host_itself() {
        let extra = [
            ExtraHost::parse("db:10.0.0.5").unwrap(),
            ExtraHost::parse("six:[fd00::1]").unwrap(),
            ExtraHost::parse("seven=fd00::2").unwrap(),
            ExtraHost::parse("host.docker.internal:host-gateway").unwrap(),
        ];
        let gateway = Some(Ipv4Addr::new(172, 17, 0, 1));
        let text = HostsFile { extra: &extra, gateway, ..EMPTY }.to_text();
        let expected =
            "10.0.0.5\tdb\nfd00::1\tsix\nfd00::2\tseven\n172.17.0.1\thost.docker.internal\n";
        assert_eq!(text, format!("{DEFAULT_LINES}{expected}"));
    }

    #[test]
    fn linked_containers_come_behind_the_extra_hosts_and_can_move_and_go() {
        let extra = [ExtraHost::parse("x:10.0.0.5").unwrap()];
        let linked = |alias: &str, names: &[&str]| LinkedHost {
            address: Ipv4Addr::new(172, 17, 0, 2),
            alias: alias.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let linked = [linked("db", &["0123", "postgres"]), linked("postgres", &["0123"])];
        let address = Some(Ipv4Addr::new(172, 17, 0, 3));
        let text = HostsFile { address, extra: &extra, linked: &linked, ..EMPTY }.to_text();
        let (before, after) = (format!("{DEFAULT_LINES}10.0.0.5\tx\n"), "172.17.0.3\tweb\n");
        let (db, postgres) = ("172.17.0.2\tdb 0123 postgres\n", "172.17.0.2\tpostgres 0123\n");
        assert_eq!(text, format!("{before}{db}{postgres}{after}"));
        let moved = move_linked(&text, "db", Ipv4Addr::new(172, 17, 0, 9));
        let new = "172.17.0.9\tdb 0123 postgres\n";
        assert_eq!(moved, format!("{before}{new}{postgres}{after}"));
        // A name that merely begins or goes on like it is another's.
        assert_eq!(move_linked(&text, "d", Ipv4Addr::LOCALHOST), text);
        assert_eq!(remove_linked(&text, "postgres"), format!("{before}{db}{after}"));
        assert_eq!(remove_linked("no end\n1.2.3.4\tdb", "db"), "no end\n");
    }

    #[test]
    fn bad_lines_are_refused_in_dockers_words() {
        assert_eq!(
            ExtraHost::parse("db").unwrap_err().to_string(),
            "bad format for add-host: \"db\""
        );
        assert_eq!(
            ExtraHost::parse(":1.2.3.4").unwrap_err().to_string(),
            "bad format for add-host: \":1.2.3.4\""
        );
        let error = ExtraHost::parse("db:300.0.0.1").unwrap_err();
        assert_eq!(error.to_string(), "invalid IP address in add-host: \"300.0.0.1\"");
        assert!(ExtraHost::parse("two words:1.2.3.4").is_err());
    }
}
