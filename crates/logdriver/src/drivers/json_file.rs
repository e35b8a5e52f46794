//! `json-file`: one JSON object per line, in Docker's form, rotated by size.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::driver::LogDriver;
use crate::error::LogError;
use crate::escape;
use crate::message::{Completeness, Message, Stream};
use crate::options::RotationConfig;
use crate::rotating::RotatingFile;
use crate::time::Stamp;

/// The driver `json-file`.
#[derive(Debug)]
pub struct JsonFile {
    file: RotatingFile,
    form: Form,
}

/// How a message becomes a line.
#[derive(Debug)]
struct Form {
    /// `,"attrs":{…}`, or nothing.
    attributes: Vec<u8>,
    stamp: Stamp,
    /// What follows the text of a whole line: the same for all lines of one read.
    ending: Vec<u8>,
    /// What that was made for.
    ending_of: Option<(Stream, i64)>,
}

impl JsonFile {
    pub(crate) const NAME: &'static str = "json-file";

    /// Opens the file to append to it; makes it when it is not there.
    pub fn open(
        path: &Path,
        config: RotationConfig,
        attributes: &BTreeMap<String, String>,
    ) -> Result<Self, LogError> {
        let mut file = RotatingFile::open(path, config)?;
        end_broken_line(&mut file)?;
        let form = Form::new(attributes);
        Ok(Self { file, form })
    }
}

/// A host that lost power may leave a line without its end; the next line is not to be lost with
/// it.
fn end_broken_line(file: &mut RotatingFile) -> Result<(), LogError> {
    let Some(last) = file.size().checked_sub(1) else {
        return Ok(());
    };
    let mut byte = [0];
    file.file().read_exact_at(&mut byte, last).map_err(LogError::io("read", file.path()))?;
    if byte != *b"\n"
        && let Some(room) = file.room()
    {
        room.push(b'\n');
    }
    Ok(())
}

impl Form {
    fn new(attributes: &BTreeMap<String, String>) -> Self {
        Self {
            attributes: attributes_text(attributes),
            stamp: Stamp::default(),
            ending: Vec::new(),
            ending_of: None,
        }
    }

    fn append(&mut self, out: &mut Vec<u8>, message: &Message<'_>) {
        match message.completeness {
            Completeness::Complete => {
                let of = Some((message.stream, message.time));
                if self.ending_of != of {
                    self.ending_of = of;
                    let mut ending = std::mem::take(&mut self.ending);
                    ending.clear();
                    ending.extend_from_slice(br#"\n","#);
                    self.append_facts(&mut ending, message);
                    self.ending = ending;
                }
                out.extend_from_slice(br#"{"log":"#);
                escape::append_string(out, message.line);
                out.pop();
                out.extend_from_slice(&self.ending);
            }
            Completeness::Partial => {
                out.push(b'{');
                // Docker leaves the member out when there is nothing to say.
                if !message.line.is_empty() {
                    out.extend_from_slice(br#""log":"#);
                    escape::append_string(out, message.line);
                    out.push(b',');
                }
                self.append_facts(out, message);
            }
        }
    }

    fn append_facts(&mut self, out: &mut Vec<u8>, message: &Message<'_>) {
        out.extend_from_slice(br#""stream":""#);
        out.extend_from_slice(message.stream.name().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.attributes);
        out.extend_from_slice(br#","time":""#);
        out.extend_from_slice(self.stamp.rfc3339(message.time));
        out.extend_from_slice(b"\"}\n");
    }
}

impl LogDriver for JsonFile {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn log(&mut self, message: &Message<'_>) {
        if let Some(room) = self.file.room() {
            self.form.append(room, message);
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.file.flush()
    }

    fn close(&mut self) {
        self.file.settle();
    }
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
