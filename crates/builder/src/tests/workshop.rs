//! A data root with a builder of its own, in a mount namespace of the test's thread.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use barge_archive::tar::{EntryKind, Header, Writer};
use barge_image::{Held, ImageStore, ImportOptions, UnusedImages};
use barge_oci::image::{ContainerConfig, ImageConfig};
use barge_storage::{MountOptions, StorageDriver};
use barge_types::{Digest, ImageId, Platform, Reference};
use rustix::mount::MountPropagationFlags;

use crate::request::{Context, DockerfileSource};
use crate::runner::{Cancel, RunError, RunStep, StepSource, Stream};
use crate::sources::{CacheFiles, CacheName, Downloaded, GitWant, ImageNews, ImageWant};
use crate::*;

/// A builder and what belongs to it.
pub(super) struct Workshop {
    pub(super) root: tempfile::TempDir,
    pub(super) driver: Arc<dyn StorageDriver>,
    pub(super) images: Arc<ImageStore>,
    pub(super) builder: Builder,
    pub(super) runner: Arc<Chroot>,
    pub(super) events: Recorder,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
}

/// How long to wait for what has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Who asked for which image.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) platform: Option<Platform>,
    pub(super) thread: ThreadId,
}

/// One on `overlay2`, with the image `busybox`.
pub(super) fn workshop() -> Workshop {
    workshop_on("overlay2")
}

/// The same on another driver.
pub(super) fn workshop_on(driver: &str) -> Workshop {
    barge_sys::namespace::unshare(barge_sys::namespace::Kinds::MOUNT).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
    let workshop = open(tempfile::tempdir().unwrap(), driver);
    let name: Reference = "busybox".parse().unwrap();
    let options = ImportOptions::default();
    workshop.images.import(Box::new(Cursor::new(busybox())), Some(&name), &options).unwrap();
    workshop
}

fn open(root: tempfile::TempDir, driver: &str) -> Workshop {
    let driver = barge_storage::open(root.path(), Some(driver)).unwrap();
    let images = Arc::new(ImageStore::open(root.path(), Arc::clone(&driver)).unwrap());
    let runner = Arc::new(Chroot::default());
    let asked = Arc::default();
    let sources = Local {
        images: Arc::clone(&images),
        runner: Arc::clone(&runner),
        asked: Arc::clone(&asked),
    };
    let builder = Builder::open(BuilderParts {
        folder: root.path().join("builds"),
        memory_folder: root.path().join("memory"),
        storage: Arc::clone(&driver),
        images: Arc::clone(&images),
        runner: Arc::clone(&runner) as Arc<dyn Runner>,
        sources: Arc::new(sources),
        usage: Arc::new(UnusedImages),
        users: None,
    })
    .unwrap();
    let mut in_use: HashSet<_> = images.layer_ids();
    in_use.extend(builder.layers_in_use());
    driver.sweep(&in_use).unwrap();
    Workshop { root, driver, images, builder, runner, events: Recorder::default(), asked }
}

fn busybox() -> Vec<u8> {
    let program = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let program = program.expect("busybox-static is installed");
    let mut writer = Writer::new(Vec::new());
    let mut folder = Header::new("bin/", EntryKind::Directory);
    folder.mode = 0o755;
    writer.append_bytes(&folder, b"").unwrap();
    let mut file = Header::new("bin/busybox", EntryKind::Regular);
    file.mode = 0o755;
    writer.append_bytes(&file, &program).unwrap();
    for name in [
        "sh", "cat", "echo", "ls", "mkdir", "rm", "sleep", "touch", "test", "ln", "env", "false",
        "true", "chmod",
    ] {
        let mut link = Header::new(format!("bin/{name}").as_str(), EntryKind::Symlink);
        link.link = "busybox".into();
        writer.append_bytes(&link, b"").unwrap();
    }
    writer.finish().unwrap()
}

impl Workshop {
    /// The daemon ends and starts again.
    pub(super) fn reopen(self) -> Self {
        let Self { root, driver, images, builder, .. } = self;
        let name = driver.name();
        drop((builder, images, driver));
        open(root, name)
    }

