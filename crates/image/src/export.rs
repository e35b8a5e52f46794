//! What a build hands out: its images as an archive in either form, and the files of an image.

use std::io::Write;

use barge_archive::pack;
use barge_archive::tar::Writer;
use barge_storage::LayerId;
use barge_types::{ImageId, Reference};

use crate::archives::pack_options;
use crate::error::{ImageError, Result};
use crate::save::{Group, Save};
use crate::store::ImageStore;

/// Which tables of contents an archive has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveForm {
    /// Docker's `manifest.json` beside those of an OCI layout.
    #[default]
    Docker,
    /// Only those of an OCI layout.
    Oci,
}

/// How layers are in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerCompression {
    /// Not compressed: nothing is made that is not in the archive.
    #[default]
    Plain,
    /// As they would be pushed; that archive is kept.
    Gzip,
}

/// How images are handed out.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The archive's form.
    pub form: ArchiveForm,
    /// The layers' form.
    pub compression: LayerCompression,
    /// The names that they have in the archive, whatever they are called here.
    pub references: Vec<Reference>,
}

impl ImageStore {
    /// Looks images up that are to be written as one archive: those of several platforms under the same names. The same
    /// images give the same bytes.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`]; whatever the disk says.
    pub fn export(&self, images: &[ImageId], options: &ExportOptions) -> Result<Save<'_>> {
        let mut saved = Vec::with_capacity(images.len());
        let mut groups = Vec::new();
        if images.len() > 1 {
            let references = options.references.clone();
            groups.push(Group { images: images.to_vec(), references });
        }
        for (number, id) in images.iter().enumerate() {
            // Docker's table has each name once.
            let names = if number == 0 { options.references.clone() } else { Vec::new() };
            let mut one = self.saved(id, names)?;
            match options.compression {
                LayerCompression::Plain => one.plain(),
                LayerCompression::Gzip => one.gzip(self)?,
            }
            saved.push(one);
        }
        Ok(Save { store: self, images: saved, groups, form: options.form })
    }

    /// Writes the whole tree of a layer of the driver as an archive, without one an empty tree. `latest` bounds the times.
    ///
    /// # Errors
    /// Whatever the disk says, or `out`.
    pub fn write_files(
        &self,
        top: Option<&LayerId>,
        latest: Option<i64>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let Some(top) = top else {
            return Ok(Writer::new(out).finish().map(drop)?);
        };
        let failed = || ImageError::storage("show the files of a layer");
        let root = self.driver.mount_read_only(top).map_err(failed())?;
        let packed = pack::tree(&root, &pack_options(latest), out);
        let unmounted = self.driver.unmount_read_only(top).map_err(failed());
        packed?;
        unmounted
    }
}
