//! The options of a mount in a specification: what becomes of each word.
//!
//! A word that is no option of every mount is the file system's own (`size=64k`), as in mount(8).

use barge_oci::runtime::MOUNT_INSIDE;
use barge_sys::mount::{Attributes, Change, Propagation, Reach};

/// All words of one mount, sorted by what they are for.
#[derive(Clone, Debug)]
pub(crate) struct MountOptions {
    /// For the mount itself.
    pub(crate) here: Change,
    /// For it and every mount below (`rro`).
    pub(crate) below: Change,
    /// It is a bind mount, of one mount or a tree.
    pub(crate) bind: Option<Reach>,
    /// Who sees mounts made in it later.
    pub(crate) propagation: Option<(Propagation, Reach)>,
    /// Classic flags that attributes do not have (`sync`).
    pub(crate) flags: u32,
    /// The file system's own, joined by commas.
    pub(crate) data: String,
    /// The part of a bind's source that is meant, looked up with the source as its root.
    pub(crate) inside: Option<String>,
}

const ALL_TIMES: Attributes = Attributes::from_bits_retain(0x70);
const NO_SYMLINKS: Attributes = Attributes::from_bits_retain(0x0020_0000);

/// Name, attribute, whether the word sets it (or clears it).
const ATTRIBUTES: [(&str, Attributes, bool); 15] = [
    ("ro", Attributes::MOUNT_ATTR_RDONLY, true),
    ("rw", Attributes::MOUNT_ATTR_RDONLY, false),
    ("nosuid", Attributes::MOUNT_ATTR_NOSUID, true),
    ("suid", Attributes::MOUNT_ATTR_NOSUID, false),
    ("nodev", Attributes::MOUNT_ATTR_NODEV, true),
    ("dev", Attributes::MOUNT_ATTR_NODEV, false),
    ("noexec", Attributes::MOUNT_ATTR_NOEXEC, true),
    ("exec", Attributes::MOUNT_ATTR_NOEXEC, false),
    ("nodiratime", Attributes::MOUNT_ATTR_NODIRATIME, true),
    ("diratime", Attributes::MOUNT_ATTR_NODIRATIME, false),
    ("nosymfollow", NO_SYMLINKS, true),
    ("symfollow", NO_SYMLINKS, false),
    ("noatime", Attributes::MOUNT_ATTR_NOATIME, true),
    ("strictatime", Attributes::MOUNT_ATTR_STRICTATIME, true),
    ("relatime", Attributes::MOUNT_ATTR_RELATIME, true),
];

/// Words for classic flags of mount(2) that no attribute has.
const FLAGS: [(&str, u32); 8] = [
    ("sync", 1 << 4),
    ("async", 0),
    ("dirsync", 1 << 7),
    ("mand", 1 << 6),
    ("nomand", 0),
    ("silent", 1 << 15),
    ("lazytime", 1 << 25),
    ("defaults", 0),
];

/// The classic flag of each attribute.
const CLASSIC: [(Attributes, u32); 8] = [
    (Attributes::MOUNT_ATTR_RDONLY, 1),
    (Attributes::MOUNT_ATTR_NOSUID, 1 << 1),
    (Attributes::MOUNT_ATTR_NODEV, 1 << 2),
    (Attributes::MOUNT_ATTR_NOEXEC, 1 << 3),
    (NO_SYMLINKS, 1 << 8),
    (Attributes::MOUNT_ATTR_NOATIME, 1 << 10),
    (Attributes::MOUNT_ATTR_NODIRATIME, 1 << 11),
    (Attributes::MOUNT_ATTR_STRICTATIME, 1 << 24),
];

