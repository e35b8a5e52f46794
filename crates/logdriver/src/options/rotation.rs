//! How log files are rotated.
//!
//! Docker never rotates `json-file` unless told, and a chatty container fills the disk. Here such a
//! log is 100 MB at most before it is rotated and five files are kept, unless the user says
//! otherwise; `max-size=-1` is Docker's default. `local` and the cache beside remote drivers have
//! Docker's bounds: five files of 20 MiB, the rotated ones compressed.

use super::{Options, Units, parse_bool, parse_number, parse_size};
use crate::error::LogError;

/// How a log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationConfig {
    /// A file that has reached this many bytes is not written to any more; none means it grows for
    /// ever.
    pub max_size: Option<u64>,
    /// How many files there are, the current one among them. With 1 the file is emptied when it is
    /// full.
    pub max_files: u32,
    /// Whether rotated files are compressed.
    pub compress: bool,
}

/// Whose options they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotationNames {
    /// `json-file`: `max-size` and so on.
    JsonFile,
    /// `local`: the same.
    Local,
    /// The cache beside a remote driver: `cache-max-size` and so on.
    Cache,
}

impl RotationNames {
    fn prefix(self) -> &'static str {
        match self {
            Self::JsonFile | Self::Local => "",
            Self::Cache => "cache-",
        }
    }

    fn units(self) -> Units {
        match self {
            Self::JsonFile => Units::Decimal,
            Self::Local | Self::Cache => Units::Binary,
        }
    }

    fn defaults(self) -> RotationConfig {
        match self {
            Self::JsonFile => {
                RotationConfig { max_size: Some(100_000_000), max_files: 5, compress: false }
            }
            Self::Local | Self::Cache => {
                RotationConfig { max_size: Some(20 << 20), max_files: 5, compress: true }
            }
        }
    }
}

impl RotationConfig {
    /// Checks the options; others are not looked at.
    pub(crate) fn parse(options: &Options, names: RotationNames) -> Result<Self, LogError> {
        let option = |name: &str| options.get(&format!("{}{name}", names.prefix()));
        let mut config = names.defaults();
        if let Some(value) = option("max-size") {
            config.max_size = parse_max_size(value, names.units())?;
        }
        if let Some(value) = option("max-file") {
            config.max_files = parse_max_file(value)?;
        }
        let is_single = config.max_files < 2 || config.max_size.is_none();
        match option("compress").map(|value| parse_bool(value)).transpose()? {
            Some(true) if is_single => {
                return Err(LogError::bad_option(
                    "compress cannot be true when max-file is less than 2 or max-size is not set",
                ));
            }
            Some(compress) => config.compress = compress,
            None => config.compress &= !is_single,
        }
        Ok(config)
    }
}

fn parse_max_size(value: &str, units: Units) -> Result<Option<u64>, LogError> {
    if value == "-1" {
        return Ok(None);
    }
    match parse_size(value, units)? {
        0 => Err(LogError::bad_option("max-size must be a positive number")),
        size => Ok(Some(size)),
    }
}

fn parse_max_file(value: &str) -> Result<u32, LogError> {
    match u32::try_from(parse_number(value)?) {
        Ok(number) if number >= 1 => Ok(number),
        Ok(_) | Err(_) => Err(LogError::bad_option("max-file cannot be less than 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: RotationNames, pairs: &[(&str, &str)]) -> Result<RotationConfig, String> {
        let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        RotationConfig::parse(&options, names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_is_bounded_unless_asked() {
        let json = parse(RotationNames::JsonFile, &[]).unwrap();
        let expected =
            RotationConfig { max_size: Some(100_000_000), max_files: 5, compress: false };
        assert_eq!(json, expected);
        for names in [RotationNames::Local, RotationNames::Cache] {
            let expected =
                RotationConfig { max_size: Some(20_971_520), max_files: 5, compress: true };
            assert_eq!(parse(names, &[]).unwrap(), expected);
        }
        let unbounded = parse(RotationNames::JsonFile, &[("max-size", "-1")]).unwrap();
        assert_eq!(unbounded.max_size, None);
    }

    #[test]
    fn each_driver_has_its_names_and_units() {
        let pairs =
            [("max-size", "1k"), ("max-file", "3"), ("cache-max-size", "2k"), ("compress", "true")];
        let size = |names| parse(names, &pairs).unwrap().max_size;
        assert_eq!(size(RotationNames::JsonFile), Some(1000));
        assert_eq!(size(RotationNames::Local), Some(1024));
        assert_eq!(size(RotationNames::Cache), Some(2048));
        assert!(parse(RotationNames::JsonFile, &pairs).unwrap().compress);
    }

    #[test]
    fn a_single_file_is_not_compressed() {
        assert!(!parse(RotationNames::Local, &[("max-file", "1")]).unwrap().compress);
        let error = parse(RotationNames::JsonFile, &[("max-file", "1"), ("compress", "true")]);
        assert_eq!(
            error.unwrap_err(),
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        );
    }

    #[test]
    fn refusals_are_in_dockers_words() {
        for (option, value, text) in [
            ("max-size", "much", "invalid size: 'much'"),
            ("max-size", "0", "max-size must be a positive number"),
            ("max-file", "0", "max-file cannot be less than 1"),
            ("max-file", "-3", "max-file cannot be less than 1"),
            ("max-file", "x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            ("compress", "maybe", "strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        ] {
            assert_eq!(parse(RotationNames::JsonFile, &[(option, value)]).unwrap_err(), text);
        }
    }
}
