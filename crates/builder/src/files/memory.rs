//! Checksums of files, remembered from build to build: one compact file for each context.
//!
//! A file's checksum counts as long as its device, inode, size, mode, and both times are the same, which no write leaves
//! alone. What was changed a moment before it was read is not remembered: the kernel's clock may stand still between two
//! writes. A file of checksums that is damaged is one that is not there.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use barge_archive::Digester;
use barge_sys::durable::{self, Durability};
use rustix::fs::{AtFlags, CWD, Stat, Timespec, Timestamps, UTIME_NOW};

use super::error::{FilesError, Result};

/// Checksums of all contexts.
#[derive(Debug)]
pub struct ChecksumMemory {
    folder: PathBuf,
}

/// Checksums of contexts that nobody built for so long are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 24 * 3600);

const MAGIC: &[u8; 16] = b"barge checksums1";
const RECORD: usize = 88;
const SUM: usize = 32;
/// Twice as many as the largest context that people have; beyond it nothing is remembered.
const MOST_RECORDS: usize = 4_000_000;

/// A checksum of a file's content and attributes.
pub(super) type Fingerprint = [u8; 32];

impl ChecksumMemory {
    /// Opens or makes the folder of checksums.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self> {
        let failed = || FilesError::io("open", folder.as_os_str().as_encoded_bytes());
        std::fs::create_dir_all(folder).map_err(failed())?;
        durable::sweep(folder).map_err(failed())?;
        for entry in std::fs::read_dir(folder).map_err(failed())?.flatten() {
            let age = entry.metadata().ok().and_then(|about| about.modified().ok()?.elapsed().ok());
            if age.is_some_and(|age| age > FORGOTTEN_AFTER) {
                durable::remove(&entry.path()).map_err(failed())?;
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Forgets everything; it costs time and nothing else.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let failed = || FilesError::io("empty", self.folder.as_os_str().as_encoded_bytes());
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            durable::remove(&entry.map_err(failed())?.path()).map_err(failed())?;
        }
        Ok(())
    }

    /// What is known of a context.
    pub(super) fn load(&self, identity: &str) -> Memory {
        let path = self.folder.join(Digester::of(identity.as_bytes()).hex());
        Memory { path, known: OnceLock::new(), fresh: Mutex::default() }
    }
}

impl Memory {
    /// Read only when it is asked for: a build need not copy anything.
    fn known(&self) -> &HashMap<Inode, Known> {
        self.known.get_or_init(|| {
            let bytes = std::fs::read(&self.path).ok();
            let known = bytes.and_then(|bytes| decode(&bytes)).unwrap_or_default();
            if !known.is_empty() {
                touch(&self.path);
            }
            known
        })
    }
}

/// Makes a file look used; where that fails, it is forgotten too early.
fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let now = Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(CWD, path, &now, AtFlags::empty()).ok();
}

/// What must be the same for a checksum to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
    mode: u32,
}

impl Mark {
    #[expect(clippy::cast_sign_loss, reason = "sizes and nanoseconds are never negative")]
    fn of(stat: &Stat) -> Self {
        Self {
            size: stat.st_size as u64,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        }
    }
}

#[derive(Debug)]
struct Known {
    mark: Mark,
    fingerprint: Fingerprint,
    seen: AtomicBool,
}

/// Device and inode.
type Inode = (u64, u64);

/// The checksums of one context.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    known: OnceLock<HashMap<Inode, Known>>,
    fresh: Mutex<Fresh>,
}

#[derive(Debug, Default)]
struct Fresh {
    found: HashMap<Inode, (Mark, Fingerprint)>,
    is_saved: bool,
}

impl Memory {
    /// The checksum of a file that is as it was.
    pub(super) fn get(&self, stat: &Stat) -> Option<Fingerprint> {
        let (inode, mark) = ((stat.st_dev, stat.st_ino), Mark::of(stat));
        if let Some(known) = self.known().get(&inode)
            && known.mark == mark
        {
            known.seen.store(true, Ordering::Relaxed);
            return Some(known.fingerprint);
        }
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.found.get(&inode).filter(|(found, _)| *found == mark).map(|(_, sum)| *sum)
    }

    /// Remembers checksums of files that looked so before and after they were read, the reading having begun at `since`.
    pub(super) fn add(&self, found: Vec<(Stat, Fingerprint)>, since: SystemTime) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for (stat, sum) in found {
            if is_settled(&stat, since) && fresh.found.len() < MOST_RECORDS {
                fresh.found.insert((stat.st_dev, stat.st_ino), (Mark::of(&stat), sum));
                fresh.is_saved = false;
            }
        }
        if fresh.found.is_empty() {
            fresh.is_saved = true;
        }
    }

    /// Writes what is new. Of what was not seen in this build, about as much stays as was seen.
    pub(super) fn save(&self) -> Result<()> {
        let known = self.known();
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.is_saved {
            return Ok(());
        }
        let is_seen = |known: &Known| known.seen.load(Ordering::Relaxed);
        let seen = known.values().filter(|known| is_seen(known)).count() + fresh.found.len();
        let keeps_all = known.len() <= seen.saturating_mul(3) + 10_000;
        let old = known.iter().filter(|(inode, known)| {
            (keeps_all || is_seen(known)) && !fresh.found.contains_key(inode)
        });
        let old = old.map(|(inode, known)| (inode, &known.mark, &known.fingerprint));
        let new = fresh.found.iter().map(|(inode, (mark, sum))| (inode, mark, sum));
        let bytes = encode(old.chain(new).take(MOST_RECORDS));
        durable::write(&self.path, &bytes, Durability::Lazy)
            .map_err(FilesError::io("write", self.path.as_os_str().as_encoded_bytes()))?;
        fresh.is_saved = true;
        Ok(())
    }
}

