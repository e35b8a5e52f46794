//! Variables: those before the first `FROM`, and those of a stage.

use std::collections::{BTreeMap, HashSet};

use barge_dockerfile::ast::{ArgWord, Dockerfile, From};
use barge_types::Platform;

use crate::error::{BuildError, Result};
use crate::execute::weight::{MOST_OF_ONE, too_much};
use crate::request::BuildRequest;
use crate::words::Words;

/// Arguments that every process of a build sees and that no instruction has to declare; they are in no cache key and in
/// no history.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What `FROM` may use and what `ARG` in a stage takes over.
#[derive(Clone, Debug)]
pub(crate) struct Globals {
    words: Words,
    /// `ARG` before the first `FROM`, in their order.
    args: Vec<(String, Option<String>)>,
    /// `TARGETPLATFORM` and so on.
    predefined: BTreeMap<&'static str, String>,
    /// `--build-arg`.
    given: BTreeMap<String, String>,
}

impl Globals {
    pub(crate) fn new(
        dockerfile: &Dockerfile,
        request: &BuildRequest,
        (platform, target): (&Platform, &str),
    ) -> Result<Self> {
        let given = request.build_args.iter();
        let given = given.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let mut globals = Self {
            words: Words::new(dockerfile.directives.escape),
            args: Vec::new(),
            predefined: predefined(platform, target),
            given: given.collect(),
        };
        let mut size = 0_usize;
        for line in &dockerfile.global_args {
            for arg in &line.value {
                let value = match globals.given.get(&arg.name) {
                    Some(value) => Some(value.clone()),
                    None => globals.default_of(arg)?,
                };
                size = size.saturating_add(value.as_ref().map_or(0, String::len));
                if size > MOST_OF_ONE {
                    return Err(too_much("the arguments before the first FROM", MOST_OF_ONE));
                }
                globals.args.push((arg.name.clone(), value));
            }
        }
        Ok(globals)
    }

    fn default_of(&self, arg: &ArgWord) -> Result<Option<String>> {
        match &arg.default {
            Some(text) => self.words.one(text, &|name| self.value(name)).map(Some),
            None => Ok(self.predefined.get(arg.name.as_str()).cloned()),
        }
    }

    /// A variable before the first `FROM`.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let declared = self.args.iter().rev().find(|(declared, _)| declared == name);
        let value = declared.and_then(|(_, value)| value.clone());
        value.or_else(|| {
            let predefined = self.predefined.get(name)?;
            Some(self.given.get(name).unwrap_or(predefined).clone())
        })
    }

    /// The name after `FROM`.
    pub(crate) fn base_name(&self, from: &From) -> Result<String> {
        let name = self.words.one(&from.image, &|name| self.value(name))?;
        if name.is_empty() {
            return Err(BuildError::Invalid(format!(
                "base name ({}) should not be blank",
                from.image
            )));
        }
        Ok(name)
    }

    /// `FROM --platform`.
    pub(crate) fn platform(&self, from: &From) -> Result<Option<Platform>> {
        let Some(text) = &from.platform else { return Ok(None) };
        let word = self.words.one(text, &|name| self.value(name))?;
        if word.is_empty() {
            return Err(BuildError::Invalid(format!(
                "empty platform value from expression {text}"
            )));
        }
        let platform = word.parse::<Platform>();
        platform.map(Some).map_err(|error| BuildError::Invalid(error.to_string()))
    }

    /// What an `ARG` of a stage is: what was given, its default, what it is globally.
    pub(crate) fn arg(
        &self,
        arg: &ArgWord,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>> {
        if let Some(value) = self.given.get(&arg.name) {
            return Ok(Some(value.clone()));
        }
        match &arg.default {
            Some(text) => self.words.one(text, lookup).map(Some),
            None => Ok(self.value(&arg.name)),
        }
    }

    /// Arguments that were given and that neither the file nor a stage declared, sorted: most likely misspelt.
    pub(crate) fn unused<'a>(&'a self, declared: &HashSet<&str>) -> Vec<&'a str> {
        let is_known = |name: &str| {
            PROXIES.contains(&name)
                || self.predefined.contains_key(name)
                || self.args.iter().any(|(declared, _)| declared == name)
                // For the builder itself.
                || name == "SOURCE_DATE_EPOCH"
                || name.starts_with("BUILDKIT_")
        };
        let given = self.given.keys().map(String::as_str);
        given.filter(|name| !declared.contains(name) && !is_known(name)).collect()
    }

    /// Proxies that were given.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        let given = self.given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        given.filter(|(name, _)| PROXIES.contains(name))
    }

    /// What words are expanded by.
    pub(crate) fn words(&self) -> Words {
        self.words
    }
}

fn predefined(platform: &Platform, target: &str) -> BTreeMap<&'static str, String> {
    let host = Platform::host();
    let variant = |platform: &Platform| platform.variant().unwrap_or_default().to_owned();
    BTreeMap::from([
        ("BUILDPLATFORM", host.to_string()),
        ("BUILDOS", host.os().to_owned()),
        ("BUILDARCH", host.architecture().to_owned()),
        ("BUILDVARIANT", variant(&host)),
        ("TARGETPLATFORM", platform.to_string()),
        ("TARGETOS", platform.os().to_owned()),
        ("TARGETARCH", platform.architecture().to_owned()),
        ("TARGETVARIANT", variant(platform)),
        ("TARGETSTAGE", target.to_owned()),
    ])
}
