//! What barge's own client says ahead of a build: kept in memory until the build takes it, for a minute at most.
//!
//! Folders of the client are its open descriptors, reached through `/proc` of its process: nothing is copied, and it does
//! not matter what the client's root is. That works for a client of this machine in this daemon's process namespace; any
//! other is told to send an archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use barge_api_types::{BuildCacheRemote, BuildContext, BuildInputs, NamedBuildContext};
use barge_archive::compression::Compression;
use barge_builder::BuildRequest;
use barge_builder::request::{
    AllowedDevices, CacheExport, CacheMode, CacheRemote, Context, DockerfileSource, NamedContext,
    OnFailure, Purpose, Secret,
};
use barge_image::LayoutName;
use barge_types::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags};

use super::request::{invalid, platform};
use super::{attestations, wanted_outputs};
use crate::error::{EngineError, Result};

/// How long inputs wait for their build.
const PATIENCE: Duration = Duration::from_secs(60);

/// Inputs that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<String, (Instant, Prepared)>>);

/// Inputs whose folders are open.
#[derive(Debug)]
pub(super) struct Prepared {
    inputs: BuildInputs,
    /// Of the client, by its descriptors.
    folders: BTreeMap<i32, Folder>,
}

/// A folder of the client, held open by the daemon.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _open: File,
}

/// What is to be kept while a build uses it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    _folders: BTreeMap<i32, Folder>,
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Prepared)>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (since, _)| since.elapsed() < PATIENCE);
        all
    }

    pub(super) fn add(&self, id: String, prepared: Prepared) {
        self.lock().insert(id, (Instant::now(), prepared));
    }

    pub(super) fn take(&self, id: &str) -> Option<Prepared> {
        self.lock().remove(id).map(|(_, prepared)| prepared)
    }

    /// Forgets what nobody took in time, with its secrets.
    pub(super) fn sweep(&self) {
        drop(self.lock());
    }
}

/// How long until [`Waiting::sweep`] finds what came now.
pub(super) const fn patience() -> Duration {
    PATIENCE
}

impl Prepared {
    /// Opens the folders of the client with this process id.
    pub(super) fn open(inputs: BuildInputs, client: Option<i32>) -> Result<Self> {
        let mut wanted = Vec::new();
        if let BuildContext::Folder { fd, .. } = &inputs.context {
            wanted.push(*fd);
        }
        wanted.extend(inputs.named_contexts.values().filter_map(|context| match context {
            NamedBuildContext::Folder { fd } | NamedBuildContext::Layout { fd, .. } => Some(*fd),
            NamedBuildContext::Image { .. }
            | NamedBuildContext::Url { .. }
            | NamedBuildContext::Stage { .. } => None,
        }));
        wanted
            .extend(inputs.cache_from.iter().chain(&inputs.cache_to).filter_map(|cache| cache.fd));
        let mut folders = BTreeMap::new();
        for fd in wanted {
            folders.insert(fd, Folder::open(client, fd)?);
        }
        Ok(Self { inputs, folders })
    }

    /// Whether the body of the request is the context.
    pub(super) fn has_archive(&self) -> bool {
        matches!(self.inputs.context, BuildContext::Tar)
    }

