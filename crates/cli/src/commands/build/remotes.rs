//! `--cache-from`, `--cache-to` and `--build-context`: things that are elsewhere, and folders of
//! ours among them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use barge_api_types::{BuildCacheRemote, NamedBuildContext};
use barge_types::Digest;

use super::context::is_url;
use super::fields::{self, wrong};
use super::folders::Folders;
use crate::error::{CliError, Result};

/// Which way the cache goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    From,
    To,
}

impl Way {
    fn flag(self) -> &'static str {
        match self {
            Self::From => "--cache-from",
            Self::To => "--cache-to",
        }
    }

    /// What `type=local` calls its folder.
    fn folder(self) -> &'static str {
        match self {
            Self::From => "src",
            Self::To => "dest",
        }
    }
}

/// All of one of the cache's flags.
pub(super) fn caches(
    texts: &[String],
    way: Way,
    folders: &mut Folders,
) -> Result<Vec<BuildCacheRemote>> {
    let all = texts.iter().map(|text| cache(text, way, folders));
    all.filter_map(Result::transpose).collect()
}

/// None for a folder to be read that is not there: the first build of a machine has none.
fn cache(text: &str, way: Way, folders: &mut Folders) -> Result<Option<BuildCacheRemote>> {
    if !text.contains('=') {
        // A reference alone is taken for an image that has its cache with it, or a registry's.
        let kind = if way == Way::To { "registry" } else { "" };
        return Ok(Some(BuildCacheRemote {
            kind: kind.to_owned(),
            attributes: [("ref".to_owned(), text.to_owned())].into(),
            fd: None,
        }));
    }
    let mut attributes: BTreeMap<String, String> = fields::parse(text)?.into_iter().collect();
    let flag = way.flag();
    let kind = attributes
        .remove("type")
        .ok_or_else(|| wrong(format!("{flag}: type is required in {text:?}")))?;
    if way == Way::From {
        refuse_unknown(&kind, &attributes)?;
    }
    let mut fd = None;
    match (kind.as_str(), way) {
        ("registry", _) if !attributes.contains_key("ref") => {
            return Err(wrong(format!("{flag}: ref is required for type=registry")));
        }
        ("registry", _) | ("inline", Way::To) => {}
        ("local", _) => {
            let path = attributes.remove(way.folder()).filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| {
                wrong(format!("{flag}: {} is required for type=local", way.folder()))
            })?;
            if way == Way::To {
                fs::create_dir_all(&path).map_err(CliError::file("mkdir", &path))?;
            } else if !Path::new(&path).exists() {
                folders.warn(format!(
                    "WARNING: {flag}: there is no folder {path}: building without it"
                ));
                return Ok(None);
            }
            fd = Some(folders.open(Path::new(&path), flag)?);
        }
        (other, _) => {
            let all =
                if way == Way::From { "local and registry" } else { "inline, local and registry" };
            return Err(wrong(format!(
                "{flag}: cache type {other:?} is not supported: there are {all}"
            )));
        }
    }
    Ok(Some(BuildCacheRemote { kind, fd, attributes }))
}

/// What would have no effect. Of `--cache-to` the daemon says it.
fn refuse_unknown(kind: &str, attributes: &BTreeMap<String, String>) -> Result<()> {
    let known = match kind {
        "local" => "src",
        "registry" => "ref",
        // Refused by its type.
        _ => return Ok(()),
    };
    match attributes.iter().find(|(key, _)| *key != known) {
        Some((key, value)) => {
            Err(wrong(format!("--cache-from type={kind},{key}={value} is not supported")))
        }
        None => Ok(()),
    }
}

/// All of `--build-context`.
pub(super) fn named_contexts(
    texts: &[String],
    folders: &mut Folders,
) -> Result<BTreeMap<String, NamedBuildContext>> {
    let mut contexts = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| wrong(format!("invalid context value: {text}, expected k=v")))?;
        contexts.insert(name.to_owned(), named_context(value, folders)?);
    }
    Ok(contexts)
}

fn named_context(value: &str, folders: &mut Folders) -> Result<NamedBuildContext> {
    if let Some(reference) = value.strip_prefix("docker-image://") {
        return Ok(NamedBuildContext::Image { reference: reference.to_owned() });
    }
    if let Some(stage) = value.strip_prefix("target:") {
        return Ok(NamedBuildContext::Stage { stage: stage.to_owned() });
    }
    if let Some(layout) = value.strip_prefix("oci-layout://") {
        return oci_layout(layout, folders);
    }
    let path = Path::new(value);
    if path.is_dir() {
        return Ok(NamedBuildContext::Folder { fd: folders.open(path, "--build-context")? });
    }
    if is_url(value) {
        return Ok(NamedBuildContext::Url { url: value.to_owned() });
    }
    Err(wrong(format!("failed to get build context path {value:?}: no such folder")))
}

