//! A request as a tree of fields that are taken out one by one.

use barge_api_types::ContainerCreateRequest;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{CliError, Result};

/// What of a request was not said yet.
#[derive(Debug)]
pub(super) struct Fields(Value);

impl Fields {
    pub(super) fn of(request: &ContainerCreateRequest) -> Result<Self> {
        serde_json::to_value(request).map(Self).map_err(|error| unreadable(&error))
    }

    /// Takes the value at a path like `HostConfig.Memory`; the type's empty value when there is none.
    pub(super) fn take<T: DeserializeOwned + Default>(&mut self, path: &str) -> Result<T> {
        let mut at = &mut self.0;
        for name in path.split('.') {
            match at.get_mut(name) {
                Some(field) => at = field,
                None => return Ok(T::default()),
            }
        }
        let value: Option<T> =
            serde_json::from_value(at.take()).map_err(|error| unreadable(&error))?;
        Ok(value.unwrap_or_default())
    }

    /// The value at a path, which stays.
    pub(super) fn get<T: DeserializeOwned + Default>(&self, path: &str) -> Result<T> {
        Self(self.0.clone()).take(path)
    }

    /// Takes text that says something.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<String>> {
        Ok(Some(self.take::<String>(path)?).filter(|text| !text.is_empty()))
    }

    /// The same for a number that says something.
    pub(super) fn number(&mut self, path: &str) -> Result<Option<i64>> {
        Ok(Some(self.take::<i64>(path)?).filter(|number| *number != 0))
    }

    /// The paths of what is left and means something.
    pub(super) fn left(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&self.0, "", &mut paths);
        paths
    }
}

fn unreadable(error: &serde_json::Error) -> CliError {
    CliError::Invalid(format!("the request that the daemon kept cannot be read: {error}"))
}

fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
    let is_empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(|value| *value == 0),
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect(value, &format!("{path}{dot}{name}"), paths);
            }
            true
        }
    };
    if !is_empty {
        paths.push(path.to_owned());
    }
}
