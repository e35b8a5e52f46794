//! Devices: in the container, in its cgroup rules, in its block I/O limits, and GPUs.

use barge_api_types::{DeviceMapping, DeviceRequest, ThrottleDevice, WeightDevice};
use barge_types::size;

use super::mounts::fields;
use super::text::{Refused, pairs};
use crate::error::{CliError, Result};

type Parsed<T> = std::result::Result<T, Refused>;

/// `--device-cgroup-rule "c 42:* rmw"`
pub(super) fn cgroup_rule(text: &str) -> Parsed<String> {
    let is_number = |text: &str| {
        text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let fits = match parts.as_slice() {
        [kind, numbers, access] => {
            ["a", "b", "c"].contains(kind)
                && numbers
                    .split_once(':')
                    .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
                && (1..=3).contains(&access.len())
                && access.chars().all(|letter| "rwm".contains(letter))
        }
        _ => false,
    };
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Refused(format!("invalid device cgroup format '{text}'")))
    }
}

/// `path:value` with the path of a device.
fn device_value(text: &str) -> Parsed<(&str, &str)> {
    let (path, value) = text
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| Refused(format!("bad format: {text}")))?;
    if !path.starts_with("/dev/") {
        return Err(Refused(format!("bad format for device path: {text}")));
    }
    Ok((path, value))
}

/// `--blkio-weight-device /dev/sda:100`
pub(super) fn weight(text: &str) -> Parsed<WeightDevice> {
    let (path, value) = device_value(text)?;
    let weight: u16 = value
        .parse()
        .ok()
        .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
        .ok_or_else(|| Refused(format!("invalid weight for device: {text}")))?;
    Ok(WeightDevice { path: path.to_owned(), weight })
}

/// `--device-read-bps /dev/sda:1mb`
pub(super) fn bytes_per_second(text: &str) -> Parsed<ThrottleDevice> {
    let (path, value) = device_value(text)?;
    let rate = size::parse_bytes(value).map_err(|_| {
        Refused(format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
             Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ))
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `--device-read-iops /dev/sda:1000`
pub(super) fn operations_per_second(text: &str) -> Parsed<ThrottleDevice> {
    let (path, value) = device_value(text)?;
    let rate = value.parse().map_err(|_| {
        Refused(format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
             Number must be a positive integer"
        ))
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `--gpus all`, `--gpus 2`, `--gpus '"device=1,2",capabilities=utility'`
pub(super) fn gpus(text: &str) -> Parsed<DeviceRequest> {
    let mut request = DeviceRequest::default();
    let mut count = None;
    let mut seen = Vec::new();
    let number = |text: &str| match text {
        "all" => Ok(-1),
        _ => text.parse().map_err(|_| {
            Refused(format!(
                "invalid count ({text}): value must be either \"all\" or an integer: invalid syntax"
            ))
        }),
    };
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), value),
            None => ("count".to_owned(), field.as_str()),
        };
        if seen.contains(&key) {
            return Err(Refused(format!("gpu request key '{key}' can be specified only once")));
        }
        match key.as_str() {
            "driver" => request.driver = value.to_owned(),
            "count" => count = Some(number(value)?),
            "device" => request.device_ids = value.split(',').map(str::to_owned).collect(),
            "capabilities" => {
                let mut capabilities: Vec<String> = value.split(',').map(str::to_owned).collect();
                capabilities.push("gpu".to_owned());
                request.capabilities = vec![capabilities];
            }
            "options" => {
                let options: Vec<String> = value.split(',').map(str::to_owned).collect();
                request.options = pairs(&options);
            }
            _ => return Err(Refused(format!("unexpected key '{key}' in '{field}'"))),
        }
        seen.push(key);
    }
    request.count = count.unwrap_or(i64::from(request.device_ids.is_empty()));
    if request.capabilities.is_empty() {
        request.capabilities = vec![vec!["gpu".to_owned()]];
    }
    Ok(request)
}

/// What `--device` asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Devices {
    pub(super) mappings: Vec<DeviceMapping>,
    pub(super) requests: Vec<DeviceRequest>,
}

