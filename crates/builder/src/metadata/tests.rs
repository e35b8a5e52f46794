//! Lines of histories of images that BuildKit made.

use super::*;

fn config() -> ImageConfig {
    scratch(&Platform::host())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn commands_are_quoted_as_go_does() {
    let command = Command::Shell("echo \"a\tb\" \\ $X".to_owned());
    assert_eq!(cmd(&mut config(), &command), r#"CMD ["/bin/sh" "-c" "echo \"a\tb\" \\ $X"]"#);
    let command = Command::Exec(words(&["a", "é\u{1}"]));
    assert_eq!(entrypoint(&mut config(), &command, CmdOf::Base), r#"ENTRYPOINT ["a" "é\x01"]"#);
}

#[test]
fn an_entry_point_takes_the_command_of_the_base_with_it_only() {
    let mut with = config();
    cmd(&mut with, &Command::Exec(words(&["c"])));
    entrypoint(&mut with, &Command::Exec(words(&["e"])), CmdOf::Stage);
    assert!(inner(&mut with).cmd.is_some());
    entrypoint(&mut with, &Command::Exec(words(&["e"])), CmdOf::Base);
    assert!(inner(&mut with).cmd.is_none());
}

#[test]
fn health_checks_are_shown_as_go_prints_the_structure() {
    let check = Check::Command {
        command: Command::Shell("curl x".to_owned()),
        interval: 30_000_000_000,
        timeout: 90_000_000_000,
        start_period: 5_500_000_000,
        start_interval: 0,
        retries: 3,
    };
    assert_eq!(
        healthcheck(&mut config(), &check),
        r#"HEALTHCHECK &{["CMD-SHELL" "curl x"] "30s" "1m30s" "5.5s" "0s" '\x03'}"#
    );
}

#[test]
fn durations_have_gos_units() {
    let shown = [0, 1, 1_500, 2_000_000, 1_000_000_000, 3_600_000_000_000].map(duration);
    assert_eq!(shown, ["0s", "1ns", "1.5µs", "2ms", "1s", "1h0m0s"]);
}

#[test]
fn ports_may_be_ranges() {
    let mut config = config();
    let line = expose(&mut config, &words(&["81-82/UDP", "80"])).unwrap();
    assert_eq!(line, "EXPOSE map[80/tcp:{} 81/udp:{} 82/udp:{}]");
    assert!(expose(&mut config, &words(&["x"])).is_err());
    assert!(expose(&mut config, &words(&["2-1"])).is_err());
}

#[test]
fn a_variable_is_changed_where_it_is() {
    let mut config = config();
    set_all_env(&mut config, &[("A".into(), "1".into()), ("PATH".into(), "/x".into())]);
    assert_eq!(inner(&mut config).env, ["PATH=/x", "A=1"]);
    assert_eq!(env(&inner(&mut config).env, "A"), Some("1"));
}

#[test]
fn triggers_of_a_base_are_not_inherited() {
    let mut base = config();
    inner(&mut base).on_build.push("RUN x".to_owned());
    let (mut config, triggers) = derive(&base);
    assert_eq!(triggers, ["RUN x"]);
    assert!(inner(&mut config).on_build.is_empty());
}

#[test]
fn paths_are_joined_without_leaving_the_root() {
    for (folder, path, whole) in
        [("/a", "b", "/a/b"), ("/a", "/b/", "/b"), ("/", "../../x", "/x"), ("/a/b", "../c", "/a/c")]
    {
        assert_eq!(join(folder, path), whole);
    }
}
