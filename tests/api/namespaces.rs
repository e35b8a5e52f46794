//! Whose namespaces containers use: what is refused, in Docker's words, and what is remembered of a partner.

use barge_testkit::{HostOptions, Sharing, TestHost};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

/// What is wrong with a container of these settings.
fn refusal(host: &TestHost, host_config: &Value, config: &Value) -> String {
    let mut body = json!({"Image": "busybox", "HostConfig": host_config});
    for (key, value) in config.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    host.api().post("/containers/create", body).error(400)
}

fn create(host: &TestHost, name: &str, host_config: &Value) -> String {
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host_config});
    let path = format!("/containers/create?name={name}");
    let made = host.api().post(&path, body).is(201).json();
    made["Id"].as_str().unwrap().to_owned()
}

#[test]
fn modes_that_contradict_each_other_are_refused_in_dockers_words() {
    let host = HOST.host();
    let nobody = json!({"NetworkMode": "container:nobody"});
    let with = |key: &str, value: Value| {
        let mut config = nobody.clone();
        config[key] = value;
        config
    };
    let cases = [
        (nobody.clone(), json!({"Hostname": "a"}), "hostname and the network mode"),
        (
            with("Links", json!(["a:b"])),
            json!({}),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (with("Dns", json!(["1.1.1.1"])), json!({}), "dns and the network mode"),
        (
            with("ExtraHosts", json!(["a:1.1.1.1"])),
            json!({}),
            "custom host-to-IP mapping and the network mode",
        ),
        (
            nobody.clone(),
            json!({"MacAddress": "02:42:ac:11:00:99"}),
            "mac-address and the network mode",
        ),
        (
            with("PortBindings", json!({"80/tcp": [{}]})),
            json!({}),
            "port publishing and the container type network mode",
        ),
        (
            with("PublishAllPorts", json!(true)),
            json!({}),
            "port publishing and the container type network mode",
        ),
        (
            nobody.clone(),
            json!({"ExposedPorts": {"80/tcp": {}}}),
            "port exposing and the container type network mode",
        ),
        (
            json!({"NetworkMode": "host", "Links": ["a:b"]}),
            json!({}),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
        (json!({"UTSMode": "host"}), json!({"Hostname": "a"}), "hostname and the UTS mode"),
    ];
    for (host_config, config, text) in cases {
        assert_eq!(
            refusal(&host, &host_config, &config),
            format!("conflicting options: {text}"),
            "{host_config} {config}"
        );
    }
}

#[test]
fn modes_that_do_not_exist_are_refused_in_dockers_words() {
    let host = HOST.host();
    let format = "invalid network mode: invalid container format container:<name|id>";
    for (host_config, text) in [
        (json!({"NetworkMode": "container"}), format),
        (json!({"NetworkMode": "container:"}), format),
        (json!({"PidMode": "private"}), "invalid PID mode: private"),
        (json!({"PidMode": "container:"}), "invalid PID mode: container:"),
        (json!({"IpcMode": "mine"}), "invalid IPC mode: mine"),
        (json!({"UTSMode": "private"}), "invalid UTS mode: private"),
        (json!({"CgroupnsMode": "mine"}), "invalid cgroup namespace mode: mine"),
        (json!({"UsernsMode": "mine"}), "invalid USER mode: mine"),
        (json!({"NetworkMode": "container:nobody"}), "No such container: nobody"),
        (json!({"PidMode": "container:nobody"}), "No such container: nobody"),
        (json!({"IpcMode": "container:nobody"}), "No such container: nobody"),
    ] {
        assert_eq!(refusal(&host, &host_config, &json!({})), text, "{host_config}");
    }
}

#[test]
fn a_partner_is_remembered_by_its_id_and_has_to_run() {
    let host = HOST.host();
    let [donor, other] = ["donor", "partner"].map(|stem| host.unique(stem));
    let id = create(&host, &donor, &json!({"NetworkMode": "none", "IpcMode": "shareable"}));
    let mode = format!("container:{donor}");
    let start = |name: &str| host.api().post(&format!("/containers/{name}/start"), Value::Null);
    for (key, text) in [
        ("NetworkMode", format!("cannot join network of a non running container: {id}")),
        ("PidMode", format!("container {id} is not running")),
        ("IpcMode", format!("can't join IPC of container {id}: container {id} is not running")),
    ] {
        let mut host_config = json!({"NetworkMode": "none"});
        host_config[key] = json!(mode);
        create(&host, &other, &host_config);
        assert_eq!(host.inspect(&other)["HostConfig"][key], format!("container:{id}"));
        assert_eq!(start(&other).error(409), text);
        host.barge(&["rm", &other]).ok();
    }
    // A new name changes nothing, another container of the old name neither.
    create(&host, &other, &json!({"NetworkMode": mode, "PidMode": mode, "IpcMode": mode}));
    let renamed = host.unique("renamed");
    host.barge(&["rename", &donor, &renamed]).ok();
    create(&host, &donor, &json!({"NetworkMode": "none"}));
    start(&renamed).is(204);
    start(&other).is(204);
    for kind in ["net", "pid", "ipc"] {
        let namespace =
            |name: &str| std::fs::read_link(format!("/proc/{}/ns/{kind}", host.pid(name))).unwrap();
        assert_eq!(namespace(&other), namespace(&renamed), "{kind}");
    }
    host.barge(&["rm", "-f", &other, &renamed, &donor]).ok();
}

#[test]
fn a_partner_of_a_partner_shares_what_that_one_shares() {
    let host = HOST.host();
    let names = ["first", "second", "third"].map(|stem| host.unique(stem));
    let [first, second, third] = &names;
    host.barge(&["run", "-d", "--name", first, "--ipc", "shareable", "busybox", "sleep", "1000"])
        .ok();
    for (name, partner) in [(second, first), (third, second)] {
        let mode = format!("container:{partner}");
        let flags = ["run", "-d", "--name", name, "--network", &mode, "--ipc", &mode];
        host.barge(&[&flags[..], &["busybox", "sleep", "1000"]].concat()).ok();
    }
    host.barge(&["exec", first, "sh", "-c", "echo seen > /dev/shm/file"]).ok();
    let seen = host.barge(&["exec", third, "cat", "/dev/shm/file", "/etc/hostname"]);
    let id = host.id(first);
    assert_eq!(seen.text(), format!("seen\n{}", &id[..12]));
    host.barge(&["rm", "-f", third, second, first]).ok();
}

#[test]
fn nobody_joins_an_ipc_namespace_that_is_not_shareable() {
    let host = HOST.host();
    let name = host.unique("private");
    for mode in ["private", "none"] {
        host.barge(&["run", "-d", "--name", &name, "--ipc", mode, "busybox", "sleep", "1000"]).ok();
        let partner = format!("container:{name}");
        let text = format!(
            "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            host.id(&name)
        );
        host.barge(&["run", "--rm", "--ipc", &partner, "busybox", "true"]).fails_saying(125, &text);
        host.barge(&["rm", "-f", &name]).ok();
    }
}

#[test]
fn the_daemon_chooses_the_modes_that_nobody_names() {
    let flags = ["--default-ipc-mode=shareable", "--default-cgroupns-mode=host"];
    let host = TestHost::with(HostOptions {
        flags: flags.map(str::to_owned).to_vec(),
        ..HostOptions::default()
    });
    host.busybox();
    create(&host, "usual", &json!({}));
    create(&host, "own", &json!({"IpcMode": "private", "CgroupnsMode": "private"}));
    for (name, ipc, cgroup) in [("usual", "shareable", "host"), ("own", "private", "private")] {
        let config = &host.inspect(name)["HostConfig"];
        assert_eq!((&config["IpcMode"], &config["CgroupnsMode"]), (&json!(ipc), &json!(cgroup)));
    }
}
