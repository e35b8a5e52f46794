//! Selections, digests and copies, on real files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use barge_dockerfile::ignore::Patterns;
use barge_types::Digest;

use super::*;

mod archives;

/// A context and a layer.
struct Place {
    folder: tempfile::TempDir,
    memory: ChecksumMemory,
}

impl Place {
    /// With these files, `name` or `name=content`; a name that ends with a slash is a folder, `name>target` a link.
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = ChecksumMemory::open(&folder.path().join("sums")).unwrap();
        let place = Self { folder, memory };
        fs::create_dir(place.context()).unwrap();
        fs::create_dir(place.layer()).unwrap();
        fill(&place.context(), files);
        place
    }

    fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    fn layer(&self) -> PathBuf {
        self.folder.path().join("layer")
    }

    fn tree(&self, ignore: &str) -> Tree {
        let patterns = Patterns::parse(ignore).unwrap();
        Tree::context(&self.context(), Some(&patterns), &self.memory, "test").unwrap()
    }

    fn select(&self, sources: &[&str]) -> Result<Selection, FilesError> {
        let sources = owned(sources);
        self.tree("").select(&TransferRequest { sources: &sources, ..Default::default() })
    }

    fn digest(&self, sources: &[&str]) -> Digest {
        self.select(sources).unwrap().digest().unwrap()
    }

    fn copy(&self, sources: &[&str], destination: &str) -> Vec<String> {
        let placement = Placement { destination, ..Default::default() };
        self.select(sources).unwrap().copy(&self.layer(), &placement).unwrap();
        list(&self.layer())
    }

    fn copy_error(&self, sources: &[&str], destination: &str) -> String {
        let placement = Placement { destination, ..Default::default() };
        let copied = self.select(sources).and_then(|found| found.copy(&self.layer(), &placement));
        copied.unwrap_err().to_string()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn fill(root: &Path, files: &[&str]) {
    for file in files {
        let (name, content) = file.split_once('=').unwrap_or((file, "x"));
        if let Some((name, target)) = name.split_once('>') {
            make_parent(&root.join(name));
            symlink(target, root.join(name)).unwrap();
        } else if name.ends_with('/') {
            fs::create_dir_all(root.join(name)).unwrap();
        } else {
            make_parent(&root.join(name));
            fs::write(root.join(name), content).unwrap();
        }
    }
}

fn make_parent(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
}

/// Everything below a folder: folders with a slash, links with their target.
fn list(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                found.push(format!("{name}/"));
                left.push(path);
            } else if kind.is_symlink() {
                found.push(format!("{name}>{}", fs::read_link(&path).unwrap().display()));
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_takes_the_name_or_goes_into_the_folder() {
    let place = Place::new(&["a", "b"]);
    assert_eq!(place.copy(&["a"], "/x"), ["x"]);
    assert_eq!(place.copy(&["a"], "/d/e/"), ["d/", "d/e/", "d/e/a", "x"]);
    assert_eq!(place.copy(&["b"], "/d"), ["d/", "d/b", "d/e/", "d/e/a", "x"]);
    assert!(place.copy_error(&["a", "b"], "/two").contains("must be a directory and end with a /"));
    assert!(place.copy(&["a", "b"], "/two/").contains(&"two/b".to_owned()));
}

#[test]
fn a_folder_gives_its_content() {
    let place = Place::new(&["d/a", "d/sub/b", "d/empty/", "d/link>/etc/passwd"]);
    let want = ["x/", "x/a", "x/empty/", "x/link>/etc/passwd", "x/sub/", "x/sub/b"];
    assert_eq!(place.copy(&["d"], "/x"), want);
    assert_eq!(place.copy(&["d/"], "/x/"), want);
    assert_eq!(place.copy(&["/"], "/y").len(), want.len() + 7);
}

#[test]
fn the_outermost_folder_gives_its_content_and_nothing_else() {
    let place = Place::new(&["d/sub/a"]);
    set_mode(&place.context().join("d"), 0o700);
    set_mode(&place.context().join("d/sub"), 0o710);
    fill(&place.layer(), &["there/sub/"]);
    set_mode(&place.layer().join("there"), 0o751);
    place.copy(&["d"], "/new");
    place.copy(&["d"], "/there");
    place.copy(&["d"], "/made/for/it/");
    assert_eq!(mode(&place.layer().join("new")), 0o755);
    assert_eq!(mode(&place.layer().join("there")), 0o751);
    assert_eq!(mode(&place.layer().join("there/sub")), 0o710);
    assert_eq!(mode(&place.layer().join("made/for")), 0o755);
    assert_eq!(mode(&place.layer().join("made/for/it")), 0o755);
}

#[test]
fn modes_owners_times_and_attributes_arrive() {
    let place = Place::new(&["d/suid", "d/old"]);
    let at = |name: &str| place.context().join(name);
    std::os::unix::fs::chown(at("d/suid"), Some(12), Some(34)).unwrap();
    set_mode(&at("d/suid"), 0o6755);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 123_456_789);
    fs::File::open(at("d/old")).unwrap().set_modified(long_ago).unwrap();
    fs::File::open(at("d")).unwrap().set_modified(long_ago).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let name = std::ffi::OsStr::new("security.capability");
    barge_sys::xattr::lset(&at("d/old"), name, &capability).unwrap();
    place.copy(&["d"], "/x");
    let to = |name: &str| place.layer().join(name);
    let about = fs::metadata(to("x/suid")).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (0, 0, 0o6755));
    assert_eq!(fs::metadata(to("x/old")).unwrap().modified().unwrap(), long_ago);
    assert_eq!(barge_sys::xattr::lget(&to("x/old"), name).unwrap().unwrap(), capability);

    let layer = Tree::layer(&place.context(), "a stage").unwrap();
    let sources = owned(&["d/suid"]);
    let request = TransferRequest { sources: &sources, ..Default::default() };
    let placement = Placement { destination: "/kept", ..Default::default() };
    layer.select(&request).unwrap().copy(&place.layer(), &placement).unwrap();
    let about = fs::metadata(to("kept")).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (12, 34, 0o6755));
}

