//! What extraction makes, what it refuses, and that nothing outside changes.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::tar::{Header, Writer};

/// Entries in a row.
struct Layer(Writer<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Writer::new(Vec::new()))
    }

    fn add(mut self, path: &str, kind: EntryKind, text: &str) -> Self {
        let mut header = Header::new(path, kind);
        if kind == EntryKind::Regular {
            self.0.append_bytes(&header, text.as_bytes()).unwrap();
        } else {
            header.link = text.into();
            self.0.append_bytes(&header, b"").unwrap();
        }
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.add(path, EntryKind::Regular, text)
    }

    fn folder(self, path: &str) -> Self {
        self.add(path, EntryKind::Directory, "")
    }

    fn header(mut self, header: &Header) -> Self {
        self.0.append_bytes(header, b"").unwrap();
        self
    }

    fn apply(self, root: &Path, whiteouts: Whiteouts) -> Result<Applied> {
        let bytes = self.0.finish().unwrap();
        apply(root, &bytes[..], &ApplyOptions { whiteouts, ..ApplyOptions::default() })
    }
}

/// A place with a destination in it, and something beside that must stay as it is.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("outside/secret"), "secret").unwrap();
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root().join(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn assert_outside_is_untouched(&self) {
        let mut names: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["outside", "root"]);
        let outside = self.folder.path().join("outside");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret");
        assert_eq!(std::fs::metadata(outside.join("secret")).unwrap().nlink(), 1);
    }
}

#[test]
fn folders_without_an_entry_get_their_attributes_when_the_layers_below_are_there() {
    let place = Place::new();
    let (root, lower) = (place.root().join("layer"), place.root().join("lower"));
    for folder in [&root, &lower] {
        std::fs::create_dir(folder).unwrap();
    }
    let layer = Layer::new().file("a/b/file", "x").file("c/file", "x").file("d/file", "x");
    let applied = layer.folder("c").apply(&root, Whiteouts::Overlay(Marks::Trusted)).unwrap();
    assert_eq!(applied.implied, [PathBuf::from("a"), "a/b".into(), "d".into()]);
    let mut header = Header::new("a", EntryKind::Directory);
    (header.mode, header.uid, header.mtime.seconds) = (0o1700, 7, 1000);
    let mut inner = Header::new("a/b", EntryKind::Directory);
    inner.mode = 0o711;
    let below = Layer::new().header(&header).header(&inner).folder("c");
    below.apply(&lower, Whiteouts::Plain).unwrap();
    inherit(&root, &applied.implied, &[lower]).unwrap();
    let of = |name: &str| {
        let stat = std::fs::metadata(root.join(name)).unwrap();
        (stat.mode() & 0o7777, stat.uid(), stat.mtime())
    };
    assert_eq!(of("a"), (0o1700, 7, 1000));
    assert_eq!(of("a/b").0, 0o711);
    assert_eq!((of("c").0, of("d").0), (0o755, 0o755));
}

#[test]
fn names_that_remove_can_stay_names() {
    let place = Place::new();
    let layer = Layer::new().file("a/.wh.gone", "").folder("b").file("b/.wh..wh..opq", "");
    layer.apply(&place.root(), Whiteouts::Names).unwrap();
    assert_eq!(
        (place.names("a"), place.names("b")),
        (vec![".wh.gone".into()], vec![".wh..wh..opq".into()])
    );
}

#[test]
fn overlays_own_attributes_stay_out_also_where_users_can_set_them() {
    let mut header = Header::new("file", EntryKind::Regular);
    for name in ["trusted.overlay.redirect", "user.overlay.redirect", "user.mine"] {
        header.xattrs.insert(name.into(), b"x".to_vec());
    }
    for (marks, count) in [(Marks::User, 1), (Marks::Trusted, 2)] {
        let place = Place::new();
        Layer::new().header(&header).apply(&place.root(), Whiteouts::Overlay(marks)).unwrap();
        let mut names = vec![0; 1000];
        let length = rustix::fs::llistxattr(place.root().join("file"), names.as_mut_slice());
        let names = names[..length.unwrap()].split(|byte| *byte == 0);
        assert_eq!(names.filter(|name| !name.is_empty()).count(), count);
    }
}

