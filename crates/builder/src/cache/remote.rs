//! Caches that are elsewhere: folders of archives, the same in a registry, and images that say what their layers were
//! made from.
//!
//! A folder is `barge-cache.json` with what there is and `blobs/<digest>` with archives, compressed or not: of
//! layers, and of cache mounts, which go with it. In a registry that file is the configuration of a manifest, and each
//! archive one of its layers; an archive is downloaded when it is needed. Nothing of it is believed: an archive counts
//! once its bytes have the digest that names it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use barge_archive::compression::{Compression, Decoder, Encoder, MAGIC_LENGTH, detect};
use barge_archive::extract::{ApplyOptions, Limits, Whiteouts};
use barge_archive::pack::PackOptions;
use barge_archive::{DigestReader, DigestWriter};
use barge_image::{Held, ImageStore};
use barge_oci::image::ImageConfig;
use barge_storage::{LayerId, StorageDriver};
use barge_sys::durable::{self, Durability};
use barge_types::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{BuildError, Result};
use crate::sources::CacheFiles;

/// The version of what is written.
const VERSION: u32 = 1;
/// What is in a folder.
const INDEX: &str = "barge-cache.json";
/// The field of an image's configuration that says what its layers were made from.
pub(crate) const FIELD: &str = "barge.cache.v1";
/// The most that an archive may unpack to.
const LIMITS: Limits = Limits { entries: 20_000_000, bytes: 1 << 42 };

/// What a folder holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    version: u32,
    layers: Vec<KeptLayer>,
    mounts: Vec<KeptMount>,
}

/// A layer and all words for what it was made from, its key first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptLayer {
    pub(crate) keys: Vec<Digest>,
    pub(crate) description: String,
    /// Of its archive in a folder; of the archive it has in the image otherwise.
    pub(crate) blob: Digest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptMount {
    name: String,
    id: String,
    blob: Digest,
}

/// An archive of a cache.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub(crate) origin: Origin,
    pub(crate) digest: Digest,
}

/// Where archives of a cache are.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In a folder, under their digests.
    Folder(PathBuf),
    /// In the registry that this reference names.
    Registry(String),
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Origin::Folder(_) => write!(f, "archive {} of a local cache", self.digest.hex()),
            Origin::Registry(reference) => {
                write!(f, "archive {} of {reference}", self.digest.hex())
            }
        }
    }
}

/// Opens an archive where it is.
pub(crate) type Open<'a> = &'a dyn Fn(&Archive) -> Result<File>;

/// Where a layer can be had.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// As an archive.
    Archive(Archive),
    /// A layer of an image that is here.
    Layer(LayerId),
}

/// All caches that a build was told of.
#[derive(Debug, Default)]
pub(crate) struct Remotes {
    layers: HashMap<Digest, (Digest, Place)>,
    mounts: HashMap<String, Archive>,
    /// Keeps the images where they are.
    held: Vec<Held>,
}

impl Remotes {
    /// Adds what a folder holds. Which folder it is, its user knows better than we do.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        let bytes = fs::read(folder.join(INDEX)).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                io::Error::new(error.kind(), format!("there is no {INDEX} in it"))
            } else {
                error
            }
        })?;
        self.add_index(&bytes, &Origin::Folder(folder.join("blobs")))
    }

    /// Adds what the index of a cache says.
    pub(crate) fn add_index(&mut self, index: &[u8], origin: &Origin) -> io::Result<()> {
        let index: Index = serde_json::from_slice(index)
            .map_err(|error| io::Error::other(format!("its {INDEX} is damaged: {error}")))?;
        if index.version != VERSION {
            let text = format!("its form is {}, this daemon reads {VERSION}", index.version);
            return Err(io::Error::other(text));
        }
        let archive = |digest| Archive { origin: origin.clone(), digest };
        for layer in &index.layers {
            self.add(&layer.keys, &Place::Archive(archive(layer.blob)));
        }
        for mount in index.mounts {
            self.mounts.insert(mount.name, archive(mount.blob));
        }
        Ok(())
    }

    /// Adds what an image says of its layers.
    pub(crate) fn add_image(&mut self, image: Held, images: &ImageStore) {
        let field = image.config.extra.get(FIELD).cloned().unwrap_or_default();
        // An image without a word of it has no cache.
        let kept: Vec<KeptLayer> = serde_json::from_value(field).unwrap_or_default();
        for layer in &kept {
            let number = image.diff_ids.iter().position(|diff_id| *diff_id == layer.blob);
            let chain_id = number.and_then(|number| image.chain_ids.get(number));
            if let Some(found) = chain_id.and_then(|chain_id| images.layer(chain_id)) {
                self.add(&layer.keys, &Place::Layer(found.cache_id));
            }
        }
        self.held.push(image);
    }

    fn add(&mut self, keys: &[Digest], place: &Place) {
        let Some(key) = keys.first() else { return };
        for word in keys {
            self.layers.entry(*word).or_insert_with(|| (*key, place.clone()));
        }
    }

    /// The key that a word stands for.
    pub(crate) fn key_of(&self, word: &Digest) -> Option<Digest> {
        self.layers.get(word).map(|(key, _)| *key)
    }

    /// Where the layer of a key is.
    pub(crate) fn find(&self, key: &Digest) -> Option<&Place> {
        self.layers.get(key).map(|(_, place)| place)
    }

    /// Fills a new cache mount; whether there was something to fill it with.
    pub(crate) fn fill_mount(&self, name: &str, data: &Path, open: Open<'_>) -> Result<bool> {
        let Some(archive) = self.mounts.get(name) else { return Ok(false) };
        let options =
            ApplyOptions { limits: LIMITS, whiteouts: Whiteouts::Names, ..ApplyOptions::default() };
        read(archive, open, &mut |tar| {
            barge_archive::extract::apply(data, tar, &options)
                .map(drop)
                .map_err(BuildError::archive("fill a cache mount"))
        })?;
        Ok(true)
    }
}

