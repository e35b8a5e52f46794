//! Docker's `config.json`: read leniently, changed by replacing the file as a whole, and what we do
//! not know in it stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{CliError, Result};

const NAME: &str = "config.json";

/// The file, and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads the file in `folder`; one that is not there is empty.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(CliError::file("loading config file: open", &path)(error)),
        };
        if text.trim_ascii().is_empty() {
            return Ok(Self { path, values: Map::new() });
        }
        let values = serde_json::from_slice(&text).map_err(|error| {
            CliError::Invalid(format!("loading config file: {}: {error}", path.display()))
        })?;
        Ok(Self { path, values })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text under a key; an empty one is none.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// The object under a key, empty when there is none.
    pub(crate) fn entries(&self, key: &str) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.values.get(key).and_then(Value::as_object);
        entries.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// Puts `value` under a name of the object under `key`.
    pub(crate) fn insert(&mut self, (key, name): (&str, &str), value: Value) {
        let entries = self.values.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if !entries.is_object() {
            *entries = Value::Object(Map::new());
        }
        if let Some(entries) = entries.as_object_mut() {
            entries.insert(name.to_owned(), value);
        }
    }

    /// Takes a name out of the object under `key`; whether it was there.
    pub(crate) fn remove(&mut self, (key, name): (&str, &str)) -> bool {
        let entries = self.values.get_mut(key).and_then(Value::as_object_mut);
        entries.and_then(|entries| entries.remove(name)).is_some()
    }

    /// Writes it: beside the old one, then in its place, readable for its owner only.
    pub(crate) fn save(&self) -> Result<()> {
        // A link is followed: people keep this file elsewhere.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        if !folder.exists() {
            use std::os::unix::fs::DirBuilderExt as _;
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(folder).map_err(CliError::file("mkdir", folder))?;
        }
        let beside = folder.join(format!("{NAME}.{}.tmp", std::process::id()));
        let result = self
            .write(&beside)
            .and_then(|()| fs::rename(&beside, &path).map_err(CliError::file("rename", &path)));
        if result.is_err() {
            // The first error is the one to tell.
            fs::remove_file(&beside).ok();
        }
        result
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file: File = options.open(path).map_err(CliError::file("open", path))?;
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, tabs);
        serde::Serialize::serialize(&self.values, &mut serializer).map_err(|error| {
            CliError::Invalid(format!("cannot write {}: {error}", path.display()))
        })?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(CliError::file("write", path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_keys_stay_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let text = r#"{"auths":{"a":{"auth":"x"}},"psFormat":"{{.ID}}","plugins":{"p":{"k":"v"}}}"#;
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut config = ConfigFile::open(folder.path()).unwrap();
        config.insert(("auths", "b"), json!({ "auth": "y" }));
        config.save().unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.starts_with("{\n\t\"auths\": {\n\t\t\"a\": {"), "{written}");
        let again: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(again["psFormat"], "{{.ID}}");
        assert_eq!(again["plugins"]["p"]["k"], "v");
        assert_eq!(again["auths"]["b"]["auth"], "y");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_not_there_is_made_with_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/.docker");
        let mut config = ConfigFile::open(&inner).unwrap();
        assert!(!config.remove(("auths", "a")));
        config.insert(("auths", "a"), json!({}));
        config.save().unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        let mut config = ConfigFile::open(&inner).unwrap();
        assert!(config.remove(("auths", "a")));
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("real.json"), "{}").unwrap();
        std::os::unix::fs::symlink("real.json", folder.path().join(NAME)).unwrap();
        let mut config = ConfigFile::open(folder.path()).unwrap();
        config.insert(("auths", "a"), json!({}));
        config.save().unwrap();
        assert!(fs::symlink_metadata(folder.path().join(NAME)).unwrap().is_symlink());
        assert!(fs::read_to_string(folder.path().join("real.json")).unwrap().contains("auths"));
    }

    #[test]
    fn what_is_no_json_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "{oops").unwrap();
        let error = ConfigFile::open(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("loading config file: "), "{error}");
    }
}