#[test]
fn climbing_names_and_links_are_refused() {
    for layer in [
        Layer::new().file("../outside/new", "x"),
        Layer::new().file("a/../../outside/new", "x"),
        Layer::new().add("hard", EntryKind::HardLink, "../outside/secret"),
        Layer::new().folder("a").file("a/.wh...", ""),
        Layer::new().file(".wh...", ""),
    ] {
        let place = Place::new();
        let error = layer.apply(&place.root(), Whiteouts::Plain).unwrap_err();
        assert!(matches!(error, ArchiveError::Breakout { .. }), "{error}");
        place.assert_outside_is_untouched();
    }
}

#[test]
fn symbolic_links_lead_nowhere_outside() {
    for target in [
        "../outside",
        "../../../../../../../../outside",
        "a/b/../../../outside",
        "/proc/self/cwd",
        "/",
    ] {
        for whiteouts in [Whiteouts::Plain, Whiteouts::Overlay(Marks::Trusted)] {
            let place = Place::new();
            let root = place.root();
            let make = |layer: Layer| {
                layer.folder("a").folder("a/b").add("link", EntryKind::Symlink, target)
            };
            // Each may fail or land inside; it must not get out.
            for layer in [
                make(Layer::new()).file("link/secret", "changed"),
                make(Layer::new()).folder("link/new"),
                make(Layer::new()).add("link/hard", EntryKind::Symlink, "x"),
                make(Layer::new()).file("link/.wh.secret", ""),
                make(Layer::new()).file("link/.wh..wh..opq", ""),
                make(Layer::new()).add("taken", EntryKind::HardLink, "link/secret"),
                make(Layer::new()).folder("link"),
            ] {
                layer.apply(&root, whiteouts).ok();
                place.assert_outside_is_untouched();
            }
        }
    }
}

#[test]
fn absolute_links_are_followed_inside_and_kept_as_text() {
    let place = Place::new();
    Layer::new()
        .folder("usr")
        .folder("usr/lib")
        .add("lib", EntryKind::Symlink, "/usr/lib")
        .file("lib/libc.so", "elf")
        .file("/etc/absolute", "kept")
        .apply(&place.root(), Whiteouts::Overlay(Marks::Trusted))
        .unwrap();
    assert_eq!(place.text("usr/lib/libc.so"), "elf");
    assert_eq!(std::fs::read_link(place.root().join("lib")).unwrap(), Path::new("/usr/lib"));
    assert_eq!(place.text("etc/absolute"), "kept");
}

#[test]
fn a_replaced_folder_is_not_written_through_an_old_descriptor() {
    let place = Place::new();
    Layer::new()
        .folder("a")
        .file("a/x", "1")
        .add("a", EntryKind::Symlink, "b")
        .folder("b")
        .file("a/y", "2")
        .apply(&place.root(), Whiteouts::Plain)
        .unwrap();
    assert_eq!(place.names(""), ["a", "b"]);
    assert_eq!(place.names("b"), ["y"]);
}

