//! An image as a list of facts, so that two can be compared fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::Files;

/// Names of facts (`tree /etc/passwd`, `config Cmd`, `history 3`) with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(pub(crate) BTreeMap<String, String>);

/// What a fact is called that tells why there is no image.
pub(crate) const FAILURE: &str = "build";

/// Members of a configuration that say how or where an image was made, not what it is.
const OF_THE_BUILDER: [&str; 3] = ["Hostname", "Domainname", "Image"];

impl Facts {
    /// There is no image.
    pub(crate) fn of_failure(text: &str) -> Self {
        let last = text.trim().lines().last().unwrap_or_default();
        Self(BTreeMap::from([(FAILURE.to_owned(), format!("failed: {last}"))]))
    }

    pub(crate) fn of_image(config: &Value, files: &Files) -> Self {
        let mut facts = BTreeMap::new();
        for (path, line) in files {
            facts.insert(format!("tree /{}", path.escape_ascii()), line.clone());
        }
        for name in ["architecture", "os", "variant", "author"] {
            add(&mut facts, name, &config[name]);
        }
        for (name, value) in config["config"].as_object().into_iter().flatten() {
            if !OF_THE_BUILDER.contains(&name.as_str()) {
                add(&mut facts, name, value);
            }
        }
        let layers = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
        facts.insert("layers".to_owned(), layers.to_string());
        for (number, step) in config["history"].as_array().into_iter().flatten().enumerate() {
            let text = |name: &str| step[name].as_str().unwrap_or_default();
            let kind = if step["empty_layer"] == true { "empty" } else { "layer" };
            let line = format!("{kind} {} ({})", text("created_by"), text("comment"));
            facts.insert(format!("history {number}"), line);
        }
        Self(facts)
    }

    /// What is different in `other`: the fact with the values here and there.
    pub(crate) fn against<'a>(&'a self, other: &'a Self) -> Vec<Difference<'a>> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let values = names.into_iter().map(|name| Difference {
            fact: name,
            here: self.0.get(name).map(String::as_str),
            there: other.0.get(name).map(String::as_str),
        });
        let mut differences: Vec<Difference<'_>> =
            values.filter(|difference| difference.here != difference.there).collect();
        // Beside an image that is not there at all, everything is different.
        if differences.iter().any(|difference| difference.fact == FAILURE) {
            differences.retain(|difference| difference.fact == FAILURE);
        }
        differences
    }

    /// Without facts whose names start so.
    pub(crate) fn without(mut self, prefixes: &[&str]) -> Self {
        self.0.retain(|name, _| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
        self
    }

    /// These facts as lines of what is not so in `base`, as a case writes them down.
    pub(crate) fn beyond(&self, base: &Self) -> Vec<String> {
        let differences = self.against(base).into_iter();
        differences
            .map(|Difference { fact, here, .. }| format!("{fact}: {}", here.unwrap_or("gone")))
            .collect()
    }
}

/// One fact that two images do not have in common.
#[derive(Clone, Debug)]
pub(crate) struct Difference<'a> {
    pub(crate) fact: &'a str,
    pub(crate) here: Option<&'a str>,
    pub(crate) there: Option<&'a str>,
}

/// Absent, null, empty and false are one thing, as they are to Docker.
fn add(facts: &mut BTreeMap<String, String>, name: &str, value: &Value) {
    let is_nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    if !is_nothing {
        facts.insert(format!("config {name}"), canonical(value));
    }
}

/// JSON with the members of objects in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members =
                sorted.iter().map(|(name, value)| format!("{name:?}:{}", canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.to_string()
        }
    }
}
