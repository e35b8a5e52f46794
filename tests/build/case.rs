//! One Dockerfile of the corpus with its context, and what its `case.toml` says of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use barge_testkit::{Process, command};
use serde::Deserialize;

/// `CAP_NET_RAW`, permitted and effective, as the kernel keeps it (version 2 of `vfs_cap_data`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A case, read.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its folder without the number.
    pub(crate) name: String,
    folder: PathBuf,
    pub(crate) words: Words,
}

/// `case.toml`; a case that needs none has none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Words {
    /// Of the command line.
    pub(crate) flags: Vec<String>,
    /// Of the client's environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// Shell lines run in the context, for what git does not keep.
    setup: Vec<String>,
    /// Files of the context that have a capability.
    capabilities: Vec<String>,
    /// Who else can build it.
    pub(crate) only: Peers,
    /// Why not everybody can.
    why: Option<String>,
    /// Another Dockerfile, whose image is built first under the name `corpus-<case>-base`.
    pub(crate) first: Option<String>,
    /// The context that the command line names.
    pub(crate) context: Option<String>,
    /// A shell line whose output is the standard input.
    pub(crate) stdin: Option<String>,
    /// Where nobody else can: all facts that are not the base's, without history.
    pub(crate) expect: Vec<String>,
    /// In the corpus of mistakes: parts of the error's text.
    pub(crate) says: Vec<String>,
    /// What [`Self::expect`] is to be read upon, `busybox` if nothing is said.
    pub(crate) base: Option<String>,
}

/// Who builds a case beside barge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peers {
    /// Both of Docker's builders.
    #[default]
    Both,
    Classic,
    Buildkit,
    /// Nobody: the case says what to expect.
    Expect,
}

/// All of them, in order.
pub(crate) fn corpus() -> Vec<Case> {
    read_all("corpus")
}

/// Those that have a mistake in them.
pub(crate) fn mistakes() -> Vec<Case> {
    read_all("errors")
}

fn read_all(folder: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (_, name) = name.split_once('-').expect("a case is called NNN-name");
        let name = name.to_owned();
        let words = match fs::read_to_string(folder.join("case.toml")) {
            Ok(text) => toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")),
            Err(_) => Words::default(),
        };
        let case = Self { name, folder, words };
        let words = &case.words;
        assert_eq!(words.only == Peers::Both, words.why.is_none(), "{}: why?", case.name);
        case
    }

    /// Everything that is written in a Dockerfile or on the command line of the case.
    pub(crate) fn text(&self) -> String {
        let mut text = self.words.flags.join("\n");
        for name in ["Dockerfile", "hidden", "base.Dockerfile"] {
            text.push('\n');
            text.push_str(&fs::read_to_string(self.folder.join(name)).unwrap_or_default());
        }
        text
    }

    /// Makes the context below `root`, in a folder of the case's name. Modes are those of git, whatever the umask was.
    pub(crate) fn unpack(&self, root: &Path) -> PathBuf {
        let context = root.join(&self.name);
        copy(&self.folder, &context);
        fs::remove_file(context.join("case.toml")).ok();
        for line in &self.words.setup {
            let mut shell = command("sh");
            shell.args(["-ec", line]).current_dir(&context);
            Process::start(&mut shell).wait().ok();
        }
        for file in &self.words.capabilities {
            let flags = rustix::fs::XattrFlags::empty();
            let file = context.join(file);
            rustix::fs::setxattr(&file, "security.capability", &CAPABILITY, flags).unwrap();
        }
        context
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), &to).unwrap();
            let is_program = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let mode = if is_program { 0o755 } else { 0o644 };
            fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}