#[test]
fn owner_mode_and_time_can_be_given() {
    let place = Place::new(&["d/sub/a", "d/link>a"]);
    let placement = Placement {
        destination: "/p/x",
        owner: Some((5, 6)),
        mode: Some(ChmodSpec::parse("4711").unwrap()),
        epoch: Some(1234),
        ..Default::default()
    };
    place.select(&["d"]).unwrap().copy(&place.layer(), &placement).unwrap();
    for (name, want) in [
        ("p", 0o755),
        ("p/x", 0o755),
        ("p/x/sub", 0o4711),
        ("p/x/sub/a", 0o4711),
        ("p/x/link", 0o777),
    ] {
        let about = fs::symlink_metadata(place.layer().join(name)).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (5, 6, want), "{name}");
        if !["p", "p/x"].contains(&name) {
            assert_eq!(about.mtime(), 1234, "{name}");
        }
    }
}

#[test]
fn hard_links_stay_links_and_holes_stay_holes() {
    let place = Place::new(&["d/one", "d/sub/"]);
    fs::hard_link(place.context().join("d/one"), place.context().join("d/sub/two")).unwrap();
    fs::File::create(place.context().join("d/holes")).unwrap().set_len(50 << 20).unwrap();
    place.copy(&["d"], "/");
    let about = |name: &str| fs::metadata(place.layer().join(name)).unwrap();
    assert_eq!(about("one").ino(), about("sub/two").ino());
    assert_eq!(about("holes").len(), 50 << 20);
    assert!(about("holes").blocks() < 1000);
}

#[test]
fn wildcards_match_parts_of_a_path() {
    let place =
        Place::new(&["a.txt", "b.txt", "c.md", "x/1.txt", "x/y/2.txt", "arr[0].txt", "dl>x"]);
    assert_eq!(place.copy(&["*.txt"], "/t/"), ["t/", "t/a.txt", "t/arr[0].txt", "t/b.txt"]);
    assert_eq!(
        place
            .select(&["*/*.txt"])
            .unwrap()
            .copy(&place.layer(), &Placement { destination: "/u/", ..Default::default() })
            .unwrap()
            .entries,
        1
    );
    assert!(place.copy(&["arr[[]0].txt"], "/v").contains(&"v".to_owned()));
    assert!(place.select(&["*.none"]).unwrap().is_empty());
    assert!(place.select(&["[a"]).is_err());
    // A link that a wildcard matches is followed, as one that is named.
    assert!(place.copy(&["d?"], "/w").contains(&"w/1.txt".to_owned()));
}

