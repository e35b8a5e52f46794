//! A root file system, a shim, and a daemon's end of the connection to it.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use barge_oci::runtime::{Process, Spec};
use barge_shim_api::*;
use serde_json::json;

/// Longer than anything takes; only a test that fails waits for it.
const DEADLINE: Duration = Duration::from_secs(120);

/// A daemon's end of a connection.
pub(crate) struct Daemon {
    pub(crate) socket: UnixStream,
    decoder: Decoder,
    next_id: u64,
    answers: BTreeMap<u64, Response>,
    events: VecDeque<Event>,
}

impl Daemon {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            socket,
            decoder: Decoder::new(),
            next_id: 1,
            answers: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Sends a request; the answer is picked up with [`Daemon::answer`].
    pub(crate) fn send(&mut self, request: &Request, descriptors: &[OwnedFd]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut frame = Vec::new();
        encode_request(id, request, &mut frame).unwrap();
        let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
        let sent = barge_sys::fdpass::send_with_fds(&self.socket, &frame, &borrowed).unwrap();
        self.socket.write_all(&frame[sent..]).unwrap();
        id
    }

    pub(crate) fn answer(&mut self, id: u64) -> Response {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            assert!(self.read(), "the shim closed the connection");
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        let id = self.send(request, &[]);
        self.answer(id)
    }

    pub(crate) fn ok(&mut self, request: &Request) {
        let answer = self.ask(request);
        assert!(matches!(answer, Response::Ok), "{request:?}: {answer:?}");
    }

