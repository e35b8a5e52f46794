//! Caches in registries: a manifest whose configuration describes the cache, and whose layers are its archives.

use std::fs::File;
use std::io::{Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use barge_archive::Digester;
use barge_builder::runner::Cancel;
use barge_builder::sources::{CacheFiles, CacheName};
use barge_oci::image::{Descriptor, Manifest, media_type};
use barge_registry::{Access, BlobSource, BlobUpload, RegistryError, Repository, Selector};
use barge_types::{Digest, Reference};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::super::request::invalid;
use super::BuildSources;
use crate::error::{EngineError, Result};

/// What describes a cache.
const INDEX: &str = "application/vnd.barge.cache.config.v1+json";
/// An archive of it; how it is compressed, its first bytes say.
const ARCHIVE: &str = "application/vnd.barge.cache.layer.v1";
/// The longest description that is read.
const LONGEST: usize = 64 << 20;
/// Archives that are sent at once.
const AT_ONCE: usize = 4;

impl BuildSources {
    fn cache(&self, name: &CacheName<'_>, access: Access) -> Result<(Repository, Selector)> {
        let reference: Reference = name.reference.parse().map_err(invalid)?;
        let credentials = self.credentials(name.client, &reference);
        let repository = self.images.registries.client.repository(&reference, credentials, access);
        Ok((repository, Selector::of(&reference)))
    }

    pub(super) fn push_cache(
        &self,
        to: &CacheName<'_>,
        cache: &CacheFiles,
        cancel: &Cancel,
    ) -> Result<()> {
        let (repository, selector) = self.cache(to, Access::PullAndPush)?;
        let mut uploads = Vec::new();
        for (digest, path) in &cache.archives {
            let size = std::fs::metadata(path).map_err(EngineError::io("look at", path))?.len();
            uploads.push(upload((*digest, size), in_file(path)));
        }
        let layers = uploads.iter().map(|upload| descriptor(ARCHIVE, upload)).collect();
        let index: Arc<[u8]> = cache.index.as_slice().into();
        let size = u64::try_from(index.len()).unwrap_or(u64::MAX);
        let config = upload((Digester::of(&index), size), in_memory(index));
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            config: descriptor(INDEX, &config),
            layers,
            ..Manifest::default()
        };
        uploads.push(config);
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| EngineError::Record { path: to.reference.to_owned(), source })?;
        let work = async {
            let sent = uploads.iter().map(|upload| repository.push_blob(upload, Arc::new(|_| {})));
            stream::iter(sent).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
            repository.put_manifest(&selector, media_type::OCI_MANIFEST, bytes.into()).await?;
            Ok(())
        };
        self.wait(work, cancel)
    }

    /// None when the name has no manifest, or that of something else.
    pub(super) fn read_cache(
        &self,
        from: &CacheName<'_>,
        cancel: &Cancel,
    ) -> Result<Option<Vec<u8>>> {
        let (repository, selector) = self.cache(from, Access::Pull)?;
        let work = async {
            let found = match repository.manifest(&selector).await {
                Err(
                    RegistryError::NoSuchManifest { .. } | RegistryError::NoSuchRepository { .. },
                ) => return Ok(None),
                found => found?,
            };
            let manifest = serde_json::from_slice::<Manifest>(&found.bytes).ok();
            let Some(manifest) = manifest.filter(|manifest| manifest.config.media_type == INDEX)
            else {
                return Ok(None);
            };
            let digest = manifest.config.digest.parse().map_err(invalid)?;
            let index = repository.small_blob(&digest, LONGEST).await?;
            Ok(Some(index.to_vec()))
        };
        self.wait(work, cancel)
    }

    pub(super) fn fetch_archive(
        &self,
        from: &CacheName<'_>,
        (digest, into): (&Digest, &mut File),
        cancel: &Cancel,
    ) -> Result<()> {
        let (repository, _) = self.cache(from, Access::Pull)?;
        let work = async {
            let mut blob = repository.blob(digest, 0).await?;
            while let Some(bytes) = blob.next().await {
                // Blocking, on a thread of the build's own.
                into.write_all(&bytes?).map_err(EngineError::io("write", "what is downloaded"))?;
            }
            Ok(())
        };
        self.wait(work, cancel)
    }
}

fn upload((digest, size): (Digest, u64), open: BlobSource) -> BlobUpload {
    BlobUpload { digest, size, mount_from: Vec::new(), open }
}

fn descriptor(media_type: &str, upload: &BlobUpload) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: upload.digest.to_string(),
        size: i64::try_from(upload.size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}

fn in_file(path: &Path) -> BlobSource {
    let path = path.to_owned();
    Arc::new(move |offset| {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file) as Box<dyn Read + Send>)
    })
}

fn in_memory(bytes: Arc<[u8]>) -> BlobSource {
    Arc::new(move |offset| {
        let mut cursor = Cursor::new(Arc::clone(&bytes));
        cursor.set_position(offset);
        Ok(Box::new(cursor) as Box<dyn Read + Send>)
    })
}