/// Makes a layer of an archive.
pub(crate) fn unpack(
    storage: &dyn StorageDriver,
    (id, parent): (&LayerId, Option<&LayerId>),
    (archive, open): (&Archive, Open<'_>),
) -> Result<()> {
    storage.create(id, parent).map_err(BuildError::storage("make a layer"))?;
    read(archive, open, &mut |tar| {
        storage
            .apply_diff(id, parent, tar)
            .map(drop)
            .map_err(BuildError::storage("unpack a layer of a cache"))
    })
}

/// Reads an archive to its end; an error when it has another digest than its name says.
fn read(
    archive: &Archive,
    open: Open<'_>,
    read: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
) -> Result<()> {
    let failed = || BuildError::archive("read an archive of a cache");
    let mut reader = DigestReader::new(BufReader::new(open(archive)?));
    let mut plain = Decoder::new(&mut reader).map_err(failed())?;
    read(&mut plain)?;
    let shown = archive.to_string();
    io::copy(&mut plain, &mut io::sink()).map_err(BuildError::io("read", Path::new(&shown)))?;
    drop(plain);
    io::copy(&mut reader, &mut io::sink()).map_err(BuildError::io("read", Path::new(&shown)))?;
    if reader.finish().0 != archive.digest {
        return Err(BuildError::Invalid(format!("{shown} is damaged")));
    }
    Ok(())
}

/// Says in an image's configuration what its layers were made from.
pub(crate) fn write_inline(config: &mut ImageConfig, layers: &[KeptLayer]) -> Result<()> {
    let value = serde_json::to_value(layers)
        .map_err(io::Error::other)
        .map_err(BuildError::io("write", Path::new("the configuration")))?;
    config.extra.insert(FIELD.to_owned(), value);
    Ok(())
}

/// A layer that is to be in a cache.
#[derive(Debug)]
pub(crate) struct CachedLayer<'a> {
    pub(crate) id: &'a LayerId,
    /// All words for what it was made from, its key first.
    pub(crate) keys: Vec<Digest>,
    pub(crate) description: String,
    /// Archives that it has in some cache.
    pub(crate) known: Vec<Digest>,
}

/// Writes a folder.
#[derive(Debug)]
pub(crate) struct FolderWriter {
    folder: PathBuf,
    compression: Compression,
    index: Index,
}

impl FolderWriter {
    pub(crate) fn create(folder: &Path, compression: Compression) -> Result<Self> {
        let blobs = folder.join("blobs");
        fs::create_dir_all(&blobs).map_err(BuildError::io("create", &blobs))?;
        durable::sweep(&blobs).map_err(BuildError::io("sweep", &blobs))?;
        let index = Index { version: VERSION, ..Index::default() };
        Ok(Self { folder: folder.to_owned(), compression, index })
    }

    /// Adds a layer; the digest of its archive. One that is there, or has been made for an image, is not made again.
    pub(crate) fn add_layer(
        &mut self,
        images: &ImageStore,
        storage: &dyn StorageDriver,
        layer: CachedLayer<'_>,
    ) -> Result<Digest> {
        let CachedLayer { id, keys, description, known } = layer;
        let there = known.into_iter().find(|archive| self.has(archive));
        let blob = match there {
            Some(blob) => blob,
            None => match self.take_from_images(images, id)? {
                Some(blob) => blob,
                None => self.pack(storage, id)?,
            },
        };
        self.index.layers.push(KeptLayer { keys, description, blob });
        Ok(blob)
    }