/// `--device host[:container][:rwm]`, or the name of a CDI device.
pub(super) fn devices(texts: &[String]) -> Result<Devices> {
    let mut devices = Devices::default();
    let mut named = Vec::new();
    for text in texts {
        if is_cdi_name(text) {
            named.push(text.clone());
        } else {
            devices.mappings.push(mapping(text)?);
        }
    }
    if !named.is_empty() {
        devices.requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: named,
            ..DeviceRequest::default()
        });
    }
    Ok(devices)
}

/// `vendor.com/class=name`
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else {
        return false;
    };
    kind.split_once('/').is_some_and(|(vendor, class)| {
        vendor.starts_with(|c: char| c.is_ascii_alphabetic())
            && class.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.is_empty()
    })
}

fn mapping(text: &str) -> Result<DeviceMapping> {
    let invalid = |what: String| CliError::Invalid(what);
    let is_access = |text: &str| {
        !text.is_empty()
            && text.chars().all(|letter| "rwm".contains(letter))
            && ["r", "w", "m"].iter().all(|letter| text.matches(letter).count() < 2)
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (host, inside, access) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, access] if is_access(access) => (*host, *host, *access),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, access] if is_access(access) => (*host, *inside, *access),
        [_, _, access] => return Err(invalid(format!("bad mode specified: {access}"))),
        _ => return Err(invalid(format!("bad format for path: {text}"))),
    };
    if host.is_empty() {
        return Err(invalid(format!("bad format for path: {text}")));
    }
    if !inside.starts_with('/') {
        return Err(invalid(format!("{inside} is not an absolute path")));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_up_to_three_parts() {
        let device = |text: &str| {
            mapping(text).map_or_else(
                |error| error.to_string(),
                |device| {
                    let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } =
                        device;
                    format!("{path_on_host} {path_in_container} {cgroup_permissions}")
                },
            )
        };
        for (text, result) in [
            ("/dev/a", "/dev/a /dev/a rwm"),
            ("/dev/a:r", "/dev/a /dev/a r"),
            ("/dev/a:/dev/b", "/dev/a /dev/b rwm"),
            ("/dev/a:/dev/b:rw", "/dev/a /dev/b rw"),
            ("/dev/a:/dev/b:rr", "bad mode specified: rr"),
            ("/dev/a:b", "b is not an absolute path"),
            ("", "bad format for path: "),
            ("a:b:c:d", "bad format for path: a:b:c:d"),
        ] {
            assert_eq!(device(text), result, "{text}");
        }
    }

    #[test]
    fn names_of_cdi_devices_are_requests() {
        let found = devices(&["vendor.com/gpu=all".to_owned(), "/dev/null".to_owned()]).unwrap();
        assert_eq!(found.mappings.len(), 1);
        assert_eq!(found.requests[0].driver, "cdi");
        assert_eq!(found.requests[0].device_ids, ["vendor.com/gpu=all"]);
    }

    #[test]
    fn limits_of_devices_are_checked_in_dockers_words() {
        for (result, message) in [
            (weight("x").map(drop), "bad format: x"),
            (weight("/dev/x:y").map(drop), "invalid weight for device: /dev/x:y"),
            (weight("/dev/x:5").map(drop), "invalid weight for device: /dev/x:5"),
            (bytes_per_second("x:1").map(drop), "bad format for device path: x:1"),
            (
                operations_per_second("/dev/x:y").map(drop),
                "invalid rate for device: /dev/x:y. The correct format is <device-path>:<number>. \
                 Number must be a positive integer",
            ),
            (cgroup_rule("x").map(drop), "invalid device cgroup format 'x'"),
            (gpus("x=y").map(drop), "unexpected key 'x' in 'x=y'"),
        ] {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
        assert_eq!(bytes_per_second("/dev/x:1mb").unwrap().rate, 1_048_576);
        assert_eq!(cgroup_rule("c 42:* rmw").unwrap(), "c 42:* rmw");
    }

    #[test]
    fn gpus_are_counted_or_named() {
        assert_eq!(gpus("all").unwrap().count, -1);
        assert_eq!(gpus("2").unwrap().count, 2);
        let named = gpus("\"device=1,2\",\"capabilities=utility\"").unwrap();
        assert_eq!(named.count, 0);
        assert_eq!(named.device_ids, ["1", "2"]);
        assert_eq!(named.capabilities, [["utility", "gpu"]]);
    }
}