#[test]
fn sources_that_are_links_are_followed_inside_the_context() {
    let place =
        Place::new(&["real/a", "to>real", "file>/real/a", "out>/etc/passwd", "up>../../etc"]);
    assert_eq!(place.copy(&["to"], "/x"), ["x/", "x/a"]);
    assert!(place.copy(&["file"], "/").contains(&"file".to_owned()));
    assert!(place.copy(&["to/a"], "/z").contains(&"z".to_owned()));
    for outside in ["out", "up", "up/passwd", "../../etc/passwd", "/etc/passwd"] {
        let error = place.select(&[outside]).unwrap_err();
        assert_eq!(error.kind(), barge_types::ErrorKind::NotFound, "{outside}");
        assert!(error.to_string().contains("not found in the build context"), "{error}");
    }
}

#[test]
fn what_is_ignored_is_not_there() {
    let place = Place::new(&["a", "logs/x", "logs/keep/y", "node/m", "d/logs/z"]);
    let tree = place.tree("logs\n!logs/keep\nnode\n*/logs\n");
    let select = |sources: &[&str]| {
        let sources = owned(sources);
        tree.select(&TransferRequest { sources: &sources, ..Default::default() })
    };
    let placement = Placement { destination: "/", ..Default::default() };
    select(&["."]).unwrap().copy(&place.layer(), &placement).unwrap();
    assert_eq!(list(&place.layer()), ["a", "d/", "logs/", "logs/keep/", "logs/keep/y"]);
    let error = select(&["node/m"]).unwrap_err().to_string();
    assert!(error.ends_with("excluded by .dockerignore"), "{error}");
    let before = select(&["."]).unwrap().digest().unwrap();
    fill(&place.context(), &["logs/more", "node/more"]);
    assert_eq!(select(&["."]).unwrap().digest().unwrap(), before);
    fill(&place.context(), &["logs/keep/more"]);
    assert_ne!(select(&["."]).unwrap().digest().unwrap(), before);
}

#[test]
fn a_source_that_is_not_there_is_told_with_what_may_be_meant() {
    let place = Place::new(&["main.go", "src/lib/x.rs", "src/secrets", "logs/x"]);
    symlink("src", place.context().join("link")).unwrap();
    let tree = place.tree("logs\n**/secrets\n.env\n");
    let said = |source: &str, parents: bool| {
        let sources = owned(&[source]);
        let request = TransferRequest { sources: &sources, parents, ..Default::default() };
        tree.select(&request).unwrap_err().to_string()
    };
    let meant = |name: &str| format!("not found in the build context (did you mean {name:?}?)");
    for (source, name) in [
        ("man.go", "main.go"),
        ("./MAIN.go", "main.go"),
        ("scr/lib/x.rs", "src/lib/x.rs"),
        ("/scr/none", "src"),
        ("src/lob/x.rs", "src/lib/x.rs"),
        ("link/lib/x.r", "link/lib/x.rs"),
    ] {
        assert!(said(source, false).ends_with(&meant(name)), "{}", said(source, false));
    }
    assert!(said("src/lib/x.r", true).ends_with(&meant("src/lib/x.rs")));
    // Nothing is told of what a build must not see.
    for source in ["log", "src/secret", "other", "main.go/x"] {
        assert!(said(source, false).ends_with("not found in the build context"), "{source}");
    }
    for source in [".env", "logs/none", "src/secrets"] {
        assert!(said(source, false).ends_with(": it is excluded by .dockerignore"), "{source}");
    }
}

