//! `--storage-opt`: of the daemon, and of a container.

use std::collections::BTreeMap;

use barge_types::parse_bool;

use crate::driver::ReadWriteOptions;
use crate::error::{Result, StorageError};

/// The daemon's options that there are.
const KNOWN: &[&str] =
    &["size", "overlay2.size", "overlay2.override_kernel_check", "btrfs.min_space", "vfs.size"];

/// The daemon's `--storage-opt`, checked. Each option belongs to a driver; `size` belongs to whichever is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageOptions {
    size: Option<u64>,
    min_space: u64,
    overrides_kernel_check: bool,
    /// The option, and the driver that it is for.
    given: Vec<(String, Option<String>)>,
}

impl StorageOptions {
    /// Reads `key=value` pairs: `size=` and `overlay2.size=` (`vfs.size=`) with what a container's layer may hold unless
    /// told otherwise, `btrfs.min_space=` with the least that a container may ask for, `overlay2.override_kernel_check=`
    /// with a bool, which changes nothing ([`StorageOptions::warnings`]).
    ///
    /// # Errors
    /// `InvalidOption` with the option and what is wrong with it.
    pub fn parse<T: AsRef<str>>(options: &[T]) -> Result<Self> {
        let mut parsed = Self::default();
        for option in options {
            let option = option.as_ref();
            let wrong =
                |reason: String| StorageError::InvalidOption { option: option.to_owned(), reason };
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| wrong("unable to parse key/value option".to_owned()))?;
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            let size =
                || barge_types::size::parse_bytes(value).map_err(|error| wrong(error.to_string()));
            match key.as_str() {
                "size" | "overlay2.size" | "vfs.size" => {
                    parsed.size = Some(size()?).filter(|size| *size > 0);
                }
                "btrfs.min_space" => parsed.min_space = size()?,
                "overlay2.override_kernel_check" => {
                    parsed.overrides_kernel_check = parse_bool(value)
                        .ok_or_else(|| wrong(format!("{value:?} is neither true nor false")))?;
                }
                _ => {
                    return Err(wrong(format!(
                        "unknown option {key}: known are {}",
                        KNOWN.join(", ")
                    )));
                }
            }
            let driver = key.split_once('.').map(|(driver, _)| driver.to_owned());
            parsed.given.push((key, driver));
        }
        Ok(parsed)
    }

    /// What a container's layer may hold unless it is told otherwise, in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// The least size that a container may ask for, in bytes.
    pub(crate) fn min_space(&self) -> u64 {
        self.min_space
    }

    /// Checks that every option is one of this driver's.
    pub(crate) fn check_for(&self, driver: &'static str) -> Result<()> {
        let stranger = self.given.iter().find(|(_, of)| of.as_ref().is_some_and(|of| of != driver));
        match stranger {
            Some((option, _)) => Err(StorageError::InvalidOption {
                option: option.clone(),
                reason: format!("the storage driver is {driver}"),
            }),
            None => Ok(()),
        }
    }

    /// The driver that the options name, if they name one: an automatic choice heeds it.
    pub(crate) fn driver(&self) -> Option<&str> {
        self.given.iter().find_map(|(_, driver)| driver.as_deref())
    }

    /// What the user should know: lines for the daemon's log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.overrides_kernel_check {
            warnings.push(
                "overlay2.override_kernel_check does nothing: a trial mount is made, versions are not compared"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl ReadWriteOptions {
    /// Reads a container's `--storage-opt`: `size` and nothing else.
    ///
    /// # Errors
    /// `InvalidOption` with the option and what is wrong with it.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = Self::default();
        for (key, value) in options {
            let wrong =
                |reason| StorageError::InvalidOption { option: format!("{key}={value}"), reason };
            if !key.eq_ignore_ascii_case("size") {
                return Err(wrong(format!("unknown option {key}: known is size")));
            }
            let size =
                barge_types::size::parse_bytes(value).map_err(|error| wrong(error.to_string()))?;
            parsed.size = Some(size).filter(|size| *size > 0);
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_belong_to_their_driver() {
        let options =
            StorageOptions::parse(&["Overlay2.Size = 10G", "overlay2.override_kernel_check=1"])
                .unwrap();
        assert_eq!((options.size(), options.driver()), (Some(10 << 30), Some("overlay2")));
        assert_eq!(options.warnings().len(), 1);
        options.check_for("overlay2").unwrap();
        let error = options.check_for("btrfs").unwrap_err().to_string();
        assert_eq!(error, "invalid storage option \"overlay2.size\": the storage driver is btrfs");
        let options = StorageOptions::parse(&["size=1m"]).unwrap();
        options.check_for("vfs").unwrap();
        assert_eq!(
            (options.size(), options.driver(), options.warnings().len()),
            (Some(1 << 20), None, 0)
        );
        assert_eq!(StorageOptions::parse(&["btrfs.min_space=5k"]).unwrap().min_space(), 5 << 10);
        assert_eq!(StorageOptions::parse::<&str>(&[]).unwrap(), StorageOptions::default());
    }

    #[test]
    fn what_is_no_option_is_refused_by_name() {
        for (option, reason) in [
            ("size", "unable to parse"),
            ("size=much", "invalid size: 'much'"),
            ("size=-1", "invalid size"),
            ("dm.thinpooldev=x", "unknown option dm.thinpooldev: known are size, overlay2.size"),
            ("overlay2.override_kernel_check=perhaps", "neither true nor false"),
        ] {
            let error = StorageOptions::parse(&[option]).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(error.kind(), barge_types::ErrorKind::InvalidParameter);
        }
    }

    #[test]
    fn a_containers_option_is_its_size() {
        let parse = |key: &str, value: &str| {
            ReadWriteOptions::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        assert_eq!(parse("size", "120M").unwrap().size, Some(120 << 20));
        assert_eq!(parse("Size", "0").unwrap().size, None);
        assert!(parse("size", "x").is_err());
        let error = parse("speed", "1").unwrap_err().to_string();
        assert!(error.contains("unknown option speed"), "{error}");
    }
}
