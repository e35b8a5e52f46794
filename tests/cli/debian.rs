//! A real root file system: Debian, made by debootstrap.

use barge_testkit::{Client, Sharing, TestHost, debian_rootfs, need};

static HOST: Sharing = Sharing::new();

fn import(host: &TestHost) {
    let images = host.barge(&["images", "-q", "debian"]);
    if images.text().is_empty() {
        let archive = debian_rootfs();
        let arguments = ["import", "-c", "CMD [\"bash\"]", archive.to_str().unwrap(), "debian"];
        host.barge(&arguments).ok();
    }
}

#[test]
fn debian_runs_with_its_shell_packages_and_users() {
    need!(debootstrap);
    let host = HOST.host();
    import(&host);
    for client in Client::both() {
        let run = |arguments: &[&str]| {
            let outcome = host.run(client, &[&["run", "--rm"], arguments].concat());
            outcome.text().to_owned()
        };
        assert!(run(&["debian", "apt", "--version"]).starts_with("apt 2."));
        assert_eq!(
            run(&["debian", "bash", "-lc", "echo $BASH_VERSION | cut -d. -f1; pwd"]),
            "5\n/"
        );
        assert_eq!(run(&["-u", "nobody", "debian", "id", "-un"]), "nobody");
        assert_eq!(run(&["-u", "1000:1000", "debian", "id"]), "uid=1000 gid=1000 groups=1000");
        assert_eq!(run(&["debian", "sh", "-c", "dpkg -l base-files | tail -1 | cut -c1-2"]), "ii");
        assert_eq!(
            run(&[
                "debian",
                "sh",
                "-c",
                "echo x > /opt/mark && mv /opt /opt2 && mv /usr/share/doc /doc && cat /opt2/mark"
            ]),
            "x"
        );
    }
}

#[test]
fn a_package_tool_that_drops_its_rights_works() {
    need!(debootstrap);
    let host = HOST.host();
    import(&host);
    let script = "setpriv --reuid=nobody --regid=nogroup --clear-groups id -un && su nobody -s /bin/sh -c 'id -un' \
                  && chown nobody /root && stat -c %U /root && dpkg --configure -a && useradd -m somebody \
                  && su somebody -c 'touch ~/x && stat -c %U ~/x'";
    for client in Client::both() {
        let outcome = host.run(client, &["run", "--rm", "debian", "bash", "-c", script]);
        assert_eq!(outcome.text(), "nobody\nnobody\nnobody\nsomebody", "{client:?}");
    }
}

#[test]
fn ps_shows_pid_1_a_shell_and_itself() {
    need!(debootstrap);
    let host = HOST.host();
    import(&host);
    for client in Client::both() {
        let name = host.unique("debian");
        // procps is not part of a minimal Debian; busybox's listing is tested elsewhere.
        host.run(client, &["run", "-d", "--name", &name, "debian", "sleep", "1000"]).ok();
        let script = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(cat $p/comm 2>/dev/null); done";
        let listed = host.run(client, &["exec", &name, "bash", "-c", script]);
        let lines: Vec<&str> = listed.text().lines().collect();
        assert_eq!(lines.len(), 2, "{listed}");
        assert_eq!(lines[0], "1 sleep");
        assert!(lines[1].ends_with(" bash"), "{listed}");
        host.run(client, &["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_login_shell_works_in_a_terminal() {
    need!(debootstrap);
    let host = HOST.host();
    import(&host);
    for client in Client::both() {
        let mut terminal =
            host.terminal(client, &["run", "-it", "--rm", "-h", "box", "debian", "bash", "-l"]);
        terminal.expect("root@box:/# ").send("sleep 0.1 & fg; echo over-$((40+2))\n");
        terminal.expect("over-42").expect("# ");
        let armed =
            "sh -c 'trap \"echo caught; exit\" INT; echo armed; while :; do sleep 0.1; done'\n";
        terminal.send(armed).expect("armed\r\n").send("\u{3}").expect("caught").expect("# ");
        terminal.send("stty -a | head -1\n").expect("rows 24; columns 80").expect("# ");
        terminal.send("exit 12\n");
        assert_eq!(terminal.wait(), 12, "{}", terminal.screen());
    }
}