    /// Adds them to a request; the folders are to be kept while it is built.
    pub(super) fn apply(self, request: &mut BuildRequest) -> Result<Kept> {
        let Self { inputs, folders } = self;
        if let BuildContext::Folder { fd, identity } = &inputs.context {
            request.context =
                Context::Folder { path: path_of(&folders, *fd)?, identity: identity.clone() };
        }
        if let Some(dockerfile) = inputs.dockerfile {
            request.dockerfile = DockerfileSource::Text {
                name: dockerfile.name,
                text: dockerfile.text,
                ignore: dockerfile.ignore,
            };
        }
        for (key, context) in inputs.named_contexts {
            request.named_contexts.insert(key, named(context, &folders)?);
        }
        for (id, secret) in inputs.secrets {
            let bytes = STANDARD.decode(&secret.0).map_err(|_| {
                // Nothing of it is shown.
                EngineError::Invalid(format!("invalid secret {id:?}: it is not base64"))
            })?;
            request.secrets.insert(id, Secret(bytes));
        }
        for (id, agent) in inputs.ssh {
            let path = PathBuf::from(&agent.path);
            if !path.is_absolute() {
                return Err(invalid(format!(
                    "invalid SSH agent {id:?}: {} is not absolute",
                    agent.path
                )));
            }
            request.ssh.insert(id, path);
        }
        let remotes = |list: &[BuildCacheRemote]| {
            list.iter().map(|cache| remote(cache, &folders)).collect::<Result<Vec<_>>>()
        };
        request.cache.off_for = inputs.no_cache_filter;
        request.cache.from.extend(remotes(&inputs.cache_from)?);
        let exports = inputs.cache_to.iter().map(|cache| export(cache, &folders));
        request.cache.to = exports.collect::<Result<_>>()?;
        if !inputs.platforms.is_empty() {
            let platforms = inputs.platforms.iter().map(|text| platform(text));
            request.platforms = platforms.collect::<Result<_>>()?;
        }
        request.annotations = inputs.annotations;
        request.outputs = wanted_outputs::parse_all(inputs.outputs, &mut request.annotations)?;
        for entitlement in &inputs.allow {
            allow(entitlement, request)?;
        }
        attestations::apply(&inputs.attestations, request)?;
        request.epoch = inputs.source_date_epoch;
        request.on_failure = match inputs.on_failure.as_deref() {
            None | Some("") => OnFailure::Discard,
            Some("shell") => OnFailure::KeepImage,
            Some(other) => {
                return Err(invalid(format!("unknown --on-failure {other:?}: expected shell")));
            }
        };
        request.purpose = match inputs.call.as_deref() {
            None | Some("" | "build") if inputs.check => Purpose::Check,
            None | Some("" | "build") => Purpose::Build,
            Some("check") => Purpose::Check,
            Some("targets") => Purpose::Targets,
            Some("outline") => Purpose::Outline,
            Some(other) => return Err(invalid(format!("unknown call {other:?} of a build"))),
        };
        Ok(Kept { _folders: folders })
    }
}

