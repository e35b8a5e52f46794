//! What a log driver writes beside each line: labels and variables of the container that the user
//! chose, and a tag.

use std::collections::BTreeMap;

use regex_lite::Regex;

use crate::drivers::JsonFile;
use crate::error::LogError;
use crate::tag::tag;

/// The container that a log belongs to.
#[derive(Debug, Clone, Copy)]
pub struct LogSubject<'a> {
    /// The container's whole id.
    pub id: &'a str,
    /// Its name, without `/`.
    pub name: &'a str,
    /// Its image's whole id, with `sha256:`.
    pub image_id: &'a str,
    /// The name by which the image was chosen.
    pub image_name: &'a str,
    /// Its entry point and arguments.
    pub command: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its environment: `NAME=value`.
    pub env: &'a [String],
}

/// Works out the options `labels`, `labels-regex`, `env` and `env-regex`, and for `json-file` also
/// `tag`, which remote drivers have a place of their own for.
pub fn attributes(
    driver: &str,
    options: &BTreeMap<String, String>,
    subject: &LogSubject<'_>,
) -> Result<BTreeMap<String, String>, LogError> {
    let mut chosen = BTreeMap::new();
    let labels = || subject.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env = || subject.env.iter().filter_map(|variable| variable.split_once('='));
    choose(options, "labels", labels(), &mut chosen)?;
    choose(options, "env", env(), &mut chosen)?;
    if driver == JsonFile::NAME && options.get("tag").is_some_and(|tag| !tag.is_empty()) {
        chosen.insert("tag".to_owned(), tag(options, subject)?);
    }
    Ok(chosen)
}

/// Whether the options about attributes can be worked out for any container.
pub(crate) fn check_attributes(options: &BTreeMap<String, String>) -> Result<(), LogError> {
    // Plausible, so that a template that takes names apart finds parts.
    let nobody = LogSubject {
        id: &"0".repeat(64),
        name: "name",
        image_id: &format!("sha256:{}", "0".repeat(64)),
        image_name: "registry/image:tag",
        command: "command",
        labels: &BTreeMap::new(),
        env: &[],
    };
    tag(options, &nobody)?;
    attributes(JsonFile::NAME, options, &nobody).map(drop)
}

fn choose<'a>(
    options: &BTreeMap<String, String>,
    option: &str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    chosen: &mut BTreeMap<String, String>,
) -> Result<(), LogError> {
    let names: Vec<&str> =
        options.get(option).map(|list| list.split(',').collect()).unwrap_or_default();
    let expression = option.to_owned() + "-regex";
    let pattern = match options.get(&expression).filter(|pattern| !pattern.is_empty()) {
        Some(pattern) => Some(Regex::new(pattern).map_err(|error| {
            LogError::bad_option(format!("cannot parse log opt {expression} {pattern:?}: {error}"))
        })?),
        None => None,
    };
    for (name, value) in pairs {
        if names.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name)) {
            chosen.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work_out(options: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let labels = [("app", "shop"), ("tier", "web"), ("team", "x")].iter().map(owned).collect();
        let env = ["PATH=/bin", "APP_A=1=2", "NOTHING"].map(str::to_owned);
        let subject = LogSubject {
            id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            name: "web1",
            image_id: "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
            image_name: "busybox:latest",
            command: "sh -c x",
            labels: &labels,
            env: &env,
        };
        attributes("json-file", &options.iter().map(owned).collect(), &subject)
            .map_err(|error| error.to_string())
    }

    fn pairs(options: &[(&str, &str)]) -> String {
        let list: Vec<_> = work_out(options)
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        list.join(" ")
    }

    #[test]
    fn labels_and_variables_are_chosen_by_name_and_by_pattern() {
        assert_eq!(pairs(&[]), "");
        assert_eq!(pairs(&[("labels", "app,nosuch,tier")]), "app=shop tier=web");
        assert_eq!(pairs(&[("labels-regex", "^t")]), "team=x tier=web");
        assert_eq!(
            pairs(&[("env", "PATH,NOTHING"), ("env-regex", "^APP_")]),
            "APP_A=1=2 PATH=/bin"
        );
        assert!(
            work_out(&[("env-regex", "(")])
                .unwrap_err()
                .starts_with("cannot parse log opt env-regex")
        );
    }

    #[test]
    fn only_json_file_writes_the_tag_beside_the_line() {
        assert_eq!(pairs(&[("tag", "{{.Name}}")]), "tag=web1");
        assert_eq!(pairs(&[("tag", "")]), "");
        let options = BTreeMap::from([("tag".to_owned(), "x".to_owned())]);
        let subject = LogSubject {
            id: "",
            name: "",
            image_id: "",
            image_name: "",
            command: "",
            labels: &BTreeMap::new(),
            env: &[],
        };
        assert!(attributes("syslog", &options, &subject).unwrap().is_empty());
    }
}
