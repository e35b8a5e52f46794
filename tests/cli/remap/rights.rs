//! What root of a container with mapped ids cannot do with all the rights that it may get in there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use barge_testkit::{Client, eventually};

use super::{remapped, says};

#[test]
fn what_is_mounted_stays_as_it_is() {
    let host = remapped();
    let folder = host.scratch().join("bound");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let bind = format!("{}:/bound:ro", folder.display());
    let flags = ["--cap-add=ALL", "-v", &bind, "-v", "named:/volume:ro"];
    let write = "mount -o remount,bind,rw /bound; touch /bound/new && echo written";
    // Who has the host's users can.
    says(&host, &[&flags[..], &["--userns=host"]].concat(), (write, "written"));
    fs::remove_file(folder.join("new")).unwrap();
    let script = format!(
        "{write} || echo kept; mount -o remount,bind,rw /volume; touch /volume/new || echo kept; \
         for place in /bound /volume /etc/hosts /proc/kcore /proc/sys /sys/firmware /dev /; do \
             umount $place || umount -l $place || echo $place; \
         done; \
         mount -o remount,bind,rw /proc/sys; echo 1 > /proc/sys/vm/drop_caches || echo kept; \
         mkdir /own && mount -t proc proc /own || echo covered; \
         mount -t tmpfs own /own && umount /own && echo own"
    );
    // What the kernel of this machine does not have is not mounted on.
    let has_firmware = Path::new("/sys/firmware").exists();
    let firmware = if has_firmware { "\n/sys/firmware" } else { "" };
    let wanted = format!(
        "kept\nkept\n/bound\n/volume\n/etc/hosts\n/proc/kcore\n/proc/sys{firmware}\n/dev\n/\nkept\ncovered\nown"
    );
    let script = if has_firmware { script } else { script.replace(" /sys/firmware", "") };
    says(&host, &flags, (&script, &wanted));
    says(
        &host,
        &[&flags[..], &["--read-only"]].concat(),
        ("mount -o remount,bind,rw /; touch /new || echo kept", "kept"),
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // What joins a container is where it is.
    let name = host.unique("joined");
    let words = [&["run", "-d", "--name", &name], &flags[..], &["busybox", "sleep", "1000"]];
    host.barge(&words.concat()).ok();
    let words = ["exec", "--privileged", &name, "sh", "-c", "umount /bound || echo kept"];
    assert_eq!(host.barge(&words).text(), "kept");
    host.barge(&["rm", "-f", &name]).ok();
}

/// Stops everybody in its process namespace over and over, until it has caught somebody who is only on the way to become
/// one of the container's processes; says whether it can look into that.
const LOOK: &str = r#"
look() { ls $1/fd > /dev/null 2>&1 || readlink $1/exe > /dev/null 2>&1; }
sleep 1000 & look /proc/$! && echo "looks into its own"
while :; do
    kill -STOP -1
    for process in /proc/[0-9]*; do
        if grep -q barge-runtim[e] $process/cmdline && grep -q State:.T $process/status; then
            if look $process; then echo caught open; else echo caught closed; fi
            kill -CONT -1
            exec sleep 1000
        fi
    done
    kill -CONT -1
done 2> /dev/null
"#;

#[test]
fn nobody_looks_into_a_process_that_comes_into_a_container() {
    let host = remapped();
    for join in ["exec", "run"] {
        let name = host.unique("spy");
        let words = ["run", "-d", "--name", &name, "--cap-add=ALL", "busybox", "sh", "-c", LOOK];
        host.barge(&words).ok();
        let with = format!("--pid=container:{name}");
        let words = match join {
            "exec" => ["exec", &name, "true"].to_vec(),
            _ => ["run", "--rm", &with, "busybox", "true"].to_vec(),
        };
        let mut seen = String::new();
        eventually("one is caught", || {
            host.barge(&words).ok();
            seen = host.barge(&["logs", &name]).text().to_owned();
            seen.contains("caught")
        });
        assert_eq!(seen, "looks into its own\ncaught closed", "{join}");
        host.barge(&["rm", "-f", &name]).ok();
    }
}

#[test]
fn limits_are_the_containers_and_not_those_of_its_making() {
    let host = remapped();
    let few = ["--ulimit", "nofile=8"];
    says(&host, &few, ("ulimit -n", "8"));
    says(&host, &[&few[..], &["--init", "-v", "named:/volume"]].concat(), ("ulimit -Hn", "8"));
    says(&host, &["--ulimit", "nproc=1000:2000"], ("ulimit -Hu", "2000"));
    for client in Client::both() {
        let name = host.unique("few");
        let words = [&["run", "-d", "--name", &name][..], &few, &["busybox", "sleep", "1000"]];
        host.run(client, &words.concat()).ok();
        assert_eq!(host.run(client, &["exec", &name, "sh", "-c", "ulimit -n"]).text(), "8");
        let mut terminal = host.terminal(client, &["exec", "-it", &name, "sh"]);
        terminal.send("tty; exit\n");
        terminal.expect("/dev/pts/");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn what_a_user_sets_for_later_interfaces_holds() {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        eprintln!("skipped: the kernel has no IPv6");
        return;
    }
    let host = remapped();
    let look = "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    says(&host, &[], (look, "1"));
    for of in ["default", "all"] {
        let flag = format!("net.ipv6.conf.{of}.disable_ipv6=0");
        says(&host, &["--sysctl", &flag], (look, "0"));
    }
}
