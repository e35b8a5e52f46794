//! The `hello` image, which barge carries with it: one static program, made into an image on first use.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;

use barge_archive::tar;
use barge_image::{Image, ImageStore};
use barge_oci::image::{ContainerConfig, History, ImageConfig};
use barge_types::{Platform, Reference};

use crate::error::{EngineError, Result};

/// Makes the built-in image when somebody asks for it and there is none of its name.
#[derive(Debug)]
pub(crate) struct Builtin {
    program: Option<PathBuf>,
    /// Held while it is made, so that two who ask at once get one.
    making: Mutex<()>,
}

const NAME: &str = "hello";
/// When its program was written: the same program is the same image everywhere, and clients show how old it is.
const CREATED: &str = "2026-11-21T00:00:00Z";

impl Clone for Builtin {
    fn clone(&self) -> Self {
        Self::new(self.program.clone())
    }
}

impl Builtin {
    /// With the program that the image runs, if it is installed.
    pub(crate) fn new(program: Option<PathBuf>) -> Self {
        Self { program, making: Mutex::default() }
    }

    /// The image, when `name` means it.
    pub(crate) fn provide(&self, store: &ImageStore, name: &str) -> Result<Option<Image>> {
        let Some(program) = &self.program else {
            return Ok(None);
        };
        let own: Reference =
            NAME.parse().map_err(|error| EngineError::Invalid(format!("{error}")))?;
        if name.parse::<Reference>() != Ok(own.clone()) {
            return Ok(None);
        }
        let _making = self.making.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(image) = store.get(name) {
            return Ok(Some(image));
        }
        let archive = archive(program)?;
        let id = store.create_builtin(Box::new(std::io::Cursor::new(archive)), &own, config())?;
        Ok(Some(store.image(&id)?))
    }
}

/// A layer with the program alone; without times, so that it is the same image on every machine.
fn archive(program: &PathBuf) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = File::open(program).and_then(|mut file| file.read_to_end(&mut content));
    read.map_err(EngineError::io("read", program))?;
    let mut layer = Vec::new();
    let mut writer = tar::Writer::new(&mut layer);
    let entry = tar::Header { mode: 0o755, ..tar::Header::new("hello", tar::EntryKind::Regular) };
    writer
        .append_bytes(&entry, &content)
        .and_then(|()| writer.finish().map(|_| ()))
        .map_err(|error| EngineError::Invalid(format!("cannot make the hello image: {error}")))?;
    Ok(layer)
}

fn config() -> ImageConfig {
    let platform = Platform::host();
    ImageConfig {
        created: Some(CREATED.to_owned()),
        architecture: platform.architecture().to_owned(),
        os: platform.os().to_owned(),
        config: Some(ContainerConfig {
            cmd: Some(vec!["/hello".to_owned()]),
            ..ContainerConfig::default()
        }),
        history: vec![History { created_by: "barge".to_owned(), ..History::default() }],
        ..ImageConfig::default()
    }
}