#[test]
fn excluded_files_are_left_out() {
    let place = Place::new(&["d/a.txt", "d/b.md", "d/s/c.txt", "d/s/d.md", "home.txt", "home.md"]);
    let (sources, exclude) = (owned(&["d", "home*"]), owned(&["**/*.txt", "*.txt"]));
    let request = TransferRequest { sources: &sources, exclude: &exclude, parents: false };
    let placement = Placement { destination: "/", ..Default::default() };
    place.tree("").select(&request).unwrap().copy(&place.layer(), &placement).unwrap();
    assert_eq!(list(&place.layer()), ["b.md", "home.md", "s/", "s/d.md"]);
}

#[test]
fn parents_are_made_again_below_the_pivot() {
    let place = Place::new(&["x/a.txt", "x/y/b.txt", "x/y/c.md", "x/y/d/"]);
    set_mode(&place.context().join("x/y"), 0o700);
    let copy = |sources: &[&str], destination: &str| {
        let sources = owned(sources);
        let request = TransferRequest { sources: &sources, parents: true, ..Default::default() };
        let placement = Placement { destination, ..Default::default() };
        place.tree("").select(&request)?.copy(&place.layer(), &placement)
    };
    copy(&["./x/a.txt", "./x/y/b.txt"], "/1/").unwrap();
    copy(&["x/./y/b.txt"], "/2/").unwrap();
    copy(&["./x/./**/*.txt"], "/3/").unwrap();
    copy(&["x/y"], "/4/").unwrap();
    assert_eq!(
        list(&place.layer()),
        [
            "1/",
            "1/x/",
            "1/x/a.txt",
            "1/x/y/",
            "1/x/y/b.txt",
            "2/",
            "2/y/",
            "2/y/b.txt",
            "3/",
            "3/a.txt",
            "3/y/",
            "3/y/b.txt",
            "4/",
            "4/x/",
            "4/x/y/",
            "4/x/y/b.txt",
            "4/x/y/c.md",
            "4/x/y/d/"
        ]
    );
    assert_eq!(mode(&place.layer().join("2/y")), 0o700);
    assert!(copy(&["x/./../x/a.txt"], "/5/").is_err());
    assert!(copy(&["x/none"], "/5/").is_err());
}

#[test]
fn destinations_stay_inside_the_layer() {
    let place = Place::new(&["a", "d/f"]);
    fill(&place.layer(), &["real/", "abs>/real", "out>/../../../tmp", "dangling>/not/there"]);
    place.copy(&["a"], "/abs/");
    place.copy(&["d"], "/abs");
    place.copy(&["a"], "/out/barge-files-escape");
    place.copy(&["a"], "/dangling/x");
    let found = list(&place.layer());
    for want in ["real/a", "real/f", "tmp/barge-files-escape", "not/there/x", "abs>/real"] {
        assert!(found.contains(&want.to_owned()), "{want}: {found:?}");
    }
    assert!(!Path::new("/tmp/barge-files-escape").exists());
}

#[test]
fn a_link_copy_knows_nothing_of_what_is_there() {
    let place = Place::new(&["a"]);
    fill(&place.layer(), &["real/", "lib>real"]);
    let placement = Placement { destination: "/lib/x", link: true, ..Default::default() };
    place.select(&["a"]).unwrap().copy(&place.layer(), &placement).unwrap();
    assert_eq!(list(&place.layer()), ["lib/", "lib/x", "real/"]);
    // The destination itself, too, where it is to be a folder.
    let place = Place::new(&["a", "d/a"]);
    fill(&place.layer(), &["real/", "one>real", "two>real", "three>real"]);
    for (sources, destination) in [(["a"], "/one/"), (["d"], "/two"), (["a"], "/three")] {
        let placement = Placement { destination, link: true, ..Default::default() };
        place.select(&sources).unwrap().copy(&place.layer(), &placement).unwrap();
    }
    assert_eq!(list(&place.layer()), ["one/", "one/a", "real/", "three", "two/", "two/a"]);
}