    /// A request for a Dockerfile alone.
    pub(super) fn request(&self, dockerfile: &str) -> BuildRequest {
        BuildRequest {
            dockerfile: DockerfileSource::Text {
                name: "Dockerfile".to_owned(),
                text: dockerfile.to_owned(),
                ignore: None,
            },
            ..BuildRequest::default()
        }
    }

    /// The same with files.
    pub(super) fn request_with(&self, dockerfile: &str, files: &[(&str, &str)]) -> BuildRequest {
        let path = self.root.path().join("context");
        for (name, text) in files {
            let path = path.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let context = Context::Folder { path, identity: "context".to_owned() };
        BuildRequest { context, ..self.request(dockerfile) }
    }

    pub(super) fn build(&self, request: &BuildRequest) -> Result<Built> {
        self.builder.build(request, &self.events, &Cancel::default())
    }

    /// Builds what has to succeed; the image's id.
    pub(super) fn image(&self, request: &BuildRequest) -> ImageId {
        match self.build(request) {
            Ok(built) => built.images[0],
            Err(error) => panic!("{}\n{}", error.chain(), error.excerpt()),
        }
    }

    pub(super) fn config(&self, image: &ImageId) -> ImageConfig {
        (*self.images.image(image).unwrap().config).clone()
    }

    pub(super) fn inner(&self, image: &ImageId) -> ContainerConfig {
        self.config(image).config.unwrap_or_default()
    }

    /// Looks at an image's files.
    pub(super) fn look<T>(&self, image: &ImageId, look: impl FnOnce(&Path) -> T) -> T {
        let top = self.images.image(image).unwrap().top_layer.unwrap();
        let root = self.driver.mount(&top, &MountOptions::default()).unwrap();
        let found = look(&root);
        self.driver.unmount(&top).unwrap();
        found
    }

    /// The text of a file of an image.
    pub(super) fn text(&self, image: &ImageId, path: &str) -> String {
        self.look(image, |root| fs::read_to_string(root.join(path)).unwrap())
    }

    /// How many processes ran since the last time.
    pub(super) fn runs(&self) -> usize {
        self.runner.runs.swap(0, Ordering::SeqCst)
    }

    /// What no build may leave behind: files below the builder's folders, and mounts.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for name in ["builds/tmp", "builds/outputs", "memory"] {
            let entries = fs::read_dir(self.root.path().join(name)).into_iter().flatten();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
        let ours = ours.filter(|path| path.starts_with(self.root.path()));
        // The folder of the layers itself is the driver's.
        found.extend(ours.filter(|path| *path != self.root.path().join("overlay2")));
        found
    }
}

/// Events in the order in which they came.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn tell(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// All output of steps.
    pub(super) fn output(&self) -> String {
        let events = self.0.lock().unwrap();
        let text = |event: &Event| {
            if let Event::Output { text, .. } = event { Some(text.clone()) } else { None }
        };
        events.iter().filter_map(text).collect()
    }
}

/// Images that are here. `slow` is `busybox` once a step has run, `crowd-…` once as many as are asked for at once were
/// asked for; `twins` is `busybox` for every platform; whoever asks for `broken` panics.
struct Local {
    images: Arc<ImageStore>,
    runner: Arc<Chroot>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Local {
    /// Waits until something is so, or the build was cancelled.
    fn wait(&self, what: &str, cancel: &Cancel, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) && !cancel.is_cancelled() {
            assert!(Instant::now() < until, "{what} was waited for in vain");
            std::thread::yield_now();
        }
    }
}

impl Sources for Local {
    fn image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(ImageNews<'_>),
        cancel: &Cancel,
    ) -> std::result::Result<Held, RunError> {
        let name = want.reference.to_owned();
        let thread = std::thread::current().id();
        self.asked.lock().unwrap().push(Asked { name, platform: want.platform.cloned(), thread });
        let name = want.reference.split(['-', ':']).next().unwrap_or_default();
        match name {
            "slow" => {
                told(ImageNews::Found);
                self.wait("a step", cancel, |it| !it.runner.steps.lock().unwrap().is_empty());
            }
            "crowd" => {
                let most = execute::AT_ONCE;
                self.wait("a crowd", cancel, |it| it.asked.lock().unwrap().len() >= most);
            }
            "broken" => {
                told(ImageNews::Found);
                panic!("as it was asked to");
            }
            "twins" | "docker.io/library/twins" => {}
            _ => return Ok(self.images.hold_base(want.reference)?),
        }
        Ok(self.images.hold("busybox")?)
    }

