//! One suite for every driver: limits are not read back, they must bite.
//!
//! A driver whose version of cgroups this host does not have is skipped, and says so. The virtual machine's tests set
//! `BARGE_REQUIRE_CGROUP` to the version they boot, and there a skip is a failure.

mod checks;
mod helpers;

use std::{
    env,
    io::{Read as _, Write as _},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{CgroupManager, CgroupPath, Layout, Version};

/// A group of its own below a parent of its own; both are gone at the end, whatever happened.
struct Bench {
    layout: Layout,
    parent: CgroupPath,
    path: CgroupPath,
    group: Box<dyn CgroupManager>,
}

impl Bench {
    fn open(version: Version) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let layout = Layout::detect().unwrap();
        if layout.version() != version {
            let name = format!("{version:?}").to_lowercase();
            let required = env::var("BARGE_REQUIRE_CGROUP").is_ok_and(|wanted| wanted == name);
            assert!(!required, "this host has no cgroup {name}: {layout:?}");
            println!("skipped: this host has no cgroup {name}");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let parent = format!("barge-test-{}-{number}", std::process::id());
        let path = CgroupPath::new(&parent, "group").unwrap();
        let group = layout.manager(&path);
        group.create().unwrap();
        Some(Self { parent: CgroupPath::parse(&parent).unwrap(), group, path, layout })
    }

    /// Starts a program that is in the group before it does anything.
    fn start(&self, mut command: Command) -> Job {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.group.apply(child.id()).unwrap();
        // The program may have died of the limit at once: its result tells.
        child.stdin.as_mut().unwrap().write_all(b"go\n").ok();
        Job(child)
    }

    fn shell(&self, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read go\n{script}")]);
        self.start(command)
    }

    /// Runs one of [`helpers`] in the group.
    fn helper(&self, name: &str) -> Output {
        let mut command = Command::new(env::current_exe().unwrap());
        let test = format!("conformance::helpers::{name}");
        command
            .args(["--ignored", "--exact", &test, "--nocapture", "--test-threads=1"])
            .env("BARGE_TEST_CGROUP", self.path.as_path());
        self.start(command).output()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.group.exists() {
            self.group.kill_all().unwrap();
        }
        self.group.destroy().unwrap();
        self.layout.manager(&self.parent).destroy().unwrap();
    }
}

/// A started program; killed and reaped when the test does not wait for it.
struct Job(Child);

impl Job {
    /// Waits for its first line.
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        let mut byte = [0];
        let stdout = self.0.stdout.as_mut().unwrap();
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
        line
    }

    fn output(mut self) -> Output {
        drop(self.0.stdin.take());
        let mut output = Output {
            stdout: Vec::new(),
            stderr: Vec::new(),
            status: std::process::ExitStatus::default(),
        };
        let (out, err) = (self.0.stdout.take(), self.0.stderr.take());
        out.unwrap().read_to_end(&mut output.stdout).unwrap();
        err.unwrap().read_to_end(&mut output.stderr).unwrap();
        output.status = self.0.wait().unwrap();
        output
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Both fail when it has been waited for, which is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn text(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{stdout}{}", String::from_utf8_lossy(&output.stderr))
}

macro_rules! conformance {
    ($module:ident, $version:expr, [$($check:ident),* $(,)?]) => {
        mod $module {
            $(
                #[test]
                fn $check() {
                    if let Some(bench) = super::Bench::open($version) {
                        super::checks::$check(&bench);
                    }
                }
            )*
        }
    };
}

macro_rules! every_driver {
    ($($check:ident),* $(,)?) => {
        conformance!(v1, crate::Version::V1, [$($check),*]);
        conformance!(v2, crate::Version::V2, [$($check),*]);
    };
}

every_driver!(
    limits_of_docker_run_are_in_the_files,
    memory_above_the_limit_is_killed_and_counted,
    memory_limits_are_raised_and_lowered_in_any_order,
    a_limit_below_the_usage_is_refused_when_asked,
    a_fork_above_the_limit_of_tasks_fails_with_eagain,
    cpu_above_the_quota_is_throttled_and_counted,
    quota_period_and_burst_fit_in_any_order,
    a_process_runs_on_the_cpus_of_its_set,
    a_cpu_that_is_not_there_is_refused_by_name,
    only_allowed_devices_open,
    later_device_rules_replace_earlier_ones,
    an_allow_list_denies_its_exceptions,
    frozen_processes_stand_still_until_thawed,
    a_process_enters_by_itself,
    kill_all_reaches_every_process,
    a_frozen_group_is_killed_too,
    a_group_goes_away_right_after_its_last_process,
    groups_below_go_away_with_it,
    a_group_that_is_gone_can_be_destroyed_again,
    a_group_made_ahead_is_used_as_it_is_and_completed,
    a_populated_group_is_not_taken_over,
    limits_of_a_leftover_group_are_gone,
    stats_count_what_was_used,
    rates_of_a_block_device_are_set,
    huge_pages_are_limited_or_refused_by_name,
    files_of_v2_are_written_on_v2_and_refused_on_v1,
    what_has_no_driver_is_refused,
);