#[test]
fn files_replace_files_and_links_and_never_folders() {
    let place = Place::new(&["a=new", "d/f=new", "d/sub/x"]);
    fill(&place.layer(), &["f>/precious", "precious=old", "folder/a/", "linked/", "l>linked"]);
    place.copy(&["d/f"], "/");
    assert_eq!(fs::read(place.layer().join("precious")).unwrap(), b"old");
    assert_eq!(fs::read(place.layer().join("f")).unwrap(), b"new");
    let error = place.copy_error(&["a"], "/folder/");
    assert_eq!(error, "cannot replace to directory /folder/a with file");
    fill(&place.layer(), &["to/sub>/linked"]);
    let error = place.copy_error(&["d"], "/to");
    assert_eq!(error, "cannot copy to non-directory: /to/sub");
    assert!(list(&place.layer().join("linked")).is_empty());
    assert_eq!(place.copy_error(&["d"], "/f"), "cannot copy to non-directory: /f");
    assert_eq!(place.copy_error(&["a"], "/f/below"), "cannot copy to non-directory: /f");
}

#[test]
fn digests_see_content_modes_names_and_links_but_not_times() {
    let place = Place::new(&["d/a=one", "d/l>a", "d/e/"]);
    let mut seen = BTreeMap::new();
    let mut check = |what: &str| {
        let digest = place.digest(&["d"]);
        assert_eq!(digest, place.digest(&["d"]), "{what}");
        assert_eq!(seen.insert(digest, what.to_owned()), None, "{what}");
    };
    check("first");
    fs::write(place.context().join("d/a"), "two").unwrap();
    check("content");
    set_mode(&place.context().join("d/a"), 0o600);
    check("mode");
    fs::rename(place.context().join("d/e"), place.context().join("d/f")).unwrap();
    check("folder's name");
    fs::remove_file(place.context().join("d/l")).unwrap();
    symlink("b", place.context().join("d/l")).unwrap();
    check("target");
    set_mode(&place.context().join("d/f"), 0o700);
    check("folder's mode");
    let name = std::ffi::OsStr::new("user.test");
    barge_sys::xattr::lset(&place.context().join("d/a"), name, b"1").unwrap();
    check("attribute");
    let digest = place.digest(&["d"]);
    for name in ["d", "d/a"] {
        let file = fs::File::open(place.context().join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(place.digest(&["d"]), digest);
    // Where it is does not matter, since its content is what is copied.
    fs::rename(place.context().join("d"), place.context().join("other")).unwrap();
    assert_eq!(place.digest(&["other"]), digest);
    assert_ne!(place.digest(&["other/a"]), place.digest(&["other/a", "other/a"]));
}

#[test]
fn the_outermost_folder_counts_only_where_it_is_copied() {
    let place = Place::new(&["d/a", "f/d/a"]);
    let (spilled, inside) = (place.digest(&["d"]), place.digest(&["f"]));
    set_mode(&place.context().join("d"), 0o700);
    set_mode(&place.context().join("f/d"), 0o700);
    assert_eq!(place.digest(&["d"]), spilled);
    assert_ne!(place.digest(&["f"]), inside);
}

#[test]
fn what_is_cancelled_ends() {
    let place = Place::new(&["d/a"]);
    let cancel = crate::runner::Cancel::default();
    let sources = owned(&["d"]);
    let request = TransferRequest { sources: &sources, ..Default::default() };
    let selection = place.tree("").until(&cancel).select(&request).unwrap();
    selection.digest().unwrap();
    cancel.cancel();
    let placement = Placement { destination: "/x", ..Default::default() };
    assert!(matches!(selection.digest(), Err(FilesError::Cancelled)));
    assert!(matches!(selection.copy(&place.layer(), &placement), Err(FilesError::Cancelled)));
}

#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new(&["d/"]);
    for name in [&b"a\nb"[..], b"\xff\xfe", b" ", b"-rf"] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(place.context().join("d").join(name), "x").unwrap();
    }
    place.digest(&["d"]);
    assert_eq!(place.copy(&["d"], "/x").len(), 5);
    assert!(place.layer().join("x").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")).exists());
}

#[test]
fn pipes_are_made_again_and_sockets_left_out() {
    let place = Place::new(&["d/a"]);
    let fifo = place.context().join("d/pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.context().join("d/sock")).unwrap();
    place.digest(&["d"]);
    assert_eq!(place.copy(&["d"], "/x"), ["x/", "x/a", "x/pipe"]);
}