    pub(crate) fn failure(&mut self, request: &Request) -> Failure {
        match self.ask(request) {
            Response::Error(failure) => failure,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> Status {
        match self.ask(&Request::State) {
            Response::State(state) => state.status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(self.read(), "the shim closed the connection");
        }
    }

    pub(crate) fn exit(&mut self) -> Exit {
        match self.event() {
            Event::Exit(exit) => exit,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn exec_exit(&mut self, id: &str) -> Exit {
        match self.event() {
            Event::ExecExit { exec_id, exit } if exec_id == id => exit,
            other => panic!("{other:?}"),
        }
    }

    /// False at the end of the connection.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let length = self.socket.read(&mut bytes).expect("the shim says nothing");
        self.decoder.push(&bytes[..length], []).unwrap();
        while let Some(frame) = self.decoder.next_shim_frame().unwrap() {
            match frame {
                ShimFrame::Response { id, response } => drop(self.answers.insert(id, response)),
                ShimFrame::Event(event) => self.events.push_back(event),
            }
        }
        length > 0
    }

    /// Waits until the shim has ended the connection.
    pub(crate) fn wait_closed(&mut self) {
        while self.read() {}
    }
}

/// One container, with its shim, in a folder of its own.
pub(crate) struct Container {
    folder: tempfile::TempDir,
    id: String,
    shim: Child,
    pub(crate) spec: Spec,
    pub(crate) stdio: StdioConfig,
    pub(crate) log_driver: &'static str,
    pub(crate) init: InitProcess,
    descriptors: Vec<(Descriptor, OwnedFd)>,
    pid: Option<u32>,
}

pub(crate) const ALL: AttachStreams = AttachStreams { stdin: true, stdout: true, stderr: true };
pub(crate) const OUTPUT: AttachStreams = AttachStreams { stdin: false, stdout: true, stderr: true };

impl Container {
    /// With a shim that has been told nothing yet, and a command for busybox's shell.
    pub(crate) fn new(script: &str) -> (Self, Daemon) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("shim-test-{}-{number}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let rootfs = folder.path().join("rootfs");
        make_rootfs(&rootfs);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let shim = Command::new(env!("CARGO_BIN_EXE_barge-shim"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .env_clear()
            .spawn()
            .unwrap();
        let container = Self {
            spec: spec(&rootfs, script),
            folder,
            id,
            shim,
            stdio: StdioConfig { stdin: StdinMode::Null, terminal: None },
            log_driver: "json-file",
            init: InitProcess::Command,
            descriptors: Vec::new(),
            pid: None,
        };
        (container, Daemon::new(ours))
    }

    /// A container that runs, and a daemon that hears its events.
    pub(crate) fn running(script: &str) -> (Self, Daemon) {
        let (mut container, mut daemon) = Self::new(script);
        container.create_and_start(&mut daemon);
        (container, daemon)
    }

    /// A stream that is attached before the start.
    pub(crate) fn attach(&mut self, what: AttachStreams) -> UnixStream {
        let (stream, theirs) = stream();
        self.pass(Descriptor::Stream(what), theirs);
        stream
    }

    /// A descriptor that is sent with the request.
    pub(crate) fn pass(&mut self, what: Descriptor, descriptor: OwnedFd) {
        self.descriptors.push((what, descriptor));
    }

    pub(crate) fn create_request(&mut self) -> (Request, Vec<OwnedFd>) {
        if let Some(process) = self.spec.process.as_mut() {
            process.terminal = self.stdio.terminal.is_some();
        }
        let (meanings, descriptors): (Vec<_>, Vec<_>) = self.descriptors.drain(..).unzip();
        let create = Create {
            id: self.id.clone(),
            spec: Box::new(self.spec.clone()),
            stdio: self.stdio,
            log: LogConfig {
                driver: self.log_driver.to_owned(),
                path: self.log_path(),
                options: BTreeMap::new(),
                attributes: BTreeMap::new(),
                origin: Default::default(),
            },
            cgroup: CgroupConfig { path: self.cgroup_path(), is_made: false },
            init: self.init,
            state_dir: self.folder.path().join("state"),
            socket_path: self.socket_path(),
            runtime_path: runtime_path().to_owned(),
            other_runtime: None,
            descriptors: meanings,
        };
        (Request::Create(Box::new(create)), descriptors)
    }

    pub(crate) fn create(&mut self, daemon: &mut Daemon) {
        let (request, descriptors) = self.create_request();
        let id = daemon.send(&request, &descriptors);
        match daemon.answer(id) {
            Response::Created { pid } => self.pid = Some(pid),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create_and_start(&mut self, daemon: &mut Daemon) {
        self.create(daemon);
        let subscribed = daemon.ask(&Request::Subscribe);
        assert!(matches!(subscribed, Response::State(_)), "{subscribed:?}");
        let started = daemon.ask(&Request::Start);
        assert!(matches!(started, Response::Started { .. }), "{started:?}");
    }

    /// The end as a daemon makes it, and that it leaves nothing.
    pub(crate) fn finish(mut self, daemon: &mut Daemon) {
        daemon.ok(&Request::Shutdown);
        daemon.wait_closed();
        self.assert_gone();
    }

    /// The shim is gone, and has left nothing but what it is to leave.
    pub(crate) fn assert_gone(&mut self) {
        let status = self.shim.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(!self.socket_path().exists(), "the socket is still there");
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        self.pid = None;
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap();
        let groups = hierarchies.map(|entry| entry.unwrap().path().join(self.cgroup_path()));
        let own = Path::new("/sys/fs/cgroup").join(self.cgroup_path());
        groups.chain([own]).filter(|path| path.exists()).collect()
    }

    fn cgroup_path(&self) -> String {
        format!("barge-{}", self.id)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unwrap()
    }

    pub(crate) fn shim_pid(&self) -> u32 {
        self.shim.id()
    }

    pub(crate) fn socket_path(&self) -> PathBuf {
        self.folder.path().join("x.sock")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("x-json.log")
    }

    /// Everything logged: stream and line.
    pub(crate) fn log(&self) -> Vec<(&'static str, String)> {
        let options = barge_logdriver::ReadOptions::default();
        let format = barge_logdriver::Format::JsonLines;
        let log = barge_logdriver::LogFile { path: self.log_path(), format };
        let mut reader = barge_logdriver::Reader::open(&log, options).unwrap();
        let mut lines = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            lines.push((record.stream.name(), String::from_utf8_lossy(&record.line).into_owned()));
        }
        lines
    }

    pub(crate) fn exit_record(&self) -> ExitRecord {
        let text = fs::read(self.folder.path().join("state").join(EXIT_FILE)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// A daemon that comes later.
    pub(crate) fn connect(&self) -> Daemon {
        Daemon::new(UnixStream::connect(self.socket_path()).unwrap())
    }

    /// What the shim has open.
    pub(crate) fn shim_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.shim.id())).unwrap().count()
    }
}

impl Drop for Container {
    /// A test that failed leaves nothing either.
    fn drop(&mut self) {
        if let Some(pid) = self.pid.and_then(|pid| i32::try_from(pid).ok())
            && self.shim.try_wait().is_ok_and(|status| status.is_none())
        {
            barge_sys::signal::kill(pid, 9).ok();
        }
        self.shim.kill().ok();
        self.shim.wait().ok();
        let deadline = Instant::now() + DEADLINE;
        for group in self.cgroups() {
            // It is busy until what was killed has gone.
            while fs::remove_dir(&group).is_err() && group.exists() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

/// A client's end of an attached stream, and the other one.
pub(crate) fn stream() -> (UnixStream, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    ours.set_write_timeout(Some(DEADLINE)).unwrap();
    (ours, theirs.into())
}

/// What comes until the end of the stream, as stdout and stderr.
pub(crate) fn demultiplex(mut stream: &UnixStream) -> (String, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut rest = &bytes[..];
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        assert_eq!(header[1..4], [0, 0, 0]);
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        match header[0] {
            1 => out.extend_from_slice(&body[..length]),
            2 => err.extend_from_slice(&body[..length]),
            other => panic!("no such stream: {other}"),
        }
        rest = &body[length..];
    }
    assert!(rest.is_empty());
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// The process of an exec.
pub(crate) fn process(arguments: &[&str]) -> Process {
    serde_json::from_value(process_json(arguments)).unwrap()
}

pub(crate) fn exec(exec_id: &str, script: &str, streams: Vec<AttachStreams>) -> Exec {
    Exec {
        exec_id: exec_id.to_owned(),
        process: Box::new(process(&["sh", "-c", script])),
        stdio: StdioConfig { stdin: StdinMode::Null, terminal: None },
        streams,
        note: String::new(),
    }
}

fn process_json(arguments: &[&str]) -> serde_json::Value {
    let capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"];
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": arguments,
        "env": ["PATH=/bin", "HOME=/"],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        },
        "noNewPrivileges": true,
    })
}

fn spec(rootfs: &Path, script: &str) -> Spec {
    serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "root": {"path": rootfs, "readonly": false},
        "hostname": "shim-test",
        "process": process_json(&["sh", "-c", script]),
        "mounts": [
            {"destination": "/bin/busybox", "type": "bind", "source": "/bin/busybox",
             "options": ["bind", "ro"]},
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "pid"},
                {"type": "network"}, {"type": "cgroup"},
            ],
            "resources": {},
        },
    }))
    .unwrap()
}

fn make_rootfs(rootfs: &Path) {
    for folder in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir_all(rootfs.join(folder)).unwrap();
    }
    // Mounted, not copied: a file that a process forked meanwhile has open for writing is "busy".
    assert!(Path::new("/bin/busybox").exists(), "these tests need busybox");
    fs::write(rootfs.join("bin/busybox"), "").unwrap();
    for applet in [
        "sh", "cat", "sleep", "echo", "head", "wc", "sort", "stty", "tty", "kill", "ps", "true",
        "yes", "mkdir", "readlink",
    ] {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    fs::write(rootfs.join("bin/not-executable"), "x").unwrap();
}

/// The runtime beside the shim; built when it is not there or old.
fn runtime_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "barge-runtime"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        Path::new(env!("CARGO_BIN_EXE_barge-shim")).with_file_name("barge-runtime")
    })
}
