//! A small laboratory: a root file system, a specification to change, and a run of it.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use barge_oci::runtime::Spec;
use barge_runtime_core::{CreateOptions, Created, InitProcess, StartError, create};
use barge_sys::exe;
use barge_sys::pidfd::{self, Exit};

/// What Docker's client shows of a container that was run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) exit: Exit,
}

/// A container to be.
pub(crate) struct Lab {
    pub(crate) rootfs: tempfile::TempDir,
    pub(crate) spec: Spec,
    pub(crate) init: InitProcess,
    pub(crate) netns: Option<OwnedFd>,
    pub(crate) filter: Option<Vec<u8>>,
}

pub(crate) fn program() -> OwnedFd {
    exe::open_read_only(Path::new(env!("CARGO_BIN_EXE_barge-runtime"))).unwrap()
}

/// As the engine has one for all containers.
fn bare_mounts() -> &'static OwnedFd {
    static BARE: OnceLock<OwnedFd> = OnceLock::new();
    BARE.get_or_init(|| barge_sys::namespace::make_bare_mounts().unwrap())
}

/// Names under which busybox is in the root file system.
const APPLETS: [&str; 24] = [
    "sh", "cat", "echo", "id", "ls", "mount", "grep", "readlink", "hostname", "sleep", "true",
    "touch", "stty", "ps", "kill", "stat", "env", "mknod", "head", "tty", "dirname", "test", "wc",
    "chmod",
];

impl Lab {
    /// Runs this script of a shell.
    pub(crate) fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    /// Runs this command.
    pub(crate) fn new(args: &[&str]) -> Self {
        let rootfs = tempfile::Builder::new().prefix("barge-runtime-").tempdir().unwrap();
        let root = rootfs.path();
        // Readable for users of the container too.
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\njane:x:1000:1001:Jane:/home/jane:/bin/sh\n";
        std::fs::write(root.join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nusers:x:1001:\nvideo:x:44:jane\n")
            .unwrap();
        let mut spec: Spec = serde_json::from_str(include_str!("docker.json")).unwrap();
        spec.root.as_mut().unwrap().path = root.to_str().unwrap().to_owned();
        spec.process.as_mut().unwrap().args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { rootfs, spec, init: InitProcess::Command, netns: None, filter: None }
    }

    pub(crate) fn process(&mut self) -> &mut barge_oci::runtime::Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut barge_oci::runtime::Linux {
        self.spec.linux.as_mut().unwrap()
    }

    /// Makes it, with its output on `output` and nothing to read.
    pub(crate) fn create(&self, output: &std::io::PipeWriter) -> Result<Created, StartError> {
        let null = std::fs::File::open("/dev/null").unwrap();
        create(&CreateOptions {
            spec: &self.spec,
            bundle: Path::new("/"),
            stdio: [null.as_fd(), output.as_fd(), output.as_fd()],
            netns: self.netns.as_ref().map(|fd| fd.as_fd()),
            bare_mounts: Some(bare_mounts().as_fd()),
            cgroup: None,
            runtime: program().as_fd(),
            seccomp_filter: self.filter.as_deref(),
            init: self.init,
        })
    }

    /// Runs it to its end.
    pub(crate) fn try_run(&self) -> Result<Ran, StartError> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut created = self.create(&writer)?;
        drop(writer);
        created.start()?;
        let mut stdout = String::new();
        reader.read_to_string(&mut stdout).unwrap();
        let exit = pidfd::wait(&created.pidfd).unwrap();
        Ok(Ran { stdout, exit })
    }

    /// Runs it; it must end with 0. Its output without the last line's end.
    pub(crate) fn run(&self) -> String {
        let ran = self.try_run().unwrap();
        assert_eq!(ran.exit, Exit::Code(0), "{}", ran.stdout);
        ran.stdout.trim_end().to_owned()
    }

    /// A container that runs on, with whatever it says to be read.
    pub(crate) fn start(&self) -> Running {
        let (output, writer) = std::io::pipe().unwrap();
        let mut created = self.create(&writer).unwrap();
        created.start().unwrap();
        Running { created, output }
    }
}

/// A container that runs; killed at the end of the test.
pub(crate) struct Running {
    pub(crate) created: Created,
    pub(crate) output: std::io::PipeReader,
}

impl Running {
    /// The next bytes it writes, up to the end of a line.
    pub(crate) fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.output.read(&mut byte).unwrap() == 1 && byte != [b'\n'] {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; then it was reaped by the test.
        if pidfd::send_signal(&self.created.pidfd, 9).is_ok() {
            pidfd::wait(&self.created.pidfd).ok();
        }
    }
}