impl Folder {
    fn open(client: Option<i32>, fd: i32) -> Result<Self> {
        // 0: it is in a process namespace that this one does not see.
        let Some(client) = client.filter(|pid| *pid > 0) else {
            return Err(EngineError::Invalid(
                "this daemon cannot reach the folder: send it as an archive".to_owned(),
            ));
        };
        let path = PathBuf::from(format!("/proc/{client}/fd/{fd}"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| EngineError::io("open the client's folder", &path)(errno.into()))?;
        // Through this process's own table: it stays what was opened whatever the client does, and steps of the build,
        // which are other processes, find it too.
        let path = Path::new("/proc")
            .join(std::process::id().to_string())
            .join("fd")
            .join(open.as_raw_fd().to_string());
        Ok(Self { path, _open: open.into() })
    }
}

fn path_of(folders: &BTreeMap<i32, Folder>, fd: i32) -> Result<PathBuf> {
    let folder = folders.get(&fd);
    folder.map(|folder| folder.path.clone()).ok_or_else(|| invalid(format!("no folder {fd}")))
}

fn named(context: NamedBuildContext, folders: &BTreeMap<i32, Folder>) -> Result<NamedContext> {
    Ok(match context {
        NamedBuildContext::Folder { fd } => NamedContext::Folder(path_of(folders, fd)?),
        NamedBuildContext::Image { reference } => NamedContext::Image(reference),
        NamedBuildContext::Url { url } => NamedContext::Url(url),
        NamedBuildContext::Stage { stage } => NamedContext::Stage(stage),
        NamedBuildContext::Layout { fd, tag, digest } => NamedContext::Layout {
            folder: path_of(folders, fd)?,
            image: LayoutName {
                tag,
                digest: digest.map(|text| text.parse().map_err(invalid)).transpose()?,
            },
        },
    })
}

fn remote(cache: &BuildCacheRemote, folders: &BTreeMap<i32, Folder>) -> Result<CacheRemote> {
    let reference = || {
        let reference = cache.attributes.get("ref").filter(|text| !text.is_empty());
        let reference =
            reference.ok_or_else(|| invalid(format!("cache of type {} needs ref=", cache.kind)))?;
        // What cannot be a name is said before anything is built.
        reference.parse::<Reference>().map_err(invalid)?;
        Ok::<_, EngineError>(reference.clone())
    };
    match (cache.kind.as_str(), cache.fd) {
        ("" | "image", _) => Ok(CacheRemote::Image(reference()?)),
        ("registry", _) => Ok(CacheRemote::Registry(reference()?)),
        ("inline", _) => Ok(CacheRemote::Inline),
        ("local", Some(fd)) => Ok(CacheRemote::Folder(path_of(folders, fd)?)),
        ("local", None) => Err(invalid("a local cache needs a daemon on this machine")),
        (other, _) => Err(EngineError::NotImplemented(format!(
            "cache type {other:?} is not supported: expected registry, local or inline"
        ))),
    }
}

/// A `--cache-to`; what of it has no effect is refused by its name.
fn export(cache: &BuildCacheRemote, folders: &BTreeMap<i32, Folder>) -> Result<CacheExport> {
    let kind = cache.kind.as_str();
    let unsupported = |key: &str, value: &str| {
        let text = format!("--cache-to type={kind},{key}={value} is not supported");
        EngineError::NotImplemented(text)
    };
    let mut export = CacheExport {
        to: remote(cache, folders)?,
        mode: CacheMode::Min,
        // BuildKit's.
        compression: Compression::Gzip,
        ignores_errors: false,
    };
    // Not the layers of the image, but archives beside it.
    let is_whole = kind == "local" || kind == "registry";
    for (key, value) in &cache.attributes {
        match (key.as_str(), value.as_str()) {
            // A cache in a registry is a manifest as images have it anyway.
            ("oci-mediatypes" | "image-manifest", "true") if kind == "registry" => {}
            ("ref", _) | ("mode", "min") => {}
            ("mode", "max") if is_whole => export.mode = CacheMode::Max,
            ("mode", "max") => return Err(unsupported(key, value)),
            ("mode", _) => return Err(invalid(format!("--cache-to mode={value}: min or max"))),
            ("compression", "gzip") => export.compression = Compression::Gzip,
            ("compression", "zstd") if is_whole => export.compression = Compression::Zstd,
            ("compression", "uncompressed") if is_whole => {
                export.compression = Compression::None;
            }
            // What is packed otherwise is packed anew.
            ("force-compression", "true" | "false") if is_whole => {}
            ("ignore-error", "true" | "false") if is_whole => {
                export.ignores_errors = value == "true";
            }
            _ => return Err(unsupported(key, value)),
        }
    }
    Ok(export)
}

fn allow(entitlement: &str, request: &mut BuildRequest) -> Result<()> {
    match entitlement {
        "security.insecure" => request.allows_insecure = true,
        "device" => request.devices = AllowedDevices::All,
        "network.host" => request.allows_host_network = true,
        other => match (other.strip_prefix("device="), &mut request.devices) {
            (Some(_), AllowedDevices::All) => {}
            (Some(name), AllowedDevices::Named(names)) => names.push(name.to_owned()),
            (Some(name), AllowedDevices::None) => {
                request.devices = AllowedDevices::Named(vec![name.to_owned()]);
            }
            (None, _) => return Err(invalid(format!("unknown entitlement {other:?}"))),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use barge_api_types::BuildSecret;

    use super::*;

    #[test]
    fn a_folder_of_this_process_is_reached_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), "in it").unwrap();
        let open = File::open(folder.path()).unwrap();
        let context = BuildContext::Folder { fd: open.as_raw_fd(), identity: "/a".to_owned() };
        let inputs = BuildInputs { context, ..BuildInputs::default() };
        let own = i32::try_from(std::process::id()).unwrap();
        let prepared = Prepared::open(inputs, Some(own)).unwrap();
        drop(open);
        let mut request = BuildRequest::default();
        let kept = prepared.apply(&mut request).unwrap();
        let Context::Folder { path, identity } = request.context else { panic!("no folder") };
        assert_eq!(std::fs::read_to_string(path.join("x")).unwrap(), "in it");
        assert_eq!(identity, "/a");
        drop(kept);
    }

    #[test]
    fn a_client_that_is_elsewhere_is_told_to_send_an_archive() {
        let context = BuildContext::Folder { fd: 0, identity: String::new() };
        let inputs = BuildInputs { context, ..BuildInputs::default() };
        for client in [None, Some(0)] {
            let error = Prepared::open(inputs.clone(), client).unwrap_err();
            let text = "this daemon cannot reach the folder: send it as an archive";
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_secret_that_is_no_base64_is_not_shown() {
        let secrets = BTreeMap::from([("k".to_owned(), BuildSecret("!hush!".to_owned()))]);
        let inputs = BuildInputs { secrets, ..BuildInputs::default() };
        let error = Prepared::open(inputs, None).unwrap().apply(&mut BuildRequest::default());
        assert_eq!(error.unwrap_err().to_string(), "invalid secret \"k\": it is not base64");
    }

    #[test]
    fn inputs_are_taken_once() {
        let waiting = Waiting::default();
        waiting.add("a".to_owned(), Prepared::open(BuildInputs::default(), None).unwrap());
        assert!(waiting.take("a").is_some());
        assert!(waiting.take("a").is_none());
    }
}