#[test]
fn attributes_arrive() {
    let place = Place::new();
    let mut writer = Writer::new(Vec::new());
    let mut header = Header::new("bin", EntryKind::Directory);
    header.mode = 0o2750;
    header.mtime.seconds = 1_000_000;
    writer.append_bytes(&header, b"").unwrap();
    let mut header = Header::new("bin/sudo", EntryKind::Regular);
    header.mode = 0o4755;
    (header.uid, header.gid) = (12, 34);
    header.mtime = Timestamp { seconds: 2_000_000, nanoseconds: 7 };
    header.xattrs = BTreeMap::from([
        (b"user.colour".to_vec(), b"blue".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/other/layer".to_vec()),
        // cap_net_raw+ep, version 2.
        (b"security.capability".to_vec(), [1, 0, 0, 2, 0, 32].into_iter().chain([0; 14]).collect()),
    ]);
    writer.append_bytes(&header, b"#!").unwrap();
    let mut header = Header::new("bin/link", EntryKind::Symlink);
    (header.uid, header.link) = (99, b"nowhere".to_vec());
    header.mtime.seconds = 3_000_000;
    writer.append_bytes(&header, b"").unwrap();
    let mut header = Header::new("bin/plain", EntryKind::Regular);
    header.mode = 0o600;
    writer.append_bytes(&header, b"").unwrap();
    apply(&place.root(), &writer.finish().unwrap()[..], &ApplyOptions::default()).unwrap();

    let bin = std::fs::metadata(place.root().join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o2750, 1_000_000));
    let path = place.root().join("bin/sudo");
    let sudo = std::fs::metadata(&path).unwrap();
    assert_eq!((sudo.mode() & 0o7777, sudo.uid(), sudo.gid()), (0o4755, 12, 34));
    assert_eq!((sudo.mtime(), sudo.mtime_nsec()), (2_000_000, 7));
    let folder = tree::open_root(&place.root().join("bin")).unwrap();
    let xattrs = tree::xattrs(folder.as_fd(), b"sudo", (b"sudo", Marks::Trusted)).unwrap();
    assert_eq!(xattrs.get(&b"user.colour"[..]).unwrap(), b"blue");
    assert_eq!(xattrs.get(&b"security.capability"[..]).unwrap().len(), 20);
    let mut value = [0; 64];
    assert!(rustix::fs::lgetxattr(&path, "trusted.overlay.redirect", &mut value).is_err());
    let link = std::fs::symlink_metadata(place.root().join("bin/link")).unwrap();
    assert_eq!((link.uid(), link.mtime()), (99, 3_000_000));
    // Not the group of its setgid folder, and not a child of the umask.
    let plain = std::fs::metadata(place.root().join("bin/plain")).unwrap();
    assert_eq!((plain.mode() & 0o7777, plain.gid()), (0o600, 0));
}