    fn pack(&self, storage: &dyn StorageDriver, id: &LayerId) -> Result<Digest> {
        let parent = storage.parent(id).map_err(BuildError::storage("look at a layer"))?;
        self.write(&mut |out| {
            storage
                .diff(id, parent.as_ref(), out)
                .map_err(BuildError::storage("write a layer to a cache"))
        })
    }

    /// Whether an archive is there, whole and packed as asked.
    fn has(&self, archive: &Digest) -> bool {
        let Ok(mut file) = File::open(self.folder.join("blobs").join(archive.hex())) else {
            return false;
        };
        let mut start = Vec::new();
        let read = (&mut file).take(MAGIC_LENGTH as u64).read_to_end(&mut start);
        if read.is_err() || detect(&start) != self.compression {
            return false;
        }
        let mut rest = DigestReader::new(start.chain(file));
        io::copy(&mut rest, &mut io::sink()).is_ok() && rest.finish().0 == *archive
    }

    /// Copies the archive that an image's layer has already.
    fn take_from_images(&self, images: &ImageStore, id: &LayerId) -> Result<Option<Digest>> {
        let found = (self.compression == Compression::Gzip).then(|| images.gzip_archive(id));
        let Some((digest, archive)) = found.flatten() else { return Ok(None) };
        let blobs = self.folder.join("blobs");
        let (mut file, temporary) = durable::create_temporary(&blobs)
            .map_err(BuildError::io("create a file in", &blobs))?;
        let mut archive = DigestReader::new(archive);
        let copied = io::copy(&mut archive, &mut file);
        let is_whole = copied.is_ok() && archive.finish().0 == digest;
        if !is_whole {
            fs::remove_file(&temporary).map_err(BuildError::io("remove", &temporary))?;
        }
        copied.map_err(BuildError::io("write", &temporary))?;
        if !is_whole {
            // Damaged where it is; the layer itself may not be.
            return Ok(None);
        }
        durable::rename(&temporary, &blobs.join(digest.hex()), Durability::Lazy)
            .map_err(BuildError::io("rename", &temporary))?;
        Ok(Some(digest))
    }

    /// Adds a cache mount.
    pub(crate) fn add_mount(&mut self, name: &str, id: &str, data: &Path) -> Result<()> {
        let blob = self.write(&mut |out| {
            barge_archive::pack::tree(data, &PackOptions::default(), out)
                .map(drop)
                .map_err(BuildError::archive("write a cache mount to a cache"))
        })?;
        self.index.mounts.push(KeptMount { name: name.to_owned(), id: id.to_owned(), blob });
        Ok(())
    }

    fn write(&self, write: &mut dyn FnMut(&mut dyn io::Write) -> Result<()>) -> Result<Digest> {
        let blobs = self.folder.join("blobs");
        let (file, temporary) = durable::create_temporary(&blobs)
            .map_err(BuildError::io("create a file in", &blobs))?;
        let packed = || BuildError::archive("write an archive of a cache");
        let out = DigestWriter::new(BufWriter::new(file));
        let mut encoder = Encoder::new(out, self.compression).map_err(packed())?;
        write(&mut encoder)?;
        let out = encoder.finish().map_err(packed())?;
        let (digest, _, mut inner) = out.finish();
        inner.flush().map_err(BuildError::io("write", &temporary))?;
        durable::rename(&temporary, &blobs.join(digest.hex()), Durability::Lazy)
            .map_err(BuildError::io("rename", &temporary))?;
        Ok(digest)
    }

    /// Shows what was written, and removes archives that nothing names any more.
    pub(crate) fn finish(self) -> Result<CacheFiles> {
        let path = self.folder.join(INDEX);
        let bytes = serde_json::to_vec(&self.index)
            .map_err(io::Error::other)
            .map_err(BuildError::io("write", &path))?;
        durable::write(&path, &bytes, Durability::Durable)
            .map_err(BuildError::io("write", &path))?;
        let layers = self.index.layers.iter().map(|layer| layer.blob);
        let mounts = self.index.mounts.iter().map(|mount| mount.blob);
        let named: BTreeSet<Digest> = layers.chain(mounts).collect();
        let blobs = self.folder.join("blobs");
        let archives: Vec<(Digest, PathBuf)> =
            named.into_iter().map(|digest| (digest, blobs.join(digest.hex()))).collect();
        for entry in fs::read_dir(&blobs).map_err(BuildError::io("read", &blobs))?.flatten() {
            if !archives.iter().any(|(_, path)| *path == entry.path()) {
                durable::remove(&entry.path()).map_err(BuildError::io("remove", &entry.path()))?;
            }
        }
        Ok(CacheFiles { index: bytes, archives })
    }
}
