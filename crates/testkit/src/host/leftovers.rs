//! What must be gone when containers are, what must be gone when the daemon is, and how all of it is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::TestHost;
use crate::{cgroup, command, eventually, pause, process::Process};

/// How everything that tests make is called: this, the test program's process id, a dash and a number.
pub(super) const PREFIX: &str = "barge-test-";

/// The shim of a container, by its command line.
pub(super) fn shim_of(id: &str) -> Option<i32> {
    all_processes().into_iter().find(|pid| is_shim(*pid, id))
}

fn is_shim(pid: i32, id: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    program.ends_with(b"barge-shim") && words.next() == Some(id.as_bytes())
}

fn all_processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("the machine has /proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Mounts whose place is below one of these folders.
fn mounts_below(roots: &[&Path]) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the machine has /proc");
    let places = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    places.filter(|place| roots.iter().any(|root| place.starts_with(root))).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Gives what happens in the background its time; returns what is there after the deadline all the same.
fn settled(mut look: impl FnMut() -> Vec<String>) -> Vec<String> {
    let end = std::time::Instant::now() + crate::DEADLINE;
    loop {
        let found = look();
        if found.is_empty() || std::time::Instant::now() > end {
            return found;
        }
        pause();
    }
}

impl TestHost {
    /// Removes every container by the API and tells what is still there of them.
    pub(super) fn remove_containers_and_look(&mut self) -> Vec<String> {
        if self.daemon.is_none() {
            self.start();
        }
        let containers = self.api().get("/containers/json?all=1").is(200).json();
        for container in containers.as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let reply = self.api().delete(&format!("/containers/{id}?force=1&v=1"));
            // Another removal (of --rm) may be under way.
            assert!(matches!(reply.status, 204 | 404 | 409), "{}", reply.text());
        }
        eventually("no container is left", || {
            self.api().get("/containers/json?all=1").is(200).json() == serde_json::json!([])
        });
        // What builds keep for the next ones are layers, too.
        self.api().post("/build/prune?all=1", serde_json::Value::Null).is(200);
        settled(|| self.of_containers())
    }

    /// What is there although no container is. Also for tests that have removed theirs and look in between.
    ///
    /// # Panics
    /// When something is.
    #[track_caller]
    pub fn assert_nothing_of_containers(&self) {
        let found = settled(|| self.of_containers());
        assert!(found.is_empty(), "left of containers:\n  {}", found.join("\n  "));
    }

    fn of_containers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let notes = entries(&self.exec_root.join("groups"));
        let noted: Vec<_> = notes.iter().map(|path| path.file_name()).collect();
        if self.daemon.is_none() {
            found.extend(notes.iter().map(|path| format!("file {}", path.display())));
        }
        for folder in cgroup::folders(&self.name) {
            let children = cgroup::children(&folder).into_iter();
            // As long as the daemon runs it has some for the next containers.
            let left =
                children.filter(|path| self.daemon.is_none() || !noted.contains(&path.file_name()));
            found.extend(left.map(|path| format!("cgroup {}", path.display())));
        }
        let daemon = self.daemon.as_ref().map(|_| self.daemon_pid());
        found.extend(self.processes_in_netns(daemon));
        let (data, exec) = (&self.data_root, &self.exec_root);
        let of_steps = [data.join("builds"), exec.join("builds")];
        for root in
            ["overlay2", "vfs", "containers"].map(|name| data.join(name)).iter().chain(&of_steps)
        {
            // The folder itself is a mount of the daemon's, as long as that runs.
            let mounts = mounts_below(&[root]).into_iter().filter(|place| place != root);
            found.extend(mounts.map(|path| format!("mount {}", path.display())));
        }
        for folder in [
            self.data_root.join("containers"),
            self.exec_root.join("shims"),
            self.exec_root.join("containers"),
            self.data_root.join("overlay2/trash"),
            self.data_root.join("builds/contexts"),
            self.data_root.join("builds/tmp"),
            self.exec_root.join("builds/steps"),
        ] {
            found.extend(entries(&folder).iter().map(|path| format!("file {}", path.display())));
        }
        found.extend(self.layers_of_containers());
        found.extend(self.links().into_iter().map(|link| format!("link {link}")));
        found.extend(self.rules().into_iter().map(|rule| format!("rule {rule}")));
        found
    }

    /// Whether nothing of a run is left: no shim, none of its files, and no layer on its way out.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let daemon = self.daemon.as_ref().map(|_| self.daemon_pid());
        let folders = [self.exec_root.join("containers"), self.data_root.join("overlay2/trash")];
        folders.iter().all(|folder| entries(folder).is_empty())
            && !self.processes_in_netns(daemon).iter().any(|line| line.contains("barge-shim"))
    }

    /// Whether the image store has a layer.
    fn is_of_image(&self, layer: &str) -> bool {
        let records = entries(&self.data_root.join("image/overlay2/layers"));
        records
            .iter()
            .any(|path| fs::read_to_string(path).is_ok_and(|record| record.contains(layer)))
    }

    /// Layers that are none of an image's (each of which may have one of mount points).
    fn layers_of_containers(&self) -> Vec<String> {
        if !self.data_root.join("overlay2").exists() {
            // Other drivers have no layer of mount points to count by.
            return Vec::new();
        }
        let mut of_images = std::collections::BTreeSet::new();
        for image in self.api().get("/images/json?all=1").is(200).json().as_array().unwrap() {
            let id = image["Id"].as_str().unwrap();
            let image = self.api().get(&format!("/images/{id}/json")).is(200).json();
            let layers = image["RootFS"]["Layers"].as_array().cloned().unwrap_or_default();
            of_images.extend((1..=layers.len()).map(|count| format!("{:?}", &layers[..count])));
        }
        let folders = entries(&self.data_root.join("overlay2"));
        let names: Vec<String> = folders
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .filter(|name| name.len() == 64)
            .collect();
        // Two builds may make the same layer: the images share one, and a layer on the other one keeps it in the cache.
        let kept = entries(&self.data_root.join("builds/cache"));
        let kept: Vec<_> = kept.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| !kept.contains(&name.as_str()) || self.is_of_image(name))
            .collect();
        if names.len() == of_images.len() {
            return Vec::new();
        }
        vec![format!("layers {names:?} for {} of images", of_images.len())]
    }

    /// The links of the host besides its loopback and its bridge.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let table = self.in_netns(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let names = table.lines().skip(2).filter_map(|line| line.split(':').next());
        let names = names.map(|name| name.trim().to_owned());
        names.filter(|name| name.starts_with("veth")).collect()
    }

    /// Elements of sets: ports that are published, passages of links.
    fn rules(&self) -> Vec<String> {
        // A set without elements stays.
        let rules = self.ruleset();
        let starts = rules.match_indices("elements = {").map(|(at, _)| &rules[at..]);
        let elements = starts.map(|text| text.split('}').next().unwrap_or_default());
        elements.filter(|text| text.contains(" . ")).map(str::to_owned).collect()
    }

    /// Everything that `nft list ruleset` says in the host's network.
    #[must_use]
    pub fn ruleset(&self) -> String {
        let nft = self.in_netns(|| Process::start(command("nft").args(["list", "ruleset"])));
        nft.wait().text().to_owned()
    }

    fn processes_in_netns(&self, besides: Option<i32>) -> Vec<String> {
        let own = rustix::fs::fstat(&self.netns).expect("a namespace is a file").st_ino;
        let name = format!("net:[{own}]");
        let inside = all_processes().into_iter().filter(|pid| {
            let link = fs::read_link(format!("/proc/{pid}/ns/net"));
            Some(*pid) != besides && link.is_ok_and(|link| link == Path::new(&name))
        });
        inside.map(|pid| format!("process {pid} {}", command_line(pid))).collect()
    }

    /// What is there although the daemon was told to stop and had no containers.
    pub(super) fn look_after_the_daemon(&self) -> Vec<String> {
        let mut found = self.processes_in_netns(None);
        let mounts = mounts_below(&[&self.data_root, &self.exec_root]);
        found.extend(mounts.iter().map(|path| format!("mount {}", path.display())));
        for file in ["barge.sock", "barge.pid"] {
            let path = self.exec_root.join(file);
            if path.exists() {
                found.push(format!("file {}", path.display()));
            }
        }
        found
    }

    /// Removes everything, whatever state it is in.
    pub(super) fn clean_up(&self) {
        clean_up(&self.name, &self.processes_in_netns(None));
    }
}

fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// `processes` are lines as [`TestHost::processes_in_netns`] makes them.
fn clean_up(name: &str, processes: &[String]) {
    let shims = processes.iter().filter_map(|line| line.split(' ').nth(1)?.parse().ok());
    for pid in shims.chain(cgroup::processes(name)) {
        // It may have ended by itself.
        barge_sys::signal::kill(pid, libc::SIGKILL).ok();
    }
    cgroup::thaw(name);
    let roots = [Path::new("/var/tmp").join(name), Path::new("/run").join(name)];
    for mount in mounts_below(&[&roots[0], &roots[1]]).iter().rev() {
        barge_sys::mount::detach(mount).ok();
    }
    eventually("the processes of the containers are gone", || cgroup::processes(name).is_empty());
    cgroup::remove(name);
    for root in roots {
        // Only a mount that could not be detached keeps it.
        fs::remove_dir_all(root).ok();
    }
}

/// Removes what test programs that were killed have left, once per test program.
pub(super) fn sweep_dead_runs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for path in entries(Path::new("/run")) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
            let is_dead = owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
            if is_dead {
                let pidfile = fs::read_to_string(path.join("barge.pid")).unwrap_or_default();
                let daemon = format!("process {}", pidfile.trim());
                let is_ours = command_line(pidfile.trim().parse().unwrap_or(0)).contains(name);
                clean_up(name, if is_ours { std::slice::from_ref(&daemon) } else { &[] });
            }
        }
    });
}
