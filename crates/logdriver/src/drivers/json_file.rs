//! `json-file`: one JSON object per line, in Docker's form, rotated by size.
//!
//! Messages are gathered and written with one system call per flush. A write that the kernel
//! refuses half way (a full disk) is taken back by truncating, so that there is never half a line
//! in the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::JsonFileConfig;
use crate::driver::{Completeness, LogDriver, Message};
use crate::error::LogError;
use crate::escape;
use crate::file_names::rotated;
use crate::time;

/// A buffer that grew beyond this is given back after the flush.
const KEEP: usize = 64 * 1024;

/// The driver `json-file`.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    config: JsonFileConfig,
    /// `,"attrs":{…}`, or nothing.
    attributes: Vec<u8>,
    file: File,
    size: u64,
    batch: Vec<u8>,
    failure: Option<LogError>,
}

impl JsonFile {
    pub(crate) const NAME: &'static str = "json-file";

    /// Opens the file to append to it; makes it when it is not there.
    pub fn open(
        path: &Path,
        config: JsonFileConfig,
        attributes: &BTreeMap<String, String>,
    ) -> Result<Self, LogError> {
        let file = open_file(path)?;
        let size = file.metadata().map_err(LogError::io("examine", path))?.len();
        let mut log = Self {
            path: path.to_owned(),
            config,
            attributes: attributes_text(attributes),
            file,
            size,
            batch: Vec::new(),
            failure: None,
        };
        log.end_broken_line()?;
        Ok(log)
    }

    /// A host that lost power may leave a line without its end; the next line is not to be lost
    /// with it.
    fn end_broken_line(&mut self) -> Result<(), LogError> {
        let Some(last) = self.size.checked_sub(1) else {
            return Ok(());
        };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last).map_err(LogError::io("read", &self.path))?;
        if byte != *b"\n" {
            self.batch.push(b'\n');
        }
        Ok(())
    }

    fn append(&mut self, message: &Message<'_>) {
        let out = &mut self.batch;
        out.extend_from_slice(b"{");
        // Docker leaves the member out when there is nothing to say.
        if !message.line.is_empty() || message.completeness == Completeness::Complete {
            out.extend_from_slice(br#""log":"#);
            escape::append_string(out, message.line);
            if message.completeness == Completeness::Complete {
                out.pop();
                out.extend_from_slice(br#"\n""#);
            }
            out.push(b',');
        }
        out.extend_from_slice(br#""stream":""#);
        out.extend_from_slice(message.stream.name().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.attributes);
        out.extend_from_slice(br#","time":""#);
        time::append_rfc3339(out, message.time);
        out.extend_from_slice(b"\"}\n");
    }

    fn is_full(&self, size: u64) -> bool {
        self.config.max_size.is_some_and(|limit| size >= limit)
    }

    fn write_batch(&mut self) -> Result<(), LogError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.file.write_all(&self.batch);
        let length = self.batch.len() as u64;
        self.batch.clear();
        self.batch.shrink_to(KEEP);
        match outcome {
            Ok(()) => {
                self.size += length;
                Ok(())
            }
            Err(source) => {
                // When this fails too, the half line is ended by the next container start.
                self.file.set_len(self.size).ok();
                Err(LogError::io("write", &self.path)(source))
            }
        }
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        if self.config.max_files == 1 {
            self.file.set_len(0).map_err(LogError::io("truncate", &self.path))?;
            self.size = 0;
            return Ok(());
        }
        for age in (0..self.config.max_files - 1).rev() {
            let from = rotated(&self.path, age);
            match fs::rename(&from, rotated(&self.path, age + 1)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::io("rotate", &from)(error)),
            }
        }
        self.file = open_file(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn try_log(&mut self, message: &Message<'_>) -> Result<(), LogError> {
        if self.is_full(self.size + self.batch.len() as u64) {
            self.write_batch()?;
            self.rotate()?;
        }
        self.append(message);
        Ok(())
    }
}

impl LogDriver for JsonFile {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn log(&mut self, message: &Message<'_>) {
        if let Err(error) = self.try_log(message) {
            self.failure.get_or_insert(error);
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let written = self.write_batch();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => written,
        }
    }
}

/// Appending, so that the file may be truncated by someone else (`truncate -s 0` is what people
/// do).
fn open_file(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(LogError::io("open", path))
}

fn attributes_text(attributes: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in attributes {
        out.extend_from_slice(if out.is_empty() { br#","attrs":{"# } else { b"," });
        escape::append_string(&mut out, name.as_bytes());
        out.push(b':');
        escape::append_string(&mut out, value.as_bytes());
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    out
}

#[cfg(test)]
mod tests;