/// Whether a write after `since` would show in the times: they are older than the clock's step (10 ms at most), or than a
/// second or two where a file system has no finer ones.
fn is_settled(stat: &Stat, since: SystemTime) -> bool {
    let step = if stat.st_ctime_nsec == 0 { 2_500 } else { 30 };
    let Ok(seconds) = u64::try_from(stat.st_ctime) else {
        return true;
    };
    let changed = Duration::from_secs(seconds) + Duration::from_nanos(stat.st_ctime_nsec);
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    changed + Duration::from_millis(step) < since
}

fn encode<'a>(records: impl Iterator<Item = (&'a Inode, &'a Mark, &'a Fingerprint)>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (inode, mark, sum) in records {
        for number in [inode.0, inode.1, mark.size, mark.modified.1] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(mark.modified.0.to_le_bytes());
        bytes.extend(mark.changed.0.to_le_bytes());
        // Nanoseconds are below 2³⁰.
        bytes.extend((mark.changed.1 << 32 | u64::from(mark.mode)).to_le_bytes());
        bytes.extend(sum);
    }
    let sum = Digester::of(&bytes);
    bytes.extend(sum.as_bytes());
    bytes
}

/// Nothing when it is not what [`encode`] wrote.
fn decode(bytes: &[u8]) -> Option<HashMap<Inode, Known>> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    let records = content.strip_prefix(MAGIC)?;
    if records.len() % RECORD != 0 || Digester::of(content).as_bytes() != sum {
        return None;
    }
    let mut known = HashMap::with_capacity(records.len() / RECORD);
    for record in records.chunks_exact(RECORD) {
        let (numbers, fingerprint) = record.split_at_checked(RECORD - SUM)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .filter_map(|chunk| Some(u64::from_le_bytes(chunk.try_into().ok()?)));
        let mut next = || numbers.next();
        let inode = (next()?, next()?);
        let (size, modified_ns) = (next()?, next()?);
        let (modified, changed, last) = (next()?, next()?, next()?);
        let mark = Mark {
            size,
            modified: (modified.cast_signed(), modified_ns),
            changed: (changed.cast_signed(), last >> 32),
            mode: u32::try_from(last & 0xffff_ffff).ok()?,
        };
        let fingerprint = fingerprint.try_into().ok()?;
        known.insert(inode, Known { mark, fingerprint, seen: AtomicBool::new(false) });
    }
    Some(known)
}

/// Whether nothing that changes with the content is different.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) && Mark::of(one) == Mark::of(other)
}

/// Whether an error means that something that was there is gone.
pub(super) fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &Path) -> Stat {
        rustix::fs::stat(path).unwrap()
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(10)
    }

    #[test]
    fn checksums_come_back_and_a_changed_file_has_none() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "one").unwrap();
        let folder = place.path().join("sums");
        let memory = ChecksumMemory::open(&folder).unwrap().load("/context");
        assert_eq!(memory.get(&stat(&file)), None);
        memory.add(vec![(stat(&file), [7; 32])], later());
        assert_eq!(memory.get(&stat(&file)), Some([7; 32]));
        memory.save().unwrap();
        let again = ChecksumMemory::open(&folder).unwrap();
        assert_eq!(again.load("/context").get(&stat(&file)), Some([7; 32]));
        assert_eq!(again.load("/other").get(&stat(&file)), None);
        std::fs::write(&file, "another").unwrap();
        assert_eq!(again.load("/context").get(&stat(&file)), None);
        again.clear().unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn what_was_changed_a_moment_ago_is_not_remembered() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "one").unwrap();
        let memory = ChecksumMemory::open(&place.path().join("sums")).unwrap().load("x");
        let stat = stat(&file);
        let nanoseconds = Duration::from_nanos(stat.st_ctime_nsec);
        let changed = Duration::from_secs(stat.st_ctime.cast_unsigned()) + nanoseconds;
        memory.add(vec![(stat, [7; 32])], SystemTime::UNIX_EPOCH + changed);
        assert_eq!(memory.get(&stat), None);
    }

    #[test]
    fn a_damaged_file_is_forgotten() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "one").unwrap();
        let sums = ChecksumMemory::open(&place.path().join("sums")).unwrap();
        let memory = sums.load("x");
        memory.add(vec![(stat(&file), [7; 32])], later());
        memory.save().unwrap();
        let good = std::fs::read(&memory.path).unwrap();
        let mut flipped = good.clone();
        flipped[MAGIC.len() + 3] ^= 1;
        for bad in [&good[..good.len() - 1], &flipped, b"", b"something else", &good[..16]] {
            std::fs::write(&memory.path, bad).unwrap();
            assert_eq!(sums.load("x").get(&stat(&file)), None);
        }
        std::fs::write(&memory.path, &good).unwrap();
        assert_eq!(sums.load("x").get(&stat(&file)), Some([7; 32]));
    }
}