#[test]
fn devices_and_pipes_are_made() {
    let place = Place::new();
    let mut null = Header::new("null", EntryKind::CharDevice);
    null.mode = 0o666;
    null.device = crate::tar::Device { major: 1, minor: 3 };
    Layer::new()
        .header(&null)
        .header(&Header::new("pipe", EntryKind::Fifo))
        .apply(&place.root(), Whiteouts::Plain)
        .unwrap();
    let null = std::fs::metadata(place.root().join("null")).unwrap();
    assert!(null.file_type().is_char_device() && null.permissions().mode() & 0o777 == 0o666);
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    assert!(std::fs::metadata(place.root().join("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn later_entries_replace_earlier_ones_of_another_kind() {
    let place = Place::new();
    Layer::new()
        .file("a", "file")
        .folder("a")
        .file("a/in", "in")
        .folder("b")
        .file("b/in", "in")
        .file("b", "file")
        .add("c", EntryKind::Symlink, "a")
        .file("c", "file")
        .apply(&place.root(), Whiteouts::Plain)
        .unwrap();
    assert_eq!(
        (place.text("a/in"), place.text("b"), place.text("c")),
        ("in".into(), "file".into(), "file".into())
    );
    assert!(std::fs::symlink_metadata(place.root().join("c")).unwrap().is_file());
}

#[test]
fn plain_whiteouts_remove_what_was_below() {
    let place = Place::new();
    let root = place.root();
    let below = Layer::new()
        .folder("d")
        .file("d/old", "1")
        .folder("d/sub")
        .file("d/sub/old", "1")
        .file("gone", "1");
    below.folder("tree").file("tree/x", "").apply(&root, Whiteouts::Plain).unwrap();
    Layer::new()
        .file("d/sub/new", "2")
        .file("d/.wh..wh..opq", "")
        .file("d/new", "2")
        .file(".wh.gone", "")
        .file(".wh.tree", "")
        .file(".wh.never", "")
        .file("nofolder/.wh.x", "")
        .apply(&root, Whiteouts::Plain)
        .unwrap();
    assert_eq!(place.names(""), ["d"]);
    assert_eq!(place.names("d"), ["new", "sub"]);
    assert_eq!(place.names("d/sub"), ["new"]);
}

#[test]
fn overlay_whiteouts_become_marks() {
    let place = Place::new();
    let root = place.root();
    Layer::new()
        .file("d/.wh..wh..opq", "")
        .file("d/new", "2")
        .file(".wh.gone", "")
        .file(".wh.again", "")
        .folder("again")
        .folder("first")
        .file(".wh.first", "")
        .file("kept", "3")
        .file(".wh.kept", "")
        .apply(&root, Whiteouts::Overlay(Marks::Trusted))
        .unwrap();
    let gone = std::fs::symlink_metadata(root.join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let fd = tree::open_root(&root).unwrap();
    for name in ["d", "again", "first"] {
        assert!(
            tree::is_opaque(fd.as_fd(), name.as_bytes(), (b"", Marks::Trusted)).unwrap(),
            "{name}"
        );
    }
    assert_eq!(place.text("kept"), "3");
}

#[test]
fn missing_folders_look_as_those_below() {
    let place = Place::new();
    let lower = place.root().join("lower");
    std::fs::create_dir_all(lower.join("var/private")).unwrap();
    std::fs::set_permissions(lower.join("var/private"), std::fs::Permissions::from_mode(0o1700))
        .unwrap();
    std::os::unix::fs::chown(lower.join("var/private"), Some(5), Some(6)).unwrap();
    let upper = place.root().join("upper");
    std::fs::create_dir(&upper).unwrap();
    let bytes = Layer::new().file("var/private/x", "").file("other/y", "").0.finish().unwrap();
    let options = ApplyOptions {
        whiteouts: Whiteouts::Overlay(Marks::Trusted),
        lowers: &[lower],
        ..ApplyOptions::default()
    };
    apply(&upper, &bytes[..], &options).unwrap();
    let private = std::fs::metadata(upper.join("var/private")).unwrap();
    assert_eq!((private.mode() & 0o7777, private.uid(), private.gid()), (0o1700, 5, 6));
    assert_eq!(std::fs::metadata(upper.join("other")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn unreasonable_entries_are_errors() {
    let mut owner = Header::new("x", EntryKind::Regular);
    owner.uid = 1 << 40;
    for (layer, want) in [
        (Layer::new().header(&owner), "no such owner"),
        (Layer::new().add("h", EntryKind::HardLink, "missing"), "which is not there"),
        (Layer::new().add("h", EntryKind::HardLink, "."), "hard link to the root"),
        (Layer::new().add("v", EntryKind::Other(b'V'), ""), "unhandled tar header type"),
        (Layer::new().file("a", "").file("a/b", ""), "cannot open a"),
        (Layer::new().file(&"n".repeat(300), ""), "cannot create"),
        (Layer::new().file(".", ""), "the root is a folder"),
    ] {
        let place = Place::new();
        let error = layer.apply(&place.root(), Whiteouts::Plain).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn more_than_is_allowed_is_refused() {
    let apply_with = |layer: Layer, limits: Limits| {
        let place = Place::new();
        let bytes = layer.0.finish().unwrap();
        apply(&place.root(), &bytes[..], &ApplyOptions { limits, ..ApplyOptions::default() })
    };
    let layer = || Layer::new().file("a", "12345").file("b", "12345");
    apply_with(layer(), Limits { entries: 2, bytes: 10 }).unwrap();
    for (limits, want) in [
        (Limits { entries: 1, bytes: 10 }, "archive holds more than 1 entries"),
        (Limits { entries: 2, bytes: 9 }, "archive holds more than 9 bytes of files"),
    ] {
        let error = apply_with(layer(), limits).unwrap_err();
        assert_eq!(error.to_string(), want);
        assert_eq!(error.kind(), barge_types::ErrorKind::InvalidParameter);
    }
    // Holes count: nobody stores them, but whoever copies the file may.
    let mut bomb = Layer::new();
    for name in ["a", "b", "c"] {
        let mut header = Header::new(name, EntryKind::Regular);
        header.size = 1 << 62;
        let map = [crate::tar::Segment { offset: 1 << 62, length: 0 }];
        bomb.0.append_sparse(&header, &map, &mut std::io::empty()).unwrap();
    }
    let error = apply_with(bomb, Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
}

#[test]
fn names_longer_than_any_path_are_refused() {
    let place = Place::new();
    let layer = Layer::new().file("a/".repeat(100_000).trim_end_matches('/'), "x");
    let error = layer.apply(&place.root(), Whiteouts::Plain).unwrap_err().to_string();
    assert!(error.contains("name of 199999 bytes: at most 4095"), "{error}");
    assert_eq!(place.names(""), Vec::<String>::new());
}

#[test]
fn deep_and_long_paths_are_made() {
    let place = Place::new();
    let deep: String = (0..200).map(|n| format!("folder-{n}/")).collect();
    let layer = Layer::new()
        .file(&format!("{deep}x"), "deep")
        .file("top", "t")
        .file(&format!("{deep}y"), "deep");
    layer.apply(&place.root(), Whiteouts::Plain).unwrap();
    assert_eq!(place.text(&format!("{deep}y")), "deep");
    let mut packed = Vec::new();
    crate::pack::tree(&place.root(), &crate::pack::PackOptions::default(), &mut packed).unwrap();
    let again = Place::new();
    apply(&again.root(), &packed[..], &ApplyOptions::default()).unwrap();
    assert_eq!(again.text(&format!("{deep}x")), "deep");
}

/// A tree with something of everything.
fn make_tree(root: &Path) {
    let script =
        "umask 022; mkdir -p etc usr/bin var/empty; echo conf > etc/conf; ln etc/conf etc/conf2; \
        ln -s ../etc/conf usr/bin/link; chmod 4755 etc/conf; mkfifo var/pipe; mknod var/dev c 5 1; \
        chmod 1777 var/empty; setfattr -n user.a -v b etc 2>/dev/null; chown 3:4 var/pipe; \
        truncate -s 5M var/sparse; printf end >> var/sparse; \
        touch -d @1000000000.25 etc/conf usr/bin var/sparse etc; echo x > \"usr/odd
name\"; python3 -c 'import os; os.setxattr(\"etc/conf\", \"user.x\", b\"y\")'";
    let status = Command::new("sh").arg("-c").arg(script).current_dir(root).status().unwrap();
    assert!(status.success());
}

fn packed(root: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::pack::tree(root, &crate::pack::PackOptions::default(), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_packed_tree_comes_back_the_same() {
    let place = Place::new();
    make_tree(&place.root());
    let first = packed(&place.root());
    assert!(first.len() < 100_000, "holes were written out: {}", first.len());
    let again = Place::new();
    apply(&again.root(), &first[..], &ApplyOptions::default()).unwrap();
    assert!(packed(&again.root()) == first);
    let sparse = std::fs::metadata(again.root().join("var/sparse")).unwrap();
    assert_eq!((sparse.size(), sparse.blocks() < 100), (5 * 1024 * 1024 + 3, true));
    let (one, two) = ("etc/conf", "etc/conf2");
    assert_eq!(
        std::fs::metadata(again.root().join(one)).unwrap().ino(),
        std::fs::metadata(again.root().join(two)).unwrap().ino()
    );
}

#[test]
fn gnu_tar_of_a_tree_gives_the_same_tree() {
    let place = Place::new();
    make_tree(&place.root());
    let want = packed(&place.root());
    for options in [&["--format=gnu"][..], &["--format=posix", "--xattrs", "--xattrs-include=*"]] {
        let tar = Command::new("tar")
            .arg("-C")
            .arg(place.root())
            .args(options)
            .args(["--numeric-owner", "--sparse", "-c", "."])
            .output()
            .unwrap();
        assert!(tar.status.success());
        let again = Place::new();
        apply(&again.root(), &tar.stdout[..], &ApplyOptions::default()).unwrap();
        // Only pax carries attributes of files.
        if options.len() > 1 {
            assert!(packed(&again.root()) == want);
        }
        assert_eq!(again.text("usr/odd\nname"), "x\n");
    }
}

#[test]
fn a_copied_tree_is_the_same_to_the_nanosecond() {
    let place = Place::new();
    make_tree(&place.root());
    let again = Place::new();
    crate::copy::tree(&place.root(), &again.root()).unwrap();
    assert!(packed(&again.root()) == packed(&place.root()));
    assert_eq!(std::fs::metadata(again.root().join("etc")).unwrap().mtime_nsec(), 250_000_000);
    assert_eq!(crate::changes::between(Some(&place.root()), &again.root()).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_archive_changes_anything_outside(
        entries in prop::collection::vec(
            ("/?(\\.\\./|a/|b/|l/|\\.wh\\.|\\./){0,4}(a|b|l|secret|\\.\\.|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq)",
             0u8..4, "(/|\\.\\./|a/){0,4}(outside|outside/secret|a|b|l|\\.\\.)"), 1..14),
        is_overlay in any::<bool>(),
    ) {
        let place = Place::new();
        let mut layer = Layer::new();
        for (path, kind, target) in &entries {
            layer = match kind {
                0 => layer.file(path, "changed"),
                1 => layer.folder(path),
                2 => layer.add(path, EntryKind::Symlink, target),
                _ => layer.add(path, EntryKind::HardLink, target),
            };
        }
        let whiteouts = if is_overlay { Whiteouts::Overlay(Marks::Trusted) } else { Whiteouts::Plain };
        layer.apply(&place.root(), whiteouts).ok();
        place.assert_outside_is_untouched();
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let place = Place::new();
        apply(&place.root(), &bytes[..], &ApplyOptions::default()).ok();
    }
}

/// The tree of a container with a folder to extract into, at `a/b`; the link `a/up` leads out of that folder.
fn tree_with_links() -> Place {
    let place = Place::new();
    let root = place.folder.path().join("root");
    std::fs::create_dir_all(root.join("a/b/dir")).unwrap();
    std::fs::create_dir(root.join("etc")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("a/b/abs")).unwrap();
    std::os::unix::fs::symlink("../../etc", root.join("a/b/rel")).unwrap();
    std::os::unix::fs::symlink("../../../../outside", root.join("a/b/out")).unwrap();
    std::os::unix::fs::symlink("/a/b", root.join("link")).unwrap();
    place
}

fn apply_at(place: &Place, path: &str, (layer, special): (Layer, Special)) -> Result<Applied> {
    let bytes = layer.0.finish().unwrap();
    let root = tree::open_root(&place.folder.path().join("root")).unwrap();
    let special = Special { root: RootEntry::Ignored, ..special };
    let whiteouts = Whiteouts::Ordinary;
    let options = ApplyOptions { whiteouts, special, ..ApplyOptions::default() };
    apply_in(super::Place { root, path: path.as_bytes() }, &bytes[..], &options)
}

#[test]
fn in_a_folder_of_a_tree_links_mean_what_they_mean_in_the_tree() {
    let place = tree_with_links();
    let root = place.folder.path().join("root");
    let layer = Layer::new()
        .folder("./")
        .file("abs/one", "1")
        .file("rel/two", "2")
        .file("/three", "3")
        .file(".wh.four", "4")
        .add("five", EntryKind::HardLink, "/three");
    apply_at(&place, "link", (layer, Special::default())).unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("etc/one") + &read("etc/two"), "12");
    assert_eq!(read("a/b/three") + &read("a/b/.wh.four") + &read("a/b/five"), "343");
}

#[test]
fn in_a_folder_of_a_tree_no_link_leads_out_of_the_tree() {
    let place = tree_with_links();
    let outside = place.folder.path().join("outside");
    for layer in [
        Layer::new().file("out/secret", "stolen"),
        Layer::new()
            .add("new", EntryKind::Symlink, "../../../outside")
            .file("new/secret", "stolen"),
        Layer::new().add("hard", EntryKind::HardLink, "out/secret"),
        Layer::new().file("../../../outside/secret", "stolen"),
    ] {
        assert!(apply_at(&place, "a/b", (layer, Special::default())).is_err());
        assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret");
        assert!(!place.folder.path().join("root/a/b/hard").exists());
    }
}

#[test]
fn folders_and_other_things_do_not_replace_each_other_when_that_is_refused() {
    let place = tree_with_links();
    std::fs::write(place.folder.path().join("root/a/b/file"), "x").unwrap();
    let special = Special { clashes: Clashes::Refused, ..Special::default() };
    let refusal = |layer| apply_at(&place, "a/b", (layer, special)).unwrap_err().to_string();
    assert_eq!(
        refusal(Layer::new().file("dir", "")),
        "cannot overwrite directory \"/a/b/dir\" with non-directory \"/a/b\""
    );
    assert_eq!(
        refusal(Layer::new().folder("file")),
        "cannot overwrite non-directory \"/a/b/file\" with directory \"/a/b\""
    );
    let fits = Layer::new().folder("dir").file("file", "new");
    apply_at(&place, "a/b", (fits, special)).unwrap();
    apply_at(&place, "a/b", (Layer::new().file("dir", "new"), Special::default())).unwrap();
    assert!(place.folder.path().join("root/a/b/dir").is_file());
}

#[test]
fn everything_gets_the_owner_that_was_asked_for() {
    let place = tree_with_links();
    let special = Special { owner: Some((7, 8)), ..Special::default() };
    let layer = Layer::new().folder("new").file("new/file", "x").add("l", EntryKind::Symlink, "x");
    apply_at(&place, "a/b", (layer, special)).unwrap();
    for name in ["new", "new/file", "l"] {
        let path = place.folder.path().join("root/a/b").join(name);
        let found = std::fs::symlink_metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (7, 8), "{name}");
    }
}

#[test]
fn what_an_archive_is_of_is_renamed_and_its_links_with_it() {
    for (from, to, wanted) in [
        ("data", "new", ["new/a", "new/b"]),
        ("data", "", ["a", "b"]),
        ("", "new", ["new/data/a", "new/data/b"]),
        ("dat", "new", ["data/a", "data/b"]),
    ] {
        let place = Place::new();
        let root = place.folder.path().join("root");
        let layer = Layer::new().folder("data").file("data/a", "x");
        let tar = layer.add("data/b", EntryKind::HardLink, "data/a").0.finish().unwrap();
        let renamed = Renamed { from: from.as_bytes(), to: to.as_bytes() };
        let special = Special { root: RootEntry::Ignored, ..Special::default() };
        let options = ApplyOptions { renamed: Some(renamed), special, ..ApplyOptions::default() };
        apply(&root, &tar[..], &options).unwrap();
        for name in wanted {
            assert_eq!(std::fs::read_to_string(root.join(name)).unwrap(), "x", "{from} {to}");
        }
    }
}
