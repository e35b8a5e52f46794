//! `stats` as people see it: once, and as a picture that is drawn again.

use barge_testkit::{Client, Sharing, TestHost};

static HOST: Sharing = Sharing::new();

fn sleeper(host: &TestHost) -> String {
    let name = host.unique("stats");
    let run = ["run", "-d", "--name", &name, "-m", "64m", "busybox", "sleep", "1000"];
    host.barge(&run).ok();
    name
}

#[test]
fn both_clients_show_the_same_figures_once() {
    let host = HOST.host();
    let name = sleeper(&host);
    let format = "{{.Container}} {{.Name}} {{.ID}} {{.PIDs}} {{.CPUPerc}}";
    let id = host.id(&name);
    let expected = format!("{name} {name} {} 1 0.00%", &id[..12]);
    for client in Client::both() {
        let shown = host.run(client, &["stats", "--no-stream", "--format", format, &name]);
        assert_eq!(shown.text(), expected, "{client:?}");
        let table = host.run(client, &["stats", "--no-stream", &name]);
        let mut lines = table.text().lines();
        assert_eq!(
            lines.next().unwrap().split("  ").filter(|title| !title.is_empty()).count(),
            8,
            "{table}"
        );
        assert!(lines.next().unwrap().contains(" / 64MiB "), "{table}");
    }
    let wrong = host.barge(&["stats", "--no-stream", &name, "nosuch"]);
    assert_eq!(wrong.code, 1, "{wrong}");
    assert!(wrong.stderr.contains("No such container: nosuch"), "{wrong}");
    assert!(wrong.stdout.contains(&name), "{wrong}");
    host.barge(&["rm", "-f", &name]).ok();
}

#[test]
fn a_terminal_shows_containers_as_they_come_and_go() {
    let host = HOST.host();
    let mut terminal = host.terminal(Client::Barge, &["stats"]);
    terminal.expect("CONTAINER ID");
    let name = sleeper(&host);
    terminal.expect(&name);
    // The end of one that was named ends it.
    let mut named = host.terminal(Client::Barge, &["stats", &name]);
    named.expect(&name);
    host.barge(&["rm", "-f", &name]).ok();
    assert_eq!(named.wait(), 0);
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 130);
}
