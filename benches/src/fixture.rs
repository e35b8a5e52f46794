//! The images that are pulled and loaded: Debian without its documentation, about 50 MB compressed, once in a single
//! layer and once in twenty, in a registry and as an archive.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use barge_archive::Digester;
use barge_archive::compression::Decoder;
use serde_json::json;

use crate::images::prepare;
use crate::peers::Client;
use crate::registry::Registry;
use crate::timed;

/// What the archive to be loaded calls its image.
pub(crate) const LOADED: &str = "loaded:latest";

/// Files that images of distributions leave out.
const LEFT_OUT: &str = "--exclude=./var/cache/* --exclude=./var/lib/apt/lists/* --exclude=./usr/share/doc/* \
                        --exclude=./usr/share/man/* --exclude=./usr/share/locale/*";

/// The argument that makes this program fetch what the rest of it needs from outside, and do nothing else.
pub(crate) const FETCH: &str = "fetch";

/// Fetches Debian, while there is a network.
pub(crate) fn fetch() -> PathBuf {
    barge_testkit::debian_rootfs()
}

/// Everything that is made before the first measurement.
#[derive(Debug)]
pub(crate) struct Fixture {
    registry: Registry,
    /// As `docker save` writes it.
    pub(crate) loaded: PathBuf,
    /// The compressed layers.
    pub(crate) one: Vec<PathBuf>,
    pub(crate) twenty: Vec<PathBuf>,
}

impl Fixture {
    pub(crate) fn make(folder: &Path, maker: &Client) -> anyhow::Result<Self> {
        let registry = Registry::start(&folder.join("registry"))?;
        let tree = folder.join("tree");
        fs::create_dir_all(&tree)?;
        let rootfs = barge_testkit::debian_rootfs();
        prepare(&format!("tar -xf {} {LEFT_OUT}", rootfs.display()), &tree)?;
        let (one, archive_one) = image(folder, "one", 1)?;
        let (twenty, archive_twenty) = image(folder, "twenty", 20)?;
        fs::remove_dir_all(&tree)?;
        for (name, archive) in [("one", &archive_one), ("twenty", &archive_twenty)] {
            maker.run(&["load", "-i", &archive.to_string_lossy()])?;
            let remote = format!("127.0.0.1:{}/{name}:latest", registry.port());
            maker.run(&["tag", &format!("{name}:latest"), &remote])?;
            maker.run(&["push", "-q", &remote])?;
            maker.run(&["rmi", "-f", &remote])?;
        }
        let loaded = folder.join("loaded.tar");
        maker.run(&["tag", "one:latest", LOADED])?;
        maker.run(&["save", "-o", &loaded.to_string_lossy(), LOADED])?;
        maker.run(&["rmi", "-f", LOADED, "one:latest", "twenty:latest"])?;
        fs::remove_file(archive_one)?;
        fs::remove_file(archive_twenty)?;
        Ok(Self { registry, loaded, one, twenty })
    }

    /// What an engine pulls.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}:latest", self.registry.port())
    }
}

/// How long one pass of the fastest decompression that is here takes over the layers; nothing is written.
pub(crate) fn floor(layers: &[PathBuf]) -> anyhow::Result<Duration> {
    let ours = decompress(layers)?;
    Ok(isal(layers).map_or(ours, |isal| isal.min(ours)))
}

fn decompress(layers: &[PathBuf]) -> anyhow::Result<Duration> {
    let mut buffer = vec![0; 1 << 18];
    let before = Instant::now();
    for layer in layers {
        let mut decoder = Decoder::new(File::open(layer)?)?;
        while decoder.read(&mut buffer)? > 0 {}
    }
    Ok(before.elapsed())
}

/// Makes an archive for `docker load` out of the tree, in so many layers. Returns their compressed forms with it.
fn image(folder: &Path, name: &str, layers: usize) -> anyhow::Result<(Vec<PathBuf>, PathBuf)> {
    let place = folder.join(name);
    fs::create_dir_all(&place)?;
    let mut diff_ids = Vec::new();
    let mut files = Vec::new();
    let mut compressed = Vec::new();
    for (number, paths) in shares(&folder.join("tree"), layers)?.into_iter().enumerate() {
        let file = format!("layer{number}.tar");
        fs::write(place.join("paths"), paths.join("\0"))?;
        // The list comes after the folder that its paths are in.
        let tar = format!(
            "tar --null --no-recursion --numeric-owner -cf {file} -C {} -T {}",
            folder.join("tree").display(),
            place.join("paths").display()
        );
        prepare(&format!("{tar}; gzip -kn {file}; rm paths"), &place)?;
        let mut digester = Digester::new();
        digester.update(&fs::read(place.join(&file))?);
        diff_ids.push(digester.finish().0.to_string());
        compressed.push(place.join(format!("{file}.gz")));
        files.push(file);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["bash"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": files }]);
    fs::write(place.join("config.json"), config.to_string())?;
    fs::write(place.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join(format!("{name}.tar"));
    let members = format!("manifest.json config.json {}", files.join(" "));
    prepare(&format!("tar -cf {} {members}; rm {members}", archive.display()), &place)?;
    Ok((compressed, archive))
}

/// The paths of the tree in shares of about the same size, each with the folders above its files.
fn shares(tree: &Path, number: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let list = tree.with_extension("list");
    prepare(&format!("find . -printf '%s\\t%p\\0' > {}", list.display()), tree)?;
    let text = fs::read_to_string(&list)?;
    fs::remove_file(&list)?;
    let mut files = Vec::new();
    for line in text.split_terminator('\0') {
        let (size, path) = line.split_once('\t').context("find wrote something else")?;
        files.push((path.to_owned(), size.parse::<u64>()?));
    }
    files.sort();
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    let share = total / number as u64 + 1;
    let mut shares = vec![BTreeSet::new(); number];
    let mut before = 0;
    for (path, size) in files {
        let place = usize::try_from(before / share)?;
        for above in
            Path::new(&path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty())
        {
            shares[place].insert(above.to_string_lossy().into_owned());
        }
        shares[place].insert(path);
        before += size;
    }
    Ok(shares.into_iter().map(|share| share.into_iter().collect()).collect())
}

/// The fastest decompressor that Debian has, as a program of its own; none when it is not installed.
fn isal(layers: &[PathBuf]) -> Option<Duration> {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "igzip -dc \"$@\" > /dev/null", "sh"]).args(layers);
    timed::run(&mut command).ok()
}
