//! Ports: `-p [[ip:]host:]container[/protocol]` with ranges, and `--expose`.

use std::net::IpAddr;

use barge_api_types::{EmptyObject, ObjectSet, PortBinding, PortMap};

use super::mounts::fields;
use crate::error::{CliError, Result};

/// What the flags ask for.
#[derive(Debug, Default, PartialEq)]
pub(in crate::commands::container) struct Ports {
    pub(super) exposed: ObjectSet,
    pub(in crate::commands::container) bindings: PortMap,
}

/// `-p` and `--expose`
pub(in crate::commands::container) fn ports(
    publish: &[String],
    expose: &[String],
) -> Result<Ports> {
    let mut ports = Ports::default();
    for text in publish {
        let text = if text.contains('=') { long_form(text)? } else { text.clone() };
        for (port, binding) in published(&text)? {
            ports.exposed.insert(port.clone(), EmptyObject);
            ports.bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    for text in expose {
        if text.contains(':') {
            return Err(CliError::Invalid(format!("invalid port format for --expose: {text}")));
        }
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = port_range(range).map_err(|why| {
            CliError::Invalid(format!("invalid range format for --expose: {text}, error: {why}"))
        })?;
        for port in first..=last {
            ports.exposed.insert(format!("{port}/{protocol}"), EmptyObject);
        }
    }
    Ok(ports)
}

/// `target=80,published=8080,protocol=tcp` as `8080:80/tcp`.
fn long_form(text: &str) -> Result<String> {
    let invalid = |what: String| CliError::Invalid(what);
    let (mut target, mut published, mut protocol) =
        (String::new(), String::new(), "tcp".to_owned());
    for field in fields(text) {
        let (key, value) =
            field.split_once('=').ok_or_else(|| invalid(format!("invalid field {field}")))?;
        match key.to_ascii_lowercase().as_str() {
            "target" => target = value.to_owned(),
            "published" => published = value.to_owned(),
            "protocol" => protocol = value.to_owned(),
            "mode" if ["ingress", "host"].contains(&value) => {}
            _ => return Err(invalid(format!("invalid field key {key}"))),
        }
    }
    if target.is_empty() {
        return Err(invalid(format!("missing mandatory field 'target' in {text}")));
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn published(text: &str) -> Result<Vec<(String, PortBinding)>> {
    let invalid = |what: String| CliError::Invalid(what);
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let parts: Vec<&str> = rest.split(':').collect();
    let (ip, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [ip @ .., host, container] => (ip.join(":"), *host, *container),
        [] => (String::new(), "", ""),
    };
    if container.is_empty() {
        return Err(invalid(format!("no port specified: {text}<empty>")));
    }
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(invalid(format!("invalid proto: {protocol}")));
    }
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(&ip);
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(invalid(format!("invalid IP address: {ip}")));
    }
    let (first, last) = port_range(container)
        .map_err(|_| invalid(format!("invalid containerPort: {container}")))?;
    let hosts = if host.is_empty() {
        None
    } else {
        Some(port_range(host).map_err(|_| invalid(format!("invalid hostPort: {host}")))?)
    };
    if let Some((host_first, host_last)) = hosts
        && host_last - host_first != last - first
        // A range of the host for one port of the container: any of them.
        && first != last
    {
        return Err(invalid(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        )));
    }
    let host_port = |offset: u16| match hosts {
        None => String::new(),
        Some((host_first, host_last)) if first == last && host_first != host_last => {
            format!("{host_first}-{host_last}")
        }
        Some((host_first, _)) => (host_first + offset).to_string(),
    };
    let binding = |port: u16| {
        let binding = PortBinding { host_ip: ip.to_owned(), host_port: host_port(port - first) };
        (format!("{port}/{protocol}"), binding)
    };
    Ok((first..=last).map(binding).collect())
}

/// `80` or `80-90`; the error is in Go's words.
fn port_range(text: &str) -> std::result::Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("empty string specified for ports.".to_owned());
    }
    let number = |text: &str| {
        text.parse::<u16>().map_err(|_| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let what = if is_number { "value out of range" } else { "invalid syntax" };
            format!("strconv.ParseUint: parsing {text:?}: {what}")
        })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        match ports(&[text.to_owned()], &[]) {
            Err(error) => vec![error.to_string()],
            Ok(ports) => ports
                .bindings
                .iter()
                .flat_map(|(port, bindings)| {
                    bindings.iter().flatten().map(move |binding| {
                        format!("{}|{} {port}", binding.host_ip, binding.host_port)
                    })
                })
                .collect(),
        }
    }

    #[test]
    fn ports_are_published_as_in_docker() {
        for (text, bindings) in [
            ("80", &["| 80/tcp"][..]),
            ("8080:80", &["|8080 80/tcp"]),
            ("8080:80/udp", &["|8080 80/udp"]),
            ("127.0.0.1:8080:80", &["127.0.0.1|8080 80/tcp"]),
            ("127.0.0.1::80", &["127.0.0.1| 80/tcp"]),
            ("[::1]:8080:80", &["::1|8080 80/tcp"]),
            ("8000-8001:80-81", &["|8000 80/tcp", "|8001 81/tcp"]),
            ("8000-8010:80", &["|8000-8010 80/tcp"]),
            ("target=80,published=8080,protocol=udp", &["|8080 80/udp"]),
            ("xx", &["invalid containerPort: xx"]),
            ("99999", &["invalid containerPort: 99999"]),
            ("x:80", &["invalid hostPort: x"]),
            ("1:2:3:4", &["invalid IP address: 1:2"]),
            ("80/foo", &["invalid proto: foo"]),
            (
                "1.2.3.4:80-82:80-81",
                &["invalid ranges specified for container and host Ports: 80-81 and 80-82"],
            ),
        ] {
            assert_eq!(shown(text), bindings, "{text}");
        }
    }

    #[test]
    fn ranges_can_be_exposed() {
        let expose = |text: &str| ports(&[], &[text.to_owned()]);
        let found = expose("80-82/udp").unwrap();
        assert_eq!(found.exposed.keys().collect::<Vec<_>>(), ["80/udp", "81/udp", "82/udp"]);
        for (text, message) in [
            (
                "x",
                "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "80-70",
                "invalid range format for --expose: 80-70, error: invalid range specified for port: 80-70",
            ),
            ("1:2", "invalid port format for --expose: 1:2"),
        ] {
            assert_eq!(expose(text).unwrap_err().to_string(), message);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_range_is_as_long_as_it_says(first in 1_u16..60000, more in 0_u16..50, host in 1_u16..60000) {
            let last = first + more;
            let text = format!("{host}-{}:{first}-{last}/udp", host + more);
            let bindings = published(&text).unwrap();
            proptest::prop_assert_eq!(bindings.len(), usize::from(more) + 1);
            for (index, (port, binding)) in bindings.iter().enumerate() {
                let index = u16::try_from(index).unwrap();
                proptest::prop_assert_eq!(port, &format!("{}/udp", first + index));
                proptest::prop_assert_eq!(&binding.host_port, &(host + index).to_string());
            }
        }

        #[test]
        fn no_text_makes_it_fall_over(text in "[0-9:/\\[\\].,=a-z-]{0,20}") {
            let texts = std::slice::from_ref(&text);
            ports(texts, texts).ok();
        }
    }
}
