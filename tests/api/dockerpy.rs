//! What programs do with the Python package `docker`: the paths that most of them take, as `dockerpy.py` goes them.

use std::fs::{self, File};
use std::path::PathBuf;

use barge_testkit::{Process, TestHost, busybox_tar, command, need, target_folder};
use rustix::fs::FlockOperation;

/// The package, from PyPI.
const PACKAGE: &str = "docker==7.1.0";

/// A Python that has the package, made once and kept in the target folder.
fn python() -> PathBuf {
    let cache = target_folder().join("docker-py");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    // Between the programs of a test run.
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (folder, mark) = (cache.join("venv"), cache.join(PACKAGE));
    let python = folder.join("bin/python");
    if mark.is_file() {
        return python;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    Process::start(command("python3").args(["-m", "venv"]).arg(&folder)).wait().ok();
    let mut install = command(&python);
    install.args(["-m", "pip", "install", "--quiet", "--no-input", PACKAGE]);
    let is_wanted = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("pip_")
            || name.ends_with("_proxy")
            || name.ends_with("ca_bundle")
            || name == "home"
    };
    install.envs(std::env::vars().filter(|(name, _)| is_wanted(name)));
    let output = install.output().unwrap();
    if output.status.success() {
        fs::write(mark, "").unwrap();
        return python;
    }
    // Away from the network the system's will do, which the tests install.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let system = PathBuf::from("/usr/bin/python3");
    let import = Process::start(command(&system).args(["-c", "import docker"])).wait();
    assert!(import.code == 0, "{PACKAGE} cannot be fetched, and there is no other: {said}");
    system
}

#[test]
fn programs_of_the_python_package_run() {
    need!(python3);
    let host = TestHost::new();
    host.busybox();
    let script = host.file("dockerpy.py", include_str!("dockerpy.py"));
    let archive = host.file("busybox.tar", busybox_tar());
    let mut line = command(python());
    line.args([&script, &archive])
        .env("DOCKER_HOST", format!("unix://{}", host.socket().display()))
        .current_dir(host.scratch());
    let outcome = Process::start(&mut line).wait();
    assert!(outcome.text().ends_with("all of it"), "{outcome}");
}