impl MountOptions {
    /// Sorts the words; none is refused here, the file system refuses what it does not know.
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut options = Self {
            here: Change::NONE,
            below: Change::NONE,
            bind: None,
            propagation: None,
            flags: 0,
            data: String::new(),
            inside: None,
        };
        for word in words {
            options.take(word);
        }
        options
    }

    fn take(&mut self, word: &str) {
        if let Some((_, attribute, set)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
            add(&mut self.here, *attribute, *set);
            return;
        }
        let recursive = word
            .strip_prefix('r')
            .and_then(|rest| ATTRIBUTES.iter().find(|(name, ..)| *name == rest));
        if let Some((_, attribute, set)) = recursive {
            add(&mut self.below, *attribute, *set);
            return;
        }
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
            self.flags |= flag;
            return;
        }
        if let Some(propagation) = propagation(word) {
            self.propagation = Some(propagation);
            return;
        }
        match word {
            "bind" => self.bind = self.bind.or(Some(Reach::One)),
            "rbind" => self.bind = Some(Reach::Tree),
            own if own.starts_with(MOUNT_INSIDE) => {
                self.inside = own.strip_prefix(MOUNT_INSIDE).map(str::to_owned);
            }
            own => {
                if !self.data.is_empty() {
                    self.data.push(',');
                }
                self.data.push_str(own);
            }
        }
    }

    /// The flags that mount(2) takes for a new mount.
    pub(crate) fn classic_flags(&self) -> u32 {
        let set = self.here.set | self.below.set;
        let attributes = CLASSIC.iter().filter(|(attribute, _)| set.contains(*attribute));
        attributes.fold(self.flags, |flags, (_, flag)| flags | flag)
    }

    /// Whether it is to be read-only in the end.
    pub(crate) fn is_read_only(&self) -> bool {
        (self.here.set | self.below.set).contains(Attributes::MOUNT_ATTR_RDONLY)
    }
}

fn add(change: &mut Change, attribute: Attributes, set: bool) {
    if ALL_TIMES.contains(attribute) {
        // Access times are one value of several, not bits: the others are cleared with it (mount_setattr(2)).
        change.clear |= ALL_TIMES;
        change.set = (change.set - ALL_TIMES) | attribute;
    } else if set {
        change.set |= attribute;
        change.clear -= attribute;
    } else {
        change.clear |= attribute;
        change.set -= attribute;
    }
}

/// The words for propagation: `rslave`, `private`.
pub(crate) fn propagation(word: &str) -> Option<(Propagation, Reach)> {
    let (kind, reach) = match word {
        "runbindable" => (Propagation::UNBINDABLE, Reach::Tree),
        "unbindable" => (Propagation::UNBINDABLE, Reach::One),
        "rprivate" => (Propagation::PRIVATE, Reach::Tree),
        "private" => (Propagation::PRIVATE, Reach::One),
        "rslave" => (Propagation::DOWNSTREAM, Reach::Tree),
        "slave" => (Propagation::DOWNSTREAM, Reach::One),
        "rshared" => (Propagation::SHARED, Reach::Tree),
        "shared" => (Propagation::SHARED, Reach::One),
        _ => return None,
    };
    Some((kind, reach))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> MountOptions {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        MountOptions::parse(&words)
    }

    #[test]
    fn words_of_the_file_system_are_kept_in_order() {
        let options = parse(&["nosuid", "strictatime", "mode=755", "size=65536k"]);
        assert_eq!(options.data, "mode=755,size=65536k");
        assert_eq!(options.classic_flags(), 2 | 1 << 24);
    }

    #[test]
    fn the_last_word_counts() {
        assert!(!parse(&["ro", "rw"]).is_read_only());
        assert!(parse(&["rw", "ro"]).is_read_only());
        assert_eq!(parse(&["bind", "rbind"]).bind, Some(Reach::Tree));
        assert_eq!(parse(&["rbind", "bind"]).bind, Some(Reach::Tree));
    }

    #[test]
    fn recursive_words_are_kept_apart() {
        let options = parse(&["rbind", "rro", "rprivate"]);
        assert!(options.here.set.is_empty());
        assert!(options.below.set.contains(Attributes::MOUNT_ATTR_RDONLY));
        assert_eq!(options.propagation, Some((Propagation::PRIVATE, Reach::Tree)));
    }

    #[test]
    fn access_times_replace_each_other() {
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!(options.here.set, Attributes::MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.here.clear, ALL_TIMES);
    }
}
