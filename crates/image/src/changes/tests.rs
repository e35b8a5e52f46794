//! Instructions alter a configuration as Docker's builder does.

use super::*;

fn applied(changes: &[&str]) -> ContainerConfig {
    let mut config = ContainerConfig::default();
    config.env.push("PATH=/bin".to_owned());
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    apply(&mut config, &changes).unwrap();
    config
}

fn refused(change: &str) -> String {
    apply(&mut ContainerConfig::default(), &[change.to_owned()]).unwrap_err().to_string()
}

#[test]
fn commands_have_an_exec_and_a_shell_form() {
    let config = applied(&["ENTRYPOINT [\"/a\", \"b c\"]", "cmd echo $HOME"]);
    assert_eq!(config.entrypoint.unwrap(), ["/a", "b c"]);
    assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
}

#[test]
fn an_entry_point_drops_the_command_it_was_not_meant_for() {
    let mut config = ContainerConfig { cmd: Some(vec!["old".to_owned()]), ..Default::default() };
    apply(&mut config, &["ENTRYPOINT [\"/a\"]".to_owned()]).unwrap();
    assert_eq!(config.cmd, None);
    let config = applied(&["CMD [\"x\"]", "ENTRYPOINT [\"/a\"]"]);
    assert_eq!(config.cmd.unwrap(), ["x"]);
}

#[test]
fn variables_are_put_in_and_replaced_by_name() {
    let config = applied(&[
        r#"ENV A=1 B="two words" C='$A' D=a\ b"#,
        "ENV PATH /opt:$PATH",
        "ENV E=${A} F=${NONE:-else} G=${A:+set}$",
        "ENV A=2",
    ]);
    assert_eq!(
        config.env,
        ["PATH=/opt:/bin", "A=2", "B=two words", "C=$A", "D=a b", "E=1", "F=else", "G=set$"]
    );
}

#[test]
fn the_other_instructions_set_their_fields() {
    let config = applied(&[
        "LABEL a=b \"c d\"=\"e f\"",
        "EXPOSE 80 53/udp 8000-8002",
        "USER 1000:1000",
        "VOLUME /data /more",
        "VOLUME [\"/json path\"]",
        "WORKDIR /a",
        "WORKDIR b/../c",
        "STOPSIGNAL SIGQUIT",
        "ONBUILD RUN make",
        "# a comment\nHEALTHCHECK --interval=1m30s --timeout=1.5s --retries=2 \\\n  CMD curl x",
    ]);
    assert_eq!(config.labels["c d"], "e f");
    let ports: Vec<&String> = config.exposed_ports.keys().collect();
    assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    assert_eq!(config.user, "1000:1000");
    assert_eq!(config.volumes.len(), 3);
    assert_eq!(config.working_dir, "/a/c");
    assert_eq!(config.stop_signal, "SIGQUIT");
    assert_eq!(config.on_build, ["RUN make"]);
    let check = config.healthcheck.unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "curl x"]);
    assert_eq!((check.interval, check.timeout, check.retries), (90_000_000_000, 1_500_000_000, 2));
}

#[test]
fn what_is_no_change_is_refused_in_dockers_words() {
    assert_eq!(refused("RUN make"), "RUN is not a valid change command");
    assert_eq!(refused("ENV"), "ENV requires at least one argument");
    assert_eq!(
        refused("ENV a=b c"),
        "Syntax error - can't find = in \"c\". Must be of the form: name=value"
    );
    assert_eq!(refused("ENV =b"), "ENV names can not be blank");
    assert_eq!(refused("EXPOSE http"), "invalid containerPort: http");
    assert_eq!(refused("EXPOSE 0"), "invalid containerPort: 0");
    assert_eq!(refused("USER"), "USER requires exactly one argument");
    assert_eq!(refused("HEALTHCHECK --interval=1x CMD x"), "time: invalid duration \"1x\"");
    for change in ["STOPSIGNAL nothing", "ENV a=\"b", "ENV a=${b", "ENV a=${}", "ONBUILD ONBUILD x"]
    {
        refused(change);
    }
}
