//! Devices that are asked for by what they are: `--gpus`, and those with names of a vendor's (CDI).

use barge_api_types::DeviceRequest;
use serde_json::{Map, Value, json};

use super::words::{csv_field, pair};

/// What every `--gpus` asks for.
const GPU: &str = "gpu";

/// How a request is said.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// Each by `--device`.
    Named(&'a [String]),
    /// By one `--gpus`.
    Gpus(&'a DeviceRequest),
}

/// How each of them is said, if all can be.
pub(super) fn said(requests: &[DeviceRequest]) -> Option<Vec<Said<'_>>> {
    requests.iter().map(one).collect()
}

fn one(request: &DeviceRequest) -> Option<Said<'_>> {
    let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    let is_named = driver == "cdi" && *count == 0 && capabilities.is_empty() && options.is_empty();
    if is_named && !device_ids.is_empty() {
        return Some(Said::Named(device_ids));
    }
    let [capabilities] = capabilities.as_slice() else { return None };
    let ends_with_gpu = capabilities.last().is_some_and(|last| last == GPU);
    ends_with_gpu.then_some(Said::Gpus(request))
}

/// The value of `--gpus`: fields of CSV.
pub(super) fn gpus(request: &DeviceRequest) -> String {
    let count = |count: i64| if count < 0 { "all".to_owned() } else { count.to_string() };
    let mut fields = Vec::new();
    let options: Vec<String> = request.options.iter().map(pair).collect();
    for (key, value) in [
        ("driver", request.driver.clone()),
        ("device", request.device_ids.join(",")),
        ("capabilities", besides_gpu(request).join(",")),
        ("options", options.join(",")),
    ] {
        if !value.is_empty() {
            fields.push(format!("{key}={value}"));
        }
    }
    let is_default = request.count == i64::from(request.device_ids.is_empty());
    if fields.is_empty() {
        return count(request.count);
    }
    if !is_default {
        fields.push(format!("count={}", count(request.count)));
    }
    fields.iter().map(|field| csv_field(field)).collect::<Vec<_>>().join(",")
}

/// The same as Compose has it.
pub(super) fn reservation(request: &DeviceRequest) -> Value {
    let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    let mut keys = Map::new();
    if !driver.is_empty() {
        keys.insert("driver".to_owned(), json!(driver));
    }
    match count {
        0 => {}
        count if *count < 0 => drop(keys.insert("count".to_owned(), json!("all"))),
        count => drop(keys.insert("count".to_owned(), json!(count))),
    }
    if !device_ids.is_empty() {
        keys.insert("device_ids".to_owned(), json!(device_ids));
    }
    keys.insert("capabilities".to_owned(), json!(capabilities.first()));
    if !options.is_empty() {
        keys.insert("options".to_owned(), json!(options));
    }
    Value::Object(keys)
}

fn besides_gpu(request: &DeviceRequest) -> &[String] {
    let capabilities = request.capabilities.first().map(Vec::as_slice).unwrap_or_default();
    capabilities.split_last().map(|(_, others)| others).unwrap_or_default()
}