    fn download(
        &self,
        url: &str,
        _known: Option<&Downloaded>,
        _into: &mut File,
        _cancel: &Cancel,
    ) -> std::result::Result<Option<Downloaded>, RunError> {
        Err(format!("no network for {url}").into())
    }

    fn git(
        &self,
        want: &GitWant<'_>,
        _into: &Path,
        _cancel: &Cancel,
    ) -> std::result::Result<String, RunError> {
        Err(format!("no network for {}", want.url).into())
    }

    fn put_cache(
        &self,
        to: &CacheName<'_>,
        _cache: &CacheFiles,
        _cancel: &Cancel,
    ) -> std::result::Result<(), RunError> {
        Err(format!("no network for {}", to.reference).into())
    }

    fn cache_index(
        &self,
        from: &CacheName<'_>,
        _cancel: &Cancel,
    ) -> std::result::Result<Option<Vec<u8>>, RunError> {
        Err(format!("no network for {}", from.reference).into())
    }

    fn cache_archive(
        &self,
        from: &CacheName<'_>,
        _wanted: (&Digest, &mut File),
        _cancel: &Cancel,
    ) -> std::result::Result<(), RunError> {
        Err(format!("no network for {}", from.reference).into())
    }
}

/// Runs a step's process in its root, with its mounts, and nothing else of a container.
#[derive(Default)]
pub(super) struct Chroot {
    runs: AtomicUsize,
    /// What was run.
    pub(super) steps: Mutex<Vec<RunStep>>,
}

const SCRIPT: &str = r#"
root=$1 workdir=$2 mounts=$3; shift 3
while [ "$mounts" -gt 0 ]; do
    mkdir -p "$root/dev"
    if [ -z "$1" ]; then mount -t tmpfs none "$root$2"; else
        case $2 in /dev/*) mkdir -p "$root$2";; esac
        mount --bind "$1" "$root$2" || exit 125
        [ "$3" = ro ] && mount -o remount,bind,ro "$root$2"
    fi
    shift 3; mounts=$((mounts - 1))
done
# A program that was just copied is busy until children that were started meanwhile let go of it (ETXTBSY).
tries=100
until chroot "$root" /bin/busybox true 2>/dev/null || [ $tries -eq 0 ]; do tries=$((tries - 1)); done
exec chroot "$root" /bin/busybox sh -c 'cd "$0" && exec /bin/busybox env -i "$@"' "$workdir" "$@"
"#;

impl Runner for Chroot {
    fn run(
        &self,
        step: &RunStep,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> std::result::Result<i32, RunError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.steps.lock().unwrap().push(step.clone());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--fork", "--kill-child", "sh", "-c"]);
        command.args([SCRIPT, "sh"]).arg(&step.rootfs).arg(&step.workdir);
        command.arg(step.mounts.len().to_string());
        for mount in &step.mounts {
            match &mount.source {
                StepSource::Path(path) | StepSource::Own(path) => command.arg(path),
                StepSource::Tmpfs(_) => command.arg(""),
            };
            command.arg(&mount.target).arg(if mount.is_read_only { "ro" } else { "rw" });
        }
        command.args(&step.env).args(&step.args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, receiver) = channel();
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        let other = sender.clone();
        std::thread::spawn(move || pass(out, Stream::Out, &other));
        std::thread::spawn(move || pass(err, Stream::Err, &sender));
        loop {
            match receiver.recv_timeout(Duration::from_millis(20)) {
                Ok((stream, bytes)) => output(stream, &bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => child.kill()?,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        Ok(child.wait()?.code().unwrap_or(137))
    }
}

fn pass(mut from: impl Read, stream: Stream, to: &Sender<(Stream, Vec<u8>)>) {
    let mut buffer = [0; 4096];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.send((stream, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
}
