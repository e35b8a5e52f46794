//! `RUN --device=NAME[,required]`: a device by its CDI name. Nothing of it is a variable, as in BuildKit.

use barge_types::parse_bool;

use super::{Checked, Problem};
use crate::ast::DeviceFlag;
use crate::suggest::suggest;

const KEYS: [&str; 2] = ["name", "required"];

/// Reads the flag's value. A name has a `=` of its own: the first field that is no key is one.
pub(super) fn parse(text: &str) -> Checked<DeviceFlag> {
    let mut device = DeviceFlag::default();
    for field in text.split(',') {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.is_required = true,
            ("required", Some(value)) => {
                device.is_required = parse_bool(value)
                    .ok_or_else(|| Problem::new(format!("invalid value for required: {value}")))?;
            }
            ("name", Some(_)) if !device.name.is_empty() => {
                let name = &device.name;
                return Err(Problem::new(format!("device name already set to {name}")));
            }
            ("name", Some(value)) => value.clone_into(&mut device.name),
            _ if device.name.is_empty() => field.clone_into(&mut device.name),
            (key, Some(_)) => {
                let near = suggest(key, KEYS).map(str::to_owned);
                return Err(Problem::mistyped(
                    format!("unexpected key '{key}' in '{field}'"),
                    near,
                ));
            }
            (_, None) => {
                let message = format!("invalid field '{field}' must be a key=value pair");
                return Err(Problem::new(message));
            }
        }
    }
    if device.name.is_empty() {
        return Err(Problem::new(format!("a device needs a name: --device={text}")));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_alone_or_behind_its_key() {
        for (text, name, is_required) in [
            ("vendor.com/kind=one", "vendor.com/kind=one", false),
            ("vendor.com/kind=one,required", "vendor.com/kind=one", true),
            ("required=true,name=vendor.com/kind=*", "vendor.com/kind=*", true),
            ("vendor.com/kind,required=0", "vendor.com/kind", false),
        ] {
            let expected = DeviceFlag { name: name.to_owned(), is_required };
            assert_eq!(parse(text).map_err(|problem| problem.message), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_device_is_told() {
        for (text, said, meant) in [
            ("a/b=c,requird=1", "unexpected key 'requird' in 'requird=1'", Some("required")),
            ("a/b=c,required=maybe", "invalid value for required: maybe", None),
            ("a/b=c,more", "invalid field 'more' must be a key=value pair", None),
            ("a/b=c,name=d/e=f", "device name already set to a/b=c", None),
            ("required", "a device needs a name: --device=required", None),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.message, said);
            assert_eq!(problem.suggestion.as_deref(), meant);
        }
    }
}
