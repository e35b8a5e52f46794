//! A container that another OCI runtime makes (runc, crun): its program is run once for each verb.
//!
//! Only what makes processes is asked of it: `create start exec delete`. Signals, limits, freezing and counting go to the
//! kernel directly, as for every container; both meet in the control group that the specification names. The runtime's
//! own children fall to the shim, which is a subreaper.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Inherited};
use std::time::Duration;

use barge_oci::runtime::{NamespaceType, Process, Spec};
use barge_shim_api::{ANSWER_DEADLINE, BUNDLE_FOLDER, Create, Failure, FailureKind, OtherRuntime};
use barge_sys::{fdpass, pidfd, process};
use rustix::process::{Pid, Signal};
use serde::Deserialize;

use crate::launch::os_failure;

/// How long the program may take for one verb.
const PATIENCE: Duration = Duration::from_secs(20);

// A verb that hangs and the `delete` after it come to their end before the daemon gives up and kills this process, which
// is the only one to take back what the program has made.
const _: () = assert!(PATIENCE.as_secs() * 2 < ANSWER_DEADLINE.as_secs());

/// The program, for one container.
#[derive(Debug)]
pub(crate) struct Other {
    runtime: OtherRuntime,
    id: String,
    /// Everything that belongs to it, this process's alone.
    folder: PathBuf,
}

impl Other {
    /// Makes its folder.
    pub(crate) fn new(create: &Create, runtime: &OtherRuntime) -> Result<Self, Failure> {
        let folder = create.state_dir.join(BUNDLE_FOLDER);
        fs::create_dir_all(folder.join("state"))
            .map_err(os_failure("bundle", "cannot create the bundle"))?;
        Ok(Self { runtime: runtime.clone(), id: create.id.clone(), folder })
    }

    /// Makes the container and tells its first process.
    pub(crate) fn create(
        &self,
        spec: &Spec,
        netns: Option<BorrowedFd<'_>>,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Made, Failure> {
        let spec = with_network(spec, netns);
        self.write("config.json", &spec)?;
        let verb = [OsStr::new("create"), OsStr::new("--bundle"), self.folder.as_os_str()];
        let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        self.make(&verb, terminal, stdio)
    }

