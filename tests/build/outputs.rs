//! What `--output` gives: the files of the result as BuildKit gives them, and archives that hold the image itself.

use std::fs;
use std::path::{Path, PathBuf};

use barge_testkit::{Process, command, need};

use crate::builders::{Arena, Builder};
use crate::case::{Case, corpus};
use crate::facts::Facts;
use crate::files::{self, Files};
use crate::saved;

/// Files of every kind that an archive can have, with owners and modes.
const CASE: &str = "copy-from-keeps-owners";

struct Place {
    arena: Arena,
    case: Case,
    context: PathBuf,
}

impl Place {
    fn prepare() -> Self {
        let arena = Arena::prepare();
        let case = corpus().into_iter().find(|case| case.name == CASE).unwrap();
        let context = case.unpack(&arena.host.scratch().join("contexts"));
        Self { arena, case, context }
    }

    /// Builds with `--output type=…,dest=…` and returns where the result is.
    fn output(&self, builder: Builder, kind: &str) -> PathBuf {
        let path = self.arena.host.scratch().join(format!("{builder:?}-{kind}"));
        let mut line = self.arena.client(builder);
        line.arg("--output").arg(format!("type={kind},dest={}", path.display()));
        Process::start(line.arg(".").current_dir(&self.context)).wait().ok();
        path
    }

    /// The image, from the store.
    fn image(&self) -> Facts {
        assert!(self.arena.build(&self.case).is_empty());
        let mut images = self.arena.images(std::slice::from_ref(&self.case), Default::default());
        images.remove(&(CASE.to_owned(), Builder::Barge)).unwrap()
    }
}

fn tree(archive: &[u8]) -> Files {
    let mut files = Files::new();
    files::add_layer(&mut files, archive);
    files
}

/// A folder as an archive of the system's own making.
fn packed(folder: &Path) -> Vec<u8> {
    let archive = folder.with_extension("packed");
    let mut tar = command("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(folder).arg(".");
    Process::start(&mut tar).wait().ok();
    fs::read(archive).unwrap()
}

/// Pipes are what BuildKit of 20.10 leaves out (see `differences.rs`).
fn without_pipes(mut files: Files) -> Files {
    files.retain(|_, line| !line.ends_with("fifo"));
    files
}

#[test]
fn files_come_out_as_buildkit_gives_them() {
    need!(dockerd, git);
    let place = Place::prepare();
    let [ours, theirs] = [Builder::Barge, Builder::Buildkit]
        .map(|builder| without_pipes(tree(&fs::read(place.output(builder, "tar")).unwrap())));
    assert_eq!(ours, theirs);
    let [ours, theirs] = [Builder::Barge, Builder::Buildkit]
        .map(|builder| without_pipes(tree(&packed(&place.output(builder, "local")))));
    assert_eq!(ours, theirs);
}

#[test]
fn archives_hold_the_image() {
    need!(dockerd, git);
    let place = Place::prepare();
    let image = place.image();
    for kind in ["docker", "oci"] {
        let archive = fs::read(place.output(Builder::Barge, kind)).unwrap();
        let found = saved::lone_image(&archive);
        assert_eq!(found.against(&image).len(), 0, "{kind}: {:?}", found.against(&image));
    }
}
