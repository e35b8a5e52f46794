//! `local`: Docker's frames, rotated by size and compressed; also the cache from which `logs` reads
//! what went to a remote driver.

use std::path::Path;

use crate::driver::LogDriver;
use crate::error::LogError;
use crate::format::{append_frame, whole_frames};
use crate::message::Message;
use crate::options::RotationConfig;
use crate::rotating::RotatingFile;

/// The driver `local`.
#[derive(Debug)]
pub struct Local {
    file: RotatingFile,
}

impl Local {
    pub(crate) const NAME: &'static str = "local";

    /// Opens the file to append to it; makes it and its folder when they are not there.
    pub fn open(path: &Path, config: RotationConfig) -> Result<Self, LogError> {
        let mut file = RotatingFile::open(path, config)?;
        let size = file.size();
        let whole = whole_frames(file.file(), size).map_err(LogError::io("read", path))?;
        if whole < size {
            file.truncate(whole)?;
        }
        Ok(Self { file })
    }
}

impl LogDriver for Local {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn log(&mut self, message: &Message<'_>) {
        if let Some(room) = self.file.room() {
            append_frame(room, message);
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.file.flush()
    }

    fn close(&mut self) {
        self.file.settle();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::file_names::LogFile;
    use crate::format::Format;
    use crate::message::{Completeness, Stream};
    use crate::reader::{ReadOptions, Reader};

    const CONFIG: RotationConfig = RotationConfig { max_size: None, max_files: 1, compress: false };

    fn write(path: &Path, line: &[u8]) {
        let mut log = Local::open(path, CONFIG).unwrap();
        log.log(&Message {
            stream: Stream::Stdout,
            time: 1,
            line,
            completeness: Completeness::Complete,
            part: None,
        });
        log.flush().unwrap();
    }

    fn read(path: &Path) -> Vec<Vec<u8>> {
        let log = LogFile { path: path.to_owned(), format: Format::Frames };
        let mut reader = Reader::open(&log, ReadOptions::default()).unwrap();
        std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.line).collect()
    }

    #[test]
    fn a_log_goes_on_after_what_a_crash_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("x.log");
        write(&path, b"one");
        write(&path, b"two");
        let whole = fs::read(&path).unwrap();
        for kept in (0..whole.len()).step_by(3) {
            for garbage in [&b""[..], &[0; 9], b"\0\0\0\x02ab\0\0\0\x03"] {
                fs::write(&path, &whole[..kept]).unwrap();
                fs::OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .unwrap()
                    .write_all(garbage)
                    .unwrap();
                write(&path, b"three");
                let lines = read(&path);
                let before = kept / (whole.len() / 2);
                assert_eq!(lines.len(), before + 1, "{kept} {garbage:?}");
                assert_eq!(lines.last().unwrap(), b"three\n");
            }
        }
    }
}