    /// Lets the container's command run.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        self.run(&["start".into(), OsString::from(&self.id)], None)
    }

    /// Runs one more process.
    pub(crate) fn exec(
        &self,
        process: &Process,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Made, Failure> {
        self.write("process.json", process)?;
        let file = self.folder.join("process.json");
        let verb =
            ["exec", "--detach", "--process"].map(OsStr::new).into_iter().chain([file.as_os_str()]);
        self.make(&verb.collect::<Vec<_>>(), process.terminal, stdio)
    }

    /// Takes back what the runtime keeps of the container.
    pub(crate) fn delete(&self) {
        // One that was never made is not there, and what is left is in a folder that goes.
        self.run(&["delete".into(), "--force".into(), OsString::from(&self.id)], None).ok();
        fs::remove_dir_all(&self.folder).ok();
    }

    fn make(
        &self,
        verb: &[&OsStr],
        terminal: bool,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Made, Failure> {
        let failed = || os_failure("runtime", "cannot meet the runtime's process");
        let console = terminal.then(|| Console::listen(&self.folder)).transpose();
        let console = console.map_err(os_failure("console", "cannot listen for the terminal"))?;
        let pid_file = self.folder.join("pid");
        // That of an earlier verb names another process.
        forget(&pid_file).map_err(failed())?;
        let mut arguments: Vec<OsString> = verb.iter().map(Into::into).collect();
        arguments.extend(["--pid-file".into(), pid_file.clone().into_os_string()]);
        if let Some(console) = &console {
            arguments.extend(["--console-socket".into(), console.path.clone().into_os_string()]);
        }
        arguments.push(OsString::from(&self.id));
        self.run(&arguments, Some(stdio))?;
        let text = fs::read_to_string(&pid_file).map_err(failed())?;
        let pid = text
            .trim()
            .parse::<i32>()
            .map_err(|error| failed()(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let pidfd = pidfd::open(pid).inspect_err(|_| kill_own(pid)).map_err(failed())?;
        let terminal = console.map(|console| console.receive()).transpose();
        let terminal = terminal
            .inspect_err(|_| {
                // It runs, and nobody would know of it. It is reaped as an orphan.
                pidfd::send_signal(&pidfd, 9).ok();
            })
            .map_err(os_failure("console", "cannot receive the terminal"))?;
        Ok(Made { pid, pidfd, terminal })
    }

    fn write(&self, name: &str, value: &impl serde::Serialize) -> Result<(), Failure> {
        let failed = os_failure("bundle", "cannot write the bundle");
        let text = serde_json::to_vec(value)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        text.and_then(|text| fs::write(self.folder.join(name), text)).map_err(failed)
    }

    /// Runs the program for one verb; it has ended when this returns.
    fn run(
        &self,
        arguments: &[OsString],
        stdio: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<(), Failure> {
        let failed = || os_failure("runtime", "cannot run the runtime program");
        let log = self.folder.join("log.json");
        // What an earlier verb complained of is not this one's.
        File::create(&log).map_err(failed())?;
        let mut command = Command::new(&self.runtime.path);
        command
            .args(&self.runtime.arguments)
            .arg("--root")
            .arg(self.folder.join("state"))
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .args(arguments)
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let [stdin, stdout, stderr] = match stdio {
            None => [Inherited::null(), Inherited::null(), Inherited::null()],
            Some(ends) => duplicates(ends).map_err(failed())?.map(Inherited::from),
        };
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let mut child = process::spawn_unblocked(&mut command).map_err(|error| Failure {
            errno: error.raw_os_error(),
            ..Failure::new(
                FailureKind::System,
                "runtime",
                format_args!("cannot run {}: {error}", self.runtime.path.display()),
            )
        })?;
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let in_time = pidfd::open(pid).and_then(|file| pidfd::wait_gone(file, Some(PATIENCE)));
        let is_late = !in_time.map_err(failed())?;
        if is_late {
            // ESRCH when it has ended just now.
            child.kill().ok();
        }
        let status = child.wait().map_err(failed())?;
        if status.success() {
            return Ok(());
        }
        let said = complaint(&fs::read_to_string(&log).unwrap_or_default());
        let text = match said {
            Some(text) => text,
            None if is_late => format!("no answer within {} s", PATIENCE.as_secs()),
            None => format!("{} ended with {status}", self.runtime.path.display()),
        };
        Err(Failure::new(kind_of(&text), "runtime", text))
    }
}

/// A process that the program has made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) terminal: Option<OwnedFd>,
}

/// Where the program sends the terminal that it makes inside.
struct Console {
    listener: UnixListener,
    path: PathBuf,
    /// Keeps `path` short: a socket's address has room for 108 bytes.
    _folder: File,
}

impl Console {
    fn listen(folder: &Path) -> io::Result<Self> {
        let socket = "console.sock";
        forget(&folder.join(socket))?;
        let folder = File::open(folder)?;
        let number = folder.as_raw_fd();
        let path = PathBuf::from(format!("/proc/{}/fd/{number}/{socket}", std::process::id()));
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path, _folder: folder })
    }

    /// It was sent before the program ended.
    fn receive(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        let (mut name, mut terminals) = ([0; 4096], Vec::new());
        fdpass::recv_with_fds(&stream, &mut name, &mut terminals)?;
        terminals.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Removes a file that may not be there.
fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Kills a child that no descriptor can be had for. Nobody else has this number: only this thread reaps, and not now.
fn kill_own(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
}

/// With a namespace that the daemon has made, by a path that is valid for as long as we have it open.
fn with_network(spec: &Spec, netns: Option<BorrowedFd<'_>>) -> Spec {
    let mut spec = spec.clone();
    let namespaces = spec.linux.iter_mut().flat_map(|linux| &mut linux.namespaces);
    if let Some(netns) = netns {
        let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        for namespace in namespaces.filter(|namespace| namespace.kind == NamespaceType::Network) {
            namespace.path = Some(path.clone());
        }
    }
    spec
}

fn duplicates(ends: [BorrowedFd<'_>; 3]) -> io::Result<[OwnedFd; 3]> {
    let [stdin, stdout, stderr] = ends;
    Ok([
        stdin.as_fd().try_clone_to_owned()?,
        stdout.as_fd().try_clone_to_owned()?,
        stderr.as_fd().try_clone_to_owned()?,
    ])
}

/// The last error of a log in JSON.
fn complaint(log: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        level: String,
        #[serde(default)]
        msg: String,
    }
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut errors = lines.filter(|line| matches!(line.level.as_str(), "error" | "fatal"));
    errors.next_back().map(|line| line.msg)
}

/// What kind of failure a runtime's text is about, as Docker reads it.
fn kind_of(text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["executable file", "exec: ", "exec user process"])
        && has(&["not found", "no such file or directory"])
    {
        FailureKind::CommandNotFound
    } else if has(&["permission denied", "exec format error", "is a directory"])
        && has(&["exec", "executable"])
    {
        FailureKind::CommandNotExecutable
    } else {
        FailureKind::System
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes a process, tells its number and never sends the terminal.
    const HALF_A_RUNTIME: &str = r#"sleep 1000 < /dev/null > /dev/null 2>&1 &
while [ "$1" != --pid-file ]; do shift; done
[ -e "$0.silent" ] || echo $! > "$2"
echo $! > "$0.made"
"#;

    fn half_a_runtime(folder: &Path) -> (Other, PathBuf) {
        let path = folder.join("runtime");
        fs::write(&path, HALF_A_RUNTIME).unwrap();
        fs::create_dir_all(folder.join("bundle/state")).unwrap();
        // Not run itself: a test that forks meanwhile would have it open for writing.
        let arguments = vec![path.display().to_string()];
        let runtime = OtherRuntime { path: "/bin/sh".into(), arguments };
        let other = Other { runtime, id: "x".to_owned(), folder: folder.join("bundle") };
        (other, path)
    }

    fn exec(other: &Other, process: &Process) -> Result<Made, Failure> {
        let null = File::open("/dev/null").unwrap();
        other.exec(process, [null.as_fd(); 3])
    }

    #[test]
    fn a_process_whose_terminal_does_not_come_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (other, path) = half_a_runtime(folder.path());
        let failure = exec(&other, &Process { terminal: true, ..Process::default() }).unwrap_err();
        assert!(failure.message.contains("terminal"), "{failure:?}");
        let pid = fs::read_to_string(path.with_extension("made")).unwrap().trim().parse().unwrap();
        let limit = Some(Duration::from_secs(10));
        // One that is reaped already is gone, too.
        assert!(pidfd::open(pid).map_or(Ok(true), |file| pidfd::wait_gone(file, limit)).unwrap());
    }

    #[test]
    fn the_number_of_an_earlier_process_is_not_that_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (other, path) = half_a_runtime(folder.path());
        let made = exec(&other, &Process::default()).unwrap();
        pidfd::send_signal(&made.pidfd, 9).unwrap();
        fs::write(path.with_extension("silent"), "").unwrap();
        exec(&other, &Process::default()).unwrap_err();
        let pid = fs::read_to_string(path.with_extension("made")).unwrap().trim().parse().unwrap();
        kill_own(pid);
    }

    #[test]
    fn the_last_error_of_a_log_is_what_is_told() {
        let log =
            "{\"level\":\"warning\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"b\"}\nno json\n";
        assert_eq!(complaint(log).as_deref(), Some("b"));
        assert_eq!(complaint(""), None);
    }

    #[test]
    fn texts_of_runc_and_crun_have_kinds() {
        for (text, kind) in [
            (
                "runc create failed: unable to start container process: exec: \"x\": executable file not found in $PATH",
                FailureKind::CommandNotFound,
            ),
            (
                "executable file `x` not found in $PATH: No such file or directory",
                FailureKind::CommandNotFound,
            ),
            ("exec: \"/etc/passwd\": permission denied", FailureKind::CommandNotExecutable),
            ("open `/nothing`: Permission denied", FailureKind::System),
            ("cgroup: no such file or directory", FailureKind::System),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }
}