/// `path[:tag][@digest]`, as buildx has it.
fn oci_layout(text: &str, folders: &mut Folders) -> Result<NamedBuildContext> {
    let (rest, digest) = match text.rsplit_once('@') {
        Some((rest, digest)) => {
            let digest: Digest = digest.parse().map_err(|error| {
                wrong(format!("--build-context oci-layout://{text}: invalid digest: {error}"))
            })?;
            (rest, Some(digest.to_string()))
        }
        None => (text, None),
    };
    // A folder may have a colon in its name, a tag no slash.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
        Some(_) | None => (rest, None),
    };
    let folder = Path::new(path);
    if !folder.join("index.json").is_file() {
        return Err(wrong(format!(
            "--build-context oci-layout://{text}: {path} is no OCI layout: it has no index.json"
        )));
    }
    let tag = tag.filter(|tag| !tag.is_empty());
    Ok(NamedBuildContext::Layout { fd: folders.open(folder, "--build-context")?, tag, digest })
}

#[cfg(test)]
mod tests {
    use super::super::folders::Reach;
    use super::*;

    #[test]
    fn a_cache_is_in_a_registry_in_a_folder_or_in_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_string_lossy().into_owned();
        let mut folders = Folders::new(Reach::Descriptors);
        let mut from = |text: &str| cache(text, Way::From, &mut folders);
        assert_eq!(from("user/app").unwrap().unwrap().attributes["ref"], "user/app");
        assert_eq!(from("user/app").unwrap().unwrap().kind, "");
        assert_eq!(from("type=registry,ref=a").unwrap().unwrap().kind, "registry");
        let local = from(&format!("type=local,src={path}")).unwrap().unwrap();
        assert!(local.fd.is_some() && local.attributes.is_empty(), "{local:?}");
        for (text, message) in [
            ("type=gha", "--cache-from: cache type \"gha\" is not supported"),
            ("type=registry", "--cache-from: ref is required"),
            ("type=local", "--cache-from: src is required"),
            ("ref=a", "--cache-from: type is required"),
            (
                "type=local,src=/nonexist,foo=bar",
                "--cache-from type=local,foo=bar is not supported",
            ),
            ("type=local,src=/nonexist,tag=v1", "--cache-from type=local,tag=v1 is not supported"),
            (
                "type=registry,ref=a,digest=b",
                "--cache-from type=registry,digest=b is not supported",
            ),
        ] {
            let error = from(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let made = format!("{path}/made/here");
        assert!(from(&format!("type=local,src={path}/none")).unwrap().is_none());
        let mut to = |text: &str| cache(text, Way::To, &mut folders).unwrap().unwrap();
        let local = to(&format!("type=local,dest={made},mode=max"));
        assert_eq!(local.attributes, [("mode".to_owned(), "max".to_owned())].into());
        assert!(Path::new(&made).is_dir());
        assert_eq!(to("a/b").kind, "registry");
        assert_eq!(to("type=inline").kind, "inline");
    }

    #[test]
    fn a_named_context_is_an_image_a_stage_an_address_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_string_lossy().into_owned();
        let mut folders = Folders::new(Reach::Descriptors);
        let texts = ["i=docker-image://a:1", "s=target:build", "u=https://h/x.git#v1"];
        let mut texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        texts.push(format!("f={path}"));
        let all = named_contexts(&texts, &mut folders).unwrap();
        assert_eq!(all["i"], NamedBuildContext::Image { reference: "a:1".to_owned() });
        assert_eq!(all["s"], NamedBuildContext::Stage { stage: "build".to_owned() });
        assert_eq!(all["u"], NamedBuildContext::Url { url: "https://h/x.git#v1".to_owned() });
        assert!(matches!(all["f"], NamedBuildContext::Folder { .. }));
        for text in ["x", "=y", "x=", "x=/nonexist/folder", "x=oci-layout://y"] {
            assert!(named_contexts(&[text.to_owned()], &mut folders).is_err(), "{text}");
        }
        fs::write(folder.path().join("index.json"), "{}").unwrap();
        let digest = format!("sha256:{}", "1".repeat(64));
        for (end, tag, wanted) in [
            (String::new(), None, None),
            (":v1".to_owned(), Some("v1"), None),
            (format!("@{digest}"), None, Some(&digest)),
            (format!(":v1@{digest}"), Some("v1"), Some(&digest)),
        ] {
            let all = named_contexts(&[format!("l=oci-layout://{path}{end}")], &mut folders);
            let NamedBuildContext::Layout { tag: found, digest, .. } = &all.unwrap()["l"] else {
                panic!("{end}")
            };
            assert_eq!((found.as_deref(), digest.as_ref()), (tag, wanted), "{end}");
        }
        let wrong = named_contexts(&[format!("l=oci-layout://{path}@sha256:1")], &mut folders);
        assert!(wrong.unwrap_err().to_string().contains("invalid digest"));
        let mut far = Folders::new(Reach::Archives);
        let error = named_contexts(&[format!("f={path}")], &mut far).unwrap_err().to_string();
        assert!(error.contains("--build-context") && error.contains("same machine"), "{error}");
    }
}
